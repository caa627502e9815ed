//! All servers and members of etcd are frozen, and die: what runs goes on.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ::lab::Role;
use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::containers::{Allowed, Container, moves};
use super::holders::{self, Had};
use super::kind::Pace;
use super::names;
use super::scene::{Ended, Scene, host_without_server, or_never};
use super::tale::Tale;
use super::watch::Watch;
use crate::cluster::PATIENCE;
use crate::cluster::client::{Load, Nanos, Sample, now};
use crate::cluster::evaluate::{longest_gap, milliseconds, seen};
use crate::cluster::journal::Record;
use crate::cluster::platform::{HOST, Instances, Platform, targets};
use crate::machine::Running;

/// The app's name inside.
const NAME: &str = "hello.staging.internal";

/// Between two requests through the virtual address.
const VIP_PAUSE: Duration = Duration::from_millis(10);

/// A request that takes this long was first sent to somebody who is silent: the ingress gives a
/// connection 250 ms.
const SENT_THERE_MS: f64 = 240.0;

/// Load after what was waited for.
const AFTER: Duration = Duration::from_millis(1500);

/// Everything of the control plane, but what is on a machine.
fn control(platform: &dyn Platform, without: &str) -> Vec<String> {
    let machines = platform.lab().plan().machines.iter().filter(|it| it.name != without);
    let members = machines.flat_map(|machine| &machine.members);
    let members = members.filter(|member| member.role != Role::Agent);
    members.map(|member| member.name.clone()).collect()
}

/// What else watches the first run.
struct Watchers {
    vip: Load,
    holders: Watch<Had>,
    names: Watch<Sample>,
    inside: Running,
}

impl Watchers {
    fn start(platform: &dyn Platform, scene: &Scene, lost: &BTreeSet<String>) -> Result<Self> {
        let lab = platform.lab();
        let entry = targets(Vec::new());
        // Where there is a virtual address, clients follow to it, and it stays.
        drop(platform.follow(entry.clone(), lost)?);
        let address = *entry.lock().first().context("there is no virtual address")?.ip();
        let hosts = lab.plan().with_role(Role::Agent).map(|it| &it.name);
        let inits: Result<Vec<_>> = hosts.map(|it| Ok((it.clone(), lab.init(it)?))).collect();
        let on_entry = scene.before.iter().find(|it| it.host == scene.entry);
        let on_entry = on_entry.context("the entry carries nothing")?;
        let before: Instances =
            scene.before.iter().map(|it| (it.instance.clone(), it.host.clone())).collect();
        let inside = platform.hold(&before, lost)?.context("the app has no service address")?;
        Ok(Self {
            holders: holders::watch(inits?, address),
            names: names::watch(on_entry, NAME)?,
            vip: Load::start(lab.outside()?, entry, HOST, VIP_PAUSE),
            inside,
        })
    }
}

/// The moments of the first run.
struct Moments {
    crashed: (Nanos, String),
    killed: Nanos,
    holder: String,
    returned: Nanos,
}

/// Everything of the control plane frozen, then dead for minutes; meanwhile a container crashes
/// and, late, the host with the virtual address dies.
pub(super) fn fail_static(platform: &mut dyn Platform, pace: Pace) -> Result<Record> {
    let holder = platform.holder()?;
    // One whose container crashes is no client's.
    let entryless: BTreeSet<String> = [holder.clone()].into();
    let scene = Scene::begin(platform, &entryless)?;
    let crash = scene.before.iter().find(|it| it.host != holder && it.host != scene.entry);
    let crash = crash.context("all instances are where they are needed")?.clone();
    let lost = [holder.clone(), crash.host.clone()].into();
    let watchers = Watchers::start(platform, &scene, &lost)?;
    sleep(AFTER);
    let mut tale = Tale::now("all servers frozen, then dead");
    let outage = outage(platform, pace, &crash, holder, &mut tale)?;
    let dead: BTreeSet<String> = [outage.holder.clone()].into();
    let gone = scene.on(&dead)?;
    let began = |count: usize| {
        let later = |it: &&super::containers::Change| it.began && it.at >= outage.returned;
        scene.changes.look(|changes| changes.iter().filter(later).count()) >= count
    };
    let waiting = Instant::now();
    while !began(gone) && waiting.elapsed() < PATIENCE {
        sleep(Duration::from_millis(50));
    }
    sleep(pace.seconds(30, 8).saturating_sub(waiting.elapsed()).max(AFTER));
    let names = scene.names();
    let ended = scene.end()?;
    let replaced = seen(&ended.samples, outage.returned, &names).replacements;
    tale.value("replaced", or_never(replaced.get(gone - 1).copied()));
    containers_told(&mut tale, &ended, &outage, &dead, gone);
    requests_told(&mut tale, &ended, &outage);
    watchers_told(&mut tale, watchers, &outage)?;
    let record = tale.record(platform)?;
    platform.lab().restart(&outage.holder)?;
    Ok(record)
}

fn outage(
    platform: &dyn Platform,
    pace: Pace,
    crash: &Container,
    holder: String,
    tale: &mut Tale,
) -> Result<Moments> {
    let lab = platform.lab();
    lab.on("freeze", &control(platform, ""))?;
    tale.says_now("all servers and members of etcd are frozen");
    sleep(pace.seconds(40, 8));
    lab.on("kill", &control(platform, ""))?;
    tale.says_now("all servers and members of etcd are dead");
    let dead = Instant::now();
    sleep(pace.seconds(30, 3));
    let pid = i32::try_from(crash.pid).ok().and_then(Pid::from_raw);
    let crashed = now();
    kill_process(pid.context("a container has no process")?, Signal::KILL)
        .with_context(|| format!("kill the process of {}", crash.instance))?;
    tale.says(crashed, format!("the process of {} on {} is killed", crash.instance, crash.host));
    sleep(pace.seconds(240, 12).saturating_sub(dead.elapsed()));
    let killed = lab.kill(&holder)?.monotonic_ns;
    tale.says(killed, format!("{holder}, which held the address, is killed"));
    sleep(pace.seconds(300, 22).saturating_sub(dead.elapsed()));
    lab.on("restart", &control(platform, &holder))?;
    let returned = now();
    tale.says(returned, "all other servers and members of etcd start again");
    Ok(Moments { crashed: (crashed, crash.instance.clone()), killed, holder, returned })
}

fn containers_told(
    tale: &mut Tale,
    ended: &Ended,
    moments: &Moments,
    dead: &BTreeSet<String>,
    gone: usize,
) {
    let (before, after) = ended.split(moments.returned);
    let restarted = Some(moments.crashed.1.as_str());
    tale.count("moves", moves(&before, Allowed { dead, restarted, replacements: 0 }));
    let allowed = Allowed { dead, restarted: None, replacements: gone };
    tale.count("needless", moves(&after, allowed));
    tale.says_changes(&ended.changes);
}

fn requests_told(tale: &mut Tale, ended: &Ended, moments: &Moments) {
    let early = ended.between(tale.zero(), moments.killed);
    tale.count("failed", early.failed);
    let late = ended.seen(moments.killed);
    tale.count("failed-at-kill", late.failed);
    tale.value("last-failed-at-kill", late.last_failed);
    let zero = tale.zero();
    ended.failures(tale, zero);
    let (crashed, instance) = &moments.crashed;
    let again = ended.samples.iter().filter(|it| it.sent >= *crashed);
    let again = again.filter(|it| it.outcome.as_ref() == Ok(instance)).map(|it| it.ended).min();
    tale.value("restart", or_never(again.map(|at| milliseconds(*crashed, at))));
}

fn watchers_told(tale: &mut Tale, watchers: Watchers, moments: &Moments) -> Result<()> {
    let names = watchers.names.stop()?;
    let bad = names.iter().filter(|it| it.outcome.is_err());
    tale.count("looked-up", names.len());
    tale.count("unresolved", bad.clone().count());
    if let Some(first) = bad.clone().next() {
        let why = first.outcome.as_ref().err().cloned().unwrap_or_default();
        tale.says(first.sent, format!("{NAME} is not resolved: {why}"));
    }
    let text = watchers.inside.output();
    let inside: Vec<Sample> =
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    // When the host dies, whoever was asking it has to ask again.
    let early = inside.iter().filter(|it| it.ended < moments.killed && it.outcome.is_err());
    tale.count("failed-inside", early.clone().count());
    if let Some(first) = early.clone().next() {
        tale.says(first.sent, "the first request inside that failed was sent");
    }
    let had = watchers.holders.stop()?;
    tale.count("vip-changes", holders::changes(&had, moments.killed));
    for had in had {
        tale.says(had.at, format!("the address is on {:?}", had.by));
    }
    let vip = watchers.vip.stop()?;
    tale.value("vip-gap", or_never(longest_gap(&vip, moments.killed)));
    let early = |it: &&Sample| it.ended < moments.killed && it.outcome.is_err();
    tale.count("vip-failed", vip.iter().filter(early).count());
    Ok(())
}

/// A host without a server dies while all servers and members of etcd are frozen.
pub(super) fn static_kill(
    platform: &mut dyn Platform,
    number: usize,
    pace: Pace,
) -> Result<Record> {
    let victim = host_without_server(platform, number)?;
    let dead: BTreeSet<String> = [victim.clone()].into();
    let scene = Scene::begin(platform, &dead)?;
    let gone = scene.on(&dead)?;
    let lab = platform.lab();
    let all = control(platform, "");
    lab.on("freeze", &all)?;
    let frozen = now();
    sleep(pace.seconds(3, 3));
    let silence = lab.kill(&victim)?;
    sleep(pace.seconds(10, 5));
    lab.on("thaw", &all)?;
    let thawed = now();
    scene.replaced(silence.monotonic_ns, gone);
    sleep(AFTER);
    let names = scene.names();
    let ended = scene.end()?;
    let mut tale = Tale::at(silence, &victim);
    let zero = tale.zero();
    tale.says(frozen, "all servers and members of etcd are frozen");
    tale.says(thawed, "they go on");
    let seen = seen(&ended.samples, zero, &names);
    tale.count("failed", seen.failed);
    tale.value("last-failed", seen.last_failed);
    tale.value("last-sent-there", last_sent_there(&ended.samples, zero));
    let last = seen.replacements.get(gone - 1).map(|at| at - tale.after(thawed));
    tale.value("replaced", or_never(last));
    let allowed = Allowed { dead: &dead, restarted: None, replacements: gone };
    tale.count("moves", moves(&ended.changes, allowed));
    ended.failures(&mut tale, zero);
    tale.says_changes(&ended.changes);
    let record = tale.record(platform)?;
    platform.lab().restart(&victim)?;
    Ok(record)
}

/// When the last request was sent that failed, or waited for somebody who is silent.
fn last_sent_there(samples: &[Sample], silence: Nanos) -> f64 {
    let concerned = samples.iter().filter(|sample| sample.ended >= silence);
    let there = concerned.filter(|sample| {
        sample.outcome.is_err() || milliseconds(sample.sent, sample.ended) >= SENT_THERE_MS
    });
    there.map(|sample| milliseconds(silence, sample.sent)).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_requests_were_sent_to_the_dead() {
        let sample = |sent: Nanos, ended: Nanos, good: bool| Sample {
            sent: sent * 1_000_000,
            ended: ended * 1_000_000,
            outcome: if good { Ok("a".into()) } else { Err("closed".into()) },
        };
        let silence = 100_000_000;
        let samples = [sample(90, 95, false), sample(99, 110, true), sample(150, 420, true)];
        assert_eq!(last_sent_there(&samples, silence), 50.0);
        let samples = [&samples[..], &[sample(300, 310, false), sample(900, 1000, true)]].concat();
        assert_eq!(last_sent_there(&samples, silence), 200.0);
        assert_eq!(last_sent_there(&[], silence), 0.0);
    }
}
