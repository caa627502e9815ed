//! The proxy's process: started in a session of its own, watched whoever started it.
#![expect(unsafe_code, reason = "a child gets a session of its own; a pidfd is polled")]

use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// How to start a proxy: this executable with these arguments, then `--control PATH`.
#[derive(Debug, Clone)]
pub struct ProxyCommand {
    /// The executable.
    pub exe: PathBuf,
    /// What leads to the proxy's role.
    pub args: Vec<String>,
    /// Where its own words go.
    pub log: PathBuf,
}

/// A running proxy.
#[derive(Debug)]
pub struct Process {
    pidfd: AsyncFd<OwnedFd>,
}

impl Process {
    /// Starts one. It is reaped when it ends.
    ///
    /// # Errors
    /// The system refused.
    pub fn start(command: &ProxyCommand, control: &std::path::Path) -> io::Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(&command.log)?;
        let mut start = Command::new(&command.exe);
        start.args(&command.args).arg("--control").arg(control);
        start.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let leave = || rustix::process::setsid().map(drop).map_err(io::Error::from);
        // SAFETY: setsid is async-signal-safe and the closure allocates nothing.
        unsafe { start.pre_exec(leave) };
        let mut child = start.spawn()?;
        let process = Self::watch(child.id())?;
        // A thread that only waits: the agent's own runtime must not be needed for reaping.
        std::thread::Builder::new().name("proxy-reaper".into()).spawn(move || child.wait())?;
        Ok(process)
    }

    /// Watches one that runs.
    ///
    /// # Errors
    /// There is no such process.
    pub fn watch(pid: u32) -> io::Result<Self> {
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
        let pidfd = pidfd_open(pid, PidfdFlags::NONBLOCK)?;
        // SAFETY: the descriptor is owned by the AsyncFd and never given away or closed before it.
        let pidfd = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) };
        Ok(Self { pidfd: pidfd.map_err(io::Error::from)? })
    }

    /// Waits until it has ended.
    pub async fn ended(&self) {
        // Readable for ever once the process has ended.
        let _ = self.pidfd.readable().await;
    }

    /// Kills it.
    pub fn kill(&self) {
        // Already gone is fine.
        let _ = pidfd_send_signal(self.pidfd.get_ref(), Signal::KILL);
    }
}
