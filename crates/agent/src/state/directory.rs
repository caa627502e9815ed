//! The agent's directory on disk, held by one agent at a time.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Why a data directory could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Another agent runs on it.
    #[error("take the data directory {}: another agent is running on it", path.display())]
    Taken {
        /// The directory.
        path: PathBuf,
    },
    /// The system refused.
    #[error("prepare {}", path.display())]
    System {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A data directory, locked until dropped (or until the process ends in any way).
#[derive(Debug)]
pub struct DataDirectory {
    root: PathBuf,
    _lock: File,
}

impl DataDirectory {
    /// Makes the directory where it is missing, and locks it.
    ///
    /// # Errors
    /// [`DirectoryError::Taken`] when another process holds it; else what the system refused.
    pub fn take(root: &Path) -> Result<Self, DirectoryError> {
        let system = |path: &Path| {
            let path = path.to_owned();
            move |source| DirectoryError::System { path, source }
        };
        make_private(root).map_err(system(root))?;
        let path = root.join("agent.lock");
        let mut options = OpenOptions::new();
        let lock = options.create(true).append(true).mode(0o600).open(&path);
        let lock = lock.map_err(system(&path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(DirectoryError::Taken { path: root.to_owned() });
            }
            Err(errno) => return Err(system(&path)(errno.into())),
        }
        // Layers are reached by the ids of containers, so the path to them is searchable.
        let directory = Self { root: root.to_owned(), _lock: lock };
        for path in [directory.state(), directory.logs(), directory.images(), directory.scratch()] {
            make_private(&path).map_err(system(&path))?;
        }
        Ok(directory)
    }

    /// For sealed documents.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    /// For the output of instances, a directory for each.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// For layers, manifests and configurations.
    #[must_use]
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// For instances' writable paths on disk, a directory for each.
    #[must_use]
    pub fn scratch(&self) -> PathBuf {
        self.root.join("scratch")
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }
}

/// Makes a directory that others can pass through and not list; fine when it is there.
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o711).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_is_refused_and_the_next_one_is_not() {
        let root = std::env::temp_dir().join(format!("freehold-lock-{}", std::process::id()));
        let first = DataDirectory::take(&root).unwrap();
        assert!(matches!(DataDirectory::take(&root), Err(DirectoryError::Taken { .. })));
        drop(first);
        drop(DataDirectory::take(&root).unwrap());
        fs::remove_dir_all(&root).unwrap();
    }
}
