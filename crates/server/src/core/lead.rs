//! Leadership: who may write assignments. A server takes the next term; every write of a leader
//! compares the term in its transaction, so one that was replaced writes nothing any more.

use serde::{Deserialize, Serialize};
use store::{Compare, Op, Store, StoreError, Txn};

/// The key that holds the present term.
const KEY: &str = "leader/term";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    term: u64,
    server: String,
}

/// A term of leadership, from 1, growing with each take-over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// The term's number.
    pub number: u64,
    record: bytes::Bytes,
}

impl Term {
    /// Takes the next term. With SQLite the store itself admits one server only, so taking is all
    /// there is; renewal and take-over after silence come with stores that several servers share.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn take(store: &dyn Store, server: &str) -> Result<Self, StoreError> {
        Self::advance(store, server, 1).await
    }

    /// Leaves terms out, so that the next one is above any that was before a restore.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn jump(store: &dyn Store, by: u64) -> Result<(), StoreError> {
        Self::advance(store, "restore", by).await.map(|_| ())
    }

    async fn advance(store: &dyn Store, server: &str, by: u64) -> Result<Self, StoreError> {
        loop {
            let got = store.get(KEY.as_bytes(), None).await?;
            let (before, unchanged) = match &got.kv {
                Some(kv) => {
                    let record = serde_json::from_slice::<Record>(&kv.value);
                    let term = record.map_or(0, |record| record.term);
                    (term, Compare::unchanged_since(KEY, kv.mod_revision))
                }
                None => (0, Compare::absent(KEY)),
            };
            let record = Record { term: before + by, server: server.to_owned() };
            let bytes = serde_json::to_vec(&record).expect("a number and a text are JSON");
            let record = bytes::Bytes::from(bytes);
            let txn = Txn::default().when(unchanged).then(Op::put(KEY, record.clone()));
            if store.txn(txn).await?.succeeded {
                return Ok(Self { number: before + by, record });
            }
        }
    }

    /// Holds as long as nobody took a later term.
    #[must_use]
    pub fn fence(&self) -> Compare {
        Compare::value(KEY, self.record.clone())
    }
}
