//! Our proxy as an agent runs it: its process, the listening socket and the table over its control
//! socket, with everything on: access log, metrics, forwarded headers, limits, a thousand routes.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use api::id::{AppName, EnvironmentName, Generation, InstanceId, ReleaseNumber};
use api::ingress::{Backend, BackendRef, Certificate, Endpoint, IngressTable, Protocol, Route};
use proxy::control::{Client, ListenerRole};

use super::peers::Proxy;
use super::place::Place;
use crate::machine::Running;
use crate::outside::DOMAIN;
use crate::setting::READY_WITHIN;

/// Routes of the table beside the one that is asked for.
const OTHER_ROUTES: u16 = 999;

/// Starts it.
pub(crate) fn start_ours(place: &Place<'_>) -> Result<Proxy> {
    let setting = place.setting;
    let control = setting.scratch.join("proxy.sock");
    let mut command = place.proxy(&setting.order.freehold);
    command.arg("proxy").arg("--control").arg(&control);
    command.arg("--access-log").arg(setting.scratch.join("access.log"));
    let mut running = Running::start(&mut command, "freehold", &setting.scratch)?;
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen")?;
    let port = socket.local_addr().context("listen")?.port();
    let table = table(place)?;
    let role = if place.tls.is_some() { ListenerRole::Https } else { ListenerRole::Http };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("start a runtime")?;
    let connect = |_: &Running| runtime.block_on(Client::connect(&control)).ok();
    let (mut client, _) = running.until("its control socket", READY_WITHIN, connect)?;
    runtime.block_on(async {
        client.table(table).await.context("give the table")?;
        client.listen(&[(role, socket.as_fd())]).await.context("give the socket")
    })?;
    Ok(Proxy { name: "freehold", port, running, _socket: Some(socket) })
}

fn table(place: &Place<'_>) -> Result<IngressTable> {
    let mut table = IngressTable { generation: Generation(1), ..IngressTable::default() };
    add(&mut table, "www", place.instance.into())?;
    for number in 0..OTHER_ROUTES {
        // Nobody is sent there: the names are never asked for.
        add(&mut table, &format!("app{number}"), (Ipv4Addr::LOCALHOST, 10_000 + number).into())?;
    }
    if let Some(tls) = &place.tls {
        table.certificates.push(Certificate {
            hosts: vec![DOMAIN.to_owned(), format!("*.{DOMAIN}")],
            cert_chain_pem: std::fs::read_to_string(&tls.chain).context("read a certificate")?,
            key_pem: std::fs::read_to_string(&tls.key).context("read a key")?,
        });
    }
    Ok(table)
}

/// Adds an app with one instance under a name.
fn add(table: &mut IngressTable, name: &str, address: SocketAddr) -> Result<()> {
    let (app, environment) = (AppName::new(name)?, EnvironmentName::new("production")?);
    let instance = InstanceId::compose(&app, &environment, address.port().into());
    table.backends.push(Backend {
        name: name.to_owned(),
        endpoints: vec![Endpoint { instance, release: ReleaseNumber(1), address, weight: 1 }],
    });
    table.routes.push(Route {
        name: name.to_owned(),
        host: format!("{name}.{DOMAIN}"),
        path: "/".to_owned(),
        app,
        environment,
        backends: vec![BackendRef { backend: name.to_owned(), weight: 1 }],
        protocol: Protocol::Http1,
        redirect_to_https: false,
        response_timeout_ms: 60_000,
        idle_timeout_ms: 60_000,
        max_body_bytes: Some(1 << 30),
    });
    Ok(())
}
