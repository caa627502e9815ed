//! An agent on its hollow machine.

use std::sync::Arc;

use agent::converge::Clock;
use agent::lease::Leases;
use agent::link::{Reach, Wire as Stream};
use agent::{Ground, run_on};
use async_trait::async_trait;
use tokio::sync::oneshot;

use super::machine::{Disk, Hollow, Images, Machine, Paths, Undying};
use super::pipe::{End, Pipe};
use super::place::{Out, Place, Side};
use super::planted::Planted;
use super::shape::Shape;
use super::wire::{Inbox, Socket};

/// Reaches servers over the world's links.
pub(super) struct Dial(pub(super) Place);

impl Dial {
    pub(super) async fn dial(&self, to: &str) -> std::io::Result<Pipe> {
        let (end, conn) = (Arc::new(End::default()), self.0.next_conn());
        let (answer, answered) = oneshot::channel();
        let pipe = Pipe::new(self.0.clone(), conn, Side::Client, end.clone());
        self.0.put(Out::Dial { conn, to: to.to_owned(), end, answer });
        match answered.await {
            Ok(true) => Ok(pipe),
            _ => Err(std::io::ErrorKind::ConnectionRefused.into()),
        }
    }
}

#[async_trait]
impl Reach for Dial {
    async fn reach(&self, server: &str) -> std::io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.dial(server).await?))
    }
}

/// Runs an agent until the node's end.
pub(super) async fn run(
    (shape, planted): (Shape, Option<Planted>),
    at: usize,
    machine: Arc<Machine>,
    clock: clock::Clock,
    inbox: Arc<Inbox>,
    place: Place,
) {
    let leases = Arc::new(Leases::new(Arc::new(Undying), clock.clone()));
    let ground = Ground {
        host: Arc::new(Hollow {
            machine: machine.clone(),
            name: shape.host_name(at),
            clock: Clock::new(clock.clone()),
            leases: leases.clone(),
            place: place.clone(),
        }),
        network: Arc::new(Paths {
            machine: machine.clone(),
            place: place.clone(),
            late: if planted == Some(Planted::EarlyAcknowledgment) { 3_000 } else { 0 },
        }),
        supply: Arc::new(Images),
        leases: leases.clone(),
        clock: clock.clone(),
        shelf: Arc::new(Disk {
            machine: machine.clone(),
            forgets: planted == Some(Planted::ForgetfulDisk),
        }),
        reach: Arc::new(Dial(place.clone())),
        wire: Box::new(Socket { address: shape.probed_at(place.node), place, inbox }),
        capacity: shape.capacity(),
        place: shape.place(at),
        servers: (0..shape.servers).map(|at| shape.served_at(at)).collect(),
    };
    if let Err(error) = run_on(ground, |name| machine.kept(name)).await {
        tracing::error!(%error, "an agent ended");
    }
}
