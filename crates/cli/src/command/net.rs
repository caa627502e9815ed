//! `freehold net`.

use std::process::ExitCode;

use api::server::{NetReport, WayBack};
use clap::Subcommand;

use crate::connect::Session;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Look, Table};

/// The network between hosts
#[derive(Debug, Subcommand)]
pub(crate) enum Arguments {
    /// Find machines that do not hear each other, although servers hear them
    ///
    /// Hosts and servers probe each other all the time. Where one gets no answers of another that
    /// is alive, something stands in between, most often a firewall. Ends with exit code 1 when
    /// there is such a pair.
    Doctor,
}

pub(crate) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Arguments::Doctor = arguments;
    let report = session.ask(async |client| client.net_doctor().await)?;
    let shown = session.show(&report, table)?;
    if report.problems.is_empty() { Ok(shown) } else { Ok(ExitCode::from(Exit::Failure as u8)) }
}

fn table(report: &NetReport, look: &Look) -> String {
    if report.problems.is_empty() {
        return match report.pairs {
            0 => "no machine probes another: there is nothing to compare\n".to_owned(),
            pairs => format!("all of {pairs} pairs hear each other\n"),
        };
    }
    let headings = ["FROM", "TO", "PORT", "WAY BACK"];
    let mut text = Table::of(&headings, &report.problems, |problem| {
        let back = match problem.back {
            WayBack::Heard => "heard",
            WayBack::Silent => "silent too",
            WayBack::Unknown => "not asked",
        };
        vec![
            problem.from.clone(),
            format!("host {}", problem.to),
            problem.at.clone(),
            back.to_owned(),
        ]
    })
    .render(look.width);
    for problem in &report.problems {
        text.push_str(&format!("\n{}\nhint: {}\n", problem.message, problem.hint));
    }
    text
}

#[cfg(test)]
mod tests {
    use api::server::NetProblem;
    use api::time::Timestamp;

    use super::*;

    #[test]
    fn what_the_doctor_finds_is_for_people() {
        let look = Look { width: None, now: Timestamp(0) };
        let mut report = NetReport { pairs: 12, problems: Vec::new() };
        assert_eq!(table(&report, &look), "all of 12 pairs hear each other\n");
        report.problems.push(NetProblem {
            from: "host h1".into(),
            to: "h2".parse().unwrap(),
            at: "udp 10.0.0.2:7444".into(),
            back: WayBack::Heard,
            message: "host h1 does not hear host h2, which hears it".into(),
            hint: "on host h2 let udp 7444 in from 10.0.0.1".into(),
        });
        insta::assert_snapshot!(table(&report, &look), @r"
        FROM     TO       PORT               WAY BACK
        host h1  host h2  udp 10.0.0.2:7444  heard

        host h1 does not hear host h2, which hears it
        hint: on host h2 let udp 7444 in from 10.0.0.1
        ");
    }
}
