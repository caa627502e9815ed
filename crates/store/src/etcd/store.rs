//! The trait on etcd.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{
    Compare as EtcdCompare, CompareOp, Error, GetOptions, SortOrder, SortTarget, Txn as EtcdTxn,
    TxnOp, TxnOpResponse,
};
use tokio::task::AbortHandle;

use super::compacted::Compacted;
use super::convert::{self, key_value, lease_id, lease_number, revision, signed, unsigned};
use super::endpoints::{Endpoints, Kind};
use super::failure::{Failed, unavailable};
use super::keyspace::Keyspace;
use super::options::EtcdOptions;
use super::pages::{self, MAX_ANSWER_BYTES};
use super::replay::EtcdHistory;
use super::upstream::Upstream;
use crate::hub::Hub;
use crate::limits::{MAX_DELETES, check_key, check_range, check_ttl, check_txn};
use crate::{
    Got, Identity, KeyRange, LeaseGrant, LeaseId, Op, Page, Relist, Revision, Status, Store,
    StoreError, Txn, TxnAnswer, WatchRequest, WatchStream,
};

/// A store on etcd.
#[derive(Debug)]
pub struct EtcdStore {
    endpoints: Arc<Endpoints>,
    keys: Keyspace,
    hub: Arc<Hub>,
    upstream: Arc<Upstream>,
    compacted: Arc<Compacted>,
    following: AbortHandle,
    closed: AtomicBool,
}

impl EtcdStore {
    /// Opens the store, making it (its identity) when there is none under the prefix.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when no member answers in time, [`StoreError::DiskFull`] when
    /// it would have to be made in a full etcd, [`StoreError::Corrupt`] when its identity is none.
    pub async fn open(options: EtcdOptions) -> Result<Self, StoreError> {
        let keys = Keyspace::new(&options.prefix);
        let endpoints = Endpoints::new(options).await.map_err(|it| it.of_read("connect"))?;
        let endpoints = Arc::new(endpoints);
        let (identity, at) = begin(&endpoints, &keys).await?;
        let hub = Hub::new(at, identity);
        let compacted = Arc::new(Compacted::default());
        let upstream = Arc::new(Upstream::new(
            Arc::clone(&endpoints),
            keys.clone(),
            Arc::clone(&hub),
            Arc::clone(&compacted),
            (at, identity),
        ));
        let following = tokio::spawn(Arc::clone(&upstream).run()).abort_handle();
        let closed = AtomicBool::new(false);
        Ok(Self { endpoints, keys, hub, upstream, compacted, following, closed })
    }

    /// Uses other endpoints or certificates from now on: after members were replaced, or a
    /// certificate renewed. Watches go on. The prefix stays.
    ///
    /// # Errors
    /// [`StoreError::Internal`] when an endpoint or a certificate cannot be read; then nothing has
    /// changed.
    pub async fn reconfigure(&self, options: EtcdOptions) -> Result<(), StoreError> {
        self.endpoints.replace(options).await.map_err(|it| it.of_read("take other endpoints"))
    }

    fn check_open(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) { Err(StoreError::closed()) } else { Ok(()) }
    }

    /// Where the store stands, agreed on by a majority.
    async fn current(&self) -> Result<Revision, Failed> {
        let key = self.keys.opened();
        let read = self.endpoints.call(Kind::Read, |mut client| {
            let key = key.clone();
            async move { client.get(key, Some(GetOptions::new().with_count_only())).await }
        });
        Ok(revision(read.await?.header()))
    }

    /// The error of a read at `asked` that etcd refused.
    async fn refusal(&self, failed: Failed, asked: Revision, what: &str) -> StoreError {
        let future = match failed {
            Failed::Compacted => false,
            Failed::Future => true,
            other => return other.of_read(what),
        };
        let current = match self.current().await {
            Ok(current) => current,
            Err(failed) => return failed.of_read(what),
        };
        if future {
            return StoreError::FutureRevision { asked, current };
        }
        match self.compacted.find(&self.endpoints, &self.keys).await {
            Ok(at) => StoreError::Compacted { at, relist: Relist::History },
            Err(failed) => failed.of_read(what),
        }
    }

    /// Which branches of a transaction would delete more than is allowed. etcd has no such limit
    /// and no way to ask for one; what is written between this look and the transaction may pass
    /// it by as much.
    async fn too_many(&self, txn: &Txn) -> Result<(bool, bool), StoreError> {
        Ok((self.deletes_too_many(&txn.then).await?, self.deletes_too_many(&txn.otherwise).await?))
    }

    async fn deletes_too_many(&self, ops: &[Op]) -> Result<bool, StoreError> {
        let mut count = 0;
        for op in ops {
            let Op::DeleteRange(range) = op else { continue };
            if range.is_empty() {
                continue;
            }
            let (start, end) = self.keys.range(range);
            let options = GetOptions::new().with_range(end).with_count_only();
            let read = self.endpoints.call(Kind::Read, |mut client| {
                let (start, options) = (start.clone(), options.clone());
                async move { client.get(start, Some(options)).await }
            });
            let got = read.await.map_err(|it| it.of_read("count what a transaction deletes"))?;
            count += unsigned(got.count());
        }
        Ok(count > MAX_DELETES as u64)
    }
}

/// The identity, made if need be, and a revision of ours to follow changes from.
async fn begin(endpoints: &Endpoints, keys: &Keyspace) -> Result<(Identity, Revision), StoreError> {
    const WHAT: &str = "open the store in etcd";
    let (fresh, mark) = (Identity::fresh().to_string(), Identity::fresh().to_string());
    let absent = EtcdCompare::create_revision(keys.identity(), CompareOp::Equal, 0);
    let opened = || TxnOp::put(keys.opened(), mark.clone(), None);
    let txn = EtcdTxn::new()
        .when([absent])
        .and_then([TxnOp::put(keys.identity(), fresh.clone(), None), opened()])
        .or_else([opened()]);
    // Asking twice does no harm, so it is asked like a read.
    let write = endpoints.call(Kind::Read, |mut client| {
        let txn = txn.clone();
        async move { client.txn(txn).await }
    });
    let written = match write.await {
        Ok(answer) => Some(revision(answer.header())),
        Err(Failed::Full(error)) => {
            tracing::warn!(%error, "etcd is full; the store can be read only");
            None
        }
        Err(failed) => return Err(failed.of_read(WHAT)),
    };
    let read = endpoints.call(Kind::Read, |mut client| {
        let key = keys.identity();
        async move { client.get(key, None).await }
    });
    let got = read.await.map_err(|failed| failed.of_read(WHAT))?;
    let Some(kv) = got.kvs().first() else {
        return Err(StoreError::DiskFull { place: "in etcd".to_owned(), cause: None });
    };
    let corrupt = || StoreError::Corrupt {
        place: "in etcd".to_owned(),
        what: "its identity cannot be read".to_owned(),
        cause: None,
    };
    let identity = kv.value_str().ok().and_then(|it| it.parse().ok()).ok_or_else(corrupt)?;
    match written {
        Some(at) => Ok((identity, at)),
        None => Ok((identity, newest(endpoints, keys).await.map_err(|it| it.of_read(WHAT))?)),
    }
}

/// The last write of ours that is still there; for when none can be made.
async fn newest(endpoints: &Endpoints, keys: &Keyspace) -> Result<Revision, Failed> {
    let (start, end) = keys.everything();
    let options = GetOptions::new()
        .with_range(end)
        .with_sort(SortTarget::Mod, SortOrder::Descend)
        .with_limit(1)
        .with_keys_only();
    let read = endpoints.call(Kind::Read, |mut client| {
        let (start, options) = (start.clone(), options.clone());
        async move { client.get(start, Some(options)).await }
    });
    let got = read.await?;
    Ok(Revision(got.kvs().first().map_or(0, |kv| unsigned(kv.mod_revision()))))
}

impl Drop for EtcdStore {
    fn drop(&mut self) {
        self.following.abort();
        self.hub.close();
    }
}

#[async_trait]
impl Store for EtcdStore {
    async fn get(&self, key: &[u8], at: Option<Revision>) -> Result<Got, StoreError> {
        self.check_open()?;
        check_key(key)?;
        let key = self.keys.key(key);
        let asked = at.unwrap_or_default();
        let read = self.endpoints.call(Kind::Read, |client| {
            let key = key.clone();
            let mut client = client.kv_client().max_decoding_message_size(MAX_ANSWER_BYTES);
            let options = GetOptions::new().with_revision(signed(asked.0));
            async move { client.get(key, Some(options)).await }
        });
        match read.await {
            Ok(mut got) => {
                let revision = revision(got.header());
                let kv = got.take_kvs().into_iter().next();
                Ok(Got { kv: kv.and_then(|kv| key_value(&self.keys, kv)), revision })
            }
            Err(failed) => Err(self.refusal(failed, asked, "read a key").await),
        }
    }

    async fn range(
        &self,
        range: &KeyRange,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, StoreError> {
        self.check_open()?;
        check_range(range)?;
        let asked = at.unwrap_or_default();
        match pages::page(&self.endpoints, &self.keys, range, limit, at).await {
            Ok(page) => Ok(page),
            Err(failed) => Err(self.refusal(failed, asked, "read a range").await),
        }
    }

    async fn txn(&self, txn: Txn) -> Result<TxnAnswer, StoreError> {
        self.check_open()?;
        check_txn(&txn)?;
        let too_many = self.too_many(&txn).await?;
        let sent = convert::txn(&self.keys, &txn, too_many);
        let reads = |ops: &[Op]| ops.iter().all(|op| matches!(op, Op::Get(_) | Op::Range { .. }));
        let only_reads = reads(&txn.then) && reads(&txn.otherwise);
        let kind = if only_reads { Kind::Read } else { Kind::Write };
        let asked = self.endpoints.call(kind, |client| {
            let sent = sent.clone();
            let mut client = client.kv_client().max_decoding_message_size(MAX_ANSWER_BYTES);
            async move { client.txn(sent).await }
        });
        let answer = match asked.await {
            Ok(answer) => answer,
            Err(Failed::NoLease) => return Err(StoreError::LeaseNotFound(missing_lease(&txn))),
            Err(failed) if only_reads => return Err(failed.of_read("run a transaction")),
            Err(failed) => return Err(failed.of_write("run a transaction")),
        };
        let succeeded = answer.succeeded();
        if if succeeded { too_many.0 } else { too_many.1 } {
            return Err(StoreError::TooManyDeletes { max: MAX_DELETES });
        }
        let ops = if succeeded { &txn.then } else { &txn.otherwise };
        let responses: Vec<TxnOpResponse> = answer.op_responses();
        let results = convert::results(&self.keys, ops, responses)?;
        Ok(TxnAnswer { succeeded, revision: revision(answer.header()), results })
    }

    async fn watch(&self, request: WatchRequest) -> Result<WatchStream, StoreError> {
        self.check_open()?;
        check_range(&request.range)?;
        // What is known to be compacted, or of another identity, is best told at once.
        if let Ok(current) = self.current().await {
            self.upstream.catch_up(current).await;
        }
        let history = EtcdHistory {
            endpoints: Arc::clone(&self.endpoints),
            keys: self.keys.clone(),
            compacted: Arc::clone(&self.compacted),
        };
        Ok(self.hub.watch(Arc::new(history), request))
    }

    async fn lease_grant(&self, ttl: Duration) -> Result<LeaseGrant, StoreError> {
        self.check_open()?;
        let ttl = check_ttl(ttl)?;
        let seconds = signed(ttl.as_secs());
        let asked = self
            .endpoints
            .call(Kind::Write, |mut client| async move { client.lease_grant(seconds, None).await });
        let granted = asked.await.map_err(|failed| failed.of_write("grant a lease"))?;
        let id = lease_id(granted.id()).unwrap_or(LeaseId(0));
        Ok(LeaseGrant { id, ttl: Duration::from_secs(unsigned(granted.ttl())) })
    }

    async fn lease_keep_alive(&self, id: LeaseId) -> Result<Duration, StoreError> {
        self.check_open()?;
        let number = lease_number(id);
        // A stream for each renewal: there is none that could die unnoticed. Twice is harmless.
        let asked = self.endpoints.call(Kind::Read, |mut client| async move {
            let (mut keeper, mut answers) = client.lease_keep_alive(number).await?;
            // The client checks the first answer itself and keeps its time for itself.
            keeper.keep_alive().await?;
            let answer = answers.message().await?;
            Ok::<_, Error>(answer.map_or(0, |answer| answer.ttl()))
        });
        match asked.await {
            Ok(seconds) if seconds > 0 => Ok(Duration::from_secs(unsigned(seconds))),
            Ok(_) | Err(Failed::NoLease) => Err(StoreError::LeaseNotFound(id)),
            Err(failed) => Err(failed.of_read("renew a lease")),
        }
    }

    async fn lease_left(&self, id: LeaseId) -> Result<Duration, StoreError> {
        self.check_open()?;
        let number = lease_number(id);
        let asked = self.endpoints.call(Kind::Read, |mut client| async move {
            client.lease_time_to_live(number, None).await
        });
        match asked.await {
            Ok(left) if left.ttl() >= 0 && left.granted_ttl() > 0 => {
                Ok(Duration::from_secs(unsigned(left.ttl())))
            }
            Ok(_) | Err(Failed::NoLease) => Err(StoreError::LeaseNotFound(id)),
            Err(failed) => Err(failed.of_read("look at a lease")),
        }
    }

    async fn lease_revoke(&self, id: LeaseId) -> Result<Revision, StoreError> {
        self.check_open()?;
        let number = lease_number(id);
        let asked = self
            .endpoints
            .call(Kind::Write, |mut client| async move { client.lease_revoke(number).await });
        match asked.await {
            Ok(revoked) => Ok(revision(revoked.header())),
            Err(Failed::NoLease) => Err(StoreError::LeaseNotFound(id)),
            Err(failed) => Err(failed.of_write("end a lease")),
        }
    }

    async fn compact(&self, at: Revision) -> Result<(), StoreError> {
        self.check_open()?;
        // Twice is refused the second time, as it must be; that answer is then taken for done.
        let asked = self.endpoints.call(Kind::Write, |mut client| async move {
            client.compact(signed(at.0), None).await
        });
        match asked.await {
            Ok(_) => Ok(()),
            Err(failed @ (Failed::Compacted | Failed::Future)) => {
                Err(self.refusal(failed, at, "compact").await)
            }
            Err(failed) => Err(failed.of_write("compact")),
        }
    }

    async fn status(&self) -> Result<Status, StoreError> {
        const WHAT: &str = "look at the store's size";
        self.check_open()?;
        let revision = self.current().await.map_err(|failed| failed.of_read(WHAT))?;
        let asked =
            self.endpoints.call(Kind::Read, |mut client| async move { client.status().await });
        let status = asked.await.map_err(|failed| failed.of_read(WHAT))?;
        let compacted = self.compacted.find(&self.endpoints, &self.keys).await;
        self.upstream.catch_up(revision).await;
        Ok(Status {
            revision,
            compacted: compacted.map_err(|failed| failed.of_read(WHAT))?,
            db_bytes: unsigned(status.db_size()),
            db_used_bytes: unsigned(status.raft_used_db_size()),
            identity: self.upstream.identity(),
            backend: "etcd",
        })
    }

    async fn renew_identity(&self) -> Result<Identity, StoreError> {
        const WHAT: &str = "give the store a new identity";
        self.check_open()?;
        let identity = Identity::fresh();
        let (key, value) = (self.keys.identity(), identity.to_string());
        // Writing the same twice is writing it once.
        let written = self.endpoints.call(Kind::Read, |mut client| {
            let (key, value) = (key.clone(), value.clone());
            async move { client.put(key, value, None).await }
        });
        let put = written.await.map_err(|failed| failed.of_write(WHAT))?;
        self.upstream.catch_up(revision(put.header())).await;
        if self.upstream.identity() != identity {
            return Err(unavailable(WHAT, None));
        }
        Ok(identity)
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.closed.store(true, Ordering::Release);
        self.following.abort();
        self.hub.close();
        Ok(())
    }
}

/// The lease a refused transaction can mean: etcd does not name it.
fn missing_lease(txn: &Txn) -> LeaseId {
    let leases = txn.then.iter().chain(&txn.otherwise).filter_map(|op| match op {
        Op::Put { lease, .. } => *lease,
        _ => None,
    });
    leases.last().unwrap_or(LeaseId(0))
}
