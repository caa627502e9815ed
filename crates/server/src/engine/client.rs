//! How servers reach the etcd that they supervise: with their own certificate, by all members that
//! vote, and which those are as far as was seen last.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use pki::{FileError, read_private};
use store::etcd::Member;
use store::{EtcdOptions, EtcdTls};

use super::options::Options;

/// How often members are pinged and how long an answer may take: one that is silent is left after
/// 1 s. Ours let clients ping this often; etcd's default does not.
const PING: (Duration, Duration) = (Duration::from_millis(300), Duration::from_millis(700));

/// Why the certificate for etcd cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Certificate or authorities cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// The key cannot be read, or others can read it.
    #[error(transparent)]
    Key(#[from] FileError),
}

/// What a client of members at `endpoints` is told. The files are read now: a renewed certificate
/// needs new options.
///
/// # Errors
/// [`ClientError`]
pub fn client(options: &Options, endpoints: Vec<String>) -> Result<EtcdOptions, ClientError> {
    Ok(EtcdOptions { ping: PING, ..EtcdOptions::new(endpoints).with_tls(tls(options)?) })
}

fn tls(options: &Options) -> Result<EtcdTls, ClientError> {
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|cause| ClientError::Read { path: path.clone(), cause })
    };
    Ok(EtcdTls {
        authorities: read(&options.authorities)?,
        certificate: read(&options.certificate)?,
        key: read_private(&options.key)?,
    })
}

/// Where clients reach the members that vote: one that still learns answers nobody.
#[must_use]
pub fn voters(members: &[Member]) -> Vec<String> {
    let voting = members.iter().filter(|member| !member.learner);
    let mut urls: Vec<String> = voting.flat_map(|member| member.client_urls.clone()).collect();
    urls.sort();
    urls.dedup();
    urls
}

/// Where the members of an etcd serve clients, shared by all that need to know the newest.
#[derive(Clone, Debug, Default)]
pub struct Endpoints(Arc<RwLock<Vec<String>>>);

impl Endpoints {
    /// The newest; none where the state is in no etcd.
    #[must_use]
    pub fn get(&self) -> Vec<String> {
        self.0.read().clone()
    }

    pub(super) fn set(&self, endpoints: Vec<String>) {
        *self.0.write() = endpoints;
    }
}

impl From<Vec<String>> for Endpoints {
    fn from(endpoints: Vec<String>) -> Self {
        Self(Arc::new(RwLock::new(endpoints)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_votes_and_runs_is_asked() {
        let member = |id: u64, learner: bool, urls: &[&str]| Member {
            id,
            name: format!("s{id}"),
            peer_urls: vec![format!("https://10.0.0.{id}:2380")],
            client_urls: urls.iter().map(|&url| url.to_owned()).collect(),
            learner,
        };
        let members = [
            member(3, false, &["https://10.0.0.3:2379"]),
            member(1, false, &["https://10.0.0.1:2379"]),
            member(2, true, &["https://10.0.0.2:2379"]),
            member(4, false, &[]),
        ];
        assert_eq!(voters(&members), ["https://10.0.0.1:2379", "https://10.0.0.3:2379"]);
    }
}
