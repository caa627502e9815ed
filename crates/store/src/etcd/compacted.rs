//! Up to where etcd's history is gone. etcd tells nobody, but it refuses reads before that
//! revision: so it is searched for, from where it was last found.

use std::sync::atomic::{AtomicU64, Ordering};

use etcd_client::GetOptions;

use super::convert::{revision, signed};
use super::endpoints::{Endpoints, Kind};
use super::failure::Failed;
use super::keyspace::Keyspace;
use crate::Revision;

/// The last compaction, as far as known. Never ahead of etcd.
#[derive(Debug, Default)]
pub(super) struct Compacted {
    known: AtomicU64,
}

impl Compacted {
    /// The first revision that can be read; zero when nothing is gone. Takes one read when nothing
    /// was compacted since the last call, else as many as the revisions since then have binary
    /// digits.
    pub(super) async fn find(
        &self,
        endpoints: &Endpoints,
        keys: &Keyspace,
    ) -> Result<Revision, Failed> {
        let known = self.known.load(Ordering::Relaxed);
        if readable(endpoints, keys, known.max(1)).await?.is_some() {
            return Ok(Revision(known));
        }
        // Now can always be read, and stays readable until a compaction after this one.
        let now = readable(endpoints, keys, 0).await?.unwrap_or_default();
        let (mut gone, mut there) = (known.max(1), now.0);
        while there.saturating_sub(gone) > 1 {
            let middle = gone + (there - gone) / 2;
            match readable(endpoints, keys, middle).await? {
                Some(_) => there = middle,
                None => gone = middle,
            }
        }
        self.known.fetch_max(there, Ordering::Relaxed);
        Ok(Revision(there))
    }
}

/// Where the store stands if the past at a revision (zero: now) can be read, none if it is gone.
async fn readable(
    endpoints: &Endpoints,
    keys: &Keyspace,
    at: u64,
) -> Result<Option<Revision>, Failed> {
    let key = keys.nothing();
    let options = GetOptions::new().with_count_only().with_revision(signed(at));
    let read = endpoints.call(Kind::Read, |mut client| {
        let (key, options) = (key.clone(), options.clone());
        async move { client.get(key, Some(options)).await }
    });
    match read.await {
        Ok(got) => Ok(Some(revision(got.header()))),
        Err(Failed::Compacted) => Ok(None),
        Err(failed) => Err(failed),
    }
}
