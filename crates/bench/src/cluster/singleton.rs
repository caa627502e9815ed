//! A singleton whose agent, server or host stands still or dies: for how long none runs, and
//! whether two ever did, as its own witness tells.

mod witness;

use std::time::Duration;

use anyhow::{Context, Result};

use super::alone::{Measure, figure, record, series};
use super::freehold::{Freehold, Settings};
use super::journal::Record;
use super::patiently;
use super::platform::{APP, Platform};
use crate::contest::{Budget, OURS, Row};
use crate::setting::Setting;
use witness::{Nanos, Witness, wall};

/// Runs of each way.
const RUNS: usize = 3;

/// Lines that show that the witness is there: half a second.
const WITNESSED: usize = 100;

/// As long as a lease and more: what a frozen leader leads to has happened then.
const LEASE: Duration = Duration::from_secs(8);

/// What happens to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    AgentFrozen,
    ServerFrozen,
    HostFrozen,
    HostKilled,
}

impl Way {
    const ALL: [Self; 4] =
        [Self::AgentFrozen, Self::ServerFrozen, Self::HostFrozen, Self::HostKilled];

    /// The figure's name, and what it is for people.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::AgentFrozen => ("agent-frozen", "its agent frozen"),
            Self::ServerFrozen => ("server-frozen", "the leading server frozen"),
            Self::HostFrozen => ("host-frozen", "its host frozen"),
            Self::HostKilled => ("host-killed", "its host killed"),
        }
    }
}

/// Runs what is missing and gives the rows: each way's gap, and lines of a second one.
pub(crate) fn run(setting: &Setting) -> Result<Vec<Row>> {
    let gap = |way: Way| Measure::less(way.names().0, "ms", &[Budget::EachAtMost(6000.0)]);
    let mut measures: Vec<Measure> = Way::ALL.into_iter().map(gap).collect();
    measures.push(Measure::less("two-at-once", "lines", &[Budget::EachAtMost(0.0)]));
    let wanted = setting.runs(RUNS, 1) * Way::ALL.len();
    series(
        setting,
        ("singleton", wanted),
        &measures,
        || start(setting),
        |place, number| {
            let way = Way::ALL[number % Way::ALL.len()];
            one(place, way).map(|record| vec![record])
        },
    )
}

/// The cluster with its singleton, and who watches it. The witness ends first.
struct Place {
    witness: Witness,
    freehold: Freehold,
}

fn start(setting: &Setting) -> Result<Place> {
    let apart = ["--servers-apart", "--hypervisors", "3"];
    let freehold = Freehold::start_with(setting, 3, &apart, Settings::Default)?;
    let witness = Witness::start();
    freehold.deploy_manifest(&manifest(witness.file()))?;
    Ok(Place { witness, freehold })
}

fn manifest(file: &str) -> String {
    format!(
        "app = \"{APP}\"\nteam = \"bench\"\nsingleton = true\n\
         [process]\ncommand = [\"/hello\"]\nport = 8080\n\
         [process.scratch]\n\"/data\" = \"64MiB\"\n\
         [environment]\nHELLO_WITNESS = \"{file}\"\n\
         [resources]\ncpu = \"50m\"\nmemory = \"32MiB\"\n[health]\nhttp = \"/healthz\"\n"
    )
}

impl Place {
    /// Waits until one instance is there, healthy and heard of; gives its host.
    fn settled(&self) -> Result<String> {
        let since = self.witness.testimony().lines().len();
        patiently("one healthy instance", || {
            // While a server leaves or comes a question may go wrong.
            let Ok(rows) = self.freehold.rows_of(APP) else { return Ok(None) };
            let [row] = rows.as_slice() else { return Ok(None) };
            let heard = self.witness.testimony().lines().len() >= since + WITNESSED;
            Ok((row.state == "healthy" && heard).then(|| row.host.clone()))
        })
    }

    /// The member that leads.
    fn leader(&self) -> Result<String> {
        patiently("a leader", || {
            let Ok(machines) = self.freehold.lab().status() else { return Ok(None) };
            let mut leading = machines.into_iter().flat_map(|machine| machine.leads);
            Ok(leading.find(|member| member.starts_with("server-")))
        })
    }
}

fn one(place: &Place, way: Way) -> Result<Record> {
    let home = place.settled()?;
    let before = place.witness.testimony().lines().len();
    let since = wall();
    let lab = place.freehold.lab();
    let gap = match way {
        Way::AgentFrozen | Way::HostFrozen => {
            let target =
                if way == Way::AgentFrozen { format!("{home}/agent") } else { home.clone() };
            lab.freeze(&target)?;
            let gap = place.successor(since);
            lab.thaw(&target)?;
            gap?
        }
        Way::HostKilled => {
            let silence = lab.kill(&home)?;
            let since = Nanos::try_from(silence.wall.as_nanosecond()).unwrap_or(since);
            let gap = place.successor(since)?;
            lab.restart(&home)?;
            gap
        }
        Way::ServerFrozen => {
            let leader = place.leader()?;
            lab.freeze(&leader)?;
            std::thread::sleep(LEASE);
            lab.thaw(&leader)?;
            place.witness.testimony().longest_pause(since, wall())
        }
    };
    // Who was frozen goes on now, and must not write a line.
    let now_on = place.settled()?;
    let testimony = place.witness.testimony();
    let two = testimony.two_at_once(before);
    let (name, what) = way.names();
    let milliseconds = Duration::from_nanos(gap).as_secs_f64() * 1e3;
    let what = format!("{what}: from {home} to {now_on}");
    Ok(record(OURS, &what, [(name, milliseconds), ("two-at-once", figure(two))]))
}

impl Place {
    /// Waits for a successor; how long after `since` it began.
    fn successor(&self, since: Nanos) -> Result<Nanos> {
        let epoch = self.witness.testimony().epoch_before(since).context("no singleton ran")?;
        patiently("a successor", || {
            let first = self.witness.testimony().first_after(epoch);
            Ok(first.map(|at| at.saturating_sub(since)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_is_one() {
        let text = manifest("/data/witness-1");
        let manifest = api::manifest::Manifest::parse("freehold.toml", &text).unwrap();
        assert!(manifest.document().contains_key("singleton"));
    }
}
