//! Leadership: who may write assignments. Two records: the term, written once by who takes it, and
//! the beat, written by the leader as long as it lives. A server that has not seen either change
//! for long enough of its own clock takes the next term; every write of a leader compares the
//! term's record in its transaction, so one that was replaced writes nothing any more.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use store::{Compare, KeyRange, KeyValue, Op, Revision, Store, StoreError, Txn};
use tokio::time::Instant;

/// What both records' keys begin with.
pub(super) const PREFIX: &str = "leader/";

/// The key that holds the present term.
const TERM: &str = "leader/term";

/// The key that shows that its leader lives.
const BEAT: &str = "leader/beat";

/// The term's record. It stays as it is for the whole term: the fence compares its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    term: u64,
    server: String,
}

/// The beat's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Beat {
    term: u64,
    server: String,
    /// Counts the renewals.
    beat: u64,
    /// Its leader has laid the leadership down: nobody needs to wait.
    #[serde(default)]
    ended: bool,
}

/// How leadership is kept and lost. The defaults hold at every size of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Election {
    /// How often the leader renews.
    pub renew: Duration,
    /// How long after its last renewal a leader stops to lead by itself; shorter than `silence`.
    pub step_down: Duration,
    /// How long nothing may change before another server takes over.
    pub silence: Duration,
    /// How often the others look.
    pub look: Duration,
}

impl Default for Election {
    /// Four renewals fit into the silence, so that one may be lost and one be late.
    fn default() -> Self {
        Self {
            renew: Duration::from_millis(300),
            step_down: Duration::from_millis(900),
            silence: Duration::from_millis(1200),
            look: Duration::from_millis(100),
        }
    }
}

/// A term of leadership, from 1, growing with each take-over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// The term's number.
    pub number: u64,
    /// The revision that began it.
    pub since: Revision,
    server: String,
    record: bytes::Bytes,
}

impl Term {
    /// Takes the next term whoever leads: for a store that admits one server only, where nobody
    /// else can.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn take(store: &dyn Store, server: &str) -> Result<Self, StoreError> {
        loop {
            if let Some(term) = look(store).await?.take(store, server, 1).await? {
                return Ok(term);
            }
        }
    }

    /// Leaves terms out, so that the next one is above any that was before a restore. Nobody leads
    /// after it.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn jump(store: &dyn Store, by: u64) -> Result<(), StoreError> {
        loop {
            if look(store).await?.take(store, "restore", by).await?.is_some() {
                return store.txn(Txn::of([Op::delete(BEAT)])).await.map(|_| ());
            }
        }
    }

    /// Holds as long as nobody took a later term.
    #[must_use]
    pub fn fence(&self) -> Compare {
        Compare::value(TERM, self.record.clone())
    }

    /// Whether this term is the newest: nobody had taken a later one when this was asked.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn holds(&self, store: &dyn Store) -> Result<bool, StoreError> {
        // The read is not for its answer: without one a transaction of etcd may be answered from a
        // member that is behind.
        let txn = Txn::default().when(self.fence()).then(Op::get(TERM)).otherwise(Op::get(TERM));
        Ok(store.txn(txn).await?.succeeded)
    }

    /// Shows that the leader lives; false when somebody took a later term.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn renew(&self, store: &dyn Store, beat: u64) -> Result<bool, StoreError> {
        self.write_beat(store, beat, false).await
    }

    /// Lays the leadership down, so that another server takes it at once.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn end(&self, store: &dyn Store) -> Result<(), StoreError> {
        self.write_beat(store, 0, true).await.map(|_| ())
    }

    async fn write_beat(
        &self,
        store: &dyn Store,
        beat: u64,
        ended: bool,
    ) -> Result<bool, StoreError> {
        let beat = Beat { term: self.number, server: self.server.clone(), beat, ended };
        let txn = Txn::default().when(self.fence()).then(Op::put(BEAT, json(&beat)));
        Ok(store.txn(txn).await?.succeeded)
    }
}

/// The two records as they were seen, each with its revision.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    term: Option<(u64, Revision)>,
    beat: Option<(Beat, Revision)>,
}

impl Seen {
    /// Takes the term `by` above the one seen, if nothing changed since.
    async fn take(
        &self,
        store: &dyn Store,
        server: &str,
        by: u64,
    ) -> Result<Option<Term>, StoreError> {
        let unchanged = |key: &'static str, revision: Option<Revision>| match revision {
            Some(revision) => Compare::unchanged_since(key, revision),
            None => Compare::absent(key),
        };
        let number = self.term.map_or(0, |(term, _)| term) + by;
        let record = bytes::Bytes::from(json(&Record { term: number, server: server.to_owned() }));
        let beat = Beat { term: number, server: server.to_owned(), beat: 0, ended: false };
        let txn = Txn::default()
            .when(unchanged(TERM, self.term.map(|(_, revision)| revision)))
            .when(unchanged(BEAT, self.beat.as_ref().map(|(_, revision)| *revision)))
            .then(Op::put(TERM, record.clone()))
            .then(Op::put(BEAT, json(&beat)));
        let answer = store.txn(txn).await?;
        let server = server.to_owned();
        let since = answer.revision;
        Ok(answer.succeeded.then_some(Term { number, since, server, record }))
    }

    /// Whether nobody else leads, so that there is nothing to wait for: no beat was ever written,
    /// its leader laid it down, or it is that of the server who asks, from before it started anew.
    fn is_free(&self, server: &str) -> bool {
        self.beat.as_ref().is_none_or(|(beat, _)| beat.ended || beat.server == server)
    }
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("numbers and texts are JSON")
}

async fn look(store: &dyn Store) -> Result<Seen, StoreError> {
    let page = store.range(&KeyRange::prefix(PREFIX), 0, None).await?;
    let find = |key: &str| page.kvs.iter().find(|kv| kv.key == key.as_bytes());
    let read_term = |kv: &KeyValue| {
        let record = serde_json::from_slice::<Record>(&kv.value);
        (record.map_or(0, |record| record.term), kv.mod_revision)
    };
    let read_beat = |kv: &KeyValue| {
        let lost = |_| Beat { term: 0, server: String::new(), beat: 0, ended: false };
        (serde_json::from_slice(&kv.value).unwrap_or_else(lost), kv.mod_revision)
    };
    Ok(Seen { term: find(TERM).map(read_term), beat: find(BEAT).map(read_beat) })
}

/// A server that would lead, and for how long it has seen nothing change.
#[derive(Debug)]
pub struct Candidate {
    server: String,
    election: Election,
    seen: Option<(Seen, Instant)>,
}

impl Candidate {
    /// One that has seen nothing yet.
    #[must_use]
    pub fn new(server: impl Into<String>, election: Election) -> Self {
        Self { server: server.into(), election, seen: None }
    }

    /// Looks once; takes the next term when it is free or its leader has been silent for long
    /// enough.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn try_once(&mut self, store: &dyn Store) -> Result<Option<Term>, StoreError> {
        let seen = look(store).await?;
        let now = Instant::now();
        let since = match &self.seen {
            Some((before, since)) if *before == seen => *since,
            _ => now,
        };
        self.seen = Some((seen.clone(), since));
        if seen.is_free(&self.server) || now.duration_since(since) >= self.election.silence {
            return seen.take(store, &self.server, 1).await;
        }
        Ok(None)
    }

    /// Tries once, with a pause after it when this server does not lead.
    pub async fn attempt(&mut self, store: &dyn Store) -> Option<Term> {
        match tokio::time::timeout(self.election.silence, self.try_once(store)).await {
            Ok(Ok(Some(term))) => return Some(term),
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "look who leads"),
            Err(_) => tracing::debug!("look who leads: the store does not answer"),
        }
        tokio::time::sleep(self.election.look).await;
        None
    }

    /// The server that leads as far as this one has seen.
    #[must_use]
    pub fn leader(&self) -> Option<&str> {
        let (seen, _) = self.seen.as_ref()?;
        seen.beat.as_ref().filter(|(beat, _)| !beat.ended).map(|(beat, _)| beat.server.as_str())
    }
}
