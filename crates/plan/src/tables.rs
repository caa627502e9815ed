//! The tables that follow from a snapshot: services and addresses for hosts, routes for the
//! ingress. An instance is in them when it is to run and is healthy. Generations are the caller's.

use std::collections::BTreeSet;
use std::net::{SocketAddr, SocketAddrV4};

use api::assignment::{Entry, Wanted};
use api::host::Host;
use api::id::{AppName, EnvironmentName, Generation, HostId, InstanceId};
use api::ingress::{Backend, BackendRef, Certificate, Endpoint, IngressTable, Route};
use api::ingress::{TcpListen, TcpRoute};
use api::manifest::{Protocol, Spec};
use api::network::{HostRoute, InstanceAddress, NetworkTable, Service};
use api::status::InstanceState;

use crate::snapshot::{Place, Snapshot};

/// The tables for one state of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    /// For every host.
    pub network: NetworkTable,
    /// For hosts that serve the ingress.
    pub ingress: IngressTable,
    /// The instances that are in them as ones to send traffic to.
    pub serving: BTreeSet<InstanceId>,
}

/// Makes the tables with generation 0 and no certificates.
#[must_use]
pub fn tables(snapshot: &Snapshot) -> Tables {
    let mut tables = Tables {
        network: NetworkTable::default(),
        ingress: IngressTable::default(),
        serving: BTreeSet::new(),
    };
    tables.network.hosts = hosts(snapshot);
    for (host, entry) in snapshot.entries() {
        // Who speaks to these is reset: nobody answers there.
        if snapshot.is_down(host) || snapshot.suspects.contains(host) {
            continue;
        }
        tables.network.instances.push(InstanceAddress {
            instance: entry.instance.clone(),
            app: entry.app.clone(),
            environment: entry.environment.clone(),
            address: entry.address,
        });
    }
    tables.network.instances.sort_unstable_by(|a, b| a.instance.cmp(&b.instance));
    let mut by_place = std::collections::BTreeMap::<Place, Vec<(&Entry, u16)>>::new();
    for (host, entry) in snapshot.entries() {
        let place = (entry.environment.clone(), entry.app.clone());
        let Some(spec) = snapshot.spec(&place, entry.release) else { continue };
        if !serves(snapshot, host, entry) {
            continue;
        }
        // One without a port takes no traffic; it is in service as soon as it is healthy.
        tables.serving.insert(entry.instance.clone());
        if let Some(port) = spec.process.port {
            by_place.entry(place).or_default().push((entry, port));
        }
    }
    for (place, deployment) in &snapshot.deployments {
        let shown = deployment.wanted_release().unwrap_or(deployment.release);
        let Some(spec) = snapshot.spec(place, shown) else { continue };
        let Some(port) = spec.process.port else { continue };
        let serving = by_place.get(place).map(Vec::as_slice).unwrap_or_default();
        if let Some(address) = snapshot.services.get(place) {
            let mut endpoints: Vec<SocketAddrV4> =
                serving.iter().map(|(e, port)| SocketAddrV4::new(e.address, *port)).collect();
            endpoints.sort_unstable();
            tables.network.services.push(Service {
                app: place.1.clone(),
                environment: place.0.clone(),
                address: *address,
                port,
                endpoints,
            });
        }
        let owned = |route: &str| owner(snapshot, &place.1, route) == Some(&place.0);
        routes(place, spec, serving, owned, &mut tables.ingress);
    }
    tables
}

/// The ways to all hosts that are not taken for dead. One table serves all: each host leaves itself
/// out.
fn hosts(snapshot: &Snapshot) -> Vec<HostRoute> {
    let alive = snapshot.hosts.values().filter(|host| !host.is_down());
    let route = |host: &Host| HostRoute {
        host: host.name.clone(),
        address: host.address,
        subnet: host.subnet,
    };
    alive.map(route).collect()
}

/// The environment that a route of an app leads to. Several may name the same one (a manifest that
/// does not override its routes): it leads to the last of the pipeline in which the app was ever
/// completely rolled out, so that a promotion takes it over when it is done, and an outage never
/// gives it back.
#[must_use]
pub fn owner<'a>(
    snapshot: &'a Snapshot,
    app: &AppName,
    route: &str,
) -> Option<&'a EnvironmentName> {
    let rivals = snapshot.environments.values().filter_map(|environment| {
        let place = (environment.name.clone(), app.clone());
        let deployment = snapshot.deployments.get(&place)?;
        let shown = deployment.wanted_release().unwrap_or(deployment.release);
        let named = names(snapshot.spec(&place, shown)?).any(|name| name == route);
        named.then_some((environment, deployment.last_good.is_some()))
    });
    let owner = rivals.max_by_key(|(environment, was_complete)| (*was_complete, environment.order));
    owner.map(|(environment, _)| &environment.name)
}

/// The routes that a spec names, as `owner` and `route_name` call them.
fn names(spec: &Spec) -> impl Iterator<Item = String> + '_ {
    let hosts = spec.routes.hosts.iter().map(ToString::to_string);
    hosts.chain(spec.routes.tcp.iter().map(|port| format!("tcp/{port}")))
}

/// Whether traffic is to be sent to an instance.
fn serves(snapshot: &Snapshot, host: &HostId, entry: &Entry) -> bool {
    let status = snapshot.instance_status(host, &entry.instance);
    entry.wanted == Wanted::Run
        && !snapshot.is_down(host)
        && !snapshot.suspects.contains(host)
        && status.is_some_and(|status| status.state == InstanceState::Healthy)
}

/// Adds an app's routes with their backend.
fn routes(
    place: &Place,
    spec: &Spec,
    serving: &[(&Entry, u16)],
    owned: impl Fn(&str) -> bool,
    table: &mut IngressTable,
) {
    if !names(spec).any(|name| owned(&name)) {
        return;
    }
    let (environment, app) = (place.0.clone(), place.1.clone());
    let backend = format!("{environment}/{app}");
    let mut endpoints: Vec<Endpoint> = serving
        .iter()
        .map(|(entry, port)| Endpoint {
            instance: entry.instance.clone(),
            release: entry.release,
            address: SocketAddr::new(entry.address.into(), *port),
            weight: 1,
        })
        .collect();
    endpoints.sort_unstable_by(|a, b| a.instance.cmp(&b.instance));
    table.backends.push(Backend { name: backend.clone(), endpoints });
    let backends = vec![BackendRef { backend: backend.clone(), weight: 1 }];
    for route in spec.routes.hosts.iter().filter(|route| owned(&route.to_string())) {
        table.routes.push(Route {
            name: route_name(&environment, &app, &route.to_string()),
            host: route.host.clone(),
            path: route.path.clone(),
            app: app.clone(),
            environment: environment.clone(),
            backends: backends.clone(),
            protocol: match spec.process.protocol {
                Protocol::H2c => api::ingress::Protocol::H2c,
                Protocol::Http | Protocol::Tcp => api::ingress::Protocol::Http1,
            },
            redirect_to_https: spec.routes.redirect_https,
            response_timeout_ms: spec.routes.timeout.0,
            idle_timeout_ms: IDLE_TIMEOUT_MS,
            max_body_bytes: Some(spec.routes.max_body.0),
        });
    }
    for port in spec.routes.tcp.iter().filter(|port| owned(&format!("tcp/{port}"))) {
        table.tcp.push(TcpRoute {
            name: route_name(&environment, &app, &format!("tcp/{port}")),
            listen: TcpListen::Port(*port),
            sni: Vec::new(),
            app: app.clone(),
            environment: environment.clone(),
            backends: backends.clone(),
            proxy_protocol: false,
            idle_timeout_ms: TCP_IDLE_TIMEOUT_MS,
        });
    }
}

/// The name of a route in the ingress table, by which its traffic is counted.
#[must_use]
pub fn route_name(environment: &EnvironmentName, app: &AppName, route: &str) -> String {
    format!("{environment}/{app}/{route}")
}

/// How long a body may stand still: nginx's and HAProxy's usual minute.
const IDLE_TIMEOUT_MS: u64 = 60_000;

/// How long a TCP connection may be silent: an hour, so that pools of database connections live.
const TCP_IDLE_TIMEOUT_MS: u64 = 3_600_000;

/// Gives the tables their generation and the ingress its certificates.
pub fn finish(tables: &mut Tables, generation: Generation, certificates: Vec<Certificate>) {
    tables.network.generation = generation;
    tables.ingress.generation = generation;
    tables.ingress.certificates = certificates;
}

#[cfg(test)]
mod tests;
