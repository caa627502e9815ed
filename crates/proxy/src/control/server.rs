//! The proxy's side of the control protocol: takes requests from the socket and has the workers
//! follow. Serves any number of agents one after the other; none is needed for traffic to go on.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use api::ingress::IngressTable;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Mutex, Notify, mpsc, oneshot};

use super::frame::{FrameError, FrameSocket};
use super::message::{Greeting, Listener, ListenerRole, Reply, Request, VERSION};
use crate::decide::table::{self, Admission, Compiled};
use crate::engine::tls::{CertStore, Certificates};
use crate::engine::worker::{Command, ListenerKey};
use crate::metrics::Snapshot;

/// The most control connections at once: an agent has one, its successor another, a person two.
const MAX_TALKS: usize = 8;

/// A listening socket in the proxy's hands.
#[derive(Debug)]
struct Held {
    listener: Listener,
    key: ListenerKey,
    socket: TcpListener,
}

/// What the proxy is told to be, and the workers that are it.
#[derive(Debug)]
pub(crate) struct Control {
    workers: Vec<mpsc::Sender<Command>>,
    certificates: Arc<CertStore>,
    listeners: Vec<Held>,
    serving: Option<Arc<Compiled>>,
    draining: bool,
    drain: Rc<Notify>,
}

/// A worker has ended although nobody told it to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a worker has ended")]
pub(crate) struct WorkerGone;

impl Control {
    pub(crate) fn new(
        workers: Vec<mpsc::Sender<Command>>,
        certificates: Arc<CertStore>,
        drain: Rc<Notify>,
    ) -> Self {
        let (listeners, serving) = (Vec::new(), None);
        Self { workers, certificates, listeners, serving, draining: false, drain }
    }

    /// Tells all workers and waits for each one's acknowledgement.
    async fn tell<T>(
        &self,
        mut command: impl FnMut(oneshot::Sender<T>) -> Command,
    ) -> Result<Vec<T>, WorkerGone> {
        let mut waiting = Vec::with_capacity(self.workers.len());
        for worker in &self.workers {
            let (done, acknowledged) = oneshot::channel();
            worker.send(command(done)).await.map_err(|_| WorkerGone)?;
            waiting.push(acknowledged);
        }
        let mut results = Vec::with_capacity(waiting.len());
        for acknowledged in waiting {
            results.push(acknowledged.await.map_err(|_| WorkerGone)?);
        }
        Ok(results)
    }

    /// Follows one request.
    async fn follow(&mut self, request: Request, fds: Vec<OwnedFd>) -> Reply {
        let result = match request {
            Request::Hello { .. } => Ok(Reply::Hello(self.greeting())),
            Request::Listen { listeners } => self.listen(listeners, fds).await,
            Request::Table { table } => self.table(*table).await,
            Request::Abort { addresses } => self.abort(addresses).await,
            Request::Drain { deadline_ms } => self.drain(Duration::from_millis(deadline_ms)).await,
            Request::Metrics => self.metrics().await,
            Request::Fds => {
                Ok(Reply::Fds { listeners: self.listeners.iter().map(|h| h.listener).collect() })
            }
        };
        result.unwrap_or_else(|reason| Reply::Refused { reason })
    }

    fn greeting(&self) -> Greeting {
        Greeting {
            version: VERSION,
            pid: std::process::id(),
            generation: self.serving.as_ref().map(|serving| serving.table.generation),
            listeners: self.listeners.iter().map(|held| held.listener).collect(),
            draining: self.draining,
        }
    }

    async fn listen(
        &mut self,
        listeners: Vec<Listener>,
        fds: Vec<OwnedFd>,
    ) -> Result<Reply, String> {
        if self.draining {
            return Err("the proxy is draining".into());
        }
        if listeners.len() != fds.len() {
            return Err(format!("{} listeners with {} sockets", listeners.len(), fds.len()));
        }
        let mut held: Vec<Held> = Vec::with_capacity(fds.len());
        for (listener, fd) in listeners.into_iter().zip(fds) {
            let new = adopt(listener.role, fd)
                .map_err(|error| format!("taking the socket for {:?}: {error}", listener.role))?;
            if held.iter().all(|other| other.key != new.key) {
                held.push(new);
            }
        }
        for worker in &self.workers {
            let mut sockets = Vec::with_capacity(held.len());
            for held in &held {
                let copy = held.socket.try_clone();
                let copy = copy.map_err(|error| format!("duplicating a socket: {error}"))?;
                sockets.push((held.key, copy));
            }
            let (done, acknowledged) = oneshot::channel();
            let sent = worker.send(Command::Listen(sockets, done)).await;
            sent.map_err(|_| WorkerGone.to_string())?;
            acknowledged.await.map_err(|_| WorkerGone.to_string())?;
        }
        self.listeners = held;
        Ok(Reply::Listening { listeners: self.listeners.iter().map(|h| h.listener).collect() })
    }

    async fn table(&mut self, table: IngressTable) -> Result<Reply, String> {
        let generation = table.generation;
        let serving = self.serving.as_ref().map(|serving| &serving.table);
        match table::admit(&table, serving).map_err(|refusal| chain(&refusal))? {
            Admission::Replay => return Ok(Reply::Ack { generation }),
            Admission::New => {}
        }
        let certificates =
            Certificates::read(&table.certificates, &self.certificates.current.load())
                .map_err(|error| chain(&error))?;
        let compiled = Arc::new(table::compile(table).map_err(|refusal| chain(&refusal))?);
        // Certificates first: a name is not routed before it can be shown.
        self.certificates.current.store(Arc::new(certificates));
        self.tell(|done| Command::Table(Arc::clone(&compiled), done))
            .await
            .map_err(|gone| gone.to_string())?;
        self.serving = Some(compiled);
        Ok(Reply::Ack { generation })
    }

    async fn abort(&self, addresses: Vec<IpAddr>) -> Result<Reply, String> {
        let addresses: Arc<[IpAddr]> = addresses.into();
        let cut = self.tell(|done| Command::Abort(Arc::clone(&addresses), done)).await;
        let connections = cut.map_err(|gone| gone.to_string())?.into_iter().sum();
        Ok(Reply::Aborted { connections })
    }

    async fn metrics(&self) -> Result<Reply, String> {
        let all = self.tell(Command::Metrics).await.map_err(|gone| gone.to_string())?;
        let mut snapshot = Snapshot::default();
        for one in all {
            snapshot.add(one);
        }
        Ok(Reply::Metrics { snapshot: Box::new(snapshot) })
    }

    /// Begins the end. The sockets are closed here; they live on in the agent.
    pub(crate) async fn drain(&mut self, patience: Duration) -> Result<Reply, String> {
        if !self.draining {
            self.draining = true;
            for worker in &self.workers {
                // A worker that is gone has nothing to drain.
                let _ = worker.send(Command::Drain(patience)).await;
            }
            self.listeners.clear();
            self.drain.notify_one();
        }
        Ok(Reply::Draining)
    }

    /// Whether the end has begun.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining
    }

    fn borrowed_fds(&self) -> Vec<BorrowedFd<'_>> {
        self.listeners.iter().map(|held| held.socket.as_fd()).collect()
    }
}

/// Checks that a descriptor is a listening TCP socket and makes it ready for the workers.
fn adopt(role: ListenerRole, fd: OwnedFd) -> std::io::Result<Held> {
    if !rustix::net::sockopt::socket_acceptconn(&fd)? {
        return Err(std::io::Error::other("it is not listening"));
    }
    let key = (role, rustix::net::sockopt::socket_cookie(&fd)?);
    let socket = TcpListener::from(fd);
    let address: SocketAddr = socket.local_addr()?;
    socket.set_nonblocking(true)?;
    Ok(Held { listener: Listener { role, address }, key, socket })
}

/// An error with its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Takes control connections until the future is dropped.
pub(crate) async fn serve(listener: UnixListener, control: Rc<Mutex<Control>>) {
    let talks = Rc::new(tokio::sync::Semaphore::new(MAX_TALKS));
    loop {
        let permit = Rc::clone(&talks);
        // The semaphore is never closed; waiting here is the bound.
        while permit.available_permits() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                let control = Rc::clone(&control);
                tokio::task::spawn_local(async move {
                    let Ok(_permit) = permit.try_acquire() else { return };
                    talk(stream, control).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a control connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Talks to one agent until it closes or breaks the protocol.
async fn talk(stream: UnixStream, control: Rc<Mutex<Control>>) {
    let socket = FrameSocket::new(stream);
    let own = rustix::process::geteuid().as_raw();
    match socket.peer_uid() {
        Ok(uid) if uid == own || uid == 0 => {}
        peer => {
            tracing::warn!(?peer, "refusing a control connection of another user");
            return;
        }
    }
    loop {
        let (request, fds) = match socket.receive::<Request>().await {
            Ok(received) => received,
            Err(FrameError::Closed) => return,
            Err(error) => {
                tracing::warn!(error = chain(&error), "reading a control message");
                return;
            }
        };
        let mut control = control.lock().await;
        let wants_fds = matches!(request, Request::Fds);
        let reply = control.follow(request, fds).await;
        if let Reply::Refused { reason } = &reply {
            tracing::warn!(%reason, "refusing a control request");
        }
        let fds = if wants_fds { control.borrowed_fds() } else { Vec::new() };
        if let Err(error) = socket.send(&reply, &fds).await {
            tracing::warn!(error = chain(&error), "answering a control message");
            return;
        }
    }
}
