//! The three kinds of hosts, with texts as such hosts print them.

use std::path::Path;

use super::{Controller, Layout, LayoutError, Mode};

const HYBRID: &str = "\
sysfs /sys sysfs rw,nosuid,nodev,noexec,relatime 0 0
tmpfs /sys/fs/cgroup tmpfs rw,relatime,mode=755 0 0
cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0
cgroup /sys/fs/cgroup/cpuacct cgroup rw,relatime,cpuacct 0 0
cgroup /sys/fs/cgroup/cpuset cgroup rw,relatime,cpuset 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0
cgroup /sys/fs/cgroup/devices cgroup rw,relatime,devices 0 0
cgroup /sys/fs/cgroup/freezer cgroup rw,relatime,freezer 0 0
cgroup /sys/fs/cgroup/pids cgroup rw,relatime,pids 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
";

const V1: &str = "\
tmpfs /sys/fs/cgroup tmpfs ro,nosuid,nodev,noexec,mode=755 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,nosuid,nodev,noexec,xattr,name=systemd 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,nodev,noexec,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,nosuid,nodev,noexec,relatime,memory 0 0
cgroup /sys/fs/cgroup/pids cgroup rw,nosuid,nodev,noexec,relatime,pids 0 0
";

const V2: &str = "\
proc /proc proc rw,nosuid,nodev,noexec,relatime 0 0
cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime,nsdelegate 0 0
";

fn no_v2(_: &Path) -> String {
    panic!("must not be asked on hosts whose controllers are on version 1")
}

#[test]
fn hybrid_uses_version_1_and_remembers_version_2() {
    let layout = Layout::detect(HYBRID, no_v2).unwrap();
    assert_eq!(layout.mode, Mode::Hybrid);
    assert_eq!(layout.unified.as_deref(), Some(Path::new("/sys/fs/cgroup/unified")));
    let memory = &layout.controllers[&Controller::Memory];
    assert_eq!(memory, Path::new("/sys/fs/cgroup/memory"));
    assert_eq!(layout.controllers.len(), 6);
    assert_eq!(layout.mounts.len(), 9);
}

#[test]
fn version_1_with_controllers_mounted_together() {
    let layout = Layout::detect(V1, no_v2).unwrap();
    assert_eq!((layout.mode, layout.unified), (Mode::V1, None));
    let both = Path::new("/sys/fs/cgroup/cpu,cpuacct");
    assert_eq!(layout.controllers[&Controller::Cpu], both);
    assert_eq!(layout.controllers[&Controller::Cpuacct], both);
    assert!(!layout.controllers.contains_key(&Controller::Freezer));
}

#[test]
fn version_2_takes_what_its_root_offers() {
    let layout = Layout::detect(V2, |root| {
        assert_eq!(root, Path::new("/sys/fs/cgroup"));
        "cpuset cpu io memory hugetlb pids rdma misc\n".to_owned()
    });
    let layout = layout.unwrap();
    assert_eq!((layout.mode, layout.controllers.len()), (Mode::V2, 3));
}

#[test]
fn a_limit_that_cannot_be_enforced_is_an_error() {
    let none = |_: &Path| String::new();
    assert_eq!(Layout::detect("", none), Err(LayoutError::NotMounted));
    let without_pids = |_: &Path| "cpu memory".to_owned();
    assert_eq!(Layout::detect(V2, without_pids), Err(LayoutError::Missing("pids")));
    let without_memory: String =
        HYBRID.lines().filter(|l| !l.contains("memory")).map(|l| format!("{l}\n")).collect();
    assert_eq!(Layout::detect(&without_memory, none), Err(LayoutError::Missing("memory")));
}

#[test]
fn names_are_whole_words_and_paths_are_unescaped() {
    // `cpuacct` alone must not be taken for `cpu`.
    let odd = V1.replace("relatime,cpu,cpuacct", "relatime,cpuacct");
    assert_eq!(Layout::detect(&odd, no_v2), Err(LayoutError::Missing("cpu")));
    let spaced = V1.replace("/sys/fs/cgroup/pids", "/my\\040cgroups/pids");
    let layout = Layout::detect(&spaced, no_v2).unwrap();
    assert_eq!(layout.controllers[&Controller::Pids], Path::new("/my cgroups/pids"));
}
