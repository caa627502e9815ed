//! Starting instances end to end: a real agent is given an assignment, as by its server, and
//! reports that they run (image looked up, root file system, network, packet filter, DNS, shim,
//! create, start). Against `docker run --detach` on a bridge network, daemon and image warm.

use std::time::Duration;

use anyhow::Result;

use crate::contest::{Better, Budget, Entrant, Measure, Plan, Row, compete};
use crate::create_start::{PAUSE, milliseconds};
use crate::docker::Docker;
use crate::host::Host;
use crate::setting::Setting;

const ONE: &[Measure] = &[Measure {
    name: "instance-start",
    unit: "ms",
    better: Better::Less,
    budgets: &[Budget::AtMost(25.0), Budget::TimesAtMost("docker", 1.0)],
}];

const MANY: &[Measure] = &[Measure {
    name: "start-100",
    unit: "ms",
    better: Better::Less,
    budgets: &[Budget::AtMost(3000.0), Budget::TimesAtMost("docker", 1.0)],
}];

/// Runs for one instance: docker's take a second each with their removal.
const RUNS: usize = 50;
const QUICK_RUNS: usize = 2;

/// Runs for a hundred: docker's take half a minute each with their removal.
const MANY_RUNS: usize = 3;
const QUICK_MANY_RUNS: usize = 1;

/// A hundred namespaces take the kernel longer to clear away.
const MANY_PAUSE: Duration = Duration::from_secs(2);

/// One instance at a time.
pub(crate) fn run(setting: &Setting) -> Result<Vec<Row>> {
    let runs = setting.runs(RUNS, QUICK_RUNS);
    contest(setting, 1, Plan { measures: ONE, runs, pause: PAUSE })
}

/// A hundred at once.
pub(crate) fn run_many(setting: &Setting) -> Result<Vec<Row>> {
    let runs = setting.runs(MANY_RUNS, QUICK_MANY_RUNS);
    contest(setting, 100, Plan { measures: MANY, runs, pause: MANY_PAUSE })
}

fn contest(setting: &Setting, count: usize, plan: Plan<'_>) -> Result<Vec<Row>> {
    let mut host = Host::start(setting)?;
    let docker = Docker::start(setting);
    let ours = |_| {
        let taken = host.start_instances(count)?;
        host.clear()?;
        Ok(vec![milliseconds(taken)])
    };
    let theirs = match &docker {
        Err(why) => Entrant::skipped("docker", why),
        Ok(docker) => Entrant::peer("docker", |_| {
            let taken = docker.start_containers(count)?;
            docker.clear()?;
            Ok(vec![milliseconds(taken)])
        }),
    };
    let rows = compete(plan, vec![Entrant::ours(ours), theirs]);
    drop(docker);
    let rows = rows?;
    host.stop()?;
    Ok(rows)
}
