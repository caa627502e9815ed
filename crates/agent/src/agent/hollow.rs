//! An agent on something that stands in for a machine: all that decides is the agent's own, all
//! that is done goes to the ground it stands on. For simulations.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::about::About;
use api::authority::Trusts;
use api::host::Capacity;
use api::network::NetworkTable;
use api::protocol::{Acknowledge, Hello, Place, VERSION};
use clock::Clock;
use probe::{Answering, Service, Wire};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::dispatch::Dispatcher;
use super::hands::{Supply, Ways};
use super::leave::Leaving;
use super::{DOCUMENTS, Kept, feel_pulse, keep_status, tell_time};
use crate::converge::{Converger, Host};
use crate::ingress::Traffic;
use crate::lease::Leases;
use crate::link::{Dialer, Reach, Servers, Uplink};
use crate::runtime::RuntimeError;
use crate::state::{Keeper, Shelf};
use crate::vip::Holdings;

/// What an agent stands on.
pub struct Ground {
    /// Where containers run.
    pub host: Arc<dyn Host>,
    /// The ways to other hosts' instances.
    pub network: Arc<dyn Ways>,
    /// Where images come from.
    pub supply: Arc<dyn Supply>,
    /// Its singletons' leases; those that `host` waits for.
    pub leases: Arc<Leases>,
    /// The clock.
    pub clock: Clock,
    /// The disk.
    pub shelf: Arc<dyn Shelf>,
    /// How servers are reached.
    pub reach: Arc<dyn Reach>,
    /// How hosts probe each other.
    pub wire: Box<dyn Wire>,
    /// What the host has to give.
    pub capacity: Capacity,
    /// Where it stands.
    pub place: Place,
    /// The servers, `HOST:PORT` each.
    pub servers: Vec<String>,
}

/// Runs an agent until dropped. `kept` gives what is on its disk, by name.
///
/// # Errors
/// Its containers can't be listed.
pub async fn run_on(
    ground: Ground,
    kept: impl Fn(&str) -> Option<Vec<u8>>,
) -> Result<(), RuntimeError> {
    let kept = read(kept);
    let (hello, about) = introduction(&ground);
    let about = watch::Sender::new(about);
    let servers = Servers::new(ground.servers, kept.servers.unwrap_or_default());
    let servers = watch::Sender::new(servers);
    let keeper = |name| Keeper::start(ground.shelf.clone(), name);
    let (host, capacity) = (ground.host.clone(), ground.capacity);
    let (converger, status) =
        Converger::start(host, keeper("assignment"), kept.documents, kept.status, capacity).await?;
    let (orders, order_queue) = mpsc::channel(DOCUMENTS);
    let (used, _) = watch::channel(Vec::new());
    let (observe, given) = watch::channel(Arc::new(kept.observe.unwrap_or_default()));
    let (found, observed) = watch::channel(Default::default());
    let (beat, pulse) = watch::channel(tokio::time::Instant::now());
    let answering = Some(Answering { host: ground.host.name().clone(), pulse });
    let service = Service::on(ground.wire, answering, given, found);
    let (acknowledge, acknowledged) = watch::channel(Acknowledge::default());
    let (leaving, left) = watch::channel(BTreeSet::new());
    let decides = watch::Sender::new(false);
    let leave = Leaving {
        decides: decides.subscribe(),
        observe: observe.subscribe(),
        observed: observed.clone(),
    };
    let dialer = Dialer::over(ground.reach);
    let listed = servers.subscribe();
    let dispatcher = Dispatcher {
        orders: orders.clone(),
        network: ground.network,
        ingress: None,
        vips: None,
        vip_table: Default::default(),
        vip_addresses: watch::Sender::default(),
        supply: ground.supply,
        leases: ground.leases.clone(),
        dialer: dialer.clone(),
        logs: Default::default(),
        vault: ground.shelf.clone(),
        acknowledge,
        observe,
        left,
        servers,
        authorities: watch::Sender::default(),
    };
    let (down, documents) = mpsc::channel(DOCUMENTS);
    let reported = status.clone();
    let uplink = Uplink {
        hello,
        status,
        acknowledge: acknowledged,
        traffic: watch::channel(Traffic::default()).1,
        observed,
        held: watch::channel(Holdings::default()).1,
        leases: ground.leases,
        about: about.subscribe(),
        down,
    };
    tokio::join!(
        converger.run(order_queue, used, CancellationToken::new()),
        feel_pulse(orders, beat),
        service.run(),
        dispatcher.run(documents, (kept.network.unwrap_or_default(), None)),
        crate::link::run(dialer, listed, uplink, decides),
        leave.run(leaving),
        tell_time(ground.clock, about),
        keep_status(reported, Keeper::start(ground.shelf, "status")),
    );
    Ok(())
}

/// What it says of itself, first and from then on.
fn introduction(ground: &Ground) -> (Hello, About) {
    let hello = Hello {
        version: VERSION,
        host: ground.host.name().clone(),
        binary: env!("CARGO_PKG_VERSION").to_owned(),
        capacity: ground.capacity,
        place: ground.place.clone(),
    };
    let about = About {
        place: ground.place.clone(),
        domain_problem: String::new(),
        trusts: Trusts::default(),
        settings: None,
        time: ground.clock.wall(),
    };
    (hello, about)
}

fn read(kept: impl Fn(&str) -> Option<Vec<u8>>) -> Kept {
    Kept {
        documents: one(&kept, "assignment"),
        network: one::<NetworkTable>(&kept, "network"),
        observe: one(&kept, "observe"),
        servers: one(&kept, "servers"),
        status: one(&kept, "status"),
        ..Kept::default()
    }
}

fn one<T: DeserializeOwned>(kept: &impl Fn(&str) -> Option<Vec<u8>>, name: &str) -> Option<T> {
    serde_json::from_slice(&kept(name)?).ok()
}
