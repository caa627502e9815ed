//! The agent process: puts the parts together, runs them until told to stop, and clears up.
//!
//! It starts and serves from what is on its disk; a server is dialled beside. When it ends,
//! containers and proxy go on, unless it is ephemeral.

mod capacity;
mod clear;
mod dispatch;
mod domain;
mod hands;
mod hollow;
mod identity;
mod kept;
mod leave;
mod options;
mod warm;

use std::collections::BTreeSet;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use api::about::{ABOUT_EVERY, About};
use api::authority::{Authorities, Trusts};
use api::host::DomainPath;
use api::id::{Generation, HostId, InstanceId};
use api::ingress::IngressTable;
use api::liveness::{Observe, Observed};
use api::network::{NetworkTable, VipTable};
use api::protocol::{Acknowledge, Hello, Place, VERSION};
use api::release::Image;
use api::status::HostStatus;
use pki::{CaBundle, SwappableAuthorities, SwappableIdentity};
use probe::{Answering, Service};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::converge::{Clock, Containers, Converger, Paths, Prepared, StatusReceiver};
use crate::failure::told;
use crate::images::{Images, ImagesError, Origins};
use crate::ingress::{Ingress, IngressOptions, ProxyCommand, Traffic, keep_gateway};
use crate::lease::Leases;
use crate::link::{Dialer, Servers, Uplink};
use crate::network::{Between, LocalInstance, Network, NetworkOptions, Wanted};
use crate::runtime::{DriverKind, HostRuntime, RuntimeOptions, ShimCommand};
use crate::state::{DataDirectory, Keeper, Vault, make_private};
use crate::vip::{Holdings, VipOptions, Vips, watch_proxy};
use dispatch::Dispatcher;
use identity::Keeping;
use kept::{Kept, load};
use leave::Leaving;
use warm::Warming;

pub use domain::{DomainCommand, DomainError, find_domain};
pub use hands::{Supply, Ways};
pub use hollow::{Ground, run_on};
pub use options::{AgentError, Options};

/// Documents of servers on their way: they are handed on at once.
const DOCUMENTS: usize = 64;

/// Between two rounds of tidying.
const TIDY_EVERY: Duration = Duration::from_secs(300);

/// Changes of the report so close together are written to disk once.
const STATUS_EVERY: Duration = Duration::from_millis(200);

/// Between two signs of life that the converger is asked for.
const PULSE_EVERY: Duration = Duration::from_secs(1);

/// What is told to servers.
type Reported = (StatusReceiver, watch::Receiver<Acknowledge>, watch::Receiver<Observed>);

/// That, what the host says of itself, and where it is said whether a server decides.
type Linked = (Reported, watch::Receiver<About>, watch::Sender<bool>);

/// Runs the agent until `shutdown` is ready.
///
/// # Errors
/// Another agent runs on the data directory, or the host lacks what is needed; the error says what.
pub async fn run(options: Options, shutdown: impl Future<Output = ()>) -> Result<(), AgentError> {
    let data = DataDirectory::take(&options.data_dir)?;
    let vault = Arc::new(Vault::open(data.state())?);
    let kept = load(&vault)?;
    let started = Agent::start(&options, &data, vault, kept).await;
    let agent = match started {
        Ok(agent) => agent,
        Err(error) if options.ephemeral => {
            clear::leftovers(&options).await;
            return Err(error);
        }
        Err(error) => return Err(error),
    };
    tracing::info!(host = %options.host, "the agent runs");
    shutdown.await;
    tracing::info!(ephemeral = options.ephemeral, "the agent stops");
    agent.stop(&options).await;
    drop(data);
    Ok(())
}

/// The running parts.
struct Agent {
    runtime: Arc<HostRuntime>,
    network: Arc<Network>,
    ingress: Option<Arc<Ingress>>,
    vips: Option<Arc<Vips>>,
    orders: mpsc::Sender<crate::converge::Order>,
    tasks: TaskTracker,
    /// Ends all tasks but the converger.
    ending: CancellationToken,
    /// Ends the converger.
    resting: CancellationToken,
}

impl Agent {
    async fn start(
        options: &Options,
        data: &DataDirectory,
        vault: Arc<Vault>,
        kept: Kept,
    ) -> Result<Self, AgentError> {
        let authorities = SwappableAuthorities::new(&CaBundle::load(&options.authorities)?)?;
        let identity = identity::load(options)?;
        let runtime = Arc::new(open_runtime(options)?);
        let network = start_network(options, &kept, &directory(options, "namespaces")?).await?;
        let servers = watch::Sender::new(servers(options, &kept));
        let origins =
            Origins::new(servers.subscribe(), &authorities, identity.clone(), &options.clock);
        let images = Arc::new(open_images(data, origins.map_err(ImagesError::from)?, &kept)?);
        let (warming, giving) =
            Warming::new(options, &images, &authorities, &identity, kept.warm.clone()).await?;
        let capacity = capacity::of_host(options, data.root());
        let context = containers(options, data, &runtime, &images, &network)?;
        // Ports that are taken are found before anything runs.
        let ingress = start_ingress(options, data.root(), &kept).await?;
        let (able, vips) = start_vips(options, kept.vips.as_ref())?;
        let keeper = Keeper::start(vault.clone(), "assignment");
        let (converger, status) =
            Converger::start(context.clone(), keeper, kept.documents, kept.status, capacity)
                .await?;
        if let Err(error) = network.sweep().await {
            tracing::warn!(error = told(&error), "leftovers of an earlier run stay");
        }
        let (orders, order_queue) = mpsc::channel(DOCUMENTS);
        let (used, in_use) = watch::channel(Vec::new());
        let agent = Self::of(runtime, &network, (ingress.clone(), vips.clone()), &orders);
        agent.tasks.spawn(converger.run(order_queue, used, agent.resting.clone()));
        let (observe, observed) = agent.probe(options, kept.observe).await?;
        let (acknowledge, acknowledged) = watch::channel(Acknowledge::default());
        let (decides, left) = agent.leave(&observe, &observed);
        let vip_addresses = kept.vips.as_ref().map(dispatch::addresses).unwrap_or_default();
        let dispatcher = Dispatcher {
            orders,
            network,
            ingress,
            vips,
            vip_addresses: watch::Sender::new(vip_addresses),
            vip_table: kept.vips.unwrap_or_default(),
            supply: warming.clone(),
            leases: context.leases.clone(),
            dialer: Dialer::new(&authorities, identity.clone(), &options.clock)?,
            logs: data.logs(),
            vault: vault.clone(),
            acknowledge,
            observe,
            left,
            servers,
            authorities: watch::Sender::default(),
        };
        let tables = (kept.network.unwrap_or_default(), kept.ingress);
        let reported = (status.clone(), acknowledged, observed);
        agent.gateway(options, &dispatcher);
        let about = watch::Sender::new(about(options, kept.domain));
        agent.keep((identity, authorities, kept.authorities), options, &dispatcher, &vault, &about);
        agent.watch_domain(options, &vault, &about);
        agent.link(options, dispatcher, tables, (reported, about.subscribe(), decides));
        agent.spawn(tell_time(options.clock.clone(), about));
        agent.spawn(keep_status(status.clone(), Keeper::start(vault, "status")));
        agent.spawn(warming.clone().give(giving));
        agent.spawn(warming.clone().run(in_use.clone()));
        agent.spawn(warm::report(images, agent.orders.clone()));
        agent.spawn(tidy(warming, context, in_use, status));
        if let Some(proxy) = options.http.or(options.https) {
            agent.spawn(watch_proxy(proxy, able));
        }
        agent.tasks.close();
        Ok(agent)
    }

    /// Keeps the certificate and whom it trusts as they are to be.
    fn keep(
        &self,
        (identity, trusted, taken): (
            Arc<SwappableIdentity>,
            Arc<SwappableAuthorities>,
            Option<Authorities>,
        ),
        options: &Options,
        dispatcher: &Dispatcher,
        vault: &Arc<Vault>,
        about: &watch::Sender<About>,
    ) {
        let keeping = Keeping {
            options: options.clone(),
            servers: dispatcher.servers.subscribe(),
            identity,
            trusted,
            given: dispatcher.authorities.subscribe(),
            taken,
            keeper: Keeper::start(vault.clone(), "authorities"),
            about: about.clone(),
        };
        self.spawn(keeping.run());
    }

    /// What tasks can be started of.
    fn of(
        runtime: Arc<HostRuntime>,
        network: &Arc<Network>,
        (ingress, vips): (Option<Arc<Ingress>>, Option<Arc<Vips>>),
        orders: &mpsc::Sender<crate::converge::Order>,
    ) -> Self {
        Self {
            runtime,
            network: network.clone(),
            ingress,
            vips,
            orders: orders.clone(),
            tasks: TaskTracker::new(),
            ending: CancellationToken::new(),
            resting: CancellationToken::new(),
        }
    }

    /// Holds a stream to the servers, for reports up and documents down.
    fn link(
        &self,
        options: &Options,
        dispatcher: Dispatcher,
        tables: (NetworkTable, Option<Arc<IngressTable>>),
        ((status, acknowledge, observed), about, decides): Linked,
    ) {
        let (dialer, leases) = (dispatcher.dialer.clone(), dispatcher.leases.clone());
        let servers = dispatcher.servers.subscribe();
        let (down, documents) = mpsc::channel(DOCUMENTS);
        self.spawn(dispatcher.run(documents, tables));
        let hello = Hello {
            version: VERSION,
            host: options.host.clone(),
            binary: env!("CARGO_PKG_VERSION").to_owned(),
            capacity: status.borrow().capacity,
            place: about.borrow().place.clone(),
        };
        // Without an ingress nothing is ever counted: the sender is gone and nothing changes.
        let none = || watch::channel(Traffic::default()).1;
        let traffic = self.ingress.as_ref().map_or_else(none, |ingress| ingress.traffic());
        let none = || watch::channel(Holdings::default()).1;
        let held = self.vips.as_ref().map_or_else(none, |vips| vips.held());
        let uplink =
            Uplink { hello, status, acknowledge, traffic, observed, held, leases, about, down };
        self.spawn(crate::link::run(dialer, servers, uplink, decides));
    }

    /// Finds the failure domain out again and again, where a command is given for it.
    fn watch_domain(&self, options: &Options, vault: &Arc<Vault>, about: &watch::Sender<About>) {
        let Some(command) = options.domain_command.clone() else { return };
        let keeper = Keeper::start(vault.clone(), "domain");
        self.spawn(domain::watch_domain(command, options.host.clone(), keeper, about.clone()));
    }

    /// Passes connections to the API on, where this host serves the ingress.
    fn gateway(&self, options: &Options, dispatcher: &Dispatcher) {
        let Some(ingress) = self.ingress.clone() else { return };
        let servers = dispatcher.servers.subscribe();
        let vips = dispatcher.vip_addresses.subscribe();
        self.spawn(keep_gateway(options.gateway, servers, vips, ingress));
    }

    /// Answers probes and probes others, where other hosts can reach this one.
    async fn probe(
        &self,
        options: &Options,
        kept: Option<Observe>,
    ) -> Result<(watch::Sender<Arc<Observe>>, watch::Receiver<Observed>), AgentError> {
        let (lists, given) = watch::channel(Arc::new(kept.unwrap_or_default()));
        let (found, observed) = watch::channel(Observed::default());
        if let Some(address) = options.probe {
            let (beat, pulse) = watch::channel(tokio::time::Instant::now());
            let host = options.host.clone();
            let answering = Some(Answering { host, pulse });
            let service = Service::bind(address, answering, given, found).await;
            let service = service.map_err(|source| AgentError::Probe { address, source })?;
            self.spawn(feel_pulse(self.orders.clone(), beat));
            self.spawn(service.run());
        }
        Ok((lists, observed))
    }

    /// Finds whom this host leaves by its own word; takes whether a server decides.
    fn leave(
        &self,
        observe: &watch::Sender<Arc<Observe>>,
        observed: &watch::Receiver<Observed>,
    ) -> (watch::Sender<bool>, watch::Receiver<BTreeSet<HostId>>) {
        let (leaving, left) = watch::channel(BTreeSet::new());
        let decides = watch::Sender::new(false);
        let leave = Leaving {
            decides: decides.subscribe(),
            observe: observe.subscribe(),
            observed: observed.clone(),
        };
        self.spawn(leave.run(leaving));
        (decides, left)
    }

    /// Runs a task until the agent ends.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let ending = self.ending.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = ending.cancelled() => {}
                () = task => {}
            }
        });
    }

    async fn stop(self, options: &Options) {
        if let Some(vips) = self.vips.clone() {
            // Others hold the addresses before anything here ends.
            let _ = tokio::task::spawn_blocking(move || vips.stop()).await;
        }
        if options.ephemeral {
            clear::containers(&self.orders, &self.runtime).await;
        }
        self.ending.cancel();
        self.resting.cancel();
        self.tasks.wait().await;
        if options.ephemeral {
            if let Some(ingress) = &self.ingress {
                ingress.stop().await;
            }
            clear::host(options, &self.network).await;
        }
    }
}

/// What the host says of itself when it starts.
fn about(options: &Options, kept: Option<DomainPath>) -> About {
    // What the command found last goes before what was typed once.
    let kept = kept.filter(|_| options.domain_command.is_some());
    About {
        place: Place {
            domain: kept.or_else(|| options.domain.clone()),
            address: options.address,
            subnet: Some(options.subnet),
        },
        domain_problem: String::new(),
        trusts: Trusts::default(),
        settings: options.settings(),
        time: options.clock.wall(),
    }
}

/// Says what time it is here, for servers to report a clock that is off.
async fn tell_time(clock: clock::Clock, about: watch::Sender<About>) {
    loop {
        tokio::time::sleep(ABOUT_EVERY.duration()).await;
        about.send_modify(|about| about.time = clock.wall());
    }
}

/// A directory on tmpfs, made where it is missing.
fn directory(options: &Options, name: &str) -> Result<PathBuf, AgentError> {
    let path = options.run_dir.join(name);
    match make_private(&path) {
        Ok(()) => Ok(path),
        Err(source) => Err(AgentError::Directory { path, source }),
    }
}

fn paths(options: &Options, data: &DataDirectory) -> Result<Paths, AgentError> {
    let instances = directory(options, "instances")?;
    Ok(Paths { instances, logs: data.logs(), scratch: data.scratch() })
}

fn servers(options: &Options, kept: &Kept) -> Servers {
    Servers::new(options.servers.clone(), kept.servers.clone().unwrap_or_default())
}

fn open_runtime(options: &Options) -> Result<HostRuntime, AgentError> {
    Ok(HostRuntime::open(RuntimeOptions {
        state_dir: directory(options, "bundles")?,
        cgroup_parent: clear::cgroup_parent(&options.slug),
        shim: ShimCommand { exe: options.exe.clone(), args: options.shim_args.clone() },
        driver: DriverKind::Libcontainer,
    })?)
}

/// The host as the drivers of its instances see it.
fn containers(
    options: &Options,
    data: &DataDirectory,
    runtime: &Arc<HostRuntime>,
    images: &Arc<Images>,
    network: &Arc<Network>,
) -> Result<Arc<Containers>, AgentError> {
    Ok(Arc::new(Containers {
        host: options.host.clone(),
        clock: Clock::new(options.clock.clone()),
        runtime: runtime.clone(),
        images: images.clone(),
        network: network.clone(),
        paths: paths(options, data)?,
        leases: Arc::new(Leases::new(runtime.clone(), options.clock.clone())),
        starts: Semaphore::new(Containers::starts_at_once()),
        prepared: Prepared::default(),
    }))
}

fn open_images(data: &DataDirectory, origins: Origins, kept: &Kept) -> Result<Images, AgentError> {
    let images = Images::open(&data.images(), origins)?;
    if let Some(registries) = &kept.registries {
        images.set_registries(registries)?;
    }
    Ok(images)
}

async fn start_network(
    options: &Options,
    kept: &Kept,
    namespaces: &Path,
) -> Result<Arc<Network>, AgentError> {
    let network = NetworkOptions {
        slug: options.slug.clone(),
        subnet: options.subnet,
        cluster: options.cluster,
        services: options.services,
        between: options.between(),
        namespaces: namespaces.to_owned(),
    };
    let entries = kept.documents.iter().flat_map(|documents| &documents.assignment.entries);
    let local = entries.map(|entry| {
        let (address, environment) = (entry.address, entry.environment.clone());
        (entry.instance.clone(), LocalInstance { address, environment })
    });
    let table = kept.network.clone().unwrap_or_default();
    Ok(Arc::new(Network::start(network, Wanted { table, local: local.collect() }).await?))
}

/// The engine of held addresses, where this host serves the ingress and others know its address;
/// and what tells it whether the proxy answers.
fn start_vips(
    options: &Options,
    table: Option<&VipTable>,
) -> Result<(Arc<AtomicBool>, Option<Arc<Vips>>), AgentError> {
    let able = Arc::new(AtomicBool::new(false));
    let serves = options.http.or(options.https).is_some();
    let Some(Between { address, .. }) = options.between().filter(|_| serves) else {
        return Ok((able, None));
    };
    let (host, port) = (options.host.clone(), options.vip_port);
    let vips = Vips::start(VipOptions { host, address, port, able: able.clone() })?;
    if let Some(table) = table {
        vips.set_table(table.clone());
    }
    Ok((able, Some(Arc::new(vips))))
}

async fn start_ingress(
    options: &Options,
    data: &Path,
    kept: &Kept,
) -> Result<Option<Arc<Ingress>>, AgentError> {
    if options.http.is_none() && options.https.is_none() {
        return Ok(None);
    }
    let ingress = IngressOptions {
        http: options.http,
        https: options.https,
        control: options.run_dir.join("proxy.sock"),
        command: ProxyCommand {
            exe: options.exe.clone(),
            args: options.proxy_args.clone(),
            log: data.join("proxy.log"),
        },
        serve: kept.serve.unwrap_or(options.ingress),
        api_port: options.gateway.port,
    };
    let table = kept.ingress.clone();
    Ok(Some(Arc::new(Ingress::start(ingress, table).await?)))
}

/// Asks the converger for a sign of life again and again.
async fn feel_pulse(
    orders: mpsc::Sender<crate::converge::Order>,
    beat: watch::Sender<tokio::time::Instant>,
) {
    loop {
        let (lives, answer) = tokio::sync::oneshot::channel();
        if orders.send(crate::converge::Order::Pulse(lives)).await.is_err() {
            return;
        }
        if answer.await.is_ok() {
            beat.send_replace(tokio::time::Instant::now());
        }
        tokio::time::sleep(PULSE_EVERY).await;
    }
}

/// Keeps the newest report on disk, for counts and times after a restart.
async fn keep_status(mut status: StatusReceiver, keeper: Keeper<HostStatus>) {
    while status.changed().await.is_ok() {
        let newest = status.borrow_and_update().clone();
        keeper.keep(newest);
        tokio::time::sleep(STATUS_EVERY).await;
    }
}

/// Removes what nobody needs any more, from time to time.
async fn tidy(
    warming: Arc<Warming>,
    context: Arc<Containers>,
    used: watch::Receiver<Vec<Image>>,
    status: StatusReceiver,
) {
    loop {
        tokio::time::sleep(TIDY_EVERY).await;
        let mut used = used.borrow().clone();
        used.extend(warming.lists.borrow().images.iter().cloned());
        warming.images.collect(&used, context.clock.now()).await;
        let known: Vec<InstanceId> =
            status.borrow().instances.iter().map(|known| known.instance.clone()).collect();
        let logs = context.paths.logs.clone();
        let sweep = move || crate::logs::sweep(&logs, &known.into_iter().collect());
        let _ = tokio::task::spawn_blocking(sweep).await;
    }
}

/// Nothing in place is generation 0.
fn in_place(network: Generation, ingress: Option<Generation>) -> Acknowledge {
    Acknowledge { network, ingress }
}
