//! The end of an ephemeral agent: nothing of it stays on the host but its data directory.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use net::Slug;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::options::Options;
use crate::cgroup::{Cgroup, Layout};
use crate::converge::Order;
use crate::failure::told;
use crate::network::Network;
use crate::runtime::{HostRuntime, Runtime};

/// How long instances may take to stop by themselves, all at once. Who interrupts an ephemeral
/// installation waits for this.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// The cgroup above all containers of an installation.
pub(super) fn cgroup_parent(slug: &Slug) -> PathBuf {
    PathBuf::from(format!("/freehold-{slug}"))
}

/// Stops all instances in order, then whatever is left of containers.
pub(super) async fn containers(orders: &mpsc::Sender<Order>, runtime: &Arc<HostRuntime>) {
    let (done, gone) = oneshot::channel();
    if orders.send(Order::Clear(done)).await.is_ok() && timeout(STOP_WITHIN, gone).await.is_err() {
        tracing::warn!("instances did not stop in time and are killed");
    }
    let runtime = runtime.clone();
    let rest = move || match runtime.list() {
        Ok(left) => {
            for status in left {
                if let Err(error) = runtime.delete(&status.id) {
                    tracing::warn!(error = told(&error), "removing a container");
                }
            }
        }
        Err(error) => tracing::warn!(error = told(&error), "listing containers"),
    };
    let _ = tokio::task::spawn_blocking(rest).await;
}

/// Removes what an agent left that did not get as far as running anything.
pub(super) async fn leftovers(options: &Options) {
    let (slug, cluster) = (options.slug.clone(), options.cluster);
    let namespaces = options.run_dir.join("namespaces");
    let remove = move || {
        if let Err(error) = net::link::remove_all(&slug, &namespaces) {
            tracing::debug!(error = told(&error), "removing links");
        }
        if let Err(error) = net::overlay::remove(&slug, cluster) {
            tracing::debug!(error = told(&error), "removing the ways to other hosts");
        }
        if let Err(error) = net::nft::apply(&net::nft::render_removal(&slug)) {
            tracing::debug!(error = told(&error), "removing the packet filter");
        }
    };
    let _ = tokio::task::spawn_blocking(remove).await;
    directories(options);
}

/// Removes network, cgroups and the run directory.
pub(super) async fn host(options: &Options, network: &Network) {
    if let Err(error) = network.remove().await {
        tracing::warn!(error = told(&error), "removing the network");
    }
    directories(options);
}

fn directories(options: &Options) {
    let parent = cgroup_parent(&options.slug);
    match Layout::of_this_host() {
        Ok(layout) => {
            if let Err(error) = Cgroup::at(&layout, &parent).remove() {
                tracing::warn!(error = told(&error), "removing the cgroup");
            }
        }
        Err(error) => tracing::warn!(error = told(&error), "finding cgroups"),
    }
    if let Err(error) = std::fs::remove_dir_all(&options.run_dir) {
        tracing::warn!(path = %options.run_dir.display(), %error, "removing the run directory");
    }
}
