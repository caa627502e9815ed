//! `freehold agent`: the host side. A machine joins once; from then on its data directory says all
//! there is to know, and flags go before it.

mod file;
pub(super) mod join;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use agent::DomainCommand;
use agent::ingress::GatewayOptions;
use api::host::DomainPath;
use api::id::HostId;
use api::liveness::PROBE_PORT;
use api::unit::Millis;
use ipnet::Ipv4Net;
use net::Slug;
use net::overlay::{Mode, TUNNEL_PORT};

use super::kept::Kept;
use super::process::{Supervised, clock, finished, runtime, start_log, stop_signal};
use crate::failure::Failure;

/// The port of the API where nothing else is said.
const API_PORT: u16 = 7443;

/// Run the agent of a host
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub join: join::Joining,
    /// On disk: what joining gave, images, documents, logs
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// On tmpfs: bundles, namespaces, sockets
    #[arg(long, value_name = "DIR")]
    pub run_dir: Option<PathBuf>,
    /// Names everything of this installation on the machine: 1 to 8 of a-z and 0-9
    #[arg(long, value_name = "SLUG")]
    pub slug: Option<Slug>,
    /// The host's name, as in its certificate
    #[arg(long, value_name = "NAME")]
    pub host: Option<HostId>,
    /// A server; may be repeated
    #[arg(long = "server", value_name = "HOST:PORT")]
    pub servers: Vec<String>,
    /// The cluster's authorities, PEM
    #[arg(long, value_name = "FILE")]
    pub authorities: Option<PathBuf>,
    /// The host's certificate, PEM
    #[arg(long, value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    /// That certificate's key, PEM
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// The addresses of this host's instances, a /24
    #[arg(long, value_name = "CIDR")]
    pub subnet: Option<Ipv4Net>,
    /// The failure domain it stands in, outermost first, e.g. rack-3/hypervisor-12
    #[arg(long, value_name = "PATH")]
    pub domain: Option<DomainPath>,
    /// A command that prints that, run by sh at the start and again and again, where it may change;
    /// see contrib/domain for vSphere, Proxmox and libvirt
    #[arg(long, value_name = "COMMAND")]
    pub domain_command: Option<String>,
    /// How often that command is run [default: 30s]
    #[arg(long, value_name = "DURATION", requires = "domain_command")]
    pub domain_every: Option<Millis>,
    /// How long that command may take [default: 10s]
    #[arg(long, value_name = "DURATION", requires = "domain_command")]
    pub domain_within: Option<Millis>,
    /// Where other hosts reach it
    #[arg(long, value_name = "IP")]
    pub address: Option<Ipv4Addr>,
    /// How packets go to other hosts' instances: auto (direct on a common segment), vxlan or
    /// direct; the same on all hosts
    #[arg(long, value_name = "MODE")]
    pub overlay: Option<Mode>,
    /// The UDP port of the tunnel between hosts; the same on all hosts [default: 4789]
    #[arg(long, value_name = "PORT")]
    pub overlay_port: Option<u16>,
    /// The UDP port of adverts between ingress hosts; the same on all hosts [default: 7445]
    #[arg(long, value_name = "PORT")]
    pub vip_port: Option<u16>,
    /// The UDP port on which hosts probe each other; the same on all hosts [default: 7444]
    #[arg(long, value_name = "PORT")]
    pub probe_port: Option<u16>,
    /// The addresses of all instances of the cluster
    #[arg(long, value_name = "CIDR")]
    pub instance_range: Option<Ipv4Net>,
    /// The addresses of services
    #[arg(long, value_name = "CIDR")]
    pub service_range: Option<Ipv4Net>,
    /// Where the ingress serves plain HTTP
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<SocketAddr>,
    /// Where the ingress serves TLS
    #[arg(long, value_name = "ADDRESS")]
    pub https: Option<SocketAddr>,
    /// The port on which virtual addresses answer for the API of any server [default: 7443]
    #[arg(long, value_name = "PORT")]
    pub api_port: Option<u16>,
    /// Answer for the API of any server at this address too, on a host that runs no server
    #[arg(long, value_name = "IP")]
    pub api: Option<IpAddr>,
    /// Remove containers, network and run directory on an orderly end
    #[arg(long)]
    pub ephemeral: bool,
    #[command(flatten)]
    pub supervised: Supervised,
}

/// Runs an agent until SIGTERM, after joining where that is asked for.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    arguments.supervised.follow()?;
    if arguments.join.print_unit {
        print!("{}", super::unit::agent(&super::unit::this_program()?, &arguments.data)?);
        return Ok(ExitCode::SUCCESS);
    }
    let known = match file::AgentFile::load(&arguments.data)? {
        Some(known) if arguments.join.replace => join::run(&arguments, Some(&known))?,
        Some(known) => known,
        None if arguments.join.asked() => join::run(&arguments, None)?,
        None => return start(given(arguments)?),
    };
    if arguments.join.join_only {
        return Ok(ExitCode::SUCCESS);
    }
    start(known.complete(arguments)?)
}

/// What was typed, when nothing is known from joining: then all of it must be there.
fn given(arguments: Arguments) -> Result<agent::Options, Failure> {
    let missing = |flag: &str| {
        let data = arguments.data.display();
        Failure::invalid(format!("start the agent: {data} has not joined, and --{flag} is missing"))
            .hint("join a cluster first: freehold agent --join ADDRESS --token TOKEN --data DIR")
    };
    let plain = Plain {
        run_dir: arguments.run_dir.clone().ok_or_else(|| missing("run-dir"))?,
        slug: arguments.slug.clone().ok_or_else(|| missing("slug"))?,
        host: arguments.host.clone().ok_or_else(|| missing("host"))?,
        authorities: arguments.authorities.clone().ok_or_else(|| missing("authorities"))?,
        certificate: arguments.certificate.clone().ok_or_else(|| missing("certificate"))?,
        key: arguments.key.clone().ok_or_else(|| missing("key"))?,
        subnet: arguments.subnet.ok_or_else(|| missing("subnet"))?,
        instances: arguments.instance_range.ok_or_else(|| missing("instance-range"))?,
        services: arguments.service_range.ok_or_else(|| missing("service-range"))?,
        data: arguments.data.clone(),
        ingress: true,
    };
    if arguments.servers.is_empty() {
        return Err(missing("server"));
    }
    plain.options(arguments)
}

/// What an agent cannot do without.
struct Plain {
    data: PathBuf,
    run_dir: PathBuf,
    slug: Slug,
    host: HostId,
    authorities: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
    subnet: Ipv4Net,
    instances: Ipv4Net,
    services: Ipv4Net,
    /// Whether it serves the ingress until a server says whether it shall.
    ingress: bool,
}

impl Plain {
    fn options(self, arguments: Arguments) -> Result<agent::Options, Failure> {
        let domain_command = domain_command(&arguments);
        let probe_port = arguments.probe_port.unwrap_or(PROBE_PORT);
        let access_log = self.data.join("access.log").to_string_lossy().into_owned();
        Ok(agent::Options {
            clock: clock()?,
            data_dir: self.data,
            run_dir: self.run_dir,
            slug: self.slug,
            host: self.host,
            servers: arguments.servers,
            authorities: self.authorities,
            certificate: self.certificate,
            key: self.key,
            subnet: self.subnet,
            domain_command,
            domain: arguments.domain,
            address: arguments.address,
            overlay: arguments.overlay.unwrap_or_default(),
            overlay_port: arguments.overlay_port.unwrap_or(TUNNEL_PORT),
            vip_port: arguments.vip_port.unwrap_or(agent::vip::PORT),
            cluster: self.instances,
            services: self.services,
            http: arguments.http,
            https: arguments.https,
            ingress: self.ingress,
            gateway: GatewayOptions {
                port: arguments.api_port.unwrap_or(API_PORT),
                address: arguments.api,
            },
            exe: PathBuf::from("/proc/self/exe"),
            shim_args: vec!["shim".to_owned()],
            proxy_args: vec!["proxy".to_owned(), "--access-log".to_owned(), access_log],
            ephemeral: arguments.ephemeral,
            probe: arguments.address.map(|ip| SocketAddr::new(ip.into(), probe_port)),
            capacity: None,
        })
    }
}

/// How to find the failure domain out, where a command is given for it.
fn domain_command(arguments: &Arguments) -> Option<DomainCommand> {
    let span = |given: Option<Millis>, default| given.map_or(default, Millis::duration);
    Some(DomainCommand {
        command: arguments.domain_command.clone()?,
        every: span(arguments.domain_every, DomainCommand::EVERY),
        within: span(arguments.domain_within, DomainCommand::WITHIN),
    })
}

fn start(options: agent::Options) -> Result<ExitCode, Failure> {
    start_log();
    runtime()?.block_on(async {
        let stop = stop_signal()?;
        finished(Box::pin(agent::run(options, stop.cancelled_owned())).await)
    })
}
