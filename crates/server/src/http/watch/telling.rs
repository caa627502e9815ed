//! One watch: where it begins, what it says next, how it ends.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::time::Duration;

use api::error::{ApiError, ErrorCode};
use bytes::Bytes;
use futures_util::StreamExt;
use http::header::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;
use store::{Revision, StoreError, WatchRequest, WatchStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::feed::Feed;
use super::instances::Instances;
use super::kinds::WatchKind;
use crate::core::{Core, store_error};
use crate::http::endpoint::Call;
use crate::http::gives::ServerSent;
use crate::http::takes::Query;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// How often a sign of life is sent when there is nothing to tell.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// What is watched.
#[derive(Deserialize, JsonSchema)]
pub(in crate::http) struct WatchQuery {
    /// Kinds, joined by commas: app, certificate, deployment, environment, event, host, instance,
    /// release, team.
    kinds: String,
    /// Tell what changed after this revision; the header Last-Event-ID goes before. None tells what
    /// changes from now on.
    after: Option<u64>,
}

/// An object that changed: the data of `put` and `delete`. That of `ready` and `compacted` has the
/// revision alone.
#[derive(Debug, Clone, PartialEq, serde::Serialize, JsonSchema)]
pub(in crate::http) struct Changed {
    /// Its kind.
    pub(super) kind: &'static str,
    /// Its name inside the kind, e.g. `production/shop`.
    pub(super) name: String,
    /// The revision that changed it.
    pub(super) revision: u64,
    /// What it is now, as shown elsewhere; none when it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) object: Option<serde_json::Value>,
}

pub(in crate::http) async fn stream(
    call: Call<(), Query<WatchQuery>>,
) -> Result<ServerSent<Changed>, ApiError> {
    let kinds: Result<BTreeSet<WatchKind>, ApiError> =
        call.query.0.kinds.split(',').map(|kind| kind.trim().parse()).collect();
    let kinds = kinds?;
    let after = match call.headers.get(LAST_EVENT_ID) {
        None => call.query.0.after,
        Some(id) => {
            let number = id.to_str().ok().and_then(|text| text.trim().parse().ok());
            let malformed = || ApiError::new(ErrorCode::Invalid, "Last-Event-ID is no revision");
            Some(number.ok_or_else(malformed)?)
        }
    };
    let pieces = match begin(&call.core, kinds, after.map(Revision), call.stop).await? {
        Some(telling) => futures_util::stream::unfold(telling, Telling::next).boxed(),
        None => futures_util::stream::iter([compacted(call.core.view().revision)]).boxed(),
    };
    Ok(ServerSent(pieces, PhantomData))
}

/// Begins after a revision; none when what followed it is not known any more.
async fn begin(
    core: &Core,
    kinds: BTreeSet<WatchKind>,
    after: Option<Revision>,
    stop: CancellationToken,
) -> Result<Option<Telling>, ApiError> {
    let start = match after {
        None => core.view().revision,
        // A revision of the future is of a store that is no more.
        Some(after) if !core.wait_for(after).await => return Ok(None),
        Some(after) => after,
    };
    let store = core.store.as_ref();
    let instances = if kinds.contains(&WatchKind::Instance) {
        match Instances::at(store, start).await {
            Ok(instances) => Some(instances),
            Err(error) if error.must_relist() => return Ok(None),
            Err(error) => return Err(store_error(&error)),
        }
    } else {
        None
    };
    let request = WatchRequest::prefix("", start.next());
    let batches = store.watch(request).await.map_err(|error| store_error(&error))?;
    let feed = Feed::new(kinds, instances, start);
    let first = Some(ready(start));
    Ok(Some(Telling { batches, feed, first, over: false, deadline: Instant::now(), stop }))
}

/// A watch that is being told.
struct Telling {
    batches: WatchStream,
    feed: Feed,
    first: Option<Bytes>,
    over: bool,
    /// When a sign of life is due.
    deadline: Instant,
    stop: CancellationToken,
}

impl Telling {
    /// The next piece of the answer's body. It is asked for only when there is room for it.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        let piece = self.piece().await?;
        self.deadline = Instant::now() + KEEP_ALIVE;
        Some((piece, self))
    }

    async fn piece(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        while !self.over {
            let batch = tokio::time::timeout_at(self.deadline, self.batches.next());
            // Cancel-safe: both ends of the watch are, and nothing is kept between them.
            let batch = tokio::select! {
                () = self.stop.cancelled() => return None,
                batch = batch => batch,
            };
            match batch {
                Err(_) => return Some(alive(self.feed.at())),
                Ok(None) => return None,
                Ok(Some(Ok(batch))) => {
                    let told = self.feed.tell(&batch);
                    if !told.is_empty() {
                        return Some(told);
                    }
                }
                Ok(Some(Err(error))) => return self.ended(&error),
            }
        }
        None
    }

    /// What the end of the store's watch means: list again, or watch again.
    fn ended(&mut self, error: &StoreError) -> Option<Bytes> {
        self.over = true;
        if error.must_relist() {
            return Some(compacted(self.feed.at()));
        }
        tracing::warn!(%error, "the store's watch ended");
        None
    }
}

fn ready(revision: Revision) -> Bytes {
    Bytes::from(format!("event: ready\ndata: {{\"revision\":{revision}}}\nid: {revision}\n\n"))
}

fn compacted(revision: Revision) -> Bytes {
    Bytes::from(format!("event: compacted\ndata: {{\"revision\":{revision}}}\n\n"))
}

/// A sign of life that also moves the revision to resume after: without data it is no event.
fn alive(revision: Revision) -> Bytes {
    Bytes::from(format!(": alive\nid: {revision}\n\n"))
}
