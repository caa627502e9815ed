//! Whom the platform routes to, and who of them answers: the ingress itself is asked for its
//! instances, and each of those for an answer, from the same machine.

use std::collections::BTreeSet;
use std::net::{SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use net::namespace::Namespace;
use proxy::control::Client;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::watch::{Seen, Watch};
use crate::cluster::client::{Nanos, now, once};
use crate::cluster::platform::HOST;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Who answers later does not answer.
const WITHIN: Duration = Duration::from_millis(500);

/// Where a lab's agent has its proxy.
const CONTROL: &str = "run/freehold/lab/proxy.sock";

/// One look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    /// When.
    pub(super) at: Nanos,
    /// Whom the ingress routes to.
    pub(super) routed: BTreeSet<String>,
    /// Who of them answered a request of that moment.
    pub(super) answered: BTreeSet<String>,
}

/// Watches the ingress of a machine, by the id of a process on it.
pub(super) fn watch(pid: u32) -> Result<Watch<Look>> {
    let network = Path::new("/proc").join(pid.to_string()).join("ns/net");
    let network = Namespace::open(&network).context("find a machine's network")?;
    let control = Path::new("/proc").join(pid.to_string()).join("root").join(CONTROL);
    ensure!(control.exists(), "no ingress at {}", control.display());
    Ok(Watch::start(move |seen| {
        let watching = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.context("start a watcher")?.block_on(look_on(seen, control))
        };
        network.run(watching).context("enter a machine's network")?
    }))
}

async fn look_on(seen: &Seen<Look>, control: PathBuf) -> Result<()> {
    let (mut ingress, _) = Client::connect(&control).await.context("reach an ingress")?;
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while seen.goes_on() {
        ticks.tick().await;
        let at = now();
        let counted = ingress.metrics().await.context("ask an ingress")?;
        let routed = counted.instances.iter().filter(|instance| !instance.ejected);
        let routed: Vec<(String, SocketAddrV4)> =
            routed.filter_map(|it| Some((it.instance.to_string(), v4(it.address)?))).collect();
        let seen = seen.clone();
        // At most as many looks live at once as fit into the time for an answer.
        drop(tokio::spawn(async move { seen.push(ask_all(at, routed).await) }));
    }
    tokio::time::sleep(WITHIN).await;
    Ok(())
}

async fn ask_all(at: Nanos, routed: Vec<(String, SocketAddrV4)>) -> Look {
    let asked = routed.iter().map(async |(name, address)| {
        let answer = timeout(WITHIN, once(*address, HOST)).await;
        matches!(answer, Ok(Ok(who)) if who == *name).then(|| name.clone())
    });
    let answered = futures_util::future::join_all(asked).await.into_iter().flatten().collect();
    Look { at, routed: routed.into_iter().map(|(name, _)| name).collect(), answered }
}

fn v4(address: SocketAddr) -> Option<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
    }
}

/// The look with the fewest that were routed to and answered, from a moment on.
pub(super) fn fewest(looks: &[Look], since: Nanos) -> Option<&Look> {
    let later = looks.iter().filter(|look| look.at >= since);
    later.min_by_key(|look| look.answered.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fewest_that_answered_count() {
        let look = |at, answered: &[&str]| {
            let of = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect();
            Look { at, routed: of(&["a", "b", "c"]), answered: of(answered) }
        };
        let looks = [look(1, &[]), look(5, &["a", "b"]), look(6, &["c"]), look(7, &["a", "b"])];
        assert_eq!(fewest(&looks, 2), Some(&looks[2]));
        assert_eq!(fewest(&looks, 0), Some(&looks[0]));
        assert_eq!(fewest(&looks, 8), None);
    }
}
