//! `freehold server`: one server of the control plane. A cluster's server begins once, by `--init`
//! or `--join`; from then on its data directory says all there is to know, and flags go before it.

mod begin;
mod file;
mod former;
mod init;
mod join;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use api::host::DomainPath;
use api::id::{HostId, ServerId};
use ipnet::Ipv4Net;

use super::kept::Kept;
use super::process::{Supervised, clock, finished, runtime, start_log, stop_signal};
use crate::exit::Exit;
use crate::failure::Failure;

/// Run a server of the control plane
///
/// The first server of a cluster begins with --init, every other with --join and a token. Each of
/// them runs a member of the cluster's etcd, which goes on when the server is stopped. What was
/// given then is kept in DIR/server.toml: later `freehold server --data DIR` is enough.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub begin: begin::Beginning,
    /// Its directory: state, images, master key
    // Not missing, unless a subcommand stands in its place.
    #[arg(long, value_name = "DIR", required = true)]
    data: Option<PathBuf>,
    /// The cluster's name [default: freehold]
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// Its own name
    #[arg(long, value_name = "NAME")]
    pub name: Option<ServerId>,
    /// Where agents, other servers and users reach it [default: that of --api]
    #[arg(long, value_name = "HOST:PORT")]
    pub address: Option<String>,
    /// The failure domain it stands in, outermost first, e.g. rack-3/hypervisor-12 [default: that
    /// of the host on its machine]
    #[arg(long, value_name = "PATH")]
    pub domain: Option<DomainPath>,
    /// The host that runs on the same machine, where the server's address is not the host's too: a
    /// server does not judge whether its own machine is alive
    #[arg(long, value_name = "NAME")]
    pub host: Option<HostId>,
    /// Where the API, the image registry and the agents' streams are served
    #[arg(long, value_name = "ADDRESS")]
    pub api: Option<SocketAddr>,
    /// Its certificate, PEM
    #[arg(long, value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    /// That certificate's key, PEM
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// The cluster's authorities, PEM
    #[arg(long, value_name = "FILE")]
    pub authorities: Option<PathBuf>,
    /// The directory of the authority's certificate and key; without it nobody can join here
    #[arg(long, value_name = "DIR")]
    pub authority: Option<PathBuf>,
    /// Where the first admin's token is written when there is none
    #[arg(long, value_name = "FILE")]
    pub admin_token: Option<PathBuf>,
    /// Where instances' addresses come from; each host has a /24 of it
    #[arg(long, value_name = "CIDR")]
    pub instance_range: Option<Ipv4Net>,
    /// Where service addresses come from
    #[arg(long, value_name = "CIDR")]
    pub service_range: Option<Ipv4Net>,
    /// The port of https as clients see it, when it is not 443
    #[arg(long, value_name = "PORT")]
    pub https_port: Option<u16>,
    /// Keep the state in this etcd instead of SQLite: its members' addresses for clients
    #[arg(long, value_name = "URL", value_delimiter = ',', conflicts_with_all = ["init", "join"])]
    pub etcd: Vec<String>,
    /// The certificate to show to that etcd, PEM [default: the server's own, with --authorities
    /// trusted]. New files are taken over while the server runs
    #[arg(long, value_name = "FILE", requires_all = ["etcd", "etcd_key", "etcd_authorities"])]
    pub etcd_certificate: Option<PathBuf>,
    /// That certificate's key, PEM
    #[arg(long, value_name = "FILE", requires = "etcd_certificate")]
    pub etcd_key: Option<PathBuf>,
    /// The authorities that sign that etcd's certificates, PEM. They are the operator's to exchange
    #[arg(long, value_name = "FILE", requires = "etcd_certificate")]
    pub etcd_authorities: Option<PathBuf>,
    #[command(flatten)]
    pub supervised: Supervised,
}

impl Arguments {
    /// Its directory.
    pub(crate) fn data(&self) -> &Path {
        self.data.as_deref().unwrap_or(Path::new(""))
    }
}

/// Runs a server until SIGTERM, after beginning where that is asked for.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    arguments.supervised.follow()?;
    let begin = &arguments.begin;
    if begin.print_unit {
        print!("{}", super::unit::server(&super::unit::this_program()?, arguments.data())?);
        return Ok(ExitCode::SUCCESS);
    }
    start_log();
    let known = match file::ServerFile::load(arguments.data())? {
        Some(_) if begin.replace => {
            let data = arguments.data().display();
            let message = format!("take the place of a server: {data} is a server's already");
            return Err(Failure::invalid(message).hint("join with another directory as --data"));
        }
        Some(_) if begin.restore.is_some() => return Err(has_begun(arguments.data())),
        Some(known) => known,
        None if begin.init => init::run(&arguments)?,
        None if !begin.join.is_empty() => join::run(&arguments)?,
        None => return start(given(arguments)?),
    };
    if begin.begin_only {
        return Ok(ExitCode::SUCCESS);
    }
    start(known.complete(arguments)?)
}

/// A server that runs, or has run, is never restored into.
fn has_begun(data: &Path) -> Failure {
    let shown = data.display();
    let message = format!("restore into {shown}: there is a server already");
    let failure = Failure::new(Exit::Conflict, message);
    if data.join("server").join(server::restore::PENDING).exists() {
        return failure
            .hint(format!("its restore goes on by itself: freehold server --data {shown}"));
    }
    failure.hint(
        "stop all servers of the cluster and begin it again with an empty directory; the others \
         join it anew",
    )
}

/// What was typed, when the directory says nothing: then all of it must be there.
fn given(arguments: Arguments) -> Result<server::Options, Failure> {
    let data = arguments.data().display().to_string();
    let missing = |flag: &str| {
        let message = format!("start the server: there is no server in {data}, and --{flag} is");
        Failure::invalid(message + " missing").hint(format!(
            "begin a cluster: freehold server --init --api ADDRESS --data {data}; or join one: \
             --join ADDRESS --token TOKEN"
        ))
    };
    let api = arguments.api.ok_or_else(|| missing("api"))?;
    let files = (arguments.etcd_certificate, arguments.etcd_key, arguments.etcd_authorities);
    let files = match files {
        (Some(certificate), Some(key), Some(authorities)) => {
            Some(server::EtcdFiles { certificate, key, authorities })
        }
        _ => None,
    };
    let state = match arguments.etcd {
        endpoints if endpoints.is_empty() => server::State::Sqlite,
        endpoints => server::State::Etcd(server::Given { endpoints, files }),
    };
    Ok(server::Options {
        clock: clock()?,
        state,
        cluster: arguments.cluster.unwrap_or_else(|| begin::CLUSTER.to_owned()),
        name: arguments.name.ok_or_else(|| missing("name"))?.to_string(),
        address: arguments.address.unwrap_or_else(|| reached_at(api).to_string()),
        domain: arguments.domain.unwrap_or_default(),
        host: arguments.host,
        api,
        certificate: arguments.certificate.ok_or_else(|| missing("certificate"))?,
        key: arguments.key.ok_or_else(|| missing("key"))?,
        authorities: arguments.authorities.ok_or_else(|| missing("authorities"))?,
        authority: arguments.authority,
        admin_token: arguments.admin_token.ok_or_else(|| missing("admin-token"))?,
        instance_range: arguments.instance_range.ok_or_else(|| missing("instance-range"))?,
        service_range: arguments.service_range.ok_or_else(|| missing("service-range"))?,
        https_port: arguments.https_port,
        data: arguments.data.unwrap_or_default(),
    })
}

fn start(options: server::Options) -> Result<ExitCode, Failure> {
    runtime()?.block_on(async {
        let stop = stop_signal()?;
        match Box::pin(server::run(options, stop)).await {
            Err(server::RunError::Introduce(error)) => Err((*error).into()),
            ended => finished(ended),
        }
    })
}

/// Where a server is reached that serves on an address: on this machine, when it is every one.
fn reached_at(api: SocketAddr) -> SocketAddr {
    match api.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, api.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, api.port()).into(),
        _ => api,
    }
}
