//! The ways to other hosts as one writer: the newest wanted hosts are brought in place, and looked
//! after from then on, since a link that goes down takes its routes with it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use net::check::{self, Level};
use net::overlay::{self, Changed, Overlay, OverlayError, Peer};
use tokio::sync::watch;

use crate::failure::told;

/// Before another try after one that failed.
const AGAIN: Duration = Duration::from_millis(500);
/// Between two looks whether everything is still there. A look at 100 hosts takes a millisecond.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A numbered wanted state.
#[derive(Debug, Clone, Default)]
struct Order {
    number: u64,
    peers: Arc<BTreeSet<Peer>>,
}

/// The handle of the task.
#[derive(Debug)]
pub struct Ways {
    orders: watch::Sender<Order>,
    reached: watch::Receiver<u64>,
}

impl Ways {
    /// Brings the ways to `peers` in place and starts the task that keeps them. Blocks for the
    /// first time.
    ///
    /// # Errors
    /// The host lacks its address or the kernel refuses.
    pub fn start(overlay: Overlay, peers: BTreeSet<Peer>) -> Result<Self, OverlayError> {
        note(&overlay, &overlay::ensure(&overlay, peers.iter().copied())?);
        for finding in check::between_hosts(overlay.port, overlay.mode) {
            if finding.level == Level::Broken {
                let hint = finding.hint.unwrap_or_default();
                tracing::warn!(subject = finding.subject, hint, "{}", finding.detail);
            }
        }
        let (orders, receiver) = watch::channel(Order { number: 1, peers: Arc::new(peers) });
        let (done, reached) = watch::channel(1);
        tokio::spawn(run(overlay, receiver, done));
        Ok(Self { orders, reached })
    }

    /// Asks for the ways to exactly these hosts; returns the number for [`Ways::reached`].
    pub fn want(&self, peers: BTreeSet<Peer>) -> u64 {
        self.orders.send_if_modified(|order| {
            let other = *order.peers != peers;
            if other {
                *order = Order { number: order.number + 1, peers: Arc::new(peers) };
            }
            other
        });
        self.orders.borrow().number
    }

    /// Waits until the hosts of that number or a later one are reached.
    pub async fn reached(&self, number: u64) {
        let mut reached = self.reached.clone();
        // The task ends only with the process.
        let _ = reached.wait_for(|done| *done >= number).await;
    }
}

async fn run(overlay: Overlay, mut orders: watch::Receiver<Order>, done: watch::Sender<u64>) {
    let mut failing = false;
    loop {
        let pause = if failing { AGAIN } else { LOOK_EVERY };
        // Cancel-safe: a change stays marked until it is looked at.
        if let Ok(Err(_)) = tokio::time::timeout(pause, orders.changed()).await {
            return;
        }
        let order = orders.borrow_and_update().clone();
        let attempt = {
            let (overlay, peers) = (overlay.clone(), order.peers.clone());
            tokio::task::spawn_blocking(move || {
                let changed = overlay::ensure(&overlay, peers.iter().copied());
                changed.inspect(|changed| note(&overlay, changed))
            })
        };
        let Ok(result) = attempt.await else { return };
        if let Err(error) = &result
            && !failing
        {
            tracing::error!(error = told(error), "bringing up the ways to other hosts");
        }
        failing = result.is_err();
        if !failing {
            done.send_replace(order.number);
        }
    }
}

fn note(overlay: &Overlay, changed: &Changed) {
    let Changed { added, removed, unreached } = changed;
    if added + removed == 0 {
        return;
    }
    tracing::info!(added, removed, mode = %overlay.mode, "ways to other hosts");
    for peer in unreached {
        let Peer { address, subnet } = peer;
        tracing::error!(%address, %subnet, "a host is on no common segment and is not reached");
    }
}
