//! The proxy process: starts the workers and the control socket, and ends when it has drained.

use std::io;
use std::num::NonZeroUsize;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::runtime::LocalOptions;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, Notify, mpsc};
use tokio_rustls::TlsAcceptor;

use crate::control::server::{self, Control};
pub use crate::engine::access_log::AccessLog;
use crate::engine::access_log::{LogBuffer, Writer};
use crate::engine::tls::{self, CertStore};
use crate::engine::worker::{self, COMMANDS, Parts};

/// How long connections get to finish after SIGTERM; the agent says its own in `Drain`.
const TERM_DRAIN: Duration = Duration::from_secs(10);

/// How a proxy is run. Sockets and routes come over the control socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where the control socket is made. A stale one is replaced.
    pub control: PathBuf,
    /// Worker threads; `None`: one per core this process may use.
    pub workers: Option<NonZeroUsize>,
    /// `None`: no access log.
    pub access_log: Option<AccessLog>,
    /// The most client connections of one worker; more wait in the kernel's queue. Each takes two
    /// descriptors when busy and about 20 KiB.
    pub max_connections_per_worker: usize,
    /// How long a client may take for a TLS handshake or a request's head; then 408.
    pub head_timeout: Duration,
}

impl Options {
    /// The defaults with a control socket at `control`: a worker per core, no access log, 20,000
    /// connections a worker, 10 s for a head.
    #[must_use]
    pub fn new(control: PathBuf) -> Self {
        Self {
            control,
            workers: None,
            access_log: None,
            max_connections_per_worker: 20_000,
            head_timeout: Duration::from_secs(10),
        }
    }
}

/// Why a proxy could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The control socket cannot be made.
    #[error("making the control socket {path}")]
    Control {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The access log cannot be opened.
    #[error("opening the access log {path}")]
    Log {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A thread or runtime cannot be made.
    #[error("starting the proxy's threads")]
    Start(#[source] io::Error),
    /// TLS cannot be configured.
    #[error("configuring TLS")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A worker ended by itself; the process must be replaced.
    #[error("a worker ended by itself")]
    WorkerGone,
}

/// Runs a proxy in this process until it has drained: the body of `freehold proxy`.
///
/// # Errors
/// When it cannot start, or a worker ends by itself.
pub fn run(options: &Options) -> Result<(), RunError> {
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .map_err(RunError::Start)?;
    let writer = match &options.access_log {
        None => None,
        Some(log) => Some(
            Writer::start(log.clone())
                .map_err(|source| RunError::Log { path: log.path.clone(), source })?,
        ),
    };
    let store = Arc::new(CertStore::default());
    let config = tls::config(&store).map_err(|error| RunError::Tls(Box::new(error)))?;
    let ended = Arc::new(Notify::new());
    let mut senders = Vec::new();
    let mut threads = Vec::new();
    for number in 0..worker_count(options) {
        let (sender, commands) = mpsc::channel(COMMANDS);
        let parts = Parts {
            tls: TlsAcceptor::from(Arc::clone(&config)),
            log: writer.as_ref().map_or_else(LogBuffer::disabled, Writer::buffer),
            max_connections: options.max_connections_per_worker,
            head_timeout: options.head_timeout,
            seed: seed(number),
        };
        senders.push(sender);
        let thread = start_worker(number, parts, commands, Arc::clone(&ended));
        threads.push(thread.map_err(RunError::Start)?);
    }
    let drain = Rc::new(Notify::new());
    let control = Rc::new(Mutex::new(Control::new(senders, store, Rc::clone(&drain))));
    let result = runtime.block_on(supervise(options, control, &drain, &ended, threads));
    if let Some(writer) = writer {
        writer.finish();
    }
    result
}

/// Every thread of the proxy counts; a core it may not use does not.
fn worker_count(options: &Options) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    options.workers.map_or_else(cores, NonZeroUsize::get)
}

/// Different for every worker and process, as `HashMap`'s own keys are.
fn seed(number: usize) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(number)
}

fn start_worker(
    number: usize,
    parts: Parts,
    commands: mpsc::Receiver<worker::Command>,
    ended: Arc<Notify>,
) -> io::Result<JoinHandle<()>> {
    /// Tells the main thread also when the worker panics.
    struct Tell(Arc<Notify>);
    impl Drop for Tell {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    std::thread::Builder::new().name(format!("proxy-{number}")).spawn(move || {
        let tell = Tell(ended);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default());
        match runtime {
            Ok(runtime) => runtime.block_on(worker::run(parts, commands)),
            Err(error) => tracing::error!(%error, "starting a worker"),
        }
        drop(tell);
    })
}

async fn supervise(
    options: &Options,
    control: Rc<Mutex<Control>>,
    drain: &Notify,
    ended: &Notify,
    threads: Vec<JoinHandle<()>>,
) -> Result<(), RunError> {
    let fail = |source| RunError::Control { path: options.control.clone(), source };
    let (listener, inode) = bind(&options.control).map_err(fail)?;
    let serving = tokio::task::spawn_local(server::serve(listener, Rc::clone(&control)));
    let mut term = signal(SignalKind::terminate()).map_err(RunError::Start)?;
    tokio::select! {
        // Waiting arms only.
        () = drain.notified() => {}
        () = ended.notified() => {
            // Idle workers end the moment they are told to drain, before this is polled.
            if !control.lock().await.is_draining() {
                serving.abort();
                return Err(RunError::WorkerGone);
            }
        }
        _ = term.recv() => {
            // Draining always succeeds.
            let _ = control.lock().await.drain(TERM_DRAIN).await;
        }
    }
    while !threads.iter().all(JoinHandle::is_finished) {
        // The last worker may tell before its thread is finished; a look now and then is enough.
        let _ = tokio::time::timeout(Duration::from_millis(20), ended.notified()).await;
    }
    serving.abort();
    if inode_of(&options.control).ok() == Some(inode) {
        // A successor may have put its own socket there meanwhile: then it stays.
        let _ = std::fs::remove_file(&options.control);
    }
    for thread in threads {
        if thread.join().is_err() {
            return Err(RunError::WorkerGone);
        }
    }
    Ok(())
}

/// Binds the control socket under a temporary name and moves it into place, so that a stale or an
/// older proxy's socket is replaced without a moment in which there is none.
fn bind(path: &Path) -> io::Result<(UnixListener, u64)> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(format!(".{}", std::process::id()));
    let fresh = PathBuf::from(fresh);
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&fresh)?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600))?;
    let inode = inode_of(&fresh)?;
    std::fs::rename(&fresh, path)?;
    Ok((listener, inode))
}

fn inode_of(path: &Path) -> io::Result<u64> {
    Ok(std::fs::symlink_metadata(path)?.ino())
}

/// Raises the soft limit of descriptors to the hard one; less room is no reason not to serve.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "raising the limit of descriptors");
        }
    }
}
