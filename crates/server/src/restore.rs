//! What a restored store needs before a server runs on it. Hosts may have seen later generations
//! than the backup has, and refuse older ones: so all generations jump ahead of anything they can
//! have seen. Servers of before are not taken over: each joins again. The authorities are those of
//! the keys that were given, whatever the backup says: what it says may be older than an exchange.

use std::collections::BTreeSet;
use std::path::Path;

use api::assignment::Assignment;
use api::authority::Phase;
use api::id::Generation;
use api::server::Server;
use api::time::Timestamp;
use bytes::Bytes;
use pki::CaBundle;
use serde::de::DeserializeOwned;
use store::backup::{RestoreError, restore, select};
use store::document::Document;
use store::{KeyRange, Op, Store, StoreError, Txn, read_all};
use tokio::io::{AsyncBufRead, BufReader};

use crate::core::{Kind, StoredAbout, StoredAuthority, Term};

/// How far an assignment's generation jumps: a host's assignment changed a thousand times a second
/// for fifty days stays below. So does that of the authorities.
const GENERATIONS: u64 = 1 << 32;

/// How far the term jumps: tables' generations begin with it, and it grows by one at a server's
/// start.
const TERMS: u64 = 1 << 16;

/// What is there only as long as the servers of before are: their own documents, whose keys stand
/// for their names, and what they said of themselves.
const SERVERS: [&str; 3] = [Server::PREFIX, "member/server/", "about/server/"];

/// The file in a server's directory from which its store is restored before it serves.
pub const PENDING: &str = "restore.backup";

/// Why a restored store could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum ReadyError {
    /// The store refused.
    #[error("make the restored state ready")]
    Store(#[from] StoreError),
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

/// Why a server's store could not be restored before its first start.
#[derive(Debug, thiserror::Error)]
pub enum PendingError {
    /// The backup is no good, or the store refused it.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// What was restored is not to be used yet.
    #[error(transparent)]
    Ready(#[from] ReadyError),
    /// The copy of the backup could not be read or removed.
    #[error("restore from {path}")]
    File {
        /// Which.
        path: String,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
}

/// What a backup says of the cluster that it was taken of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Its servers.
    pub servers: Vec<Server>,
    /// The fingerprints of the authorities that were trusted, as far as anybody said so.
    pub authorities: BTreeSet<String>,
}

impl Recorded {
    /// Reads a backup to its end.
    ///
    /// # Errors
    /// When it is not whole. A document that cannot be read is passed over.
    pub async fn read(input: impl AsyncBufRead + Unpin) -> Result<Self, RestoreError> {
        let wanted = [Server::PREFIX, StoredAuthority::PREFIX, StoredAbout::PREFIX];
        let mut recorded = Self::default();
        let (mut said, mut cluster) = (BTreeSet::new(), None);
        for (key, value) in select(input, &wanted).await? {
            if key.starts_with(Server::PREFIX.as_bytes()) {
                recorded.servers.extend(read::<Server>(&value));
            } else if key.starts_with(StoredAuthority::PREFIX.as_bytes()) {
                cluster = read::<StoredAuthority>(&value);
            } else if let Some(about) = read::<StoredAbout>(&value) {
                said.extend(about.trusts.authorities);
            }
        }
        let bundle = cluster.map(|it| CaBundle::from_pem(it.authorities_pem.as_bytes()));
        recorded.authorities = match bundle {
            Some(Ok(bundle)) => bundle.fingerprints().iter().map(ToString::to_string).collect(),
            _ => said,
        };
        Ok(recorded)
    }

    /// What is amiss when these authorities are those of the restored cluster: the authority that
    /// signs is none that the backup knows.
    #[must_use]
    pub fn stranger(&self, authorities: &CaBundle) -> Option<String> {
        let signs = authorities.fingerprint().to_string();
        if self.authorities.is_empty() || self.authorities.contains(&signs) {
            return None;
        }
        let known: Vec<&str> = self.authorities.iter().map(String::as_str).collect();
        Some(format!(
            "the authority was exchanged between the backup and the keys: the keys are of {signs}, \
             the backup knows {}; the keys' is used",
            known.join(", ")
        ))
    }
}

fn read<T: Kind + DeserializeOwned>(value: &Bytes) -> Option<T> {
    Document::<T>::decode(&T::SCHEMA, value).ok().map(|document| document.body)
}

/// Restores the store of a server that begins with a backup, if that was not done yet. Cut off, it
/// is done over. Until it is done no server has run on this store.
///
/// # Errors
/// [`PendingError`]
pub async fn restore_pending(
    store: &dyn Store,
    directory: &Path,
    authorities: &CaBundle,
    now: Timestamp,
) -> Result<(), PendingError> {
    let path = directory.join(PENDING);
    let failed = |cause| PendingError::File { path: path.display().to_string(), cause };
    let file = match tokio::fs::File::open(&path).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(failed)?,
    };
    match restore(BufReader::new(file), store).await {
        Ok(summary) => tracing::info!(documents = summary.keys, "restored the cluster's state"),
        // Cut off behind the last document: nobody else can have written yet.
        Err(RestoreError::NotEmpty) => {}
        Err(error) => return Err(error.into()),
    }
    make_ready(store, Some(authorities), now).await?;
    tokio::fs::remove_file(&path).await.map_err(failed)
}

/// Lets every generation of a restored store jump ahead, forgets the servers of before, and has the
/// cluster trust `authorities`; where they are not known, whatever begins next trusts its own.
///
/// # Errors
/// When the store refuses or a document can't be read.
pub async fn make_ready(
    store: &dyn Store,
    authorities: Option<&CaBundle>,
    now: Timestamp,
) -> Result<(), ReadyError> {
    Term::jump(store, TERMS).await?;
    let (_, rows) = read_all(store, KeyRange::prefix(Assignment::PREFIX)).await?;
    for row in rows {
        let mut document = decoded::<Assignment>(&row.key, &row.value)?;
        document.body.generation = Generation(document.body.generation.0 + GENERATIONS);
        put(store, &document).await?;
    }
    for prefix in SERVERS {
        let (_, rows) = read_all(store, KeyRange::prefix(prefix)).await?;
        for row in rows {
            store.txn(Txn::of([Op::delete(row.key)])).await?;
        }
    }
    settle(store, authorities, now).await
}

/// No exchange is under way in what was restored: its next key may be known to nobody any more.
async fn settle(
    store: &dyn Store,
    authorities: Option<&CaBundle>,
    now: Timestamp,
) -> Result<(), ReadyError> {
    let key = format!("{}{}", StoredAuthority::PREFIX, StoredAuthority::NAME);
    let found = store.get(key.as_bytes(), None).await?.kv;
    let Some(authorities) = authorities else {
        store.txn(Txn::of([Op::delete(key)])).await?;
        return Ok(());
    };
    let before = found.map(|row| decoded::<StoredAuthority>(&row.key, &row.value)).transpose()?;
    let generation = before.as_ref().map_or(0, |it| it.body.generation);
    let settled = StoredAuthority {
        generation: generation + GENERATIONS,
        phase: Phase::Settled,
        authorities_pem: authorities.to_pem(),
        successor: None,
        began: before.as_ref().map_or(now, |it| it.body.began),
        ended: Some(now),
        held: false,
        left_out: Vec::new(),
        engine_turn: None,
    };
    let document = match before {
        Some(mut document) => {
            document.body = settled;
            document
        }
        None => Document::new(&StoredAuthority::SCHEMA, settled),
    };
    put(store, &document).await
}

fn decoded<T: Kind>(key: &[u8], value: &Bytes) -> Result<Document<T>, ReadyError> {
    let key = String::from_utf8_lossy(key).into_owned();
    Document::decode(&T::SCHEMA, value).map_err(|cause| ReadyError::Document { key, cause })
}

async fn put<T: Kind>(store: &dyn Store, document: &Document<T>) -> Result<(), ReadyError> {
    let key = document.body.key();
    let encoded = document.encode(&T::SCHEMA);
    let bytes = encoded.map_err(|cause| ReadyError::Document { key: key.clone(), cause })?;
    store.txn(Txn::of([Op::put(key, bytes)])).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use api::id::HostId;
    use pki::CertificateAuthority;
    use store::MemoryStore;

    use super::*;

    const NOW: Timestamp = Timestamp(1_000);

    fn authority() -> CaBundle {
        let created = CertificateAuthority::create("north", jiff::Timestamp::now()).unwrap();
        created.bundle().clone()
    }

    fn exchanging(generation: u64, old: &CaBundle) -> StoredAuthority {
        StoredAuthority {
            generation,
            phase: Phase::Issue,
            authorities_pem: old.to_pem(),
            successor: None,
            began: Timestamp(7),
            ended: None,
            held: true,
            left_out: vec!["host a".into()],
            engine_turn: Some("server s1".into()),
        }
    }

    fn server(name: &str) -> Server {
        Server {
            name: name.parse().unwrap(),
            address: "10.0.0.1:7443".into(),
            version: "1".into(),
            started: NOW,
            domain: api::host::DomainPath::default(),
            host: None,
        }
    }

    async fn write<T: Kind>(store: &MemoryStore, body: T) {
        put(store, &Document::new(&T::SCHEMA, body)).await.unwrap();
    }

    async fn cluster(store: &MemoryStore) -> Option<StoredAuthority> {
        let row = store.get(b"authority/cluster", None).await.unwrap().kv?;
        read(&row.value)
    }

    async fn backup(store: &MemoryStore) -> Vec<u8> {
        let mut out = Vec::new();
        store::backup::backup(store, &mut out).await.unwrap();
        out
    }

    #[tokio::test]
    async fn a_restored_store_is_ahead_of_everything_hosts_have_seen() {
        let store = MemoryStore::new();
        let before = Term::take(&store, "s").await.unwrap();
        let assignment = Assignment::empty(HostId::new("h").unwrap());
        write(&store, assignment.clone()).await;
        make_ready(&store, None, NOW).await.unwrap();
        let after = Term::take(&store, "s").await.unwrap();
        assert!(after.number > before.number + TERMS);
        let row = store.get(assignment.key().as_bytes(), None).await.unwrap().kv.unwrap();
        let assignment: Assignment = read(&row.value).unwrap();
        assert_eq!(assignment.generation, Generation(GENERATIONS));
    }

    #[tokio::test]
    async fn the_servers_of_before_are_forgotten_and_hosts_are_not() {
        let store = MemoryStore::new();
        write(&store, server("s1")).await;
        for key in ["member/server/s1", "about/server/s1", "member/host/h1", "about/host/h1"] {
            store.txn(Txn::of([Op::put(key, "{}")])).await.unwrap();
        }
        make_ready(&store, None, NOW).await.unwrap();
        let (_, rows) = read_all(&store, KeyRange::all()).await.unwrap();
        let keys: Vec<_> = rows.iter().map(|row| String::from_utf8_lossy(&row.key)).collect();
        assert_eq!(keys, ["about/host/h1", "leader/term", "member/host/h1"]);
    }

    /// Hosts refuse an older generation, and would lock themselves out with authorities whose key
    /// no server has.
    #[tokio::test]
    async fn the_keys_authorities_take_the_place_of_the_backups() {
        let (old, new) = (authority(), authority());
        for before in [None, Some(exchanging(3, &old))] {
            let store = MemoryStore::new();
            if let Some(before) = &before {
                write(&store, before.clone()).await;
            }
            make_ready(&store, Some(&new), NOW).await.unwrap();
            let now = cluster(&store).await.unwrap();
            let generation = before.map_or(0, |before| before.generation);
            assert_eq!(now.generation, generation + GENERATIONS);
            assert_eq!((now.phase, now.authorities_pem.clone()), (Phase::Settled, new.to_pem()));
            assert!(!now.held && now.left_out.is_empty() && now.engine_turn.is_none());
            make_ready(&store, None, NOW).await.unwrap();
            assert_eq!(
                cluster(&store).await,
                None,
                "keys that are made later speak for themselves"
            );
        }
    }

    #[tokio::test]
    async fn what_a_backup_records_is_read_and_a_strange_authority_is_named() {
        let (old, new) = (authority(), authority());
        let store = MemoryStore::new();
        write(&store, server("s1")).await;
        let recorded = Recorded::read(backup(&store).await.as_slice()).await.unwrap();
        assert_eq!(recorded.servers, [server("s1")]);
        assert_eq!(recorded.stranger(&new), None, "nobody said what was trusted");
        write(&store, exchanging(3, &old)).await;
        let recorded = Recorded::read(backup(&store).await.as_slice()).await.unwrap();
        assert_eq!(recorded.stranger(&old), None);
        let told = recorded.stranger(&new).unwrap();
        assert!(told.contains(&new.fingerprint().to_string()), "{told}");
        assert!(told.contains(&old.fingerprint().to_string()), "{told}");
    }

    /// Wherever it is cut off, the next start brings it to its end.
    #[tokio::test]
    async fn a_pending_restore_is_done_once_and_over_when_it_was_cut_off() {
        let (dir, new) = (tempfile::tempdir().unwrap(), authority());
        let from = MemoryStore::new();
        write(&from, exchanging(3, &authority())).await;
        from.txn(Txn::of([Op::put("a", "1")])).await.unwrap();
        let bytes = backup(&from).await;
        let path = dir.path().join(PENDING);
        let store = MemoryStore::new();
        std::fs::write(&path, &bytes).unwrap();
        restore_pending(&store, dir.path(), &new, NOW).await.unwrap();
        assert!(!path.exists());
        // Behind the last document, before the file was removed.
        std::fs::write(&path, &bytes).unwrap();
        restore_pending(&store, dir.path(), &new, NOW).await.unwrap();
        assert!(!path.exists() && cluster(&store).await.unwrap().authorities_pem == new.to_pem());
        // Nothing is pending.
        store.txn(Txn::of([Op::put("a", "2")])).await.unwrap();
        restore_pending(&store, dir.path(), &new, NOW).await.unwrap();
        assert_eq!(store.get(b"a", None).await.unwrap().kv.unwrap().value, "2");
        std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        let cut = restore_pending(&MemoryStore::new(), dir.path(), &new, NOW).await;
        assert!(matches!(cut, Err(PendingError::Restore(_))) && path.exists());
    }
}
