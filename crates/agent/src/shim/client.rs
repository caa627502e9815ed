//! The agent's side of a shim's socket.

use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::protocol::{self, PROTOCOL_VERSION, Reply, Request, ShimStatus};
use super::record;
use crate::runtime::{BoottimeMs, Phase, Signal};

/// How long a shim may take to answer. It only polls, so this passes only when the host is starved.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Name of the socket in a bundle.
pub(crate) const SOCKET: &str = "shim.sock";

/// Why a shim could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens: the shim has exited or was killed.
    #[error("no shim listens in {bundle}")]
    Gone {
        /// The bundle.
        bundle: PathBuf,
        /// What connecting said.
        #[source]
        source: io::Error,
    },
    /// The connection broke or stalled.
    #[error("speaking with the shim in {bundle}")]
    Broken {
        /// The bundle.
        bundle: PathBuf,
        /// Where it broke.
        #[source]
        source: io::Error,
    },
    /// The shim said no.
    #[error("the shim refused: {0}")]
    Refused(String),
    /// The shim answered something that does not belong to the question.
    #[error("the shim gave an unexpected answer")]
    Unexpected,
}

/// One connection to a shim.
#[derive(Debug)]
pub struct ShimClient {
    stream: UnixStream,
    bundle: PathBuf,
    version: u32,
}

/// Waits for a container's end.
#[derive(Debug)]
pub struct ExitWatch {
    stream: Option<UnixStream>,
    bundle: PathBuf,
}

impl ShimClient {
    /// Connects to the shim of a bundle and agrees on a version.
    ///
    /// # Errors
    /// [`ClientError::Gone`] when nobody listens; else the connection broke.
    pub fn connect(bundle: &Path) -> Result<Self, ClientError> {
        let gone = |source| ClientError::Gone { bundle: bundle.to_owned(), source };
        let stream = open(bundle).map_err(gone)?;
        let mut client = Self { stream, bundle: bundle.to_owned(), version: 0 };
        client.limit(Some(ANSWER_WITHIN))?;
        match client.ask(&Request::Hello { version: PROTOCOL_VERSION })? {
            Reply::Hello { version } => client.version = version,
            _ => return Err(ClientError::Unexpected),
        }
        Ok(client)
    }

    /// What the shim speaks.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The shim's state.
    ///
    /// # Errors
    /// The connection broke.
    pub fn status(&mut self) -> Result<ShimStatus, ClientError> {
        match self.ask(&Request::Status)? {
            Reply::Status(status) => Ok(status),
            _ => Err(ClientError::Unexpected),
        }
    }

    /// Sends a signal to the command.
    ///
    /// # Errors
    /// The container is not running, or the connection broke.
    pub fn signal(&mut self, signal: Signal) -> Result<(), ClientError> {
        self.expect_ok(&Request::Signal { signal })
    }

    /// Begins to stop the container.
    ///
    /// # Errors
    /// The connection broke.
    pub fn stop(&mut self, grace: Duration) -> Result<(), ClientError> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.expect_ok(&Request::Stop { grace_ms })
    }

    /// Moves the deadline.
    ///
    /// # Errors
    /// The container is not running or has no deadline, or the connection broke.
    pub fn renew(&mut self, deadline: BoottimeMs) -> Result<(), ClientError> {
        self.expect_ok(&Request::Renew { deadline })
    }

    /// Turns the connection into a watch for the container's end.
    ///
    /// # Errors
    /// The connection broke.
    pub fn watch_exit(mut self) -> Result<ExitWatch, ClientError> {
        let asked = protocol::send(&mut self.stream, &Request::WaitExit);
        asked.map_err(|source| self.broken(source))?;
        Ok(ExitWatch { stream: Some(self.stream), bundle: self.bundle })
    }

    fn expect_ok(&mut self, request: &Request) -> Result<(), ClientError> {
        match self.ask(request)? {
            Reply::Ok => Ok(()),
            _ => Err(ClientError::Unexpected),
        }
    }

    fn ask(&mut self, request: &Request) -> Result<Reply, ClientError> {
        let answer = protocol::send(&mut self.stream, request)
            .and_then(|()| protocol::receive(&mut self.stream));
        match answer.map_err(|source| self.broken(source))? {
            Reply::Refused { what } => Err(ClientError::Refused(what)),
            reply => Ok(reply),
        }
    }

    fn limit(&self, within: Option<Duration>) -> Result<(), ClientError> {
        self.stream
            .set_read_timeout(within)
            .and_then(|()| self.stream.set_write_timeout(within))
            .map_err(|source| self.broken(source))
    }

    fn broken(&self, source: io::Error) -> ClientError {
        ClientError::Broken { bundle: self.bundle.clone(), source }
    }
}

/// Connects to a bundle's socket, wherever that is.
fn open(bundle: &Path) -> io::Result<UnixStream> {
    // A socket's address holds 107 bytes; going through a descriptor makes any bundle's path fit.
    let dir = std::fs::File::open(bundle)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd()))
}

/// The pid of the shim that listens in a bundle, as the kernel knows it; also of one that hangs.
pub(crate) fn listener_pid(bundle: &Path) -> Option<rustix::process::Pid> {
    let stream = open(bundle).ok()?;
    rustix::net::sockopt::socket_peercred(&stream).ok().map(|cred| cred.pid)
}

impl ExitWatch {
    /// A watch of a container that is known to have ended: ready at once.
    pub(crate) fn ended_already(bundle: &Path) -> Self {
        Self { stream: None, bundle: bundle.to_owned() }
    }

    /// Waits, at most for `within`; none when that passed. Afterwards the watch is still good.
    ///
    /// # Errors
    /// The connection could not be waited on, or the exit record cannot be read.
    pub fn wait(&mut self, within: Option<Duration>) -> Result<Option<Phase>, ClientError> {
        if let Some(stream) = &mut self.stream {
            let broken = |source| ClientError::Broken { bundle: self.bundle.clone(), source };
            stream.set_read_timeout(within).map_err(broken)?;
            // Whatever is sent, the record was written before; only the moment matters here.
            match stream.read(&mut [0; 1]) {
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(e) => return Err(broken(e)),
            }
            self.stream = None;
        }
        self.outcome().map(Some)
    }

    /// Waits without holding a thread; needs a tokio runtime.
    ///
    /// # Errors
    /// As [`ExitWatch::wait`].
    pub async fn ended(mut self) -> Result<Phase, ClientError> {
        if let Some(stream) = self.stream.take() {
            let broken = |source| ClientError::Broken { bundle: self.bundle.clone(), source };
            stream.set_nonblocking(true).map_err(broken)?;
            let stream = tokio::net::UnixStream::from_std(stream).map_err(broken)?;
            loop {
                stream.readable().await.map_err(broken)?;
                match stream.try_read(&mut [0; 1]) {
                    // Readiness may be announced for nothing; cancelling here loses nothing.
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    _ => break,
                }
            }
        }
        self.outcome()
    }

    fn outcome(&self) -> Result<Phase, ClientError> {
        let exit = record::read_exit(&self.bundle)
            .map_err(|source| ClientError::Broken { bundle: self.bundle.clone(), source })?;
        Ok(exit.map_or(Phase::Lost, Phase::Exited))
    }
}
