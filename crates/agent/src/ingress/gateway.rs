//! The API on the ingress: connections to this host's virtual addresses at the API's port are
//! passed on, untouched, to any server that answers. TLS is the server's own.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use api::id::{AppName, EnvironmentName, InstanceId, ReleaseNumber};
use api::ingress::{Backend, BackendRef, Endpoint, IngressTable, TcpListen, TcpRoute};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::supervisor::Ingress;
use crate::link::Servers;

/// The name of the route and of its backend.
const NAME: &str = "freehold/api";

/// How long a connection may be silent: event streams send a sign of life every ten seconds.
const IDLE_MS: u64 = 600_000;

/// How often servers' names are looked up again, and how long that may take.
const LOOK_UP_EVERY: Duration = Duration::from_secs(30);
const LOOK_UP_WITHIN: Duration = Duration::from_secs(5);

/// What is passed on to servers, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gateway {
    /// The port of the API.
    pub port: u16,
    /// The addresses it is served at, which need not be this host's at the moment.
    pub listen: BTreeSet<IpAddr>,
    /// The servers.
    pub servers: BTreeSet<SocketAddr>,
}

impl Gateway {
    /// Adds the route to servers to a table, unless an app has the port.
    pub(super) fn add_to(&self, table: &mut IngressTable) {
        if self.listen.is_empty() || self.servers.is_empty() {
            return;
        }
        let listen = TcpListen::Port(self.port);
        if table.tcp.iter().any(|route| route.listen == listen) {
            return tracing::error!(self.port, "an app's route has the port of the API");
        }
        let (Ok(app), Ok(environment)) = (AppName::new("freehold"), EnvironmentName::new("api"))
        else {
            return;
        };
        let endpoint = |(number, address): (usize, &SocketAddr)| {
            let instance = InstanceId::new(format!("server-{}", number + 1)).ok()?;
            let release = ReleaseNumber(1);
            Some(Endpoint { instance, release, address: *address, weight: 1 })
        };
        let endpoints = self.servers.iter().enumerate().filter_map(endpoint).collect();
        table.backends.push(Backend { name: NAME.to_owned(), endpoints });
        table.tcp.push(TcpRoute {
            name: NAME.to_owned(),
            listen,
            sni: Vec::new(),
            app,
            environment,
            backends: vec![BackendRef { backend: NAME.to_owned(), weight: 1 }],
            proxy_protocol: false,
            idle_timeout_ms: IDLE_MS,
        });
    }
}

/// Where the API is served beside virtual addresses, and its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatewayOptions {
    /// The port.
    pub port: u16,
    /// An address of this host, where no server of its own serves there.
    pub address: Option<IpAddr>,
}

/// Keeps the ingress' gateway as the servers and virtual addresses are, until dropped.
pub async fn keep_gateway(
    options: GatewayOptions,
    mut servers: watch::Receiver<Servers>,
    mut vips: watch::Receiver<BTreeSet<IpAddr>>,
    ingress: Arc<Ingress>,
) {
    let mut found: BTreeSet<SocketAddr> = BTreeSet::new();
    loop {
        let all = servers.borrow_and_update().all();
        let mut listen = vips.borrow_and_update().clone();
        listen.extend(options.address);
        if let Some(everywhere) = listen.iter().find(|address| address.is_unspecified()).copied() {
            listen = BTreeSet::from([everywhere]);
        }
        // A gateway to itself would turn in circles.
        let own = |at: &SocketAddr| at.port() == options.port && listen.contains(&at.ip());
        let mut now = look_up(&all).await;
        now.retain(|at| !own(at));
        if !now.is_empty() {
            found = now;
        }
        ingress.set_gateway(Gateway { port: options.port, listen, servers: found.clone() });
        // Each only waits.
        tokio::select! {
            Ok(()) = servers.changed() => {}
            Ok(()) = vips.changed() => {}
            () = sleep(LOOK_UP_EVERY) => {}
        }
    }
}

/// The addresses of servers given as `HOST:PORT`; those whose name is not found are left out.
async fn look_up(servers: &[String]) -> BTreeSet<SocketAddr> {
    let mut found = BTreeSet::new();
    for server in servers {
        if let Ok(address) = server.parse() {
            found.insert(address);
            continue;
        }
        match timeout(LOOK_UP_WITHIN, tokio::net::lookup_host(server)).await {
            Ok(Ok(addresses)) => found.extend(addresses),
            Ok(Err(error)) => tracing::warn!(server, %error, "look a server's name up"),
            Err(_) => tracing::warn!(server, "look a server's name up: no answer in time"),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway() -> Gateway {
        Gateway {
            port: 7443,
            listen: BTreeSet::from(["192.0.2.100".parse().unwrap()]),
            servers: ["192.0.2.1:7443", "192.0.2.2:7443"].map(|at| at.parse().unwrap()).into(),
        }
    }

    #[test]
    fn a_table_leads_to_all_servers() {
        let mut table = IngressTable::default();
        gateway().add_to(&mut table);
        let [route] = table.tcp.as_slice() else { panic!("{table:?}") };
        assert_eq!(route.listen, TcpListen::Port(7443));
        let at: Vec<String> =
            table.backends[0].endpoints.iter().map(|e| e.address.to_string()).collect();
        assert_eq!(at, ["192.0.2.1:7443", "192.0.2.2:7443"]);
        // The proxy takes it.
        proxy::decide::table::compile(table).unwrap();
    }

    #[test]
    fn an_app_keeps_its_port_and_nothing_leads_nowhere() {
        let mut table = IngressTable::default();
        gateway().add_to(&mut table);
        let before = table.clone();
        gateway().add_to(&mut table);
        assert_eq!(table, before);
        let mut table = IngressTable::default();
        Gateway { servers: BTreeSet::new(), ..gateway() }.add_to(&mut table);
        Gateway { listen: BTreeSet::new(), ..gateway() }.add_to(&mut table);
        assert_eq!(table, IngressTable::default());
    }

    #[tokio::test]
    async fn names_are_looked_up_and_unknown_ones_left_out() {
        let all = ["192.0.2.1:7443".into(), "localhost:1".into(), "nobody.invalid:1".into()];
        let found = look_up(&all).await;
        assert!(found.contains(&"192.0.2.1:7443".parse().unwrap()), "{found:?}");
        assert!(found.iter().any(|at| at.ip().is_loopback() && at.port() == 1), "{found:?}");
    }
}
