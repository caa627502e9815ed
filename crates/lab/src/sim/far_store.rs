//! A server's way to the store: requests that travel, answers that may never come.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{Stream, StreamExt};
use parking_lot::Mutex;
use store::{
    Got, Identity, KeyRange, LeaseGrant, LeaseId, Page, Revision, Status, Store, StoreError, Txn,
    TxnAnswer, WatchBatch, WatchRequest, WatchStream,
};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::place::{Out, Place};

/// How long answers are waited for; those of production's way to etcd.
const READ_WITHIN: Duration = Duration::from_secs(3);
const WRITE_WITHIN: Duration = Duration::from_millis(1500);

/// What a server asks.
#[derive(Debug)]
pub(super) enum Ask {
    Get(Vec<u8>, Option<Revision>),
    Range(KeyRange, usize, Option<Revision>),
    Txn(Txn),
    Watch(WatchRequest, Arc<Sink>),
    Compact(Revision),
    Status,
}

/// What the store answers.
#[derive(Debug)]
pub(super) enum Reply {
    Got(Got),
    Page(Page),
    Txn(TxnAnswer),
    Status(Status),
    Done,
}

/// A request on its way.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) ask: Ask,
    pub(super) answer: oneshot::Sender<Result<Reply, StoreError>>,
}

/// Batches that wait, and who is to be woken for the next.
type Waiting = (VecDeque<Result<WatchBatch, StoreError>>, Option<Waker>);

/// Where a watch's batches wait for their reader.
#[derive(Debug, Default)]
pub(super) struct Sink {
    state: Mutex<Waiting>,
}

impl Sink {
    /// A batch, or the watch's end, has come.
    pub(super) fn deliver(&self, batch: Result<WatchBatch, StoreError>) {
        let mut state = self.state.lock();
        state.0.push_back(batch);
        if let Some(waker) = state.1.take() {
            waker.wake();
        }
    }
}

struct Batches(Arc<Sink>);

impl Stream for Batches {
    type Item = Result<WatchBatch, StoreError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.0.state.lock();
        match state.0.pop_front() {
            Some(batch) => Poll::Ready(Some(batch)),
            None => {
                state.1 = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// The store as a server sees it.
#[derive(Debug)]
pub(super) struct FarStore {
    place: Place,
}

impl FarStore {
    pub(super) fn new(place: Place) -> Self {
        Self { place }
    }

    async fn call(&self, ask: Ask, within: Duration) -> Result<Reply, StoreError> {
        let writes = matches!(ask, Ask::Txn(_));
        let (answer, answered) = oneshot::channel();
        self.place.put(Out::Call(Box::new(Call { ask, answer })));
        match timeout(within, answered).await {
            Ok(Ok(reply)) => reply,
            _ if writes => {
                Err(StoreError::Uncertain { what: "no answer in time".into(), cause: None })
            }
            _ => Err(StoreError::Unavailable { what: "no answer in time".into(), cause: None }),
        }
    }
}

fn strange<T>(reply: &Reply) -> Result<T, StoreError> {
    Err(StoreError::Unavailable { what: format!("it answered {reply:?}"), cause: None })
}

fn without_leases<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable { what: "nothing here needs leases".into(), cause: None })
}

#[async_trait]
impl Store for FarStore {
    async fn get(&self, key: &[u8], at: Option<Revision>) -> Result<Got, StoreError> {
        match self.call(Ask::Get(key.to_vec(), at), READ_WITHIN).await? {
            Reply::Got(got) => Ok(got),
            other => strange(&other),
        }
    }

    async fn range(
        &self,
        range: &KeyRange,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, StoreError> {
        match self.call(Ask::Range(range.clone(), limit, at), READ_WITHIN).await? {
            Reply::Page(page) => Ok(page),
            other => strange(&other),
        }
    }

    async fn txn(&self, txn: Txn) -> Result<TxnAnswer, StoreError> {
        match self.call(Ask::Txn(txn), WRITE_WITHIN).await? {
            Reply::Txn(answer) => Ok(answer),
            other => strange(&other),
        }
    }

    async fn watch(&self, request: WatchRequest) -> Result<WatchStream, StoreError> {
        let sink = Arc::new(Sink::default());
        self.call(Ask::Watch(request, sink.clone()), READ_WITHIN).await?;
        Ok(Batches(sink).boxed())
    }

    async fn lease_grant(&self, _: Duration) -> Result<LeaseGrant, StoreError> {
        without_leases()
    }

    async fn lease_keep_alive(&self, _: LeaseId) -> Result<Duration, StoreError> {
        without_leases()
    }

    async fn lease_left(&self, _: LeaseId) -> Result<Duration, StoreError> {
        without_leases()
    }

    async fn lease_revoke(&self, _: LeaseId) -> Result<Revision, StoreError> {
        without_leases()
    }

    async fn compact(&self, revision: Revision) -> Result<(), StoreError> {
        self.call(Ask::Compact(revision), WRITE_WITHIN).await.map(|_| ())
    }

    async fn status(&self) -> Result<Status, StoreError> {
        match self.call(Ask::Status, READ_WITHIN).await? {
            Reply::Status(status) => Ok(status),
            other => strange(&other),
        }
    }

    async fn renew_identity(&self) -> Result<Identity, StoreError> {
        without_leases()
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
