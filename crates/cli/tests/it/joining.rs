//! Machines that join a real server by the command line, looked at with OpenSSL.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use pki::{CertificateAuthority, HostKey, PeerRole, ServerNames, SigningRequest};

use crate::world::{Ended, World, text};

/// How long anything may take on a busy machine.
const WITHIN: Duration = Duration::from_secs(60);

/// A process that ends with its owner.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

/// A server, and the authority it signs with.
pub(crate) struct Cluster {
    pub(crate) world: World,
    authority: CertificateAuthority,
    api: String,
    _server: Running,
}

fn ago(days: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_hours(24 * days)
}

impl Cluster {
    fn start() -> Self {
        Self::start_with(World::new(), &[])
    }

    /// The same with more arguments.
    pub(crate) fn start_with(world: World, more: &[&str]) -> Self {
        pki::install_provider();
        let pki = world.path("pki");
        std::fs::create_dir_all(&pki).unwrap();
        let authority = CertificateAuthority::create("north", ago(100)).unwrap();
        authority.save(&pki).unwrap();
        let names = ServerNames { dns: Vec::new(), addresses: vec!["127.0.0.1".parse().unwrap()] };
        // It was off for a month and more: the server renews its own.
        let own = authority.issue_server("s1", &names, ago(40)).unwrap();
        own.save(&world.path("server.pem"), &world.path("server.key")).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let api = free.local_addr().unwrap().to_string();
        drop(free);
        let mut command = world.command(&["server", "--cluster", "north", "--name", "s1"]);
        command.args(["--api", &api, "--data", text(&world.path("server"))]);
        command.args(["--authority", text(&pki), "--authorities", text(&pki.join("ca.pem"))]);
        command.args(["--certificate", text(&world.path("server.pem"))]);
        command.args(["--key", text(&world.path("server.key"))]);
        command.args(["--admin-token", text(&world.path("admin.token"))]);
        command.args(["--instance-range", "10.233.0.0/17", "--service-range", "10.233.192.0/18"]);
        command.args(more);
        let log = std::fs::File::create(world.path("server.log")).unwrap();
        let server = Running(command.stderr(log).spawn().unwrap());
        let cluster = Self { world, authority, api, _server: server };
        cluster.wait("the server serves", || cluster.asks(&["host", "list"]).code == 0);
        cluster
    }

    pub(crate) fn wait(&self, what: &str, mut seen: impl FnMut() -> bool) {
        let begin = Instant::now();
        while !seen() {
            let log = || std::fs::read_to_string(self.world.path("server.log")).unwrap();
            assert!(begin.elapsed() < WITHIN, "{what}: not within {WITHIN:?}; {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn asks(&self, arguments: &[&str]) -> Ended {
        let mut command = self.world.command(arguments);
        command.env("FREEHOLD_API", &self.api);
        command.env("FREEHOLD_TOKEN_FILE", self.world.path("admin.token"));
        command.env("FREEHOLD_CA", self.world.path("pki").join("ca.pem"));
        crate::world::ended(&command.output().unwrap())
    }

    fn token(&self, more: &[&str]) -> String {
        let ended = self.asks(&[&["host", "token"], more].concat());
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.stdout.trim().to_owned()
    }

    fn join(&self, token: &str, data: &Path, more: &[&str]) -> Ended {
        let own = ["agent", "--join", &self.api, "--token", token, "--data", text(data)];
        self.world.run(&[&own, ["--join-only"].as_slice(), more].concat())
    }
}

#[test]
fn a_machine_joins_once_and_the_key_is_its_own() {
    let cluster = Cluster::start();
    let token = cluster.token(&["--ttl", "10m"]);
    let data = cluster.world.path("h1");
    let more = ["--name", "h1", "--label", "rack=a", "--domain", "rack-a/hv-1"];
    let ended = cluster.join(&token, &data, &more);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let pki = data.join("pki");
    let (certificate, ca) = (pki.join("host.pem"), pki.join("ca.pem"));
    verify(&ca, &certificate);
    let listed: serde_json::Value =
        serde_json::from_str(&cluster.asks(&["host", "list", "-o", "json"]).stdout).unwrap();
    assert_eq!(listed[0]["domain"], "rack-a/hv-1");
    assert_eq!(listed[0]["labels"]["rack"], "a");
    let known = std::fs::read_to_string(data.join("agent.toml")).unwrap();
    let subnet = listed[0]["subnet"].as_str().unwrap();
    assert!(known.contains(subnet) && known.contains(&cluster.api), "{known}");

    let again = cluster.join(&token, &data, &more);
    assert_eq!(again.code, 0, "who has joined has: {}", again.stderr);
    let stolen = cluster.join(&token, &cluster.world.path("h2"), &["--name", "h2"]);
    assert_eq!(stolen.code, 3, "{}", stolen.stderr);
    assert!(stolen.stderr.contains("was used by h1"), "{}", stolen.stderr);
    assert!(!cluster.world.path("h2").join("agent.toml").exists());
    let taken = cluster.join(&cluster.token(&[]), &cluster.world.path("h2"), &["--name", "h1"]);
    assert_eq!(taken.code, 5, "{}", taken.stderr);
    assert!(taken.stderr.contains("--replace h1"), "{}", taken.stderr);
    let list = cluster.asks(&["host", "token", "list"]);
    assert!(list.stdout.contains("h1"), "{}", list.stdout);

    let other = Cluster::start();
    let wrong = cluster.join(&other.token(&[]), &cluster.world.path("h3"), &["--name", "h3"]);
    assert_eq!(wrong.code, 3, "{}", wrong.stderr);
    assert!(wrong.stderr.contains("nothing was sent"), "{}", wrong.stderr);
    let unit = cluster.world.good(&["agent", "--print-unit", "--data", text(&data)]);
    assert!(unit.stdout.contains("KillMode=process"), "{}", unit.stdout);
}

#[test]
fn a_host_that_was_off_for_a_month_comes_back() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root to run an agent");
        return;
    }
    let cluster = Cluster::start();
    let data = cluster.world.path("h1");
    let ended = cluster.join(&cluster.token(&[]), &data, &["--name", "h1"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let (certificate, key) = (data.join("pki/host.pem"), data.join("pki/host.key"));
    let request = SigningRequest::from_pem(&HostKey::load(&key).unwrap().request_pem().unwrap());
    let none = ServerNames::default();
    let who = (PeerRole::Host, "h1");
    let old = cluster.authority.sign_request(&request.unwrap(), who, &none, ago(40)).unwrap();
    std::fs::write(&certificate, &old).unwrap();

    let run_dir = cluster.world.path("run");
    let mut command = cluster.world.command(&["agent", "--data", text(&data), "--ephemeral"]);
    command.args(["--run-dir", text(&run_dir)]).stdout(Stdio::null());
    let log = std::fs::File::create(cluster.world.path("agent.log")).unwrap();
    let _agent = Running(command.stderr(log).spawn().unwrap());
    let connected = || {
        let listed = cluster.asks(&["host", "list", "-o", "json"]).stdout;
        let hosts: serde_json::Value = serde_json::from_str(&listed).unwrap_or_default();
        hosts[0]["connected"] == true
    };
    cluster.wait("the host is connected", connected);
    assert_ne!(std::fs::read_to_string(&certificate).unwrap(), old);
    verify(&data.join("pki/ca.pem"), &certificate);
}

/// Asks OpenSSL whether the authority signed it and it is valid now.
fn verify(ca: &PathBuf, certificate: &PathBuf) {
    let verified =
        Command::new("openssl").args(["verify", "-CAfile"]).args([ca, certificate]).output();
    match verified {
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(error) => eprintln!("skipped: needs openssl ({error})"),
    }
}
