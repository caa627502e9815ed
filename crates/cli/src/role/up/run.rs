//! `up` itself: prepares, starts, says how to reach it, and ends all of it.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::installation::Installation;
use super::supervise::{Handle, Role, Supervised, Wish, log_path};
use super::{Arguments, certificates, lock, preflight, ready};
use crate::exit::Exit;
use crate::failure::Failure;

/// How long the first start may take: hosts with a thousand containers adopt them first.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// A role that ended as often before all was ready will not come up.
const DEATHS_BEFORE_READY: u32 = 5;

/// Runs until SIGTERM or SIGINT.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    preflight::check_root()?;
    let data = lock::make_directory(&arguments.data)?;
    let machine = machine();
    let it = Installation::of(arguments, &data, &machine)?;
    let lock = lock::take(&data)?;
    for warning in preflight::check(&it)? {
        eprintln!("warning: {warning}");
    }
    certificates::prepare(&it, &machine)?;
    // One thread: this process waits for years.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Failure::io("start the runtime", &e))?;
    runtime.block_on(Box::pin(supervise(&it, &lock, arguments.verbose)))
}

/// The machine's own name.
pub(in crate::role) fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The signals that end all.
struct Signals {
    term: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|e| Failure::io("listen for signals", &e));
        let (term, interrupt) = (SignalKind::terminate(), SignalKind::interrupt());
        Ok(Self { term: listen(term)?, interrupt: listen(interrupt)? })
    }

    async fn next(&mut self) {
        tokio::select! {
            // Both only wait.
            _ = self.term.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn supervise(it: &Installation, lock: &File, echo: bool) -> Result<ExitCode, Failure> {
    let mut signals = Signals::new()?;
    let (wish, wished) = watch::channel(Wish::Run);
    let (handles, running) = start(it, lock, echo, &wished)?;
    let told = tokio::select! {
        // None of them holds anything that is lost when it is dropped.
        () = signals.next() => None,
        told = until_ready(it, &handles) => Some(told),
    };
    if let Some(Err(failure)) = told {
        end(&wish, running, &mut signals).await;
        return Err(failure);
    }
    if told.is_some() {
        announce(it)?;
        signals.next().await;
    }
    eprintln!("freehold stops{}", if it.ephemeral { " and removes its containers" } else { "" });
    if end(&wish, running, &mut signals).await {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::new(Exit::Failure, "stop in order: a process had to be killed")
        .hint(format!("its log is in {}", it.logs().display())))
}

fn start(
    it: &Installation,
    lock: &File,
    echo: bool,
    wished: &watch::Receiver<Wish>,
) -> Result<(Vec<Handle>, Vec<JoinHandle<bool>>), Failure> {
    let logs = it.logs();
    let failed = |e: std::io::Error| Failure::io(format!("write to {}", logs.display()), &e);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&logs).map_err(failed)?;
    let mut handles = Vec::new();
    let mut running = Vec::new();
    for (name, arguments) in [("server", it.server_arguments()), ("agent", it.agent_arguments())] {
        let role = Role {
            name,
            program: PathBuf::from("/proc/self/exe"),
            arguments,
            held: lock.try_clone().map_err(failed)?,
            log: log_path(&logs, name),
            echo,
        };
        let (supervised, handle) = Supervised::new(role, wished.clone()).map_err(failed)?;
        handles.push(handle);
        running.push(tokio::spawn(supervised.run()));
    }
    Ok((handles, running))
}

/// Waits until all serves, or it is clear that it will not.
async fn until_ready(it: &Installation, handles: &[Handle]) -> Result<(), Failure> {
    let mut missing = String::new();
    let dying = async {
        loop {
            for handle in handles {
                let health = handle.health.borrow().clone();
                if health.deaths >= DEATHS_BEFORE_READY {
                    return (handle, health);
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = ready::wait(it, &mut missing) => return Ok(()),
        (handle, health) = dying => {
            let message = format!("start the {}: it ended {} times", handle.name, health.deaths);
            let mut failure = Failure::new(Exit::Failure, message).because(health.last);
            failure.detail = handle.last_lines();
            return Err(failure.hint(format!("its log is in {}", it.logs().display())));
        }
        () = tokio::time::sleep(READY_WITHIN) => {}
    }
    let message = format!("start: not ready within {} s", READY_WITHIN.as_secs());
    let mut failure = Failure::new(Exit::Unavailable, message).because(missing);
    failure.detail = handles.iter().flat_map(Handle::last_lines).collect();
    Err(failure.hint(format!("the logs are in {}", it.logs().display())))
}

/// Says where everything is: for a shell on standard output, for people on standard error.
fn announce(it: &Installation) -> Result<(), Failure> {
    eprintln!("freehold runs as cluster {:?} on host {:?}", it.cluster, it.host.as_str());
    eprintln!("  API, images    https://{}", it.api_address());
    eprintln!("  ingress        http://{}  https://{}", it.http, it.https);
    eprintln!("  data, logs     {}  {}", it.data.display(), it.logs().display());
    let mut out = std::io::stdout().lock();
    out.write_all(it.exports().as_bytes())
        .and_then(|()| out.flush())
        .map_err(|e| Failure::io("print how to reach the cluster", &e))
}

/// Ends all children; at once when a second signal comes. True when all ended by themselves.
async fn end(
    wish: &watch::Sender<Wish>,
    running: Vec<JoinHandle<bool>>,
    signals: &mut Signals,
) -> bool {
    wish.send_replace(Wish::Stop);
    let all = async {
        let mut good = true;
        for task in running {
            good &= task.await.unwrap_or(false);
        }
        good
    };
    tokio::pin!(all);
    tokio::select! {
        // The tasks go on by themselves; waiting for them is begun again below.
        good = &mut all => return good,
        () = signals.next() => {}
    }
    wish.send_replace(Wish::Kill);
    all.await
}
