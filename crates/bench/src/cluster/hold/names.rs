//! Resolving a name again and again from inside an instance.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use net::namespace::Namespace;

use super::containers::Container;
use super::watch::Watch;
use crate::cluster::client::{Sample, now};

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(250);

/// How long an answer may take: the host of the instance gives it.
const WITHIN: Duration = Duration::from_secs(1);

/// Asks for `name` in the network of a container, and of whom its own configuration names.
pub(super) fn watch(container: &Container, name: &str) -> Result<Watch<Sample>> {
    let of = |file: &str| format!("/proc/{}/{file}", container.pid);
    let network =
        Namespace::open(Path::new(&of("ns/net"))).context("find an instance's network")?;
    let configuration = of("root/etc/resolv.conf");
    let text = std::fs::read_to_string(&configuration);
    let text = text.with_context(|| format!("read {configuration}"))?;
    let server = server(&text).context("an instance knows of no name server")?;
    let name = Name::from_ascii(name).context("read a name")?;
    Ok(Watch::start(move |seen| {
        let asking = || -> Result<()> {
            while seen.goes_on() {
                let sent = now();
                let outcome = resolve(server, &name).map_err(|error| format!("{error:#}"));
                let outcome = outcome.map(|address| address.to_string());
                seen.push(Sample { sent, ended: now(), outcome });
                std::thread::sleep(PAUSE);
            }
            Ok(())
        };
        network.run(asking).context("enter an instance's network")?
    }))
}

/// The first name server of a `resolv.conf`.
fn server(configuration: &str) -> Option<Ipv4Addr> {
    let servers = configuration.lines().filter_map(|line| line.strip_prefix("nameserver "));
    servers.filter_map(|server| server.trim().parse().ok()).next()
}

fn resolve(server: Ipv4Addr, name: &Name) -> Result<Ipv4Addr> {
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(name.clone(), RecordType::A));
    let question_bytes = question.to_vec().context("write a question")?;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).context("open a socket")?;
    socket.set_read_timeout(Some(WITHIN)).context("bound a socket")?;
    socket.connect(SocketAddr::from((server, 53))).context("find the name server")?;
    socket.send(&question_bytes).context("ask")?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).context("hear an answer")?;
    let answer = Message::from_vec(&answer[..length]).context("read an answer")?;
    ensure!(answer.metadata.id == question.metadata.id, "an answer to something else");
    let addresses = answer.answers.iter().filter_map(|record| match &record.data {
        RData::A(address) => Some(address.0),
        _ => None,
    });
    addresses.into_iter().next().with_context(|| format!("{:?}", answer.metadata.response_code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_server_is_asked() {
        let text = "# nameserver 1.1.1.1\nnameserver 10.128.3.1\nnameserver 10.128.3.2\n";
        assert_eq!(server(text), Some(Ipv4Addr::new(10, 128, 3, 1)));
        assert_eq!(server("search x\n"), None);
    }

    #[test]
    fn who_is_silent_or_knows_nothing_does_not_resolve() {
        let name = Name::from_ascii("hello.staging.internal").unwrap();
        // Nobody answers names on this address of the machine itself.
        assert!(resolve(Ipv4Addr::new(127, 41, 17, 9), &name).is_err());
    }
}
