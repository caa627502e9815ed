//! Keeps child processes running: starts them, starts them again when they die, and ends them in
//! order. Knows nothing of what they do.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::Instant;

use super::log_file::LogFile;

/// The pause before the second start in a row; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A child that lived as long is started again at once.
const GOOD_LIFE: Duration = Duration::from_secs(10);

/// How long a child may take to end by itself. An ephemeral agent gives its containers 15 s, then
/// removes its network.
const END_WITHIN: Duration = Duration::from_secs(40);

/// How long a start waits for what the one before said last.
const LAST_WORDS: Duration = Duration::from_millis(20);

/// Bytes read from a child at once.
const READ_BYTES: usize = 8 << 10;

/// A process to keep running.
pub(super) struct Role {
    /// For people and the log's name.
    pub name: &'static str,
    /// The executable.
    pub program: PathBuf,
    /// Its arguments; `--supervised-by PID` is added behind.
    pub arguments: Vec<String>,
    /// What it holds as its standard input.
    pub held: File,
    /// Where its words go.
    pub log: PathBuf,
    /// Whether its words also go to our standard error.
    pub echo: bool,
}

/// What all children should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wish {
    /// Run.
    Run,
    /// End in order.
    Stop,
    /// End at once.
    Kill,
}

/// How a role is doing.
#[derive(Debug, Clone, Default)]
pub(super) struct Health {
    /// How often it ended unasked.
    pub deaths: u32,
    /// How it ended last.
    pub last: String,
}

/// One role under supervision.
pub(super) struct Supervised {
    role: Role,
    log: Arc<Mutex<LogFile>>,
    wish: watch::Receiver<Wish>,
    health: watch::Sender<Health>,
}

/// What the rest of `up` sees and says of one role.
pub(super) struct Handle {
    /// For people.
    pub name: &'static str,
    /// How it is doing.
    pub health: watch::Receiver<Health>,
    log: Arc<Mutex<LogFile>>,
}

impl Handle {
    /// The last lines it said.
    pub(super) fn last_lines(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).last_lines()
    }
}

impl Supervised {
    /// Prepares supervision of a role.
    pub(super) fn new(role: Role, wish: watch::Receiver<Wish>) -> std::io::Result<(Self, Handle)> {
        let log = Arc::new(Mutex::new(LogFile::open(&role.log)?));
        let (health, seen) = watch::channel(Health::default());
        let handle = Handle { name: role.name, health: seen, log: Arc::clone(&log) };
        Ok((Self { role, log, wish, health }, handle))
    }

    /// Keeps it running until it is wished otherwise; then waits for its end. False when it had to
    /// be killed.
    pub(super) async fn run(mut self) -> bool {
        let mut pause = Duration::ZERO;
        loop {
            if self.wait(pause).await != Wish::Run {
                return true;
            }
            let begin = Instant::now();
            let how = match self.start() {
                Ok(mut child) => {
                    let words = self.pump(&mut child);
                    let asked = self.until_end(&mut child).await;
                    // The last words come after the end; its own children may hold the pipe longer.
                    let _ = tokio::time::timeout(LAST_WORDS, words).await;
                    match asked {
                        End::Asked { killed } => return !killed,
                        End::Unasked(how) => how,
                    }
                }
                Err(error) => format!("could not be started: {error}"),
            };
            pause = next_pause(pause, begin.elapsed());
            let wait = pause.as_millis();
            let name = self.role.name;
            self.say(&format!("freehold up: the {name} ended: {how}; next start in {wait} ms\n"));
            self.health.send_modify(|health| {
                health.deaths += 1;
                health.last = how;
            });
        }
    }

    fn start(&self) -> std::io::Result<Child> {
        let role = &self.role;
        Command::new(&role.program)
            .args(&role.arguments)
            .args(["--supervised-by", &std::process::id().to_string()])
            // Two arenas instead of eight per core: threads here wait more than they allocate.
            .env("MALLOC_ARENA_MAX", "2")
            .arg0("freehold")
            .stdin(role.held.try_clone()?)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C reaches the whole group; children are told by us, in order.
            .process_group(0)
            .spawn()
    }

    /// Waits before a start; ends early when something else is wished.
    async fn wait(&mut self, pause: Duration) -> Wish {
        let other = self.wish.wait_for(|wish| *wish != Wish::Run);
        let other = tokio::time::timeout(pause, other).await;
        match other.map(|wish| wish.map(|wish| *wish)) {
            Ok(Ok(wish)) => wish,
            // The sender is gone.
            Ok(Err(_)) => Wish::Stop,
            Err(_) => Wish::Run,
        }
    }

    async fn until_end(&mut self, child: &mut Child) -> End {
        let mut deadline = None;
        let mut killed = false;
        loop {
            let wish = *self.wish.borrow_and_update();
            let asked = wish != Wish::Run;
            if wish == Wish::Kill && !killed {
                killed = true;
                send(child, Signal::KILL);
            } else if asked && deadline.is_none() {
                deadline = Some(Instant::now() + END_WITHIN);
                send(child, Signal::TERM);
            }
            let late = async {
                match deadline {
                    Some(at) if !killed => tokio::time::sleep_until(at).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                // Waiting for the end may be begun again at any time.
                status = child.wait() => {
                    return match status {
                        _ if asked => End::Asked { killed },
                        Ok(status) => End::Unasked(described(status)),
                        Err(error) => End::Unasked(error.to_string()),
                    };
                }
                // A change that is not seen now is seen in the next round.
                changed = self.wish.changed() => {
                    if changed.is_err() {
                        send(child, Signal::TERM);
                    }
                }
                () = late => {
                    killed = true;
                    send(child, Signal::KILL);
                }
            }
        }
    }

    /// Takes what a child says to its log.
    fn pump(&self, child: &mut Child) -> tokio::task::JoinHandle<()> {
        let words = child.stderr.take();
        let (log, echo) = (Arc::clone(&self.log), self.role.echo);
        tokio::spawn(async move {
            if let Some(words) = words {
                pump(words, &log, echo).await;
            }
        })
    }

    fn say(&self, text: &str) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).write(text.as_bytes());
        eprint!("{text}");
    }
}

async fn pump(mut words: impl AsyncRead + Unpin, log: &Mutex<LogFile>, echo: bool) {
    let mut buffer = vec![0; READ_BYTES];
    while let Ok(n @ 1..) = words.read(&mut buffer).await {
        log.lock().unwrap_or_else(PoisonError::into_inner).write(&buffer[..n]);
        if echo {
            use std::io::Write;
            // Nobody may be listening any more.
            let _ = std::io::stderr().write_all(&buffer[..n]);
        }
    }
}

/// Why a child ended.
enum End {
    Asked { killed: bool },
    Unasked(String),
}

fn send(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It has not been waited for, so the number is its own, if it ended or not.
        let _ = kill_process(pid, signal);
    }
}

fn described(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (_, Some(signal)) => format!("signal {signal}"),
        _ => status.to_string(),
    }
}

/// The pause before the next start of what was started after `last` and lived for `lived`.
fn next_pause(last: Duration, lived: Duration) -> Duration {
    if lived >= GOOD_LIFE { Duration::ZERO } else { (last * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE) }
}

/// The path of a role's log.
pub(super) fn log_path(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.log"))
}

#[cfg(test)]
mod tests;
