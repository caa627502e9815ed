//! The network of this host as the rest of the agent uses it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api::id::{Generation, InstanceId};
use api::network::NetworkTable;
use arc_swap::ArcSwap;
use ipnet::Ipv4Net;
use net::address::{Collision, check_free, gateway, occupied};
use net::link::{
    Bridge, InstanceLink, LinkError, attach, detach, ensure_bridge, ports, remove_all,
};
use net::nft::{Base, NftError, Tunnel};
use net::overlay::{self, Mode, Overlay, OverlayError, Peer};
use net::sysctl::{Forwarding, SysctlError, ensure_forwarding};
use net::{NetlinkError, Slug};
use parking_lot::Mutex;

use super::filter::{Filter, FilterError};
use super::wanted::{LocalInstance, Wanted};
use super::ways::Ways;
use crate::dns::{DnsError, DnsServer, NameTable, parse_resolvers};
use crate::failure::told;

/// The largest packet inside a host without others: the Ethernet default, so that nothing is cut on
/// its way out.
const MTU: u32 = 1500;

/// How long a new table waits for the ways to new hosts before the packet filter lets traffic go
/// there; they take milliseconds, and if they fail, what stays on this host must not wait.
const OPEN_WITHIN: Duration = Duration::from_secs(1);

/// Why the host's network is not there.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A link could not be made or removed.
    #[error("set up the links of the host's network")]
    Link(#[from] LinkError),
    /// The kernel could not be asked about addresses.
    #[error("look for addresses in use")]
    Netlink(#[from] NetlinkError),
    /// The range is in use.
    #[error("choose the host's addresses")]
    Collision(#[from] Collision),
    /// A kernel setting could not be made.
    #[error("let the host forward packets")]
    Sysctl(#[from] SysctlError),
    /// The packet filter was refused.
    #[error("set up the packet filter")]
    Filter(#[from] FilterError),
    /// Other hosts cannot be reached.
    #[error("set up the ways to other hosts")]
    Overlay(#[from] OverlayError),
    /// The packet filter could not be removed.
    #[error("remove the packet filter")]
    Remove(#[from] NftError),
    /// DNS could not listen.
    #[error("set up DNS for containers")]
    Dns(#[from] DnsError),
    /// A directory could not be made.
    #[error("prepare {}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The task of a blocking call ended early: the process is going down.
    #[error("finish a call that was broken off")]
    BrokenOff,
}

/// What the network is made from.
#[derive(Debug, Clone)]
pub struct NetworkOptions {
    /// Whose.
    pub slug: Slug,
    /// The addresses of this host's instances.
    pub subnet: Ipv4Net,
    /// The addresses of all instances of the cluster.
    pub cluster: Ipv4Net,
    /// The addresses of services.
    pub services: Ipv4Net,
    /// The network between hosts; none for a host that is alone.
    pub between: Option<Between>,
    /// A directory on tmpfs for files with namespaces.
    pub namespaces: PathBuf,
}

/// This host on the network between hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Between {
    /// Its address there, as other hosts know it.
    pub address: Ipv4Addr,
    /// How packets go; the same on all hosts.
    pub mode: Mode,
    /// The tunnel's UDP port; the same on all hosts.
    pub port: u16,
}

impl NetworkOptions {
    fn overlay(&self) -> Option<Overlay> {
        let Between { address, mode, port } = self.between?;
        let (cluster, subnet) = (self.cluster, self.subnet);
        Some(Overlay { slug: self.slug.clone(), address, mode, port, cluster, subnet })
    }

    fn base(&self) -> Base {
        let overlay = self.overlay().filter(|overlay| overlay.mode != Mode::Direct);
        Base {
            slug: self.slug.clone(),
            subnet: self.subnet,
            cluster: self.cluster,
            services: self.services,
            tunnel: overlay
                .map(|overlay| Tunnel { port: overlay.port, identifier: overlay.identifier() }),
        }
    }
}

/// The host's network.
#[derive(Debug)]
pub struct Network {
    options: NetworkOptions,
    gateway: Ipv4Addr,
    wanted: Mutex<Arc<Wanted>>,
    names: Arc<ArcSwap<NameTable>>,
    filter: Filter,
    ways: Option<Ways>,
    /// The largest packet of instances.
    mtu: u32,
}

/// What [`Network::start`] made.
struct Made {
    filter: Filter,
    ways: Option<Ways>,
    mtu: u32,
}

impl Network {
    /// Makes bridge and packet filter for what is wanted from an earlier run, adopting what is
    /// there, and starts DNS.
    ///
    /// # Errors
    /// The range is in use by others, or the host lacks something.
    pub async fn start(options: NetworkOptions, wanted: Wanted) -> Result<Self, NetworkError> {
        let gateway = gateway(options.subnet);
        let wanted = Arc::new(wanted);
        let Made { filter, ways, mtu } = {
            let (options, wanted) = (options.clone(), wanted.clone());
            blocking(move || set_up(&options, &wanted)).await??
        };
        let names = Arc::new(ArcSwap::from_pointee(wanted.names()));
        let resolv = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let resolvers = parse_resolvers(&resolv, gateway.into());
        let dns = DnsServer::bind((gateway, 53).into(), names.clone(), resolvers).await?;
        tokio::spawn(dns.run());
        let wanted = Mutex::new(wanted);
        Ok(Self { options, gateway, wanted, names, filter, ways, mtu })
    }

    /// The address of the host as containers know it; DNS answers there.
    #[must_use]
    pub fn gateway(&self) -> Ipv4Addr {
        self.gateway
    }

    /// Where the namespace of an instance is bound.
    #[must_use]
    pub fn namespace(&self, instance: &InstanceId) -> PathBuf {
        self.options.namespaces.join(instance.as_str())
    }

    /// The generation of the table in use.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.wanted.lock().table.generation
    }

    /// Takes a new table; returns when packet filter and DNS have it, with the number of its ways
    /// to other hosts for [`Network::reached`]. New hosts are reached before the filter lets data
    /// go there, and connections with instances that left are reset once nothing new goes there.
    pub async fn set_table(&self, table: NetworkTable) -> u64 {
        let before = self.wanted.lock().clone();
        let gone = before.gone(&table);
        let after = Wanted { table: table.clone(), ..Wanted::default() }.peers();
        if let Some(ways) = &self.ways {
            let number = ways.want(both(before.peers(), &after));
            // One that fails is tried again while everything else goes on.
            let _ = tokio::time::timeout(OPEN_WITHIN, ways.reached(number)).await;
        }
        let number = self.change(|wanted| wanted.table = table);
        self.filter.loaded(number).await;
        self.reset(gone).await;
        self.ways.as_ref().map_or(0, |ways| ways.want(after))
    }

    /// Waits until the hosts of that number's table are reached.
    pub async fn reached(&self, number: u64) {
        if let Some(ways) = &self.ways {
            ways.reached(number).await;
        }
    }

    /// Ends what goes on with addresses that nobody has any more.
    async fn reset(&self, gone: BTreeSet<Ipv4Addr>) {
        if gone.is_empty() {
            return;
        }
        match blocking(move || net::conntrack::forget(&gone)).await {
            Ok(Ok(0)) | Err(_) => {}
            Ok(Ok(count)) => tracing::info!(count, "reset connections with instances that left"),
            Ok(Err(error)) => {
                tracing::warn!(error = told(&error), "resetting connections");
            }
        }
    }

    /// Says which instances are to have a place in the network, from now on; returns the number to
    /// wait for with [`Network::admitted`].
    pub fn admit(&self, instances: impl IntoIterator<Item = (InstanceId, LocalInstance)>) -> u64 {
        let instances: Vec<_> = instances.into_iter().collect();
        self.change(|wanted| wanted.local.extend(instances))
    }

    /// Whether an instance has a place in the network.
    #[must_use]
    pub fn has_place(&self, instance: &InstanceId) -> bool {
        self.wanted.lock().local.contains_key(instance)
    }

    /// Waits until the packet filter knows the instances of that number.
    pub async fn admitted(&self, number: u64) {
        self.filter.loaded(number).await;
    }

    /// Makes an instance's namespace and link, or adopts them.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn attach(
        &self,
        instance: &InstanceId,
        address: Ipv4Addr,
    ) -> Result<(), NetworkError> {
        let link = InstanceLink {
            slug: self.options.slug.clone(),
            namespace: self.namespace(instance),
            address,
            gateway: self.gateway,
            mtu: self.mtu,
        };
        blocking(move || attach(&link)).await??;
        Ok(())
    }

    /// Takes an instance out of the network: link, namespace, packet filter, names.
    ///
    /// # Errors
    /// The kernel refused; the call may be repeated.
    pub async fn detach(
        &self,
        instance: &InstanceId,
        address: Ipv4Addr,
    ) -> Result<(), NetworkError> {
        let namespace = self.namespace(instance);
        blocking(move || detach(&namespace, address)).await??;
        let known = self.wanted.lock().local.contains_key(instance);
        if known {
            self.change(|wanted| {
                wanted.local.remove(instance);
            });
        }
        Ok(())
    }

    /// Removes the links of earlier runs that no instance has.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn sweep(&self) -> Result<(), NetworkError> {
        let wanted = self.wanted.lock().clone();
        let options = self.options.clone();
        blocking(move || {
            let addresses: Vec<Ipv4Addr> = wanted.local.values().map(|l| l.address).collect();
            for port in ports(&options.slug)? {
                if !addresses.contains(&port.address) {
                    detach(Path::new(&options.namespaces.join("none")), port.address)?;
                }
            }
            for path in net::namespace::list(&options.namespaces).map_err(LinkError::from)? {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let known = InstanceId::new(name).is_ok_and(|id| wanted.local.contains_key(&id));
                if !known {
                    net::namespace::delete(&path).map_err(LinkError::from)?;
                }
            }
            Ok(())
        })
        .await?
    }

    /// Removes everything of this installation's network.
    ///
    /// # Errors
    /// The first thing the kernel refused, after everything was tried.
    pub async fn remove(&self) -> Result<(), NetworkError> {
        let options = self.options.clone();
        blocking(move || {
            let links = remove_all(&options.slug, &options.namespaces);
            let ways = overlay::remove(&options.slug, options.cluster);
            net::nft::apply(&net::nft::render_removal(&options.slug))?;
            links?;
            ways?;
            Ok(())
        })
        .await?
    }

    fn change(&self, change: impl FnOnce(&mut Wanted)) -> u64 {
        let mut current = self.wanted.lock();
        let mut wanted = Wanted::clone(&current);
        change(&mut wanted);
        let wanted = Arc::new(wanted);
        *current = wanted.clone();
        self.names.store(Arc::new(wanted.names()));
        // Inside the lock, so that numbers and states are in the same order.
        self.filter.want(wanted)
    }
}

/// Both sets, but of two hosts with the same subnet only the new one.
fn both(before: BTreeSet<Peer>, after: &BTreeSet<Peer>) -> BTreeSet<Peer> {
    let taken: BTreeSet<Ipv4Net> = after.iter().map(|peer| peer.subnet).collect();
    let mut both = after.clone();
    both.extend(before.into_iter().filter(|peer| !taken.contains(&peer.subnet)));
    both
}

fn set_up(options: &NetworkOptions, wanted: &Arc<Wanted>) -> Result<Made, NetworkError> {
    let (base, overlay) = (options.base(), options.overlay());
    // Links of an earlier run of ours are no strangers.
    let own: Vec<String> = ports(&options.slug)?.into_iter().map(|port| port.name).collect();
    let mut existing = occupied(&options.slug)?;
    existing.retain(|occupied| !own.contains(&occupied.interface));
    check_free(options.subnet, &existing)?;
    check_free(options.services, &existing)?;
    fs::create_dir_all(&options.namespaces)
        .map_err(|source| NetworkError::Directory { path: options.namespaces.clone(), source })?;
    if ensure_forwarding()? == Forwarding::TurnedOn {
        tracing::warn!(
            "switched forwarding of IPv4 packets on for this host (net.ipv4.ip_forward)"
        );
    }
    // The filter comes first: nothing is ever reachable without it.
    let mtu = overlay.as_ref().map_or(Ok(MTU), overlay::mtu)?;
    let filter = Filter::start(&base, wanted)?;
    let prefix = options.subnet.prefix_len();
    let address = Ipv4Net::new_assert(base.gateway(), prefix);
    ensure_bridge(&Bridge { slug: options.slug.clone(), address, services: base.services, mtu })?;
    let ways = overlay.map(|overlay| Ways::start(overlay, wanted.peers())).transpose()?;
    Ok(Made { filter, ways, mtu })
}

async fn blocking<T: Send + 'static>(
    task: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NetworkError> {
    tokio::task::spawn_blocking(task).await.map_err(|_| NetworkError::BrokenOff)
}
