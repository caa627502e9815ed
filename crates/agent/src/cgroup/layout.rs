//! Which cgroup hierarchies a host has: a pure function of what /proc says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How a host lays out its control groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Version 1 hierarchies only.
    V1,
    /// Version 1 hierarchies hold our controllers, a version 2 mount is there besides.
    Hybrid,
    /// Version 2 holds everything.
    V2,
}

/// The controllers we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Controller {
    /// Weights and ceilings.
    Cpu,
    /// CPU time counters (part of `cpu` on version 2).
    Cpuacct,
    /// Memory limit and counters.
    Memory,
    /// Number of processes and threads.
    Pids,
    /// Device access (no controller but a program on version 2).
    Devices,
    /// Stopping all at once (built in on version 2).
    Freezer,
}

/// The hierarchies of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Which of the three cases.
    pub mode: Mode,
    /// Where each controller we use is mounted; on version 2 all share one directory.
    pub controllers: BTreeMap<Controller, PathBuf>,
    /// The version 2 mount, when there is one.
    pub unified: Option<PathBuf>,
    /// Every cgroup mount of either version, for cleaning up what drivers leave.
    pub mounts: Vec<PathBuf>,
}

/// Why a host's layout cannot carry containers.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LayoutError {
    /// There is no cgroup mount at all.
    #[error("no cgroup file system is mounted (looked for types cgroup and cgroup2)")]
    NotMounted,
    /// A limit could not be enforced.
    #[error("the {0} controller is not available, so its limit cannot be enforced")]
    Missing(&'static str),
}

/// Controllers without which a limit would be a wish, with the names of cgroup v1 and v2.
const NEEDED: [(Controller, &str); 3] =
    [(Controller::Cpu, "cpu"), (Controller::Memory, "memory"), (Controller::Pids, "pids")];

const NAMES: [(Controller, &str); 6] = [
    (Controller::Cpu, "cpu"),
    (Controller::Cpuacct, "cpuacct"),
    (Controller::Memory, "memory"),
    (Controller::Pids, "pids"),
    (Controller::Devices, "devices"),
    (Controller::Freezer, "freezer"),
];

impl Layout {
    /// Reads `/proc/mounts` and the root's `cgroup.controllers` of this host.
    ///
    /// # Errors
    /// There is no usable layout.
    pub fn of_this_host() -> Result<Self, LayoutError> {
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        let controllers = |unified: &Path| {
            std::fs::read_to_string(unified.join("cgroup.controllers")).unwrap_or_default()
        };
        Self::detect(&mounts, controllers)
    }

    /// Decides from the text of `/proc/mounts`; `v2_controllers` reads `cgroup.controllers` of the
    /// version 2 mount it is given.
    ///
    /// # Errors
    /// Nothing is mounted, or a controller that limits need is missing.
    pub fn detect(
        mounts: &str,
        v2_controllers: impl FnOnce(&Path) -> String,
    ) -> Result<Self, LayoutError> {
        let mut controllers = BTreeMap::new();
        let mut unified = None;
        let mut all: Vec<PathBuf> = Vec::new();
        for line in mounts.lines() {
            let mut fields = line.split(' ');
            let (_, Some(at), Some(kind)) = (fields.next(), fields.next(), fields.next()) else {
                continue;
            };
            let at = PathBuf::from(unescape(at));
            match kind {
                "cgroup2" if unified.is_none() => unified = Some(at.clone()),
                "cgroup" => {
                    let options: Vec<&str> = fields.next().unwrap_or("").split(',').collect();
                    for (controller, name) in NAMES {
                        if options.contains(&name) {
                            controllers.entry(controller).or_insert_with(|| at.clone());
                        }
                    }
                }
                _ => continue,
            }
            if !all.contains(&at) {
                all.push(at);
            }
        }
        if all.is_empty() {
            return Err(LayoutError::NotMounted);
        }
        let on_v1 = NEEDED.iter().any(|(needed, _)| controllers.contains_key(needed));
        let mode = match &unified {
            None => Mode::V1,
            Some(_) if on_v1 => Mode::Hybrid,
            Some(root) => {
                controllers.clear();
                let has = v2_controllers(root);
                for (controller, name) in NEEDED {
                    if has.split_whitespace().any(|one| one == name) {
                        controllers.insert(controller, root.clone());
                    }
                }
                Mode::V2
            }
        };
        match NEEDED.iter().find(|(needed, _)| !controllers.contains_key(needed)) {
            Some((_, name)) => Err(LayoutError::Missing(name)),
            None => Ok(Self { mode, controllers, unified, mounts: all }),
        }
    }
}

/// Undoes the octal escapes of /proc/mounts (space, tab, newline, backslash), see fstab(5).
fn unescape(field: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(field.to_owned(), |text, (code, plain)| text.replace(code, plain))
}

#[cfg(test)]
mod tests;
