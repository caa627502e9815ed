//! A server's core with its controllers on a memory store, and agents below it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::assignment::{Assignment, Wanted};
use api::deployment::Phase;
use api::environment::Environment;
use api::error::ApiError;
use api::frame::Decoder;
use api::host::Capacity;
use api::id::{EnvironmentName, Generation, HostId};
use api::operation::{DeployAnswer, DeployRequest};
use api::protocol::{Acknowledge, Down};
use api::registry::Registry as Remote;
use api::status::{Exit, ExitCause, HostStatus, InstanceState, InstanceStatus};
use api::time::Timestamp;
use api::unit::{Bytes, MilliCpu};
use async_trait::async_trait;
use parking_lot::Mutex;
use pki::{CertificateAuthority, ServerNames, SwappableIdentity};
use probe::AnyPort;
use server::control::{self, Driver, Lead};
use server::core::{
    Agents, Cache, Caller, Change, Core, Events, Found, ImageSource, Planning, Resolver, Servers,
    Term,
};
use server::http::{Serving, serve};
use server::peer::PeerDialer;
use store::{MemoryStore, Store};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long anything that is awaited may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct World {
    pub(crate) core: Arc<Core>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) trust: Arc<Trust>,
    pub(crate) registry: Arc<server::oci::Registry>,
    tasks: TaskTracker,
    stop: CancellationToken,
    _dir: tempfile::TempDir,
}

/// What the servers of a cluster share beside the store.
pub(crate) struct Trust {
    pub(crate) authority: CertificateAuthority,
    /// Where hosts answer probes.
    probe_port: u16,
    dir: tempfile::TempDir,
}

impl Trust {
    pub(crate) fn new() -> Arc<Self> {
        Self::probing(api::liveness::PROBE_PORT)
    }

    pub(crate) fn probing(probe_port: u16) -> Arc<Self> {
        pki::install_provider();
        let authority = CertificateAuthority::create("test", jiff::Timestamp::now()).unwrap();
        Arc::new(Self { authority, probe_port, dir: tempfile::tempdir().unwrap() })
    }

    fn keyring(&self) -> pki::Keyring {
        pki::Keyring::load_or_create(&self.dir.path().join("master.key")).unwrap()
    }

    fn identity(&self, name: &str) -> Arc<SwappableIdentity> {
        let names = ServerNames { dns: Vec::new(), addresses: vec!["127.0.0.1".parse().unwrap()] };
        let identity = self.authority.issue_server(name, &names, jiff::Timestamp::now());
        SwappableIdentity::new(&identity.unwrap()).unwrap()
    }
}

/// Knows what is in the registry, and every image whose repository is `img`: there the digest says
/// the tag.
struct Images(Option<Arc<server::oci::Registry>>);

#[async_trait]
impl ImageSource for Images {
    async fn resolve(
        &self,
        _: Option<&Remote>,
        reference: &image::Reference,
    ) -> Result<Option<Found>, ApiError> {
        if let Some(registry) = &self.0
            && let Ok(Some(found)) = registry.resolve(reference.path(), &reference.wanted()).await
        {
            let digest = found.digest.to_string().parse().expect("a digest");
            return Ok(Some(Found { digest, hold: None }));
        }
        let known = reference.path() == "img";
        let digest = image::Digest::of(reference.wanted().as_bytes()).to_string();
        let found = || Found { digest: digest.parse().expect("a digest"), hold: None };
        Ok(known.then(found))
    }
}

impl World {
    /// One server that has its store for itself.
    pub(crate) async fn start() -> Self {
        let store = Arc::new(MemoryStore::new());
        Self::on(&Trust::new(), "s1", store.clone(), store, Lead::Alone).await
    }

    /// Another server on the same store; it takes the lead.
    pub(crate) async fn second_server(&self) -> Self {
        Self::on(&self.trust, "s2", self.store.clone(), self.store.clone(), Lead::Alone).await
    }

    /// A server called `name`, which reaches the store by way of `reached`.
    pub(crate) async fn on(
        trust: &Arc<Trust>,
        name: &str,
        store: Arc<MemoryStore>,
        reached: Arc<dyn Store>,
        how: Lead,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = server::oci::Registry::open(dir.path(), server::oci::Options::default());
        let registry = (Arc::new(registry.unwrap()), dir);
        Self::with_registry(trust, name, (store, reached), how, registry, async |_| {}).await
    }

    /// The same on a registry to which something happens before the server starts.
    pub(crate) async fn with_registry(
        trust: &Arc<Trust>,
        name: &str,
        (store, reached): (Arc<MemoryStore>, Arc<dyn Store>),
        how: Lead,
        (registry, dir): (Arc<server::oci::Registry>, tempfile::TempDir),
        before: impl AsyncFnOnce(&server::oci::Registry),
    ) -> Self {
        before(&registry).await;
        let (events, queue) = Events::new(name);
        drop(queue);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut servers = Servers::new(name.parse().unwrap(), address.to_string());
        servers.probe_port = trust.probe_port;
        let core = Arc::new(Core {
            clock: clock::Clock::system(),
            cluster: "test".into(),
            instance_range: "10.9.0.0/16".parse().unwrap(),
            service_range: "10.8.0.0/16".parse().unwrap(),
            https_port: None,
            cache: Cache::open(reached.as_ref()).await.unwrap(),
            store: reached.clone(),
            agents: Agents::default(),
            servers,
            events,
            keyring: Arc::new(trust.keyring()),
            driver: Driver::default(),
            resolver: Resolver {
                own: Arc::new(Images(Some(registry.clone()))),
                others: Arc::new(Images(None)),
                own_names: Vec::new(),
            },
            planning: Mutex::new(Planning::default()),
        });
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(core.cache.clone().run(reached.clone(), stop.clone()));
        environments(&core).await;
        core.introduce().await.unwrap();
        control::start(&core, Arc::new(AnyPort), &tasks, &stop);
        control::start_garbage(&core, &registry, &tasks, &stop);
        let identity = trust.identity(name);
        let clock = Arc::new(core.clock.clone());
        let bundle = trust.authority.bundle();
        let trusted = server::Trust::new(bundle, None, clock, Vec::new().into()).unwrap();
        let authorities = &trusted.authorities;
        let dialer = PeerDialer::new("test", authorities, identity.clone(), &core.clock);
        let dialer = dialer.unwrap();
        let shared = server::copies::Shared::start(&core, &registry, dialer.clone()).await.unwrap();
        control::start_copies(&core, &shared, &tasks, &stop);
        tasks.spawn(server::peer::run(core.clone(), dialer, stop.clone()));
        let serving = Serving { identity, trust: Arc::new(trusted), registry: registry.clone() };
        tasks.spawn(serve(core.clone(), listener, serving, stop.clone()));
        tasks.spawn(control::lead(core.clone(), how, stop.clone()));
        Self { core, store, trust: trust.clone(), registry, tasks, stop, _dir: dir }
    }

    /// The term in which this server leads.
    pub(crate) async fn term(&self) -> Term {
        self.wait("the server to lead", |core| core.servers.term().is_some()).await;
        self.core.servers.term().unwrap()
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    pub(crate) async fn deploy(
        &self,
        app: &str,
        instances: u32,
        image: &str,
        dry_run: bool,
    ) -> Result<DeployAnswer, ApiError> {
        self.send(app, instances, image, &format!("{app}.example.com"), dry_run).await
    }

    pub(crate) async fn deploy_with_route(
        &self,
        app: &str,
        host: &str,
    ) -> Result<DeployAnswer, ApiError> {
        self.send(app, 1, "img:1", host, false).await
    }

    /// Without overrides: every environment has the same name.
    pub(crate) async fn deploy_named_everywhere(
        &self,
        app: &str,
        host: &str,
    ) -> Result<DeployAnswer, ApiError> {
        let manifest = serde_json::json!({
            "app": app, "team": "t", "process": { "port": 8080 }, "routes": { "hosts": [host] },
        });
        let manifest = manifest.as_object().unwrap().clone();
        let image = Some("img:1".into());
        let request = DeployRequest { manifest, image, environment: None, dry_run: false };
        self.core.deploy(&Caller::platform(), request).await
    }

    async fn send(
        &self,
        app: &str,
        instances: u32,
        image: &str,
        host: &str,
        dry_run: bool,
    ) -> Result<DeployAnswer, ApiError> {
        let manifest = serde_json::json!({
            "app": app, "team": "t",
            "process": { "port": 8080 },
            "scale": { "instances": instances },
            "rollout": { "start_within": "1s" },
            "routes": { "hosts": [host] },
            "on": { "production": { "routes": { "hosts": [format!("www.{host}")] } } },
        });
        let manifest = manifest.as_object().unwrap().clone();
        let request =
            DeployRequest { manifest, image: Some(image.into()), environment: None, dry_run };
        self.core.deploy(&Caller::platform(), request).await
    }

    pub(crate) async fn wait(&self, what: &str, check: impl Fn(&Core) -> bool) {
        let started = Instant::now();
        while !check(&self.core) {
            let view = self.core.view();
            let deployments: Vec<_> =
                view.deployments.values().map(|row| row.document.body.clone()).collect();
            assert!(
                started.elapsed() < PATIENCE,
                "waited for {what}; deployments {deployments:?}, instances {:?}, controllers {:?}",
                self.core.instances(None, None),
                self.core.driver.list()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn wait_phase(&self, app: &str, environment: &str, phase: Phase) {
        let (app, environment) = (app.parse().unwrap(), EnvironmentName::new(environment).unwrap());
        self.wait(&format!("{app} in {environment} to be {phase:?}"), |core| {
            core.view().deployment(&environment, &app).is_some_and(|row| row.phase == phase)
        })
        .await;
    }

    /// Connects an agent that does what it is told.
    pub(crate) async fn agent(&self, host: &str) -> Agent {
        let host = HostId::new(host).unwrap();
        self.core.welcome(&host, &Default::default()).await.unwrap();
        let agent = Agent { broken: Arc::new(Mutex::new(BTreeSet::new())) };
        let run = run_agent(self.core.clone(), host, agent.broken.clone(), self.stop.clone());
        self.tasks.spawn(run);
        agent
    }
}

pub(crate) struct Agent {
    broken: Arc<Mutex<BTreeSet<u32>>>,
}

impl Agent {
    /// From now on instances of this release die.
    pub(crate) fn break_release(&self, release: u32) {
        self.broken.lock().insert(release);
    }
}

async fn environments(core: &Core) {
    if !core.view().environments.is_empty() {
        return;
    }
    let mut change = Change::new();
    for (name, order) in [("staging", 1), ("production", 2)] {
        let name = EnvironmentName::new(name).unwrap();
        let host_labels = std::collections::BTreeMap::new();
        change = change.create(&Environment { name, order, host_labels, created: core.now() });
    }
    core.commit(change).await.unwrap();
}

/// What a host with room reports when it begins.
pub(crate) fn first_report(host: &HostId) -> HostStatus {
    HostStatus {
        host: host.clone(),
        generation: Generation(0),
        capacity: Capacity {
            cpu: MilliCpu(64_000),
            memory: Bytes::mib(64_000),
            pids: 30_000,
            disk: Bytes::mib(64_000),
            instances: 253,
        },
        version: "test".into(),
        instances: Vec::new(),
        images: Vec::new(),
    }
}

/// Reads its stream, moves each instance one state on every few milliseconds, and reports.
async fn run_agent(
    core: Arc<Core>,
    host: HostId,
    broken: Arc<Mutex<BTreeSet<u32>>>,
    stop: CancellationToken,
) {
    let (_end, mut frames) = Agents::connect(&core, &host, true);
    let mut decoder = Decoder::new();
    let mut assignment = Assignment::empty(host.clone());
    let mut status = first_report(&host);
    core.agents.gathered.report(status.clone());
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            frame = frames.recv() => {
                let Some(frame) = frame else { return };
                decoder.push(&frame);
                while let Some(down) = decoder.next::<Down>().unwrap() {
                    match down {
                        Down::Assignment { assignment: new, .. } => assignment = new,
                        Down::Network(table) => {
                            let ingress = Some(table.generation);
                            let has = Acknowledge { network: table.generation, ingress };
                            core.agents.gathered.acknowledge(&host, has);
                        }
                        _ => {}
                    }
                }
            }
            () = tokio::time::sleep(Duration::from_millis(3)) => {
                let before = status.clone();
                advance(&mut status, &assignment, &broken.lock(), core.now());
                if status != before {
                    core.agents.gathered.report(status.clone());
                }
            }
        }
    }
}

fn advance(
    status: &mut HostStatus,
    assignment: &Assignment,
    broken: &BTreeSet<u32>,
    now: Timestamp,
) {
    use InstanceState::{Healthy, Preparing, Starting, Stopped, Stopping, Waiting};
    status.generation = assignment.generation;
    status.instances.retain(|known| assignment.entry(&known.instance).is_some());
    for entry in &assignment.entries {
        let at = status.instances.binary_search_by(|s| s.instance.cmp(&entry.instance));
        let at = at.unwrap_or_else(|at| {
            let fresh = InstanceStatus {
                instance: entry.instance.clone(),
                state: Preparing,
                since: now,
                pid: None,
                restarts: 0,
                last_exit: None,
                message: String::new(),
            };
            status.instances.insert(at, fresh);
            at
        });
        let instance = &mut status.instances[at];
        let dies = broken.contains(&entry.release.0);
        instance.state = match (entry.wanted, instance.state) {
            (_, Stopped) | (Wanted::Stop, Stopping) => Stopped,
            (Wanted::Stop, _) => Stopping,
            (_, Preparing) => Starting,
            (_, Waiting) => Waiting,
            (_, _) if dies => {
                instance.last_exit = Some(Exit { cause: ExitCause::Exited(7), at: now });
                Waiting
            }
            (_, _) => Healthy,
        };
    }
}
