//! What a server of a cluster knows from its beginning: one file in its data directory, beside its
//! certificate and the cluster's keys.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use api::host::DomainPath;
use api::id::{HostId, ServerId};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use server::engine;

use super::super::kept::Kept;
use super::Arguments;
use super::begin::{Place, etcd_binary};
use crate::failure::Failure;

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServerFile {
    /// The cluster's name.
    pub(super) cluster: String,
    /// The server's name.
    pub(super) name: ServerId,
    /// Where agents, other servers and users reach it.
    pub(super) address: String,
    /// The failure domain it stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) domain: Option<DomainPath>,
    /// The host that runs on the same machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<HostId>,
    /// Where it serves.
    pub(super) api: SocketAddr,
    /// The addresses of all instances of the cluster.
    pub(super) instance_range: Ipv4Net,
    /// The addresses of services.
    pub(super) service_range: Ipv4Net,
    /// The port of https as clients see it, when it is not 443.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) https_port: Option<u16>,
    /// Where its etcd serves other servers.
    pub(super) etcd_client: SocketAddr,
    /// Where its etcd serves other members.
    pub(super) etcd_peer: SocketAddr,
    /// The etcd program, when it is not that of the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) etcd_binary: Option<PathBuf>,
    /// What its etcd's members know each other by, when it is not the cluster's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) etcd_cluster: Option<String>,
    /// Where etcd served when it began; the engine's directory says where it has been seen since.
    pub(super) etcd: Vec<String>,
}

/// Where things are in the data directory.
pub(super) struct Paths(PathBuf);

impl Paths {
    pub(super) fn of(data: &Path) -> Self {
        Self(data.to_owned())
    }

    /// The authority's certificate and key, and the server's own.
    pub(super) fn pki(&self) -> PathBuf {
        self.0.join("pki")
    }

    pub(super) fn certificate(&self) -> PathBuf {
        self.pki().join("server.pem")
    }

    pub(super) fn key(&self) -> PathBuf {
        self.pki().join("server.key")
    }

    /// The cluster's authorities, for everybody.
    pub(super) fn authorities(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    pub(super) fn admin_token(&self) -> PathBuf {
        self.0.join("admin.token")
    }

    pub(super) fn server(&self) -> PathBuf {
        self.0.join("server")
    }

    pub(super) fn master_key(&self) -> PathBuf {
        self.server().join("master.key")
    }
}

impl Kept for ServerFile {
    const FILE: &'static str = "server.toml";
}

impl ServerFile {
    /// What the server is started with: what was typed, else what is known.
    pub(super) fn complete(self, arguments: Arguments) -> Result<server::Options, Failure> {
        let found = std::fs::canonicalize(arguments.data());
        let doing = || format!("open {}", arguments.data().display());
        let data = found.map_err(|error| Failure::io(doing(), &error))?;
        let begin = arguments.begin;
        let place = Place {
            name: self.name.clone(),
            api: arguments.api.unwrap_or(self.api),
            address: arguments.address.unwrap_or_else(|| self.address.clone()),
            etcd_client: self.etcd_client,
            etcd_peer: self.etcd_peer,
            names: pki::ServerNames::default(),
        };
        let binary = etcd_binary(begin.etcd_binary.as_deref().or(self.etcd_binary.as_deref()))?;
        let paths = Paths::of(&data);
        let known_by = self.etcd_cluster.as_deref().unwrap_or(&self.cluster);
        let engine = engine_options(&data, known_by, &place, binary);
        let first = self.etcd.clone();
        Ok(server::Options {
            clock: super::super::process::clock()?,
            data: paths.server(),
            state: server::State::Supervised(Box::new(server::Supervised { engine, first })),
            cluster: self.cluster,
            name: place.name.to_string(),
            address: place.address,
            domain: arguments.domain.or(self.domain).unwrap_or_default(),
            host: arguments.host.or(self.host),
            api: place.api,
            certificate: paths.certificate(),
            key: paths.key(),
            authorities: paths.authorities(),
            authority: Some(paths.pki()),
            admin_token: paths.admin_token(),
            instance_range: self.instance_range,
            service_range: self.service_range,
            https_port: arguments.https_port.or(self.https_port),
        })
    }
}

/// What the server's etcd is told.
pub(super) fn engine_options(
    data: &Path,
    cluster: &str,
    place: &Place,
    binary: PathBuf,
) -> engine::Options {
    let paths = Paths::of(data);
    engine::Options {
        name: place.name.to_string(),
        cluster: cluster.to_owned(),
        directory: data.join("engine"),
        binary,
        client: place.etcd_client,
        peer: place.etcd_peer,
        certificate: paths.certificate(),
        key: paths.key(),
        authorities: paths.authorities(),
        quota_bytes: engine::Options::QUOTA_BYTES,
        heartbeat: engine::Options::HEARTBEAT,
        election: engine::Options::ELECTION,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_says_what_the_beginning_gave() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(ServerFile::load(dir.path()).unwrap(), None);
        let file = ServerFile {
            cluster: "north".into(),
            name: "s1".parse().unwrap(),
            address: "10.0.0.1:7443".into(),
            domain: Some("rack-1".parse().unwrap()),
            host: None,
            api: "0.0.0.0:7443".parse().unwrap(),
            instance_range: "10.128.0.0/10".parse().unwrap(),
            service_range: "10.127.0.0/16".parse().unwrap(),
            https_port: Some(8443),
            etcd_client: "10.0.0.1:2379".parse().unwrap(),
            etcd_peer: "10.0.0.1:2380".parse().unwrap(),
            etcd_binary: None,
            etcd_cluster: Some("north-0123".into()),
            etcd: vec!["https://10.0.0.1:2379".into()],
        };
        file.save(dir.path()).unwrap();
        assert_eq!(ServerFile::load(dir.path()).unwrap().as_ref(), Some(&file));
        std::fs::write(dir.path().join(ServerFile::FILE), "naem = 1").unwrap();
        assert!(ServerFile::load(dir.path()).is_err(), "a mistyped file is not passed over");
    }
}
