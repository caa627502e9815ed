//! What everything takes in memory when idle: `freehold up` with instances of the example app,
//! beside Docker with as many containers and beside other proxies.
//!
//! `Private_Dirty` of `/proc/PID/smaps_rollup`: what a process alone has and the kernel can't take
//! back.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::contest::{Better, Budget, Row, Summary, median};
use crate::docker::Docker;
use crate::ingress::{PEERS, Place, start_ours, start_peer};
use crate::machine::{Process, Running, private_dirty_mib, processes, run as run_command, tree};
use crate::setting::{READY_WITHIN, Setting};

/// Instances of the example app, and containers of Docker.
const INSTANCES: usize = 4;

/// Samples, so far apart.
const SAMPLES: usize = 5;
const QUICK_SAMPLES: usize = 2;
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// How long everything is left alone before the first sample.
const SETTLE: Duration = Duration::from_secs(5);

/// 60 MB for server, agent and proxy together.
const CONTROL_MIB: f64 = 57.2;
const INSTANCE_MIB: f64 = 2.0;

/// The manifest of what is deployed.
const MANIFEST: &str = "app = \"hello\"\nteam = \"bench\"\n[process]\ncommand = [\"/hello\"]\n\
                        port = 8080\n[resources]\ncpu = \"100m\"\nmemory = \"32MiB\"\npids = 32\n\
                        [health]\nhttp = \"/healthz\"\n[routes]\nhosts = [\"hello.bench.test\"]\n\
                        [on.staging.routes]\nhosts = [\"hello.staging.bench.test\"]\n";

/// The roles of our binary.
const ROLES: [&str; 4] = ["up", "server", "agent", "proxy"];

/// Values by what they are of.
type Sampled = BTreeMap<String, Vec<f64>>;

/// Runs the benchmark.
pub(crate) fn run(setting: &Setting) -> Result<Vec<Row>> {
    let samples = setting.runs(SAMPLES, QUICK_SAMPLES);
    let ours = {
        let up = Up::start(setting)?;
        up.deploy()?;
        let taken = sample(samples, || of_freehold(&setting.order.freehold));
        up.running.end().context("end freehold up")?;
        taken?
    };
    let docker = match Docker::start(setting) {
        Err(why) => Err(why),
        Ok(docker) => (|| {
            docker.start_containers(INSTANCES)?;
            sample(samples, || of_docker(docker.id()))
        })()
        .map_err(|error| format!("{error:#}")),
    };
    let mut rows = Vec::new();
    let mut control = row("memory-control", &ours, "control")?;
    add(&mut control, "docker", docker.as_ref(), "engine");
    control.judge(&[Budget::AtMost(CONTROL_MIB)]);
    rows.push(control);
    for (name, role) in
        [("memory-server", "server"), ("memory-agent", "agent"), ("memory-supervisor", "up")]
    {
        rows.push(row(name, &ours, role)?);
    }
    rows.push(of_proxies(setting, samples)?);
    let mut instance = row("memory-instance", &ours, "instance")?;
    add(&mut instance, "docker", docker.as_ref(), "instance");
    instance.judge(&[Budget::AtMost(INSTANCE_MIB)]);
    rows.push(instance);
    Ok(rows)
}

/// A running `freehold up`.
struct Up<'a> {
    setting: &'a Setting,
    running: Running,
    exports: Vec<(String, String)>,
}

impl<'a> Up<'a> {
    fn start(setting: &'a Setting) -> Result<Self> {
        let mut command = Command::new(&setting.order.freehold);
        command.arg("up").arg("--data").arg(setting.directory("up")?).arg("--ephemeral");
        command.args(["--api", "127.0.0.1:7443", "--http", "127.0.0.1:8080"]);
        command.args(["--https", "127.0.0.1:8443", "--subnet", "10.128.0.0/16"]);
        let mut running = Running::start(&mut command, "up", &setting.scratch)?;
        let exports = running.until("ready", READY_WITHIN, |running| {
            let found = exports(&running.output());
            (found.len() >= 3).then_some(found)
        })?;
        Ok(Self { setting, running, exports })
    }

    fn freehold(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new(&self.setting.order.freehold);
        command.args(arguments).envs(self.exports.iter().cloned());
        // Images that are built go below here.
        command.env("HOME", &self.setting.scratch).env_remove("XDG_DATA_HOME");
        run_command(&mut command).with_context(|| format!("freehold {}", arguments.join(" ")))
    }

    fn deploy(&self) -> Result<()> {
        let manifest = self.setting.scratch.join("freehold.toml");
        let text = format!("{MANIFEST}[scale]\ninstances = {INSTANCES}\n");
        std::fs::write(&manifest, text).context("write a manifest")?;
        let added = format!("{}:/hello", self.setting.hello()?.display());
        self.freehold(&[
            "image",
            "build",
            "--base",
            "scratch",
            "--add",
            &added,
            "--command",
            "/hello",
            "--tag",
            "hello:1",
        ])?;
        self.freehold(&["image", "push", "hello:1"])?;
        let file = manifest.display().to_string();
        self.freehold(&["deploy", "-f", &file, "--image", "hello:1", "--wait"])
    }
}

/// The variables that `freehold up` tells to set.
fn exports(output: &str) -> Vec<(String, String)> {
    let lines = output.lines().filter_map(|line| line.trim().strip_prefix("export "));
    let pairs = lines.filter_map(|line| line.split_once('='));
    let plain = |value: &str| value.trim_matches(['"', '\'']).to_owned();
    pairs.map(|(name, value)| (name.to_owned(), plain(value))).collect()
}

fn sample(
    samples: usize,
    mut take: impl FnMut() -> Result<BTreeMap<String, f64>>,
) -> Result<Sampled> {
    sleep(SETTLE);
    let mut sampled = Sampled::new();
    for _ in 0..samples {
        for (name, value) in take()? {
            sampled.entry(name).or_default().push(value);
        }
        sleep(SAMPLE_EVERY);
    }
    Ok(sampled)
}

/// Each role, their sum without the supervisor, and the median instance: shim and init.
fn of_freehold(freehold: &PathBuf) -> Result<BTreeMap<String, f64>> {
    let all = processes()?;
    let ours = |process: &&Process| {
        let exe = std::fs::read_link(format!("/proc/{}/exe", process.pid));
        exe.is_ok_and(|exe| exe == *freehold)
    };
    let role = |process: &Process| process.arguments.get(1).cloned().unwrap_or_default();
    let mut found: BTreeMap<String, f64> = BTreeMap::new();
    let mut instances = Vec::new();
    for process in all.iter().filter(ours) {
        let role = role(process);
        if ROLES.contains(&role.as_str()) {
            *found.entry(role).or_default() += private_dirty_mib(process.pid)?;
        } else if role == "shim" && !below_shim(&all, process) {
            // Init is a copy of the shim's creator, and what runs below it is the app's.
            let mut own = private_dirty_mib(process.pid)?;
            for init in all.iter().filter(|it| it.parent == process.pid && it.name == "init") {
                own += private_dirty_mib(init.pid)?;
            }
            instances.push(own);
        }
    }
    ensure!(instances.len() == INSTANCES, "{} shims instead of {INSTANCES}", instances.len());
    let instance = median(&instances).context("no instances")?;
    let mut control = 0.0;
    for role in ["server", "agent", "proxy"] {
        control += found.get(role).with_context(|| format!("no process of role {role}"))?;
    }
    found.insert("control".to_owned(), control);
    found.insert("instance".to_owned(), instance);
    Ok(found)
}

fn below_shim(all: &[Process], process: &Process) -> bool {
    let parent = all.iter().find(|one| one.pid == process.parent);
    parent.is_some_and(|parent| parent.arguments.get(1).is_some_and(|role| role == "shim"))
}

/// The daemons together, and the median container's shim.
fn of_docker(daemon: u32) -> Result<BTreeMap<String, f64>> {
    let all = processes()?;
    let below = tree(&all, daemon);
    let (mut engine, mut shims) = (0.0, Vec::new());
    for process in all.iter().filter(|process| below.contains(&process.pid)) {
        match process.name.as_str() {
            "dockerd" | "containerd" => engine += private_dirty_mib(process.pid)?,
            // The kernel cuts names to 15 bytes.
            "containerd-shim" => shims.push(private_dirty_mib(process.pid)?),
            _ => {}
        }
    }
    let instance = median(&shims).context("no shims")?;
    Ok([("engine".to_owned(), engine), ("instance".to_owned(), instance)].into())
}

/// Proxies with one route, idle; ours with a thousand and its log.
fn of_proxies(setting: &Setting, samples: usize) -> Result<Row> {
    let place = Place::new(setting, false, false)?;
    let ours = start_ours(&place)?;
    let peers = PEERS.map(|peer| (peer.name, start_peer(&place, peer)));
    let of = |proxy: &crate::ingress::Proxy| -> Result<f64> {
        proxy.pids()?.into_iter().map(private_dirty_mib).sum()
    };
    let sampled = sample(samples, || {
        let mut found: BTreeMap<String, f64> = BTreeMap::new();
        found.insert("proxy".to_owned(), of(&ours)?);
        for (name, proxy) in peers.iter().filter_map(|(name, it)| Some((name, it.as_ref().ok()?))) {
            found.insert((*name).to_owned(), of(proxy)?);
        }
        Ok(found)
    })?;
    let mut row = row("memory-proxy", &sampled, "proxy")?;
    for (name, peer) in &peers {
        add(&mut row, name, peer.as_ref().map(|_| &sampled), name);
    }
    Ok(row)
}

fn row(name: &str, sampled: &Sampled, of: &str) -> Result<Row> {
    let summary = summary(sampled, of).with_context(|| format!("no samples of {of}"))?;
    Ok(Row::new(name, "MiB", summary))
}

fn add(row: &mut Row, peer: &str, sampled: Result<&Sampled, &String>, of: &str) {
    let reason = match sampled {
        Err(why) => why.clone(),
        Ok(sampled) => match summary(sampled, of) {
            Some(summary) => return row.peer(peer, summary),
            None => "no samples".to_owned(),
        },
    };
    row.skipped.insert(peer.to_owned(), reason);
}

fn summary(sampled: &Sampled, of: &str) -> Option<Summary> {
    Summary::of(sampled.get(of)?, Better::Less)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_are_read_with_and_without_quotes() {
        let output =
            "serving\nexport FREEHOLD_API=127.0.0.1:7443\n  export FREEHOLD_CA='/d/ca.pem'\n";
        let wanted = [("FREEHOLD_API", "127.0.0.1:7443"), ("FREEHOLD_CA", "/d/ca.pem")];
        let wanted = wanted.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(exports(output), wanted);
    }

    #[test]
    fn a_peer_without_samples_is_skipped_by_name() {
        let sampled: Sampled = [("engine".to_owned(), vec![50.0])].into();
        let mut row =
            row("memory-control", &[("control".into(), vec![10.0])].into(), "control").unwrap();
        add(&mut row, "docker", Ok(&sampled), "engine");
        add(&mut row, "other", Ok(&sampled), "nothing");
        add(&mut row, "away", Err(&"not installed".to_owned()), "engine");
        assert_eq!(row.ratio["docker"], 0.2);
        assert_eq!(row.skipped.len(), 2);
    }
}
