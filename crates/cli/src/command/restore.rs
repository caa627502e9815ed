//! `freehold restore`: makes the state of a new data directory from a backup. Offline: no server
//! may run on the directory.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clock::Clock;
use pki::CaBundle;
use serde::Serialize;
use server::restore::make_ready;
use store::backup::restore;
use store::{SqliteOptions, SqliteStore, Store};

use crate::connect::{Session, run_async};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::former;
use crate::output::fields;

/// Restore a backup into an empty data directory
///
/// Afterwards start the server there: freehold up --data DIR. A restore that was cut off is done
/// over by running it again. A cluster of several servers begins again with one of them: freehold
/// server --init --restore FILE --keys DIR, and the others join it anew.
///
/// Servers of before are forgotten, and hosts connect by themselves if the keys are those of their
/// authority: where it was exchanged since the backup, take keys from after that.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The backup
    pub file: PathBuf,
    /// The data directory; it must be empty or missing
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// A data directory, or a copy of one, whose keys are taken over: server/master.key and pki
    ///
    /// Without them secrets cannot be opened and hosts of the old cluster are not known.
    #[arg(long, value_name = "DIR")]
    pub keys: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Restored {
    keys: u64,
    data: PathBuf,
}

pub(crate) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Arguments { file, data, keys } = arguments;
    let server = data.join("server");
    check_empty(data)?;
    let mut authorities = None;
    if let Some(keys) = keys {
        former::check_keys(keys)?;
        authorities = former::authorities(keys)?;
    }
    let restored = run_async(async {
        // Verified before anything is made.
        let recorded = former::recorded(file).await?;
        if let Some(authorities) = &authorities {
            former::warn_of_exchange(&recorded, authorities);
            let running = former::running(&recorded, authorities).await;
            if !running.is_empty() {
                eprintln!(
                    "warning: servers of this cluster still run: {}; stop them before you start \
                     another one with their keys",
                    former::named(&running)
                );
            }
        }
        let input = former::open(file).await?;
        former::make(data, 0o711)?;
        former::make(&server, 0o711)?;
        let store = SqliteStore::open(server.join("state.db"), SqliteOptions::default()).await;
        let store = store.map_err(|error| Failure::of(Exit::InUse, &error))?;
        let summary = restored(input, &store, authorities.as_ref()).await;
        let closed = store.close().await.map_err(|error| Failure::of(Exit::Failure, &error));
        let summary = summary?;
        closed?;
        Ok(Restored { keys: summary.keys, data: data.clone() })
    })?;
    if let Some(keys) = keys {
        former::copy_keys(keys, data)?;
    } else {
        eprintln!(
            "warning: without --keys secrets cannot be opened, set them anew; and no host of \
             before is let in: each joins again"
        );
    }
    eprintln!(
        "note: a backup has no images; what apps run from the cluster's own registry is to be \
         pushed again, or copied: server/registry of the old data directory into {}",
        server.display()
    );
    session.show(&restored, |restored, _| {
        fields(&[
            ("restored", format!("{} documents", restored.keys)),
            ("into", restored.data.display().to_string()),
            ("start with", format!("freehold up --data {}", restored.data.display())),
        ])
    })
}

/// Restores, and lets the generations jump ahead of what hosts have seen.
async fn restored(
    input: tokio::io::BufReader<tokio::fs::File>,
    store: &SqliteStore,
    authorities: Option<&CaBundle>,
) -> Result<store::backup::Summary, Failure> {
    let summary = restore(input, store).await.map_err(|error| former::refused(&error))?;
    let clock = Clock::from_environment().map_err(|error| Failure::of(Exit::Invalid, &error))?;
    let ready = make_ready(store, authorities, clock.wall()).await;
    ready.map_err(|error| Failure::of(Exit::Failure, &error))?;
    Ok(summary)
}

/// Nothing but what a restore that was cut off left may be there.
fn check_empty(data: &Path) -> Result<(), Failure> {
    let name = data.display();
    let entries = match std::fs::read_dir(data) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Failure::io(format!("read {name}"), &e)),
        Ok(entries) => entries,
    };
    for entry in entries {
        let entry = entry.map_err(|e| Failure::io(format!("read {name}"), &e))?;
        if entry.file_name() != "server" {
            let message = format!("restore into {name}: it is not empty");
            return Err(Failure::new(Exit::Conflict, message).hint(
                "give a directory that is empty or missing; servers that run are never restored \
                 into: stop them all and begin again with an empty one",
            ));
        }
    }
    Ok(())
}
