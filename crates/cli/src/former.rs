//! What a former cluster leaves behind: a backup, and a data directory with its keys. Both ways of
//! beginning again with them have this in common.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

use api::server::Server;
use client::{Client, ClientError, Config};
use pki::{CaBundle, CertificateAuthority};
use server::restore::Recorded;
use store::backup::RestoreError;
use tokio::io::BufReader;

use crate::exit::Exit;
use crate::failure::Failure;

/// What is copied of an old data directory, when it is there.
const KEYS: [&str; 5] = ["server/master.key", "pki/ca.key", "pki/ca.pem", "admin.token", "ca.pem"];

/// How long a server of the backup may take to show that it still runs.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Opens a backup.
pub(crate) async fn open(file: &Path) -> Result<BufReader<tokio::fs::File>, Failure> {
    let doing = format!("read the backup {}", file.display());
    let opened = tokio::fs::File::open(file).await;
    opened.map(BufReader::new).map_err(|e| Failure::invalid(doing).because(e.to_string()))
}

/// Reads a backup to its end, before anything is made of it.
pub(crate) async fn recorded(file: &Path) -> Result<Recorded, Failure> {
    Recorded::read(open(file).await?).await.map_err(|error| refused(&error))
}

pub(crate) fn refused(error: &RestoreError) -> Failure {
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

/// Refuses a directory without the key that nothing can be had without.
pub(crate) fn check_keys(keys: &Path) -> Result<(), Failure> {
    if keys.join(KEYS[0]).exists() {
        return Ok(());
    }
    let message = format!("take the keys of {}: it has no {}", keys.display(), KEYS[0]);
    Err(Failure::new(Exit::NotFound, message))
}

/// The authorities of a data directory, the one that signs first; none where it has none.
pub(crate) fn authorities(keys: &Path) -> Result<Option<CaBundle>, Failure> {
    let pki = keys.join("pki");
    if !pki.join("ca.pem").exists() {
        return Ok(None);
    }
    let signs = CertificateAuthority::load(&pki)?.bundle().clone();
    let trusted = keys.join("ca.pem");
    if !trusted.exists() {
        return Ok(Some(signs));
    }
    let both = signs.followed_by(&CaBundle::load(&trusted)?);
    both.map(Some).map_err(|error| Failure::of(Exit::Failure, &error))
}

/// Says so when the authority was exchanged between the backup and the keys.
pub(crate) fn warn_of_exchange(recorded: &Recorded, authorities: &CaBundle) {
    if let Some(told) = recorded.stranger(authorities) {
        eprintln!("warning: {told}");
        eprintln!(
            "hint: take the newest copy of the keys; a host that does not connect (freehold host \
             list) trusts another authority, and joins again: freehold host token --replace NAME"
        );
    }
}

/// Those servers of a backup that still run: they answer with a certificate of these authorities.
pub(crate) async fn running(recorded: &Recorded, authorities: &CaBundle) -> Vec<Server> {
    let mut asked = tokio::task::JoinSet::new();
    for server in recorded.servers.iter().cloned() {
        let config = Config {
            addresses: vec![server.address.clone()],
            token: None,
            ca_pem: Some(authorities.to_pem()),
        };
        asked.spawn(async move { answers(&config).await.then_some(server) });
    }
    let mut running: Vec<Server> = asked.join_all().await.into_iter().flatten().collect();
    running.sort_by(|one, other| one.name.cmp(&other.name));
    running
}

async fn answers(config: &Config) -> bool {
    let Ok(client) = Client::new(config) else { return false };
    match tokio::time::timeout(ANSWER_WITHIN, client.version()).await {
        // A refusal is an answer too.
        Ok(Ok(_) | Err(ClientError::Api(_) | ClientError::Answer { .. })) => true,
        Ok(Err(_)) | Err(_) => false,
    }
}

/// Names servers for people.
pub(crate) fn named(servers: &[Server]) -> String {
    let one = |server: &Server| format!("{} at {}", server.name, server.address);
    servers.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Copies the keys of one data directory into another one.
pub(crate) fn copy_keys(from: &Path, to: &Path) -> Result<(), Failure> {
    make(&to.join("pki"), 0o700)?;
    for name in KEYS.iter().filter(|name| from.join(name).exists()) {
        let doing = || format!("copy {name} from {}", from.display());
        let bytes = std::fs::read(from.join(name)).map_err(|e| Failure::io(doing(), &e))?;
        let mode = if name.ends_with(".pem") { pki::PUBLIC_MODE } else { pki::PRIVATE_MODE };
        pki::write_atomic(&to.join(name), &bytes, mode)?;
    }
    Ok(())
}

/// Makes a directory.
pub(crate) fn make(path: &Path, mode: u32) -> Result<(), Failure> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|e| Failure::io(format!("make {}", path.display()), &e))
}
