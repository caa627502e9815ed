//! `freehold agent`: the host side.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use api::host::DomainPath;
use api::id::HostId;
use api::liveness::PROBE_PORT;
use ipnet::Ipv4Net;
use net::Slug;
use net::overlay::{Mode, TUNNEL_PORT};

use super::process::{Supervised, finished, runtime, start_log, stop_signal};
use crate::failure::Failure;

/// Run the agent of a host
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// On disk: images, documents, logs
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// On tmpfs: bundles, namespaces, sockets
    #[arg(long, value_name = "DIR")]
    pub run_dir: PathBuf,
    /// Names everything of this installation on the machine: 1 to 8 of a-z and 0-9
    #[arg(long, value_name = "SLUG")]
    pub slug: Slug,
    /// The host's name, as in its certificate
    #[arg(long, value_name = "NAME")]
    pub host: HostId,
    /// A server; may be repeated
    #[arg(long = "server", value_name = "HOST:PORT", required = true)]
    pub servers: Vec<String>,
    /// The cluster's authorities, PEM
    #[arg(long, value_name = "FILE")]
    pub authorities: PathBuf,
    /// The host's certificate, PEM
    #[arg(long, value_name = "FILE")]
    pub certificate: PathBuf,
    /// That certificate's key, PEM
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// The addresses of this host's instances, a /24
    #[arg(long, value_name = "CIDR")]
    pub subnet: Ipv4Net,
    /// The failure domain it stands in, outermost first, e.g. rack-3/hypervisor-12
    #[arg(long, value_name = "PATH")]
    pub domain: Option<DomainPath>,
    /// Where other hosts reach it
    #[arg(long, value_name = "IP")]
    pub address: Option<Ipv4Addr>,
    /// How packets go to other hosts' instances: auto (direct on a common segment), vxlan or
    /// direct; the same on all hosts
    #[arg(long, value_name = "MODE", default_value_t)]
    pub overlay: Mode,
    /// The UDP port of the tunnel between hosts; the same on all hosts
    #[arg(long, value_name = "PORT", default_value_t = TUNNEL_PORT)]
    pub overlay_port: u16,
    /// The UDP port of adverts between ingress hosts; the same on all hosts
    #[arg(long, value_name = "PORT", default_value_t = agent::vip::PORT)]
    pub vip_port: u16,
    /// The UDP port on which hosts probe each other; the same on all hosts
    #[arg(long, value_name = "PORT", default_value_t = PROBE_PORT)]
    pub probe_port: u16,
    /// The addresses of all instances of the cluster
    #[arg(long, value_name = "CIDR")]
    pub instance_range: Ipv4Net,
    /// The addresses of services
    #[arg(long, value_name = "CIDR")]
    pub service_range: Ipv4Net,
    /// Where the ingress serves plain HTTP
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<SocketAddr>,
    /// Where the ingress serves TLS
    #[arg(long, value_name = "ADDRESS")]
    pub https: Option<SocketAddr>,
    /// Remove containers, network and run directory on an orderly end
    #[arg(long)]
    pub ephemeral: bool,
    #[command(flatten)]
    pub supervised: Supervised,
}

/// Runs an agent until SIGTERM.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    arguments.supervised.follow()?;
    start_log();
    let authorities = pki::CaBundle::load(&arguments.authorities)?;
    let access_log = arguments.data.join("access.log").to_string_lossy().into_owned();
    let options = agent::Options {
        data_dir: arguments.data,
        run_dir: arguments.run_dir,
        slug: arguments.slug,
        host: arguments.host,
        servers: arguments.servers,
        ca_pem: authorities.to_pem(),
        certificate: arguments.certificate,
        key: arguments.key,
        subnet: arguments.subnet,
        domain: arguments.domain,
        address: arguments.address,
        overlay: arguments.overlay,
        overlay_port: arguments.overlay_port,
        vip_port: arguments.vip_port,
        cluster: arguments.instance_range,
        services: arguments.service_range,
        http: arguments.http,
        https: arguments.https,
        exe: PathBuf::from("/proc/self/exe"),
        shim_args: vec!["shim".to_owned()],
        proxy_args: vec!["proxy".to_owned(), "--access-log".to_owned(), access_log],
        ephemeral: arguments.ephemeral,
        probe: arguments.address.map(|ip| SocketAddr::new(ip.into(), arguments.probe_port)),
        capacity: None,
    };
    runtime()?.block_on(async {
        let stop = stop_signal()?;
        finished(Box::pin(agent::run(options, stop.cancelled_owned())).await)
    })
}
