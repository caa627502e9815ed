//! `freehold cert authority`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use api::authority::{AuthorityView, Phase, RotateRequest};
use clap::Subcommand;

use crate::connect::{Session, print_out};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Look, Table, age, dash, fields};

/// How often is looked how far an exchange is.
const LOOK: Duration = Duration::from_millis(500);

/// How long `--wait` waits.
const WITHIN: Duration = Duration::from_secs(600);

/// The authority that signs the cluster's own certificates
#[derive(Debug, Subcommand)]
pub(crate) enum Arguments {
    /// Show the authority, and how far an exchange of it is
    Show {
        /// Print only the certificates of all authorities that are trusted now, PEM
        #[arg(long)]
        pem: bool,
    },
    /// Exchange the authority for a new one
    ///
    /// First all servers and hosts learn to trust the new one beside the old one, then they get
    /// certificates of it, then the old one is dropped. No container is stopped, and no connection.
    /// A host that is away is waited for before the old one is dropped. Run again, it goes on with
    /// the exchange that is under way.
    Rotate {
        /// Wait before the new one signs, until this is run again without --hold: time to hand the
        /// new certificate to clients outside the cluster (freehold cert authority show --pem)
        #[arg(long)]
        hold: bool,
        /// Go on without those for whom the exchange waits now: they must join again
        #[arg(long, conflicts_with = "hold")]
        force: bool,
        /// Wait until it is done, for ten minutes at most
        #[arg(long, conflicts_with = "hold")]
        wait: bool,
    },
}

pub(crate) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode, Failure> {
    match *arguments {
        Arguments::Show { pem } => {
            let view = session.ask(async |client| client.authority().await)?;
            if pem {
                print_out(&view.authorities_pem)?;
                return Ok(ExitCode::SUCCESS);
            }
            session.show(&view, one)
        }
        Arguments::Rotate { hold, force, wait } => {
            let request = RotateRequest { hold, force };
            let mut view = session.ask(async |client| client.rotate_authority(&request).await)?;
            if wait {
                view = settled(session, view.generation)?;
            }
            let sentence = match view.phase {
                Phase::Settled => format!("the authority was exchanged; {} signs", view.signs),
                phase => format!(
                    "the authority is exchanged: phase {}; see: freehold cert authority show",
                    phase.word()
                ),
            };
            session.changed(&view, &sentence)
        }
    }
}

/// Waits until the exchange is over. While an etcd is started anew the cluster may not answer.
fn settled(session: &Session, generation: u64) -> Result<AuthorityView, Failure> {
    let begun = Instant::now();
    loop {
        let asked = session.ask(async |client| client.authority().await);
        match asked {
            Ok(view) if view.phase == Phase::Settled && view.generation >= generation => {
                return Ok(view);
            }
            Ok(view) if begun.elapsed() >= WITHIN => {
                let names = view.waits_for.iter().map(|waits| waits.member.as_str());
                let names: Vec<&str> = names.collect();
                let message = format!("exchange the authority: it waits for {}", names.join(", "));
                return Err(Failure::new(Exit::Failure, message).hint(
                    "freehold cert authority show says why; rotate --force leaves them out",
                ));
            }
            Err(error) if begun.elapsed() >= WITHIN => return Err(error),
            Ok(_) | Err(_) => std::thread::sleep(LOOK),
        }
    }
}

fn one(view: &AuthorityView, look: &Look) -> String {
    let ago = |at: Option<api::time::Timestamp>| {
        at.map_or_else(|| "-".to_owned(), |at| format!("{} ago", age(look.now, at)))
    };
    let phase = match (view.phase, view.held) {
        (Phase::Trust, true) => "trust (held: run rotate again to go on)".to_owned(),
        (phase, _) => phase.word().to_owned(),
    };
    let mut text = fields(&[
        ("phase", phase),
        ("signs", view.signs.clone()),
        ("trusted", view.authorities.join(", ")),
        ("began", ago(view.began)),
        ("ended", ago(view.ended)),
        ("left out", dash(view.left_out.join(", "))),
    ]);
    if !view.waits_for.is_empty() {
        text.push('\n');
        let rows = Table::of(&["WAITS FOR", "CONNECTED", "WHY"], &view.waits_for, |waits| {
            let connected = if waits.connected { "yes" } else { "no" };
            vec![waits.member.clone(), connected.to_owned(), waits.why.clone()]
        });
        text.push_str(&rows.render(look.width));
    }
    text
}

#[cfg(test)]
mod tests {
    use api::authority::WaitsFor;
    use api::time::Timestamp;

    use super::*;

    #[test]
    fn an_exchange_for_people() {
        let view = AuthorityView {
            phase: Phase::Issue,
            signs: "sha256:22".into(),
            authorities: vec!["sha256:22".into(), "sha256:11".into()],
            authorities_pem: String::new(),
            generation: 2,
            began: Some(Timestamp(0)),
            ended: None,
            held: false,
            waits_for: vec![WaitsFor {
                member: "host h3".into(),
                why: "its certificate is not of the new authority yet".into(),
                connected: false,
            }],
            left_out: Vec::new(),
        };
        let look = Look { width: None, now: Timestamp(120_000) };
        insta::assert_snapshot!(one(&view, &look), @r"
        phase     issue
        signs     sha256:22
        trusted   sha256:22, sha256:11
        began     2m ago
        ended     -
        left out  -

        WAITS FOR  CONNECTED  WHY
        host h3    no         its certificate is not of the new authority yet
        ");
    }
}
