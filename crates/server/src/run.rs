//! Puts a server together and runs it until told to stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::environment::Environment;
use api::host::DomainPath;
use api::id::{EnvironmentName, HostId};
use api::operation::TokenRequest;
use api::token::Role;
use ipnet::Ipv4Net;
use parking_lot::Mutex;
use pki::{CaBundle, CertificateAuthority, Keyring, PRIVATE_MODE, write_atomic};
use probe::AnyPort;
use store::Store;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::authority::AuthorityKeeper;
use crate::certificate::OwnCertificate;
use crate::control::{self, Driver};
use crate::copies::Shared;
use crate::core::{Agents, Cache, Change, Core, Events, Planning, Resolver, Servers, write_events};
use crate::engine::{EngineError, States};
use crate::oci::Registry;
use crate::peer::{self, PeerDialer};
use crate::source::{Others, Own};
use crate::state::{self, State};
use crate::trust::Trust;
use crate::{http, oci};

/// What a server is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// The clock; that of certificates too.
    pub clock: clock::Clock,
    /// Its directory: state, images, master key.
    pub data: PathBuf,
    /// Where the state is kept.
    pub state: State,
    /// The cluster's name.
    pub cluster: String,
    /// Its own name.
    pub name: String,
    /// Where agents, other servers and users reach it, `HOST:PORT`.
    pub address: String,
    /// The failure domain it stands in, as far as it was told.
    pub domain: DomainPath,
    /// The host whose machine it runs on, where equal addresses do not say so.
    pub host: Option<HostId>,
    /// Where the API, the registry and the agents' streams are served.
    pub api: SocketAddr,
    /// Its certificate, PEM.
    pub certificate: PathBuf,
    /// That certificate's key, PEM.
    pub key: PathBuf,
    /// The cluster's authorities, PEM.
    pub authorities: PathBuf,
    /// The directory of the authority's certificate and key, `ca.pem` and `ca.key`; without it
    /// this server lets nobody in and signs nothing.
    pub authority: Option<PathBuf>,
    /// Where the first admin's token is written when no token exists.
    pub admin_token: PathBuf,
    /// Where instances' addresses come from; each host has a /24 of it.
    pub instance_range: Ipv4Net,
    /// Where service addresses come from.
    pub service_range: Ipv4Net,
    /// The port of https as clients see it, when it is not 443.
    pub https_port: Option<u16>,
}

/// Why a server could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The state could not be opened.
    #[error("open the server's state")]
    Store(#[from] store::StoreError),
    /// The server's etcd could not be started.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The supervision of etcd broke off.
    #[error("supervise the server's etcd")]
    Supervision(#[source] tokio::task::JoinError),
    /// The state with which this server begins could not be restored.
    #[error(transparent)]
    Restore(#[from] crate::restore::PendingError),
    /// A restore into this directory was cut off.
    #[error("open the server's state: a restore into it was cut off")]
    Unfinished,
    /// Certificates or keys could not be read.
    #[error("read {what}")]
    Keys {
        /// Which.
        what: String,
        /// What is wrong.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The image registry could not be opened.
    #[error("open the image registry")]
    Registry(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The address is in use or not of this machine.
    #[error("listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// The first documents could not be written.
    #[error("write the first documents: {0}")]
    Bootstrap(String),
    /// The server may not be written down as it was told.
    #[error("take a place among the servers")]
    Introduce(#[source] Box<api::error::ApiError>),
    /// The server's name breaks the rules.
    #[error("accept the server's name")]
    Name(#[from] api::id::InvalidName),
    /// A directory or file could not be made.
    #[error("make {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
}

/// How long requests that are under way may go on when the server stops.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Runs a server until `stop`.
///
/// # Errors
/// When it can't start: its state, keys or address can't be had.
pub async fn run(options: Options, stop: CancellationToken) -> Result<(), RunError> {
    let made = std::fs::create_dir_all(&options.data);
    made.map_err(|cause| RunError::File { path: options.data.clone(), cause })?;
    // An etcd is reached with the certificate: it must be good before.
    let trust = Arc::new(trust(&options)?);
    let certificate = Arc::new(OwnCertificate::load(&options, &trust)?);
    let Some(opened) = state::open(&options, &trust.etcd, &stop).await? else { return Ok(()) };
    let store = opened.store.clone();
    let listener = http::bind(options.api)
        .await
        .map_err(|cause| RunError::Listen { address: options.api, cause })?;
    let registry = open_registry(&options)?;
    let (core, queue) = core(&options, store.clone(), registry.clone()).await?;
    let tasks = TaskTracker::new();
    let inner = CancellationToken::new();
    tasks.spawn(core.cache.clone().run(store.clone(), inner.clone()));
    tasks.spawn(write_events(queue, store.clone(), inner.clone()));
    bootstrap(&core, &options).await?;
    if let State::Supervised(it) = &options.state {
        core.servers.set_members(Arc::new(States::new(it.engine.clone(), trust.etcd.clone())));
    }
    core.introduce().await.map_err(|error| RunError::Introduce(Box::new(error)))?;
    let dialer = PeerDialer::new(
        &options.cluster,
        &trust.authorities,
        certificate.identity(),
        &options.clock,
    )
    .map_err(|e| keys("the certificate", e))?;
    control::start(&core, Arc::new(AnyPort), &tasks, &inner);
    control::start_garbage(&core, &registry, &tasks, &inner);
    let shared = Shared::start(&core, &registry, dialer.clone()).await;
    let shared = shared.map_err(|error| RunError::Registry(Box::new(error)))?;
    control::start_copies(&core, &shared, &tasks, &inner);
    tasks.spawn(peer::run(core.clone(), dialer, inner.clone()));
    tasks.spawn(control::lead(core.clone(), options.state.lead(), inner.clone()));
    opened.kept.start(&core, &tasks, &inner);
    tracing::info!(api = %options.api, "this server serves");

    let identity = certificate.identity();
    tasks.spawn(certificate.clone().keep(trust.clone(), inner.clone()));
    let entries = certificate.clone();
    tasks.spawn(entries.follow_entries(core.clone(), trust.clone(), inner.clone()));
    let engine = match &options.state {
        State::Supervised(it) => Some(it.engine.clone()),
        State::Sqlite | State::Etcd(_) => None,
    };
    let keeper = AuthorityKeeper {
        core: core.clone(),
        trust: trust.clone(),
        certificate,
        authorities: options.authorities.clone(),
        authority: options.authority.clone(),
        engine,
    };
    tasks.spawn(keeper.run(inner.clone()));
    let serving = http::Serving { identity, trust, registry };
    let served = http::serve(core.clone(), listener, serving, stop.clone());
    served.await;
    inner.cancel();
    tasks.close();
    if tokio::time::timeout(STOP_WITHIN, tasks.wait()).await.is_err() {
        tracing::warn!("some tasks did not end in time");
    }
    store.close().await?;
    Ok(())
}

fn open_registry(options: &Options) -> Result<Arc<Registry>, RunError> {
    let opened = Registry::open(options.data.join("registry"), oci::Options::default());
    Ok(Arc::new(opened.map_err(|error| RunError::Registry(Box::new(error)))?))
}

fn trust(options: &Options) -> Result<Trust, RunError> {
    let authorities =
        CaBundle::load(&options.authorities).map_err(|e| keys("the cluster's authorities", e))?;
    let authority = options.authority.as_deref().map(CertificateAuthority::load).transpose();
    let authority = authority.map_err(|e| keys("the key of the cluster's authority", e))?;
    let clock = Arc::new(options.clock.clone());
    Trust::new(&authorities, authority, clock, options.state.endpoints().into())
        .map_err(|e| keys("the cluster's authorities", e))
}

pub(crate) fn keys(what: &str, cause: impl std::error::Error + Send + Sync + 'static) -> RunError {
    RunError::Keys { what: what.to_owned(), cause: Box::new(cause) }
}

async fn core(
    options: &Options,
    store: Arc<dyn Store>,
    registry: Arc<Registry>,
) -> Result<(Arc<Core>, crate::core::EventQueue), RunError> {
    let keyring = Keyring::load_or_create(&options.data.join("master.key"))
        .map_err(|e| keys("the master key", e))?;
    let (events, queue) = Events::new(&options.name);
    let mut own_names = vec![options.api.to_string()];
    own_names.push(format!("localhost:{}", options.api.port()));
    if !own_names.contains(&options.address) {
        own_names.push(options.address.clone());
    }
    let mut servers = Servers::new(options.name.parse()?, options.address.clone());
    servers.domain = options.domain.clone();
    servers.host = options.host.clone();
    let core = Core {
        clock: options.clock.clone(),
        cluster: options.cluster.clone(),
        instance_range: options.instance_range,
        service_range: options.service_range,
        https_port: options.https_port,
        cache: Cache::open(store.as_ref()).await?,
        store,
        agents: Agents::default(),
        servers,
        events,
        keyring: Arc::new(keyring),
        driver: Driver::default(),
        resolver: Resolver { own: Arc::new(Own(registry)), others: Arc::new(Others), own_names },
        planning: Mutex::new(Planning::default()),
    };
    Ok((Arc::new(core), queue))
}

/// Writes what a new cluster begins with: two environments, and a token for its admin in a file
/// that only its owner reads. A token that never reached its file is made anew.
async fn bootstrap(core: &Core, options: &Options) -> Result<(), RunError> {
    let admin_token = &options.admin_token;
    let failed = |error: api::error::ApiError| RunError::Bootstrap(error.to_string());
    let view = core.view();
    if view.environments.is_empty() {
        let mut change = Change::new();
        for (name, order) in [("staging", 1), ("production", 2)] {
            let name = EnvironmentName::new(name).expect("the names follow the rules");
            let host_labels = std::collections::BTreeMap::new();
            change = change.create(&Environment { name, order, host_labels, created: core.now() });
        }
        match core.commit(change).await {
            // Another server was first.
            Err(error) if error.code == api::error::ErrorCode::Conflict => {}
            other => _ = other.map_err(failed)?,
        }
    }
    let has_admin = view.tokens.values().any(|row| row.token.role == Role::Admin);
    let only_first = view.tokens.len() == 1;
    // Where servers share the state, the file may be on another machine.
    let shared = options.state != State::Sqlite;
    if has_admin && (shared || admin_token.exists() || !only_first) {
        return Ok(());
    }
    let request =
        TokenRequest { name: "admin".into(), role: Role::Admin, team: None, expires_in: None };
    let answer = core.create_token(request).await.map_err(failed)?;
    let line = format!("{}\n", answer.secret.0);
    write_atomic(admin_token, line.as_bytes(), PRIVATE_MODE)
        .map_err(|error| RunError::Bootstrap(error.to_string()))
}
