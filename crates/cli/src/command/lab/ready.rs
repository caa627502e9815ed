//! Waiting until a lab's cluster is whole.

use std::time::{Duration, Instant};

use ::lab::{Door, Lab, Plan, Role};

use super::control;
use crate::connect::run_async;
use crate::exit::Exit;
use crate::failure::Failure;

/// How long servers and agents may take: a debug build with two hundred machines on two cores.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Waits until every host of the plan is connected, one of the servers leads and hears all others,
/// and each has its vote in etcd.
pub(super) fn wait(lab: &Lab, plan: &Plan, door: &Door) -> Result<(), Failure> {
    let begin = Instant::now();
    loop {
        let seen = match missing(lab, plan, door) {
            Ok(None) => return Ok(()),
            Ok(Some(missing)) => missing,
            Err(failure) => failure.render(),
        };
        if begin.elapsed() > READY_WITHIN {
            let message = "wait for the lab's cluster to be whole";
            return Err(Failure::new(Exit::Unavailable, message).because(seen));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// What is missing, if anything.
fn missing(lab: &Lab, plan: &Plan, door: &Door) -> Result<Option<String>, Failure> {
    let client = control::client(lab, door)?;
    let (hosts, servers) =
        run_async(async { Ok((client.hosts().await?, client.servers().await?)) })?;
    let connected =
        |name: &str| hosts.iter().any(|view| view.connected && view.host.name.as_str() == name);
    let hosts = plan.with_role(Role::Agent).filter(|machine| !connected(&machine.name)).count();
    if hosts > 0 {
        return Ok(Some(format!("{hosts} hosts are not connected")));
    }
    let wanted = plan.with_role(Role::Server).count();
    let heard = servers.iter().filter(|server| server.connected).count();
    if heard < wanted || servers.iter().filter(|server| server.leads).count() != 1 {
        return Ok(Some(format!("{heard} of {wanted} servers are heard, and one must lead")));
    }
    let Some(access) = lab.etcd(plan) else { return Ok(None) };
    let votes = control::etcd(lab, &access).iter().filter(|member| member.votes).count();
    Ok((votes < wanted).then(|| format!("{votes} of {wanted} members of etcd have their vote")))
}
