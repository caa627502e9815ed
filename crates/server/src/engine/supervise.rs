//! Keeps the etcd process running: adopts the one that runs, starts it when none does, again when
//! it dies. The process is in a session of its own and stays when the server goes.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Signal, pidfd_send_signal};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::adopt::{Record, find};
use super::launch::{Launch, LaunchError};
use super::options::Options;
use super::trusted;

/// Pauses between starts of a process that dies at once; one that ran for longer than the longest
/// is started again after the shortest.
const AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// What etcd writes is kept up to here, and once more what was before.
const LOG_BYTES: u64 = 16 << 20;

/// How often is looked whether an adopted process still runs.
const LOOK_FOR_END: Duration = Duration::from_millis(200);

/// How often the log is looked at.
const LOOK: Duration = Duration::from_secs(60);

/// Why the engine could not be started.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// How it starts is not known: it was never a member.
    #[error("start the store's engine {name}: it has not joined any etcd yet")]
    NotJoined {
        /// The member.
        name: String,
    },
    /// How it starts cannot be read.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The process could not be started or looked after.
    #[error("{doing} of the store's engine {name}")]
    Process {
        /// What was being done.
        doing: &'static str,
        /// The member.
        name: String,
        /// What the system said.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The etcd of this server.
#[derive(Debug)]
pub struct Engine {
    options: Options,
    launch: Launch,
}

enum Running {
    Started(Child),
    Adopted(Record),
}

impl Engine {
    /// An engine that starts as its [`Launch`] in its directory says.
    ///
    /// # Errors
    /// [`EngineError::NotJoined`], [`EngineError::Launch`].
    pub fn new(options: Options) -> Result<Self, EngineError> {
        let Some(launch) = Launch::load(&options.directory)? else {
            return Err(EngineError::NotJoined { name: options.name });
        };
        Ok(Self { options, launch })
    }

    /// Keeps the process running until `stop`, and leaves it running then.
    ///
    /// # Errors
    /// When the process cannot be started for the first time: no program, no directory.
    pub async fn run(self, stop: CancellationToken) -> Result<(), EngineError> {
        let (mut pause, mut started) = (AGAIN.0, false);
        loop {
            let begun = Instant::now();
            let running = match self.adopt_or_start() {
                Ok(running) => running,
                Err(error) if !started => return Err(error),
                Err(error) => {
                    tracing::error!(%error, "start the store's engine again");
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        () = sleep(AGAIN.1) => continue,
                    }
                }
            };
            started = true;
            tokio::select! {
                // Dropped, the process runs on.
                () = stop.cancelled() => return Ok(()),
                () = self.watch(running) => {}
            }
            pause = if begun.elapsed() > AGAIN.1 { AGAIN.0 } else { (pause * 2).min(AGAIN.1) };
            tracing::warn!(member = self.options.name, ?pause, "etcd ended; starting it again");
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = sleep(pause) => {}
            }
        }
    }

    /// Ends the process in good order, if it runs; for a server that stops being a member. Returns
    /// once it has ended.
    ///
    /// # Errors
    /// [`EngineError::Process`].
    pub async fn end(&self) -> Result<(), EngineError> {
        let Some((record, handle)) = find(&self.options.directory, &self.options.data()) else {
            return Ok(());
        };
        pidfd_send_signal(&handle, Signal::TERM)
            .map_err(|error| self.failed("stop the process", error))?;
        ended(&record).await;
        Ok(())
    }

    async fn watch(&self, running: Running) {
        let end = async {
            match running {
                Running::Started(mut child) => match child.wait().await {
                    Ok(status) => tracing::warn!(%status, "etcd ended"),
                    Err(error) => tracing::warn!(%error, "wait for etcd"),
                },
                Running::Adopted(record) => ended(&record).await,
            }
        };
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return,
                () = sleep(LOOK) => {
                    if let Err(error) = self.trim_log() {
                        tracing::warn!(%error, "shorten the log of etcd");
                    }
                }
            }
        }
    }

    fn adopt_or_start(&self) -> Result<Running, EngineError> {
        let Options { directory, name, .. } = &self.options;
        if let Some((record, _)) = find(directory, &self.options.data()) {
            tracing::info!(member = name, pid = record.pid, "etcd runs already");
            record.save(directory).map_err(|error| self.failed("write down the process", error))?;
            return Ok(Running::Adopted(record));
        }
        let mut made = std::fs::DirBuilder::new();
        made.recursive(true)
            .mode(0o700)
            .create(self.options.data())
            .map_err(|error| self.failed("make the directory", error))?;
        let log = self.open_log().map_err(|error| self.failed("open the log", error))?;
        let noted = trusted::note(&self.options);
        noted.map_err(|error| self.failed("write down the authorities", error))?;
        // setsid runs in the new process and becomes etcd: the number stays the same.
        let child = Command::new("setsid")
            .arg(&self.options.binary)
            .args(self.options.arguments(&self.launch))
            .env_clear()
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| self.failed("start the process", error))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
        // One that has ended already is found out by waiting for it.
        if let Ok(record) = Record::of(pid) {
            record.save(directory).map_err(|error| self.failed("write down the process", error))?;
        }
        tracing::info!(member = name, pid, "etcd started");
        Ok(Running::Started(child))
    }

    fn open_log(&self) -> io::Result<File> {
        let path = self.options.directory.join("etcd.log");
        OpenOptions::new().create(true).append(true).mode(0o600).open(path)
    }

    /// etcd has the file open and appends, so it is emptied rather than moved.
    fn trim_log(&self) -> io::Result<()> {
        let log = self.open_log()?;
        if log.metadata()?.len() > LOG_BYTES {
            let directory = &self.options.directory;
            std::fs::copy(directory.join("etcd.log"), directory.join("etcd.log.1"))?;
            log.set_len(0)?;
        }
        Ok(())
    }

    fn failed(
        &self,
        doing: &'static str,
        cause: impl std::error::Error + Send + Sync + 'static,
    ) -> EngineError {
        EngineError::Process { doing, name: self.options.name.clone(), cause: Box::new(cause) }
    }
}

/// Returns when a process that is no child of ours has ended. The kernel tells only a parent; one
/// look reads two small files of /proc.
async fn ended(record: &Record) {
    while record.open().is_some() {
        sleep(LOOK_FOR_END).await;
    }
}
