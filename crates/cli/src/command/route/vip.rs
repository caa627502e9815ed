//! `freehold route vip`: addresses that the ingress answers on.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::process::ExitCode;

use api::id::HostId;
use api::vip::{VipChoice, VipRequest, VipView};
use clap::Subcommand;
use ipnet::Ipv4Net;

use crate::connect::Session;
use crate::failure::Failure;
use crate::output::{Look, Table, age, fields};

/// Virtual addresses: each is held by one ingress host of its network at a time
///
/// When the host that holds one dies, another takes it over within a second. Apps, API and image
/// registry answer on all of them. Give each name of a route all of them in DNS, of two networks
/// where there are two.
#[derive(Debug, Subcommand)]
pub(crate) enum Arguments {
    /// Add a virtual address
    Add {
        /// The address with the prefix of its network, e.g. 10.0.0.100/24
        address: Ipv4Net,
        #[command(flatten)]
        choice: Choice,
    },
    /// List virtual addresses, with who holds each
    List,
    /// Show a virtual address, with all hosts that may hold it
    Show {
        /// The address
        address: Ipv4Addr,
    },
    /// Set who may hold a virtual address; what is not given is as after `add`
    Set {
        /// The address
        address: Ipv4Addr,
        #[command(flatten)]
        choice: Choice,
    },
    /// Delete a virtual address; the host that holds it gives it up
    Delete {
        /// The address
        address: Ipv4Addr,
    },
}

/// Who may hold an address.
#[derive(Debug, clap::Args)]
pub(crate) struct Choice {
    /// Only these hosts may hold it [default: all of its network that serve the ingress]
    #[arg(long = "hosts", value_name = "HOST", value_delimiter = ',')]
    hosts: Vec<HostId>,
    /// A label that its hosts carry; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Who shall hold it, the most preferred first
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    prefer: Vec<HostId>,
    /// A preferred host takes it back when it returns; each move costs clients their connections
    #[arg(long, requires = "prefer")]
    take_back: bool,
}

impl Choice {
    fn read(self) -> Result<VipChoice, Failure> {
        let pair = |text: &String| match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(Failure::invalid(format!("read label {text:?}")).hint("write KEY=VALUE")),
        };
        let labels = self.labels.iter().map(pair).collect::<Result<BTreeMap<_, _>, _>>()?;
        let (hosts, prefer, take_back) = (self.hosts, self.prefer, self.take_back);
        Ok(VipChoice { hosts, labels, prefer, take_back })
    }
}

pub(super) fn run(session: &Session, arguments: Arguments) -> Result<ExitCode, Failure> {
    match arguments {
        Arguments::Add { address, choice } => {
            let (address, segment, choice) = (address.addr(), address.trunc(), choice.read()?);
            let request = VipRequest { address, segment, choice };
            let vip = session.ask(async |client| client.create_vip(&request).await)?;
            session.changed(&vip, &format!("virtual address {address} of {segment} is there"))
        }
        Arguments::List => {
            let vips = session.ask(async |client| client.vips().await)?;
            session.show(&vips, |vips, look| table(vips, look))
        }
        Arguments::Show { address } => {
            let vip = session.ask(async |client| client.vip(address).await)?;
            session.show(&vip, details)
        }
        Arguments::Set { address, choice } => {
            let choice = choice.read()?;
            let vip = session.ask(async |client| client.put_vip(address, &choice).await)?;
            session.changed(&vip, &format!("virtual address {address} is changed"))
        }
        Arguments::Delete { address } => {
            session.ask(async |client| client.delete_vip(address).await)?;
            eprintln!("virtual address {address} is deleted");
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn holders(view: &VipView) -> String {
    let names: Vec<String> = view.holders.iter().map(|holder| holder.host.to_string()).collect();
    if names.is_empty() { "-".to_owned() } else { names.join(",") }
}

fn since(view: &VipView, look: &Look) -> String {
    view.holders.first().map_or_else(|| "-".to_owned(), |holder| age(look.now, holder.since))
}

fn others(view: &VipView) -> String {
    let holds = |host: &HostId| view.holders.iter().any(|holder| holder.host == *host);
    let others = view.candidates.iter().filter(|candidate| !holds(&candidate.host));
    let names: Vec<String> = others
        .map(|candidate| match candidate.connected {
            true => candidate.host.to_string(),
            false => format!("{} (away)", candidate.host),
        })
        .collect();
    if names.is_empty() { "-".to_owned() } else { names.join(",") }
}

fn table(vips: &[VipView], look: &Look) -> String {
    let head = ["ADDRESS", "NETWORK", "HOLDER", "SINCE", "OTHERS", "PROBLEM"];
    Table::of(&head, vips, |view| {
        vec![
            view.vip.address.to_string(),
            view.vip.segment.to_string(),
            holders(view),
            since(view, look),
            others(view),
            view.problem.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    })
    .render(look.width)
}

fn details(view: &VipView, look: &Look) -> String {
    let choice = &view.vip.choice;
    let list = |hosts: &[HostId], none: &str| match hosts {
        [] => none.to_owned(),
        hosts => hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
    };
    let labels: Vec<String> = choice.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let head = fields(&[
        ("address", view.vip.address.to_string()),
        ("network", view.vip.segment.to_string()),
        ("holder", holders(view)),
        ("since", since(view, look)),
        ("hosts", list(&choice.hosts, "all of its network that serve the ingress")),
        ("labels", if labels.is_empty() { "-".to_owned() } else { labels.join(",") }),
        ("preferred", list(&choice.prefer, "-")),
        ("takes back", if choice.take_back { "yes" } else { "no" }.to_owned()),
        ("problem", view.problem.clone().unwrap_or_else(|| "-".to_owned())),
    ]);
    let rows = Table::of(&["HOST", "PRIORITY", "CONNECTED"], &view.candidates, |candidate| {
        vec![
            candidate.host.to_string(),
            candidate.priority.to_string(),
            if candidate.connected { "yes" } else { "no" }.to_owned(),
        ]
    });
    format!("{head}\n{}", rows.render(look.width))
}

#[cfg(test)]
mod tests {
    use api::time::Timestamp;
    use api::vip::{VipCandidateView, VipHolder, VirtualAddress};

    use super::*;

    fn view() -> VipView {
        let host = |name: &str| HostId::new(name).unwrap();
        let candidate = |name: &str, priority, connected| {
            let host = host(name);
            VipCandidateView { host, priority, connected }
        };
        VipView {
            vip: VirtualAddress {
                address: "10.0.0.100".parse().unwrap(),
                segment: "10.0.0.0/24".parse().unwrap(),
                choice: VipChoice { prefer: vec![host("h1")], ..VipChoice::default() },
                created: Timestamp(0),
            },
            holders: vec![VipHolder { host: host("h2"), since: Timestamp(0) }],
            candidates: vec![
                candidate("h1", 250, false),
                candidate("h2", 100, true),
                candidate("h3", 99, true),
            ],
            problem: None,
        }
    }

    #[test]
    fn who_holds_it_and_who_could() {
        let look = Look { width: None, now: Timestamp(90_000) };
        let mut nobody = view();
        nobody.holders.clear();
        nobody.problem = Some("no connected host holds it".to_owned());
        insta::assert_snapshot!(table(&[view(), nobody], &look), @r"
        ADDRESS     NETWORK      HOLDER  SINCE  OTHERS           PROBLEM
        10.0.0.100  10.0.0.0/24  h2      90s    h1 (away),h3     -
        10.0.0.100  10.0.0.0/24  -       -      h1 (away),h2,h3  no connected host holds it
        ");
        let shown = details(&view(), &look);
        assert!(shown.contains("preferred") && shown.contains("250"), "{shown}");
    }
}
