//! The cluster's authority is exchanged under three real servers with their etcd and two real
//! agents, one of which is off through it; then everything is killed at once and comes back.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use api::authority::{AuthorityView, Phase};
use pki::{CaBundle, CertificateAuthority};
use rustix::process::{Pid, Signal, kill_process};

use crate::servers::Cluster;
use crate::world::text;

/// Tests whose hosts stand in the machine's own network wait for each other: two clusters there
/// would want the same addresses.
pub(crate) fn alone_on_the_network() -> File {
    let path = std::env::temp_dir().join("freehold-test-network.lock");
    let lock = File::options().create(true).append(true).open(path).unwrap();
    lock.lock().unwrap();
    lock
}

/// A host of the cluster, on this machine.
pub(crate) struct Host {
    data: PathBuf,
    run_dir: PathBuf,
    slug: &'static str,
    log: PathBuf,
    agent: Option<Child>,
}

impl Host {
    /// Joins; the agent does not run yet.
    pub(crate) fn join(cluster: &Cluster, name: &'static str) -> Self {
        let token = cluster.asks(0, &["host", "token"]);
        assert_eq!(token.code, 0, "{}", token.stderr);
        let (data, run_dir) =
            (cluster.world.path(name), cluster.world.path(&format!("run-{name}")));
        let servers: Vec<&str> = cluster.nodes.iter().map(|node| node.api.as_str()).collect();
        let servers = servers.join(",");
        let own = ["agent", "--join", &servers, "--token", token.stdout.trim(), "--join-only"];
        let who = ["--name", name, "--data", text(&data), "--address", "127.0.0.1"];
        cluster.world.good(&[own.as_slice(), &who].concat());
        let log = cluster.world.path(&format!("{name}.log"));
        Self { data, run_dir, slug: name, log, agent: None }
    }

    pub(crate) fn start(&mut self, cluster: &Cluster) {
        let mut command = cluster.world.command(&["agent", "--data", text(&self.data)]);
        command.args(["--run-dir", text(&self.run_dir), "--slug", self.slug, "--ephemeral"]);
        command.args(["--probe-port", "0"]).stdout(Stdio::null());
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        self.agent = Some(command.stderr(log).spawn().unwrap());
    }

    fn signal(&mut self, signal: Signal) {
        let Some(mut agent) = self.agent.take() else { return };
        kill_process(Pid::from_child(&agent), signal).unwrap();
        agent.wait().unwrap();
    }

    pub(crate) fn trusted(&self) -> CaBundle {
        CaBundle::load(&self.data.join("pki/ca.pem")).unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("== {}\n{log}", self.log.display());
        }
        self.signal(Signal::TERM);
    }
}

pub(crate) fn authority(cluster: &Cluster, at: usize) -> Option<AuthorityView> {
    let shown = cluster.asks(at, &["cert", "authority", "show", "-o", "json"]);
    serde_json::from_str(&shown.stdout).ok()
}

pub(crate) fn connected(cluster: &Cluster, at: usize) -> usize {
    let listed = cluster.asks(at, &["host", "list", "-o", "json"]).stdout;
    let hosts: serde_json::Value = serde_json::from_str(&listed).unwrap_or_default();
    let hosts = hosts.as_array().cloned().unwrap_or_default();
    hosts.iter().filter(|host| host["connected"] == true).count()
}

/// Somebody who writes all the time, from outside, knowing the first authority alone.
struct Writer {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU32>,
    thread: Option<std::thread::JoinHandle<Vec<String>>>,
}

impl Writer {
    fn start(cluster: &Cluster, ca: &str) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let apis: Vec<&str> = cluster.nodes.iter().map(|node| node.api.as_str()).collect();
        let command = || {
            let mut command = cluster.world.command(&["host", "token", "--ttl", "1m"]);
            command.env("FREEHOLD_API", apis.join(","));
            command.env("FREEHOLD_TOKEN_FILE", cluster.nodes[0].data.join("admin.token"));
            command.env("FREEHOLD_CA", ca);
            command
        };
        let mut command = command();
        let (ended, count) = (stop.clone(), done.clone());
        let thread = std::thread::spawn(move || {
            let mut failed = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                let output = command.output().unwrap();
                match output.status.success() {
                    true => _ = count.fetch_add(1, Ordering::Relaxed),
                    false => failed.push(String::from_utf8_lossy(&output.stderr).into_owned()),
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            failed
        });
        Self { stop, done, thread: Some(thread) }
    }

    fn end(mut self) -> (u32, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let failed = self.thread.take().unwrap().join().unwrap();
        (self.done.load(Ordering::Relaxed), failed)
    }
}

fn three_servers() -> Option<Cluster> {
    let mut cluster = Cluster::new()?;
    cluster.begin("s1", &["--init", "--cluster", "north"]);
    for name in ["s2", "s3"] {
        let token = cluster.token(0);
        let join = cluster.nodes[0].api.clone();
        cluster.begin(name, &["--join", &join, "--token-file", text(&token)]);
    }
    cluster.see_each_other();
    Some(cluster)
}

#[test]
fn the_authority_is_exchanged_under_load_and_whoever_was_away_comes_back() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root to run an agent");
        return;
    }
    let _alone = alone_on_the_network();
    let Some(mut cluster) = three_servers() else { return };
    let mut hosts = ["ra1", "ra2"].map(|name| Host::join(&cluster, name));
    // Two hosts cannot have this machine's network at once: they take turns.
    hosts[1].start(&cluster);
    cluster.wait("a host is connected", || connected(&cluster, 1) == 1);
    hosts[1].signal(Signal::TERM);
    cluster.wait("it is away", || connected(&cluster, 1) == 0);
    hosts[0].start(&cluster);
    cluster.wait("the other host is connected", || connected(&cluster, 1) == 1);

    let old = CaBundle::load(&cluster.nodes[0].data.join("ca.pem")).unwrap();
    let before = cluster.world.write("old-ca.pem", &old.to_pem());
    let engines = [0, 1, 2].map(|at| cluster.nodes[at].etcd().expect("etcd runs"));
    let writer = Writer::start(&cluster, text(&before));
    let rotated = cluster.asks(1, &["cert", "authority", "rotate"]);
    assert_eq!(rotated.code, 0, "{}", rotated.stderr);

    // All but the one that is away go over to the new one, which is waited for.
    cluster.wait("only who is away is waited for", || {
        let Some(view) = authority(&cluster, 2) else { return false };
        let waits: Vec<&str> = view.waits_for.iter().map(|one| one.member.as_str()).collect();
        view.phase == Phase::Issue && waits == ["host ra2"]
    });
    let both = CaBundle::load(&cluster.nodes[2].data.join("ca.pem")).unwrap();
    assert_eq!(both.certificates().len(), 2);
    assert_eq!(both.certificates()[1], old.certificates()[0], "the old one is still trusted");
    for (at, engine) in engines.into_iter().enumerate() {
        let now = cluster.nodes[at].etcd();
        assert!(now.is_some() && now != Some(engine), "etcd was started anew: s{}", at + 1);
    }
    let own = std::fs::read_to_string(hosts[0].data.join("pki/host.pem")).unwrap();
    assert_eq!(both.signer_of(&own), Some(both.fingerprint()));

    // So does the writer until now. What was under way in an etcd that ended is told to be
    // uncertain, at most once for each of the three; nothing else failed.
    let (written, failed) = writer.end();
    eprintln!("{written} writes, {} failed: {failed:?}", failed.len());
    assert!(written > 10);
    assert!(failed.iter().all(|text| text.contains("learn what became of a write")), "{failed:?}");
    assert!(failed.len() <= 3, "{failed:?}");

    // It knows the old one alone, and believes the servers by its word.
    assert_eq!(hosts[1].trusted(), old);
    hosts[0].signal(Signal::TERM);
    hosts[1].start(&cluster);
    cluster.wait("the exchange is over", || {
        authority(&cluster, 0).is_some_and(|view| view.phase == Phase::Settled)
    });
    // The first has a certificate of the new one, and was away when the old one was dropped.
    hosts[1].signal(Signal::TERM);
    hosts[0].start(&cluster);
    cluster.wait("the first is back", || connected(&cluster, 1) == 1);
    everything_is_of_the_new_one(&cluster, &hosts, &old);

    // Power loss.
    cluster.kill_all();
    hosts[0].signal(Signal::KILL);
    for at in 0..3 {
        cluster.launch(at, &[]);
    }
    hosts[0].start(&cluster);
    cluster.see_each_other();
    for at in 0..3 {
        cluster.wait("the host is back", || connected(&cluster, at) == 1);
    }
    let token = cluster.asks(2, &["host", "token"]);
    assert_eq!(token.code, 0, "{}", token.stderr);
}

fn everything_is_of_the_new_one(cluster: &Cluster, hosts: &[Host], old: &CaBundle) {
    let new = CaBundle::load(&cluster.nodes[0].data.join("ca.pem")).unwrap();
    assert_eq!(new.certificates().len(), 1);
    assert_ne!(&new, old);
    for node in &cluster.nodes {
        let ca = || CaBundle::load(&node.data.join("ca.pem")).unwrap();
        cluster.wait("every server trusts the new one alone", || ca() == new);
        let own = std::fs::read_to_string(node.data.join("pki/server.pem")).unwrap();
        assert!(new.signer_of(&own).is_some(), "{}", node.name);
        let signs = CertificateAuthority::load(&node.data.join("pki")).unwrap();
        assert_eq!(signs.bundle(), &new, "every server has its key");
    }
    for host in hosts {
        cluster.wait("every host trusts the new one alone", || host.trusted() == new);
        let own = std::fs::read_to_string(host.data.join("pki/host.pem")).unwrap();
        assert!(new.signer_of(&own).is_some(), "{}", host.slug);
    }
    let mut command = cluster.world.command(&["host", "list"]);
    command.env("FREEHOLD_API", &cluster.nodes[1].api);
    command.env("FREEHOLD_TOKEN_FILE", cluster.nodes[0].data.join("admin.token"));
    command.env("FREEHOLD_CA", cluster.world.path("old-ca.pem"));
    let refused = crate::world::ended(&command.output().unwrap());
    assert_ne!(refused.code, 0, "who trusts the old one alone believes nobody any more");
    let view = authority(cluster, 1).unwrap();
    assert_eq!((view.authorities.len(), view.left_out.len()), (1, 0));
}

#[test]
fn an_exchange_is_held_until_an_operator_says_so_and_who_never_comes_is_left_out() {
    let Some(mut cluster) = Cluster::new() else { return };
    cluster.begin("s1", &["--init", "--cluster", "north"]);
    let lost = Host::join(&cluster, "rl1");
    let old = CaBundle::load(&cluster.nodes[0].data.join("ca.pem")).unwrap();
    let rotate =
        |more: &[&str]| cluster.asks(0, &[&["cert", "authority", "rotate"], more].concat());
    let both = rotate(&["--hold", "--force"]);
    assert_eq!(both.code, 2, "what waits does not go on: {}", both.stderr);

    let held = rotate(&["--hold"]);
    assert_eq!(held.code, 0, "{}", held.stderr);
    cluster.wait("nobody is waited for any more", || {
        authority(&cluster, 0).is_some_and(|view| view.held && view.waits_for.is_empty())
    });
    // The leader looks every second; nothing moves before all of them say so.
    let again = rotate(&["--hold"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    let view = authority(&cluster, 0).unwrap();
    assert_eq!((view.phase, view.authorities.len()), (Phase::Trust, 2));
    assert_eq!(view.signs, old.fingerprint().to_string(), "the old one still signs");
    let pem = cluster.asks(0, &["cert", "authority", "show", "--pem"]).stdout;
    let both = CaBundle::from_pem(pem.as_bytes()).unwrap();
    assert_eq!(both.certificates().len(), 2, "what clients are handed meanwhile");
    let shown = cluster.asks(0, &["cert", "authority", "show"]).stdout;
    assert!(shown.contains("run rotate again"), "{shown}");

    let on = rotate(&[]);
    assert_eq!(on.code, 0, "{}", on.stderr);
    cluster.wait("only who never came is waited for", || {
        let Some(view) = authority(&cluster, 0) else { return false };
        let waits: Vec<&str> = view.waits_for.iter().map(|one| one.member.as_str()).collect();
        view.phase == Phase::Issue && waits == ["host rl1"]
    });
    let forced = rotate(&["--force", "--wait"]);
    assert_eq!(forced.code, 0, "{}", forced.stderr);
    let view = authority(&cluster, 0).unwrap();
    assert_eq!((view.phase, view.left_out), (Phase::Settled, vec!["host rl1".to_owned()]));
    let new = CaBundle::load(&cluster.nodes[0].data.join("ca.pem")).unwrap();
    assert_eq!(new.certificates(), &both.certificates()[1..], "the one that was handed out");
    let events = cluster.asks(0, &["event", "list"]).stdout;
    assert!(events.contains("left out: host rl1"), "{events}");

    // It knows the old one alone; it comes back as a machine that joins again.
    assert_eq!(lost.trusted(), old);
    let token = cluster.asks(0, &["host", "token", "--replace", "rl1"]);
    assert_eq!(token.code, 0, "{}", token.stderr);
    let data = cluster.world.path("rl1-again");
    let own = ["agent", "--join", &cluster.nodes[0].api, "--token", token.stdout.trim()];
    let who = ["--name", "rl1", "--replace", "--data", text(&data), "--join-only"];
    cluster.world.good(&[own.as_slice(), &who].concat());
    let known = CaBundle::load(&data.join("pki/ca.pem")).unwrap();
    assert_eq!(known, new);
}
