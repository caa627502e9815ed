//! Our streams to the other servers: one for each that the store names, begun anew when it ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::frame;
use api::id::ServerId;
use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Request;
use http_body_util::BodyExt;
use hyper::client::conn::http2::SendRequest;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connect::{PeerDialer, PeerError};
use super::relay::Relay;
use crate::core::{Core, PEER_VERSION, Word};

/// How long after a stream ended the next is begun: soon, since little is known until then.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// How long the head of the other's answer may take.
const HEAD_WITHIN: Duration = Duration::from_secs(2);

/// Holds streams to all other servers until told to stop.
pub async fn run(core: Arc<Core>, dialer: PeerDialer, stop: CancellationToken) {
    let mut changes = core.cache.changes();
    let tasks = TaskTracker::new();
    let mut speaking: BTreeMap<ServerId, (String, CancellationToken)> = BTreeMap::new();
    loop {
        let view = core.view();
        let others = view.servers.values().filter(|row| row.name != core.servers.me);
        let wanted: BTreeMap<ServerId, String> =
            others.map(|row| (row.name.clone(), row.address.clone())).collect();
        speaking.retain(|server, (address, ending)| {
            let stays = wanted.get(server) == Some(address);
            if !stays {
                ending.cancel();
            }
            if !wanted.contains_key(server) {
                core.agents.gathered.forget_peer(server);
            }
            stays
        });
        for (server, address) in wanted {
            if speaking.contains_key(&server) {
                continue;
            }
            let ending = stop.child_token();
            let speak = speak(
                core.clone(),
                dialer.clone(),
                server.clone(),
                address.clone(),
                ending.clone(),
            );
            tasks.spawn(speak);
            speaking.insert(server, (address, ending));
        }
        // Cancel-safe: a change that is missed is seen by the next look.
        tokio::select! {
            () = stop.cancelled() => break,
            _ = changes.changed() => {}
        }
    }
    tasks.close();
    tasks.wait().await;
}

/// Speaks with one server until told to stop.
async fn speak(
    core: Arc<Core>,
    dialer: PeerDialer,
    server: ServerId,
    address: String,
    ending: CancellationToken,
) {
    let mut told = false;
    loop {
        let ended = tokio::select! {
            () = ending.cancelled() => break,
            Err(error) = hold(&core, &dialer, &server, &address) => error,
        };
        core.servers.set_relay(&server, None);
        core.agents.gathered.close(&server);
        // A server that is gone for long is not news each time.
        let error = chain(&ended);
        if matches!(ended, PeerError::Ended(_)) || !told {
            tracing::info!(%server, error, "no stream to another server");
            told = true;
        }
        tokio::select! {
            () = ending.cancelled() => break,
            () = tokio::time::sleep(AGAIN_AFTER) => {}
        }
    }
    core.servers.set_relay(&server, None);
    core.agents.gathered.close(&server);
}

/// An error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    text
}

/// Holds one stream until it ends.
async fn hold(
    core: &Arc<Core>,
    dialer: &PeerDialer,
    server: &ServerId,
    address: &str,
) -> Result<std::convert::Infallible, PeerError> {
    let mut sender = dialer.dial(server, address).await?;
    let (words, frames) = core.agents.gathered.open(server);
    let hello = Word::Hello { version: PEER_VERSION, server: core.servers.me.clone() };
    let first = std::iter::once(hello).chain(words).chain(core.servers.published.tell_all());
    let first: Result<Vec<Bytes>, _> =
        first.map(|word| frame::encode(&word).map(Bytes::from)).collect();
    let request = Request::post(format!("https://{address}/peer/v1/stream"))
        .header(http::header::CONTENT_TYPE, "application/vnd.freehold.frames")
        .body(body(first?, frames))
        .map_err(|_| PeerError::Address(address.to_owned()))?;
    let failed = |error| PeerError::Http(address.to_owned(), error);
    let answer = tokio::time::timeout(HEAD_WITHIN, sender.send_request(request)).await;
    let answer = answer.map_err(|_| PeerError::Timeout(address.to_owned()))?.map_err(failed)?;
    if !answer.status().is_success() {
        return Err(PeerError::Refused(address.to_owned(), answer.status()));
    }
    tracing::info!(%server, "stream to another server");
    relay(core, server, address, sender);
    // Nothing comes back: the other's body ends when it has stopped to listen.
    let mut answer = answer.into_body();
    while let Some(piece) = answer.frame().await {
        piece.map_err(failed)?;
    }
    Err(PeerError::Ended(address.to_owned()))
}

fn relay(core: &Core, server: &ServerId, address: &str, sender: SendRequest<Body>) {
    let relay = Relay::new(server.clone(), address.to_owned(), sender);
    core.servers.set_relay(server, Some(Arc::new(relay)));
}

fn body(first: Vec<Bytes>, mut frames: mpsc::Receiver<Bytes>) -> Body {
    let rest = stream::poll_fn(move |context| frames.poll_recv(context));
    Body::from_stream(stream::iter(first).chain(rest).map(Ok::<_, std::convert::Infallible>))
}
