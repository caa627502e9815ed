//! Docker as a peer: Debian's daemon in namespaces, directories and a control group of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::machine::{Running, make_root, missing, run, run_for_text};
use crate::setting::{READY_WITHIN, Setting};

/// Prepares the daemon's namespaces, then becomes the daemon.
const PREPARE: &str = "ip link set lo up && mount -t tmpfs tmpfs /run && exec \"$0\" \"$@\"";

/// The image's name.
const IMAGE: &str = "bench/busybox:1";

/// A running daemon with an image.
#[derive(Debug)]
pub(crate) struct Docker {
    client: PathBuf,
    socket: PathBuf,
    /// Ends with all its containers when it is dropped: it is the parent of a process namespace.
    daemon: Running,
}

impl Docker {
    /// Starts the daemon and gives it an image; the text says why it can't be.
    pub(crate) fn start(setting: &Setting) -> Result<Self, String> {
        let client = setting.programs.find("docker")?;
        // A client alone is no engine.
        let daemon = setting.programs.find("dockerd").map_err(|_| missing("docker.io"))?;
        Self::prepare(setting, client, &daemon).map_err(|error| format!("{error:#}"))
    }

    fn prepare(setting: &Setting, client: PathBuf, daemon: &Path) -> Result<Self> {
        let directory = setting.directory("docker")?;
        let socket = directory.join("docker.sock");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.args(["--", "sh", "-c", PREPARE]).arg(daemon);
        command.arg("--host").arg(format!("unix://{}", socket.display()));
        command.arg("--data-root").arg(directory.join("data"));
        command.args(["--exec-root", "/run/docker", "--pidfile", "/run/docker.pid"]);
        command.args(["--cgroup-parent", &setting.peer_group(), "--log-level", "warn"]);
        command.args(["--storage-driver", "overlay2", "--iptables=true"]);
        let daemon = Running::start(&mut command, "dockerd", &setting.scratch)?;
        let mut docker = Self { client, socket, daemon };
        let mut version = docker.command();
        version.args(["version", "--format", "{{.Server.Version}}"]);
        let ready = |_: &Running| run(&mut version).ok();
        docker.daemon.until("an answer", READY_WITHIN, ready)?;
        docker.import(&directory)?;
        Ok(docker)
    }

    fn import(&self, directory: &Path) -> Result<()> {
        let (root, archive) = (directory.join("root"), directory.join("root.tar"));
        make_root(&root)?;
        run(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&archive).arg("."))?;
        run(self.command().arg("import").arg(&archive).arg(IMAGE))
    }

    /// The daemon's process, whose tree holds all its processes.
    pub(crate) fn id(&self) -> u32 {
        self.daemon.id()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.client);
        // No configuration of whoever runs this.
        command.arg("--host").arg(format!("unix://{}", self.socket.display()));
        command.env_remove("DOCKER_CONTEXT").env_remove("DOCKER_HOST");
        command
    }

    fn start_command(&self) -> Command {
        let mut command = self.command();
        command.args(["run", "--detach", "--network", "bridge", "--memory", "64m"]);
        command.args(["--pids-limit", "64", "--read-only", "--tmpfs", "/tmp"]);
        command.args(["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]);
        command.args(["--user", "1000", IMAGE, "/bin/sleep", "1000000"]);
        command
    }

    /// `docker run --detach` of so many containers at once, with the limits and restrictions that
    /// an instance of ours has: the time until the last of them runs.
    pub(crate) fn start_containers(&self, count: usize) -> Result<Duration> {
        let begun = Instant::now();
        let started: Vec<Result<String>> = std::thread::scope(|scope| {
            let start = || run_for_text(&mut self.start_command());
            let threads: Vec<_> = (0..count).map(|_| scope.spawn(start)).collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, Result<String>>| {
                thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a start panicked")))
            };
            threads.into_iter().map(join).collect()
        });
        let taken = begun.elapsed();
        for id in started {
            ensure!(!id.context("docker run")?.trim().is_empty(), "docker run gave no id");
        }
        Ok(taken)
    }

    /// Removes all containers.
    pub(crate) fn clear(&self) -> Result<()> {
        let all = run_for_text(self.command().args(["ps", "--all", "--quiet"]))?;
        let ids: Vec<&str> = all.split_whitespace().collect();
        if ids.is_empty() {
            return Ok(());
        }
        run(self.command().args(["rm", "--force"]).args(ids))
    }
}
