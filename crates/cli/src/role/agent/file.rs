//! What a host knows from joining: one file in its data directory, beside its certificate.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use api::host::DomainPath;
use api::id::HostId;
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::super::kept::Kept;
use super::super::up;
use super::{Arguments, Plain};
use crate::failure::Failure;

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AgentFile {
    /// The cluster's name.
    pub cluster: String,
    /// The host's name.
    pub host: HostId,
    /// Where servers were when it joined; they tell of changes.
    pub servers: Vec<String>,
    /// Where other hosts reach it.
    pub address: Ipv4Addr,
    /// The failure domain it stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<DomainPath>,
    /// The addresses of its instances.
    pub subnet: Ipv4Net,
    /// The addresses of all instances of the cluster.
    pub instance_range: Ipv4Net,
    /// The addresses of services.
    pub service_range: Ipv4Net,
    /// Where the ingress serves plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<SocketAddr>,
    /// Where the ingress serves TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https: Option<SocketAddr>,
}

/// The host's certificate, its key and the cluster's authorities in a data directory.
pub(super) fn identity(data: &Path) -> (PathBuf, PathBuf, PathBuf) {
    let pki = data.join("pki");
    (pki.join("host.pem"), pki.join("host.key"), pki.join("ca.pem"))
}

impl Kept for AgentFile {
    const FILE: &'static str = "agent.toml";
}

impl AgentFile {
    /// What the agent is started with: what was typed, else what is known.
    pub(super) fn complete(self, mut arguments: Arguments) -> Result<agent::Options, Failure> {
        let made = std::fs::canonicalize(&arguments.data);
        let doing = || format!("open {}", arguments.data.display());
        let data = made.map_err(|error| Failure::io(doing(), &error))?;
        let slug = arguments.slug.clone().unwrap_or_else(|| up::slug(&data));
        let (certificate, key, authorities) = identity(&data);
        let run_dir = || Path::new("/run/freehold").join(slug.as_str());
        let plain = Plain {
            run_dir: arguments.run_dir.clone().unwrap_or_else(run_dir),
            slug,
            host: arguments.host.clone().unwrap_or(self.host),
            authorities: arguments.authorities.clone().unwrap_or(authorities),
            certificate: arguments.certificate.clone().unwrap_or(certificate),
            key: arguments.key.clone().unwrap_or(key),
            subnet: arguments.subnet.unwrap_or(self.subnet),
            instances: arguments.instance_range.unwrap_or(self.instance_range),
            services: arguments.service_range.unwrap_or(self.service_range),
            data: data.join("agent"),
        };
        if arguments.servers.is_empty() {
            arguments.servers = self.servers;
        }
        arguments.domain = arguments.domain.or(self.domain);
        arguments.address = arguments.address.or(Some(self.address));
        arguments.http = arguments.http.or(self.http);
        arguments.https = arguments.https.or(self.https);
        plain.options(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_says_what_joining_gave() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(AgentFile::load(dir.path()).unwrap(), None);
        let file = AgentFile {
            cluster: "north".into(),
            host: "h1".parse().unwrap(),
            servers: vec!["10.0.0.1:7443".into()],
            address: "10.0.0.9".parse().unwrap(),
            domain: Some("rack-1".parse().unwrap()),
            subnet: "10.128.3.0/24".parse().unwrap(),
            instance_range: "10.128.0.0/10".parse().unwrap(),
            service_range: "10.127.0.0/16".parse().unwrap(),
            http: None,
            https: Some("0.0.0.0:443".parse().unwrap()),
        };
        file.save(dir.path()).unwrap();
        assert_eq!(AgentFile::load(dir.path()).unwrap().as_ref(), Some(&file));
        std::fs::write(dir.path().join(AgentFile::FILE), "hots = 1").unwrap();
        assert!(AgentFile::load(dir.path()).is_err(), "a mistyped file is not passed over");
    }
}
