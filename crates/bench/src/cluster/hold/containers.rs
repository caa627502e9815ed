//! The app's containers as this machine's own processes: no server and no agent is asked. Machines
//! of a lab have pid namespaces below the one that this runs in, so all of them are seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use super::watch::Watch;
use crate::cluster::client::{Nanos, now};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A process that has not become the app for so long stays what it is.
const UNDECIDED: Duration = Duration::from_secs(3);

/// The app's command line.
const COMMAND: &[u8] = b"/hello\0";

/// A container by its main process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Container {
    /// Its process.
    pub(super) pid: u32,
    /// Its instance.
    pub(super) instance: String,
    /// The machine it is on.
    pub(super) host: String,
}

/// A container began or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// When that was seen.
    pub(super) at: Nanos,
    /// Whether it began.
    pub(super) began: bool,
    /// Which.
    pub(super) container: Container,
}

impl Change {
    /// For people.
    pub(super) fn told(&self) -> String {
        let Container { pid, instance, host } = &self.container;
        let what = if self.began { "began" } else { "ended" };
        format!("process {pid} of {instance} on {host} {what}")
    }
}

/// What may change without the platform moving anything.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowed<'a> {
    /// Machines that were killed.
    pub(super) dead: &'a BTreeSet<String>,
    /// The instance whose process was killed: it ends and begins once.
    pub(super) restarted: Option<&'a str>,
    /// Instances that take the place of those that are lost.
    pub(super) replacements: usize,
}

/// How many containers were started or stopped beyond what is allowed.
pub(super) fn moves(changes: &[Change], allowed: Allowed<'_>) -> usize {
    let own = |change: &Change| Some(change.container.instance.as_str()) == allowed.restarted;
    let (own, others): (Vec<&Change>, Vec<&Change>) = changes.iter().partition(|it| own(it));
    let began = others.iter().filter(|it| it.began).count();
    let ended = others.iter().filter(|it| !it.began);
    let ended = ended.filter(|it| !allowed.dead.contains(&it.container.host)).count();
    ended + began.saturating_sub(allowed.replacements) + own.len().saturating_sub(2)
}

/// The most that ran at once, and how many ran in the end.
pub(super) fn running_after(before: usize, changes: &[Change]) -> (usize, usize) {
    let (mut most, mut count) = (before, before);
    for change in changes {
        count = if change.began { count + 1 } else { count.saturating_sub(1) };
        most = most.max(count);
    }
    (most, count)
}

/// All containers of the app now.
pub(super) fn running() -> Vec<Container> {
    pids().into_iter().filter_map(container).collect()
}

/// Watches containers come and go; `known` run already.
pub(super) fn watch(known: &[Container]) -> Watch<Change> {
    let mut all: BTreeMap<u32, Process> = BTreeMap::new();
    for container in known {
        all.insert(container.pid, Process::Container(container.clone()));
    }
    Watch::every(LOOK_EVERY, move || look(&mut all))
}

/// What is known of a process.
enum Process {
    Container(Container),
    Other { since: Instant },
}

fn look(known: &mut BTreeMap<u32, Process>) -> Vec<Change> {
    let (pids, at) = (pids(), now());
    let mut changes = Vec::new();
    known.retain(|pid, process| {
        let stays = pids.contains(pid);
        if let (false, Process::Container(container)) = (stays, process) {
            changes.push(Change { at, began: false, container: container.clone() });
        }
        stays
    });
    for pid in pids {
        // Before it becomes the app it is what its parent was.
        let other = known.entry(pid).or_insert_with(|| Process::Other { since: Instant::now() });
        let young = matches!(other, Process::Other { since } if since.elapsed() < UNDECIDED);
        if let Some(container) = young.then(|| container(pid)).flatten() {
            *other = Process::Container(container.clone());
            changes.push(Change { at, began: true, container });
        }
    }
    changes
}

fn pids() -> BTreeSet<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn container(pid: u32) -> Option<Container> {
    let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).ok();
    if read("cmdline")? != COMMAND {
        return None;
    }
    let environment = read("environ")?;
    let of = |name: &str| variable(&environment, name);
    Some(Container { pid, instance: of("FREEHOLD_INSTANCE")?, host: of("FREEHOLD_HOST")? })
}

fn variable(environment: &[u8], name: &str) -> Option<String> {
    let mut all = environment.split(|byte| *byte == 0);
    let value = all.find_map(|one| one.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    String::from_utf8(value.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(began: bool, instance: &str, host: &str) -> Change {
        let container = Container { pid: 7, instance: instance.into(), host: host.into() };
        Change { at: 0, began, container }
    }

    #[test]
    fn what_somebody_else_ended_is_no_move() {
        let dead = ["host-4".to_owned()].into();
        let allowed = Allowed { dead: &dead, restarted: Some("a"), replacements: 1 };
        let good = [
            change(false, "a", "host-1"),
            change(true, "a", "host-1"),
            change(false, "b", "host-4"),
            change(true, "c", "host-2"),
        ];
        assert_eq!(moves(&good, allowed), 0);
        for more in [
            change(false, "d", "host-1"),
            change(true, "d", "host-1"),
            change(true, "a", "host-1"),
            change(true, "b", "host-4"),
        ] {
            assert_eq!(moves(&[&good[..], &[more]].concat(), allowed), 1);
        }
        let none = Allowed { dead: &BTreeSet::new(), restarted: None, replacements: 0 };
        assert_eq!(moves(&good, none), 4);
    }

    #[test]
    fn the_most_and_the_last_are_counted() {
        let of = |began| change(began, "a", "b");
        assert_eq!(
            running_after(2, &[of(true), of(true), of(false), of(false), of(false)]),
            (4, 1)
        );
    }

    #[test]
    fn variables_are_found_whole() {
        let environment = b"XFREEHOLD_HOST=no\0FREEHOLD_HOST=host-1\0FREEHOLD_HOSTS=no\0";
        assert_eq!(variable(environment, "FREEHOLD_HOST").unwrap(), "host-1");
        assert_eq!(variable(environment, "HOST"), None);
    }

    #[test]
    fn a_process_that_becomes_another_is_seen_as_that() {
        let mut known = BTreeMap::new();
        assert!(look(&mut known).is_empty());
        let own = std::process::id();
        assert!(matches!(known[&own], Process::Other { .. }));
        let container = Container { pid: own, instance: "a".into(), host: "b".into() };
        known.insert(u32::MAX, Process::Container(container.clone()));
        let gone = look(&mut known);
        assert!(gone.len() == 1 && !gone[0].began && gone[0].container == container);
        assert_eq!(gone[0].told(), format!("process {own} of a on b ended"));
    }
}
