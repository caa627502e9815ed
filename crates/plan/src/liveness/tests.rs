//! Verdicts over every small world of cuts, lying observers, observers by hash, probers that sleep,
//! and what is lost at once.

mod exhaustive;
mod lists;
mod prober;
mod safe_mode;
mod verdict;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use api::host::{Host, HostState};
use api::id::{Generation, HostId};
use api::liveness::Observe;
use api::time::Timestamp;

fn id(n: usize) -> HostId {
    HostId::new(format!("h{n:03}")).unwrap()
}

fn host(n: usize, domain: &str) -> (HostId, Host) {
    let host = Host {
        name: id(n),
        domain: domain.parse().unwrap(),
        labels: BTreeMap::new(),
        subnet: "10.128.0.0/24".parse().unwrap(),
        address: Ipv4Addr::new(10, 0, (n >> 8) as u8, n as u8),
        state: HostState::Ready,
        joined: Timestamp(0),
        down_since: None,
    };
    (id(n), host)
}

fn form() -> Observe {
    Observe { generation: Generation(7), ..Observe::default() }
}
