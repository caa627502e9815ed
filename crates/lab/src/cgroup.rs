//! Control groups of a lab's machines, in every hierarchy that this machine has: version 1, hybrid
//! or version 2.
//!
//! A machine's group is the root of its own cgroup namespace and holds its limits; its init and
//! roles live in [`LEAF`] below it, since on version 2 only leaves hold processes.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use agent::cgroup::{Cgroup, Controller, Layout, Mode};

use crate::directory::Lab;
use crate::failure::LabError;
use crate::plan::Limits;
use crate::process::Process;

/// The group of a machine's own processes, below the machine's.
pub(crate) const LEAF: &str = "own";

/// The period of a processor ceiling, in microseconds: the kernel's default.
const PERIOD_US: u64 = 100_000;

/// A machine's groups.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    layout: Layout,
    path: PathBuf,
}

impl Group {
    /// The group of a machine.
    pub(crate) fn of_machine(lab: &Lab, machine: &str) -> Result<Self, LabError> {
        Ok(Self { layout: Layout::of_this_host()?, path: lab.cgroup().join(machine) })
    }

    /// The group of the whole lab.
    pub(crate) fn of_lab(lab: &Lab) -> Result<Self, LabError> {
        Ok(Self { layout: Layout::of_this_host()?, path: lab.cgroup() })
    }

    /// Makes it with its limits, and puts this process into it.
    pub(crate) fn enter(&self, limits: &Limits) -> Result<(), LabError> {
        for root in &self.layout.mounts {
            let below = self.path.strip_prefix("/").unwrap_or(&self.path);
            let mut at = root.clone();
            for part in below.components() {
                delegate(&at);
                make(&at, &at.join(part))?;
                at.push(part);
            }
        }
        self.limit(limits)?;
        self.each(|directory| join(&directory))
    }

    /// Puts this process into the leaf, and hands the controllers down to other leaves.
    pub(crate) fn settle(&self) -> Result<(), LabError> {
        self.each(|directory| {
            let leaf = directory.join(LEAF);
            make(&directory, &leaf)?;
            join(&leaf)?;
            delegate(&directory);
            Ok(())
        })
    }

    fn each(&self, task: impl Fn(PathBuf) -> Result<(), LabError>) -> Result<(), LabError> {
        let below = self.path.strip_prefix("/").unwrap_or(&self.path);
        self.layout.mounts.iter().try_for_each(|root| task(root.join(below)))
    }

    fn limit(&self, limits: &Limits) -> Result<(), LabError> {
        let below = self.path.strip_prefix("/").unwrap_or(&self.path);
        for (controller, name, value) in settings(self.layout.mode, limits) {
            let Some(root) = self.layout.controllers.get(&controller) else { continue };
            let file = root.join(below).join(name);
            fs::write(&file, value).map_err(LabError::file("write", &file))?;
        }
        Ok(())
    }

    /// Stops or continues everything in it at once.
    pub(crate) fn freeze(&self, frozen: bool) -> Result<(), LabError> {
        let Some(file) = self.freezer() else {
            let source = io::Error::from(io::ErrorKind::Unsupported);
            return Err(LabError::System { doing: "freeze a cgroup".to_owned(), source });
        };
        match fs::write(&file, self.word(frozen)) {
            // Nothing is left that could be continued.
            Err(error) if !frozen && error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(LabError::file("write", &file)),
        }
    }

    /// Whether it is stopped.
    pub(crate) fn is_frozen(&self) -> bool {
        let text = self.freezer().and_then(|file| fs::read_to_string(file).ok());
        // A large group is `FREEZING` for a while.
        text.is_some_and(|text| text.starts_with("FRO") || text.starts_with("FRE") || text == "1\n")
    }

    fn word(&self, frozen: bool) -> &'static str {
        match (self.layout.unified.is_some(), frozen) {
            (true, true) => "1",
            (true, false) => "0",
            (_, true) => "FROZEN",
            (_, false) => "THAWED",
        }
    }

    /// That of version 2 wherever there is one, as beside the controllers of version 1: what the
    /// kernel has to do to frozen processes (a timer that kills one) it does at once, while with
    /// version 1 it waits until they go on.
    fn freezer(&self) -> Option<PathBuf> {
        let below = self.path.strip_prefix("/").unwrap_or(&self.path);
        if let Some(unified) = &self.layout.unified {
            return Some(unified.join(below).join("cgroup.freeze"));
        }
        let root = self.layout.controllers.get(&Controller::Freezer)?;
        Some(root.join(below).join("freezer.state"))
    }

    /// Every process in it and below it.
    pub(crate) fn processes(&self) -> Result<Vec<Process>, LabError> {
        let pids = Cgroup::at(&self.layout, &self.path).pids()?;
        let of = |pid: &u32| Process::of(i32::try_from(*pid).ok()?);
        Ok(pids.iter().filter_map(of).collect())
    }

    /// Kills everything in it, frozen or not, and removes it.
    pub(crate) fn destroy(&self) -> Result<(), LabError> {
        let group = Cgroup::at(&self.layout, &self.path);
        if !group.exists() {
            return Ok(());
        }
        // What is frozen on version 1 dies only when it is continued.
        if let Some(file) = self.freezer() {
            thaw_below(file.parent().unwrap_or(&file), self.word(false), &file);
        }
        group.kill_all()?;
        Ok(group.remove()?)
    }
}

/// Continues a group and all below it; what is gone meanwhile needs it no more.
fn thaw_below(directory: &Path, word: &str, file: &Path) {
    if let Some(name) = file.file_name() {
        let _ = fs::write(directory.join(name), word);
    }
    let below = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        thaw_below(&entry.path(), word, file);
    }
}

/// The files that hold a machine's limits.
fn settings(mode: Mode, limits: &Limits) -> Vec<(Controller, &'static str, String)> {
    let quota = limits.cpus.map(|cpus| u64::from(cpus) * PERIOD_US);
    let (memory, pids) = (limits.memory_bytes.to_string(), limits.pids.to_string());
    let mut settings = vec![(Controller::Pids, "pids.max", pids)];
    if mode == Mode::V2 {
        settings.push((Controller::Memory, "memory.max", memory));
        let quota = quota.map(|quota| format!("{quota} {PERIOD_US}"));
        settings.extend(quota.map(|quota| (Controller::Cpu, "cpu.max", quota)));
    } else {
        settings.push((Controller::Memory, "memory.limit_in_bytes", memory));
        let quota = quota.map(|quota| (Controller::Cpu, "cpu.cfs_quota_us", quota.to_string()));
        settings.extend(quota);
    }
    settings
}

/// Makes a group. A new one of `cpuset` takes no process before it has processors and memory.
fn make(above: &Path, directory: &Path) -> Result<(), LabError> {
    match fs::create_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(LabError::file("make", directory)(error));
        }
        _ => {}
    }
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let file = directory.join(name);
        let empty = fs::read_to_string(&file).is_ok_and(|text| text.trim().is_empty());
        // On version 2 an empty one means the same as above it.
        if empty && !directory.join("cgroup.controllers").exists() {
            let value = fs::read_to_string(above.join(name)).unwrap_or_default();
            fs::write(&file, value.trim()).map_err(LabError::file("write", &file))?;
        }
    }
    Ok(())
}

/// Version 2: lets groups below have the controllers that limits need. Those that are not there,
/// such as all of them on a hybrid system, cannot be handed down.
fn delegate(directory: &Path) {
    for controller in ["cpu", "memory", "pids", "io", "cpuset"] {
        let _ = fs::write(directory.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

fn join(directory: &Path) -> Result<(), LabError> {
    let file = directory.join("cgroup.procs");
    fs::write(&file, "0").map_err(LabError::file("enter", &file))
}

/// What a cgroup mount is mounted with, by mount point: for mounting it again in a new cgroup
/// namespace.
pub(crate) fn mounts(table: &str) -> BTreeMap<PathBuf, (String, String)> {
    let mut found = BTreeMap::new();
    for line in table.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [_, at, kind, options, ..] = fields[..] else { continue };
        if matches!(kind, "cgroup" | "cgroup2") {
            // Flags of the mount itself come first and are no options of the hierarchy.
            let own = |it: &&str| {
                !matches!(*it, "rw" | "ro" | "relatime" | "noatime") && !it.starts_with("no")
            };
            let options = options.split(',').filter(own).collect::<Vec<_>>().join(",");
            found.insert(PathBuf::from(at), (kind.to_owned(), options));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_mounted_again_with_what_names_them() {
        let table = "cgroup /sys/fs/cgroup/cpu cgroup rw,nosuid,nodev,relatime,cpu,cpuacct 0 0\n\
                     cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0\n\
                     tmpfs /run tmpfs rw 0 0\n\
                     cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nosuid,relatime 0 0\n";
        let found = mounts(table);
        let options: Vec<&str> = found.values().map(|(_, options)| options.as_str()).collect();
        assert_eq!(options, ["cpu,cpuacct", "name=systemd", ""]);
    }

    #[test]
    fn limits_are_written_where_each_version_has_them() {
        let limits = Limits { cpus: Some(2), memory_bytes: 7, pids: 9 };
        let names = |mode| -> Vec<String> {
            let all = settings(mode, &limits).into_iter();
            all.map(|(_, name, value)| format!("{name}={value}")).collect()
        };
        assert_eq!(names(Mode::V2), ["pids.max=9", "memory.max=7", "cpu.max=200000 100000"]);
        let first = ["pids.max=9", "memory.limit_in_bytes=7", "cpu.cfs_quota_us=200000"];
        assert_eq!(names(Mode::Hybrid), first);
    }
}
