//! `freehold host`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use api::host::{Capacity, HostState};
use api::id::HostId;
use api::operation::HostView;
use clap::Subcommand;

use crate::connect::Session;
use crate::failure::Failure;
use crate::output::{Look, Table, age, dash, fields, size};

/// Hosts: the machines that run instances
#[derive(Debug, Subcommand)]
pub(crate) enum Arguments {
    /// List hosts
    List,
    /// Show a host
    Show {
        /// Its name
        host: HostId,
    },
    /// Move everything off a host, replacements first
    Drain {
        /// Its name
        host: HostId,
    },
    /// Let a host take instances again
    Undrain {
        /// Its name
        host: HostId,
    },
    /// Remove a host for good: drained before, or taken for dead
    ///
    /// Its subnet is free and its certificate is refused from then on. To come back it joins anew.
    Remove {
        /// Its name
        host: HostId,
        /// Also one that is taken for dead with instances on it; if it still runs, so do they
        #[arg(long)]
        force: bool,
    },
    /// Make, list and revoke tokens with which machines join
    Token(super::join_token::Arguments),
    /// Change labels of a host
    Label {
        /// Its name
        host: HostId,
        /// KEY=VALUE sets a label, KEY- removes it
        #[arg(required = true, value_name = "KEY=VALUE|KEY-")]
        labels: Vec<String>,
    },
}

pub(crate) fn run(session: &Session, arguments: Arguments) -> Result<ExitCode, Failure> {
    match arguments {
        Arguments::List => {
            let hosts = session.ask(async |client| client.hosts().await)?;
            session.show(&hosts, |hosts, look| table(hosts, look))
        }
        Arguments::Show { host } => {
            let host = session.ask(async |client| client.host(&host).await)?;
            session.show(&host, one)
        }
        Arguments::Drain { host } => {
            let host = session.ask(async |client| client.drain_host(&host).await)?;
            session.changed(&host, &format!("host {} is being drained", host.name))
        }
        Arguments::Undrain { host } => {
            let host = session.ask(async |client| client.undrain_host(&host).await)?;
            session.changed(&host, &format!("host {} takes instances again", host.name))
        }
        Arguments::Remove { host, force } => {
            let host = session.ask(async |client| client.remove_host(&host, force).await)?;
            session.changed(&host, &format!("host {} is removed", host.name))
        }
        Arguments::Token(arguments) => super::join_token::run(session, arguments),
        Arguments::Label { host, labels } => {
            let changes = labels.iter().map(|text| change(text)).collect::<Result<Vec<_>, _>>()?;
            let changed = session.ask(async |client| {
                let mut labels = client.host(&host).await?.host.labels;
                apply(&mut labels, changes);
                client.put_host_labels(&host, &labels).await
            })?;
            let shown = labels_text(&changed.labels);
            session.changed(&changed, &format!("host {host} has labels {shown}"))
        }
    }
}

/// A label and its new value, none to remove it.
fn change(text: &str) -> Result<(String, Option<String>), Failure> {
    match (text.split_once('='), text.strip_suffix('-')) {
        (Some((key, value)), _) if !key.is_empty() => Ok((key.to_owned(), Some(value.to_owned()))),
        (None, Some(key)) if !key.is_empty() => Ok((key.to_owned(), None)),
        _ => Err(Failure::invalid(format!("change label {text:?}"))
            .hint("write KEY=VALUE to set a label, KEY- to remove it")),
    }
}

fn apply(labels: &mut BTreeMap<String, String>, changes: Vec<(String, Option<String>)>) {
    for (key, value) in changes {
        match value {
            Some(value) => labels.insert(key, value),
            None => labels.remove(&key),
        };
    }
}

fn labels_text(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    dash(pairs.join(","))
}

/// What a host is doing, in one word.
fn state(view: &HostView) -> &'static str {
    match (view.host.state, view.connected) {
        _ if view.host.is_down() => "down",
        (_, false) => "disconnected",
        (HostState::Draining, true) => "draining",
        (HostState::Ready, true) => "ready",
    }
}

fn table(hosts: &[HostView], look: &Look) -> String {
    let headings =
        ["HOST", "STATE", "DOMAIN", "INSTANCES", "CPU", "MEMORY", "SUBNET", "VERSION", "AGE"];
    Table::of(&headings, hosts, |view| {
        let (used, all) = (&view.used, &view.capacity);
        vec![
            view.host.name.to_string(),
            state(view).to_owned(),
            dash(view.host.domain.to_string()),
            format!("{}/{}", view.instances, all.instances),
            format!("{}/{}", used.cpu, all.cpu),
            format!("{}/{}", size(used.memory.0), size(all.memory.0)),
            view.host.subnet.to_string(),
            dash(&*view.version),
            age(look.now, view.host.joined),
        ]
    })
    .spare(&["VERSION", "AGE", "SUBNET", "DOMAIN"])
    .render(look.width)
}

fn one(view: &HostView, look: &Look) -> String {
    let mut text = known(view, look);
    for problem in &view.problems {
        text.push_str(&format!("problem: {problem}\n"));
    }
    text
}

fn known(view: &HostView, look: &Look) -> String {
    let (used, all): (&Capacity, &Capacity) = (&view.used, &view.capacity);
    let of = |used: String, all: String| format!("{used} of {all}");
    fields(&[
        ("host", view.host.name.to_string()),
        ("state", state(view).to_owned()),
        ("domain", view.host.domain.to_string()),
        ("labels", labels_text(&view.host.labels)),
        ("instances", of(view.instances.to_string(), all.instances.to_string())),
        ("cpu", of(used.cpu.to_string(), all.cpu.to_string())),
        ("memory", of(size(used.memory.0), size(all.memory.0))),
        ("pids", of(used.pids.to_string(), all.pids.to_string())),
        ("disk", of(size(used.disk.0), size(all.disk.0))),
        ("subnet", view.host.subnet.to_string()),
        ("address", view.host.address.to_string()),
        ("version", view.version.clone()),
        ("joined", format!("{} ago", age(look.now, view.host.joined))),
    ])
}

#[cfg(test)]
mod tests {
    use api::host::Host;
    use api::time::Timestamp;
    use api::unit::{Bytes, MilliCpu};

    use super::*;

    fn host() -> HostView {
        let capacity = |cpu, memory, instances| Capacity {
            cpu: MilliCpu(cpu),
            memory: Bytes(memory),
            pids: 100,
            disk: Bytes(1 << 30),
            instances,
        };
        HostView {
            host: Host {
                name: HostId::new("web1").unwrap(),
                domain: "zone-a/rack-3".parse().unwrap(),
                labels: BTreeMap::from([("ingress".into(), "true".into())]),
                subnet: "10.128.0.0/24".parse().unwrap(),
                address: [127, 0, 0, 1].into(),
                state: HostState::Ready,
                joined: Timestamp(0),
                down_since: None,
            },
            connected: true,
            version: "0.1.0".into(),
            capacity: capacity(2000, 15 << 30, 253),
            used: capacity(250, 128 << 20, 0),
            instances: 2,
            problems: Vec::new(),
        }
    }

    #[test]
    fn hosts_for_people() {
        let look = Look { width: None, now: Timestamp(7_200_000) };
        insta::assert_snapshot!(table(&[host()], &look));
        let mut view = host();
        view.connected = false;
        insta::assert_snapshot!(one(&view, &look));
    }

    #[test]
    fn labels_are_set_and_removed() {
        let mut labels = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        let changes = ["b=2=3", "a-", "c="].map(|text| change(text).unwrap());
        apply(&mut labels, changes.into());
        assert_eq!(labels_text(&labels), "b=2=3,c=");
        for bad in ["", "a", "=1", "-"] {
            assert!(change(bad).is_err(), "{bad}");
        }
    }
}
