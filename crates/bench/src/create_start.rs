//! Creating and starting one container, warm: our runtime and shim against `runc` and `crun`.
//!
//! Equal bundles: the same namespaces (a user namespace among them), limits, system call filter,
//! masked paths and command. The peers get the fastest of their ways (`run --detach`, one process)
//! and a root file system that is ready; ours mounts its own from layers and runs its init. A run
//! ends when the command has been executed; removing is not measured.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use agent::runtime::{
    ContainerId, ContainerSpec, CpuLimits, DriverKind, HostRuntime, IdRange, Limits, LogOptions,
    NetworkNamespace, Runtime, RuntimeOptions, SeccompProfile, ShimCommand, Signal, WritableTmpfs,
};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::contest::{Better, Budget, Entrant, Measure, Plan, Row, compete};
use crate::machine::{make_root, run as run_command};
use crate::setting::{Setting, group_prefix};

const MEASURES: &[Measure] = &[Measure {
    name: "create-start",
    unit: "ms",
    better: Better::Less,
    budgets: &[Budget::TimesAtMost("runc", 1.0), Budget::TimesAtMost("crun", 1.4)],
}];

/// Runs of everybody: enough for a 99th percentile, in less than a minute.
const RUNS: usize = 100;
const QUICK_RUNS: usize = 3;

/// Namespaces and control groups are gone a few ten milliseconds after their last process.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

/// Where bundles are: a tmpfs of the namespace this runs in.
const BUNDLES: &str = "/run/freehold-bench";

/// The host id that is 0 inside.
const BASE: u32 = 1 << 30;

/// Runs the benchmark.
pub(crate) fn run(setting: &Setting) -> Result<Vec<Row>> {
    let world = World::new(setting)?;
    let ours = world.open(DriverKind::Libcontainer)?;
    let bundle = match setting.programs.find("runc") {
        Ok(_) => world.peer_bundle().map_err(|error| format!("its bundle: {error:#}")),
        Err(missing) => Err(format!("runc writes the bundle: {missing}")),
    };
    let mut entrants = vec![Entrant::ours(|number| world.start_ours(&ours, number))];
    for name in ["runc", "crun"] {
        entrants.push(match (setting.programs.find(name), &bundle) {
            (Err(why), _) => Entrant::skipped(name, why),
            (_, Err(why)) => Entrant::skipped(name, why.clone()),
            (Ok(program), Ok(bundle)) => {
                let peer = Peer { program, state: setting.directory(name)?, bundle };
                Entrant::peer(name, move |number| peer.start(number))
            }
        });
    }
    let runs = setting.runs(RUNS, QUICK_RUNS);
    compete(Plan { measures: MEASURES, runs, pause: PAUSE }, entrants)
}

/// What all containers of this benchmark are made from.
struct World<'a> {
    setting: &'a Setting,
    layer: PathBuf,
}

impl<'a> World<'a> {
    fn new(setting: &'a Setting) -> Result<Self> {
        let layer = setting.directory("layer")?;
        make_root(&layer)?;
        Ok(Self { setting, layer })
    }

    fn open(&self, driver: DriverKind) -> Result<HostRuntime> {
        let order = &self.setting.order;
        let options = RuntimeOptions {
            state_dir: PathBuf::from(BUNDLES),
            cgroup_parent: Path::new("/").join(group_prefix(&order.slug)),
            shim: ShimCommand { exe: order.freehold.clone(), args: vec!["shim".to_owned()] },
            driver,
        };
        HostRuntime::open(options).context("open the runtime")
    }

    fn spec(&self, name: &str) -> Result<ContainerSpec> {
        Ok(ContainerSpec {
            id: ContainerId::new(name)?,
            layers: vec![self.layer.clone()],
            args: ["/bin/sleep", "1000000"].map(str::to_owned).to_vec(),
            env: Vec::new(),
            user: "1000".to_owned(),
            working_dir: String::new(),
            hostname: "bench".to_owned(),
            network: NetworkNamespace::Isolated,
            id_range: IdRange { base: BASE, len: 1 << 16 },
            writable: vec![WritableTmpfs { path: "/tmp".into(), size_bytes: None }],
            scratch: Vec::new(),
            binds: Vec::new(),
            limits: Limits {
                cpu: CpuLimits { guaranteed_milli: 100, max_milli: Some(2000) },
                memory_bytes: 64 << 20,
                pids: 64,
                open_files: 1024,
            },
            capabilities: Vec::new(),
            init: true,
            stop_signal: Signal::TERM,
            stop_grace_ms: 1000,
            seccomp: SeccompProfile::Default,
            log: LogOptions::in_dir(self.setting.scratch.join("logs").join(name)),
            deadline: None,
        })
    }

    fn start_ours(&self, runtime: &HostRuntime, number: usize) -> Result<Vec<f64>> {
        let spec = self.spec(&format!("ours-{number}"))?;
        let begun = Instant::now();
        runtime.create(&spec)?;
        let taken = begun.elapsed();
        runtime.delete(&spec.id)?;
        Ok(vec![milliseconds(taken)])
    }

    /// What our runtime tells `runc` for such a container, on a root file system that is ready.
    fn peer_bundle(&self) -> Result<PathBuf> {
        let runtime = self.open(DriverKind::Runc)?;
        let spec = ContainerSpec { init: false, ..self.spec("peer")? };
        runtime.create(&spec).context("create a container by runc")?;
        let config = fs::read(Path::new(BUNDLES).join("peer/config.json"));
        runtime.delete(&spec.id)?;
        let config: Value = serde_json::from_slice(&config.context("read its configuration")?)?;
        let bundle = self.setting.directory("peer")?;
        let root = bundle.join("rootfs");
        make_root(&root)?;
        for directory in [&bundle, &root] {
            chown(directory, Some(BASE), Some(BASE)).context("give the root away")?;
        }
        let config = complete(config, &root, &self.setting.peer_group())?;
        fs::write(bundle.join("config.json"), serde_json::to_vec(&config)?)?;
        Ok(bundle)
    }
}

/// Adds what our shim does before it calls a driver: the network namespace and mounts below the
/// root.
fn complete(mut config: Value, root: &Path, group: &str) -> Result<Value> {
    config["root"]["path"] = json!(root);
    config["linux"]["cgroupsPath"] = json!(group);
    let namespaces = config["linux"]["namespaces"].as_array_mut().context("no namespaces")?;
    ensure!(namespaces.iter().any(|one| one["type"] == "user"), "no user namespace");
    namespaces.push(json!({ "type": "network" }));
    let mounts = config["mounts"].as_array_mut().context("no mounts")?;
    mounts.push(json!({
        "destination": "/sys", "type": "sysfs", "source": "sysfs",
        "options": ["nosuid", "noexec", "nodev", "ro"],
    }));
    mounts.push(json!({
        "destination": "/tmp", "type": "tmpfs", "source": "tmpfs",
        "options": ["nosuid", "nodev", "mode=1777"],
    }));
    ensure!(!config["linux"]["seccomp"].is_null(), "no system call filter");
    Ok(config)
}

/// A runtime with the command line of the OCI's.
struct Peer<'a> {
    program: PathBuf,
    state: PathBuf,
    bundle: &'a Path,
}

impl Peer<'_> {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(&self.state).stdin(Stdio::null());
        command
    }

    fn start(&self, number: usize) -> Result<Vec<f64>> {
        let id = format!("peer-{number}");
        let words = self.state.join("stderr");
        let file = fs::File::create(&words).context("create a log")?;
        let mut start = self.command();
        // A detached container keeps these: a pipe would never end.
        start.stdout(Stdio::null()).stderr(file);
        start.args(["run", "--detach", "--bundle"]).arg(self.bundle).arg(&id);
        let begun = Instant::now();
        let status = start.status().context("run it")?;
        let taken = begun.elapsed();
        let said = || fs::read_to_string(&words).unwrap_or_default();
        ensure!(status.success(), "{status}: {}", said().trim());
        run_command(self.command().args(["delete", "--force", &id]))?;
        Ok(vec![milliseconds(taken)])
    }
}

/// A time as a value of a row.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_without_its_protections_is_refused() {
        let of = |namespaces: Value, seccomp: Value| {
            json!({
                "root": { "path": "/x" },
                "mounts": [],
                "linux": { "namespaces": namespaces, "seccomp": seccomp },
            })
        };
        let user = json!([{ "type": "user" }]);
        let good = complete(of(user.clone(), json!({})), Path::new("/root"), "/group").unwrap();
        assert_eq!(good["root"]["path"], "/root");
        assert_eq!(good["linux"]["cgroupsPath"], "/group");
        assert_eq!(good["linux"]["namespaces"][1]["type"], "network");
        assert!(complete(of(json!([]), json!({})), Path::new("/"), "/g").is_err());
        assert!(complete(of(user, Value::Null), Path::new("/"), "/g").is_err());
    }
}
