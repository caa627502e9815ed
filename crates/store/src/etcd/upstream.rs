//! The one watch that feeds all watches of the process. It goes on where it was when the member it
//! listens to dies, freezes or falls behind; who watches notices nothing of that.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::compacted::Compacted;
use super::convert::revision;
use super::endpoints::{Endpoints, Kind};
use super::failure::Failed;
use super::keyspace::Keyspace;
use super::stream::{News, Stream};
use crate::hub::Hub;
use crate::{Identity, Relist, Revision, StoreError};

/// Silence after which is asked whether there was something to say. Under load a leader's record
/// is written every 300 ms, so a member that has fallen silent is left after 1 s.
const QUIET: Duration = Duration::from_secs(1);

/// How long a new watch waits for the events before it.
const CATCH_UP: Duration = Duration::from_millis(250);

/// Pauses between tries to listen again.
const AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// What the task that listens knows.
#[derive(Debug)]
pub(super) struct Upstream {
    endpoints: Arc<Endpoints>,
    keys: Keyspace,
    hub: Arc<Hub>,
    compacted: Arc<Compacted>,
    /// Up to here everything has been handed to the hub.
    reached: watch::Sender<Revision>,
    identity: parking_lot::Mutex<Identity>,
}

impl Upstream {
    pub(super) fn new(
        endpoints: Arc<Endpoints>,
        keys: Keyspace,
        hub: Arc<Hub>,
        compacted: Arc<Compacted>,
        start: (Revision, Identity),
    ) -> Self {
        let reached = watch::Sender::new(start.0);
        let identity = parking_lot::Mutex::new(start.1);
        Self { endpoints, keys, hub, compacted, reached, identity }
    }

    /// The identity watches now belong to.
    pub(super) fn identity(&self) -> Identity {
        *self.identity.lock()
    }

    /// Waits, not long, until everything up to a revision has been handed out. In an etcd shared
    /// with others that may be a revision of theirs, which never comes; nothing depends on it.
    pub(super) async fn catch_up(&self, to: Revision) {
        let mut reached = self.reached.subscribe();
        let come = reached.wait_for(|reached| *reached >= to);
        let _ = timeout(CATCH_UP, come).await;
    }

    /// Listens until dropped.
    pub(super) async fn run(self: Arc<Self>) {
        let mut pause = AGAIN.0;
        loop {
            let (number, client) = self.endpoints.pick();
            let patience = self.endpoints.options().patience;
            let from = self.reached.borrow().next();
            match Stream::open(client, &self.keys, from, patience).await {
                Ok(stream) => match self.gone(from).await {
                    Ok(Some(gone)) => self.skip(gone.next()).await,
                    Ok(None) => {
                        if self.follow(stream).await {
                            pause = AGAIN.0;
                        }
                    }
                    Err(failed) => tracing::debug!(?failed, "look for compactions of etcd"),
                },
                Err(failed) => tracing::debug!(?failed, "follow the changes of etcd"),
            }
            self.endpoints.leave(number);
            sleep(pause).await;
            pause = (pause * 2).min(AGAIN.1);
        }
    }

    /// Up to where history is gone, if that is where to go on from. A compaction at just that
    /// revision takes the removals of keys with it, and etcd's watch does not say so.
    async fn gone(&self, from: Revision) -> Result<Option<Revision>, Failed> {
        let gone = self.compacted.find(&self.endpoints, &self.keys).await?;
        Ok((gone >= from).then_some(gone))
    }

    /// Hands on what comes until the stream is of no more use; whether anything came.
    async fn follow(&self, mut stream: Stream) -> bool {
        let mut any = false;
        loop {
            match stream.next(QUIET).await {
                News::Changes(changes) => {
                    for change in changes {
                        any = true;
                        self.hub.publish(change.revision, &change.events);
                        self.become_identity(change.identity);
                        self.reached.send_replace(change.revision);
                    }
                }
                News::Quiet => {
                    if self.misses_something().await {
                        return any;
                    }
                }
                News::Compacted(at) => {
                    self.skip(at.next()).await;
                    return true;
                }
                News::Broken(failed) => {
                    tracing::debug!(?failed, "the watch on etcd ended; watching again");
                    return any;
                }
            }
        }
    }

    /// Whether etcd is further than what came: then the member we listen to does not tell.
    async fn misses_something(&self) -> bool {
        let key = self.keys.opened();
        let read = self.endpoints.call(Kind::Read, |mut client| {
            let key = key.clone();
            async move { client.get(key, None).await }
        });
        let reached = *self.reached.borrow();
        read.await.is_ok_and(|got| revision(got.header()) > reached)
    }

    /// We were away for so long that changes before `to` have been compacted: every watch has to
    /// list again.
    async fn skip(&self, to: Revision) {
        match self.read_identity().await {
            Ok(identity) => {
                self.hub.disconnect(&StoreError::Compacted { at: to, relist: Relist::History });
                let before = Revision(to.0.saturating_sub(1));
                self.hub.publish(before, &[]);
                self.become_identity(identity);
                self.reached.send_replace(before);
            }
            Err(failed) => tracing::debug!(?failed, "read the store's identity"),
        }
    }

    fn become_identity(&self, identity: Option<Identity>) {
        let Some(identity) = identity else { return };
        if std::mem::replace(&mut *self.identity.lock(), identity) != identity {
            self.hub.renew(identity);
        }
    }

    async fn read_identity(&self) -> Result<Option<Identity>, Failed> {
        let key = self.keys.identity();
        let read = self.endpoints.call(Kind::Read, |mut client| {
            let key = key.clone();
            async move { client.get(key, None).await }
        });
        let got = read.await?;
        Ok(got.kvs().first().and_then(|kv| kv.value_str().ok()?.parse().ok()))
    }
}
