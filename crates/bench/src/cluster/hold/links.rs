//! Links are cut and lossy: nothing moves that need not, and who returns is welcome.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ::lab::Role;
use anyhow::{Context, Result, ensure};
use net::namespace::Namespace;

use super::containers::{Allowed, moves, running_after};
use super::kind::Pace;
use super::pool::{self, fewest};
use super::scene::{Ended, Scene, host_without_server, machines, or_never};
use super::tale::Tale;
use crate::cluster::PATIENCE;
use crate::cluster::client::now;
use crate::cluster::evaluate::seen;
use crate::cluster::freehold::INGRESS;
use crate::cluster::journal::Record;
use crate::cluster::loss::INSTANCES;
use crate::cluster::platform::Platform;

/// What may still come when links are whole again.
const AFTER: Duration = Duration::from_secs(5);

/// How long a way is tried.
const CONNECT_WITHIN: Duration = Duration::from_millis(200);

/// Where servers answer.
const API: u16 = 7443;

/// How long a cluster must be as it shall be.
const SETTLED: Duration = Duration::from_secs(2);

/// No host reaches a server; hosts reach each other.
pub(super) fn control_cut(platform: &mut dyn Platform, pace: Pace) -> Result<Record> {
    let scene = Scene::begin(platform, &BTreeSet::new())?;
    let hosts = machines(platform, &[Role::Agent], &[]).join(",");
    let servers = machines(platform, &[Role::Server], &[]).join(",");
    let mut tale = Tale::now("servers cut from all hosts");
    let begun = Instant::now();
    platform.lab().order(&["cut", &hosts, &servers])?;
    tale.says_now("hosts and servers are cut off from each other");
    check_cut(platform)?;
    sleep(pace.seconds(60, 15).saturating_sub(begun.elapsed()));
    platform.lab().order(&["heal"])?;
    tale.says_now("links are whole");
    sleep(AFTER);
    let ended = scene.end()?;
    unmoved(&mut tale, &ended);
    tale.record(platform)
}

/// No host has a way to a server, but all have one to another host.
fn check_cut(platform: &dyn Platform) -> Result<()> {
    let lab = platform.lab();
    let hosts = machines(platform, &[Role::Agent], &[]);
    let servers = machines(platform, &[Role::Server], &[]);
    for (host, next) in hosts.iter().zip(hosts.iter().cycle().skip(1)) {
        let network = Path::new("/proc").join(lab.init(host)?.to_string()).join("ns/net");
        let network = Namespace::open(&network).context("find a machine's network")?;
        let reaches = |machine: &str, port| -> Result<bool> {
            let to = lab.address(machine, port)?.into();
            let tried = network.run(|| TcpStream::connect_timeout(&to, CONNECT_WITHIN));
            Ok(tried.context("enter a machine's network")?.is_ok())
        };
        ensure!(reaches(next, INGRESS)?, "{host} does not reach {next}");
        for server in &servers {
            ensure!(!reaches(server, API)?, "{host} reaches {server}: nothing was cut");
        }
    }
    Ok(())
}

/// Of packets on all links between machines a third gets lost.
pub(super) fn loss(platform: &mut dyn Platform, pace: Pace) -> Result<Record> {
    let scene = Scene::begin(platform, &BTreeSet::new())?;
    let mut tale = Tale::now("30 % lost on all links");
    platform.lab().order(&["loss", "30", "all", "all"])?;
    tale.says_now("packets get lost");
    sleep(pace.seconds(60, 15));
    platform.lab().order(&["heal"])?;
    tale.says_now("links are whole");
    sleep(AFTER);
    let ended = scene.end()?;
    unmoved(&mut tale, &ended);
    let seen = ended.seen(tale.zero());
    let count = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    tale.value("failed-share", count(seen.failed) / count(seen.sent.max(1)) * 100.0);
    let mut record = tale.record(platform)?;
    for (name, word) in [("downs", " is down"), ("suspicions", " is suspect")] {
        let said = record.timeline.iter().filter(|(_, what)| what.ends_with(word)).count();
        record.values.insert(name.to_owned(), count(said));
    }
    Ok(record)
}

/// Nothing was to move, and no request to fail.
pub(super) fn unmoved(tale: &mut Tale, ended: &Ended) {
    let nothing = Allowed { dead: &BTreeSet::new(), restarted: None, replacements: 0 };
    tale.count("moves", moves(&ended.changes, nothing));
    tale.says_changes(&ended.changes);
    let seen = ended.seen(tale.zero());
    tale.count("failed", seen.failed);
    let zero = tale.zero();
    ended.failures(tale, zero);
}

/// A host without a server is cut off from all machines, and comes back.
pub(super) fn cut_off(platform: &mut dyn Platform, number: usize, pace: Pace) -> Result<Record> {
    let victim = host_without_server(platform, number)?;
    let lost: BTreeSet<String> = [victim.clone()].into();
    let scene = Scene::begin(platform, &lost)?;
    let gone = scene.on(&lost)?;
    let looks = pool::watch(platform.lab().init(&scene.entry)?)?;
    sleep(Duration::from_millis(500));
    let mut tale = Tale::now(&victim);
    let begun = Instant::now();
    platform.lab().order(&["cut", &victim, "all"])?;
    tale.says_now(format!("{victim} is cut off"));
    scene.replaced(tale.zero(), gone);
    sleep(pace.seconds(30, 10).saturating_sub(begun.elapsed()));
    platform.lab().order(&["heal"])?;
    tale.says_now("links are whole");
    settle_again(platform, &mut tale)?;
    let looks = looks.stop()?;
    let (before, names) = (scene.before.len(), scene.names());
    let ended = scene.end()?;
    let seen = seen(&ended.samples, tale.zero(), &names);
    let last = or_never(seen.replacements.get(gone - 1).copied());
    tale.value("last-serving", last);
    tale.count("failed", seen.failed);
    tale.value("last-failed", seen.last_failed);
    let zero = tale.zero();
    ended.failures(&mut tale, zero);
    // From when all serve elsewhere there are as many as wanted, whatever comes back.
    let whole = |it: &&pool::Look| tale.after(it.at) >= last;
    let whole = looks.iter().find(whole).map_or_else(now, |it| it.at);
    match fewest(&looks, whole) {
        Some(look) => {
            let (good, routed) = (look.answered.len(), look.routed.len());
            tale.count("missing", INSTANCES.saturating_sub(good));
            let what = format!("the fewest: {good} of {routed} that are routed to answer");
            tale.says(look.at, what);
        }
        None => tale.count("missing", INSTANCES),
    }
    let (most, end) = running_after(before, &ended.changes);
    tale.count("most-running", most);
    tale.count("left-over", end.abs_diff(INSTANCES));
    tale.says_changes(&ended.changes);
    tale.record(platform)
}

/// Waits until the cluster is as before, and stays so.
fn settle_again(platform: &mut dyn Platform, tale: &mut Tale) -> Result<()> {
    let begun = Instant::now();
    let mut since: Option<Instant> = None;
    while begun.elapsed() < PATIENCE {
        match platform.unsettled(INSTANCES)? {
            Some(_) => since = None,
            None if since.is_some_and(|since| since.elapsed() > SETTLED) => {
                tale.says_now("settled for two seconds");
                return Ok(());
            }
            None => drop(since.get_or_insert_with(Instant::now)),
        }
        sleep(Duration::from_millis(100));
    }
    anyhow::bail!("it did not settle: {}", platform.unsettled(INSTANCES)?.unwrap_or_default())
}
