//! How a member takes part for the first time. Kept on disk before its first start, since it may
//! die before it has written anything of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::options::Options;

const FILE: &str = "launch.json";

/// How a member takes part for the first time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// Whether it makes a new etcd rather than joining one.
    pub first: bool,
    /// All members by name, itself among them, with where their peers reach them.
    pub members: BTreeMap<String, String>,
}

/// What is wrong with the file that says how a member starts.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// It cannot be read or written.
    #[error("keep how the store's engine starts in {}", path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Launch {
    /// Alone, the first member of a new etcd.
    #[must_use]
    pub fn first(options: &Options) -> Self {
        let members = [(options.name.clone(), options.peer_url())].into();
        Self { first: true, members }
    }

    /// What was kept in the engine's directory.
    ///
    /// # Errors
    /// [`LaunchError::File`].
    pub fn load(directory: &Path) -> Result<Option<Self>, LaunchError> {
        let path = directory.join(FILE);
        let failed = |cause: Box<dyn std::error::Error + Send + Sync>| LaunchError::File {
            path: path.clone(),
            cause,
        };
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|e| failed(e.into())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error.into())),
        }
    }

    /// Keeps it in the engine's directory, made if need be.
    ///
    /// # Errors
    /// [`LaunchError::File`].
    pub fn save(&self, directory: &Path) -> Result<(), LaunchError> {
        let path = directory.join(FILE);
        let text = serde_json::to_vec_pretty(self).expect("names and addresses are text");
        std::fs::create_dir_all(directory)
            .map_err(|error| LaunchError::File { path: path.clone(), cause: error.into() })?;
        pki::write_atomic(&path, &text, pki::PRIVATE_MODE)
            .map_err(|error| LaunchError::File { path, cause: error.into() })
    }

    pub(super) fn members(&self) -> String {
        let pairs = self.members.iter().map(|(name, url)| format!("{name}={url}"));
        pairs.collect::<Vec<_>>().join(",")
    }

    pub(super) fn state(&self) -> &'static str {
        if self.first { "new" } else { "existing" }
    }
}
