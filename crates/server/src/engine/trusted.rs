//! Whom the etcd process trusts: it reads the authorities once, when it starts, so what they were
//! then is written down beside it. Starting it anew is how it learns of others.

use std::path::Path;
use std::time::Duration;

use pki::CaBundle;
use store::StoreError;
use store::etcd::EtcdAdmin;
use tokio::time::{Instant, sleep};

use super::client::{ClientError, client};
use super::options::Options;
use super::supervise::{Engine, EngineError};

const FILE: &str = "trusted.json";

/// How long etcd may take to answer after its start: it reads its log, and finds the others.
const WITHIN: Duration = Duration::from_secs(60);

/// Between two looks whether it answers.
const LOOK: Duration = Duration::from_millis(200);

/// Why etcd was not started anew.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnewError {
    /// It could not be ended.
    #[error(transparent)]
    End(#[from] EngineError),
    /// The certificate to ask it with could not be read.
    #[error("ask etcd whether it runs again")]
    Client(#[from] ClientError),
    /// It could not be asked.
    #[error("ask etcd whether it runs again")]
    Store(#[from] StoreError),
    /// It does not answer.
    #[error("wait for etcd after its start: no answer within {0:?}")]
    Late(Duration),
}

/// The fingerprints of the authorities that the process trusts, as written down before its start.
pub(crate) fn trusted(directory: &Path) -> Vec<String> {
    let read = std::fs::read(directory.join(FILE)).ok();
    read.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Writes down whom a process that is started now will trust. Should the file change in between, it
/// is started once more than needed.
pub(super) fn note(options: &Options) -> Result<(), pki::FileError> {
    let bundle = CaBundle::load(&options.authorities);
    let fingerprints = bundle.map(|bundle| bundle.fingerprints()).unwrap_or_default();
    let texts: Vec<String> = fingerprints.iter().map(ToString::to_string).collect();
    let text = serde_json::to_vec(&texts).expect("texts are JSON");
    pki::write_atomic(&options.directory.join(FILE), &text, pki::PRIVATE_MODE)
}

/// Ends the process in good order, for its supervisor to start it again; returns when it answers.
///
/// # Errors
/// When it cannot be ended, or does not answer in time.
pub(crate) async fn start_anew(options: &Options) -> Result<(), AnewError> {
    Engine::new(options.clone())?.end().await?;
    let begun = Instant::now();
    while begun.elapsed() < WITHIN {
        sleep(LOOK).await;
        // The certificate may be renewed meanwhile.
        let admin = EtcdAdmin::new(client(options, vec![options.client_url()])?).await?;
        if admin.status(&options.client_url()).await.is_ok_and(|status| status.leader != 0) {
            return Ok(());
        }
    }
    Err(AnewError::Late(WITHIN))
}
