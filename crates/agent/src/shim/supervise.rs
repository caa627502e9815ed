//! The shim's one loop: its container's output, its end, its clients, its deadlines.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal as Sig, WaitOptions, kill_process, wait};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use serde::{Deserialize, Serialize};

use super::client::SOCKET;
use super::config::ShimConfig;
use super::connection::{Connection, MAX_CONNECTIONS};
use super::creator::{self, Ends, Report};
use super::log::{Bucket, LogStream, LogWriter};
use super::protocol::{self, PROTOCOL_VERSION, Reply, Request, ShimStatus};
use super::stopping::Stopping;
use super::{record, sys};
use crate::cgroup::oom_kills;
use crate::runtime::{BoottimeMs, Exit, ExitCause, Signal, Started, StopReason, WhenSlow};

/// How long creating may take: it takes 10 ms, and seconds on a host that is starved.
const CREATE_WITHIN_MS: u64 = 60_000;

/// Read from a pipe at once; two of these bound what the log holds in memory.
const CHUNK: usize = 16 << 10;

/// So long after a singleton's deadline the kernel kills the shim, which ends the container: where
/// all of this stands still, nobody else does it before anything runs on. Well within what a
/// successor waits beyond the deadline.
const LAST_RESORT_MS: u64 = 200;

/// Most output read after the end: what fits a pipe (64 KiB by default, at most 1 MiB by fcntl).
const LAST_READS: usize = (1 << 20) / CHUNK;

/// Processes that may end before we know the container's own pid: helpers of its creation.
const MAX_STRANGERS: usize = 64;

/// What the agent hears of a creation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// The command runs.
    Started(Started),
    /// It does not.
    Failed {
        /// What and why.
        what: String,
        /// Whether trying again could help.
        retryable: bool,
    },
}

/// Where the container is in its life.
enum State {
    /// The child at work, and the end of the pipe on which it reports.
    Creating {
        child: Pid,
        report: OwnedFd,
        until: BoottimeMs,
    },
    Running(Started),
}

/// One shim.
pub(super) struct Shim {
    bundle: PathBuf,
    config: ShimConfig,
    state: State,
    stopping: Stopping,
    last_resort: Option<sys::LastResort>,
    log: LogWriter,
    bucket: Bucket,
    output: [Option<OwnedFd>; 2],
    resume_at: Option<BoottimeMs>,
    status_pipe: OwnedFd,
    listener: UnixListener,
    connections: Vec<Connection>,
    signals: OwnedFd,
    timer: OwnedFd,
    strangers: Vec<(Pid, i32)>,
    ended: Option<i32>,
}

impl Shim {
    /// Sets everything up and forks the child that creates the container.
    pub(super) fn new(bundle: &Path) -> io::Result<Self> {
        let _ = rustix::process::setsid();
        rustix::thread::set_name(c"freehold-shim")?;
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        std::env::set_current_dir(bundle)?;
        let config: ShimConfig = record::read_json(Path::new(record::SHIM))?;
        let log = LogWriter::open(&config.log)?;
        let listener = UnixListener::bind(SOCKET)?;
        listener.set_nonblocking(true)?;
        let signals = sys::signal_descriptor()?;
        let timer = timerfd_create(
            TimerfdClockId::Boottime,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?;
        let (out, stdout) = pipe_with(PipeFlags::CLOEXEC)?;
        let (err, stderr) = pipe_with(PipeFlags::CLOEXEC)?;
        let (status_pipe, status) = pipe_with(PipeFlags::CLOEXEC)?;
        let (report, report_tx) = pipe_with(PipeFlags::CLOEXEC)?;
        for end in [&out, &err, &status_pipe] {
            rustix::io::ioctl_fionbio(end, true)?;
        }
        // Before anything of the container can run.
        let last_resort = match config.deadline {
            Some(deadline) => Some(armed(deadline)?),
            None => None,
        };
        let ends = Ends { stdout, stderr, status };
        let child = match sys::fork()? {
            sys::Forked::Child => be_creator(bundle, ends, report_tx),
            sys::Forked::Parent(child) => child,
        };
        drop((ends, report_tx));
        let now = BoottimeMs::now();
        Ok(Self {
            bundle: bundle.to_owned(),
            state: State::Creating { child, report, until: now.plus_ms(CREATE_WITHIN_MS) },
            stopping: Stopping::with_deadline(config.deadline),
            last_resort,
            bucket: Bucket::new(config.log.rate_bytes_per_s, now),
            config,
            log,
            output: [Some(out), Some(err)],
            resume_at: None,
            status_pipe,
            listener,
            connections: Vec::new(),
            signals,
            timer,
            strangers: Vec::new(),
            ended: None,
        })
    }

    /// Serves until the container has ended and that is recorded.
    pub(super) fn run(mut self) -> io::Result<()> {
        loop {
            self.act_on_time()?;
            if let Some(status) = self.ended {
                return self.finish(status);
            }
            let ready = sys::wait_readable(&self.waiting_for())?;
            let is = |fd: RawFd| ready.contains(&fd);
            if is(self.timer.as_raw_fd()) {
                let _ = rustix::io::read(&self.timer, &mut [0u8; 8]);
            }
            // The report first: it names the process whose end the signal may be about.
            if let State::Creating { report, .. } = &self.state
                && is(report.as_raw_fd())
            {
                let report = read_report(report);
                if !self.created(report)? {
                    return Ok(());
                }
            }
            if is(self.signals.as_raw_fd()) {
                self.on_signals();
            }
            for stream in [LogStream::Out, LogStream::Err] {
                let end = &self.output[usize::from(stream == LogStream::Err)];
                if end.as_ref().is_some_and(|end| is(end.as_raw_fd())) {
                    self.read_output(stream);
                }
            }
            if is(self.listener.as_raw_fd()) {
                self.accept();
            }
            self.serve(&ready);
        }
    }

    fn waiting_for(&self) -> Vec<RawFd> {
        let mut fds =
            vec![self.timer.as_raw_fd(), self.signals.as_raw_fd(), self.listener.as_raw_fd()];
        if let State::Creating { report, .. } = &self.state {
            fds.push(report.as_raw_fd());
        }
        if self.resume_at.is_none() {
            fds.extend(self.output.iter().flatten().map(AsRawFd::as_raw_fd));
        }
        fds.extend(self.connections.iter().map(Connection::fd));
        fds
    }

    /// Does what is due and sets the timer for what will be.
    fn act_on_time(&mut self) -> io::Result<()> {
        let now = BoottimeMs::now();
        if self.resume_at.is_some_and(|at| at <= now) {
            self.resume_at = None;
        }
        let mut wake = [self.stopping.wake_at(), self.resume_at].into_iter().flatten().min();
        match &self.state {
            State::Creating { child, until, .. } => {
                // A creation that is to be given up ends with its child; the report pipe tells.
                if self.stopping.due(now) || *until <= now {
                    let _ = kill_process(*child, Sig::KILL);
                } else {
                    wake = Some(wake.map_or(*until, |at| at.min(*until)));
                }
            }
            State::Running(started) => {
                if self.stopping.due(now) {
                    self.send_signal(started.pid, libc::SIGKILL);
                }
            }
        }
        let at = wake.unwrap_or_default().0;
        let value = Timespec {
            tv_sec: i64::try_from(at / 1000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(at % 1000 * 1_000_000).unwrap_or(0),
        };
        // An absolute time of zero disarms the timer.
        let none = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = Itimerspec { it_interval: none, it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &spec)?;
        Ok(())
    }

    /// Notes how the creation went and tells the agent; false when there is no container.
    fn created(&mut self, report: Report) -> io::Result<bool> {
        let outcome = match report {
            Report::Created { pid, unenforced } => {
                let number = |pid: i32| u32::try_from(pid).unwrap_or(0);
                let started = Started {
                    pid: number(pid),
                    shim_pid: number(rustix::process::getpid().as_raw_nonzero().get()),
                    at: BoottimeMs::now(),
                    unenforced,
                };
                let known = |(stranger, _): &&(Pid, i32)| stranger.as_raw_nonzero().get() == pid;
                self.ended = self.strangers.iter().find(known).map(|(_, status)| *status);
                self.strangers = Vec::new();
                self.state = State::Running(started.clone());
                Outcome::Started(started)
            }
            Report::Failed { what, retryable } => Outcome::Failed { what, retryable },
        };
        let goes_on = matches!(outcome, Outcome::Started(_));
        // An agent that died meanwhile hears it when it adopts.
        let _ = protocol::send(&mut io::stdout(), &outcome);
        sys::forget_stdio()?;
        Ok(goes_on)
    }

    fn on_signals(&mut self) {
        while let Some(signal) = sys::next_signal(&self.signals) {
            match signal {
                libc::SIGCHLD => self.reap(),
                // Told to end: a container must not be left without its shim.
                libc::SIGTERM => self.ask_to_stop(self.config.stop_grace_ms),
                _ => {}
            }
        }
    }

    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let status = status.as_raw();
            match &self.state {
                State::Running(started) if is_pid(pid, started.pid) => self.ended = Some(status),
                State::Running(_) => {}
                State::Creating { child, .. } if *child == pid => {}
                State::Creating { .. } if self.strangers.len() < MAX_STRANGERS => {
                    self.strangers.push((pid, status));
                }
                State::Creating { .. } => {}
            }
        }
    }

    fn send_signal(&self, pid: u32, signal: i32) {
        // The container's first process is our child and not reaped yet, so the pid is still its
        // own.
        if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
            sys::kill(pid, signal);
        }
    }

    fn ask_to_stop(&mut self, grace_ms: u64) {
        let first = self.stopping.ask(BoottimeMs::now(), grace_ms);
        if let State::Running(started) = &self.state
            && first
            && grace_ms > 0
        {
            self.send_signal(started.pid, self.config.stop_signal.number());
        }
    }

    fn read_output(&mut self, stream: LogStream) {
        let now = BoottimeMs::now();
        let mut dropping = false;
        if let Err(later) = self.bucket.ready(now) {
            match self.config.log.when_slow {
                WhenSlow::Block => {
                    self.resume_at = Some(later);
                    return;
                }
                WhenSlow::Drop => dropping = true,
            }
        }
        let mut chunk = [0; CHUNK];
        let index = usize::from(stream == LogStream::Err);
        let Some(end) = &self.output[index] else { return };
        match rustix::io::read(end, &mut chunk) {
            Ok(0) => self.output[index] = None,
            Ok(read) if dropping => self.log.drop_lines(stream, &chunk[..read]),
            Ok(read) => {
                self.bucket.take(read);
                self.log.take(stream, &chunk[..read]);
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(_) => self.output[index] = None,
        }
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            // Beyond the bound the newest is turned away: it sees the connection closed.
            if self.connections.len() < MAX_CONNECTIONS
                && let Ok(connection) = Connection::new(stream)
            {
                self.connections.push(connection);
            }
        }
    }

    fn serve(&mut self, ready: &[RawFd]) {
        let mut kept = Vec::with_capacity(self.connections.len());
        for mut connection in std::mem::take(&mut self.connections) {
            let served = !ready.contains(&connection.fd()) || self.answer(&mut connection).is_ok();
            if served {
                kept.push(connection);
            }
        }
        self.connections = kept;
    }

    fn answer(&mut self, connection: &mut Connection) -> io::Result<()> {
        for request in connection.read()? {
            if request == Request::WaitExit {
                connection.waits_for_exit = true;
                continue;
            }
            let reply = self.reply(&request);
            connection.send(&reply)?;
        }
        Ok(())
    }

    fn reply(&mut self, request: &Request) -> Reply {
        let refused = |what: &str| Reply::Refused { what: what.to_owned() };
        match request {
            Request::Hello { .. } => Reply::Hello { version: PROTOCOL_VERSION },
            Request::Status => Reply::Status(self.status()),
            Request::Signal { signal } => match &self.state {
                State::Running(started) => {
                    self.send_signal(started.pid, signal.number());
                    Reply::Ok
                }
                State::Creating { .. } => refused("the container is not running yet"),
            },
            Request::Stop { grace_ms } => {
                self.ask_to_stop(*grace_ms);
                Reply::Ok
            }
            Request::Renew { deadline } => {
                if !self.stopping.renew(BoottimeMs::now(), *deadline) {
                    return refused("the container has no deadline, or it has passed");
                }
                // Where this fails it stays where it was: the container ends too early.
                let at = self.stopping.deadline().unwrap_or(*deadline).plus_ms(LAST_RESORT_MS);
                match self.last_resort.as_ref().map(|last_resort| last_resort.set(at.0)) {
                    None | Some(Ok(())) => Reply::Ok,
                    Some(Err(error)) => refused(&format!("set a timer: {error}")),
                }
            }
            Request::WaitExit => Reply::Ok,
        }
    }

    fn status(&self) -> ShimStatus {
        let started = match &self.state {
            State::Running(started) => Some(started.clone()),
            State::Creating { .. } => None,
        };
        ShimStatus {
            started,
            dropped_lines: self.log.dropped(),
            next_log_seq: self.log.next_seq(),
            deadline: self.stopping.deadline(),
        }
    }

    /// The container has ended: keep its last words, record how, and tell those who wait.
    fn finish(mut self, wait_status: i32) -> io::Result<()> {
        if let Some(last_resort) = &self.last_resort {
            last_resort.set(0)?;
        }
        for (index, stream) in [(0, LogStream::Out), (1, LogStream::Err)] {
            let Some(end) = self.output[index].take() else { continue };
            let mut chunk = [0; CHUNK];
            for _ in 0..LAST_READS {
                match rustix::io::read(&end, &mut chunk) {
                    Ok(read) if read > 0 => self.log.take(stream, &chunk[..read]),
                    _ => break,
                }
            }
        }
        self.log.finish();
        let exit = self.exit(wait_status);
        record::write_json(&self.bundle.join(record::EXIT), &exit)?;
        for connection in &mut self.connections {
            if connection.waits_for_exit {
                let _ = connection.send(&Reply::Exited(exit.clone()));
            }
        }
        Ok(())
    }

    fn exit(&self, wait_status: i32) -> Exit {
        // Our init tells how the command ended; without init the first process is the command.
        let mut told = [0; 4];
        let status = match rustix::io::read(&self.status_pipe, &mut told) {
            Ok(4) => i32::from_ne_bytes(told),
            _ => wait_status,
        };
        let oom_kills = self.config.oom_file.as_deref().map_or(0, oom_kills);
        let stopped_by = self.stopping.reason();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Exit {
            cause: cause(status, oom_kills, stopped_by),
            stopped_by,
            oom_kills,
            started_at: match &self.state {
                State::Running(started) => Some(started.at),
                State::Creating { .. } => None,
            },
            ended_at: BoottimeMs::now(),
            ended_unix_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// The cause behind a wait status. SIGKILL that we did not send, in a container in which the kernel
/// has killed for memory, was that.
fn cause(status: i32, oom_kills: u64, stopped_by: Option<StopReason>) -> ExitCause {
    if libc::WIFEXITED(status) {
        return ExitCause::Code(u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(u8::MAX));
    }
    let signal = Signal::try_from(libc::WTERMSIG(status)).unwrap_or(Signal::KILL);
    let ours = matches!(stopped_by, Some(StopReason::GraceOver | StopReason::Deadline));
    if signal == Signal::KILL && oom_kills > 0 && !ours {
        ExitCause::OutOfMemory
    } else {
        ExitCause::Signal(signal)
    }
}

/// A last resort for a deadline. One that has passed is due at once.
fn armed(deadline: BoottimeMs) -> io::Result<sys::LastResort> {
    let last_resort = sys::LastResort::new()?;
    last_resort.set(deadline.plus_ms(LAST_RESORT_MS).0)?;
    Ok(last_resort)
}

fn is_pid(pid: Pid, number: u32) -> bool {
    u32::try_from(pid.as_raw_nonzero().get()) == Ok(number)
}

/// The forked child: creates the container, reports, and is gone.
fn be_creator(bundle: &Path, ends: Ends, report: OwnedFd) -> ! {
    sys::unblock_signals();
    // Should the shim die half-way, so do we; what is made by then is cleared by `delete`.
    let death = rustix::process::set_parent_process_death_signal(Some(Sig::KILL));
    let _ = rustix::thread::set_name(c"freehold-make");
    let made = match death {
        Ok(()) => creator::create(bundle, ends),
        Err(e) => Err(creator::CreateError::io("binding to the shim of", bundle, e.into())),
    };
    let said = made.unwrap_or_else(|error| error.report());
    let sent = protocol::send(&mut File::from(report), &said);
    sys::exit_now(i32::from(sent.is_err()))
}

fn read_report(pipe: &OwnedFd) -> Report {
    let died = || Report::Failed {
        what: "the process that creates the container was killed or took too long".to_owned(),
        retryable: true,
    };
    // It is written at once or, when the child was killed, not at all.
    let Ok(pipe) = pipe.try_clone() else { return died() };
    protocol::receive(&mut File::from(pipe)).unwrap_or_else(|_| died())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_of_death() {
        let killed = libc::SIGKILL;
        assert_eq!(cause(3 << 8, 5, None), ExitCause::Code(3));
        assert_eq!(
            cause(libc::SIGSEGV, 0, None),
            ExitCause::Signal(Signal::parse("SEGV").unwrap())
        );
        assert_eq!(cause(killed, 0, None), ExitCause::Signal(Signal::KILL));
        assert_eq!(cause(killed, 1, None), ExitCause::OutOfMemory);
        assert_eq!(cause(killed, 1, Some(StopReason::Asked)), ExitCause::OutOfMemory);
        let ours = Some(StopReason::GraceOver);
        assert_eq!(cause(killed, 1, ours), ExitCause::Signal(Signal::KILL));
    }
}
