//! What an agent is started with, and why it did not start.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use api::about::Settings;
use api::host::{Capacity, DomainPath};
use api::id::HostId;
use ipnet::Ipv4Net;
use net::Slug;
use net::overlay::Mode;

use super::domain::DomainCommand;
use crate::images::ImagesError;
use crate::ingress::{GatewayOptions, IngressError};
use crate::link::LinkError;
use crate::network::{Between, NetworkError};
use crate::runtime::RuntimeError;
use crate::state::{DirectoryError, VaultError};
use crate::vip::VipError;

/// What an agent is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The clock; that of certificates too.
    pub clock: clock::Clock,
    /// On disk: images, documents, logs. Locked while the agent runs.
    pub data_dir: PathBuf,
    /// On tmpfs: bundles, namespaces, sockets; usually `/run/freehold/SLUG`.
    pub run_dir: PathBuf,
    /// Names everything of this installation on the machine.
    pub slug: Slug,
    /// The host's name, as in its certificate.
    pub host: HostId,
    /// The servers, `HOST:PORT` each.
    pub servers: Vec<String>,
    /// The cluster's authorities, PEM; written again when servers hand others out.
    pub authorities: PathBuf,
    /// The agent's certificate. Read again when it changes.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The addresses of this host's instances, a /24.
    pub subnet: Ipv4Net,
    /// The failure domain it stands in, where it was told.
    pub domain: Option<DomainPath>,
    /// How to find that out, where it may change; what it finds goes before.
    pub domain_command: Option<DomainCommand>,
    /// Where other hosts reach it, where it was told.
    pub address: Option<Ipv4Addr>,
    /// How packets go to other hosts' instances; the same on all hosts.
    pub overlay: Mode,
    /// The UDP port of the tunnel between hosts; the same on all hosts.
    pub overlay_port: u16,
    /// The UDP port of adverts between ingress hosts; the same on all hosts.
    pub vip_port: u16,
    /// The addresses of all instances of the cluster.
    pub cluster: Ipv4Net,
    /// The addresses of services.
    pub services: Ipv4Net,
    /// Where the ingress serves plain HTTP; none with `https` none: no ingress on this host.
    pub http: Option<SocketAddr>,
    /// Where the ingress serves TLS.
    pub https: Option<SocketAddr>,
    /// Whether it serves the ingress there until a server says whether it shall.
    pub ingress: bool,
    /// Where the ingress passes connections on to the API of any server.
    pub gateway: GatewayOptions,
    /// The executable for shim and proxy; usually `/proc/self/exe`.
    pub exe: PathBuf,
    /// Its arguments for a shim, before `--bundle DIR`; usually `shim`.
    pub shim_args: Vec<String>,
    /// Its arguments for the proxy, before `--control PATH`; usually `proxy`.
    pub proxy_args: Vec<String>,
    /// Remove everything on an orderly end: containers, network, run directory.
    pub ephemeral: bool,
    /// Where it answers probes of other hosts and probes them from, over UDP, and gives layers to
    /// them, over TCP; none on a host alone.
    pub probe: Option<SocketAddr>,
    /// What the host has to give, where the operator knows better.
    pub capacity: Option<Capacity>,
}

impl Options {
    /// What must be the same on all hosts; none where no other host reaches this one.
    pub(super) fn settings(&self) -> Option<Settings> {
        let between = self.between()?;
        Some(Settings {
            overlay: between.mode.to_string(),
            overlay_port: between.port,
            vip_port: self.vip_port,
            probe_port: self.probe.map(|probe| probe.port()),
            instance_range: self.cluster,
            service_range: self.services,
        })
    }

    /// This host on the network between hosts; none where nobody else could reach it.
    pub(super) fn between(&self) -> Option<Between> {
        let address = self.address.filter(|address| !address.is_loopback())?;
        Some(Between { address, mode: self.overlay, port: self.overlay_port })
    }
}

/// Why an agent did not start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The data directory could not be taken.
    #[error("start the agent")]
    Data(#[from] DirectoryError),
    /// Documents could not be read.
    #[error("start the agent")]
    Vault(#[from] VaultError),
    /// A directory could not be made.
    #[error("prepare {}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The authority's certificate is unusable.
    #[error("read the cluster's authority")]
    Authority(#[from] pki::BundleError),
    /// The authorities' certificates cannot be used for TLS.
    #[error("trust the cluster's authority")]
    Trust(#[from] pki::TlsError),
    /// The agent's certificate is unusable.
    #[error("read the agent's certificate")]
    Identity(#[from] pki::IdentityError),
    /// Probes cannot be answered.
    #[error("listen for probes of other hosts on {address} (udp)")]
    Probe {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Layers cannot be given to other hosts.
    #[error("listen for other hosts that want layers on {address} (tcp)")]
    Give {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The agent's certificate names no member of a cluster.
    #[error("read the agent's certificate")]
    Peer(#[from] pki::PeerError),
    /// Containers cannot be run.
    #[error("start the container runtime")]
    Runtime(#[from] RuntimeError),
    /// The network cannot be made.
    #[error("start the host's network")]
    Network(#[from] NetworkError),
    /// Addresses cannot be held.
    #[error("start holding addresses")]
    Vips(#[from] VipError),
    /// Images cannot be kept.
    #[error("start the image store")]
    Images(#[from] ImagesError),
    /// The ingress cannot be served.
    #[error("start the ingress")]
    Ingress(#[from] IngressError),
    /// Servers cannot be dialled.
    #[error("start the link to the servers")]
    Link(#[from] LinkError),
}
