//! What processes use, from `/proc` (proc(5)).

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its id.
    pub(crate) pid: u32,
    /// Its parent's id.
    pub(crate) parent: u32,
    /// Its name, cut to 15 bytes by the kernel.
    pub(crate) name: String,
    /// Its arguments, the program first.
    pub(crate) arguments: Vec<String>,
}

/// All processes of this process namespace. Those that end meanwhile are left out.
pub(crate) fn processes() -> Result<Vec<Process>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("list processes")? {
        let name = entry.context("list processes")?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).ok();
        let (Some(stat), Some(arguments)) = (read("stat"), read("cmdline")) else { continue };
        let stat = String::from_utf8_lossy(&stat).into_owned();
        let Some((name, fields)) = split_stat(&stat) else { continue };
        let Some(parent) = fields.get(1).and_then(|field| field.parse().ok()) else { continue };
        let arguments = String::from_utf8_lossy(&arguments).into_owned();
        let arguments = arguments.split_terminator('\0').map(str::to_owned).collect();
        found.push(Process { pid, parent, name: name.to_owned(), arguments });
    }
    found.sort_by_key(|process| process.pid);
    Ok(found)
}

/// A process and all below it.
pub(crate) fn tree(all: &[Process], root: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for process in all {
        children.entry(process.parent).or_default().push(process.pid);
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(children.remove(pid).unwrap_or_default());
        next += 1;
    }
    found
}

/// Memory that only this process has and that can't be given up: `Private_Dirty`, in MiB.
pub(crate) fn private_dirty_mib(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let kib = private_dirty_kib(&text).with_context(|| format!("no Private_Dirty in {path}"))?;
    Ok(kib / 1024.0)
}

fn private_dirty_kib(rollup: &str) -> Option<f64> {
    let rest = rollup.lines().find_map(|line| line.strip_prefix("Private_Dirty:"))?;
    rest.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// CPU time that a process has used so far, user and system, in seconds.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let ticks = cpu_ticks(&text).with_context(|| format!("no times in {path}"))?;
    let each = rustix::param::clock_ticks_per_second();
    #[expect(clippy::cast_precision_loss, reason = "ticks of a run are far below 2^52")]
    let seconds = ticks as f64 / each as f64;
    Ok(seconds)
}

/// Fields 14 and 15: time in user mode and in the kernel.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = split_stat(stat)?;
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(field(14)? + field(15)?)
}

/// The name and the fields after it, field 3 first. A name may hold spaces and parentheses.
fn split_stat(stat: &str) -> Option<(&str, Vec<&str>)> {
    let (before, after) = stat.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    Some((name, after.split_whitespace().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "42 (a (b) c) S 7 42 42 0 -1 4194560 100 0 0 0 13 29 0 0 20 0 1 0 5 0 0";

    #[test]
    fn names_with_parentheses_do_not_shift_the_fields() {
        assert_eq!(cpu_ticks(STAT), Some(42));
        let (name, fields) = split_stat(STAT).unwrap();
        assert_eq!((name, fields[0], fields[1]), ("a (b) c", "S", "7"));
        assert_eq!(cpu_ticks("42 (a) S 7"), None);
    }

    #[test]
    fn the_rollup_gives_private_dirty() {
        let text =
            "55e-7ff ---p 00000000 00:00 0 [rollup]\nRss:  900 kB\nPrivate_Dirty:   312 kB\n";
        assert_eq!(private_dirty_kib(text), Some(312.0));
        assert_eq!(private_dirty_kib("Rss: 1 kB"), None);
    }

    #[test]
    fn a_tree_is_a_process_and_all_below() {
        let process =
            |pid, parent| Process { pid, parent, name: String::new(), arguments: Vec::new() };
        let all = [process(2, 1), process(3, 2), process(4, 3), process(5, 1), process(6, 2)];
        assert_eq!(tree(&all, 2), [2, 3, 6, 4]);
        assert_eq!(tree(&all, 5), [5]);
    }

    #[test]
    fn this_process_is_among_all_and_uses_memory() {
        let own = std::process::id();
        let all = processes().unwrap();
        let found = all.iter().find(|process| process.pid == own).unwrap();
        assert!(!found.arguments.is_empty() && found.parent != 0);
        assert!(private_dirty_mib(own).unwrap() > 0.0);
        assert!(cpu_seconds(own).unwrap() >= 0.0);
    }
}
