//! `freehold safe-mode`.

use std::process::ExitCode;

use api::server::SafeModeView;
use clap::Subcommand;

use crate::connect::Session;
use crate::failure::Failure;
use crate::output::{Look, age, fields, opt};

/// Safe mode: when much is lost at once, replacements are paced
///
/// More than a third of all hosts, and more than one whole failure domain, taken for dead within
/// 30 s: traffic leaves them as usual, but at most 5 % of all instances (at least 10) are replaced
/// in 10 s, until hosts return or an operator accepts the loss.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show whether it is in force, and why
    Status,
    /// Accept what was lost: replacements go on unpaced
    Accept,
}

pub(crate) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode, Failure> {
    match arguments.what {
        None | Some(What::Status) => {
            let mode = session.ask(async |client| client.safe_mode().await)?;
            session.show(&mode, shown)
        }
        Some(What::Accept) => {
            let (before, after) = session.ask(async |client| {
                let before = client.safe_mode().await?;
                Ok::<_, client::ClientError>((before, client.accept_losses().await?))
            })?;
            let sentence = match &before.lost {
                Some(lost) => format!("accepted: {}; replacements go on unpaced", lost.why),
                None => "safe mode is not in force: there is nothing to accept".to_owned(),
            };
            session.changed(&after, &sentence)
        }
    }
}

/// What `freehold status` says of it, when it is in force.
pub(super) fn notice(mode: &SafeModeView) -> Option<String> {
    let lost = mode.lost.as_ref()?;
    Some(format!(
        "safe mode: {}; replacements are paced\n\
         hint: if these hosts will not return soon: freehold safe-mode accept\n",
        lost.why
    ))
}

fn shown(mode: &SafeModeView, look: &Look) -> String {
    let accepted = mode.accepted.map(|at| {
        let by = &mode.accepted_by;
        format!("losses up to {} ago, by {by}", age(look.now, at))
    });
    let Some(lost) = &mode.lost else {
        let off = "not in force".to_owned();
        return fields(&[("safe mode", off), ("accepted", opt(accepted))]);
    };
    let hosts: Vec<String> = lost.hosts.iter().map(ToString::to_string).collect();
    let since = age(look.now, lost.since);
    fields(&[
        ("safe mode", format!("in force for {since}: replacements are paced")),
        ("why", lost.why.clone()),
        ("lost hosts", hosts.join(", ")),
        ("lost domains", lost.domains.join(", ")),
        ("accepted", opt(accepted)),
    ])
}

#[cfg(test)]
mod tests {
    use api::server::LostAtOnce;
    use api::time::Timestamp;

    use super::*;

    #[test]
    fn safe_mode_for_people() {
        let look = Look { width: None, now: Timestamp(9_000) };
        let mut mode = SafeModeView {
            lost: Some(LostAtOnce {
                since: Timestamp(2_000),
                hosts: vec!["h1".parse().unwrap(), "h2".parse().unwrap()],
                domains: vec!["hv-1".into(), "hv-2".into()],
                why: "2 hosts were lost within 30 s (h1, h2), among them all of hv-1".into(),
            }),
            accepted: None,
            accepted_by: String::new(),
        };
        insta::assert_snapshot!(shown(&mode, &look), @r"
        safe mode     in force for 7s: replacements are paced
        why           2 hosts were lost within 30 s (h1, h2), among them all of hv-1
        lost hosts    h1, h2
        lost domains  hv-1, hv-2
        accepted      -
        ");
        assert!(notice(&mode).unwrap().contains("hint: "));
        mode.lost = None;
        mode.accepted = Some(Timestamp(4_000));
        mode.accepted_by = "ops".into();
        assert_eq!(notice(&mode), None);
        insta::assert_snapshot!(shown(&mode, &look), @r"
        safe mode  not in force
        accepted   losses up to 5s ago, by ops
        ");
    }
}
