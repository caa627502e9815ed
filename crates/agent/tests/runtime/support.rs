//! A runtime with a busybox layer in directories and cgroups of its own, all gone when it is
//! dropped.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use agent::runtime::*;
use agent::shim::log::{LogFollower, LogStream};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Longest wait for something that should be seen at once; only a hung container reaches it.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct World {
    pub runtime: HostRuntime,
    pub options: RuntimeOptions,
    pub disk: tempfile::TempDir,
    pub layer: PathBuf,
}

/// False, with a word why, when this cannot run here.
pub fn possible() -> bool {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root for namespaces, mounts and cgroups");
        return false;
    }
    true
}

pub fn shim_exe() -> PathBuf {
    let me = std::env::current_exe().unwrap();
    let exe = me.ancestors().nth(2).unwrap().join("examples/shim_host");
    assert!(exe.exists(), "{} is not built: cargo build -p agent --examples", exe.display());
    exe
}

impl World {
    pub fn new() -> Self {
        Self::with(DriverKind::Libcontainer)
    }

    pub fn with(driver: DriverKind) -> Self {
        let name = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let state_dir = PathBuf::from(format!("/dev/shm/freehold-test-{name}"));
        let disk = tempfile::tempdir().unwrap();
        let layer = disk.path().join("layer");
        busybox_layer(&layer);
        let options = RuntimeOptions {
            state_dir,
            cgroup_parent: PathBuf::from(format!("/freehold-test-{name}")),
            shim: ShimCommand { exe: shim_exe(), args: vec!["shim".to_owned()] },
            driver,
        };
        let runtime = HostRuntime::open(options.clone()).unwrap();
        Self { runtime, options, disk, layer }
    }

    /// A second agent on the same state, as after a restart.
    pub fn another_agent(&self) -> HostRuntime {
        HostRuntime::open(self.options.clone()).unwrap()
    }

    pub fn spec(&self, name: &str, script: &str) -> ContainerSpec {
        ContainerSpec {
            id: id(name),
            layers: vec![self.layer.clone()],
            args: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            env: vec!["GREETING=hello".to_owned()],
            user: "1000".to_owned(),
            working_dir: String::new(),
            hostname: name.to_owned(),
            network: NetworkNamespace::Isolated,
            id_range: IdRange { base: 1_000_000, len: 65_536 },
            writable: vec![WritableTmpfs { path: "/tmp".into(), size_bytes: None }],
            scratch: Vec::new(),
            binds: Vec::new(),
            limits: Limits {
                cpu: CpuLimits { guaranteed_milli: 250, max_milli: None },
                memory_bytes: 64 << 20,
                pids: 32,
                open_files: 1024,
            },
            capabilities: Vec::new(),
            init: true,
            stop_signal: Signal::TERM,
            stop_grace_ms: 10_000,
            seccomp: SeccompProfile::Default,
            log: LogOptions::in_dir(self.log_dir(name)),
            deadline: None,
        }
    }

    pub fn log_dir(&self, name: &str) -> PathBuf {
        self.disk.path().join("logs").join(name)
    }

    /// Runs a container to its end.
    pub fn run(&self, spec: &ContainerSpec) -> Exit {
        self.runtime.create(spec).unwrap_or_else(|e| panic!("{}", chain(&e)));
        self.end_of(&spec.id)
    }

    pub fn end_of(&self, id: &ContainerId) -> Exit {
        let mut watch = self.runtime.watch_exit(id).unwrap();
        match watch.wait(Some(PATIENCE)).unwrap() {
            Some(Phase::Exited(exit)) => exit,
            other => panic!("{id} should have exited: {other:?}, {:?}", self.runtime.status(id)),
        }
    }

    /// Everything it wrote to standard output and error so far.
    pub fn output(&self, name: &str) -> String {
        let mut follower = LogFollower::from(&self.log_dir(name), 1);
        let entries = follower.read(usize::MAX).unwrap();
        let mine = entries.into_iter().filter(|entry| entry.stream != LogStream::Shim);
        mine.map(|entry| String::from_utf8_lossy(&entry.text).into_owned() + "\n").collect()
    }

    /// Runs a script to its end and gives what it wrote; it must succeed.
    pub fn said(&self, spec: &ContainerSpec) -> String {
        let exit = self.run(spec);
        let output = self.output(spec.id.as_str());
        assert_eq!(exit.cause, ExitCause::Code(0), "{output}");
        output
    }

    /// Waits until a line appears in the output.
    pub fn wait_for_line(&self, name: &str, line: &str) {
        let began = std::time::Instant::now();
        while !self.output(name).lines().any(|one| one == line) {
            assert!(began.elapsed() < PATIENCE, "no {line:?} in {:?}", self.output(name));
            std::thread::yield_now();
        }
    }

    pub fn cgroup_dirs(&self) -> Vec<PathBuf> {
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let kinds = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let cgroups = kinds.filter(|fields| fields[2].starts_with("cgroup"));
        let below = self.options.cgroup_parent.strip_prefix("/").unwrap().to_owned();
        cgroups.map(|fields| Path::new(fields[1]).join(&below)).filter(|dir| dir.exists()).collect()
    }

    /// Asserts that nothing of any container is left.
    pub fn assert_clean(&self) {
        let bundles: Vec<_> = fs::read_dir(&self.options.state_dir).unwrap().collect();
        assert!(bundles.is_empty(), "{bundles:?}");
        for dir in self.cgroup_dirs() {
            let inside = fs::read_dir(&dir).unwrap().flatten();
            let groups: Vec<_> = inside.filter(|e| e.file_type().unwrap().is_dir()).collect();
            assert!(groups.is_empty(), "{groups:?}");
        }
        let state = self.options.state_dir.to_str().unwrap().to_owned();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&state), "mounts are left");
        // A shim that was adopted is nobody's child here: it has told of the end and is going.
        let began = std::time::Instant::now();
        loop {
            let mut shims = processes();
            shims.retain(|(_, command)| command.contains(&state));
            if shims.is_empty() {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "processes are left: {shims:?}");
            std::thread::yield_now();
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for status in self.runtime.list().unwrap_or_default() {
            let _ = self.runtime.delete(&status.id);
        }
        for dir in self.cgroup_dirs() {
            let _ = fs::remove_dir(dir);
        }
        let _ = fs::remove_dir_all(&self.options.state_dir);
    }
}

pub fn id(name: &str) -> ContainerId {
    ContainerId::new(name).unwrap()
}

/// Every process with its command line.
pub fn processes() -> Vec<(u32, String)> {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        Some((pid, String::from_utf8_lossy(&line).replace('\0', " ")))
    })
    .collect()
}

pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// A layer with busybox and nothing else: no /proc, no /dev, no /etc/hosts.
fn busybox_layer(layer: &Path) {
    let bin = layer.join("bin");
    fs::create_dir_all(&bin).unwrap();
    fs::create_dir(layer.join("etc")).unwrap();
    fs::copy("/bin/busybox", bin.join("busybox")).unwrap();
    fs::set_permissions(layer, fs::Permissions::from_mode(0o755)).unwrap();
    let list = Command::new("/bin/busybox").arg("--list").output().unwrap().stdout;
    for name in String::from_utf8(list).unwrap().lines() {
        if name != "busybox" {
            symlink("busybox", bin.join(name)).unwrap();
        }
    }
    fs::write(layer.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nweb:x:101:102::/srv:/bin/sh\n")
        .unwrap();
    fs::write(layer.join("etc/group"), "web:x:102:\nlogs:x:200:web\n").unwrap();
}
