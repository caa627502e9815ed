//! A server on an etcd that an operator runs, whose authority the operator exchanges.

use std::net::TcpListener;
use std::process::{Command, Stdio};

use jiff::Timestamp;
use pki::{CertificateAuthority, ServerNames};

use crate::joining::{Cluster, Running};
use crate::world::{World, text};

/// The operator's etcd: where it serves, and how it is started.
struct Etcd {
    client: String,
    peer: String,
}

impl Etcd {
    fn new() -> Option<Self> {
        if Command::new("etcd").arg("--version").output().is_err() {
            eprintln!("skipped: needs etcd (Debian's etcd-server)");
            return None;
        }
        let held = [0; 2].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let [client, peer] = held.each_ref().map(|it| it.local_addr().unwrap().to_string());
        Some(Self { client: format!("https://{client}"), peer: format!("http://{peer}") })
    }

    /// Starts it with certificates of an authority, the only one that it trusts.
    fn start(&self, world: &World, authority: &CertificateAuthority, name: &str) -> Running {
        let path = |end: &str| world.path(&format!("etcd-{name}.{end}"));
        issued(authority).save(&path("pem"), &path("key")).unwrap();
        authority.bundle().save(&path("ca")).unwrap();
        let process = Command::new("etcd")
            .arg("--data-dir")
            .arg(world.path("etcd-data"))
            .args(["--listen-client-urls", &self.client, "--advertise-client-urls", &self.client])
            .args(["--listen-peer-urls", &self.peer, "--initial-advertise-peer-urls", &self.peer])
            .args(["--initial-cluster", &format!("default={}", self.peer), "--client-cert-auth"])
            .args(["--cert-file", text(&path("pem")), "--key-file", text(&path("key"))])
            .args(["--trusted-ca-file", text(&path("ca"))])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Running(process.unwrap())
    }
}

fn issued(authority: &CertificateAuthority) -> pki::Identity {
    let names = ServerNames { dns: Vec::new(), addresses: vec!["127.0.0.1".parse().unwrap()] };
    authority.issue_server("etcd", &names, Timestamp::now()).unwrap()
}

/// The server's files for that etcd.
fn hand_out(world: &World, authority: &CertificateAuthority) {
    authority.bundle().save(&world.path("store-ca.pem")).unwrap();
    issued(authority).save(&world.path("store.pem"), &world.path("store.key")).unwrap();
}

#[test]
fn new_files_for_an_etcd_of_the_operators_are_taken_while_the_server_runs() {
    let Some(etcd) = Etcd::new() else { return };
    pki::install_provider();
    let [old, new] =
        [0; 2].map(|_| CertificateAuthority::create("the-operators", Timestamp::now()).unwrap());
    let world = World::new();
    hand_out(&world, &old);
    let first = etcd.start(&world, &old, "old");
    let path = |name: &str| world.path(name).to_str().unwrap().to_owned();
    let (certificate, key, authorities) =
        (path("store.pem"), path("store.key"), path("store-ca.pem"));
    let one = ["--etcd", &etcd.client, "--etcd-certificate", &certificate];
    let incomplete = world.run(&[["server", "--data", "d"].as_slice(), &one].concat());
    assert_eq!(incomplete.code, 2, "{}", incomplete.stderr);
    // It answers only after its start.
    while std::net::TcpStream::connect(etcd.client.trim_start_matches("https://")).is_err() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let all = [one.as_slice(), &["--etcd-key", &key, "--etcd-authorities", &authorities]].concat();
    let cluster = Cluster::start_with(world, &all);
    let made = cluster.asks(&["team", "create", "before"]);
    assert_eq!(made.code, 0, "{}", made.stderr);

    // From now on etcd knows nobody whose certificate is of the old one.
    hand_out(&cluster.world, &new);
    drop(first);
    let _second = etcd.start(&cluster.world, &new, "new");
    cluster
        .wait("the server writes again", || cluster.asks(&["team", "create", "after"]).code == 0);
    let teams = cluster.asks(&["team", "list"]).stdout;
    assert!(teams.contains("before") && teams.contains("after"), "{teams}");
}
