//! Where a server keeps the cluster's state: in SQLite, which it has for itself, or in an etcd that
//! all servers share, and of which it may supervise a member.

use std::sync::Arc;
use std::time::Duration;

use pki::CaBundle;
use store::{EtcdStore, SqliteOptions, SqliteStore, Store, StoreError};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::control::Lead;
use crate::core::{Core, Election};
use crate::engine::{self, Endpoints, Engine, EngineError, Keeper};
use crate::given::{self, EtcdFiles, Follower, Given};
use crate::restore::restore_pending;
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
    /// An etcd that others run.
    Etcd(Given),
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
            Self::Etcd(given) => given.endpoints.clone(),
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

/// An open store, and what keeps it together with its etcd.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) kept: Kept,
}

/// What keeps a store together with its etcd.
pub(crate) enum Kept {
    /// SQLite, or an etcd without certificates.
    Nothing,
    /// The certificate for an etcd that others run is followed.
    Given(Box<Follower>),
    /// A member is supervised.
    Member(Box<Keeper>, JoinHandle<Result<(), EngineError>>),
}

impl Kept {
    /// Starts it; runs until `stop`.
    pub(crate) fn start(self, core: &Arc<Core>, tasks: &TaskTracker, stop: &CancellationToken) {
        match self {
            Self::Nothing => {}
            Self::Given(follower) => drop(tasks.spawn(follower.run(stop.clone()))),
            Self::Member(keeper, engine) => {
                let leading = core.clone();
                let leads = move || leading.servers.term().is_some();
                tasks.spawn(keeper.run(leads, stop.clone()));
                tasks.spawn(watch(engine));
            }
        }
    }
}

/// Says so when the supervision of etcd ends other than by being told to.
async fn watch(engine: JoinHandle<Result<(), EngineError>>) {
    match engine.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "etcd is not supervised any more"),
        Err(error) => tracing::error!(%error, "etcd is not supervised any more"),
    }
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
        State::Etcd(it) => {
            let files = it.files.clone().unwrap_or_else(|| EtcdFiles {
                certificate: options.certificate.clone(),
                key: options.key.clone(),
                authorities: options.authorities.clone(),
            });
            let (store, follower) = given::open(&it.endpoints, files).await?;
            restored(options, store.as_ref()).await?;
            let kept = follower.map_or(Kept::Nothing, |it| Kept::Given(Box::new(it)));
            return Ok(Some(Opened { store, kept }));
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
            restored(options, store.as_ref()).await?;
            let keeper = Keeper::new(it.engine.clone(), store.clone(), known.clone());
            return Ok(Some(Opened { store, kept: Kept::Member(Box::new(keeper), running) }));
        }
    };
    restored(options, store.as_ref()).await?;
    Ok(Some(Opened { store, kept: Kept::Nothing }))
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

/// Restores the store where that is still to be done; refuses one into which another restore was
/// cut off.
async fn restored(options: &Options, store: &dyn Store) -> Result<(), RunError> {
    let authorities = CaBundle::load(&options.authorities)
        .map_err(|error| keys("the cluster's authorities", error))?;
    restore_pending(store, &options.data, &authorities, options.clock.wall()).await?;
    if store::backup::unfinished(store).await? {
        return Err(RunError::Unfinished);
    }
    Ok(())
}
