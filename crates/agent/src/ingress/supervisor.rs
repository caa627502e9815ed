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
use tokio::time::{interval, sleep};

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
}

/// The handle of the ingress.
#[derive(Debug)]
pub struct Ingress {
    table: watch::Sender<Option<Arc<IngressTable>>>,
    acknowledged: watch::Receiver<Option<Generation>>,
    traffic: watch::Receiver<Traffic>,
    stop: mpsc::Sender<oneshot::Sender<()>>,
}

impl Ingress {
    /// Finds the proxy an earlier agent left or starts one, with the table kept from before.
    ///
    /// # Errors
    /// A port could not be had or the proxy does not start.
    pub async fn start(
        options: IngressOptions,
        table: Option<Arc<IngressTable>>,
    ) -> Result<Self, IngressError> {
        let (table, tables) = watch::channel(table);
        let (acknowledge, acknowledged) = watch::channel(None);
        let (counted, traffic) = watch::channel(Traffic::default());
        let (stop, stops) = mpsc::channel(1);
        let sockets = Sockets::default();
        let mut supervisor = Supervisor { options, sockets, tables, acknowledge, counted };
        let running = supervisor.begin().await?;
        tokio::spawn(supervisor.run(running, stops));
        Ok(Self { table, acknowledged, traffic, stop })
    }

    /// Gives the proxy a new table.
    pub fn set_table(&self, table: Arc<IngressTable>) {
        self.table.send_replace(Some(table));
    }

    /// Which table the proxy has.
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
    acknowledge: watch::Sender<Option<Generation>>,
    counted: watch::Sender<Traffic>,
}

struct Running {
    process: Process,
    client: Client,
    begun: Instant,
    /// A port that a route wants was taken: looked at again.
    incomplete: bool,
}

enum Next {
    Table,
    Count,
    Died,
    Stop(oneshot::Sender<()>),
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
        let mut running = Running { process, client, begun: Instant::now(), incomplete: false };
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
        let mut running = Running { process, client, begun, incomplete: false };
        self.hand_over(&mut running).await?;
        Ok(running)
    }

    /// Gives a proxy the sockets and the newest table.
    async fn hand_over(&mut self, running: &mut Running) -> Result<(), IngressError> {
        let table = self.tables.borrow_and_update().clone();
        let ports = table.as_ref().map_or_else(BTreeSet::new, |table| wanted_ports(table));
        let failures = self.sockets.ensure_ports(self.host(), &ports);
        for failure in &failures {
            tracing::error!(error = told(failure), "a TCP route is not served");
        }
        running.incomplete = !failures.is_empty();
        // The table comes first: whoever is accepted is served by it.
        if let Some(table) = table {
            match running.client.table((*table).clone()).await {
                Ok(generation) => drop(self.acknowledge.send_replace(Some(generation))),
                // What held before still holds.
                Err(ClientError::Refused { reason }) => {
                    tracing::error!(reason, "the proxy refused a table");
                }
                Err(error) => return Err(error.into()),
            }
        }
        running.client.listen(&self.sockets.all()).await?;
        Ok(())
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

    async fn run(mut self, mut running: Running, mut stops: mpsc::Receiver<oneshot::Sender<()>>) {
        let mut count = interval(COUNT_EVERY);
        loop {
            let again = async {
                if running.incomplete {
                    sleep(AGAIN).await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            // Every arm only waits.
            let next = tokio::select! {
                () = running.process.ended() => Next::Died,
                changed = self.tables.changed() => match changed {
                    Ok(()) => Next::Table,
                    Err(_) => return,
                },
                () = again => Next::Table,
                _ = count.tick() => Next::Count,
                Some(done) = stops.recv() => Next::Stop(done),
            };
            match next {
                Next::Table | Next::Count => {
                    let done = match next {
                        Next::Count => self.count(&mut running).await,
                        _ => self.hand_over(&mut running).await,
                    };
                    if let Err(error) = done {
                        tracing::error!(error = told(&error), "the proxy is replaced");
                        running.process.kill();
                        running.process.ended().await;
                        running = self.replace(running.begun).await;
                    }
                }
                Next::Died => {
                    tracing::error!("the proxy died and is started again");
                    running = self.replace(running.begun).await;
                }
                Next::Stop(done) => {
                    stop(&mut running).await;
                    let _ = std::fs::remove_file(&self.options.control);
                    let _ = done.send(());
                    return;
                }
            }
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
