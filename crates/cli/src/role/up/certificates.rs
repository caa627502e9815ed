//! The authority of the cluster and the certificates that server and agent show each other: made at
//! the first start, fresh at each. While they run, server and agent renew their own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::unix::fs::DirBuilderExt;

use jiff::Timestamp;
use pki::{CaError, CertificateAuthority, ServerNames};

use super::installation::Installation;
use crate::exit::Exit;
use crate::failure::Failure;

/// Makes whatever is missing; server and host get fresh certificates at each start.
pub(super) fn prepare(it: &Installation, machine: &str) -> Result<(), Failure> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(it.pki())
        .map_err(|e| Failure::io(format!("make {}", it.pki().display()), &e))?;
    let authority = authority(it)?;
    authority.bundle().save(&it.authorities())?;
    issue_server(it, &authority, machine)?;
    issue_host(it, &authority)
}

fn authority(it: &Installation) -> Result<CertificateAuthority, Failure> {
    let loaded = CertificateAuthority::load_or_create(&it.pki(), &it.cluster, Timestamp::now());
    loaded.map_err(|error| match &error {
        CaError::OtherCluster { found, .. } => {
            let hint = format!("freehold up --name {found}, or another directory with --data");
            Failure::of(Exit::Invalid, &error).hint(hint)
        }
        CaError::Name(_) => Failure::of(Exit::Invalid, &error),
        CaError::KeyMissing(_) => Failure::of(Exit::Failure, &error)
            .hint("put the authority's key back; without it no host of the cluster is known"),
        _ => error.into(),
    })
}

fn issue_server(
    it: &Installation,
    authority: &CertificateAuthority,
    machine: &str,
) -> Result<(), Failure> {
    let names = server_names(it, machine, own_address());
    let identity = authority
        .issue_server(it.host.as_str(), &names, Timestamp::now())
        .map_err(|error| Failure::of(Exit::Invalid, &error))?;
    let (certificate, key) = it.identity("server");
    Ok(identity.save(&certificate, &key)?)
}

fn issue_host(it: &Installation, authority: &CertificateAuthority) -> Result<(), Failure> {
    let identity = authority.issue_host(it.host.as_str(), Timestamp::now())?;
    let (certificate, key) = it.identity("host");
    Ok(identity.save(&certificate, &key)?)
}

/// Every name by which the API is likely to be called.
fn server_names(it: &Installation, machine: &str, own: Option<IpAddr>) -> ServerNames {
    let mut names = ServerNames::default();
    let mut name = |text: &str| match text.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(ip) if !names.addresses.contains(&ip) => names.addresses.push(ip),
        Ok(_) => {}
        Err(_) if names.dns.iter().any(|known| known == text) => {}
        Err(_) => names.dns.push(text.to_owned()),
    };
    for host in &it.api_hosts {
        name(host);
    }
    name("localhost");
    name(it.host.as_str());
    let machine = machine.to_ascii_lowercase();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    if machine.starts_with(|c: char| c.is_ascii_alphanumeric()) && machine.chars().all(plain) {
        name(machine.trim_end_matches(['.', '-']));
    }
    let listening = Some(it.api.ip()).filter(|ip| !ip.is_unspecified());
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    for ip in listening.into_iter().chain(own).chain(loopback) {
        name(&ip.to_string());
    }
    names
}

/// The address that this machine has for others. Connecting a UDP socket sends nothing: the kernel
/// only looks for the way (192.0.2.1 is of the range for documentation, RFC 5737).
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;
    use pki::{Identity, Renewal};

    use super::super::Arguments;
    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        up: Arguments,
    }

    fn installation(data: &Path, line: &[&str]) -> Installation {
        let line = Line::try_parse_from([&["up"], line].concat()).unwrap();
        Installation::of(&line.up, data, "web1.example").unwrap()
    }

    #[test]
    fn names_are_complete_and_each_is_there_once() {
        let line = ["--api", "10.0.0.5:7443", "--api-host", "api.example", "--api-host", "::1"];
        let it = installation(Path::new("/d"), &line);
        let names = server_names(&it, "web1.example", Some("10.0.0.5".parse().unwrap()));
        assert_eq!(names.dns, ["api.example", "localhost", "web1", "web1.example"]);
        let addresses: Vec<String> = names.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["::1", "10.0.0.5", "127.0.0.1"]);
    }

    #[test]
    fn the_authority_stays_and_the_certificates_are_good() {
        let dir = tempfile::tempdir().unwrap();
        let it = installation(dir.path(), &[]);
        prepare(&it, "web1").unwrap();
        let first = std::fs::read(it.authorities()).unwrap();
        prepare(&it, "odd_name.").unwrap();
        assert_eq!(std::fs::read(it.authorities()).unwrap(), first);
        for role in ["server", "host"] {
            let (certificate, key) = it.identity(role);
            let validity = Identity::load(&certificate, &key).unwrap().validity();
            let renewal = validity.renewal(Timestamp::now());
            assert!(matches!(renewal, Renewal::NotBefore(_)), "fresh ones are not due");
        }
        // What the server renews its own with, while it runs.
        let flags = it.server_arguments();
        let given = flags.windows(2).find(|pair| pair[0] == "--authority");
        assert_eq!(given.map(|pair| Path::new(&pair[1]).to_owned()), Some(it.pki()));
        let other = installation(dir.path(), &["--name", "other"]);
        let refused = prepare(&other, "web1").unwrap_err();
        assert!(refused.hint.unwrap().contains("--name freehold"));
    }
}
