//! One watch of etcd's, read as whole revisions. It does not heal: whoever reads it begins anew.

use std::time::Duration;

use etcd_client::{Client, WatchOptions, WatchResponse, WatchStream};
use tokio::time::timeout;

use super::convert::{event, signed, unsigned};
use super::failure::Failed;
use super::keyspace::Keyspace;
use crate::{Event, Identity, Revision};

/// The largest message of a watch. Fragments are sent once they pass 1.5 MiB; one event of a
/// largest value and its predecessor is 3 MiB: twice the sum.
const MAX_MESSAGE_BYTES: usize = 9 * 1024 * 1024;

/// A revision with what it changed of ours.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) revision: Revision,
    pub(super) events: Vec<Event>,
    /// The store's identity, when this revision wrote it.
    pub(super) identity: Option<Identity>,
}

/// What came from a watch.
#[derive(Debug)]
pub(super) enum News {
    /// Whole revisions, rising.
    Changes(Vec<Change>),
    /// Nothing for so long.
    Quiet,
    /// What was asked for is gone up to here.
    Compacted(Revision),
    /// It ended.
    Broken(Option<Failed>),
}

/// An open watch.
pub(super) struct Stream {
    stream: WatchStream,
    keys: Keyspace,
    /// The revision of which more events may come in the next fragment.
    open: Option<Change>,
}

impl Stream {
    /// Watches all of ours from a revision.
    pub(super) async fn open(
        client: Client,
        keys: &Keyspace,
        from: Revision,
        patience: Duration,
    ) -> Result<Self, Failed> {
        let (start, end) = keys.everything();
        let options = WatchOptions::new()
            .with_range(end)
            .with_start_revision(signed(from.0))
            .with_prev_key()
            .with_fragment();
        let mut client = client.watch_client().max_decoding_message_size(MAX_MESSAGE_BYTES);
        let opened = timeout(patience, client.watch(start, Some(options))).await;
        let stream = opened.map_err(|_| Failed::Late)??;
        Ok(Self { stream, keys: keys.clone(), open: None })
    }

    /// What comes next, waiting at most `quiet`. Dropping the future loses nothing.
    pub(super) async fn next(&mut self, quiet: Duration) -> News {
        let message = match timeout(quiet, self.stream.message()).await {
            Err(_) => return News::Quiet,
            Ok(Err(error)) => return News::Broken(Some(error.into())),
            Ok(Ok(None)) => return News::Broken(None),
            Ok(Ok(Some(message))) => message,
        };
        if message.canceled() {
            return match unsigned(message.compact_revision()) {
                0 => News::Broken(None),
                at => News::Compacted(Revision(at)),
            };
        }
        News::Changes(self.take(&message))
    }

    fn take(&mut self, message: &WatchResponse) -> Vec<Change> {
        let mut whole = Vec::new();
        for found in message.events() {
            let Some(kv) = found.kv() else { continue };
            let revision = Revision(unsigned(kv.mod_revision()));
            if self.open.as_ref().is_none_or(|open| open.revision != revision) {
                whole.extend(self.open.take());
                self.open = Some(Change { revision, events: Vec::new(), identity: None });
            }
            let open = self.open.as_mut().expect("it was made just above");
            if kv.key() == self.keys.identity() {
                open.identity = std::str::from_utf8(kv.value()).ok().and_then(|it| it.parse().ok());
            }
            open.events.extend(event(&self.keys, found));
        }
        if !message.0.fragment {
            whole.extend(self.open.take());
        }
        whole
    }
}
