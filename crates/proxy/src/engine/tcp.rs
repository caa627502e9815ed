//! TCP routes: a port, or server names on a TLS port, passed on to an instance.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use api::ingress::TcpListen;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::ClientState;
use super::endpoint::Endpoint;
use super::io::{Prefixed, UpstreamIo};
use super::local::Local;
use super::log_line;
use super::ticket::Lease;
use super::tunnel::{Relayed, relay};
use super::upstream::dial;
use crate::decide::eject::Outcome;
use crate::decide::hello::{self, Hello};
use crate::decide::proxy_protocol;
use crate::decide::retry::MAX_ATTEMPTS;

/// Serves a connection of a TCP port. Without a route it is closed.
pub(crate) async fn serve(client: Rc<ClientState>, stream: TcpStream, port: u16) {
    let local = Rc::clone(&client.worker.local.borrow());
    let Some(matcher) = local.compiled.tcp.get(&TcpListen::Port(port)) else {
        client.worker.count_bad();
        return;
    };
    let mut stream = Prefixed { prefix: Bytes::new(), stream };
    let mut name = None;
    if matcher.needs_name() {
        match tokio::time::timeout(client.worker.head_timeout, read_hello(&mut stream)).await {
            Ok(Ok(found)) => name = found,
            _ => {
                client.worker.count_bad();
                return;
            }
        }
    }
    match matcher.find(name.as_deref()) {
        Some(route) => pass(&client, &local, route, stream).await,
        None => client.worker.count_bad(),
    }
}

/// Reads until the TLS hello is whole or it is none, and puts the bytes back. Returns the server
/// name, if there is one.
pub(crate) async fn read_hello(stream: &mut Prefixed) -> io::Result<Option<String>> {
    let mut bytes = BytesMut::with_capacity(2048);
    loop {
        if stream.stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let name = match hello::read(&bytes) {
            Hello::Partial => continue,
            Hello::Complete(name) => name,
            Hello::NotTls => None,
        };
        stream.prefix = bytes.freeze();
        return Ok(name);
    }
}

/// Connects to an instance and relays.
pub(crate) async fn pass(
    client: &Rc<ClientState>,
    local: &Rc<Local>,
    index: usize,
    stream: Prefixed,
) {
    let started = Instant::now();
    let route = &local.compiled.table.tcp[index];
    let stats = &local.tcp[index];
    let worker = &client.worker;
    stats.in_flight.set(stats.in_flight.get() + 1);
    client.begin();
    let mut tried: Vec<Rc<Endpoint>> = Vec::new();
    let mut reached = None;
    while tried.len() < MAX_ATTEMPTS as usize {
        let groups = &local.compiled.tcp_groups[index];
        let Some(endpoint) = local.choose(worker, groups, &tried) else { break };
        let lease = Lease::new(Rc::clone(&endpoint));
        match dial(&endpoint).await {
            Ok(socket) => {
                endpoint.note(Outcome::Answered, worker.clock.coarse_ms());
                reached = Some((lease, UpstreamIo { socket }));
                break;
            }
            Err(_) => {
                endpoint.note(Outcome::Unreachable, worker.clock.now_ms());
                tried.push(endpoint);
            }
        }
    }
    let retries = u32::try_from(tried.len()).expect("at most MAX_ATTEMPTS");
    let (lease, relayed) = match reached {
        Some((lease, io)) => {
            let relayed = join(client, stream, io, route).await;
            (Some(lease), relayed)
        }
        None => (None, None),
    };
    let us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    let mut counters = vec![&stats.counters];
    counters.extend(lease.as_ref().map(|lease| &lease.endpoint.counters));
    for counters in counters {
        let mut counters = counters.borrow_mut();
        counters.by_class[if relayed.is_some() { 1 } else { 4 }] += 1;
        counters.errors += u64::from(relayed.is_none());
        counters.retries += u64::from(retries);
        counters.bytes_in += relayed.map_or(0, |relayed| relayed.from_client);
        counters.bytes_out += relayed.map_or(0, |relayed| relayed.from_instance);
        counters.latency.observe(us);
    }
    stats.in_flight.set(stats.in_flight.get() - 1);
    let endpoint = lease.as_ref().map(|lease| &*lease.endpoint);
    worker.log.line(|out| {
        let line = log_line::Tcp { client, route, endpoint, relayed, retries, us };
        log_line::tcp(out, &line);
    });
    client.end();
}

async fn join(
    client: &Rc<ClientState>,
    mut stream: Prefixed,
    mut io: UpstreamIo,
    route: &api::ingress::TcpRoute,
) -> Option<Relayed> {
    if route.proxy_protocol {
        let local = stream.stream.local_addr().ok()?;
        io.write_all(&proxy_protocol::header(client.address, local)).await.ok()?;
    }
    let early = std::mem::take(&mut stream.prefix);
    let idle = Duration::from_millis(route.idle_timeout_ms);
    Some(relay(stream, early, io, Bytes::new(), idle, client).await)
}
