//! Docker's engines on the machines of a lab, and the swarm they make.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cluster::lab::Lab;
use crate::cluster::patiently;
use crate::machine::{Running, missing, run, run_for_text};
use crate::setting::Setting;

/// The app's image on every engine.
pub(super) const IMAGE: &str = "hello:1";

/// How many engines are managers, as servers of ours.
const MANAGERS: usize = 3;

/// Where engines speak to each other.
const PORT: u16 = 2377;

/// Engines and how they are asked.
#[derive(Debug)]
pub(super) struct Engines {
    client: PathBuf,
    daemon: PathBuf,
    /// The image as an archive of its only file.
    archive: PathBuf,
    running: BTreeMap<String, Running>,
}

impl Engines {
    /// Starts an engine on every machine, and joins them.
    pub(super) fn start(setting: &Setting, lab: &Lab) -> Result<Self> {
        let client = setting.programs.find("docker").map_err(anyhow::Error::msg)?;
        let daemon = setting.programs.find("dockerd").map_err(|_| missing("docker.io"));
        let daemon = daemon.map_err(anyhow::Error::msg)?;
        let archive = archive(setting)?;
        let mut engines = Self { client, daemon, archive, running: BTreeMap::new() };
        let names: Vec<String> = lab.plan().machines.iter().map(|it| it.name.clone()).collect();
        for name in &names {
            engines.run_on(lab, name)?;
        }
        for name in &names {
            engines.wait(lab, name)?;
            let import = ["import", "--change", "CMD [\"/hello\"]"];
            let archive = engines.archive.clone();
            run(engines.command(lab, name)?.args(import).arg(archive).arg(IMAGE))?;
        }
        engines.join(lab, &names)?;
        Ok(engines)
    }

    /// Starts the engine of a machine; what it knew is on its disk.
    pub(super) fn run_on(&mut self, lab: &Lab, machine: &str) -> Result<()> {
        self.running.remove(machine);
        let directory = lab.directory(machine)?;
        let at = |name: &str| directory.join(name).to_string_lossy().into_owned();
        // Of one that was killed.
        let _ = fs::remove_file(directory.join(SOCKET));
        let (daemon, host) = (self.daemon.to_string_lossy(), format!("unix://{}", at(SOCKET)));
        let data = at("data");
        // The image is on every engine: none is asked for elsewhere.
        let words = [
            "env",
            "DOCKER_SERVICE_PREFER_OFFLINE_IMAGE=1",
            &daemon,
            "--host",
            &host,
            "--data-root",
            &data,
            "--exec-root",
            "/run/docker",
            "--pidfile",
            "/run/docker.pid",
            "--storage-driver",
            "overlay2",
            "--log-level",
            "warn",
        ];
        let engine = lab.start_on(machine, "dockerd", &words)?;
        self.running.insert(machine.to_owned(), engine);
        Ok(())
    }

    /// Waits until the engine of a machine answers.
    pub(super) fn wait(&self, lab: &Lab, machine: &str) -> Result<()> {
        let mut version = self.command(lab, machine)?;
        version.args(["version", "--format", "{{.Server.Version}}"]);
        let waited = patiently("an engine", || Ok(run(&mut version).ok()));
        let said = || self.running.get(machine).map(Running::last_words).unwrap_or_default();
        waited.with_context(|| format!("{machine}: {}", said()))
    }

    fn join(&self, lab: &Lab, names: &[String]) -> Result<()> {
        let first = names.first().context("no machines")?;
        let address = |name: &str| lab.address(name, PORT);
        let leader = address(first)?;
        let init = ["swarm", "init", "--advertise-addr"];
        run(self.command(lab, first)?.args(init).arg(leader.ip().to_string()))?;
        for (index, name) in names.iter().enumerate().skip(1) {
            let role = if index < MANAGERS { "manager" } else { "worker" };
            let token = self.docker(lab, first, &["swarm", "join-token", "--quiet", role])?;
            let own = address(name)?.ip().to_string();
            let join = ["swarm", "join", "--advertise-addr", &own, "--token", token.trim()];
            run(self.command(lab, name)?.args(join).arg(leader.to_string()))?;
        }
        Ok(())
    }

    /// Runs Docker's command on a machine's engine.
    pub(super) fn docker(&self, lab: &Lab, machine: &str, words: &[&str]) -> Result<String> {
        run_for_text(self.command(lab, machine)?.args(words))
    }

    fn command(&self, lab: &Lab, machine: &str) -> Result<Command> {
        let mut command = Command::new(&self.client);
        command.arg("--host").arg(format!("unix://{}", socket(lab, machine)?.display()));
        command.env_remove("DOCKER_CONTEXT").env_remove("DOCKER_HOST");
        Ok(command)
    }
}

const SOCKET: &str = "docker.sock";

/// Where a machine's engine is asked.
pub(super) fn socket(lab: &Lab, machine: &str) -> Result<PathBuf> {
    Ok(lab.directory(machine)?.join(SOCKET))
}

fn archive(setting: &Setting) -> Result<PathBuf> {
    let directory = setting.directory("image")?;
    let (program, archive) = (directory.join("hello"), setting.scratch.join("image.tar"));
    fs::copy(setting.hello()?, &program).context("copy the example app")?;
    let parent: &Path = &directory;
    run(Command::new("tar").arg("-C").arg(parent).arg("-cf").arg(&archive).arg("hello"))?;
    Ok(archive)
}
