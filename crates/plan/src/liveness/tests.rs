//! Verdicts over every small world of cuts, lying observers, observers by hash, probers that sleep,
//! and what is lost at once.

mod exhaustive;
mod hearing;
mod lists;
mod prober;
mod safe_mode;
mod servers;
mod verdict;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use api::host::{DomainPath, Host, HostState};
use api::id::{Generation, HostId, ServerId};
use api::liveness::Observe;
use api::server::Server;
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

fn server(name: &str, address: &str) -> (ServerId, Server) {
    let name = ServerId::new(name).unwrap();
    let server = Server {
        name: name.clone(),
        address: address.to_owned(),
        version: String::new(),
        started: Timestamp(0),
        domain: DomainPath::default(),
        host: None,
    };
    (name, server)
}

/// Servers on machines of their own.
fn servers(count: usize) -> BTreeMap<ServerId, Server> {
    (0..count).map(|n| server(&format!("s{n}"), &format!("10.99.0.{n}:7443"))).collect()
}

fn form() -> Observe {
    Observe { generation: Generation(7), ..Observe::default() }
}
