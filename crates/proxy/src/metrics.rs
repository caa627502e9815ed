//! What the proxy counts, as plain values that travel over the control socket.
//!
//! Counters only grow while the process lives; a new process starts at zero. Nothing here is
//! shared between threads: each worker counts for itself and snapshots are added up.

use api::id::{AppName, EnvironmentName, InstanceId, ReleaseNumber};
use api::traffic::RouteTraffic;
use serde::{Deserialize, Serialize};

pub use api::traffic::BUCKETS_US;

/// All counters at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Per HTTP and TCP route, those that left the table included until they are idle.
    pub routes: Vec<RouteMetrics>,
    /// Per instance and address.
    pub instances: Vec<InstanceMetrics>,
    /// Client connections open now.
    pub connections: u64,
    /// Client connections accepted since the start.
    pub accepted: u64,
    /// Connections that failed before a request was read: TLS handshakes, bad requests, time-outs.
    pub bad_connections: u64,
    /// Requests that fitted no route.
    pub unrouted: u64,
    /// Lines of the access log dropped because the disk was slower than the traffic.
    pub log_lines_dropped: u64,
}

/// What happened on one route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteMetrics {
    /// The route's name.
    pub route: String,
    /// Its app.
    pub app: AppName,
    /// Its environment.
    pub environment: EnvironmentName,
    /// The counters.
    pub counters: Counters,
}

/// What happened with one instance at one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceMetrics {
    /// The instance.
    pub instance: InstanceId,
    /// Its release.
    pub release: ReleaseNumber,
    /// Its address.
    pub address: std::net::SocketAddr,
    /// Taken out of the choice for now because it failed.
    pub ejected: bool,
    /// Connections to it in the pool, idle.
    pub idle_connections: u64,
    /// The counters.
    pub counters: Counters,
}

/// Counters and the latency histogram of a route or an instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Requests (TCP: connections) ended, by status class: `[1xx, 2xx, 3xx, 4xx, 5xx]`. A TCP
    /// connection counts as 2xx when it reached an instance, else as 5xx.
    pub by_class: [u64; 5],
    /// Requests whose response broke off or could not be had from an instance.
    pub errors: u64,
    /// Attempts beyond the first.
    pub retries: u64,
    /// Requests under way now.
    pub in_flight: u64,
    /// Bytes of request bodies.
    pub bytes_in: u64,
    /// Bytes of response bodies.
    pub bytes_out: u64,
    /// From the request's head to the response's last byte.
    pub latency: Histogram,
}

impl Counters {
    /// Adds another worker's counters.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.by_class.iter_mut().zip(other.by_class) {
            *mine += theirs;
        }
        self.errors += other.errors;
        self.retries += other.retries;
        self.in_flight += other.in_flight;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.latency.add(&other.latency);
    }

    /// What is told of a route to servers.
    #[must_use]
    pub fn traffic(&self, route: String) -> RouteTraffic {
        RouteTraffic {
            route,
            requests: self.requests(),
            failed: self.by_class[4].max(self.errors),
            retries: self.retries,
            latency: self.latency.counts.to_vec(),
        }
    }

    /// Requests ended.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.by_class.iter().sum()
    }
}

/// Counts per bucket of [`BUCKETS_US`], not cumulative; the last one is for what is above.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// One count per bucket.
    pub counts: [u64; BUCKETS_US.len() + 1],
    /// The sum of all observations in microseconds.
    pub sum_us: u64,
}

impl Histogram {
    /// Takes one observation.
    pub fn observe(&mut self, us: u64) {
        let bucket = BUCKETS_US.iter().position(|bound| us <= *bound).unwrap_or(BUCKETS_US.len());
        self.counts[bucket] += 1;
        self.sum_us += us;
    }

    /// Adds another histogram.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine += theirs;
        }
        self.sum_us += other.sum_us;
    }
}

impl Snapshot {
    /// Adds another worker's snapshot: routes by name, instances by id and address.
    pub fn add(&mut self, other: Self) {
        for route in other.routes {
            match self.routes.iter_mut().find(|mine| mine.route == route.route) {
                Some(mine) => mine.counters.add(&route.counters),
                None => self.routes.push(route),
            }
        }
        for instance in other.instances {
            let same = |mine: &&mut InstanceMetrics| {
                mine.instance == instance.instance && mine.address == instance.address
            };
            match self.instances.iter_mut().find(same) {
                Some(mine) => {
                    mine.counters.add(&instance.counters);
                    mine.idle_connections += instance.idle_connections;
                    mine.ejected |= instance.ejected;
                }
                None => self.instances.push(instance),
            }
        }
        self.connections += other.connections;
        self.accepted += other.accepted;
        self.bad_connections += other.bad_connections;
        self.unrouted += other.unrouted;
        self.log_lines_dropped += other.log_lines_dropped;
    }
}
