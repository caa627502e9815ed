//! What the registry asks others: who this is, whether they may, and what is in use.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use image::Digest;

use super::RepositoryName;

/// What somebody wants to do with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Read blobs, manifests and referrers.
    Pull,
    /// Upload blobs and put manifests and tags.
    Push,
    /// Delete blobs, manifests and tags.
    Delete,
    /// See that the repository exists, and its tags.
    List,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pull => "pull from",
            Self::Push => "push to",
            Self::Delete => "delete in",
            Self::List => "list",
        })
    }
}

/// Somebody who proved who they are.
#[derive(Clone)]
pub struct Who {
    name: String,
    caller: Arc<dyn Any + Send + Sync>,
}

impl Who {
    /// `name` is kept with what they push; `caller` is whatever [`Access::authorize`] needs to
    /// know and gets back by [`Who::caller`].
    pub fn new(name: impl Into<String>, caller: impl Any + Send + Sync) -> Self {
        Self { name: name.into(), caller: Arc::new(caller) }
    }

    /// Their name, for records.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What [`Access::authenticate`] knew of them, if it was of this type.
    #[must_use]
    pub fn caller<T: Any>(&self) -> Option<&T> {
        self.caller.downcast_ref()
    }
}

impl fmt::Debug for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Who").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why somebody is not let in. The texts are shown to them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// They did not prove who they are; the client may ask its user to log in.
    #[error("logging in to the registry: {0}")]
    Unauthenticated(String),
    /// They are known, and may not do this.
    #[error("using the registry: {0}")]
    Denied(String),
    /// It can't be found out now.
    #[error("finding out who may use the registry: {0}")]
    Unavailable(String),
}

/// Who may do what in the registry.
#[async_trait]
pub trait Access: Send + Sync {
    /// Finds out whose `secret` this is. `user` is the name given at log-in, if any (HTTP Basic);
    /// it proves nothing. A secret given as a bearer token comes without one.
    ///
    /// # Errors
    /// [`AccessError::Unauthenticated`] or [`AccessError::Unavailable`].
    async fn authenticate(&self, user: Option<&str>, secret: &str) -> Result<Who, AccessError>;

    /// Whether `who` may do `action` in `repository`, which need not exist yet. Never asked for
    /// hosts of the cluster ([`PeerHost`]), which may pull anything and do nothing else.
    ///
    /// # Errors
    /// [`AccessError::Denied`] or [`AccessError::Unavailable`].
    async fn authorize(
        &self,
        who: &Who,
        repository: &RepositoryName,
        action: Action,
    ) -> Result<(), AccessError>;
}

/// A request extension, set by the listener: the peer showed a certificate of the cluster's
/// authority for this host. It may pull without a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerHost(pub String);

/// An image that something needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUse {
    /// The repository it is used from; `None`: from any, so it stays in all of them.
    pub repository: Option<RepositoryName>,
    /// The digest of its manifest or index.
    pub digest: Digest,
    /// Who needs it, for people, such as `release 3 of app shop`.
    pub user: String,
}

/// What is in use can't be found out now; nothing may be deleted then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("finding out which images are in use: {0}")]
pub struct InUseError(pub String);

/// Which images must stay.
#[async_trait]
pub trait InUse: Send + Sync {
    /// Every image that a release or a running instance needs. It must see every release whose
    /// [`Hold`](super::Hold) was dropped before the call.
    ///
    /// # Errors
    /// [`InUseError`].
    async fn in_use(&self) -> Result<Vec<ImageUse>, InUseError>;
}
