//! Control groups: the layout that some peers refuse, and removing groups that a run left.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::patiently;

/// How long removing a group may take: the kernel lets go of the last process a moment after it
/// ended.
const GONE_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

/// The version 2 mount of a host with both versions, where it holds controllers: `crun` refuses
/// that.
pub(crate) fn hybrid_mount(mounts: &str) -> Option<PathBuf> {
    let of_kind = |kind: &'static str| {
        let lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let right = lines.filter(move |words| words.get(2) == Some(&kind));
        right.filter_map(|words| words.get(1).map(PathBuf::from)).collect::<Vec<_>>()
    };
    let second = of_kind("cgroup2").into_iter().next()?;
    let held = fs::read_to_string(second.join("cgroup.controllers")).unwrap_or_default();
    (!of_kind("cgroup").is_empty() && !held.trim().is_empty()).then_some(second)
}

/// Removes every group whose name begins with `prefix`, in all hierarchies, with all below it. They
/// are empty: their processes ended with the process namespace.
pub(crate) fn remove_groups(prefix: &str) -> Result<()> {
    let top = Path::new("/sys/fs/cgroup");
    let Ok(first) = fs::read_dir(top) else { return Ok(()) };
    let below = first.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
    // On version 2 the groups are at the top, on version 1 below each hierarchy.
    for directory in below.chain([top.to_owned()]) {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(prefix) && entry.path().is_dir() {
                let path = entry.path();
                patiently(&format!("removing {}", path.display()), GONE_WITHIN, || {
                    remove(&path);
                    Ok((!path.exists()).then_some(()))
                })?;
            }
        }
    }
    Ok(())
}

fn remove(group: &Path) {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    for below in entries.map(|entry| entry.path()).filter(|path| path.is_dir()) {
        remove(&below);
    }
    // Tried again by who waits for it.
    let _ = fs::remove_dir(group);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_second_version_with_controllers_beside_the_first_is_hybrid() {
        let directory = tempfile::tempdir().unwrap();
        let second = format!("cgroup2 {} cgroup2 rw 0 0\n", directory.path().display());
        let first = "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n";
        let both = format!("{first}{second}");
        assert_eq!(hybrid_mount(&both), None, "it holds no controllers");
        fs::write(directory.path().join("cgroup.controllers"), "hugetlb\n").unwrap();
        assert_eq!(hybrid_mount(&both).as_deref(), Some(directory.path()));
        assert_eq!(hybrid_mount(&second), None, "version 2 alone");
        assert_eq!(hybrid_mount(first), None, "version 1 alone");
    }
}
