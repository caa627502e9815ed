//! One host in a network namespace, its agent as a child process, and the server above it.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use api::assignment::{Assignment, Entry, Wanted};
use api::id::{AppName, EnvironmentName, Generation, HostId, InstanceId, ReleaseNumber};
use api::ingress::{Backend, BackendRef, Endpoint, IngressTable, Route};
use api::manifest::Manifest;
use api::network::{InstanceAddress, NetworkTable, Service};
use api::protocol::{Down, Workload};
use api::release::Image;
use api::status::{HostStatus, InstanceState, InstanceStatus};
use image::{ContentStore, Digest};
use net::namespace::Namespace;
use pki::{CertificateAuthority, ClientAuth, ServerNames, ServerTls, SwappableIdentity};
use rustix::process::{Pid, Signal};
use tokio_rustls::TlsAcceptor;

use super::registry;
use super::server::{Server, Streams};

/// How long anything may take before a test gives up: far above what it takes.
const PATIENCE: Duration = Duration::from_secs(60);

pub const SUBNET: &str = "10.201.7.0/24";

/// Where apps listen.
pub const PORT: u16 = 8080;

pub struct World {
    pub name: String,
    pub server: Server,
    pub namespace: Namespace,
    pub image: Digest,
    /// Where `server` listens.
    pub address: String,
    tls: TlsAcceptor,
    root: PathBuf,
    run_dir: PathBuf,
    slug: String,
    agent: Option<Child>,
    generation: u64,
}

/// Whether the test can run here; says why not.
pub fn possible() -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    eprintln!("skipped: needs root for containers and network namespaces");
    false
}

impl World {
    /// A host without an agent. `slug` is unique among the tests.
    pub fn new(slug: &str) -> Self {
        pki::install_provider();
        let root = PathBuf::from(format!("/tmp/freehold-agent-{slug}"));
        let run_dir = PathBuf::from(format!("/dev/shm/freehold-agent-{slug}"));
        let namespace_file = PathBuf::from(format!("/dev/shm/freehold-host-{slug}"));
        clear(slug, &run_dir);
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("registry")).unwrap();
        net::namespace::delete(&namespace_file).unwrap();
        let namespace = Namespace::create(&namespace_file, &[]).unwrap();
        let up = || Command::new("ip").args(["link", "set", "lo", "up"]).status();
        assert!(namespace.run(up).unwrap().unwrap().success());
        let (listener, address) = listen(&namespace);
        let content = ContentStore::open(root.join("registry")).unwrap();
        let image = registry::busybox(&content, &root);
        let tls = certificates(&root);
        let server = Server::start(listener, tls.clone(), content);
        let world = Self {
            name: format!("host-{slug}"),
            server,
            namespace,
            image,
            address,
            tls,
            root,
            run_dir,
            slug: slug.to_owned(),
            agent: None,
            generation: 0,
        };
        world.configure(&world.address, false);
        world
    }

    /// Another server, which agents are not configured with, and where it listens.
    pub fn another_server(&self) -> (Server, String) {
        let (listener, address) = listen(&self.namespace);
        let content = ContentStore::open(self.root.join("registry")).unwrap();
        (Server::start(listener, self.tls.clone(), content), address)
    }

    fn configure(&self, server: &str, ephemeral: bool) {
        let path = |name: &str| self.root.join(name).to_str().unwrap().to_owned();
        let configuration = serde_json::json!({
            "data_dir": path("data"),
            "run_dir": self.run_dir,
            "slug": self.slug,
            "host": self.name,
            "servers": [server],
            "authorities": path("ca.pem"),
            "certificate": path("host.pem"),
            "key": path("host.key"),
            "subnet": SUBNET,
            "cluster": "10.192.0.0/11",
            "services": "10.231.0.0/16",
            "http": "127.0.0.1:7080",
            "ephemeral": ephemeral,
        });
        fs::write(self.root.join("agent.json"), configuration.to_string()).unwrap();
    }

    /// From now on agents are started ephemeral.
    pub fn ephemeral(&self) {
        self.set("ephemeral", true);
    }

    /// Sets an option of agents that are started from now on.
    pub fn set(&self, name: &str, to: impl Into<serde_json::Value>) {
        let file = self.root.join("agent.json");
        let mut value: serde_json::Value =
            serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        value[name] = to.into();
        fs::write(file, value.to_string()).unwrap();
    }

    /// A file beside the agent's.
    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A command that runs on the host's network.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.namespace.path().display())).arg("--").arg(program);
        command
    }

    pub fn start_agent(&mut self) {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.root.join("agent.log"))
            .unwrap();
        let level = std::env::var("RUST_LOG").unwrap_or_else(|_| "info".into());
        let child = self
            .command(exe())
            .arg("agent")
            .arg(self.root.join("agent.json"))
            .env("RUST_LOG", level)
            .stdin(Stdio::null())
            .stderr(log)
            .spawn();
        self.agent = Some(child.unwrap());
    }

    /// Sends the agent a signal.
    pub fn signal_agent(&self, signal: Signal) {
        let pid = self.agent.as_ref().unwrap().id();
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Ends the agent by a signal and waits until it is gone.
    pub async fn end_agent(&mut self, signal: Signal) {
        let Some(mut agent) = self.agent.take() else { return };
        let pid = Pid::from_raw(i32::try_from(agent.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
        tokio::task::spawn_blocking(move || agent.wait().unwrap()).await.unwrap();
    }

    pub fn entry(&self, instance: &str, app: &str, environment: &str, last: u8) -> Entry {
        Entry {
            instance: InstanceId::new(instance).unwrap(),
            app: AppName::new(app).unwrap(),
            environment: EnvironmentName::new(environment).unwrap(),
            release: ReleaseNumber(1),
            wanted: Wanted::Run,
            address: Ipv4Addr::new(10, 201, 7, last),
            replaces: None,
            epoch: 0,
        }
    }

    /// The workload of an app; `manifest` is added to its name and port.
    pub fn workload(&self, app: &str, environment: &str, manifest: &str) -> Workload {
        let environment = EnvironmentName::new(environment).unwrap();
        let text = format!("app = \"{app}\"\nteam = \"team\"\n{manifest}");
        let manifest = Manifest::parse("freehold.toml", &text).unwrap();
        Workload {
            app: AppName::new(app).unwrap(),
            release: ReleaseNumber(1),
            image: Image {
                registry: None,
                repository: "team/busybox".into(),
                tag: None,
                digest: self.image.to_string().parse().unwrap(),
            },
            spec: manifest.resolve(&environment).unwrap(),
            secrets: BTreeMap::new(),
            environment,
        }
    }

    /// Assigns entries and says where their apps are found.
    pub fn assign(&mut self, mut entries: Vec<Entry>, workloads: Vec<Workload>) -> Generation {
        entries.sort_by(|a, b| a.instance.cmp(&b.instance));
        self.generation += 1;
        let generation = Generation(self.generation);
        let table = network_table(generation, &entries);
        let ingress = ingress_table(generation, &entries);
        let host = HostId::new(&*self.name).unwrap();
        let assignment = Assignment { host, generation, entries, cooling: Vec::new() };
        self.server.say(&Down::Assignment { assignment, workloads });
        self.server.say(&Down::Network(table));
        self.server.say(&Down::Ingress(ingress));
        generation
    }

    /// Waits until the host's report is as wanted.
    pub async fn reports(&mut self, wanted: impl Fn(&HostStatus) -> bool) -> HostStatus {
        let mut status = self.server.status.clone();
        let good = |status: &Option<HostStatus>| status.as_ref().is_some_and(&wanted);
        let waited = tokio::time::timeout(PATIENCE, status.wait_for(good)).await;
        match waited {
            Ok(status) => status.unwrap().clone().unwrap(),
            Err(_) => panic!(
                "not reported in time; last: {:#?}\n{}",
                self.server.status.borrow().clone(),
                self.agent_log()
            ),
        }
    }

    /// Waits until something that the server hears is as wanted.
    pub async fn heard<T: Clone + std::fmt::Debug>(
        &self,
        mut from: tokio::sync::watch::Receiver<Option<T>>,
        wanted: impl Fn(&T) -> bool,
    ) -> T {
        let good = |heard: &Option<T>| heard.as_ref().is_some_and(&wanted);
        let last = from.clone();
        match tokio::time::timeout(PATIENCE, from.wait_for(good)).await {
            Ok(heard) => heard.unwrap().clone().unwrap(),
            Err(_) => panic!("never heard; last: {:#?}\n{}", *last.borrow(), self.agent_log()),
        }
    }

    /// Waits until a server's streams are as wanted.
    pub async fn streams(&self, server: &Server, wanted: impl Fn(Streams) -> bool) -> Streams {
        let mut streams = server.streams.clone();
        let waited = tokio::time::timeout(PATIENCE, streams.wait_for(|s| wanted(*s))).await;
        match waited {
            Ok(streams) => *streams.unwrap(),
            Err(_) => {
                panic!("streams stay {:?}\n{}", *server.streams.borrow(), self.agent_log())
            }
        }
    }

    /// Waits until everything of a generation is in place and all its instances are healthy.
    pub async fn healthy(&mut self, generation: Generation, count: usize) -> HostStatus {
        let status = self
            .reports(|status| {
                status.generation == generation
                    && status.instances.len() == count
                    && status.instances.iter().all(|i| i.state == InstanceState::Healthy)
            })
            .await;
        let mut known = self.server.acknowledged.clone();
        let in_place = known
            .wait_for(|known| known.network >= generation && known.ingress >= Some(generation));
        let waited = tokio::time::timeout(PATIENCE, in_place).await.is_ok();
        assert!(waited, "tables are not in place\n{}", self.agent_log());
        status
    }

    pub fn agent_log(&self) -> String {
        let log = fs::read_to_string(self.root.join("agent.log")).unwrap_or_default();
        let proxy = fs::read_to_string(self.root.join("data/proxy.log")).unwrap_or_default();
        format!("agent: {log}\nproxy: {proxy}")
    }

    /// What of the host an agent could leave behind.
    pub fn traces(&self) -> Vec<String> {
        let mut traces = Vec::new();
        let mut run = |program: &str, arguments: &[&str]| {
            let output = self.command(program).args(arguments).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            traces.extend(text.lines().map(|line| format!("{program}: {line}")));
        };
        run("ip", &["-brief", "link"]);
        run("ip", &["route"]);
        run("nft", &["list", "tables"]);
        let ours = |text: String| {
            let mine = |line: &&str| line.contains(&format!("-{}", self.slug));
            text.lines().filter(mine).map(str::to_owned).collect::<Vec<_>>()
        };
        traces.extend(ours(fs::read_to_string("/proc/mounts").unwrap()));
        let groups = Command::new("find").args(["/sys/fs/cgroup", "-maxdepth", "2"]).output();
        traces.extend(ours(String::from_utf8_lossy(&groups.unwrap().stdout).into_owned()));
        for process in fs::read_dir("/proc").unwrap() {
            let words = fs::read(process.unwrap().path().join("cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words).replace('\0', " ");
            traces.extend(ours(words).into_iter().filter(|line| line.contains("agent_host")));
        }
        if self.run_dir.exists() {
            traces.push(format!("{} is there", self.run_dir.display()));
        }
        traces
    }

    /// Fetches a page from an instance's network; gives it or the error.
    pub fn fetch(&self, status: &InstanceStatus, url: &str) -> String {
        let pid = status.pid.unwrap().to_string();
        let output = Command::new("nsenter")
            .args(["--target", &pid, "--net", "--", "curl", "-sS", "--max-time", "3", url])
            .output()
            .unwrap();
        let (out, err) = (output.stdout, output.stderr);
        format!("{}{}", String::from_utf8_lossy(&out), String::from_utf8_lossy(&err))
    }

    /// Runs something inside an instance; gives its output.
    pub fn inside(&self, status: &InstanceStatus, script: &str) -> String {
        let pid = status.pid.unwrap().to_string();
        let output = Command::new("nsenter")
            .args(["--target", &pid, "--mount", "--net", "--", "/bin/sh", "-c", script])
            .output()
            .unwrap();
        let (out, err) = (output.stdout, output.stderr);
        format!("{}{}", String::from_utf8_lossy(&out), String::from_utf8_lossy(&err))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.agent_log());
        }
        if let Some(mut agent) = self.agent.take() {
            let _ = agent.kill();
            let _ = agent.wait();
        }
        clear(&self.slug, &self.run_dir);
        let _ = net::namespace::delete(self.namespace.path());
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn listen(namespace: &Namespace) -> (std::net::TcpListener, String) {
    let bind = || std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let listener = namespace.run(bind).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// Kills what a failed test left running and removes its mounts, cgroups and files.
fn clear(slug: &str, run_dir: &Path) {
    let ours = run_dir.to_str().unwrap();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let words = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let pid = process.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(pid) = pid.and_then(Pid::from_raw)
            && String::from_utf8_lossy(&words).contains(ours)
        {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
    for namespace in net::namespace::list(&run_dir.join("namespaces")).unwrap_or_default() {
        let _ = net::namespace::delete(&namespace);
    }
    if let Ok(layout) = agent::cgroup::Layout::of_this_host() {
        let path = PathBuf::from(format!("/freehold-{slug}"));
        let _ = agent::cgroup::Cgroup::at(&layout, &path).remove();
    }
    let _ = fs::remove_dir_all(run_dir);
}

/// An executable with the agent's roles.
fn exe() -> PathBuf {
    let me = std::env::current_exe().unwrap();
    let exe = me.ancestors().nth(2).unwrap().join("examples/agent_host");
    assert!(exe.exists(), "{} is not built: cargo build -p agent --examples", exe.display());
    exe
}

pub fn network_table(generation: Generation, entries: &[Entry]) -> NetworkTable {
    let mut services: BTreeMap<(EnvironmentName, AppName), Service> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.wanted == Wanted::Run) {
        let next = u8::try_from(services.len() + 1).unwrap();
        let key = (entry.environment.clone(), entry.app.clone());
        let service = services.entry(key).or_insert_with(|| Service {
            app: entry.app.clone(),
            environment: entry.environment.clone(),
            address: Ipv4Addr::new(10, 231, 0, next),
            port: 80,
            endpoints: Vec::new(),
        });
        service.endpoints.push(SocketAddrV4::new(entry.address, PORT));
    }
    let instance = |entry: &Entry| InstanceAddress {
        instance: entry.instance.clone(),
        app: entry.app.clone(),
        environment: entry.environment.clone(),
        address: entry.address,
    };
    NetworkTable {
        generation,
        services: services.into_values().collect(),
        instances: entries.iter().map(instance).collect(),
        hosts: Vec::new(),
    }
}

pub fn ingress_table(generation: Generation, entries: &[Entry]) -> IngressTable {
    let mut backends: BTreeMap<String, Backend> = BTreeMap::new();
    let mut routes: BTreeMap<String, Route> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.wanted == Wanted::Run) {
        let name = format!("{}-{}", entry.app, entry.environment);
        let backend = backends
            .entry(name.clone())
            .or_insert_with(|| Backend { name: name.clone(), endpoints: Vec::new() });
        backend.endpoints.push(Endpoint {
            instance: entry.instance.clone(),
            release: entry.release,
            address: (entry.address, PORT).into(),
            weight: 1,
        });
        routes.entry(name.clone()).or_insert_with(|| Route {
            name: name.clone(),
            host: format!("{name}.example"),
            path: "/".into(),
            app: entry.app.clone(),
            environment: entry.environment.clone(),
            backends: vec![BackendRef { backend: name.clone(), weight: 1 }],
            protocol: api::ingress::Protocol::Http1,
            redirect_to_https: false,
            response_timeout_ms: 10_000,
            idle_timeout_ms: 10_000,
            max_body_bytes: None,
        });
    }
    IngressTable {
        generation,
        routes: routes.into_values().collect(),
        backends: backends.into_values().collect(),
        ..IngressTable::default()
    }
}

/// Makes an authority and certificates for server and host in `root`; gives the server's end.
fn certificates(root: &Path) -> TlsAcceptor {
    let now = jiff::Timestamp::now();
    let authority = CertificateAuthority::create("test", now).unwrap();
    fs::write(root.join("ca.pem"), authority.bundle().to_pem()).unwrap();
    let host = format!("host-{}", root.to_str().unwrap().rsplit('-').next().unwrap());
    let host = authority.issue_host(&host, now).unwrap();
    host.save(&root.join("host.pem"), &root.join("host.key")).unwrap();
    let names = ServerNames { dns: vec![], addresses: vec![Ipv4Addr::LOCALHOST.into()] };
    let server = authority.issue_server("server", &names, now).unwrap();
    let identity = SwappableIdentity::new(&server).unwrap();
    let bundle = authority.bundle();
    let tls = ServerTls {
        identity,
        clients: ClientAuth::Required(bundle),
        alpn: &[b"h2", b"http/1.1"],
        time: None,
    };
    TlsAcceptor::from(std::sync::Arc::new(pki::server_tls(&tls).unwrap()))
}
