//! What the ingress counted on a route: totals of one proxy, added up over hosts by whoever shows
//! them.

use serde::{Deserialize, Serialize};

/// Upper bounds of the latency histogram's buckets in microseconds; one more bucket takes the rest.
pub const BUCKETS_US: [u64; 17] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 60_000_000,
];

/// What happened on a route since the proxy started. A proxy that is started anew begins at zero.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTraffic {
    /// The route's name in the ingress table.
    pub route: String,
    /// Requests ended; of a TCP route connections.
    pub requests: u64,
    /// Of those, answered with a 5xx status or broken off.
    pub failed: u64,
    /// Attempts beyond the first.
    pub retries: u64,
    /// How many took how long: a count for each of [`BUCKETS_US`] and one more.
    pub latency: Vec<u64>,
}

impl RouteTraffic {
    /// Adds what another proxy counted on the same route.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.retries += other.retries;
        let length = self.latency.len().max(other.latency.len()).min(BUCKETS_US.len() + 1);
        self.latency.resize(length, 0);
        for (mine, theirs) in self.latency.iter_mut().zip(&other.latency) {
            *mine += theirs;
        }
    }

    /// The upper bound in microseconds of the bucket that holds so many thousandths of all
    /// requests; none without requests, or when it is above the last bound.
    #[must_use]
    pub fn quantile_us(&self, thousandths: u64) -> Option<u64> {
        let all: u64 = self.latency.iter().sum();
        let rank = (all * thousandths.min(1000)).div_ceil(1000).max(1);
        let mut seen = 0;
        for (count, bound) in self.latency.iter().zip(BUCKETS_US) {
            seen += count;
            if seen >= rank && all > 0 {
                return Some(bound);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(latency: &[u64]) -> RouteTraffic {
        let requests = latency.iter().sum();
        RouteTraffic { requests, latency: latency.to_vec(), ..RouteTraffic::default() }
    }

    #[test]
    fn quantiles_are_the_bound_of_their_bucket() {
        let counted = traffic(&[50, 0, 49, 0, 1]);
        assert_eq!(counted.quantile_us(500), Some(100));
        assert_eq!(counted.quantile_us(990), Some(500));
        assert_eq!(counted.quantile_us(1000), Some(2_500));
        assert_eq!(traffic(&[]).quantile_us(500), None);
        let mut slow = vec![0; BUCKETS_US.len() + 1];
        slow[BUCKETS_US.len()] = 3;
        assert_eq!(traffic(&slow).quantile_us(500), None);
    }

    #[test]
    fn sums_of_hosts_are_bounded_by_the_buckets() {
        let mut sum = traffic(&[1, 2]);
        sum.add(&traffic(&[1; 100]));
        assert_eq!((sum.requests, sum.latency.len()), (103, BUCKETS_US.len() + 1));
        assert_eq!(sum.latency[..3], [2, 3, 1]);
    }
}
