//! Power is lost everywhere at once, and a member of etcd dies under writes.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::Duration;

use ::lab::Role;
use anyhow::{Context, Result};

use super::control::{documents, lost, teams, write};
use super::kind::Pace;
use super::links::unmoved;
use super::scene::{Scene, or_never};
use super::tale::Tale;
use crate::cluster::client::{Sample, now};
use crate::cluster::evaluate::longest_gap;
use crate::cluster::journal::Record;
use crate::cluster::loss::INSTANCES;
use crate::cluster::platform::Platform;
use crate::cluster::{patiently, settle};

/// Every machine dies at once and starts again; nobody does more.
pub(super) fn cold_start(platform: &mut dyn Platform, pace: Pace) -> Result<Record> {
    let before = documents(platform.lab())?;
    let scene = Scene::begin(platform, &BTreeSet::new())?;
    let silence = platform.lab().kill("all")?;
    sleep(pace.seconds(3, 1));
    let mut tale = Tale::now("everything");
    tale.says(silence.monotonic_ns, "all machines are dead");
    platform.lab().restart("all")?;
    tale.says_now("all machines start again");
    let serving = scene.serving(tale.zero(), INSTANCES);
    let ended = scene.end()?;
    tale.value("first-serving", or_never(serving.first().copied()));
    tale.value("all-serving", or_never(serving.get(INSTANCES - 1).copied()));
    for (index, at) in serving.iter().enumerate() {
        tale.says(tale.moment(*at), format!("{} instances have answered", index + 1));
    }
    ended.failures(&mut tale, silence.monotonic_ns);
    settle(platform, INSTANCES)?;
    let after = documents(platform.lab())?;
    let missing: Vec<&String> = before.difference(&after).collect();
    tale.count("lost", missing.len());
    for text in missing {
        tale.says_now(format!("this is not there as before: {text}"));
    }
    tale.record(platform)
}

/// One of three members of etcd dies under writes: in every other run the leading one.
pub(super) fn etcd_loss(platform: &mut dyn Platform, number: usize, pace: Pace) -> Result<Record> {
    whole(platform)?;
    let (victim, leads) = member(platform, number)?;
    let scene = Scene::begin(platform, &BTreeSet::new())?;
    let stamp = now() / 1_000_000;
    let writes = write(platform.lab(), format!("w{stamp}"))?;
    sleep(Duration::from_secs(2));
    let silence = platform.lab().kill_all(&[victim.as_str()])?;
    let what = format!("{victim}, which {}", if leads { "led" } else { "followed" });
    let mut tale = Tale::at(silence, &what);
    sleep(pace.seconds(8, 5));
    platform.lab().on("restart", &[victim])?;
    tale.says_now("it starts again");
    sleep(Duration::from_secs(2));
    let samples = writes.stop()?;
    whole(platform)?;
    tale.says_now("all members are there");
    let ended = scene.end()?;
    let lost = lost(&samples, &teams(platform.lab())?);
    tale.count("lost-writes", lost.len());
    lost.iter().for_each(|name| tale.says_now(format!("{name} was acknowledged and is lost")));
    let good = |sample: &&Sample| sample.outcome.is_ok();
    tale.count("writes", samples.iter().filter(good).count());
    tale.value("pause", or_never(longest_gap(&samples, tale.zero())));
    let bad = samples.iter().filter(|sample| sample.outcome.is_err());
    tale.count("failed-writes", bad.clone().count());
    for sample in bad {
        tale.says(sample.sent, format!("a write failed: {:?}", sample.outcome));
    }
    unmoved(&mut tale, &ended);
    tale.record(platform)
}

/// A member to kill, and whether it leads.
fn member(platform: &dyn Platform, number: usize) -> Result<(String, bool)> {
    let status = platform.lab().status()?;
    let mut leading = status.iter().flat_map(|it| &it.leads).filter(|it| it.starts_with("etcd-"));
    let leading = leading.next().context("no member of etcd leads")?;
    if number.is_multiple_of(2) {
        return Ok((leading.clone(), true));
    }
    let members = platform.lab().plan().with_role(Role::Etcd);
    let members = members.filter_map(|machine| machine.member(Role::Etcd));
    let others: Vec<&String> =
        members.map(|member| &member.name).filter(|name| *name != leading).collect();
    let other = others.get(number / 2 % others.len().max(1)).context("it has one member")?;
    Ok(((*other).clone(), false))
}

/// Waits until all members run and one of each kind leads.
fn whole(platform: &dyn Platform) -> Result<()> {
    patiently("a whole control plane", || {
        let status = platform.lab().status()?;
        let runs = status.iter().all(|machine| machine.stopped.is_empty());
        let led =
            |kind: &str| status.iter().flat_map(|it| &it.leads).any(|name| name.starts_with(kind));
        Ok((runs && led("server-") && led("etcd-")).then_some(()))
    })
}
