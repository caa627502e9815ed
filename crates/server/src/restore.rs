//! What a restored store needs before a server runs on it. Hosts may have seen later generations
//! than the backup has, and refuse older ones: so all generations jump ahead of anything they can
//! have seen.

use api::assignment::Assignment;
use api::id::Generation;
use bytes::Bytes;
use store::document::Document;
use store::{KeyRange, Op, Store, Txn, read_all};

use crate::core::{Kind, Term};

/// How far an assignment's generation jumps: a host's assignment changed a thousand times a second
/// for fifty days stays below.
const GENERATIONS: u64 = 1 << 32;

/// How far the term jumps: tables' generations begin with it, and it grows by one at a server's
/// start.
const TERMS: u64 = 1 << 16;

/// Why a restored store could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum ReadyError {
    /// The store refused.
    #[error("make the restored state ready")]
    Store(#[from] store::StoreError),
    /// A document is not one.
    #[error("make the restored state ready: read {key}")]
    Document {
        /// Its key.
        key: String,
        /// What is wrong with it.
        #[source]
        cause: store::document::DocumentError,
    },
}

/// Lets every generation of a restored store jump ahead.
///
/// # Errors
/// When the store refuses or a document can't be read.
pub async fn make_ready(store: &dyn Store) -> Result<(), ReadyError> {
    Term::jump(store, TERMS).await?;
    let (_, rows) = read_all(store, KeyRange::prefix(Assignment::PREFIX)).await?;
    for row in rows {
        let key = String::from_utf8_lossy(&row.key).into_owned();
        let failed = |cause| ReadyError::Document { key: key.clone(), cause };
        let mut document: Document<Assignment> =
            Document::decode(&Assignment::SCHEMA, &row.value).map_err(failed)?;
        document.body.generation = Generation(document.body.generation.0 + GENERATIONS);
        let bytes: Bytes = document.encode(&Assignment::SCHEMA).map_err(failed)?;
        store.txn(Txn::of([Op::put(row.key, bytes)])).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use api::id::HostId;
    use store::MemoryStore;

    use super::*;

    #[tokio::test]
    async fn a_restored_store_is_ahead_of_everything_hosts_have_seen() {
        let store = MemoryStore::new();
        let before = Term::take(&store, "s").await.unwrap();
        let assignment = Assignment::empty(HostId::new("h").unwrap());
        let document = Document::new(&Assignment::SCHEMA, assignment.clone());
        let bytes = document.encode(&Assignment::SCHEMA).unwrap();
        store.txn(Txn::of([Op::put(assignment.key(), bytes)])).await.unwrap();
        make_ready(&store).await.unwrap();
        let after = Term::take(&store, "s").await.unwrap();
        assert!(after.number > before.number + TERMS);
        let row = store.get(assignment.key().as_bytes(), None).await.unwrap().kv.unwrap();
        let document: Document<Assignment> =
            Document::decode(&Assignment::SCHEMA, &row.value).unwrap();
        assert_eq!(document.body.generation, Generation(GENERATIONS));
    }
}
