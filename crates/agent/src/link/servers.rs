//! Which servers there are and in which order they are tried. Pure.

use std::collections::BTreeSet;

/// The most servers taken from a list: clusters have up to seven, and a move to others names both.
const MOST: usize = 32;

/// The longest address taken: a name of 253 characters, a colon, five digits, with room.
const LONGEST: usize = 300;

/// The servers this host was configured with and those it was told of, `HOST:PORT` each.
///
/// Configured ones always stay: a list that names nobody in reach shuts nobody out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Servers {
    configured: Vec<String>,
    told: Vec<String>,
}

impl Servers {
    /// Those of the configuration, with the list kept from the last run.
    #[must_use]
    pub fn new(configured: Vec<String>, kept: Vec<String>) -> Self {
        let mut servers = Self { configured, told: Vec::new() };
        servers.take(kept);
        servers
    }

    /// Takes a server's list; says whether it differs from the one before. What is no address is
    /// left out, and a list without any is refused.
    pub fn take(&mut self, list: Vec<String>) -> bool {
        let sound: BTreeSet<String> =
            list.into_iter().filter(|server| is_address(server)).take(MOST).collect();
        let sound: Vec<String> = sound.into_iter().collect();
        if sound.is_empty() || sound == self.told {
            return false;
        }
        self.told = sound;
        true
    }

    /// The list that was taken last.
    #[must_use]
    pub fn told(&self) -> &[String] {
        &self.told
    }

    /// All, each once, configured ones first.
    #[must_use]
    pub fn all(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let all = self.configured.iter().chain(&self.told);
        all.filter(|server| seen.insert(server.as_str())).cloned().collect()
    }

    /// All in an order that `seed` decides, the one just left at the end: it is tried, but last.
    #[must_use]
    pub fn order(&self, left: Option<&str>, seed: u64) -> Vec<String> {
        let mut order = self.all();
        let mut seed = seed;
        for end in (1..order.len()).rev() {
            // The high half of a linear congruential generator: enough to spread hosts.
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let below = u64::try_from(end + 1).unwrap_or(1);
            let chosen = usize::try_from((seed >> 32) % below).unwrap_or(0);
            order.swap(end, chosen);
        }
        order.sort_by_key(|server| left == Some(server.as_str()));
        order
    }

    /// The others in an order that `seed` decides.
    #[must_use]
    pub fn others(&self, than: &str, seed: u64) -> Vec<String> {
        let mut order = self.order(None, seed);
        order.retain(|server| server != than);
        order
    }
}

fn is_address(server: &str) -> bool {
    let sound =
        |host: &str, port: &str| !host.is_empty() && port.parse().is_ok_and(|port: u16| port != 0);
    server.len() <= LONGEST && server.rsplit_once(':').is_some_and(|(h, p)| sound(h, p))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn configured_servers_stay_whatever_a_list_says() {
        let mut servers = Servers::new(names(&["a:1", "b:1"]), Vec::new());
        for refused in [&[][..], &["nonsense", ":1", "c:", "c:0", "c:99999"]] {
            assert!(!servers.take(names(refused)), "{refused:?}");
            assert_eq!(servers.all(), ["a:1", "b:1"]);
        }
        assert!(servers.take(names(&["d:1", "b:1", "nonsense"])));
        assert!(!servers.take(names(&["b:1", "d:1"])), "the same list");
        assert_eq!(servers.told(), ["b:1", "d:1"]);
        assert_eq!(servers.all(), ["a:1", "b:1", "d:1"]);
        assert!(servers.take(names(&["e:1"])));
        assert_eq!(servers.all(), ["a:1", "b:1", "e:1"]);
        let many: Vec<String> = (0..1000).map(|n| format!("host-{n}:1")).collect();
        assert!(servers.take(many));
        assert_eq!(servers.all().len(), 2 + MOST);
    }

    #[test]
    fn every_server_is_first_for_some_host() {
        let servers = Servers::new(names(&["a:1", "b:1"]), names(&["c:1", "d:1"]));
        let mut firsts = [0_u32; 4];
        for seed in 0..4000_u64 {
            let first =
                servers.order(None, seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)).swap_remove(0);
            firsts[usize::from(first.as_bytes()[0] - b'a')] += 1;
        }
        assert!(firsts.iter().all(|count| (800..1200).contains(count)), "{firsts:?}");
    }

    proptest! {
        #[test]
        fn an_order_holds_all_once_and_the_one_just_left_last(
            configured in prop::collection::vec("[a-e]:1", 1..5),
            told in prop::collection::vec("[a-h]:1", 0..8),
            left in prop::option::of("[a-h]:1"),
            seed: u64,
        ) {
            let servers = Servers::new(configured.clone(), told.clone());
            let order = servers.order(left.as_deref(), seed);
            let mut sorted = order.clone();
            sorted.sort();
            let all: BTreeSet<String> = configured.into_iter().chain(told).collect();
            prop_assert_eq!(&sorted, &all.iter().cloned().collect::<Vec<_>>());
            if let Some(left) = left {
                if all.contains(&left) {
                    prop_assert_eq!(order.last(), Some(&left));
                }
                let mut others = servers.others(&left, seed);
                others.sort();
                prop_assert_eq!(others, all.into_iter().filter(|s| *s != left).collect::<Vec<_>>());
            }
        }
    }
}
