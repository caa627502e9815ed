//! How a server of a cluster begins: what may be typed, and what both ways have in common. Deciding
//! names and addresses is pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use api::id::ServerId;
use client::{Address, ClientError};
use pki::ServerNames;
use server::engine::CLIENT_NAME;

use super::super::up;
use super::Arguments;
use crate::failure::Failure;

/// The cluster's name when none is given.
pub(super) const CLUSTER: &str = "freehold";

/// The ports of etcd, as its authors have registered them.
const ETCD_PORTS: (u16, u16) = (2379, 2380);

/// How to begin.
#[derive(Debug, clap::Args)]
pub(crate) struct Beginning {
    /// Begin a new cluster with this server
    #[arg(long, conflicts_with = "join")]
    pub init: bool,
    /// Join the cluster of these servers
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub join: Vec<String>,
    /// The join token; see: freehold host token --server
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file", requires = "join")]
    pub token: Option<String>,
    /// The file that the join token is in
    #[arg(long, value_name = "FILE", requires = "join")]
    pub token_file: Option<PathBuf>,
    /// Begin the new cluster with the state of this backup. No server of before may run any more;
    /// the others join anew, with empty directories
    #[arg(long, value_name = "FILE", requires = "init")]
    pub restore: Option<PathBuf>,
    /// The data directory of a server of before, or a copy of one, whose keys are taken over;
    /// without them secrets cannot be opened, and every host must join again
    #[arg(long, value_name = "DIR", requires = "restore")]
    pub keys: Option<PathBuf>,
    /// Take the place of the server with this name, which is dead; an operator must have said so
    #[arg(long, requires = "join")]
    pub replace: bool,
    /// Begin or join and end, without running
    #[arg(long)]
    pub begin_only: bool,
    /// Print a unit for systemd and end
    #[arg(long)]
    pub print_unit: bool,
    /// Where its etcd serves other servers [default: port 2379 beside --api]
    #[arg(long, value_name = "IP:PORT")]
    pub etcd_client: Option<SocketAddr>,
    /// Where its etcd serves other members [default: port 2380 beside --api]
    #[arg(long, value_name = "IP:PORT")]
    pub etcd_peer: Option<SocketAddr>,
    /// The etcd program [default: that of the path]
    #[arg(long, value_name = "FILE")]
    pub etcd_binary: Option<PathBuf>,
    /// Another name or address by which clients reach the API; may be repeated
    #[arg(long = "api-host", value_name = "NAME")]
    pub api_hosts: Vec<String>,
}

/// Who a server is and where it is reached.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) name: ServerId,
    pub(super) api: SocketAddr,
    pub(super) address: String,
    pub(super) etcd_client: SocketAddr,
    pub(super) etcd_peer: SocketAddr,
    /// What its certificate says.
    pub(super) names: ServerNames,
}

impl Place {
    /// Decides it from what was typed and the machine's name.
    pub(super) fn of(arguments: &Arguments, machine: &str) -> Result<Self, Failure> {
        let name = match &arguments.name {
            Some(name) => name.clone(),
            None => ServerId::new(up::host_from(machine).as_str())?,
        };
        let api = arguments.api.ok_or_else(|| {
            Failure::invalid("begin as a server: --api is missing")
                .hint("say where it serves, e.g. --api 10.0.0.1:7443")
        })?;
        let address = match &arguments.address {
            Some(address) => address.parse::<Address>().map_err(ClientError::from)?.authority(),
            None if api.ip().is_unspecified() => {
                let message = format!("find where others reach a server that serves on {api}");
                return Err(Failure::invalid(message).hint("give it: --address HOST:PORT"));
            }
            None => api.to_string(),
        };
        let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
        let host = host.trim_matches(['[', ']']).to_owned();
        let own: Option<IpAddr> = Some(api.ip()).filter(|ip| !ip.is_unspecified());
        let own = own.or_else(|| host.parse().ok());
        let etcd = |given: Option<SocketAddr>, flag: &str, port: u16| match (given, own) {
            (Some(given), _) if given.ip().is_unspecified() => {
                let message = format!("serve etcd on {given}: others could not reach it there");
                Err(Failure::invalid(message).hint(format!("give an address: --{flag} IP:PORT")))
            }
            (Some(given), _) => Ok(given),
            (None, Some(ip)) => Ok(SocketAddr::new(ip, port)),
            (None, None) => Err(Failure::invalid("find the address at which etcd serves")
                .hint(format!("give it: --{flag} IP:PORT"))),
        };
        let begin = &arguments.begin;
        let etcd_client = etcd(begin.etcd_client, "etcd-client", ETCD_PORTS.0)?;
        let etcd_peer = etcd(begin.etcd_peer, "etcd-peer", ETCD_PORTS.1)?;
        let mut texts = begin.api_hosts.clone();
        texts.extend([CLIENT_NAME.to_owned(), "localhost".to_owned(), name.to_string(), host]);
        let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let ips = own.into_iter().chain([etcd_client.ip(), etcd_peer.ip()]).chain(loopback);
        texts.extend(ips.map(|ip| ip.to_string()));
        Ok(Self { name, api, address, etcd_client, etcd_peer, names: names(&texts) })
    }
}

/// Each once, addresses apart from names.
fn names(texts: &[String]) -> ServerNames {
    let mut names = ServerNames::default();
    for text in texts {
        match text.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(ip) if !names.addresses.contains(&ip) => names.addresses.push(ip),
            Ok(_) => {}
            Err(_) if names.dns.contains(text) => {}
            Err(_) => names.dns.push(text.clone()),
        }
    }
    names
}

/// Makes the directories and gives their real place. Others may pass through the data directory
/// (an agent may live there too, whose containers reach their layers), not look into it.
pub(super) fn make_directories(data: &Path) -> Result<PathBuf, Failure> {
    let parts = [("", 0o711), ("pki", 0o700), ("server", 0o700), ("engine", 0o700)];
    for (part, mode) in parts {
        let path = data.join(part);
        let made = std::fs::DirBuilder::new().recursive(true).mode(mode).create(&path);
        made.map_err(|error| Failure::io(format!("make {}", path.display()), &error))?;
    }
    let found = std::fs::canonicalize(data);
    found.map_err(|error| Failure::io(format!("open {}", data.display()), &error))
}

/// The etcd program that was given, else that of the path.
pub(super) fn etcd_binary(given: Option<&Path>) -> Result<PathBuf, Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = match given {
        Some(given) => vec![given.to_owned()],
        None => std::env::split_paths(&path).map(|directory| directory.join("etcd")).collect(),
    };
    places.retain(|place| place.is_file());
    let missing = || match given {
        Some(given) => format!("find the etcd program: {} is no file", given.display()),
        None => "find the etcd program: it is nowhere in the path".to_owned(),
    };
    let found = places.into_iter().next().ok_or_else(|| {
        Failure::invalid(missing())
            .hint("install etcd 3.4 or later (Debian: etcd-server), or give --etcd-binary FILE")
    })?;
    std::path::absolute(&found)
        .map_err(|error| Failure::io(format!("find where {} is", found.display()), &error))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        server: Arguments,
    }

    fn place(line: &[&str]) -> Result<Place, Failure> {
        let line = [["server", "--data", "/d"].as_slice(), line].concat();
        Place::of(&Line::try_parse_from(line).unwrap().server, "Web1.example")
    }

    #[test]
    fn etcd_serves_beside_the_api() {
        let it = place(&["--api", "10.0.0.5:7443", "--api-host", "api.example"]).unwrap();
        assert_eq!((it.name.as_str(), it.address.as_str()), ("web1", "10.0.0.5:7443"));
        assert_eq!(it.etcd_client, "10.0.0.5:2379".parse().unwrap());
        assert_eq!(it.etcd_peer, "10.0.0.5:2380".parse().unwrap());
        assert_eq!(it.names.dns, ["api.example", CLIENT_NAME, "localhost", "web1"]);
        let addresses: Vec<String> = it.names.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["10.0.0.5", "127.0.0.1", "::1"]);
    }

    #[test]
    fn a_certificate_names_every_place() {
        let mut line = vec!["--api", "0.0.0.0:7443", "--address", "s1.example:443"];
        assert!(place(&line).is_err(), "etcd needs an address");
        line.extend(["--etcd-client", "10.0.0.6:1", "--etcd-peer", "[fd00::1]:2"]);
        let it = place(&line).unwrap();
        assert_eq!(it.address, "s1.example:443");
        assert!(it.names.dns.contains(&"s1.example".to_owned()));
        for ip in ["10.0.0.6", "fd00::1"] {
            assert!(it.names.addresses.contains(&ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn places_that_nobody_reaches_are_refused() {
        assert!(place(&[]).is_err(), "no --api");
        assert!(place(&["--api", "0.0.0.0:1"]).is_err(), "no --address");
        let everywhere = ["--api", "10.0.0.5:1", "--etcd-peer", "0.0.0.0:2380"];
        assert!(place(&everywhere).is_err());
    }
}
