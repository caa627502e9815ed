//! Whether this machine can carry an installation: each finding is an error with a hint. Looks
//! only.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;

use net::address::{Occupied, check_free, occupied};
use net::check::{Level, doctor};

use super::installation::Installation;
use crate::exit::Exit;
use crate::failure::Failure;

/// Root is needed for everything that follows.
pub(super) fn check_root() -> Result<(), Failure> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Failure::new(Exit::Unfit, "run containers and networks: this needs root")
        .hint("sudo freehold up"))
}

/// Looks at everything; gives warnings.
pub(super) fn check(it: &Installation) -> Result<Vec<String>, Failure> {
    check_port("--api", it.api)?;
    if !ingress_runs(it) {
        check_port("--http", it.http)?;
        check_port("--https", it.https)?;
    }
    agent::cgroup::Layout::of_this_host().map_err(|error| {
        Failure::of(Exit::Unfit, &error)
            .hint("mount -t cgroup2 none /sys/fs/cgroup, or boot with a system that does")
    })?;
    let mut warnings = Vec::new();
    for finding in doctor(&it.slug) {
        match (finding.level, finding.subject) {
            (Level::Broken, "packet filter") => {
                let mut failure =
                    Failure::new(Exit::Unfit, "filter packets with nft").because(finding.detail);
                failure.hint = finding.hint.map(String::into_boxed_str);
                return Err(failure);
            }
            (Level::Broken, subject) => {
                let hint = finding.hint.map(|hint| format!("\n  hint: {hint}"));
                let hint = hint.unwrap_or_default();
                warnings.push(format!("{subject}: {}{hint}", finding.detail));
            }
            (Level::Fine | Level::Note, _) => {}
        }
    }
    let existing = occupied(&it.slug).map_err(|error| Failure::of(Exit::Unfit, &error))?;
    let own = net::link::ports(&it.slug).map_err(|error| Failure::of(Exit::Unfit, &error))?;
    let own: Vec<String> = own.into_iter().map(|port| port.name).collect();
    check_subnet(it, &existing, &own)?;
    Ok(warnings)
}

/// The range must overlap nothing but what is on this installation's own links.
fn check_subnet(it: &Installation, existing: &[Occupied], own: &[String]) -> Result<(), Failure> {
    let others: Vec<Occupied> =
        existing.iter().filter(|known| !own.contains(&known.interface)).cloned().collect();
    check_free(it.ranges.whole, &others).map_err(|collision| {
        let free = (0..=255_u8)
            .rev()
            .filter_map(|n| ipnet::Ipv4Net::new([10, n, 0, 0].into(), 16).ok())
            .find(|range| check_free(*range, &others).is_ok());
        let hint = free.map_or("--subnet with a free range".into(), |f| format!("--subnet {f}"));
        Failure::of(Exit::Unfit, &collision).hint(hint)
    })
}

/// Whether the ingress of an earlier run goes on: then the ports are its own.
fn ingress_runs(it: &Installation) -> bool {
    UnixStream::connect(it.run_dir.join("proxy.sock")).is_ok()
}

fn check_port(option: &str, address: SocketAddr) -> Result<(), Failure> {
    let Err(error) = TcpListener::bind(address) else { return Ok(()) };
    let failure = Failure::new(Exit::Unfit, format!("listen on {address}"));
    let failure = failure.because(match error.kind() {
        ErrorKind::AddrInUse => "another program listens there".to_owned(),
        ErrorKind::AddrNotAvailable => "it is not an address of this machine".to_owned(),
        _ => error.to_string(),
    });
    let port = address.port();
    Err(match error.kind() {
        ErrorKind::AddrInUse => failure.hint(format!(
            "see who with: ss -ltnp 'sport = :{port}'; or choose another with {option}"
        )),
        _ => failure.hint(format!("choose another with {option}")),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;

    use super::super::Arguments;
    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        up: Arguments,
    }

    fn installation() -> Installation {
        let line = Line::try_parse_from(["up"]).unwrap();
        Installation::of(&line.up, Path::new("/d"), "web1").unwrap()
    }

    #[test]
    fn a_port_in_use_is_named_with_the_option_to_change() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let failure = check_port("--http", taken.local_addr().unwrap()).unwrap_err();
        assert_eq!(failure.exit, Exit::Unfit);
        assert!(failure.hint.unwrap().contains("--http"));
        let failure = check_port("--api", "192.0.2.1:1".parse().unwrap()).unwrap_err();
        assert_eq!(failure.causes, ["it is not an address of this machine"]);
    }

    #[test]
    fn a_subnet_in_use_is_refused_with_one_that_is_free() {
        let taken = |net: &str, interface: &str| Occupied {
            net: net.parse().unwrap(),
            interface: interface.into(),
        };
        let existing = [taken("10.128.3.0/24", "eth0"), taken("10.255.0.0/16", "vpn0")];
        let failure = check_subnet(&installation(), &existing, &[]).unwrap_err();
        assert_eq!(failure.hint.as_deref(), Some("--subnet 10.254.0.0/16"));
        let existing = [taken("10.128.0.2/32", "fvabc123"), taken("192.168.1.0/24", "eth0")];
        check_subnet(&installation(), &existing, &["fvabc123".to_owned()]).unwrap();
        check_subnet(&installation(), &existing, &[]).unwrap_err();
    }
}
