//! A cluster's first server that begins with the state of a former one: the keys are taken over
//! here, the backup is laid beside the store, and the server restores it into its etcd before it
//! serves for the first time.

use std::path::{Path, PathBuf};

use pki::{CaBundle, CertificateAuthority};
use server::restore::PENDING;

use super::file::Paths;
use crate::connect::run_async;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::former;

/// What a former cluster left.
pub(super) struct Former {
    backup: PathBuf,
    keys: Option<PathBuf>,
    /// Its authorities, the one that signs first.
    pub(super) authorities: Option<CaBundle>,
    /// Its name, as its authority says it.
    pub(super) cluster: Option<String>,
}

impl Former {
    /// Reads the backup to its end, and refuses to begin beside servers that still run.
    pub(super) fn read(backup: &Path, keys: Option<&Path>) -> Result<Self, Failure> {
        let (mut authorities, mut cluster) = (None, None);
        if let Some(keys) = keys {
            former::check_keys(keys)?;
            authorities = former::authorities(keys)?;
        }
        if let (Some(keys), Some(_)) = (keys, &authorities) {
            cluster = Some(CertificateAuthority::load(&keys.join("pki"))?.cluster().to_owned());
        }
        run_async(async {
            let recorded = former::recorded(backup).await?;
            let Some(authorities) = &authorities else {
                eprintln!(
                    "warning: without the keys of before secrets cannot be opened, set them anew; \
                     and no host of before is let in: each joins again"
                );
                return Ok(());
            };
            former::warn_of_exchange(&recorded, authorities);
            let running = former::running(&recorded, authorities).await;
            if running.is_empty() {
                return Ok(());
            }
            let message = format!(
                "begin the cluster again: servers of it still run: {}",
                former::named(&running)
            );
            Err(Failure::new(Exit::Conflict, message).hint(
                "hosts would hear two clusters with one name; stop those servers and their etcd \
                 first, or join them instead: freehold server --join",
            ))
        })?;
        Ok(Self { backup: backup.to_owned(), keys: keys.map(Path::to_owned), authorities, cluster })
    }

    /// Lays the keys and the backup where the server finds them.
    pub(super) fn take_over(&self, data: &Path, paths: &Paths) -> Result<(), Failure> {
        if let Some(keys) = &self.keys {
            former::copy_keys(keys, data)?;
        }
        let pending = paths.server().join(PENDING);
        let partial = paths.server().join(format!("{PENDING}.partial"));
        let copied = std::fs::copy(&self.backup, &partial)
            .and_then(|_| std::fs::File::open(&partial)?.sync_all())
            .and_then(|()| std::fs::rename(&partial, &pending));
        let doing = || format!("copy {} to {}", self.backup.display(), pending.display());
        copied.map_err(|error| Failure::io(doing(), &error))
    }
}
