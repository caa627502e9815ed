//! Bringing a scenario's app up, running it, and telling what came of it.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use super::kind::{Hold, Pace};
use super::{links, outage, power};
use crate::cluster::alone::series;
use crate::cluster::freehold::{Freehold, Settings};
use crate::cluster::journal::Record;
use crate::cluster::loss::INSTANCES;
use crate::cluster::platform::Platform;
use crate::cluster::settle;
use crate::contest::{Budget, Row};
use crate::setting::Setting;

/// Hosts of the cluster.
const HOSTS: usize = 6;

/// What may still move when a cluster has just settled.
const CALM: Duration = Duration::from_secs(2);

/// Runs what is missing of a scenario, and gives its rows.
pub(crate) fn run(setting: &Setting, hold: Hold) -> Result<Vec<Row>> {
    let pace = Pace { quick: setting.order.quick };
    // Shortened runs are none: they are kept apart.
    let name = format!("{}{}", hold.name(), if pace.quick { "-quick" } else { "" });
    let wanted = setting.runs(hold.runs(), 1);
    series(
        setting,
        (&name, wanted),
        &hold.measures(),
        || start(setting, hold),
        |ours, number| {
            let record = one(ours, hold, number, pace)?;
            tell(hold, number, &record);
            Ok(vec![record])
        },
    )
}

/// Brings a cluster up with the app that is then under load.
fn start(setting: &Setting, hold: Hold) -> Result<Freehold> {
    let mut ours = Freehold::start_with(setting, HOSTS, hold.shape(), Settings::Default)?;
    if hold == Hold::FailStatic {
        ours.add_address()?;
    }
    ours.deploy(INSTANCES, 1)?;
    Ok(ours)
}

/// One run; the cluster is whole again afterwards, or becomes so by itself.
fn one(ours: &mut Freehold, hold: Hold, number: usize, pace: Pace) -> Result<Record> {
    settle(ours, INSTANCES)?;
    sleep(CALM);
    match hold {
        Hold::FailStatic => outage::fail_static(ours, pace),
        Hold::StaticKill => outage::static_kill(ours, number, pace),
        Hold::ControlCut => links::control_cut(ours, pace),
        Hold::Loss => links::loss(ours, pace),
        Hold::CutOff => links::cut_off(ours, number, pace),
        Hold::ColdStart => power::cold_start(ours, pace),
        Hold::EtcdLoss => power::etcd_loss(ours, number, pace),
    }
}

/// Says which budgets a run missed; what happened when in it is told after.
fn tell(hold: Hold, number: usize, record: &Record) {
    let missed = missed(hold, record);
    if !missed.is_empty() {
        eprintln!("  run {number} ({}) missed: {}", record.what, missed.join("; "));
    }
}

/// The budgets that a run missed.
fn missed(hold: Hold, record: &Record) -> Vec<String> {
    let mut missed = Vec::new();
    for measure in hold.measures() {
        let (name, unit) = (measure.value, measure.unit);
        let Some(value) = record.values.get(name) else {
            missed.push(format!("{name} was not measured"));
            continue;
        };
        for budget in measure.budgets {
            if let Budget::EachAtMost(limit) = budget
                && *value > limit
            {
                missed.push(format!("{name} is {value:.0} {unit}, not ≤ {limit}"));
            }
        }
    }
    missed
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_run_that_misses_says_what() {
        let of = |moves: f64, failed: f64| Record {
            who: String::new(),
            binary: String::new(),
            at: String::new(),
            what: String::new(),
            values: [("moves".to_owned(), moves), ("failed".to_owned(), failed)]
                .into_iter()
                .collect(),
            timeline: Vec::new(),
            failures: BTreeMap::new(),
        };
        assert!(missed(Hold::ControlCut, &of(0.0, 0.0)).is_empty());
        let said = missed(Hold::ControlCut, &of(1.0, 0.0));
        assert_eq!(said, ["moves is 1 containers, not ≤ 0"]);
        assert_eq!(missed(Hold::StaticKill, &of(0.0, 0.0)).len(), 3);
    }
}
