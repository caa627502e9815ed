//! What the arguments of `up` come to on this machine: names, paths and address ranges. Pure: what
//! must be asked of the system is given.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use api::id::HostId;
use ipnet::Ipv4Net;
use net::Slug;

use super::Arguments;
use crate::failure::Failure;

/// The largest and the smallest range of addresses: a /16 has 128 host subnets, a /22 two.
const PREFIXES: std::ops::RangeInclusive<u8> = 16..=22;

/// Characters of the hash in a slug: 24 bits, so that two of ten installations on one machine clash
/// once in 370,000 machines.
const SLUG_LENGTH: usize = 6;

/// How the range of addresses is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ranges {
    /// All of it.
    pub whole: Ipv4Net,
    /// Instances of all hosts: the first half.
    pub instances: Ipv4Net,
    /// This host's part of that, its first /24.
    pub host: Ipv4Net,
    /// Services: the last quarter.
    pub services: Ipv4Net,
}

impl Ranges {
    /// Divides a /16 to /22.
    pub(super) fn of(whole: Ipv4Net) -> Result<Self, Failure> {
        let fail = |why: &str, hint: String| {
            Err(Failure::invalid(format!("divide {whole} among instances and services: {why}"))
                .hint(hint))
        };
        if whole.trunc() != whole {
            return fail(
                "it is not the beginning of a range",
                format!("--subnet {}", whole.trunc()),
            );
        }
        if !PREFIXES.contains(&whole.prefix_len()) {
            let prefix = whole.prefix_len().clamp(*PREFIXES.start(), *PREFIXES.end());
            let near = Ipv4Net::new(whole.addr(), prefix).map_or(whole, |near| near.trunc());
            return fail("it must be a /16 to /22", format!("--subnet {near}"));
        }
        if !whole.addr().is_private() {
            let hint = "use a part of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16".to_owned();
            return fail("it is not private (RFC 1918)", hint);
        }
        let part = |prefix: u8, last: bool| {
            let parts = whole.subnets(prefix).expect("a /16 to /22 has longer prefixes");
            let mut parts = parts;
            if last { parts.last() } else { parts.next() }.expect("a range has a first part")
        };
        let prefix = whole.prefix_len();
        Ok(Self {
            whole,
            instances: part(prefix + 1, false),
            host: part(net::address::HOST_PREFIX, false),
            services: part(prefix + 2, true),
        })
    }
}

/// Everything that `up` has decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Installation {
    pub data: PathBuf,
    pub run_dir: PathBuf,
    pub slug: Slug,
    pub cluster: String,
    pub host: HostId,
    pub api: SocketAddr,
    pub http: SocketAddr,
    pub https: SocketAddr,
    pub ranges: Ranges,
    pub api_hosts: Vec<String>,
    pub ephemeral: bool,
}

impl Installation {
    /// Puts it together; `data` is the canonical path of the data directory, `machine` the
    /// machine's own name.
    pub(super) fn of(arguments: &Arguments, data: &Path, machine: &str) -> Result<Self, Failure> {
        let host = match &arguments.host_name {
            Some(name) => HostId::new(name.as_str())?,
            None => host_from(machine),
        };
        let listeners = [arguments.api, arguments.http, arguments.https];
        for (i, one) in listeners.iter().enumerate() {
            if listeners[..i].iter().any(|other| clash(*one, *other)) {
                let message = format!("serve API and ingress: {one} is given twice");
                return Err(
                    Failure::invalid(message).hint("give --api, --http and --https a port each")
                );
            }
        }
        let slug = slug(data);
        Ok(Self {
            data: data.to_owned(),
            run_dir: Path::new("/run/freehold").join(slug.as_str()),
            slug,
            cluster: arguments.name.clone(),
            host,
            api: arguments.api,
            http: arguments.http,
            https: arguments.https,
            ranges: Ranges::of(arguments.subnet)?,
            api_hosts: arguments.api_hosts.clone(),
            ephemeral: arguments.ephemeral,
        })
    }

    /// Where this machine's own processes and users reach the API, as `HOST:PORT`.
    pub(super) fn api_address(&self) -> String {
        reachable(self.api).to_string()
    }

    pub(super) fn admin_token(&self) -> PathBuf {
        self.data.join("admin.token")
    }

    pub(super) fn authorities(&self) -> PathBuf {
        self.data.join("ca.pem")
    }

    pub(super) fn pki(&self) -> PathBuf {
        self.data.join("pki")
    }

    pub(super) fn logs(&self) -> PathBuf {
        self.data.join("log")
    }

    /// A certificate or key of a role in the PKI directory.
    pub(super) fn identity(&self, role: &str) -> (PathBuf, PathBuf) {
        let pki = self.pki();
        (pki.join(format!("{role}.pem")), pki.join(format!("{role}.key")))
    }

    /// The arguments of `freehold server`; there is no secret among them.
    pub(super) fn server_arguments(&self) -> Vec<String> {
        let (certificate, key) = self.identity("server");
        let mut arguments = vec!["server".to_owned()];
        let mut add = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        add("--data", path(&self.data.join("server")));
        add("--cluster", self.cluster.clone());
        add("--name", self.host.to_string());
        add("--api", self.api.to_string());
        add("--certificate", path(&certificate));
        add("--key", path(&key));
        add("--authorities", path(&self.authorities()));
        add("--authority", path(&self.pki()));
        add("--admin-token", path(&self.admin_token()));
        add("--instance-range", self.ranges.instances.to_string());
        add("--service-range", self.ranges.services.to_string());
        if self.https.port() != 443 {
            add("--https-port", self.https.port().to_string());
        }
        arguments
    }

    /// The arguments of `freehold agent`.
    pub(super) fn agent_arguments(&self) -> Vec<String> {
        let (certificate, key) = self.identity("host");
        let mut arguments = vec!["agent".to_owned()];
        let mut add = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        add("--data", path(&self.data.join("agent")));
        add("--run-dir", path(&self.run_dir));
        add("--slug", self.slug.as_str().to_owned());
        add("--host", self.host.to_string());
        add("--server", self.api_address());
        add("--authorities", path(&self.authorities()));
        add("--certificate", path(&certificate));
        add("--key", path(&key));
        add("--subnet", self.ranges.host.to_string());
        add("--instance-range", self.ranges.instances.to_string());
        add("--service-range", self.ranges.services.to_string());
        add("--http", self.http.to_string());
        add("--https", self.https.to_string());
        if self.ephemeral {
            arguments.push("--ephemeral".to_owned());
        }
        arguments
    }

    /// The three lines that a shell takes to reach this cluster.
    pub(super) fn exports(&self) -> String {
        let line = |name: &str, value: &str| format!("export {name}={}\n", quoted(value));
        [
            line("FREEHOLD_API", &self.api_address()),
            line("FREEHOLD_TOKEN_FILE", &path(&self.admin_token())),
            line("FREEHOLD_CA", &path(&self.authorities())),
        ]
        .concat()
    }
}

/// Data directories are checked to be text before.
fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// A word for a POSIX shell.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:,=@%+[]".contains(c);
    if !text.is_empty() && text.chars().all(plain) && !text.contains(['[', ']']) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Whether both cannot be listened on at once.
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let same = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    same && one.port() == other.port() && one.port() != 0
}

/// An address to connect to for one that is listened on.
pub(super) fn reachable(listening: SocketAddr) -> SocketAddr {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listening.port())
}

/// Names everything of an installation on the machine: a hash of its data directory's path.
pub(in crate::role) fn slug(data: &Path) -> Slug {
    use std::os::unix::ffi::OsStrExt;
    let hash = image::Digest::of(data.as_os_str().as_bytes()).hex();
    Slug::new(&hash[..SLUG_LENGTH]).expect("six hex digits are a slug")
}

/// A host's name from a machine's: its first label, as far as it is one.
pub(in crate::role) fn host_from(machine: &str) -> HostId {
    let first = machine.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let mut name: String = first.chars().map(allowed).collect();
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        name.insert_str(0, "host-");
    }
    name.truncate(HostId::MAX_LEN);
    HostId::new(name.trim_end_matches('-'))
        .unwrap_or_else(|_| HostId::new("host").expect("it is a name"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use proptest::prelude::*;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        up: Arguments,
    }

    fn installation(line: &[&str]) -> Result<Installation, Failure> {
        let line = Line::try_parse_from([&["up"], line].concat()).unwrap();
        Installation::of(&line.up, Path::new("/data/one"), "Box_7.example")
    }

    #[test]
    fn defaults_are_as_documented() {
        let it = installation(&[]).unwrap();
        assert_eq!(it.host.as_str(), "box-7");
        assert_eq!(it.api_address(), "127.0.0.1:7443");
        assert_eq!(it.ranges.host.to_string(), "10.128.0.0/24");
        assert_eq!(it.ranges.instances.to_string(), "10.128.0.0/17");
        assert_eq!(it.ranges.services.to_string(), "10.128.192.0/18");
        assert_eq!(
            it.exports(),
            "export FREEHOLD_API=127.0.0.1:7443\n\
             export FREEHOLD_TOKEN_FILE=/data/one/admin.token\n\
             export FREEHOLD_CA=/data/one/ca.pem\n"
        );
        assert!(it.server_arguments().contains(&"--https-port".to_owned()));
        let it = installation(&["--https", ":443"]).unwrap();
        assert!(!it.server_arguments().contains(&"--https-port".to_owned()));
    }

    #[test]
    fn two_directories_have_two_slugs_and_one_has_always_the_same() {
        let one = slug(Path::new("/data/one"));
        assert_eq!(one, slug(Path::new("/data/one")));
        assert_ne!(one, slug(Path::new("/data/two")));
        assert_eq!(one.as_str().len(), SLUG_LENGTH);
    }

    #[test]
    fn wrong_ranges_are_refused_with_one_that_would_do() {
        for (subnet, hint) in [
            ("10.1.2.3/16", "--subnet 10.1.0.0/16"),
            ("10.1.2.0/24", "--subnet 10.1.0.0/22"),
            ("10.0.0.0/8", "--subnet 10.0.0.0/16"),
            ("8.8.0.0/16", "use a part of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16"),
        ] {
            let failure = installation(&["--subnet", subnet]).unwrap_err();
            assert_eq!(failure.hint.as_deref(), Some(hint), "{subnet}");
        }
    }

    #[test]
    fn one_port_for_two_listeners_is_refused() {
        assert!(installation(&["--http", ":8443"]).is_err());
        assert!(installation(&["--http", "127.0.0.1:7443"]).is_err());
        assert!(installation(&["--http", "127.0.0.2:7443"]).is_ok());
    }

    #[test]
    fn every_machine_has_a_name() {
        for (machine, host) in
            [("web1", "web1"), ("7up", "host-7up"), ("", "host"), ("ü", "host"), ("A.b", "a")]
        {
            assert_eq!(host_from(machine).as_str(), host, "{machine}");
        }
        let long = host_from(&"x".repeat(200));
        assert_eq!(long.as_str().len(), HostId::MAX_LEN);
    }

    #[test]
    fn words_survive_a_shell() {
        for text in ["a b", "it's", "", "$HOME", "/plain/path-1.x", "[::1]:7443"] {
            let line = format!("printf %s {}", quoted(text));
            let output = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
        }
    }

    proptest! {
        #[test]
        fn parts_lie_inside_and_apart(third: u8, prefix in 16_u8..=22) {
            let net = Ipv4Net::new(Ipv4Addr::new(10, third, 0, 0), prefix).unwrap();
            let ranges = Ranges::of(net.trunc()).unwrap();
            prop_assert!(net.contains(&ranges.instances) && net.contains(&ranges.services));
            prop_assert!(ranges.instances.contains(&ranges.host));
            prop_assert_eq!(ranges.host.prefix_len(), 24);
            prop_assert!(!ranges.instances.contains(&ranges.services));
            prop_assert!(!ranges.services.contains(&ranges.instances));
        }

        #[test]
        fn no_machine_name_panics(name in ".{0,80}") {
            host_from(&name);
        }
    }
}
