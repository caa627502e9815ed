//! What the host has to give.

use std::path::Path;

use api::host::Capacity;
use api::unit::{Bytes, MilliCpu};
use net::address::instance_addresses;

use super::options::Options;
use crate::cgroup::{Controller, Layout, Mode};

/// What the host keeps of its memory for itself: a sixteenth, at least 256 MiB.
const OWN_MEMORY_SHARE: u64 = 16;
const OWN_MEMORY_LEAST: u64 = 256 << 20;

/// What the host keeps of its process ids: half.
const OWN_PIDS_SHARE: u32 = 2;

/// Reads the host's capacity; what cannot be read counts as nothing.
pub(super) fn of_host(options: &Options, data: &Path) -> Capacity {
    if let Some(capacity) = options.capacity {
        return capacity;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let pids = std::fs::read_to_string("/proc/sys/kernel/pid_max").unwrap_or_default();
    let limits = Limits::of_this_host();
    let disk = rustix::fs::statvfs(data).map_or(0, |disk| disk.f_bavail * disk.f_frsize);
    let instances = instance_addresses(options.subnet).count();
    Capacity {
        cpu: MilliCpu(u32::try_from(cores * 1000).unwrap_or(u32::MAX)),
        memory: usable_memory(&memory, limits.memory),
        pids: pids.trim().parse().unwrap_or(0).min(limits.pids) / OWN_PIDS_SHARE,
        disk: Bytes(disk),
        instances: u32::try_from(instances).unwrap_or(u32::MAX),
    }
}

/// The ceilings of the cgroup that the host itself is in, where it is in one: a host may be a
/// container or a part of a larger machine.
struct Limits {
    /// In bytes.
    memory: u64,
    pids: u32,
}

impl Limits {
    /// Reads the files at the top of the hierarchies as this host sees them. A real top has none.
    fn of_this_host() -> Self {
        let layout = Layout::of_this_host().ok();
        let read = |controller, name: &str| {
            let at = layout.as_ref()?.controllers.get(&controller)?.join(name);
            std::fs::read_to_string(at).ok()?.trim().parse::<u64>().ok()
        };
        let unified = layout.as_ref().is_some_and(|layout| layout.mode == Mode::V2);
        let memory = if unified { "memory.max" } else { "memory.limit_in_bytes" };
        Self {
            memory: read(Controller::Memory, memory).unwrap_or(u64::MAX),
            pids: read(Controller::Pids, "pids.max")
                .and_then(|limit| limit.try_into().ok())
                .unwrap_or(u32::MAX),
        }
    }
}

/// From the text of `/proc/meminfo` (proc_meminfo(5)) and a ceiling in bytes.
fn usable_memory(text: &str, limit: u64) -> Bytes {
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let total = total.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    let total = total.unwrap_or(0).saturating_mul(1024).min(limit);
    Bytes(total.saturating_sub((total / OWN_MEMORY_SHARE).max(OWN_MEMORY_LEAST)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_the_total_without_what_the_host_keeps() {
        let text = "MemTotal:       16777216 kB\nMemFree:        1 kB\n";
        assert_eq!(usable_memory(text, u64::MAX), Bytes(15 << 30));
        assert_eq!(usable_memory("MemTotal: 524288 kB", u64::MAX), Bytes(256 << 20));
        assert_eq!(usable_memory("", u64::MAX), Bytes(0));
        assert_eq!(usable_memory(text, 1 << 30), Bytes(768 << 20));
    }
}
