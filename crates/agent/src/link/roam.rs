//! Always a stream to some server, and where it can be to one that has its store.
//!
//! A server that is dead, silent or refuses is followed by another. One that says that it lost its
//! store is kept while the others are tried beside it: only a stream to one that has its store
//! takes its place, so with no store anywhere nothing is cut.

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::backoff::Backoff;
use super::connect::{Dialer, LinkError};
use super::race::race;
use super::servers::Servers;
use super::stream::{Stream, Uplink, open};

/// How long a server may take to answer before the next one is tried beside it: with one dead among
/// three, the stream is to another well within a second.
const PATIENCE: Duration = Duration::from_millis(300);

/// How long a server that is tried may take to say that it has its store.
const WORD_WITHIN: Duration = Duration::from_secs(1);

/// The longest wait between two searches for a server with its store. Each search costs every
/// other server a stream and its documents: with the jitter, a thousand hosts ask it some 300 times
/// a second at most.
const SEARCH_EVERY: Duration = Duration::from_secs(5);

/// Holds a stream to one of the servers until dropped. `decides` becomes whether it is to one that
/// can decide something: that has its store.
pub async fn run(
    dialer: Dialer,
    servers: watch::Receiver<Servers>,
    uplink: Uplink,
    decides: watch::Sender<bool>,
) {
    let link = Link { dialer, servers, uplink, decides };
    let mut backoff = Backoff::default();
    let mut left: Option<String> = None;
    loop {
        let order = link.servers.borrow().order(left.as_deref(), rand::random());
        let attempts = order.into_iter().map(|server| link.open(server));
        let (error, lived) = match race(attempts, PATIENCE).await {
            Ok(stream) => {
                let begun = stream.begun;
                let (server, error) = link.hold(stream).await;
                link.decides.send_replace(false);
                left = Some(server);
                (Some(error), begun.elapsed())
            }
            Err(error) => (error, Duration::ZERO),
        };
        let wait = backoff.wait(lived, rand::random());
        let error = error.map(|error| crate::failure::told(&error));
        tracing::info!(error, wait_ms = wait.as_millis(), "no stream to a server");
        sleep(wait).await;
    }
}

struct Link {
    dialer: Dialer,
    servers: watch::Receiver<Servers>,
    uplink: Uplink,
    decides: watch::Sender<bool>,
}

impl Link {
    async fn open(&self, server: String) -> Result<Stream, LinkError> {
        open(&self.dialer, server, self.uplink.clone()).await
    }

    /// Holds a stream, and better ones in its place, until one ends; says to whom it was and why.
    async fn hold(&self, mut stream: Stream) -> (String, LinkError) {
        let mut backoff = Backoff::up_to(SEARCH_EVERY);
        loop {
            let server = stream.server.clone();
            tracing::info!(server, "stream to a server");
            let (begun, store) = (stream.begun, stream.store.clone());
            // Dropping the stream or the search ends them whole.
            stream = tokio::select! {
                error = &mut stream.running => return (server, error),
                better = self.better(&server, begun, store.clone(), &mut backoff) => better,
                never = self.say(store) => match never {},
            };
            tracing::info!(from = server, to = stream.server, "left a server without its store");
        }
    }

    /// Says whether the server can decide, until dropped.
    async fn say(&self, mut store: watch::Receiver<Option<bool>>) -> Infallible {
        loop {
            let decides = *store.borrow_and_update() != Some(false);
            self.decides.send_if_modified(|said| std::mem::replace(said, decides) != decides);
            if store.changed().await.is_err() {
                // The stream has ended, and who holds it sees that.
                return std::future::pending().await;
            }
        }
    }

    /// A stream to a server that has its store; ready only when the present one has lost its own.
    async fn better(
        &self,
        present: &str,
        begun: Instant,
        mut store: watch::Receiver<Option<bool>>,
        backoff: &mut Backoff,
    ) -> Stream {
        loop {
            if store.wait_for(|said| *said == Some(false)).await.is_err() {
                // The present stream has ended, and who holds it sees that.
                return std::future::pending().await;
            }
            let mut again = store.clone();
            // Cancel-safe: a search only opens streams, and drops them.
            tokio::select! {
                better = self.search(present, begun, backoff) => return better,
                _ = again.wait_for(|said| *said == Some(true)) => {}
            }
        }
    }

    /// Tries the others, again and again, until one has its store.
    async fn search(&self, present: &str, begun: Instant, backoff: &mut Backoff) -> Stream {
        let mut lived = begun.elapsed();
        loop {
            // Before the first try too: servers whose stores come and go are not run between.
            sleep(backoff.wait(lived, rand::random())).await;
            lived = Duration::ZERO;
            let others = self.servers.borrow().others(present, rand::random());
            let attempts = others.into_iter().map(|server| self.try_out(server));
            match race(attempts, PATIENCE).await {
                Ok(stream) => return stream,
                Err(error) => {
                    let error = error.map(|error| crate::failure::told(&error));
                    tracing::debug!(present, error, "no server in reach has its store");
                }
            }
        }
    }

    /// A stream to a server, once it has said that it has its store.
    async fn try_out(&self, server: String) -> Result<Stream, LinkError> {
        let mut stream = self.open(server).await?;
        let mut store = stream.store.clone();
        let said = timeout(WORD_WITHIN, store.wait_for(|said| *said == Some(true)));
        // Cancel-safe: the stream goes on where it was.
        let has = tokio::select! {
            error = &mut stream.running => return Err(error),
            said = said => matches!(said, Ok(Ok(_))),
        };
        if has { Ok(stream) } else { Err(LinkError::NoStore { server: stream.server }) }
    }
}
