//! The runtime of this host: bundles in a state directory, a shim for each.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Signal as Sig, kill_process};

use super::check::check;
use super::{
    BoottimeMs, ContainerId, ContainerSpec, DriverKind, Phase, Runtime, RuntimeError, Signal,
    Started, Stats, Status,
};
use crate::cgroup::{Cgroup, Layout};
use crate::shim::{self, ClientError, ExitWatch, Order, Outcome, ShimClient, ShimConfig};

/// How long a container may take to end when it is deleted; it is killed, so milliseconds.
const END_WITHIN: Duration = Duration::from_secs(10);

/// How to start a shim: this executable with these arguments before `--bundle DIR`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShimCommand {
    /// The executable; `/proc/self/exe` re-executes the agent's own.
    pub exe: PathBuf,
    /// Arguments that lead to [`crate::shim::main`].
    pub args: Vec<String>,
}

/// What a host's runtime is set up with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeOptions {
    /// Where bundles are kept; a tmpfs, since they hold secrets and are of no use after a reboot.
    pub state_dir: PathBuf,
    /// The cgroup above all containers of this agent, from the root of each hierarchy, absolute.
    pub cgroup_parent: PathBuf,
    /// How to start a shim.
    pub shim: ShimCommand,
    /// Who creates containers.
    pub driver: DriverKind,
}

/// The containers of this host.
#[derive(Debug)]
pub struct HostRuntime {
    options: RuntimeOptions,
    layout: Layout,
    /// Shims that are children of this very process, to be reaped.
    children: Mutex<BTreeMap<ContainerId, Child>>,
}

impl HostRuntime {
    /// Opens the state directory, making it if need be.
    ///
    /// # Errors
    /// The host cannot enforce limits, or containers could not reach their roots in that directory.
    pub fn open(options: RuntimeOptions) -> Result<Self, RuntimeError> {
        let layout = Layout::of_this_host().map_err(|e| RuntimeError::Host(e.to_string()))?;
        if !options.cgroup_parent.is_absolute() {
            return Err(RuntimeError::Host(
                "the cgroup parent must be an absolute path".to_owned(),
            ));
        }
        let dir = &options.state_dir;
        make_dir(dir, true)?;
        // The first process of a container reaches its root through here, as no user of the host.
        for above in dir.ancestors() {
            let meta = fs::metadata(above).map_err(path_error("looking at", above))?;
            if meta.mode() & 0o001 == 0 {
                return Err(RuntimeError::Host(format!(
                    "{} is closed to others (chmod o+x), and containers must pass through it",
                    above.display()
                )));
            }
        }
        Ok(Self { options, layout, children: Mutex::default() })
    }

    fn bundle(&self, id: &ContainerId) -> PathBuf {
        self.options.state_dir.join(id.as_str())
    }

    fn existing(&self, id: &ContainerId) -> Result<PathBuf, RuntimeError> {
        let bundle = self.bundle(id);
        if bundle.is_dir() { Ok(bundle) } else { Err(RuntimeError::NotFound(id.clone())) }
    }

    fn cgroup_path(&self, id: &ContainerId) -> PathBuf {
        self.options.cgroup_parent.join(id.as_str())
    }

    fn cgroup(&self, id: &ContainerId) -> Cgroup {
        Cgroup::at(&self.layout, &self.cgroup_path(id))
    }

    fn write_bundle(&self, spec: &ContainerSpec, bundle: &Path) -> Result<(), RuntimeError> {
        let order = Order {
            spec: spec.clone(),
            driver: self.options.driver,
            cgroup: self.cgroup_path(&spec.id),
        };
        let config = ShimConfig {
            oom_file: self.cgroup(&spec.id).oom_file(),
            log: spec.log.clone(),
            stop_signal: spec.stop_signal,
            stop_grace_ms: spec.stop_grace_ms,
            deadline: spec.deadline,
        };
        let write = |name: &str, json: Result<Vec<u8>, serde_json::Error>| {
            let path = bundle.join(name);
            // The environment may hold secrets.
            let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            let json = json.map_err(io::Error::from);
            let done = file.and_then(|mut file| io::Write::write_all(&mut file, &json?));
            done.map_err(path_error("writing", &path))
        };
        write(shim::SPEC, serde_json::to_vec(&order))?;
        write(shim::SHIM, serde_json::to_vec(&config))
    }

    fn spawn(&self, id: &ContainerId, bundle: &Path) -> Result<Outcome, RuntimeError> {
        let exe = &self.options.shim.exe;
        let mut command = Command::new(exe);
        command.args(&self.options.shim.args).arg("--bundle").arg(bundle);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.env_clear().current_dir("/");
        let mut child = command.spawn().map_err(path_error("executing the shim", exe))?;
        let pipe = child.stdout.take();
        self.children.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), child);
        let heard = match pipe {
            // The shim bounds the time itself, and its death ends the pipe.
            Some(mut pipe) => shim::receive(&mut pipe),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        Ok(heard.unwrap_or_else(|error| Outcome::Failed {
            what: format!("its shim went without a word ({error})"),
            retryable: true,
        }))
    }

    fn connect(&self, id: &ContainerId) -> Result<Option<ShimClient>, RuntimeError> {
        let bundle = self.existing(id)?;
        match ShimClient::connect(&bundle) {
            Ok(client) => Ok(Some(client)),
            // Between its last reply and its end a shim may hang up on whoever comes.
            Err(ClientError::Gone { .. }) => Ok(None),
            Err(ClientError::Broken { .. }) if bundle.join(shim::EXIT).exists() => Ok(None),
            Err(source) => Err(RuntimeError::Shim { id: id.clone(), source }),
        }
    }

    fn ask(
        &self,
        id: &ContainerId,
        question: impl FnOnce(&mut ShimClient) -> Result<(), ClientError>,
    ) -> Result<(), RuntimeError> {
        let Some(mut client) = self.connect(id)? else {
            return Err(RuntimeError::NotRunning(id.clone()));
        };
        match question(&mut client) {
            Ok(()) => Ok(()),
            Err(ClientError::Refused(_)) => Err(RuntimeError::NotRunning(id.clone())),
            Err(ClientError::Broken { .. }) if self.bundle(id).join(shim::EXIT).exists() => {
                Err(RuntimeError::NotRunning(id.clone()))
            }
            Err(source) => Err(RuntimeError::Shim { id: id.clone(), source }),
        }
    }

    /// Ends the shim with its container, kindly first.
    fn end_shim(&self, id: &ContainerId, bundle: &Path) {
        let mut pid = shim::listener_pid(bundle);
        if let Ok(mut client) = ShimClient::connect(bundle) {
            let asked = client.stop(Duration::ZERO).and_then(|()| client.watch_exit());
            if asked.is_ok_and(|mut watch| watch.wait(Some(END_WITHIN)).is_ok_and(|w| w.is_some()))
            {
                pid = None;
            }
        }
        if let Some(pid) = pid {
            let _ = kill_process(pid, Sig::KILL);
        }
        self.reap(id);
    }

    fn reap(&self, id: &ContainerId) {
        let child = self.children.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        let Some(mut child) = child else { return };
        // It has told of the end, or was killed, or never came up: it is going.
        let until = Instant::now() + END_WITHIN;
        while matches!(child.try_wait(), Ok(None)) {
            if Instant::now() > until {
                let _ = child.kill();
                let _ = child.wait();
                return;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    fn phase(&self, id: &ContainerId, bundle: &Path) -> Result<(Phase, u64), RuntimeError> {
        for _ in 0..2 {
            if let Some(exit) =
                shim::read_exit(bundle).map_err(path_error("reading the exit record in", bundle))?
            {
                return Ok((Phase::Exited(exit), 0));
            }
            match self.connect(id)?.map(|mut client| client.status()) {
                Some(Ok(status)) => {
                    let phase = status.started.map_or(Phase::Creating, Phase::Running);
                    return Ok((phase, status.dropped_lines));
                }
                // It may have ended just now: its record is there then.
                Some(Err(ClientError::Broken { .. })) | None => {}
                Some(Err(source)) => {
                    return Err(RuntimeError::Shim { id: id.clone(), source });
                }
            }
        }
        // Nobody there and no record: killed, or never started.
        let made = bundle.join(shim::SOCKET).exists();
        Ok((if made { Phase::Lost } else { Phase::Creating }, 0))
    }
}

impl Runtime for HostRuntime {
    fn create(&self, spec: &ContainerSpec) -> Result<Started, RuntimeError> {
        check(spec)?;
        let id = &spec.id;
        let bundle = self.bundle(id);
        make_dir(&bundle, false).map_err(|error| match error {
            RuntimeError::Path { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => {
                RuntimeError::Exists(id.clone())
            }
            other => other,
        })?;
        let outcome = self.write_bundle(spec, &bundle).and_then(|()| self.spawn(id, &bundle));
        let error = match outcome {
            Ok(Outcome::Started(started)) => return Ok(started),
            Ok(Outcome::Failed { what, retryable }) => {
                RuntimeError::DidNotStart { id: id.clone(), what, retryable }
            }
            Err(error) => error,
        };
        // What is left of it is removed; if that fails it is listed, and may be deleted again.
        let _ = self.delete(id);
        Err(error)
    }

    fn signal(&self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError> {
        self.ask(id, |client| client.signal(signal))
    }

    fn stop(&self, id: &ContainerId, grace: Duration) -> Result<(), RuntimeError> {
        match self.ask(id, |client| client.stop(grace)) {
            Err(RuntimeError::NotRunning(_)) => Ok(()),
            other => other,
        }
    }

    fn renew(&self, id: &ContainerId, deadline: BoottimeMs) -> Result<(), RuntimeError> {
        self.ask(id, |client| client.renew(deadline))
    }

    fn status(&self, id: &ContainerId) -> Result<Status, RuntimeError> {
        let bundle = self.existing(id)?;
        let (phase, dropped_lines) = self.phase(id, &bundle)?;
        Ok(Status { id: id.clone(), phase, bundle, dropped_lines })
    }

    fn watch_exit(&self, id: &ContainerId) -> Result<ExitWatch, RuntimeError> {
        let bundle = self.existing(id)?;
        let Some(client) = self.connect(id)? else { return Ok(ExitWatch::ended_already(&bundle)) };
        match client.watch_exit() {
            Ok(watch) => Ok(watch),
            Err(ClientError::Broken { .. }) => Ok(ExitWatch::ended_already(&bundle)),
            Err(source) => Err(RuntimeError::Shim { id: id.clone(), source }),
        }
    }

    fn stats(&self, id: &ContainerId) -> Result<Stats, RuntimeError> {
        self.existing(id)?;
        self.cgroup(id).stats().map_err(|source| RuntimeError::Cgroup { id: id.clone(), source })
    }

    fn delete(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let bundle = self.bundle(id);
        if bundle.is_dir() {
            self.end_shim(id, &bundle);
        }
        let cgroup = self.cgroup(id);
        cgroup
            .kill_all()
            .and_then(|()| cgroup.remove())
            .map_err(|source| RuntimeError::Cgroup { id: id.clone(), source })?;
        match fs::remove_dir_all(&bundle) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(path_error("removing", &bundle)(e))
            }
            _ => Ok(()),
        }
    }

    fn list(&self) -> Result<Vec<Status>, RuntimeError> {
        let dir = &self.options.state_dir;
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).map_err(path_error("listing", dir))? {
            let name = entry.map_err(path_error("listing", dir))?.file_name();
            let id = name.to_str().and_then(|name| ContainerId::new(name).ok());
            let Some(id) = id else { continue };
            match self.status(&id) {
                Ok(status) => found.push(status),
                // Deleted by somebody meanwhile.
                Err(RuntimeError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        found.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(found)
    }
}

/// Makes a directory that others can pass through but not list.
fn make_dir(path: &Path, parents: bool) -> Result<(), RuntimeError> {
    let made = fs::DirBuilder::new().mode(0o711).recursive(parents).create(path);
    made.map_err(path_error("making", path))
}

fn path_error<'a>(what: &'static str, path: &'a Path) -> impl Fn(io::Error) -> RuntimeError + 'a {
    move |source| RuntimeError::Path { what, path: path.to_owned(), source }
}
