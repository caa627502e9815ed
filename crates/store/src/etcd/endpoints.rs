//! The members of an etcd as one: each operation goes to the member that answered last, with a
//! time-out of its own, and to the next one when that is safe.
//!
//! One client for each member, so that which of them is asked is ours to say: etcd's client
//! balances over members and keeps a frozen one among them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{Client, Error};
use parking_lot::RwLock;
use tokio::time::{Instant, sleep, timeout_at};

use super::failure::Failed;
use super::options::EtcdOptions;

/// A pause when every member has refused, before asking them again.
const AGAIN: Duration = Duration::from_millis(50);

/// Whether asking twice is the same as asking once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
}

#[derive(Clone)]
struct Members {
    options: EtcdOptions,
    clients: Vec<Client>,
}

/// Clients for all members.
pub(super) struct Endpoints {
    members: RwLock<Arc<Members>>,
    current: AtomicUsize,
}

impl std::fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Endpoints").field(&self.members().options.endpoints).finish()
    }
}

impl Endpoints {
    /// Connects nowhere yet.
    pub(super) async fn new(options: EtcdOptions) -> Result<Self, Failed> {
        let members = Arc::new(Members::new(options).await?);
        Ok(Self { members: RwLock::new(members), current: AtomicUsize::new(0) })
    }

    /// Takes other members or certificates from now on.
    pub(super) async fn replace(&self, options: EtcdOptions) -> Result<(), Failed> {
        let members = Arc::new(Members::new(options).await?);
        *self.members.write() = members;
        Ok(())
    }

    fn members(&self) -> Arc<Members> {
        Arc::clone(&self.members.read())
    }

    pub(super) fn options(&self) -> EtcdOptions {
        self.members().options.clone()
    }

    /// The member to ask now, and its number for [`Endpoints::leave`].
    pub(super) fn pick(&self) -> (usize, Client) {
        let members = self.members();
        let number = self.current.load(Ordering::Relaxed);
        (number, members.clients[number % members.clients.len()].clone())
    }

    /// Goes to the next member, unless somebody else did already.
    pub(super) fn leave(&self, number: usize) {
        let next = number.wrapping_add(1);
        let (order, failed) = (Ordering::Relaxed, Ordering::Relaxed);
        let _ = self.current.compare_exchange(number, next, order, failed);
    }

    /// Asks one member after the other until one answers, the time is over, or (for a write) it
    /// may have been done.
    pub(super) async fn call<T, F>(
        &self,
        kind: Kind,
        ask: impl Fn(Client) -> F + Send,
    ) -> Result<T, Failed>
    where
        F: Future<Output = Result<T, Error>> + Send,
    {
        let members = self.members();
        let count = members.clients.len();
        let limit = match kind {
            Kind::Read => members.options.timeout,
            Kind::Write => members.options.write_timeout,
        };
        let mut patience = members.options.patience;
        drop(members);
        let deadline = Instant::now() + limit;
        let mut tried = 0;
        loop {
            let (number, client) = self.pick();
            let answer = match kind {
                Kind::Read if count > 1 => {
                    let until = deadline.min(Instant::now() + patience);
                    match timeout_at(until, ask(client)).await {
                        Ok(answer) => answer.map_err(Failed::from),
                        Err(_) => Err(Failed::Late),
                    }
                }
                _ => self.wait(number, patience, deadline, ask(client)).await,
            };
            let failed = match answer {
                Ok(value) => return Ok(value),
                Err(failed) => failed,
            };
            if failed.blames_member() {
                self.leave(number);
            }
            let again = match kind {
                Kind::Read => failed.blames_member(),
                Kind::Write => matches!(failed, Failed::NotDone(_)),
            };
            if !again || Instant::now() + AGAIN >= deadline {
                return Err(failed);
            }
            tried += 1;
            if tried % count == 0 {
                patience *= 2;
                sleep(AGAIN).await;
            }
        }
    }

    /// Waits for an answer up to the deadline; others are asked for what comes next once it takes
    /// long.
    async fn wait<T>(
        &self,
        number: usize,
        patience: Duration,
        deadline: Instant,
        asked: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Failed> {
        tokio::pin!(asked);
        let early = deadline.min(Instant::now() + patience);
        if let Ok(answer) = timeout_at(early, &mut asked).await {
            return answer.map_err(Failed::from);
        }
        self.leave(number);
        match timeout_at(deadline, asked).await {
            Ok(answer) => answer.map_err(Failed::from),
            Err(_) => Err(Failed::Late),
        }
    }
}

impl Members {
    async fn new(options: EtcdOptions) -> Result<Self, Failed> {
        if options.endpoints.is_empty() {
            let error = Error::InvalidArgs("no endpoints are given".to_owned());
            return Err(Failed::Refused(error));
        }
        let mut clients = Vec::with_capacity(options.endpoints.len());
        for endpoint in &options.endpoints {
            clients.push(Client::connect([endpoint], Some(options.connect_options())).await?);
        }
        Ok(Self { options, clients })
    }
}
