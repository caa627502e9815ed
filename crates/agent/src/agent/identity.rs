//! The agent's certificate, read again when its file changes.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pki::{Identity, IdentityError, SwappableIdentity};

use super::options::Options;
use crate::failure::told;

/// How often the file is looked at; certificates are renewed days before they end.
const LOOK_EVERY: Duration = Duration::from_secs(30);

pub(super) fn load(options: &Options) -> Result<Arc<SwappableIdentity>, IdentityError> {
    SwappableIdentity::new(&Identity::load(&options.certificate, &options.key)?)
}

/// Takes a renewed certificate over; runs until dropped.
pub(super) async fn refresh(options: Options, identity: Arc<SwappableIdentity>) {
    let mut last = written(&options.certificate);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = written(&options.certificate);
        if now == last {
            continue;
        }
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
}

fn written(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|meta| meta.modified()).ok()
}
