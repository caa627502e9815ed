//! A server's core with its controllers and streams, without a disk of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::error::ApiError;
use api::id::{EnvironmentName, ServerId};
use api::operation::EnvironmentRequest;
use api::registry::Registry;
use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use clock::Clock;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use pki::{Keyring, PeerIdentity};
use probe::Sockets;
use server::control::{self, Driver, Lead};
use server::core::{
    Agents, Cache, Core, Election, Events, Found, ImageSource, Planning, Resolver, Servers,
    write_events,
};
use server::peer::{self, PeerDialer, Reach, Wire};
use store::Store;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::far_store::FarStore;
use super::host::Dial;
use super::pipe::Pipe;
use super::place::Place;
use super::shape::Shape;
use super::wire::Socket;

/// A pause before the store is asked again that was not there at the start.
const AGAIN: Duration = Duration::from_millis(500);

/// Pings on agents' connections, as the API's listener sends them.
const PING_EVERY: Duration = Duration::from_secs(10);
const PONG_WITHIN: Duration = Duration::from_secs(5);

/// A connection that comes in, whose it is and whence.
pub(super) type Came = (Pipe, PeerIdentity, SocketAddr);

/// Where the world finds a server's core.
pub(super) type Seat = Arc<Mutex<Option<Arc<Core>>>>;

/// Knows every image.
struct AllImages;

#[async_trait]
impl ImageSource for AllImages {
    async fn resolve(
        &self,
        _: Option<&Registry>,
        reference: &image::Reference,
    ) -> Result<Option<Found>, ApiError> {
        let digest = image::Digest::of(reference.wanted().as_bytes()).to_string();
        Ok(Some(Found { digest: digest.parse().expect("a digest"), hold: None }))
    }
}

#[async_trait]
impl Reach for Dial {
    async fn reach(&self, _: &ServerId, address: &str) -> std::io::Result<Option<Box<dyn Wire>>> {
        Ok(Some(Box::new(self.dial(address).await?)))
    }
}

/// The node's socket, once.
struct OneSocket(Mutex<Option<Socket>>);

#[async_trait]
impl Sockets for OneSocket {
    async fn open(&self) -> std::io::Result<Box<dyn probe::Wire>> {
        let socket = self.0.lock().take();
        let gone = std::io::ErrorKind::AddrInUse;
        Ok(Box::new(socket.ok_or_else(|| std::io::Error::from(gone))?))
    }
}

/// Runs a server until the node's end.
pub(super) async fn run(
    shape: Shape,
    at: usize,
    keyring: Arc<Keyring>,
    clock: Clock,
    (place, socket): (Place, Socket),
    seat: Seat,
    mut came: mpsc::Receiver<Came>,
) {
    let store: Arc<dyn Store> = Arc::new(FarStore::new(place.clone()));
    let cache = loop {
        match Cache::open(store.as_ref()).await {
            Ok(cache) => break cache,
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    };
    let name = shape.server_name(at);
    let (events, queue) = Events::new(name.as_str());
    let images = Arc::new(AllImages);
    let core = Arc::new(Core {
        cluster: "sim".into(),
        instance_range: "10.128.0.0/10".parse().expect("a range"),
        service_range: "10.127.0.0/16".parse().expect("a range"),
        https_port: None,
        clock,
        store: store.clone(),
        cache,
        agents: Agents::default(),
        servers: Servers::new(name, shape.served_at(at)),
        events,
        keyring,
        driver: Driver::on_one_thread(),
        resolver: Resolver { own: images.clone(), others: images, own_names: Vec::new() },
        planning: Mutex::new(Planning::default()),
    });
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    tasks.spawn(core.cache.clone().run(store.clone(), stop.clone()));
    tasks.spawn(write_events(queue, store, stop.clone()));
    while let Err(error) = begin(&core).await {
        tracing::debug!(%error, "begin");
        tokio::time::sleep(AGAIN).await;
    }
    control::start(&core, Arc::new(OneSocket(Mutex::new(Some(socket)))), &tasks, &stop);
    let dialer = PeerDialer::over(Arc::new(Dial(place)));
    tasks.spawn(peer::run(core.clone(), dialer, stop.clone()));
    tasks.spawn(control::lead(core.clone(), Lead::Elected(Election::default()), stop.clone()));
    *seat.lock() = Some(core.clone());
    let router = server::link::router(core.clone()).merge(peer::router(core));
    while let Some((pipe, peer, from)) = came.recv().await {
        tokio::spawn(serve(pipe, peer, from, router.clone()));
    }
}

/// The first documents.
async fn begin(core: &Core) -> Result<(), ApiError> {
    if core.view().environments.is_empty() {
        let name = EnvironmentName::new("production").expect("a plain name");
        let request = EnvironmentRequest { order: 1, host_labels: BTreeMap::new() };
        match core.put_environment(&name, request).await {
            // Another server was first.
            Err(error) if error.code == api::error::ErrorCode::Conflict => {}
            other => _ = other?,
        }
    }
    core.introduce().await
}

/// Serves one connection to its end.
async fn serve(pipe: Pipe, peer: PeerIdentity, from: SocketAddr, router: Router) {
    let service = tower::service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(from));
        request.extensions_mut().insert(peer.clone());
        router.clone().oneshot(request.map(Body::new))
    });
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new());
    builder.keep_alive_interval(PING_EVERY).keep_alive_timeout(PONG_WITHIN);
    let service = TowerToHyperService::new(service);
    if let Err(error) = builder.serve_connection(TokioIo::new(pipe), service).await {
        tracing::debug!(%error, "a connection ended");
    }
}
