//! Measures creating and starting containers against `runc` and `crun`, with equal bundles, and
//! what the processes that stay cost in memory. Needs root and `/bin/busybox` (static).
//!
//! `runtime_bench [RUNS]`; crun refuses hosts with hybrid control groups, so on such a host run it
//! in a mount namespace without the version 2 mount:
//! `unshare -m sh -c 'umount /sys/fs/cgroup/unified; …'`.

use std::error::Error;
use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use agent::runtime::{
    ContainerId, ContainerSpec, CpuLimits, DriverKind, HostRuntime, IdRange, Limits, LogOptions,
    NetworkNamespace, Runtime, RuntimeOptions, SeccompProfile, ShimCommand, Signal, WritableTmpfs,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const STATE: &str = "/dev/shm/freehold-bench";
const BASE: u32 = 1_000_000;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let first = args.next();
    if first.as_deref().is_some_and(|role| role == "shim") {
        return agent::shim::main(args);
    }
    let runs = first.and_then(|text| text.to_str()?.parse().ok()).unwrap_or(50);
    let measured = measure(runs);
    let _ = fs::remove_dir_all(STATE);
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("measuring: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(runs: usize) -> Result<()> {
    let disk = PathBuf::from(format!("{STATE}.disk"));
    let layer = disk.join("layer");
    make_layer(&layer)?;
    let open = |driver| {
        HostRuntime::open(RuntimeOptions {
            state_dir: PathBuf::from(STATE),
            cgroup_parent: PathBuf::from("/freehold-bench"),
            shim: ShimCommand { exe: "/proc/self/exe".into(), args: vec!["shim".into()] },
            driver,
        })
    };
    let runtime = open(DriverKind::Libcontainer)?;
    let spec = |name: &str, command: &[&str]| make_spec(&layer, &disk, name, command);
    let bundle =
        peer_bundle(&open(DriverKind::Runc)?, &spec("peer", &["/bin/sleep", "100"])?, &disk)?;
    let mut rows: Vec<(&str, Vec<Duration>)> = Vec::new();
    let mut create = Vec::new();
    let mut whole = Vec::new();
    let mut peers: Vec<(&str, Vec<Duration>)> = vec![("runc run", vec![]), ("crun run", vec![])];
    for run in 0..=runs {
        let one = spec(&format!("run-{run}"), &["/bin/true"])?;
        let began = Instant::now();
        runtime.create(&one)?;
        let started = began.elapsed();
        runtime.watch_exit(&one.id)?.wait(None)?;
        runtime.delete(&one.id)?;
        let deleted = began.elapsed();
        // The first of each is not counted: it warms what the others find warm.
        if run > 0 {
            create.push(started);
            whole.push(deleted);
        }
        for (name, times) in &mut peers {
            let command = name.split(' ').next().unwrap_or(name);
            if let Some(time) = peer_run(command, &bundle, run)
                && run > 0
            {
                times.push(time);
            }
        }
    }
    rows.push(("create+start (ours)", create));
    rows.push(("create+start+exit+delete (ours)", whole));
    rows.extend(peers);
    for (name, times) in rows {
        report(name, times);
    }
    at_once(&runtime, &spec)?;
    memory(&runtime, &spec)?;
    fs::remove_dir_all(&disk)?;
    Ok(())
}

fn report(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    if times.is_empty() {
        println!("{name:34} not possible here");
        return;
    }
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let p99 = times[(times.len() * 99 / 100).min(times.len() - 1)];
    let median = times[times.len() / 2];
    println!("{name:34} median {:7.2} ms  p99 {:7.2} ms  n={}", ms(median), ms(p99), times.len());
}

fn at_once(
    runtime: &HostRuntime,
    spec: &dyn Fn(&str, &[&str]) -> Result<ContainerSpec>,
) -> Result<()> {
    let specs: Result<Vec<_>> =
        (0..100).map(|n| spec(&format!("all-{n}"), &["/bin/sleep", "1000"])).collect();
    let specs = specs?;
    let began = Instant::now();
    let good = std::thread::scope(|scope| {
        let starts: Vec<_> =
            specs.iter().map(|spec| scope.spawn(move || runtime.create(spec).is_ok())).collect();
        starts.into_iter().filter_map(|start| start.join().ok()).filter(|good| *good).count()
    });
    println!("{good}/100 started at once in {:.0} ms", began.elapsed().as_secs_f64() * 1000.0);
    for spec in &specs {
        runtime.delete(&spec.id)?;
    }
    Ok(())
}

fn memory(
    runtime: &HostRuntime,
    spec: &dyn Fn(&str, &[&str]) -> Result<ContainerSpec>,
) -> Result<()> {
    for init in [true, false] {
        let mut one = spec("memory", &["/bin/sleep", "1000"])?;
        one.init = init;
        let started = runtime.create(&one)?;
        let shim = private_dirty(started.shim_pid)?;
        let first = private_dirty(started.pid)?;
        println!("init={init}: shim {shim}; {} {first}", if init { "init" } else { "command" });
        runtime.delete(&one.id)?;
    }
    Ok(())
}

fn private_dirty(pid: u32) -> Result<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let of = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap_or("").to_owned();
    let words = format!("{} {} {}", of("Private_Dirty"), of("Shared_Dirty"), of("Pss_Dirty"));
    Ok(words.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn make_layer(layer: &Path) -> Result<()> {
    for dir in ["bin", "proc", "sys", "dev", "tmp", "etc"] {
        fs::create_dir_all(layer.join(dir))?;
    }
    fs::copy("/bin/busybox", layer.join("bin/busybox"))?;
    for name in ["sh", "true", "sleep"] {
        let _ = symlink("busybox", layer.join("bin").join(name));
    }
    Ok(())
}

fn make_spec(layer: &Path, disk: &Path, name: &str, command: &[&str]) -> Result<ContainerSpec> {
    Ok(ContainerSpec {
        id: ContainerId::new(name)?,
        layers: vec![layer.to_owned()],
        args: command.iter().map(|&one| one.to_owned()).collect(),
        env: Vec::new(),
        user: "1000".to_owned(),
        working_dir: String::new(),
        hostname: "bench".to_owned(),
        network: NetworkNamespace::Isolated,
        id_range: IdRange { base: BASE, len: 65_536 },
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
        log: LogOptions::in_dir(disk.join("logs").join(name)),
        deadline: None,
    })
}

/// The bundle that the runc driver is given, on a plain root that belongs to the range already.
fn peer_bundle(runtime: &HostRuntime, spec: &ContainerSpec, disk: &Path) -> Result<PathBuf> {
    let mut spec = spec.clone();
    spec.init = false;
    runtime.create(&spec)?;
    let config = fs::read(Path::new(STATE).join("peer/config.json"))?;
    runtime.delete(&spec.id)?;
    let bundle = disk.join("peer");
    let root = bundle.join("rootfs");
    make_layer(&root)?;
    for dir in [&bundle, &root] {
        chown(dir, Some(BASE), Some(BASE))?;
    }
    let mut config: serde_json::Value = serde_json::from_slice(&config)?;
    config["root"]["path"] = root.display().to_string().into();
    config["process"]["args"] = serde_json::json!(["/bin/true"]);
    config["linux"]["cgroupsPath"] = "/freehold-bench/peer".into();
    let add = |list: &mut serde_json::Value, item| {
        if let Some(list) = list.as_array_mut() {
            list.push(item);
        }
    };
    add(&mut config["linux"]["namespaces"], serde_json::json!({"type": "network"}));
    let options = ["nosuid", "noexec", "nodev", "ro"];
    let sys = serde_json::json!(
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": options});
    add(&mut config["mounts"], sys);
    let tmp = serde_json::json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs",
        "options": ["nosuid", "nodev", "mode=1777"]});
    add(&mut config["mounts"], tmp);
    fs::write(bundle.join("config.json"), serde_json::to_vec(&config)?)?;
    Ok(bundle)
}

fn peer_run(command: &str, bundle: &Path, run: usize) -> Option<Duration> {
    let began = Instant::now();
    let status = Command::new(command)
        .args(["run", "--bundle"])
        .arg(bundle)
        .arg(format!("peer-{run}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(if run == 0 { Stdio::inherit() } else { Stdio::null() })
        .status()
        .ok()?;
    status.success().then(|| began.elapsed())
}
