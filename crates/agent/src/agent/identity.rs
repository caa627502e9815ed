//! The agent's certificate: renewed by the servers a third into its life, or late, when all was off
//! for a month; read again when its file changes.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use api::join::RenewRequest;
use client::{Client, ClientError, Config};
use pki::{CaError, FileError, HostKey, Identity, IdentityError, Renewal, SwappableIdentity};
use tokio::sync::watch;

use super::options::Options;
use crate::failure::told;
use crate::link::Servers;

/// How often the file is looked at; certificates are renewed days before they end.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// How many looks pass after a renewal that failed: ten minutes when there is time, none when the
/// certificate has expired and keeps the host from its servers.
const PAUSE: u32 = 20;

pub(super) fn load(options: &Options) -> Result<Arc<SwappableIdentity>, IdentityError> {
    SwappableIdentity::new(&Identity::load(&options.certificate, &options.key)?)
}

/// Keeps the certificate fresh, and takes over what others put in its place; runs until dropped.
pub(super) async fn refresh(
    options: Options,
    servers: watch::Receiver<Servers>,
    identity: Arc<SwappableIdentity>,
) {
    let mut last = written(&options.certificate);
    let mut pause = 0;
    loop {
        let all = servers.borrow().all();
        if let Err(error) = renew_when_due(&options, all, &mut pause).await {
            tracing::warn!(error = told(&error), "the certificate could not be renewed");
        }
        let now = written(&options.certificate);
        if now != last {
            let renewed = Identity::load(&options.certificate, &options.key)
                .and_then(|renewed| identity.replace(&renewed));
            match renewed {
                Ok(()) => {
                    tracing::info!("took a renewed certificate");
                    last = now;
                }
                Err(error) => tracing::warn!(error = told(&error), "the old certificate stays"),
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Why a certificate was not renewed.
#[derive(Debug, thiserror::Error)]
enum RenewError {
    #[error("read the certificate to renew")]
    Identity(#[from] IdentityError),
    #[error("use the key of the certificate to renew")]
    Key(#[from] CaError),
    #[error("ask a server for the next certificate")]
    Ask(#[from] ClientError),
    #[error("keep the next certificate")]
    Keep(#[from] FileError),
}

/// Asks for the next certificate when it is time. The connection shows no certificate, so an
/// expired one is no obstacle: the signature of the request proves that the key is here.
async fn renew_when_due(
    options: &Options,
    addresses: Vec<String>,
    pause: &mut u32,
) -> Result<(), RenewError> {
    let present = Identity::load(&options.certificate, &options.key)?;
    let time = options.clock.wall();
    let now = jiff::Timestamp::from_millisecond(time.0).unwrap_or_default();
    match present.validity().renewal(now) {
        Renewal::NotBefore(_) => return Ok(()),
        Renewal::Due if *pause > 0 => {
            *pause -= 1;
            return Ok(());
        }
        Renewal::Due | Renewal::Expired => {}
    }
    *pause = PAUSE;
    let client =
        Client::new(&Config { addresses, token: None, ca_pem: Some(options.ca_pem.clone()) })?;
    let key = HostKey::load(&options.key)?;
    let request = RenewRequest {
        certificate_pem: present.certificate_pem(),
        request_pem: key.request_pem()?,
        time,
    };
    let answer = client.renew(&request).await?;
    let next = key.with_certificate(&answer.certificate_pem)?;
    next.save(&options.certificate, &options.key)?;
    *pause = 0;
    Ok(())
}

fn written(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|meta| meta.modified()).ok()
}
