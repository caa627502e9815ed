//! `freehold restore`: makes the state of a new data directory from a backup. Offline: no server
//! may run on the directory.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;
use store::backup::{RestoreError, restore};
use store::{SqliteOptions, SqliteStore, Store};

use crate::connect::{Session, run_async};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::fields;

/// Restore a backup into an empty data directory
///
/// Afterwards start the server there: freehold up --data DIR. A restore that was cut off is done
/// over by running it again.
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

/// What is copied of an old data directory, when it is there.
const KEYS: [&str; 5] = ["server/master.key", "pki/ca.key", "pki/ca.pem", "admin.token", "ca.pem"];

pub(crate) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Arguments { file, data, keys } = arguments;
    let server = data.join("server");
    check_empty(data)?;
    if let Some(keys) = keys
        && !keys.join(KEYS[0]).exists()
    {
        let message = format!("take the keys of {}: it has no {}", keys.display(), KEYS[0]);
        return Err(Failure::new(Exit::NotFound, message));
    }
    let restored = run_async(async {
        let doing = format!("read the backup {}", file.display());
        let input = tokio::fs::File::open(file).await;
        let input = input.map_err(|e| Failure::invalid(doing).because(e.to_string()))?;
        // Verified before anything is made.
        let mut input = tokio::io::BufReader::new(input);
        store::backup::verify(&mut input).await.map_err(|error| refused(&error))?;
        tokio::io::AsyncSeekExt::rewind(&mut input)
            .await
            .map_err(|e| Failure::io(format!("read the backup {}", file.display()), &e))?;
        make(data, 0o711)?;
        make(&server, 0o711)?;
        let store = SqliteStore::open(server.join("state.db"), SqliteOptions::default()).await;
        let store = store.map_err(|error| Failure::of(Exit::InUse, &error))?;
        let summary = restored(input, &store).await;
        let closed = store.close().await.map_err(|error| Failure::of(Exit::Failure, &error));
        let summary = summary?;
        closed?;
        Ok(Restored { keys: summary.keys, data: data.clone() })
    })?;
    if let Some(keys) = keys {
        copy_keys(keys, data)?;
    } else {
        eprintln!("warning: without --keys secrets cannot be opened; set them anew");
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
) -> Result<store::backup::Summary, Failure> {
    let summary = restore(input, store).await.map_err(|error| refused(&error))?;
    server::restore::make_ready(store).await.map_err(|error| Failure::of(Exit::Failure, &error))?;
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
            return Err(Failure::new(Exit::Conflict, message)
                .hint("give a directory that is empty or missing"));
        }
    }
    Ok(())
}

fn make(path: &Path, mode: u32) -> Result<(), Failure> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|e| Failure::io(format!("make {}", path.display()), &e))
}

fn refused(error: &RestoreError) -> Failure {
    let failure = |exit| Failure::of(exit, error);
    match error {
        RestoreError::NotEmpty => {
            failure(Exit::Conflict).hint("give a directory that is empty or missing")
        }
        RestoreError::Overtaken => failure(Exit::Conflict),
        RestoreError::NewerFormat { .. } => {
            failure(Exit::Invalid).hint("restore it with the version that wrote it, or a later one")
        }
        RestoreError::Foreign | RestoreError::Truncated { .. } | RestoreError::Damaged { .. } => {
            failure(Exit::Invalid)
        }
        _ => failure(Exit::Failure),
    }
}

fn copy_keys(from: &Path, to: &Path) -> Result<(), Failure> {
    make(&to.join("pki"), 0o700)?;
    for name in KEYS.iter().filter(|name| from.join(name).exists()) {
        let doing = || format!("copy {name} from {}", from.display());
        let bytes = std::fs::read(from.join(name)).map_err(|e| Failure::io(doing(), &e))?;
        let mode = if name.ends_with(".pem") { pki::PUBLIC_MODE } else { pki::PRIVATE_MODE };
        pki::write_atomic(&to.join(name), &bytes, mode)?;
    }
    Ok(())
}
