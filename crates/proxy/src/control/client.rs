//! The agent's side of the control protocol. Independent of who started the proxy: it connects to
//! the socket's path, so that a restarted agent finds the proxy its predecessor left running.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use api::id::Generation;
use api::ingress::IngressTable;
use tokio::net::UnixStream;

use super::frame::{FrameError, FrameSocket};
use super::message::{Greeting, Listener, ListenerRole, Reply, Request, VERSION};
use crate::metrics::Snapshot;

/// How long an answer may take. The slowest is a table's: reading 64 MiB of JSON and 10,000
/// certificates takes about two seconds of one core.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the proxy did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there (yet).
    #[error("connecting to the proxy's control socket {path}")]
    Connect {
        /// The socket's path.
        path: String,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// The connection broke; connect again.
    #[error("asking the proxy")]
    Frame(#[from] FrameError),
    /// No answer in time; the connection is of no more use.
    #[error("the proxy did not answer within {} s", REPLY_TIMEOUT.as_secs())]
    Timeout,
    /// The proxy refused, what held before still holds.
    #[error("the proxy refused: {reason}")]
    Refused {
        /// Its reason.
        reason: String,
    },
    /// The answer belongs to another question.
    #[error("the proxy gave an answer of another kind")]
    Confused,
    /// An earlier request failed half way.
    #[error("the control connection broke earlier")]
    Broken,
}

/// A connection to a proxy. One request at a time; after any error but `Refused` connect anew.
#[derive(Debug)]
pub struct Client {
    socket: FrameSocket,
    broken: bool,
}

impl Client {
    /// Connects to the control socket at `path` and greets.
    ///
    /// # Errors
    /// When nobody listens there or the greeting fails.
    pub async fn connect(path: &Path) -> Result<(Self, Greeting), ClientError> {
        let stream = UnixStream::connect(path)
            .await
            .map_err(|source| ClientError::Connect { path: path.display().to_string(), source })?;
        let mut client = Self { socket: FrameSocket::new(stream), broken: false };
        match client.ask(&Request::Hello { version: VERSION }, &[]).await? {
            (Reply::Hello(greeting), _) => Ok((client, greeting)),
            other => Err(unexpected(other.0)),
        }
    }

    /// Gives the proxy all sockets it shall accept on; those it has and that are not named are
    /// closed. Returns them with their real addresses.
    ///
    /// # Errors
    /// When the proxy refuses a descriptor (not a listening TCP socket) or the talk fails.
    pub async fn listen(
        &mut self,
        sockets: &[(ListenerRole, BorrowedFd<'_>)],
    ) -> Result<Vec<Listener>, ClientError> {
        let unknown = ([0, 0, 0, 0], 0).into();
        let listeners =
            sockets.iter().map(|(role, _)| Listener { role: *role, address: unknown }).collect();
        let fds: Vec<_> = sockets.iter().map(|(_, fd)| fd.as_fd()).collect();
        match self.ask(&Request::Listen { listeners }, &fds).await? {
            (Reply::Listening { listeners }, _) => Ok(listeners),
            other => Err(unexpected(other.0)),
        }
    }

    /// Gives the proxy a table; returns when every worker serves by it.
    ///
    /// # Errors
    /// [`ClientError::Refused`] names what is wrong with the table or its generation.
    pub async fn table(&mut self, table: IngressTable) -> Result<Generation, ClientError> {
        match self.ask(&Request::Table { table: Box::new(table) }, &[]).await? {
            (Reply::Ack { generation }, _) => Ok(generation),
            other => Err(unexpected(other.0)),
        }
    }

    /// Aborts the connections to addresses suspected dead; returns how many there were.
    ///
    /// # Errors
    /// When the talk fails.
    pub async fn abort(&mut self, addresses: Vec<IpAddr>) -> Result<u64, ClientError> {
        match self.ask(&Request::Abort { addresses }, &[]).await? {
            (Reply::Aborted { connections }, _) => Ok(connections),
            other => Err(unexpected(other.0)),
        }
    }

    /// Tells the proxy to stop accepting, finish and exit, at the latest after `deadline`.
    ///
    /// # Errors
    /// When the talk fails.
    pub async fn drain(&mut self, deadline: Duration) -> Result<(), ClientError> {
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        match self.ask(&Request::Drain { deadline_ms }, &[]).await? {
            (Reply::Draining, _) => Ok(()),
            other => Err(unexpected(other.0)),
        }
    }

    /// Reads the counters.
    ///
    /// # Errors
    /// When the talk fails.
    pub async fn metrics(&mut self) -> Result<Snapshot, ClientError> {
        match self.ask(&Request::Metrics, &[]).await? {
            (Reply::Metrics { snapshot }, _) => Ok(*snapshot),
            other => Err(unexpected(other.0)),
        }
    }

    /// Gets the listening sockets back.
    ///
    /// # Errors
    /// When the talk fails.
    pub async fn fds(&mut self) -> Result<Vec<(Listener, OwnedFd)>, ClientError> {
        match self.ask(&Request::Fds, &[]).await? {
            (Reply::Fds { listeners }, fds) if listeners.len() == fds.len() => {
                Ok(listeners.into_iter().zip(fds).collect())
            }
            other => Err(unexpected(other.0)),
        }
    }

    async fn ask(
        &mut self,
        request: &Request,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(Reply, Vec<OwnedFd>), ClientError> {
        if std::mem::replace(&mut self.broken, true) {
            return Err(ClientError::Broken);
        }
        let talk = async {
            self.socket.send(request, fds).await?;
            self.socket.receive::<Reply>().await
        };
        let answer =
            tokio::time::timeout(REPLY_TIMEOUT, talk).await.map_err(|_| ClientError::Timeout)??;
        self.broken = false;
        Ok(answer)
    }
}

fn unexpected(reply: Reply) -> ClientError {
    match reply {
        Reply::Refused { reason } => ClientError::Refused { reason },
        _ => ClientError::Confused,
    }
}
