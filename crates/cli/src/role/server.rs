//! `freehold server`: one server of the control plane.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use ipnet::Ipv4Net;

use super::process::{Supervised, finished, runtime, start_log, stop_signal};
use crate::failure::Failure;

/// Run a server of the control plane
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Its directory: state, images, master key
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// The cluster's name
    #[arg(long, value_name = "NAME", default_value = "freehold")]
    pub cluster: String,
    /// Its own name
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// Where agents, other servers and users reach it [default: that of --api]
    #[arg(long, value_name = "HOST:PORT")]
    pub address: Option<String>,
    /// Where the API, the image registry and the agents' streams are served
    #[arg(long, value_name = "ADDRESS")]
    pub api: SocketAddr,
    /// Its certificate, PEM
    #[arg(long, value_name = "FILE")]
    pub certificate: PathBuf,
    /// That certificate's key, PEM
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// The cluster's authorities, PEM
    #[arg(long, value_name = "FILE")]
    pub authorities: PathBuf,
    /// The directory of the authority's certificate and key; without it nobody can join here
    #[arg(long, value_name = "DIR")]
    pub authority: Option<PathBuf>,
    /// Where the first admin's token is written when there is none
    #[arg(long, value_name = "FILE")]
    pub admin_token: PathBuf,
    /// Where instances' addresses come from; each host has a /24 of it
    #[arg(long, value_name = "CIDR")]
    pub instance_range: Ipv4Net,
    /// Where service addresses come from
    #[arg(long, value_name = "CIDR")]
    pub service_range: Ipv4Net,
    /// The port of https as clients see it, when it is not 443
    #[arg(long, value_name = "PORT")]
    pub https_port: Option<u16>,
    /// Keep the state in this etcd instead of SQLite: its members' addresses for clients
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    pub etcd: Vec<String>,
    #[command(flatten)]
    pub supervised: Supervised,
}

/// Runs a server until SIGTERM.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    arguments.supervised.follow()?;
    start_log();
    let address = arguments.address.unwrap_or_else(|| reached_at(arguments.api).to_string());
    let state = match arguments.etcd {
        endpoints if endpoints.is_empty() => server::State::Sqlite,
        endpoints => server::State::Etcd(endpoints),
    };
    let options = server::Options {
        data: arguments.data,
        state,
        cluster: arguments.cluster,
        name: arguments.name,
        address,
        api: arguments.api,
        certificate: arguments.certificate,
        key: arguments.key,
        authorities: arguments.authorities,
        authority: arguments.authority,
        admin_token: arguments.admin_token,
        instance_range: arguments.instance_range,
        service_range: arguments.service_range,
        https_port: arguments.https_port,
    };
    runtime()?.block_on(async {
        let stop = stop_signal()?;
        finished(Box::pin(server::run(options, stop)).await)
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
