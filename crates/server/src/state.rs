//! Where a server keeps the cluster's state: in SQLite, which it has for itself, or in an etcd that
//! all servers share.

use std::path::Path;
use std::sync::Arc;

use pki::read_private;
use store::{EtcdOptions, EtcdStore, EtcdTls, SqliteOptions, SqliteStore, Store};

use crate::control::Lead;
use crate::core::Election;
use crate::run::{Options, RunError, keys};

/// Which store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum State {
    /// `state.db` in the server's directory.
    #[default]
    Sqlite,
    /// An etcd, by its clients' addresses. Where they begin with `https`, the server shows its own
    /// certificate and trusts the cluster's authorities.
    Etcd(Vec<String>),
}

impl State {
    /// The endpoints of the etcd; none with SQLite.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        match self {
            Self::Sqlite => Vec::new(),
            Self::Etcd(endpoints) => endpoints.clone(),
        }
    }

    /// How a server comes to lead on it.
    #[must_use]
    pub fn lead(&self) -> Lead {
        match self {
            Self::Sqlite => Lead::Alone,
            Self::Etcd(_) => Lead::Elected(Election::default()),
        }
    }
}

/// Opens the store.
pub(crate) async fn open(options: &Options) -> Result<Arc<dyn Store>, RunError> {
    match &options.state {
        State::Sqlite => {
            let path = options.data.join("state.db");
            finished(SqliteStore::open(path, SqliteOptions::default()).await?).await
        }
        State::Etcd(endpoints) => {
            let mut etcd = EtcdOptions::new(endpoints.iter().cloned());
            if endpoints.iter().any(|endpoint| endpoint.starts_with("https:")) {
                etcd = etcd.with_tls(tls(options)?);
            }
            finished(EtcdStore::open(etcd).await?).await
        }
    }
}

/// Refuses a store into which a restore was cut off.
async fn finished(store: impl Store) -> Result<Arc<dyn Store>, RunError> {
    if store::backup::unfinished(&store).await? {
        return Err(RunError::Unfinished);
    }
    Ok(Arc::new(store))
}

fn tls(options: &Options) -> Result<EtcdTls, RunError> {
    let read = |path: &Path| std::fs::read(path).map_err(|e| keys(&path.display().to_string(), e));
    Ok(EtcdTls {
        authorities: read(&options.authorities)?,
        certificate: read(&options.certificate)?,
        key: read_private(&options.key).map_err(|e| keys("the certificate's key", e))?,
    })
}
