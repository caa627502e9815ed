//! `freehold store`: moves the state between SQLite and etcd. Offline: no server may run on it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;
use store::backup::{RestoreError, TransferError, transfer};
use store::{EtcdOptions, EtcdStore, EtcdTls, SqliteOptions, SqliteStore, Store, StoreError};

use crate::connect::{Session, run_async};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::fields;

/// Where the cluster's state is kept
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Arguments {
    Move(Box<MoveArguments>),
}

/// Move the state from one machine's SQLite into etcd, or back
///
/// All servers must be stopped. Everything is compared at the end; what was moved from stays, a
/// database under the name state.db.moved.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("source").required(true).args(["from", "from_etcd"]))]
pub(crate) struct MoveArguments {
    /// The data directory to move from
    #[arg(long, value_name = "DIR", requires = "to_etcd")]
    pub from: Option<PathBuf>,
    /// The etcd to move into: https://ADDRESS:PORT of its members, separated by commas
    #[arg(long, value_name = "ENDPOINTS", value_delimiter = ',', requires = "from")]
    pub to_etcd: Vec<String>,
    /// The etcd to move from
    #[arg(long, value_name = "ENDPOINTS", value_delimiter = ',', requires = "to")]
    pub from_etcd: Vec<String>,
    /// The data directory to move into; it must hold no state
    #[arg(long, value_name = "DIR", requires = "from_etcd")]
    pub to: Option<PathBuf>,
    /// The certificate to show to etcd, PEM
    #[arg(long, value_name = "FILE", requires = "key", requires = "authorities")]
    pub certificate: Option<PathBuf>,
    /// That certificate's key, PEM
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub key: Option<PathBuf>,
    /// The authorities that sign etcd's certificates, PEM
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub authorities: Option<PathBuf>,
    /// What all keys begin with in etcd
    #[arg(long, value_name = "PREFIX", default_value = "freehold/")]
    pub prefix: String,
}

#[derive(Debug, Serialize)]
struct Moved {
    keys: u64,
    from: String,
    to: String,
    /// Where the database moved from is now.
    kept: Option<PathBuf>,
}

pub(crate) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Arguments::Move(arguments) = arguments;
    let moved = run_async(async {
        match (&arguments.from, &arguments.to) {
            (Some(from), None) => into_etcd(arguments, from).await,
            (None, Some(to)) => from_etcd(arguments, to).await,
            _ => Err(Failure::invalid("move the state: give --from or --to")),
        }
    })?;
    session.show(&moved, |moved, _| {
        let mut rows = vec![
            ("moved", format!("{} documents, compared", moved.keys)),
            ("from", moved.from.clone()),
            ("to", moved.to.clone()),
        ];
        rows.extend(moved.kept.as_ref().map(|kept| ("kept", kept.display().to_string())));
        fields(&rows)
    })
}

async fn into_etcd(arguments: &MoveArguments, from: &Path) -> Result<Moved, Failure> {
    let database = database(from);
    let kept = suffixed(&database, ".moved");
    if !database.exists() {
        let message = format!("move the state: there is none at {}", database.display());
        return Err(Failure::new(Exit::NotFound, message));
    }
    if kept.exists() {
        let message = format!("move the state: {} is in the way", kept.display());
        return Err(Failure::new(Exit::Conflict, message)
            .hint("it is from an earlier move; remove it if it is of no more use"));
    }
    let source = open_database(&database).await?;
    let moved = async {
        let target = open_etcd(arguments, &arguments.to_etcd).await?;
        let summary = transfer(&source, &target, &suffixed(&database, ".moving")).await;
        closed(&target).await?;
        summary.map_err(|error| refused(&error))
    };
    let moved = moved.await;
    closed(&source).await?;
    let summary = moved?;
    std::fs::rename(&database, &kept).map_err(|e| {
        Failure::io(format!("rename {} to {}", database.display(), kept.display()), &e)
            .hint("rename it by hand, so that no server starts on it")
    })?;
    Ok(Moved {
        keys: summary.keys,
        from: database.display().to_string(),
        to: arguments.to_etcd.join(","),
        kept: Some(kept),
    })
}

async fn from_etcd(arguments: &MoveArguments, to: &Path) -> Result<Moved, Failure> {
    let database = database(to);
    let source = open_etcd(arguments, &arguments.from_etcd).await?;
    let directory = database.parent().unwrap_or(to);
    std::fs::create_dir_all(directory)
        .map_err(|e| Failure::io(format!("make {}", directory.display()), &e))?;
    let target = open_database(&database).await?;
    let summary = transfer(&source, &target, &suffixed(&database, ".moving")).await;
    closed(&target).await?;
    closed(&source).await?;
    Ok(Moved {
        keys: summary.map_err(|error| refused(&error))?.keys,
        from: arguments.from_etcd.join(","),
        to: database.display().to_string(),
        kept: None,
    })
}

/// The database of a server's directory, or of one that `freehold up` made.
fn database(directory: &Path) -> PathBuf {
    let inner = directory.join("server");
    let directory = if inner.is_dir() { inner } else { directory.to_owned() };
    directory.join("state.db")
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

async fn open_database(path: &Path) -> Result<SqliteStore, Failure> {
    SqliteStore::open(path, SqliteOptions::default()).await.map_err(|error| match &error {
        StoreError::AlreadyOpen { .. } => {
            Failure::of(Exit::InUse, &error).hint("stop the server first")
        }
        _ => Failure::of(Exit::Failure, &error),
    })
}

async fn open_etcd(arguments: &MoveArguments, endpoints: &[String]) -> Result<EtcdStore, Failure> {
    let mut options = EtcdOptions::new(endpoints);
    options.prefix.clone_from(&arguments.prefix);
    // Nobody waits for these writes: better late than over again.
    options.write_timeout = options.timeout * 4;
    if let (Some(certificate), Some(key), Some(authorities)) =
        (&arguments.certificate, &arguments.key, &arguments.authorities)
    {
        let read = |path: &Path| {
            let bytes = std::fs::read(path);
            bytes.map_err(|e| Failure::io(format!("read {}", path.display()), &e))
        };
        let (certificate, authorities) = (read(certificate)?, read(authorities)?);
        options =
            options.with_tls(EtcdTls { authorities, certificate, key: pki::read_private(key)? });
    }
    EtcdStore::open(options).await.map_err(|error| {
        Failure::of(Exit::Unavailable, &error)
            .hint("look at the addresses, and at --certificate, --key and --authorities")
    })
}

async fn closed(store: &dyn Store) -> Result<(), Failure> {
    store.close().await.map_err(|error| Failure::of(Exit::Failure, &error))
}

fn refused(error: &TransferError) -> Failure {
    match error {
        TransferError::Write(RestoreError::NotEmpty) => {
            Failure::of(Exit::Conflict, error).hint("move into a store that holds nothing")
        }
        TransferError::Changed { .. } | TransferError::Differs { .. } => {
            Failure::of(Exit::Conflict, error).hint("stop every server, then move again")
        }
        TransferError::Scratch { cause, .. }
            if cause.kind() == std::io::ErrorKind::AlreadyExists =>
        {
            Failure::of(Exit::Conflict, error)
                .hint("it is left of a move that was cut off; remove it")
        }
        _ => Failure::of(Exit::Failure, error),
    }
}
