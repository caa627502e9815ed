//! `freehold server`: runs one, or lists all.

use std::process::ExitCode;

use api::server::{EtcdMember, MemberState, ServerView};
use clap::Subcommand;

use crate::connect::Session;
use crate::failure::Failure;
use crate::output::{Look, Table, age, dash};
use crate::role;

/// Run a server of the control plane, or list all of a cluster's
///
/// The first server of a cluster begins with --init, every other with --join and a token. Each of
/// them runs a member of the cluster's etcd, which goes on when the server is stopped. What was
/// given then is kept in DIR/server.toml: later `freehold server --data DIR` is enough.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[group(skip)]
// The one inside is called the same, and says whether a server is to run.
pub(crate) struct Arguments {
    #[command(subcommand)]
    noun: Option<Noun>,
    #[command(flatten)]
    run: role::server::Arguments,
}

#[derive(Debug, Subcommand)]
enum Noun {
    /// List servers: which one leads, how its store is, and whom each hears
    List,
}

pub(crate) fn run(session: &Session, arguments: Arguments) -> Result<ExitCode, Failure> {
    match arguments.noun {
        Some(Noun::List) => {
            let servers = session.ask(async |client| client.servers().await)?;
            session.show(&servers, |servers, look| table(servers, look))
        }
        None => role::server::run(arguments.run),
    }
}

/// What a server is, in one word.
fn state(view: &ServerView) -> &'static str {
    match (view.connected, view.leads, view.store) {
        (false, _, _) => "silent",
        (true, _, Some(false)) => "no store",
        (true, true, _) => "leads",
        (true, false, _) => "follows",
    }
}

fn member(member: Option<&EtcdMember>) -> &'static str {
    match member.map(|member| member.state) {
        None => "-",
        Some(MemberState::Leader) => "leader",
        Some(MemberState::Follower) => "follower",
        Some(MemberState::Learner) => "learner",
        Some(MemberState::Leaderless) => "no leader",
        Some(MemberState::Silent) => "silent",
    }
}

/// Whom it hears, and how long ago it did.
fn hears(view: &ServerView) -> String {
    let each = view.hears.iter().map(|(server, age)| format!("{server} {age}"));
    dash(each.collect::<Vec<_>>().join(", "))
}

fn table(servers: &[ServerView], look: &Look) -> String {
    let headings = ["SERVER", "STATE", "ADDRESS", "DOMAIN", "ETCD", "HEARS", "VERSION", "STARTED"];
    Table::of(&headings, servers, |view| {
        vec![
            view.server.name.to_string(),
            state(view).to_owned(),
            view.server.address.clone(),
            dash(view.server.domain.to_string()),
            member(view.member.as_ref()).to_owned(),
            hears(view),
            view.server.version.clone(),
            format!("{} ago", age(look.now, view.server.started)),
        ]
    })
    .spare(&["STARTED", "VERSION", "DOMAIN", "HEARS"])
    .render(look.width)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use api::time::Timestamp;
    use clap::{CommandFactory, Parser};
    use serde_json::json;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        server: Arguments,
    }

    #[test]
    fn a_server_is_run_or_servers_are_listed() {
        Line::command().debug_assert();
        let read = |words: &[&str]| Line::try_parse_from([&["server"], words].concat());
        let run = read(&["--data", "/d"]).unwrap().server;
        assert!(run.noun.is_none() && run.run.data() == Path::new("/d"));
        let list = read(&["list"]).unwrap().server;
        assert!(matches!(list.noun, Some(Noun::List)));
        assert!(read(&[]).is_err(), "--data is missing");
        assert!(read(&["--data", "/d", "list"]).is_err());
    }

    #[test]
    fn servers_for_people() {
        let server = |name: &str, leads: bool, connected: bool, state: MemberState| {
            serde_json::from_value::<ServerView>(json!({
                "name": name, "address": "10.0.0.1:7443", "version": "0.1.0",
                "started": Timestamp(0), "domain": "rack-1",
                "leads": leads, "connected": connected, "store": connected.then_some(true),
                "member": { "state": state },
                "hears": if connected { json!({ "s9": "40ms" }) } else { json!({}) },
            }))
            .unwrap()
        };
        let all = [
            server("s1", true, true, MemberState::Follower),
            server("s2", false, true, MemberState::Leader),
            server("s3", false, false, MemberState::Silent),
        ];
        let look = Look { width: None, now: Timestamp(5_000) };
        insta::assert_snapshot!(table(&all, &look), @r"
        SERVER  STATE    ADDRESS        DOMAIN  ETCD      HEARS    VERSION  STARTED
        s1      leads    10.0.0.1:7443  rack-1  follower  s9 40ms  0.1.0    5s ago
        s2      follows  10.0.0.1:7443  rack-1  leader    s9 40ms  0.1.0    5s ago
        s3      silent   10.0.0.1:7443  rack-1  silent    -        0.1.0    5s ago
        ");
    }
}
