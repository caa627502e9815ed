//! A proxy process and the agent's side of it.

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use api::id::{Generation, ReleaseNumber};
use api::ingress::{
    Backend, BackendRef, Certificate, Endpoint, IngressTable, Protocol, Route, TcpListen, TcpRoute,
};
use proxy::control::{Client, ClientError, ListenerRole};
use proxy::{AccessLog, Options};

/// How long anything here may take before a test fails for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A proxy process.
#[derive(Debug)]
pub(crate) struct ProxyProcess {
    pub(crate) child: Child,
    pub(crate) control: PathBuf,
}

impl ProxyProcess {
    /// Starts one whose control socket and access log are in `dir` under `name`.
    pub(crate) fn start(dir: &Path, name: &str) -> Self {
        let control = dir.join(format!("{name}.sock"));
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["role", "--exact", "--nocapture"])
            .env("PROXY_TEST_ROLE", "proxy")
            .env("PROXY_TEST_CONTROL", &control)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, control }
    }

    pub(crate) async fn connect(&self) -> Client {
        connect(&self.control).await
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its own end; whether it was a good one.
    pub(crate) async fn ended(&mut self) -> bool {
        let status = eventually("the proxy ends", || self.child.try_wait().unwrap()).await;
        status.success()
    }
}

impl Drop for ProxyProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn proxy_main() {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let control = PathBuf::from(std::env::var("PROXY_TEST_CONTROL").unwrap());
    let mut options = Options::new(control.clone());
    options.workers = NonZeroUsize::new(2);
    options.head_timeout = Duration::from_millis(400);
    options.access_log =
        Some(AccessLog { path: control.with_extension("log"), max_bytes: 64 << 20, keep: 1 });
    proxy::run(&options).unwrap();
}

pub(crate) async fn connect(control: &Path) -> Client {
    let begun = Instant::now();
    loop {
        match Client::connect(control).await {
            Ok((client, _)) => return client,
            Err(ClientError::Connect { .. }) if begun.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Err(error) => panic!("connecting to {}: {error:?}", control.display()),
        }
    }
}

/// Waits until `look` gives something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The agent's side: the sockets, the control connection and the present table.
pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) proxy: ProxyProcess,
    pub(crate) client: Client,
    pub(crate) sockets: Vec<(ListenerRole, TcpListener)>,
    pub(crate) table: IngressTable,
}

impl World {
    /// A proxy with an http and an https listener and no routes.
    pub(crate) async fn start() -> Self {
        Self::with_tcp(&[]).await
    }

    /// Also with TCP listeners for the routes of these public ports.
    pub(crate) async fn with_tcp(ports: &[u16]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let proxy = ProxyProcess::start(dir.path(), "proxy");
        let client = proxy.connect().await;
        let mut roles = vec![ListenerRole::Http, ListenerRole::Https];
        roles.extend(ports.iter().map(|port| ListenerRole::Tcp(*port)));
        let bind = |role| (role, TcpListener::bind("127.0.0.1:0").unwrap());
        let sockets = roles.into_iter().map(bind).collect();
        let mut world = Self { dir, proxy, client, sockets, table: IngressTable::default() };
        world.listen().await;
        world
    }

    pub(crate) async fn listen(&mut self) {
        let sockets: Vec<_> = self.sockets.iter().map(|(r, s)| (*r, s.as_fd())).collect();
        self.client.listen(&sockets).await.unwrap();
    }

    pub(crate) fn address(&self, role: ListenerRole) -> SocketAddr {
        let found = self.sockets.iter().find(|(held, _)| *held == role);
        found.unwrap().1.local_addr().unwrap()
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.address(ListenerRole::Http)
    }

    pub(crate) fn https(&self) -> SocketAddr {
        self.address(ListenerRole::Https)
    }

    /// Pushes the table under the next generation.
    pub(crate) async fn push(&mut self) {
        self.table.generation = self.table.generation.next();
        self.client.table(self.table.clone()).await.unwrap();
    }

    /// Adds a route with a backend of its own and pushes.
    pub(crate) async fn route(&mut self, route: Route, endpoints: &[SocketAddr]) {
        self.table.backends.push(backend(&route.name, endpoints));
        self.table.routes.push(route);
        self.push().await;
    }

    /// Replaces the endpoints of a route's backend and pushes.
    pub(crate) async fn endpoints(&mut self, name: &str, endpoints: &[SocketAddr]) {
        let held = self.table.backends.iter_mut().find(|held| held.name == name).unwrap();
        *held = backend(name, endpoints);
        self.push().await;
    }

    /// Reads the access log once it has at least `lines` lines.
    pub(crate) async fn log(&self, lines: usize) -> Vec<serde_json::Value> {
        let path = self.proxy.control.with_extension("log");
        eventually("the log lines", || {
            let text = std::fs::read_to_string(&path).ok()?;
            let found: Vec<serde_json::Value> =
                text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            (found.len() >= lines).then_some(found)
        })
        .await
    }
}

/// A route for a host's every path, with a backend of the same name.
pub(crate) fn route(name: &str, host: &str) -> Route {
    Route {
        name: name.into(),
        host: host.into(),
        path: "/".into(),
        app: "shop".parse().unwrap(),
        environment: "staging".parse().unwrap(),
        backends: vec![BackendRef { backend: name.into(), weight: 1 }],
        protocol: Protocol::Http1,
        redirect_to_https: false,
        response_timeout_ms: 60_000,
        idle_timeout_ms: 60_000,
        max_body_bytes: None,
    }
}

pub(crate) fn tcp_route(name: &str, listen: TcpListen, sni: &[&str]) -> TcpRoute {
    TcpRoute {
        name: name.into(),
        listen,
        sni: sni.iter().map(|name| (*name).into()).collect(),
        app: "shop".parse().unwrap(),
        environment: "staging".parse().unwrap(),
        backends: vec![BackendRef { backend: name.into(), weight: 1 }],
        proxy_protocol: false,
        idle_timeout_ms: 60_000,
    }
}

pub(crate) fn backend(name: &str, endpoints: &[SocketAddr]) -> Backend {
    let endpoint = |address: &SocketAddr| Endpoint {
        instance: format!("shop-staging-{}", address.port()).parse().unwrap(),
        release: ReleaseNumber(7),
        address: *address,
        weight: 1,
    };
    Backend { name: name.into(), endpoints: endpoints.iter().map(endpoint).collect() }
}

/// A self-signed certificate for `hosts`.
pub(crate) fn certificate(hosts: &[&str]) -> Certificate {
    let names: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut parameters = rcgen::CertificateParams::new(names.clone()).unwrap();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, hosts[0]);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    Certificate { hosts: names, cert_chain_pem: certificate.pem(), key_pem: key.serialize_pem() }
}

/// An address where nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The first generation.
pub(crate) const FIRST: Generation = Generation(1);
