//! Joining a cluster: makes the key here, believes only the cluster that the token names, and keeps
//! what it is told. Asked again it does the same again: the key waits on disk.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api::host::DomainPath;
use api::id::HostId;
use api::join::{HostJoinRequest, HostJoined};
use api::protocol::SecretValue;
use client::{Address, Client, ClientError};
use pki::{CaBundle, HostKey, JoinToken, PinError, PinnedAuthority};

use super::super::kept::Kept;
use super::super::process::clock;
use super::super::up;
use super::file::{AgentFile, identity};
use crate::connect::run_async;
use crate::exit::Exit;
use crate::failure::Failure;

/// How to join.
#[derive(Debug, clap::Args)]
pub(crate) struct Joining {
    /// Join the cluster of these servers
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub join: Vec<String>,
    /// The join token; see: freehold host token
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file", requires = "join")]
    pub token: Option<String>,
    /// The file that the join token is in
    #[arg(long, value_name = "FILE", requires = "join")]
    pub token_file: Option<PathBuf>,
    /// What this host is called [default: the machine's name]
    #[arg(long, value_name = "NAME", requires = "join")]
    pub name: Option<HostId>,
    /// A label of this host; may be repeated. ingress=true makes it serve the ingress
    #[arg(long = "label", value_name = "KEY=VALUE", requires = "join")]
    pub labels: Vec<String>,
    /// Serve the ingress: the same as --label ingress=true
    #[arg(long, requires = "join")]
    pub ingress: bool,
    /// Take the place of the host with this name; an operator must have said so too
    #[arg(long, requires = "join")]
    pub replace: bool,
    /// Join and end, without running
    #[arg(long, requires = "join")]
    pub join_only: bool,
    /// Print a unit for systemd and end
    #[arg(long)]
    pub print_unit: bool,
}

impl Joining {
    /// Whether to join.
    pub(super) fn asked(&self) -> bool {
        !self.join.is_empty()
    }

    fn token(&self) -> Result<JoinToken, Failure> {
        read_token(self.token.as_deref(), self.token_file.as_deref(), "freehold host token")
    }

    fn labels(&self) -> Result<BTreeMap<String, String>, Failure> {
        let pair = |text: &String| match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(Failure::invalid(format!("set label {text:?}")).hint("write KEY=VALUE")),
        };
        let ingress = self.ingress.then(|| Ok(("ingress".to_owned(), "true".to_owned())));
        self.labels.iter().map(pair).chain(ingress).collect()
    }
}

/// Joins, and writes down what it was told.
pub(super) fn run(
    arguments: &super::Arguments,
    before: Option<&AgentFile>,
) -> Result<AgentFile, Failure> {
    let (join, data) = (&arguments.join, &arguments.data);
    let (token, labels) = (join.token()?, join.labels()?);
    make_directories(data)?;
    let (certificate, key, authorities) = identity(data);
    let name = match (&join.name, before) {
        (Some(name), _) => name.clone(),
        (None, Some(before)) => before.host.clone(),
        (None, None) => up::host_from(&up::machine()),
    };
    let ingress = labels.get("ingress").is_some_and(|value| value == "true");
    let address = match arguments.address {
        Some(address) => address,
        None => own_address(&join.join)?,
    };
    let domain = domain(arguments, &name);
    let request = HostJoinRequest {
        token: SecretValue(token.token().reveal().to_string()),
        name: name.clone(),
        request_pem: HostKey::load_or_create(&key)?.request_pem()?,
        address,
        domain: domain.clone().unwrap_or_default(),
        labels,
        replace: join.replace,
        time: clock()?.wall(),
    };
    let joined = ask(&join.join, &token, &request)?;
    CaBundle::from_pem(joined.authorities_pem.as_bytes())?.save(&authorities)?;
    HostKey::load(&key)?.with_certificate(&joined.certificate_pem)?.save(&certificate, &key)?;
    // A host that gets the label later serves there too.
    let listen = |port| Some(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port));
    let file = AgentFile {
        servers: servers(&join.join, &joined)?,
        cluster: joined.cluster,
        host: name,
        address,
        domain,
        domain_command: arguments.domain_command.clone(),
        domain_every: arguments.domain_every,
        domain_within: arguments.domain_within,
        subnet: joined.subnet,
        instance_range: joined.instance_range,
        service_range: joined.service_range,
        slug: arguments.slug.as_ref().map(|slug| slug.as_str().to_owned()),
        run_dir: arguments.run_dir.clone(),
        overlay: arguments.overlay.map(|mode| mode.to_string()),
        overlay_port: arguments.overlay_port,
        vip_port: arguments.vip_port,
        probe_port: arguments.probe_port,
        api_port: arguments.api_port,
        api: arguments.api,
        ingress,
        http: arguments.http.or_else(|| listen(80)),
        https: arguments.https.or_else(|| listen(443)),
    };
    file.save(data)?;
    eprintln!("joined cluster {:?} as host {:?}, subnet {}", file.cluster, file.host, file.subnet);
    Ok(file)
}

/// Where the host stands: what the command says, else what was typed. The command is asked again
/// when the agent runs, so one that fails now keeps nobody out.
fn domain(arguments: &super::Arguments, host: &HostId) -> Option<DomainPath> {
    let Some(command) = super::domain_command(arguments) else { return arguments.domain.clone() };
    match run_async(async { Ok(agent::find_domain(&command, host).await) }) {
        Ok(Ok(domain)) => Some(domain),
        Ok(Err(error)) => {
            let failure = Failure::of(Exit::Failure, &error);
            eprintln!("warning: {}: {}", failure.message, failure.causes.join(": "));
            arguments.domain.clone()
        }
        Err(_) => arguments.domain.clone(),
    }
}

fn ask(
    addresses: &[String],
    token: &JoinToken,
    request: &HostJoinRequest,
) -> Result<HostJoined, Failure> {
    let pin = PinnedAuthority::new(token.authority());
    let tls = pin
        .tls(&[b"h2", b"http/1.1"], Some(Arc::new(clock()?)))
        .map_err(|e| Failure::of(Exit::Failure, &e))?;
    let client = Client::with_tls(addresses, tls)?;
    run_async(async { client.join_host(request).await.map_err(|error| refused(&pin, error)) })
}

/// The token that was given; `made` is how an operator makes one.
pub(in crate::role) fn read_token(
    given: Option<&str>,
    file: Option<&Path>,
    made: &str,
) -> Result<JoinToken, Failure> {
    let text = match (given, file) {
        (Some(token), _) => token.to_owned(),
        (None, Some(path)) => std::fs::read_to_string(path)
            .map_err(|error| Failure::io(format!("read {}", path.display()), &error))?,
        (None, None) => {
            return Err(Failure::invalid("join: no token is given")
                .hint(format!("an operator makes one: {made}; then --token TOKEN")));
        }
    };
    text.trim().parse().map_err(|_| {
        Failure::invalid("join: the token is not of the form fhj_ID_SECRET_FINGERPRINT")
            .hint(format!("an operator makes one: {made}"))
    })
}

/// Why a joiner was not let in: it may be that it did not believe the server.
pub(in crate::role) fn refused(pin: &PinnedAuthority, error: ClientError) -> Failure {
    match (pin.refused(), error) {
        (Some(refused), ClientError::Unreachable(_) | ClientError::Lost(_)) => {
            let hint = match refused {
                PinError::OtherAuthority { .. } => {
                    "the token is another cluster's, or somebody stands in between: \
                     nothing was sent; see --join"
                }
                PinError::Clock { .. } => "set this machine's clock and join again",
            };
            Failure::of(Exit::Denied, &refused).hint(hint)
        }
        (_, error) => error.into(),
    }
}

/// The servers that were typed, and those that it was told of.
fn servers(typed: &[String], joined: &HostJoined) -> Result<Vec<String>, Failure> {
    let mut servers = Vec::new();
    for text in typed.iter().chain(&joined.servers) {
        let address: Address = text.parse().map_err(ClientError::from)?;
        let unspecified = address.host().parse().is_ok_and(|ip: IpAddr| ip.is_unspecified());
        if !unspecified && !servers.contains(&address.authority()) {
            servers.push(address.authority());
        }
    }
    Ok(servers)
}

/// Others may pass through the data directory (containers reach their layers), not look into it.
fn make_directories(data: &Path) -> Result<(), Failure> {
    for (path, mode) in [(data.to_owned(), 0o711), (data.join("pki"), 0o700)] {
        let made = std::fs::DirBuilder::new().recursive(true).mode(mode).create(&path);
        made.map_err(|error| Failure::io(format!("make {}", path.display()), &error))?;
    }
    Ok(())
}

/// The address that this machine has towards the servers. Connecting a UDP socket sends nothing:
/// the kernel only looks for the way.
fn own_address(servers: &[String]) -> Result<Ipv4Addr, Failure> {
    let towards = |server: &String| -> Option<Ipv4Addr> {
        let address: Address = server.parse().ok()?;
        let mut found = (address.host(), address.port()).to_socket_addrs().ok()?;
        let to = found.find(SocketAddr::is_ipv4)?;
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        socket.connect(to).ok()?;
        match socket.local_addr().ok()?.ip() {
            IpAddr::V4(ip) if !ip.is_unspecified() => Some(ip),
            _ => None,
        }
    };
    servers.iter().find_map(towards).ok_or_else(|| {
        Failure::invalid("find the address at which other hosts reach this one")
            .hint("give it: --address IP")
    })
}
