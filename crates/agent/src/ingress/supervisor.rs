//! Keeps one proxy running with the sockets and the newest table.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::id::Generation;
use api::ingress::IngressTable;
use api::traffic::RouteTraffic;
use proxy::control::{Client, ClientError, ListenerRole};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Interval, interval, sleep};

use super::gateway::Gateway;
use super::process::{Process, ProxyCommand};
use super::sockets::{SocketError, Sockets, wanted_ports};
use crate::failure::told;

/// How long a proxy may take to open its control socket.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// How often that is looked at: connecting to a Unix socket costs microseconds.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A proxy that lived shorter than this is not restarted at once.
const SHORT_LIFE: Duration = Duration::from_secs(1);

/// Before a proxy that died young is started again, and before a port that was taken is tried
/// again.
const AGAIN: Duration = Duration::from_millis(500);

/// How long connections may take to finish when the proxy is stopped for good.
const DRAIN: Duration = Duration::from_secs(5);

/// How often the proxy is asked what it counted.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// Orders to cut connections on their way: one for each new table at most.
const ABORTS: usize = 16;

/// What the proxy counted, per route.
pub type Traffic = Arc<Vec<RouteTraffic>>;

/// Why there is no ingress.
#[derive(Debug, thiserror::Error)]
pub enum IngressError {
    /// A port could not be had.
    #[error("open the ingress")]
    Socket(#[from] SocketError),
    /// The proxy could not be started.
    #[error("start the proxy")]
    Start(#[source] io::Error),
    /// The proxy does not answer as it should.
    #[error("speak with the proxy")]
    Control(#[from] ClientError),
}

/// What the ingress is made from.
#[derive(Debug, Clone)]
pub struct IngressOptions {
    /// Where plain HTTP is served.
    pub http: Option<SocketAddr>,
    /// Where TLS is served.
    pub https: Option<SocketAddr>,
    /// The proxy's control socket.
    pub control: PathBuf,
    /// How to start a proxy.
    pub command: ProxyCommand,
    /// Whether this host serves the ingress until it is told otherwise.
    pub serve: bool,
    /// The port of the API, for the gateway.
    pub api_port: u16,
}

/// The handle of the ingress.
#[derive(Debug)]
pub struct Ingress {
    table: watch::Sender<Option<Arc<IngressTable>>>,
    gateway: watch::Sender<Gateway>,
    serve: watch::Sender<bool>,
    aborts: mpsc::Sender<Vec<IpAddr>>,
    acknowledged: watch::Receiver<Option<Generation>>,
    traffic: watch::Receiver<Traffic>,
    stop: mpsc::Sender<oneshot::Sender<()>>,
}

impl Ingress {
    /// Finds the proxy an earlier agent left or starts one, with the table kept from before. A host
    /// that does not serve the ingress has neither proxy nor sockets until it is told to.
    ///
    /// # Errors
    /// A port could not be had or the proxy does not start.
    pub async fn start(
        options: IngressOptions,
        table: Option<Arc<IngressTable>>,
    ) -> Result<Self, IngressError> {
        let (table, tables) = watch::channel(table);
        let (gateway, gateways) = watch::channel(Gateway::default());
        let (serve, serves) = watch::channel(options.serve);
        let (aborts, orders) = mpsc::channel(ABORTS);
        let (acknowledge, acknowledged) = watch::channel(None);
        let (counted, traffic) = watch::channel(Traffic::default());
        let (stop, stops) = mpsc::channel(1);
        let sockets = Sockets::new(options.api_port);
        let mut supervisor = Supervisor {
            options,
            sockets,
            tables,
            gateways,
            serves,
            acknowledge,
            counted,
            refused: BTreeSet::new(),
        };
        let serves = *supervisor.serves.borrow_and_update();
        let running = if serves { Some(supervisor.begin().await?) } else { None };
        tokio::spawn(supervisor.run(running, orders, stops));
        Ok(Self { table, gateway, serve, aborts, acknowledged, traffic, stop })
    }

    /// Says whether this host serves the ingress.
    pub fn set_serving(&self, serve: bool) {
        self.serve.send_if_modified(|before| std::mem::replace(before, serve) != serve);
    }

    /// Says what is passed on to servers.
    pub fn set_gateway(&self, gateway: Gateway) {
        self.gateway.send_if_modified(|before| {
            let changed = *before != gateway;
            *before = gateway;
            changed
        });
    }

    /// Cuts connections to addresses that nobody has any more or whose host is suspected dead:
    /// what may be repeated goes elsewhere.
    pub fn abort(&self, addresses: Vec<IpAddr>) {
        if !addresses.is_empty() && self.aborts.try_send(addresses).is_err() {
            tracing::warn!("connections to addresses that left are not cut: too many orders");
        }
    }

    /// Gives the proxy a new table.
    pub fn set_table(&self, table: Arc<IngressTable>) {
        self.table.send_replace(Some(table));
    }

    /// Which table the proxy has; none where this host serves no ingress.
    #[must_use]
    pub fn acknowledged(&self) -> watch::Receiver<Option<Generation>> {
        self.acknowledged.clone()
    }

    /// What the proxy counted.
    #[must_use]
    pub fn traffic(&self) -> watch::Receiver<Traffic> {
        self.traffic.clone()
    }

    /// Stops the proxy for good; returns when it is gone.
    pub async fn stop(&self) {
        let (done, gone) = oneshot::channel();
        if self.stop.send(done).await.is_ok() {
            let _ = gone.await;
        }
    }
}

struct Supervisor {
    options: IngressOptions,
    sockets: Sockets,
    tables: watch::Receiver<Option<Arc<IngressTable>>>,
    gateways: watch::Receiver<Gateway>,
    serves: watch::Receiver<bool>,
    acknowledge: watch::Sender<Option<Generation>>,
    counted: watch::Sender<Traffic>,
    /// Where the API could not be served, so that it is said once.
    refused: BTreeSet<SocketAddr>,
}

struct Running {
    process: Process,
    client: Client,
    begun: Instant,
    /// A port that a route wants was taken: looked at again.
    incomplete: bool,
    /// The generation of the proxy's table, and what that was made from where this is known.
    has: Option<(Generation, Option<Content>)>,
}

/// What a proxy's table is made from.
type Content = (Option<Arc<IngressTable>>, Gateway);

impl Running {
    fn new(process: Process, client: Client, has: Option<Generation>) -> Self {
        let (begun, has) = (Instant::now(), has.map(|generation| (generation, None)));
        Self { process, client, begun, incomplete: false, has }
    }

    /// The generation under which the proxy gets its next table: that of the servers' table where
    /// it can be, but each other content has one of its own.
    fn next(&self, content: &Content) -> Generation {
        let given = content.0.as_ref().map_or(Generation(1), |table| table.generation);
        match &self.has {
            Some((has, Some(known))) if known == content => *has,
            Some((has, _)) if given <= *has => has.next(),
            _ => given,
        }
    }
}

enum Next {
    Abort(Vec<IpAddr>),
    Sleep,
    Table,
    Count,
    Died,
    Stop(oneshot::Sender<()>),
    /// Nobody has a hold of the ingress any more.
    Gone,
}

impl Supervisor {
    /// Adopts or starts the first proxy.
    async fn begin(&mut self) -> Result<Running, IngressError> {
        if let Some(running) = self.adopt().await {
            return Ok(running);
        }
        self.open_sockets()?;
        self.launch().await
    }

    fn open_sockets(&mut self) -> Result<(), IngressError> {
        let (http, https) = (self.options.http, self.options.https);
        self.sockets.retain(|role| match role {
            ListenerRole::Http => http.is_some(),
            ListenerRole::Https => https.is_some(),
            ListenerRole::Tcp(_) => true,
        });
        for (role, address) in [(ListenerRole::Http, http), (ListenerRole::Https, https)] {
            if let Some(address) = address {
                self.sockets.ensure(role, address)?;
            }
        }
        Ok(())
    }

    /// The proxy of an earlier agent, when there is one that is well.
    async fn adopt(&mut self) -> Option<Running> {
        let (mut client, greeting) = Client::connect(&self.options.control).await.ok()?;
        let process = Process::watch(greeting.pid).ok()?;
        let adopted = async {
            self.sockets.adopt(client.fds().await?);
            if greeting.draining {
                return Ok(false);
            }
            self.open_sockets()?;
            Ok::<bool, IngressError>(true)
        };
        match adopted.await {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                tracing::warn!(error = told(&error), "the proxy of an earlier run is replaced");
                process.kill();
                process.ended().await;
                return None;
            }
        }
        tracing::info!(pid = greeting.pid, "took over the proxy of an earlier run");
        let mut running = Running::new(process, client, greeting.generation);
        match self.hand_over(&mut running).await {
            Ok(()) => Some(running),
            Err(error) => {
                tracing::warn!(error = told(&error), "the proxy of an earlier run is replaced");
                running.process.kill();
                running.process.ended().await;
                None
            }
        }
    }

    /// Starts a proxy and gives it all it needs.
    async fn launch(&mut self) -> Result<Running, IngressError> {
        let control = &self.options.control;
        let begun = Instant::now();
        let process =
            Process::start(&self.options.command, control).map_err(IngressError::Start)?;
        let client = loop {
            let connected = Client::connect(control).await;
            match connected {
                Ok((client, _)) => break client,
                Err(error) if begun.elapsed() >= READY_WITHIN => {
                    process.kill();
                    return Err(error.into());
                }
                Err(_) => {}
            }
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                () = process.ended() => {
                    let log = self.options.command.log.display();
                    let why = format!("it ended at once; see {log}");
                    return Err(IngressError::Start(io::Error::other(why)));
                }
            }
        };
        let mut running = Running { begun, ..Running::new(process, client, None) };
        self.hand_over(&mut running).await?;
        Ok(running)
    }

    /// Gives a proxy the sockets and the newest table.
    async fn hand_over(&mut self, running: &mut Running) -> Result<(), IngressError> {
        let table = self.tables.borrow_and_update().clone();
        let gateway = self.gateways.borrow_and_update().clone();
        let ports = table.as_ref().map_or_else(BTreeSet::new, |table| wanted_ports(table));
        let failures = self.sockets.ensure_ports(self.host(), &ports);
        for failure in &failures {
            tracing::error!(error = told(failure), "a TCP route is not served");
        }
        running.incomplete = !failures.is_empty();
        self.open_gateway(&gateway);
        // The table comes first: whoever is accepted is served by it.
        self.give_table(running, (table, gateway)).await?;
        running.client.listen(&self.sockets.all()).await?;
        Ok(())
    }

    /// Gives a proxy the table of the servers with the gateway, and acknowledges it.
    async fn give_table(
        &self,
        running: &mut Running,
        content: Content,
    ) -> Result<(), IngressError> {
        let given = content.0.as_ref().map(|table| table.generation);
        let mut table = content.0.as_deref().cloned().unwrap_or_default();
        content.1.add_to(&mut table);
        if given.is_none() && table.tcp.is_empty() {
            self.acknowledge.send_replace(Some(Generation::default()));
            return Ok(());
        }
        table.generation = running.next(&content);
        let generation = table.generation;
        match running.client.table(table).await {
            Ok(_) => {
                running.has = Some((generation, Some(content)));
                self.acknowledge.send_replace(Some(given.unwrap_or_default()));
            }
            // What held before still holds.
            Err(ClientError::Refused { reason }) => {
                tracing::error!(reason, "the proxy refused a table");
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Opens the API's sockets as far as they can be had; says each failure once.
    fn open_gateway(&mut self, gateway: &Gateway) {
        let failures = self.sockets.ensure_gateway(&gateway.listen);
        let refused: BTreeSet<SocketAddr> = failures.iter().map(|one| one.address).collect();
        for failure in failures.iter().filter(|one| !self.refused.contains(&one.address)) {
            match failure.source.kind() {
                io::ErrorKind::AddrInUse => {
                    tracing::info!(at = %failure.address, "a server of this host answers itself");
                }
                _ => tracing::error!(error = told(failure), "the API is not served here"),
            }
        }
        self.refused = refused;
    }

    /// Asks what the proxy counted.
    async fn count(&mut self, running: &mut Running) -> Result<(), IngressError> {
        let snapshot = running.client.metrics().await?;
        let routes = snapshot.routes.into_iter();
        let counted: Vec<_> = routes.map(|r| r.counters.traffic(r.route)).collect();
        self.counted.send_if_modified(|before| {
            let changed = **before != counted;
            if changed {
                *before = Arc::new(counted);
            }
            changed
        });
        Ok(())
    }

    fn host(&self) -> IpAddr {
        let either = self.options.http.or(self.options.https);
        either.map_or(IpAddr::from([0, 0, 0, 0]), |address| address.ip())
    }

    async fn run(
        mut self,
        mut running: Option<Running>,
        mut aborts: mpsc::Receiver<Vec<IpAddr>>,
        mut stops: mpsc::Receiver<oneshot::Sender<()>>,
    ) {
        loop {
            let awake = match running.take() {
                Some(awake) => awake,
                None => match self.sleep(&mut stops).await {
                    Some(awake) => awake,
                    None => return,
                },
            };
            if !self.serve(awake, &mut aborts, &mut stops).await {
                return;
            }
        }
    }

    /// Waits until this host serves the ingress; none when it is stopped for good before.
    async fn sleep(&mut self, stops: &mut mpsc::Receiver<oneshot::Sender<()>>) -> Option<Running> {
        loop {
            // Each arm only waits.
            tokio::select! {
                serves = self.serves.wait_for(|serves| *serves) => if serves.is_err() {
                    return None;
                },
                Some(done) = stops.recv() => {
                    let _ = done.send(());
                    return None;
                }
            }
            match self.begin().await {
                Ok(running) => {
                    tracing::info!("this host serves the ingress");
                    return Some(running);
                }
                Err(error) => tracing::error!(error = told(&error), "the ingress is down"),
            }
            sleep(AGAIN).await;
        }
    }

    /// Keeps a proxy running; true when this host serves the ingress no more, false when it is
    /// stopped for good.
    async fn serve(
        &mut self,
        mut running: Running,
        aborts: &mut mpsc::Receiver<Vec<IpAddr>>,
        stops: &mut mpsc::Receiver<oneshot::Sender<()>>,
    ) -> bool {
        let mut count = interval(COUNT_EVERY);
        loop {
            let done = match self.next(&running, &mut count, aborts, stops).await {
                Next::Abort(addresses) => {
                    let cut = running.client.abort(addresses).await;
                    cut.map(|count| tracing::info!(count, "cut connections to who left"))
                        .map_err(Into::into)
                }
                Next::Count if !self.refused.is_empty() => self.hand_over(&mut running).await,
                Next::Count => self.count(&mut running).await,
                Next::Table => self.hand_over(&mut running).await,
                Next::Died => {
                    tracing::error!("the proxy died and is started again");
                    running = self.replace(running.begun).await;
                    Ok(())
                }
                Next::Sleep => {
                    tracing::info!("this host serves the ingress no more");
                    self.acknowledge.send_replace(None);
                    stop(&mut running).await;
                    self.sockets.close();
                    return true;
                }
                Next::Stop(done) => {
                    stop(&mut running).await;
                    let _ = std::fs::remove_file(&self.options.control);
                    let _ = done.send(());
                    return false;
                }
                Next::Gone => return false,
            };
            if let Err(error) = done {
                tracing::error!(error = told(&error), "the proxy is replaced");
                running.process.kill();
                running.process.ended().await;
                running = self.replace(running.begun).await;
            }
        }
    }

    /// What is to be done next.
    async fn next(
        &mut self,
        running: &Running,
        count: &mut Interval,
        aborts: &mut mpsc::Receiver<Vec<IpAddr>>,
        stops: &mut mpsc::Receiver<oneshot::Sender<()>>,
    ) -> Next {
        let again = async {
            if running.incomplete {
                sleep(AGAIN).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        // Every arm only waits. The table comes before what is cut: nobody is sent there again.
        tokio::select! {
            biased;
            () = running.process.ended() => Next::Died,
            changed = self.tables.changed() => match changed {
                Ok(()) => Next::Table,
                Err(_) => Next::Gone,
            },
            Some(addresses) = aborts.recv() => Next::Abort(addresses),
            Ok(()) = self.gateways.changed() => Next::Table,
            _ = self.serves.wait_for(|serves| !*serves) => Next::Sleep,
            () = again => Next::Table,
            Some(done) = stops.recv() => Next::Stop(done),
            _ = count.tick() => Next::Count,
        }
    }

    /// Starts proxies until one runs. The sockets stay open meanwhile.
    async fn replace(&mut self, begun: Instant) -> Running {
        let mut wait = begun.elapsed() < SHORT_LIFE;
        loop {
            if wait {
                sleep(AGAIN).await;
            }
            match self.launch().await {
                Ok(running) => return running,
                Err(error) => tracing::error!(error = told(&error), "the ingress is down"),
            }
            wait = true;
        }
    }
}

async fn stop(running: &mut Running) {
    let drained = async {
        if running.client.drain(DRAIN).await.is_ok() {
            running.process.ended().await;
        }
    };
    let _ = tokio::time::timeout(DRAIN + Duration::from_secs(1), drained).await;
    running.process.kill();
    running.process.ended().await;
}
