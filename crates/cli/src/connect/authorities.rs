//! The cluster's authorities in contexts: taken over when the cluster says that it has others, as
//! long as one that is trusted already is among them.

use std::path::Path;

use client::Client;
use pki::CaBundle;

use super::config::Config;
use super::target::Given;
use crate::failure::Failure;

/// Keeps what the cluster has now in the contexts that had `ca`; `seen` is what it said of them.
pub(super) async fn keep(
    client: &Client,
    path: &Path,
    ca: &Given,
    seen: &str,
) -> Result<(), Failure> {
    let mut config = Config::load(path)?;
    let ours = config.contexts.values_mut();
    let kept = ours.filter(|context| match ca {
        Given::Text(text) => context.ca_pem.as_ref() == Some(text),
        Given::File(file) => context.ca_pem.is_none() && context.ca.as_ref() == Some(file),
    });
    let mut kept: Vec<_> = kept.collect();
    if kept.is_empty() {
        return Ok(());
    }
    let before = match ca {
        Given::Text(text) => CaBundle::from_pem(text.as_bytes())?,
        Given::File(file) => CaBundle::load(file)?,
    };
    if image::Digest::of(before.to_pem().as_bytes()).to_string() == seen {
        return Ok(());
    }
    let now = CaBundle::from_pem(client.authority().await?.authorities_pem.as_bytes())?;
    if !follows(&before, &now) {
        return Err(Failure::invalid("keep the cluster's authorities: all of them are others"));
    }
    match ca {
        Given::Text(_) => {
            for context in &mut kept {
                context.ca_pem = Some(now.to_pem());
            }
            config.save(path)
        }
        Given::File(file) => Ok(now.save(file)?),
    }
}

/// Whether one that was trusted still is: else they come from nobody that is trusted.
fn follows(before: &CaBundle, now: &CaBundle) -> bool {
    now.certificates().iter().any(|one| before.certificates().contains(one))
}

#[cfg(test)]
mod tests {
    use pki::CertificateAuthority;

    use super::*;

    #[test]
    fn only_authorities_with_one_that_is_known_are_taken() {
        let made = || CertificateAuthority::create("c", jiff::Timestamp::now()).unwrap();
        let (old, new) = (made(), made());
        let both = new.bundle().followed_by(old.bundle()).unwrap();
        assert!(follows(old.bundle(), &both));
        assert!(follows(&both, new.bundle()));
        assert!(!follows(old.bundle(), new.bundle()));
    }
}
