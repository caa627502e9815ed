//! What a host knows from joining: one file in its data directory, beside its certificate.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use api::host::DomainPath;
use api::id::HostId;
use api::unit::Millis;
use ipnet::Ipv4Net;
use net::Slug;
use net::overlay::Mode;
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
    /// A command that prints that, where it may change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_command: Option<String>,
    /// How often it is run, when it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_every: Option<Millis>,
    /// How long it may take, when it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_within: Option<Millis>,
    /// The addresses of its instances.
    pub subnet: Ipv4Net,
    /// The addresses of all instances of the cluster.
    pub instance_range: Ipv4Net,
    /// The addresses of services.
    pub service_range: Ipv4Net,
    /// Names everything of this installation on the machine, when it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slug: Option<String>,
    /// Its directory on tmpfs, when it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_dir: Option<PathBuf>,
    /// How packets go to other hosts, when it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlay: Option<String>,
    /// The UDP port of the tunnel between hosts, when it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlay_port: Option<u16>,
    /// The UDP port of adverts between ingress hosts, when it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vip_port: Option<u16>,
    /// The UDP port of probes, when it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_port: Option<u16>,
    /// The port on which virtual addresses answer for the API, when it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_port: Option<u16>,
    /// Where it answers for the API besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<IpAddr>,
    /// Whether it served the ingress when it joined; its labels say whether it does now.
    #[serde(default = "yes")]
    pub ingress: bool,
    /// Where the ingress serves plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<SocketAddr>,
    /// Where the ingress serves TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https: Option<SocketAddr>,
}

fn yes() -> bool {
    true
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
        let kept = self.slug.as_deref().map(str::parse::<Slug>).transpose();
        let kept = kept.map_err(|error| unread(&data, "slug", &error))?;
        let slug = arguments.slug.clone().or(kept).unwrap_or_else(|| up::slug(&data));
        let kept = self.overlay.as_deref().map(str::parse::<Mode>).transpose();
        let kept = kept.map_err(|error| unread(&data, "overlay", &error))?;
        arguments.overlay = arguments.overlay.or(kept);
        let (certificate, key, authorities) = identity(&data);
        let run_dir = || Path::new("/run/freehold").join(slug.as_str());
        let plain = Plain {
            run_dir: arguments.run_dir.clone().or(self.run_dir).unwrap_or_else(run_dir),
            slug,
            host: arguments.host.clone().unwrap_or(self.host),
            authorities: arguments.authorities.clone().unwrap_or(authorities),
            certificate: arguments.certificate.clone().unwrap_or(certificate),
            key: arguments.key.clone().unwrap_or(key),
            subnet: arguments.subnet.unwrap_or(self.subnet),
            instances: arguments.instance_range.unwrap_or(self.instance_range),
            services: arguments.service_range.unwrap_or(self.service_range),
            data: data.join("agent"),
            ingress: self.ingress,
        };
        if arguments.servers.is_empty() {
            arguments.servers = self.servers;
        }
        arguments.domain = arguments.domain.or(self.domain);
        arguments.domain_command = arguments.domain_command.or(self.domain_command);
        arguments.domain_every = arguments.domain_every.or(self.domain_every);
        arguments.domain_within = arguments.domain_within.or(self.domain_within);
        arguments.address = arguments.address.or(Some(self.address));
        arguments.overlay_port = arguments.overlay_port.or(self.overlay_port);
        arguments.vip_port = arguments.vip_port.or(self.vip_port);
        arguments.probe_port = arguments.probe_port.or(self.probe_port);
        arguments.api_port = arguments.api_port.or(self.api_port);
        arguments.api = arguments.api.or(self.api);
        arguments.http = arguments.http.or(self.http);
        arguments.https = arguments.https.or(self.https);
        plain.options(arguments)
    }
}

fn unread(data: &Path, what: &str, error: &dyn std::fmt::Display) -> Failure {
    let file = data.join(AgentFile::FILE);
    Failure::invalid(format!("read {what} in {}", file.display())).because(error.to_string())
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
            domain_command: Some("echo rack-1".into()),
            domain_every: Some(Millis::secs(60)),
            domain_within: None,
            subnet: "10.128.3.0/24".parse().unwrap(),
            instance_range: "10.128.0.0/10".parse().unwrap(),
            service_range: "10.127.0.0/16".parse().unwrap(),
            slug: Some("north".into()),
            run_dir: Some("/run/north".into()),
            overlay: Some("vxlan".into()),
            overlay_port: Some(1),
            vip_port: Some(2),
            probe_port: Some(3),
            api_port: Some(4),
            api: Some("10.0.0.9".parse().unwrap()),
            ingress: false,
            http: None,
            https: Some("0.0.0.0:443".parse().unwrap()),
        };
        file.save(dir.path()).unwrap();
        assert_eq!(AgentFile::load(dir.path()).unwrap().as_ref(), Some(&file));
        std::fs::write(dir.path().join(AgentFile::FILE), "hots = 1").unwrap();
        assert!(AgentFile::load(dir.path()).is_err(), "a mistyped file is not passed over");
    }
}
