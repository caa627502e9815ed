//! The past for watches: read through a watch of its own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::compacted::Compacted;
use super::endpoints::Endpoints;
use super::failure::{Failed, unavailable};
use super::keyspace::Keyspace;
use super::stream::{News, Stream};
use crate::hub::{History, Replay, ReplayPage};
use crate::{KeyRange, Relist, Revision, StoreError};

/// How long etcd may be silent in the middle of the past before we look what is the matter.
const QUIET: Duration = Duration::from_millis(500);

/// etcd's history. The revision up to which it is read is always one that changed something of
/// ours, so its event ends the reading.
#[derive(Debug)]
pub(super) struct EtcdHistory {
    pub(super) endpoints: Arc<Endpoints>,
    pub(super) keys: Keyspace,
    pub(super) compacted: Arc<Compacted>,
}

impl EtcdHistory {
    /// Refuses a past that is gone. etcd replays from the compacted revision itself, but without
    /// the removals of keys made there; so that revision counts as gone too.
    async fn check(&self, next: Revision) -> Result<(), StoreError> {
        let gone = self.compacted.find(&self.endpoints, &self.keys).await;
        match gone {
            Ok(gone) if gone > next => Err(gone_up_to(gone)),
            Ok(gone) if gone == next => Err(gone_up_to(gone.next())),
            _ => Ok(()),
        }
    }
}

fn gone_up_to(at: Revision) -> StoreError {
    StoreError::Compacted { at, relist: Relist::History }
}

#[async_trait]
impl History for EtcdHistory {
    async fn replay(
        &self,
        range: &KeyRange,
        from: Revision,
        to: Revision,
    ) -> Result<Replay, StoreError> {
        let options = self.endpoints.options();
        let give_up = Instant::now() + options.timeout * 2;
        let (mut page, mut next) = (ReplayPage::default(), from);
        let mut last: Option<Failed> = None;
        self.check(next).await?;
        while Instant::now() < give_up {
            let (number, client) = self.endpoints.pick();
            let opened = Stream::open(client, &self.keys, next, options.patience).await;
            let mut stream = match opened {
                Ok(stream) => stream,
                Err(failed) => {
                    last = Some(failed);
                    self.endpoints.leave(number);
                    tokio::time::sleep(QUIET / 10).await;
                    continue;
                }
            };
            while Instant::now() < give_up {
                let changes = match stream.next(QUIET).await {
                    News::Changes(changes) => changes,
                    News::Compacted(at) => return Err(gone_up_to(at)),
                    News::Quiet => {
                        self.check(next).await?;
                        continue;
                    }
                    News::Broken(failed) => {
                        last = failed;
                        self.endpoints.leave(number);
                        break;
                    }
                };
                for change in changes {
                    if change.revision > to {
                        return page.finish(None, to);
                    }
                    let mine = change.events.into_iter();
                    for event in mine.filter(|event| range.contains(&event.kv.key)) {
                        if !page.push(event) {
                            return page.finish(Some(change.revision), to);
                        }
                    }
                    if change.revision == to {
                        return page.finish(None, to);
                    }
                    next = change.revision.next();
                }
            }
        }
        let what = "read the past for a watch";
        Err(last.map_or_else(|| unavailable(what, None), |failed| failed.of_read(what)))
    }
}
