//! Hands what servers send to the part it is for, and acknowledges what is in place.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use api::authority::Authorities;
use api::id::{Generation, HostId};
use api::ingress::IngressTable;
use api::liveness::Observe;
use api::network::{NetworkTable, VipTable};
use api::protocol::{Acknowledge, Down, LogRequest};
use api::registry::Registry;
use api::warm::Warm;
use plan::alone;
use tokio::sync::{Semaphore, mpsc, watch};

use super::hands::{Supply, Ways};
use super::in_place;
use crate::converge::{Documents, Order, Verdict, judge};
use crate::failure::told;
use crate::ingress::Ingress;
use crate::lease::Leases;
use crate::link::{Dialer, Servers, send_logs};
use crate::state::{Keeper, Shelf};
use crate::vip::Vips;

/// Log requests answered at once; each holds a connection and at most 4 MiB of lines.
const LOG_REQUESTS: usize = 32;

/// What documents are handed to.
pub(super) struct Dispatcher {
    pub orders: mpsc::Sender<Order>,
    pub network: Arc<dyn Ways>,
    pub ingress: Option<Arc<Ingress>>,
    /// The engine of held addresses, with the table that it has.
    pub vips: Option<Arc<Vips>>,
    pub vip_table: VipTable,
    /// The addresses of that table, where the gateway listens.
    pub vip_addresses: watch::Sender<BTreeSet<IpAddr>>,
    pub supply: Arc<dyn Supply>,
    pub leases: Arc<Leases>,
    pub dialer: Dialer,
    pub logs: PathBuf,
    pub vault: Arc<dyn Shelf>,
    pub acknowledge: watch::Sender<Acknowledge>,
    pub observe: watch::Sender<Arc<Observe>>,
    /// Hosts that this one sends nothing to by its own word.
    pub left: watch::Receiver<BTreeSet<HostId>>,
    pub servers: watch::Sender<Servers>,
    pub authorities: watch::Sender<Option<Authorities>>,
}

/// The tables in place, or on their way there.
struct Tables {
    /// As the servers gave it.
    network: Arc<NetworkTable>,
    /// The same without hosts that this one has left.
    seen: watch::Sender<Arc<NetworkTable>>,
    left: BTreeSet<HostId>,
    ingress: Option<Arc<IngressTable>>,
    vips: VipTable,
    keep_serve: Keeper<bool>,
    keep_vips: Keeper<VipTable>,
    keep_network: Keeper<NetworkTable>,
    keep_ingress: Keeper<IngressTable>,
    keep_registries: Keeper<Vec<Registry>>,
    keep_observe: Keeper<Observe>,
    keep_servers: Keeper<Vec<String>>,
    keep_warm: Keeper<Warm>,
    log_requests: Arc<Semaphore>,
}

impl Dispatcher {
    /// Hands documents on until dropped. `tables` are those that are in place.
    pub(super) async fn run(
        self,
        mut documents: mpsc::Receiver<(String, Down)>,
        tables: (NetworkTable, Option<Arc<IngressTable>>),
    ) {
        let (network, ingress) = (Arc::new(tables.0), tables.1);
        let (seen, network_tables) = watch::channel(network.clone());
        let mut tables = Tables {
            network,
            seen,
            left: BTreeSet::new(),
            ingress,
            vips: self.vip_table.clone(),
            keep_serve: Keeper::start(self.vault.clone(), "serve"),
            keep_vips: Keeper::start(self.vault.clone(), "vips"),
            keep_network: Keeper::start(self.vault.clone(), "network"),
            keep_ingress: Keeper::start(self.vault.clone(), "ingress"),
            keep_registries: Keeper::start(self.vault.clone(), "registries"),
            keep_observe: Keeper::start(self.vault.clone(), "observe"),
            keep_servers: Keeper::start(self.vault.clone(), "servers"),
            keep_warm: Keeper::start(self.vault.clone(), "warm"),
            log_requests: Arc::new(Semaphore::new(LOG_REQUESTS)),
        };
        let mut left = self.left.clone();
        let hand_on = async {
            loop {
                // Both only wait.
                tokio::select! {
                    received = documents.recv() => match received {
                        Some((server, document)) => {
                            self.hand_on(&mut tables, server, document).await;
                        }
                        None => return,
                    },
                    Ok(()) = left.changed() => {
                        let now = left.borrow_and_update().clone();
                        self.leave(&mut tables, now);
                    }
                }
            }
        };
        tokio::join!(hand_on, self.put_in_place(network_tables), self.acknowledge_ingress());
    }

    async fn hand_on(&self, tables: &mut Tables, server: String, document: Down) {
        match document {
            Down::Assignment { assignment, workloads } => {
                let documents = Box::new(Documents { assignment, workloads });
                let _ = self.orders.send(Order::Assign(documents)).await;
            }
            Down::Network(table) => {
                let have = (tables.network.generation, &*tables.network);
                let given = (table.generation, &table);
                match accepted("network table", have, given) {
                    Verdict::Take => {
                        tables.network = Arc::new(table);
                        tables.keep_network.keep(tables.network.clone());
                        self.see(tables);
                    }
                    // A new server asks to hear it again.
                    Verdict::Replay => self.acknowledge.send_modify(|_| ()),
                    Verdict::Older | Verdict::Conflict => {}
                }
            }
            Down::Serve { ingress } => self.serve(tables, ingress),
            Down::Ingress(table) => self.take_ingress(tables, table),
            Down::Vips(table) => self.take_vips(tables, table),
            Down::Registries { registries } => match self.supply.set_registries(&registries) {
                Ok(()) => tables.keep_registries.keep(Arc::new(registries)),
                Err(error) => tracing::error!(error = told(&error), "refused registries"),
            },
            Down::Logs(request) => self.answer_logs(tables, server, request),
            Down::Warm(list) => {
                if let Some(list) = self.supply.take(list) {
                    tables.keep_warm.keep(list);
                }
            }
            Down::Observe(list) => self.take_list(tables, list),
            Down::Servers { servers } => {
                if self.servers.send_if_modified(|known| known.take(servers)) {
                    let told = self.servers.borrow().told().to_vec();
                    tables.keep_servers.keep(Arc::new(told));
                }
            }
            Down::Authorities(given) => {
                self.authorities.send_replace(Some(given));
            }
            // The link hears it.
            Down::Store { .. } => {}
            Down::Lease(answer) => self.leases.take(answer),
        }
    }

    /// Sends nothing more to hosts that are silent while no server decides, and to those again
    /// that are heard.
    fn leave(&self, tables: &mut Tables, left: BTreeSet<HostId>) {
        tables.left = left;
        self.see(tables);
        if let (Some(ingress), Some(table)) = (&self.ingress, &tables.ingress) {
            ingress.set_table(tables.ingress_seen(table));
        }
    }

    /// Puts the network table in place as this host sees it.
    fn see(&self, tables: &Tables) {
        let seen = match tables.left.is_empty() {
            true => tables.network.clone(),
            false => Arc::new(alone::network(&tables.network, &tables.left)),
        };
        self.cut_off(&tables.seen.borrow(), &seen);
        tables.seen.send_replace(seen);
    }

    /// Whether this host serves the ingress.
    fn serve(&self, tables: &Tables, serve: bool) {
        if let Some(ingress) = &self.ingress {
            tables.keep_serve.keep(Arc::new(serve));
            ingress.set_serving(serve);
        }
    }

    /// Cuts what the proxy has to do with instances that ended, or whose host is suspected dead.
    fn cut_off(&self, before: &NetworkTable, after: &NetworkTable) {
        let Some(ingress) = &self.ingress else { return };
        let addresses = |table: &NetworkTable| -> BTreeSet<IpAddr> {
            table.instances.iter().map(|instance| instance.address.into()).collect()
        };
        let gone = &addresses(before) - &addresses(after);
        ingress.abort(gone.into_iter().collect());
    }

    /// Takes whom to probe. Whichever list came last is right: it decides nothing on this host.
    fn take_list(&self, tables: &Tables, list: Observe) {
        if **self.observe.borrow() != list {
            let list = Arc::new(list);
            tables.keep_observe.keep(list.clone());
            self.observe.send_replace(list);
        }
    }

    fn take_ingress(&self, tables: &mut Tables, table: IngressTable) {
        let Some(ingress) = &self.ingress else { return };
        let none = IngressTable::default();
        let current = tables.ingress.as_deref().unwrap_or(&none);
        let (have, given) = ((current.generation, current), (table.generation, &table));
        match accepted("ingress table", have, given) {
            Verdict::Take => {
                let table = Arc::new(table);
                tables.keep_ingress.keep(table.clone());
                ingress.set_table(tables.ingress_seen(&table));
                tables.ingress = Some(table);
            }
            Verdict::Replay => self.acknowledge.send_modify(|_| ()),
            Verdict::Older | Verdict::Conflict => {}
        }
    }

    fn take_vips(&self, tables: &mut Tables, table: VipTable) {
        let Some(vips) = &self.vips else { return };
        let (have, given) = (&tables.vips, &table);
        let verdict =
            accepted("table of held addresses", (have.generation, have), (given.generation, given));
        if verdict == Verdict::Take {
            tables.keep_vips.keep(Arc::new(table.clone()));
            tables.vips = table.clone();
            self.vip_addresses.send_replace(addresses(&table));
            let vips = vips.clone();
            tokio::task::spawn_blocking(move || vips.set_table(table));
        }
    }

    fn answer_logs(&self, tables: &Tables, server: String, request: LogRequest) {
        let Ok(turn) = tables.log_requests.clone().try_acquire_owned() else {
            return tracing::warn!(request = request.id, "too many requests for logs");
        };
        // The name becomes a part of a URL.
        if !request.id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            return tracing::warn!("refused a request for logs: its name is not one");
        }
        let directory = self.logs.join(request.instance.as_str());
        let dialer = self.dialer.clone();
        tokio::spawn(async move {
            let id = request.id.clone();
            let write = |to| crate::logs::stream(request, directory, to);
            if let Err(error) = send_logs(&dialer, &server, &id, write).await {
                tracing::debug!(error = told(&error), id, "a request for logs ended");
            }
            drop(turn);
        });
    }

    /// Puts the newest network table in place, one after the other. One whose hosts cannot be
    /// reached yet is not acknowledged, and a newer one does not wait for it.
    async fn put_in_place(&self, mut tables: watch::Receiver<Arc<NetworkTable>>) {
        self.acknowledge_network(tables.borrow_and_update().generation);
        let mut newer = tables.changed().await.is_ok();
        while newer {
            let table = tables.borrow_and_update().clone();
            let generation = table.generation;
            let ways = self.network.set_table((*table).clone()).await;
            newer = tokio::select! {
                biased;
                // Cancel-safe: only waits.
                () = self.network.reached(ways) => {
                    self.acknowledge_network(generation);
                    tables.changed().await.is_ok()
                }
                // Cancel-safe: a change stays marked until it is looked at.
                newer = tables.changed() => newer.is_ok(),
            };
        }
    }

    fn acknowledge_network(&self, generation: Generation) {
        self.acknowledge.send_modify(|known| *known = in_place(generation, known.ingress));
    }

    async fn acknowledge_ingress(&self) {
        let Some(ingress) = &self.ingress else { return };
        let mut acknowledged = ingress.acknowledged();
        loop {
            let generation = *acknowledged.borrow_and_update();
            self.acknowledge.send_modify(|known| *known = in_place(known.network, generation));
            if acknowledged.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Tables {
    /// An ingress table as this host sees it.
    fn ingress_seen(&self, table: &Arc<IngressTable>) -> Arc<IngressTable> {
        match self.left.is_empty() {
            true => table.clone(),
            false => Arc::new(alone::ingress(table, &self.network.hosts, &self.left)),
        }
    }
}

/// The addresses of a table.
pub(super) fn addresses(table: &VipTable) -> BTreeSet<IpAddr> {
    table.vips.iter().map(|vip| vip.address.into()).collect()
}

/// Judges a table, with a word about those that are refused. Generation 0 is the empty beginning.
fn accepted<T: PartialEq>(what: &str, have: (Generation, &T), given: (Generation, &T)) -> Verdict {
    let verdict = judge(Some(have).filter(|(generation, _)| generation.0 > 0), given);
    let (have, given) = (have.0, given.0);
    match verdict {
        Verdict::Take | Verdict::Replay => {}
        Verdict::Older => tracing::warn!(what, %have, %given, "refused a document: it is older"),
        Verdict::Conflict => {
            tracing::error!(what, %given, "refused a document: same generation, other content");
        }
    }
    verdict
}
