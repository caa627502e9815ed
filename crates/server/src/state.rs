//! Where a server keeps the cluster's state: in SQLite, which it has for itself, or in an etcd that
//! all servers share, and of which it may supervise a member.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pki::read_private;
use store::{EtcdOptions, EtcdStore, EtcdTls, SqliteOptions, SqliteStore, Store, StoreError};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::control::Lead;
use crate::core::Election;
use crate::engine::{self, Endpoints, Engine, EngineError, Keeper};
use crate::run::{Options, RunError, keys};

/// A pause before an etcd is asked again that has no majority yet.
const AGAIN: Duration = Duration::from_millis(500);

/// Of how many attempts to open the state one is reported: about one in 10 s.
const REPORTED: usize = 10;

/// Which store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum State {
    /// `state.db` in the server's directory.
    #[default]
    Sqlite,
    /// An etcd, by its clients' addresses. Where they begin with `https`, the server shows its own
    /// certificate and trusts the cluster's authorities.
    Etcd(Vec<String>),
    /// An etcd of which this server runs a member.
    Supervised(Box<Supervised>),
}

/// An etcd of which this server runs a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supervised {
    /// What that member is told. Its certificate is the server's.
    pub engine: engine::Options,
    /// Where members served clients when this one came in; whom it has seen since goes before.
    pub first: Vec<String>,
}

impl State {
    /// The endpoints of the etcd; none with SQLite.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        match self {
            Self::Sqlite => Vec::new(),
            Self::Etcd(endpoints) => endpoints.clone(),
            Self::Supervised(it) => engine::last_seen(&it.engine.directory, &it.first),
        }
    }

    /// How a server comes to lead on it.
    #[must_use]
    pub fn lead(&self) -> Lead {
        match self {
            Self::Sqlite => Lead::Alone,
            Self::Etcd(_) | Self::Supervised(_) => Lead::Elected(Election::default()),
        }
    }
}

/// An open store, and what keeps it together with a supervised etcd.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) member: Option<(Keeper, JoinHandle<Result<(), EngineError>>)>,
}

/// Opens the store; none when told to stop before there was one.
pub(crate) async fn open(
    options: &Options,
    known: &Endpoints,
    stop: &CancellationToken,
) -> Result<Option<Opened>, RunError> {
    let store: Arc<dyn Store> = match &options.state {
        State::Sqlite => {
            let path = options.data.join("state.db");
            Arc::new(SqliteStore::open(path, SqliteOptions::default()).await?)
        }
        State::Etcd(endpoints) => {
            let mut etcd = EtcdOptions::new(endpoints.iter().cloned());
            if endpoints.iter().any(|endpoint| endpoint.starts_with("https:")) {
                etcd = etcd.with_tls(tls(options)?);
            }
            Arc::new(EtcdStore::open(etcd).await?)
        }
        State::Supervised(it) => {
            let mut running = tokio::spawn(Engine::new(it.engine.clone())?.run(stop.clone()));
            let store = tokio::select! {
                store = patiently(&it.engine, known) => Arc::new(store?),
                // It ends early when it cannot run at all, and when told to stop.
                ended = &mut running => {
                    return ended.map_err(RunError::Supervision)?.map(|()| None).map_err(Into::into);
                }
            };
            finished(store.as_ref()).await?;
            let keeper = Keeper::new(it.engine.clone(), store.clone(), known.clone());
            return Ok(Some(Opened { store, member: Some((keeper, running)) }));
        }
    };
    finished(store.as_ref()).await?;
    Ok(Some(Opened { store, member: None }))
}

/// Waits until a majority of the members is there: after a power cut others may start later.
async fn patiently(engine: &engine::Options, known: &Endpoints) -> Result<EtcdStore, RunError> {
    let mut tried = 0_usize;
    loop {
        let client = engine::client(engine, known.get())
            .map_err(|error| keys("the server's certificate", error))?;
        match EtcdStore::open(client).await {
            Ok(store) => return Ok(store),
            Err(error @ StoreError::Corrupt { .. }) => return Err(error.into()),
            Err(error) if tried % REPORTED == REPORTED - 1 => {
                tracing::warn!(%error, "the state is not there yet");
            }
            Err(error) => tracing::debug!(%error, "the state is not there yet"),
        }
        tried = tried.wrapping_add(1);
        tokio::time::sleep(AGAIN).await;
    }
}

/// Refuses a store into which a restore was cut off.
async fn finished(store: &dyn Store) -> Result<(), RunError> {
    if store::backup::unfinished(store).await? {
        return Err(RunError::Unfinished);
    }
    Ok(())
}

fn tls(options: &Options) -> Result<EtcdTls, RunError> {
    let read = |path: &Path| std::fs::read(path).map_err(|e| keys(&path.display().to_string(), e));
    Ok(EtcdTls {
        authorities: read(&options.authorities)?,
        certificate: read(&options.certificate)?,
        key: read_private(&options.key).map_err(|e| keys("the certificate's key", e))?,
    })
}
