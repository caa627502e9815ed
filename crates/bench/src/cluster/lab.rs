//! A lab that carries a cluster, ours or a peer's: everything by the commands that users type, so
//! that both die by the same call.

use std::collections::BTreeSet;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ::lab::{Plan, Silence};
use anyhow::{Context, Result};
use api::protocol::SecretValue;
use net::namespace::Namespace;
use serde::Deserialize;

use crate::machine::{Running, run, run_for_text};
use crate::setting::Setting;

/// A machine as `freehold lab status` tells it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Machine {
    /// Its name.
    pub(crate) machine: String,
    /// What is on it and leads: `server-1`, `etcd-1`.
    #[serde(default)]
    pub(crate) leads: Vec<String>,
    /// Members whose process does not run.
    #[serde(default)]
    pub(crate) stopped: Vec<String>,
}

/// What is read of a machine's state file.
#[derive(Debug, Deserialize)]
struct Started {
    init: Init,
}

#[derive(Debug, Deserialize)]
struct Init {
    pid: u32,
}

/// A lab that is up; taken down when it is dropped.
#[derive(Debug)]
pub(crate) struct Lab {
    exe: PathBuf,
    base: PathBuf,
    inner: ::lab::Lab,
    plan: Plan,
    scratch: PathBuf,
}

impl Lab {
    /// Makes a lab below the scratch directory; `arguments` are those of `lab up`.
    pub(crate) fn up(setting: &Setting, arguments: &[&str]) -> Result<Self> {
        let base = setting.directory(LABS)?;
        let inner = ::lab::Lab::at(&base, NAME).context("choose a lab")?;
        let exe = setting.order.freehold.clone();
        let mut up = command(&exe, &base);
        up.args(["lab", "up"]).args(arguments).args(["-o", "json"]);
        run_for_text(&mut up).context("bring a lab up").inspect_err(|_| {
            // One that is not whole stays, for whoever wants to look at it.
            let _ = run(command(&exe, &base).args(["lab", "down"]));
        })?;
        let plan = inner.plan().context("read the lab's plan")?;
        Ok(Self { exe, base, inner, plan, scratch: setting.scratch.clone() })
    }

    /// The machines as planned.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Where an outside client is.
    pub(crate) fn outside(&self) -> Result<Namespace> {
        Namespace::open(&self.inner.namespace()).context("open the lab's network")
    }

    /// A directory on a machine's disk, as seen from everywhere.
    pub(crate) fn directory(&self, machine: &str) -> Result<PathBuf> {
        let path = self.inner.machine(machine).join("bench");
        std::fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(path)
    }

    /// What a role on a machine said.
    pub(crate) fn log(&self, machine: &str, role: &str) -> PathBuf {
        self.inner.machine(machine).join(format!("{role}.log"))
    }

    /// Where a machine answers on a port.
    pub(crate) fn address(&self, machine: &str, port: u16) -> Result<SocketAddrV4> {
        let machine = self.plan.machine(machine).with_context(|| format!("no {machine}"))?;
        Ok(SocketAddrV4::new(machine.address, port))
    }

    /// The machines that a name stands for.
    pub(crate) fn machines(&self, name: &str) -> BTreeSet<String> {
        let on = |it: &&::lab::Machine| it.name == name || it.hypervisor.as_deref() == Some(name);
        self.plan.machines.iter().filter(on).map(|it| it.name.clone()).collect()
    }

    /// All machines now.
    pub(crate) fn status(&self) -> Result<Vec<Machine>> {
        let text = run_for_text(&mut self.command(&["lab", "status", "-o", "json"]))?;
        serde_json::from_str(&text).context("read the lab's status")
    }

    /// Kills machines as by power loss; gives the moment from which they were silent.
    pub(crate) fn kill(&self, name: &str) -> Result<Silence> {
        self.kill_all(&[name])
    }

    /// Kills machines and processes at once.
    pub(crate) fn kill_all(&self, names: &[&str]) -> Result<Silence> {
        let text = self.order(&[&["kill"], names, &["-o", "json"]].concat())?;
        serde_json::from_str(&text).context("read when a machine was killed")
    }

    /// Does something to all of these: `freeze`, `thaw`, `kill`, `restart`.
    pub(crate) fn on(&self, verb: &str, names: &[String]) -> Result<()> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.order(&[&[verb], &names[..]].concat()).map(drop)
    }

    /// Runs `freehold lab …`.
    pub(crate) fn order(&self, words: &[&str]) -> Result<String> {
        run_for_text(&mut self.command(&[&["lab"], words].concat()))
    }

    /// The first process of a machine that runs.
    pub(crate) fn init(&self, machine: &str) -> Result<u32> {
        let path = self.inner.machine(machine).join("state.json");
        let text = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let started: Started = serde_json::from_slice(&text).context("read a machine's state")?;
        Ok(started.init.pid)
    }

    /// How a program on the lab's network is a client of the cluster.
    pub(crate) fn client(&self) -> Result<client::Config> {
        let read = |path: PathBuf| {
            let text = std::fs::read_to_string(&path);
            text.with_context(|| format!("read {}", path.display()))
        };
        Ok(client::Config {
            addresses: self.plan.servers(),
            token: Some(SecretValue(read(self.inner.admin_token())?.trim().to_owned())),
            ca_pem: Some(read(self.inner.authorities())?),
        })
    }

    /// Starts machines again.
    pub(crate) fn restart(&self, name: &str) -> Result<()> {
        run(&mut self.command(&["lab", "restart", name]))
    }

    /// Stops processes or machines where they are.
    pub(crate) fn freeze(&self, name: &str) -> Result<()> {
        run(&mut self.command(&["lab", "freeze", name]))
    }

    /// Lets what is frozen go on.
    pub(crate) fn thaw(&self, name: &str) -> Result<()> {
        run(&mut self.command(&["lab", "thaw", name]))
    }

    /// Runs a program on a machine to its good end and gives its output.
    pub(crate) fn ask_on(&self, machine: &str, words: &[&str]) -> Result<String> {
        let mut command = self.command(&["lab", "shell", machine, "--"]);
        run_for_text(command.args(words)).with_context(|| format!("ask on {machine}"))
    }

    /// Runs `freehold` as an outside client of the cluster.
    pub(crate) fn freehold(&self, arguments: &[&str]) -> Result<String> {
        let command = &mut self.command(arguments);
        command.envs(self.inner.environment(&self.plan.servers()));
        let outside = self.outside()?;
        outside.run(|| run_for_text(command)).context("enter the lab's network")?
    }

    /// Starts a program on a machine; it ends with the machine or when it is dropped.
    pub(crate) fn start_on(&self, machine: &str, name: &str, words: &[&str]) -> Result<Running> {
        let mut command = self.command(&["lab", "shell", machine, "--"]);
        Running::start(command.args(words), &format!("{machine}-{name}"), &self.scratch)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.exe, &self.base);
        command.args(arguments);
        command
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // What stays is found by whoever called this process.
        let _ = run(self.command(&["lab", "down"]).stderr(Stdio::null()));
    }
}

/// Removes what a lab below a scratch directory left; its processes have ended.
pub(crate) fn remove_left(scratch: &Path) -> Result<()> {
    let base = scratch.join(LABS);
    if !base.exists() {
        return Ok(());
    }
    let lab = ::lab::Lab::at(&base, NAME).context("find a lab")?;
    let lock = lab.lock().context("take a lab")?;
    ::lab::down(&lab, &lock).context("take a lab down")
}

/// The directory of labs below the scratch directory.
const LABS: &str = "labs";
/// The only lab.
const NAME: &str = "bench";

fn command(exe: &Path, base: &Path) -> Command {
    let mut command = Command::new(exe);
    command.env("FREEHOLD_LAB_BASE", base).env("FREEHOLD_LAB", NAME).env("HOME", base);
    command.env("NO_COLOR", "1").env_remove("XDG_DATA_HOME").env_remove("XDG_CONFIG_HOME");
    command.env_remove("FREEHOLD_API").stdin(Stdio::null());
    command
}
