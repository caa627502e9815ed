//! The packet filter as one writer: the newest wanted state is loaded, whatever came between is
//! not.

use std::sync::Arc;
use std::time::Duration;

use net::NetlinkError;
use net::nft::{self, Base, Changer, Groups, NftError, Ruleset, TooManyGroups};
use tokio::sync::watch;

use super::wanted::Wanted;

/// Before a load that failed is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// Why the filter is not as wanted.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// Environments ran out of numbers.
    #[error("compute the packet filter")]
    Groups(#[from] TooManyGroups),
    /// It was not loaded.
    #[error("load the packet filter")]
    Load(#[from] NftError),
    /// The kernel gives no socket to change it by.
    #[error("open the packet filter")]
    Open(#[from] NetlinkError),
}

/// A numbered wanted state.
#[derive(Debug, Clone, Default)]
struct Order {
    number: u64,
    wanted: Arc<Wanted>,
}

/// The handle of the filter's task.
#[derive(Debug)]
pub struct Filter {
    orders: watch::Sender<Order>,
    loaded: watch::Receiver<u64>,
}

impl Filter {
    /// Loads the filter for `wanted` whole, replacing what an earlier run left, and starts the task
    /// that keeps it as wanted. Blocks for the load.
    ///
    /// # Errors
    /// The first load failed: the host lacks `nft` or the kernel refuses.
    pub fn start(base: &Base, wanted: &Arc<Wanted>) -> Result<Self, FilterError> {
        let mut groups = Groups::default();
        let rules = wanted.rules(base, &mut groups)?;
        let changer = Changer::open()?;
        nft::apply(&nft::render_full(&rules))?;
        let first = Order { number: 1, wanted: wanted.clone() };
        let (orders, receiver) = watch::channel(first);
        let (done, loaded) = watch::channel(1);
        let loader = Loader { base: base.clone(), groups, changer, current: Some(rules) };
        tokio::spawn(run(loader, receiver, done));
        Ok(Self { orders, loaded })
    }

    /// Asks for a state; returns its number for [`Filter::loaded`].
    pub fn want(&self, wanted: Arc<Wanted>) -> u64 {
        let mut given = 0;
        self.orders.send_modify(|order| {
            order.number += 1;
            given = order.number;
            order.wanted = wanted;
        });
        given
    }

    /// Waits until the state of that number or a later one is loaded.
    pub async fn loaded(&self, number: u64) {
        let mut loaded = self.loaded.clone();
        // The task ends only with the process.
        let _ = loaded.wait_for(|done| *done >= number).await;
    }
}

/// What is known of the kernel's side.
#[derive(Debug)]
struct Loader {
    base: Base,
    groups: Groups,
    changer: Changer,
    /// What is loaded; none after a load failed half-known.
    current: Option<Ruleset>,
}

impl Loader {
    fn load(&mut self, wanted: &Wanted) -> Result<(), FilterError> {
        let rules = wanted.rules(&self.base, &mut self.groups)?;
        match self.current.take() {
            Some(current) => self.changer.bring(&current, &rules)?,
            None => nft::apply(&nft::render_full(&rules))?,
        }
        self.current = Some(rules);
        Ok(())
    }
}

async fn run(mut loader: Loader, mut orders: watch::Receiver<Order>, done: watch::Sender<u64>) {
    while orders.changed().await.is_ok() {
        loop {
            let order = orders.borrow_and_update().clone();
            let number = order.number;
            let attempt = tokio::task::spawn_blocking(move || {
                let result = loader.load(&order.wanted);
                (loader, result)
            });
            let Ok((back, result)) = attempt.await else { return };
            loader = back;
            match result {
                Ok(()) => {
                    done.send_replace(number);
                    break;
                }
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "packet filter");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }
}
