//! A server of its own for each test.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use api::digest::Digest;
use api::environment::Environment;
use api::error::ApiError;
use api::event::Event;
use api::id::{EnvironmentName, TeamName};
use api::operation::TokenRequest;
use api::protocol::SecretValue;
use api::token::Role;
use async_trait::async_trait;
use bytes::Bytes;
use client::{Client, Config};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use image::Reference;
use jiff::SignedDuration;
use parking_lot::Mutex;
use pki::{CertificateAuthority, ClientTls, Keyring, ServerNames, SwappableIdentity};
use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;
use server::Trust;
use server::core::{
    Agents, Cache, Change, Core, EventQueue, Events, Found, ImageSource, Planning, Resolver,
    Servers,
};
use server::http::{Serving, serve};
use server::oci::{self, Registry};
use store::{MemoryStore, Store};
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

/// Finds every image, with the digest it names or this one.
pub(crate) struct AnyImage;

pub(crate) const DIGEST: &str =
    "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[async_trait]
impl ImageSource for AnyImage {
    async fn resolve(
        &self,
        _: Option<&api::registry::Registry>,
        reference: &Reference,
    ) -> Result<Option<Found>, ApiError> {
        let digest = reference.digest().map_or(DIGEST.to_owned(), |digest| digest.to_string());
        Ok(Some(Found { digest: digest.parse().unwrap(), hold: None }))
    }
}

/// A cluster's trust and state, which several servers may share.
pub(crate) struct Cluster {
    pub(crate) authority: CertificateAuthority,
    pub(crate) clock: Arc<TestClock>,
    trust: Arc<Trust>,
    pub(crate) store: Arc<dyn Store>,
    directory: tempfile::TempDir,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self::on(Vec::new())
    }

    /// A cluster with its state on these etcd endpoints, as far as joiners are told.
    pub(crate) fn on(etcd: Vec<String>) -> Self {
        pki::install_provider();
        let authority = CertificateAuthority::create("test", jiff::Timestamp::now()).unwrap();
        let (pem, key) = authority.export();
        let clock = Arc::new(TestClock(AtomicI64::new(0)));
        let signs = Some(CertificateAuthority::import(&pem, &key).unwrap());
        let trust = Trust::new(authority.bundle(), signs, clock.clone(), etcd.into());
        let trust = Arc::new(trust.unwrap());
        Self {
            authority,
            clock,
            trust,
            store: Arc::new(MemoryStore::new()),
            directory: tempfile::tempdir().unwrap(),
        }
    }
}

/// The machine's clock, moved by seconds.
#[derive(Debug)]
pub(crate) struct TestClock(AtomicI64);

impl TestClock {
    pub(crate) fn pass(&self, span: SignedDuration) {
        self.0.fetch_add(span.as_secs(), Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> jiff::Timestamp {
        let by = SignedDuration::from_secs(self.0.load(Ordering::Relaxed));
        jiff::Timestamp::now() + by
    }
}

impl TimeProvider for TestClock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.now().as_second()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// A server and its admin.
pub(crate) struct World {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) core: Arc<Core>,
    events: Mutex<EventQueue>,
    _registry: Arc<Registry>,
    pub(crate) address: SocketAddr,
    pub(crate) identity: Arc<SwappableIdentity>,
    pub(crate) admin: String,
    pub(crate) stop: CancellationToken,
    pub(crate) served: Option<tokio::task::JoinHandle<()>>,
    _inner: tokio_util::sync::DropGuard,
    _stop: tokio_util::sync::DropGuard,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn error(&self) -> ApiError {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{} {:?}: {e}", self.status, self.body))
    }

    pub(crate) fn revision(&self) -> u64 {
        self.headers["freehold-revision"].to_str().unwrap().parse().unwrap()
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::of(Arc::new(Cluster::new())).await
    }

    /// One more server of a cluster.
    pub(crate) async fn of(cluster: Arc<Cluster>) -> Self {
        let store = cluster.store.clone();
        let own = tempfile::TempDir::new_in(cluster.directory.path()).unwrap().keep();
        let keyring = Keyring::load_or_create(&own.join("master.key")).unwrap();
        let registry = Registry::open(own.join("registry"), oci::Options::default()).unwrap();
        let registry = Arc::new(registry);
        let (events, queue) = Events::new("one");
        let inner = CancellationToken::new();
        let core = Arc::new(Core {
            clock: clock::Clock::system(),
            cluster: "test".into(),
            instance_range: "10.128.0.0/16".parse().unwrap(),
            service_range: "10.128.192.0/18".parse().unwrap(),
            https_port: None,
            cache: Cache::open(store.as_ref()).await.unwrap(),
            store: store.clone(),
            agents: Agents::default(),
            servers: Servers::new("one".parse().unwrap(), "127.0.0.1:1"),
            events,
            keyring: Arc::new(keyring),
            driver: server::control::Driver::default(),
            resolver: Resolver {
                own: Arc::new(AnyImage),
                others: Arc::new(AnyImage),
                own_names: Vec::new(),
            },
            planning: Mutex::new(Planning::default()),
        });
        tokio::spawn(core.cache.clone().run(store, inner.clone()));
        if core.view().environments.is_empty() {
            let mut change = Change::new();
            for (name, order) in [("staging", 1), ("production", 2)] {
                let name = EnvironmentName::new(name).unwrap();
                let host_labels = BTreeMap::new();
                change =
                    change.create(&Environment { name, order, host_labels, created: core.now() });
            }
            core.commit(change).await.unwrap();
        }
        let admin = token(&core, Role::Admin, None).await;
        let stop = CancellationToken::new();
        let (address, identity, served) = Self::listen(&cluster, &core, &registry, &stop).await;
        Self {
            cluster,
            core,
            events: Mutex::new(queue),
            _registry: registry,
            address,
            identity,
            admin,
            served: Some(served),
            _inner: inner.drop_guard(),
            _stop: stop.clone().drop_guard(),
            stop,
        }
    }

    async fn listen(
        cluster: &Cluster,
        core: &Arc<Core>,
        registry: &Arc<Registry>,
        stop: &CancellationToken,
    ) -> (SocketAddr, Arc<SwappableIdentity>, tokio::task::JoinHandle<()>) {
        let names = ServerNames {
            dns: vec!["localhost".into()],
            addresses: vec!["127.0.0.1".parse().unwrap()],
        };
        let identity = cluster.authority.issue_server("one", &names, cluster.clock.now()).unwrap();
        let identity = identity.with_authorities(cluster.authority.bundle()).unwrap();
        let identity = SwappableIdentity::new(&identity).unwrap();
        let serving = Serving {
            identity: identity.clone(),
            trust: cluster.trust.clone(),
            registry: registry.clone(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = tokio::spawn(serve(core.clone(), listener, serving, stop.clone()));
        (address, identity, served)
    }

    pub(crate) fn client_with(&self, token: Option<&str>) -> Client {
        Client::new(&Config {
            addresses: vec![self.address.to_string()],
            token: token.map(|token| SecretValue(token.to_owned())),
            ca_pem: Some(self.cluster.authority.bundle().to_pem()),
        })
        .unwrap()
    }

    /// What was recorded since this was asked last.
    pub(crate) fn told(&self) -> Vec<Event> {
        let mut queue = self.events.lock();
        std::iter::from_fn(|| queue.take()).collect()
    }

    /// The admin's client.
    pub(crate) fn client(&self) -> Client {
        self.client_with(Some(&self.admin))
    }

    pub(crate) async fn token(&self, role: Role, team: Option<&str>) -> String {
        token(&self.core, role, team).await
    }

    /// A team that exists.
    pub(crate) async fn team(&self, name: &str) {
        let request =
            api::operation::TeamRequest { name: name.parse().unwrap(), description: "".into() };
        self.core.create_team(request).await.unwrap();
    }

    /// One request on a connection of its own, byte for byte.
    pub(crate) async fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let request = self.request(method, path, headers, body.into());
        let response = self.connection(None).await.send_request(request).await.unwrap();
        whole(response).await
    }

    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Request<Full<Bytes>> {
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(path)
            .header("host", self.address.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Full::new(body)).unwrap()
    }

    /// A connection of HTTP/1.1, with a client's certificate or without.
    pub(crate) async fn connection(
        &self,
        identity: Option<Arc<SwappableIdentity>>,
    ) -> hyper::client::conn::http1::SendRequest<Full<Bytes>> {
        let tls = pki::client_tls(&ClientTls {
            authorities: self.cluster.authority.bundle(),
            identity,
            alpn: &[b"http/1.1"],
            time: None,
        });
        let connector = TlsConnector::from(Arc::new(tls.unwrap()));
        let tcp = tokio::net::TcpStream::connect(self.address).await.unwrap();
        let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
        let stream = connector.connect(name, tcp).await.unwrap();
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }
}

pub(crate) async fn whole(response: http::Response<hyper::body::Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status, headers: parts.headers, body }
}

async fn token(core: &Core, role: Role, team: Option<&str>) -> String {
    let team = team.map(|team| TeamName::new(team).unwrap());
    let name = format!("{role:?}").to_lowercase();
    let request = TokenRequest { name, role, team, expires_in: None };
    core.create_token(request).await.unwrap().secret.0
}

pub(crate) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// A manifest of `shop`, team retail, as JSON.
pub(crate) fn manifest() -> serde_json::Map<String, serde_json::Value> {
    serde_json::json!({
        "app": "shop",
        "team": "retail",
        "image": "retail/shop:1",
        "process": { "port": 8080 },
        "resources": { "cpu": "100m", "memory": "64MiB" },
        "scale": { "instances": 1 },
        "health": { "http": "/healthz" },
        "on": {
            "staging": { "routes": { "hosts": ["shop.staging.example.com"] } },
            "production": { "routes": { "hosts": ["shop.example.com"] } },
        },
    })
    .as_object()
    .unwrap()
    .clone()
}

pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    use sha2::Digest as _;
    let hex = data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(bytes));
    format!("sha256:{hex}").parse().unwrap()
}
