//! Three real servers on their own etcd: begun and joined by the command line, killed, started
//! again with nothing but their data directories.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use api::protocol::SecretValue;
use api::server::ServerView;
use client::{Client, Config};
use rustix::process::{Pid, Signal, kill_process};

use crate::world::{Ended, World, ended, text};

/// How long anything may take on a busy machine.
const WITHIN: Duration = Duration::from_secs(90);

pub(crate) struct Node {
    pub(crate) name: &'static str,
    pub(crate) data: PathBuf,
    pub(crate) api: String,
    process: Option<Child>,
}

impl Node {
    /// The etcd of this node's data directory, found like the server finds it: by its argument.
    pub(crate) fn etcd(&self) -> Option<Pid> {
        let data = std::fs::canonicalize(&self.data).ok()?.join("engine/data");
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let pid = pids.find(|pid| serves(*pid, &data))?;
        Pid::from_raw(pid)
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        let Some(mut child) = self.process.take() else { return };
        kill_process(Pid::from_child(&child), signal).unwrap();
        child.wait().unwrap();
    }
}

fn serves(pid: i32, data: &Path) -> bool {
    let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    words.windows(2).any(|pair| pair == [b"--data-dir".as_slice(), data.as_os_str().as_bytes()])
}

/// Servers, each with its etcd.
pub(crate) struct Cluster {
    pub(crate) world: World,
    pub(crate) nodes: Vec<Node>,
}

impl Drop for Cluster {
    /// Servers first, since they would start their etcd again.
    fn drop(&mut self) {
        for node in &mut self.nodes {
            node.signal(Signal::KILL);
        }
        for pid in self.nodes.iter().filter_map(Node::etcd) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Addresses that nobody has now.
pub(crate) fn addresses() -> [String; 3] {
    let held = [0; 3].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().to_string())
}

impl Cluster {
    pub(crate) fn new() -> Option<Self> {
        if Command::new("etcd").arg("--version").output().is_err() {
            eprintln!("skipped: needs etcd (Debian's etcd-server)");
            return None;
        }
        Some(Self { world: World::new(), nodes: Vec::new() })
    }

    /// Begins a server and waits until it serves.
    pub(crate) fn begin(&mut self, name: &'static str, how: &[&str]) {
        self.begin_in(self.world.path(name), name, how);
    }

    fn begin_in(&mut self, data: PathBuf, name: &'static str, how: &[&str]) {
        let [api, client, peer] = addresses();
        self.begin_at([api, client, peer], data, name, how);
    }

    /// The same at these addresses: of the API, and of etcd for clients and members.
    pub(crate) fn begin_at(
        &mut self,
        [api, client, peer]: [String; 3],
        data: PathBuf,
        name: &'static str,
        how: &[&str],
    ) {
        self.nodes.push(Node { name, data, api: api.clone(), process: None });
        let own = ["--name", name, "--api", &api, "--etcd-client", &client, "--etcd-peer", &peer];
        self.start(self.nodes.len() - 1, &[how, &own].concat());
    }

    /// Starts a server that has begun, or begins with `more`, and waits until it serves.
    pub(crate) fn start(&mut self, at: usize, more: &[&str]) {
        self.launch(at, more);
        self.wait("the server serves", || self.asks(at, &["host", "list"]).code == 0);
    }

    /// Starts a server without waiting.
    pub(crate) fn launch(&mut self, at: usize, more: &[&str]) {
        let data = self.nodes[at].data.clone();
        let mut command = self.world.command(&["server", "--data", text(&data)]);
        let log = self.world.path(&format!("{}.log", self.nodes[at].name));
        let log = File::options().create(true).append(true).open(log).unwrap();
        self.nodes[at].process = Some(command.args(more).stderr(log).spawn().unwrap());
    }

    pub(crate) fn wait(&self, what: &str, mut seen: impl FnMut() -> bool) {
        let begin = Instant::now();
        while !seen() {
            assert!(begin.elapsed() < WITHIN, "{what}: not within {WITHIN:?}; {}", self.logs());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Everything dies at once, as by power loss.
    pub(crate) fn kill_all(&mut self) {
        for node in &mut self.nodes {
            node.signal(Signal::KILL);
        }
        for pid in self.nodes.iter().filter_map(Node::etcd) {
            kill_process(pid, Signal::KILL).unwrap();
        }
    }

    fn logs(&self) -> String {
        let read = |node: &Node| {
            let log = self.world.path(&format!("{}.log", node.name));
            let etcd = node.data.join("engine/etcd.log");
            [log, etcd].map(|path| {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                format!("\n== {}\n{text}", path.display())
            })
        };
        self.nodes.iter().flat_map(read).collect()
    }

    pub(crate) fn asks(&self, at: usize, arguments: &[&str]) -> Ended {
        let mut command = self.world.command(arguments);
        command.env("FREEHOLD_API", &self.nodes[at].api);
        command.env("FREEHOLD_TOKEN_FILE", self.nodes[0].data.join("admin.token"));
        command.env("FREEHOLD_CA", self.nodes[0].data.join("ca.pem"));
        ended(&command.output().unwrap())
    }

    /// What a server says of all.
    pub(crate) fn servers(&self, at: usize) -> Vec<ServerView> {
        let read = |name: &str| std::fs::read_to_string(self.nodes[0].data.join(name)).unwrap();
        let client = Client::new(&Config {
            addresses: vec![self.nodes[at].api.clone()],
            token: Some(SecretValue(read("admin.token").trim().to_owned())),
            ca_pem: Some(read("ca.pem")),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { client.unwrap().servers().await }).unwrap_or_default()
    }

    pub(crate) fn see_each_other(&self) {
        for at in 0..self.nodes.len() {
            self.wait("all servers are heard and one leads", || {
                let servers = self.servers(at);
                servers.len() == self.nodes.len()
                    && servers.iter().all(|server| server.connected)
                    && servers.iter().filter(|server| server.leads).count() == 1
            });
        }
    }

    /// A file with a token that lets one server in, made by a server.
    pub(crate) fn token(&self, at: usize) -> PathBuf {
        self.token_to(at, &[])
    }

    fn token_to(&self, at: usize, more: &[&str]) -> PathBuf {
        let mut made = None;
        self.wait("a join token is made", || {
            let ended = self.asks(at, &[&["host", "token", "--server"], more].concat());
            made = (ended.code == 0).then_some(ended.stdout);
            made.is_some()
        });
        self.world.write("join.token", &made.unwrap())
    }
}

/// Where the etcd's members serve, as far as a server has written down.
fn members(cluster: &Cluster, at: usize) -> Vec<String> {
    let seen = std::fs::read(cluster.nodes[at].data.join("engine/members.json"));
    serde_json::from_slice(&seen.unwrap_or_default()).unwrap_or_default()
}

#[test]
fn one_server_of_three_dies_and_the_others_go_on() {
    let Some(mut cluster) = Cluster::new() else { return };
    cluster.begin("s1", &["--init", "--cluster", "north"]);
    for (at, name) in ["s2", "s3"].into_iter().enumerate() {
        // Each is let in by the one before.
        let token = cluster.token(at);
        let join = cluster.nodes[at].api.clone();
        cluster.begin(name, &["--join", &join, "--token-file", text(&token)]);
    }
    cluster.see_each_other();
    for at in 1..3 {
        for key in ["pki/ca.key", "server/master.key", "ca.pem"] {
            let read = |at: usize| std::fs::read(cluster.nodes[at].data.join(key)).unwrap();
            assert_eq!(read(at), read(0), "{key}");
        }
    }
    for at in 0..3 {
        cluster.wait("each has its vote and all know it", || members(&cluster, at).len() == 3);
    }

    // A server that is stopped leaves its etcd, and finds it again.
    let before = cluster.nodes[1].etcd().expect("etcd runs");
    cluster.nodes[1].signal(Signal::TERM);
    assert_eq!(cluster.nodes[1].etcd(), Some(before), "etcd outlives its server");
    cluster.start(1, &[]);
    assert_eq!(cluster.nodes[1].etcd(), Some(before), "it is adopted again");

    let kept = cluster.token(0);
    let kept = std::fs::read_to_string(kept).unwrap();
    let id = kept.trim().split('_').nth(1).unwrap().to_owned();
    cluster.nodes[0].signal(Signal::KILL);
    kill_process(cluster.nodes[0].etcd().unwrap(), Signal::KILL).unwrap();
    let killed = Instant::now();
    for at in 1..3 {
        cluster.token(at);
        eprintln!("s{} has written {:?} after the kill", at + 1, killed.elapsed());
        let listed = cluster.asks(at, &["host", "token", "list"]);
        assert!(listed.stdout.contains(&id), "what was acknowledged is there: {}", listed.stdout);
    }
    cluster.start(0, &[]);
    cluster.see_each_other();

    // A machine is lost for good; another one takes its place.
    cluster.nodes[2].signal(Signal::KILL);
    kill_process(cluster.nodes[2].etcd().unwrap(), Signal::KILL).unwrap();
    cluster.nodes.truncate(2);
    let token = cluster.token_to(1, &["--replace", "s3"]);
    let how = ["--join", &cluster.nodes[0].api.clone(), "--replace"];
    let data = cluster.world.path("s3-again");
    let token = ["--token-file", text(&token)];
    cluster.begin_in(data, "s3", &[how.as_slice(), &token].concat());
    cluster.see_each_other();
    cluster.wait("it has its vote", || members(&cluster, 2).len() == 3);
    cluster.wait("the dead one is gone", || members(&cluster, 2) == members(&cluster, 0));
}

#[test]
fn a_beginning_that_cannot_be_is_refused_and_changes_nothing() {
    let Some(mut cluster) = Cluster::new() else { return };
    cluster.begin("s1", &["--init", "--cluster", "north"]);
    let api = cluster.nodes[0].api.clone();
    let data = cluster.world.path("s2");
    let join = |token: &str, name: &str| {
        let [own, client, peer] = addresses();
        let how = ["server", "--join", &api, "--token", token, "--data", text(&data)];
        let who = ["--name", name, "--api", &own, "--etcd-client", &client, "--etcd-peer", &peer];
        let ended = cluster.world.run(&[how.as_slice(), &who, &["--begin-only"]].concat());
        assert!(!data.join("server.toml").exists(), "{}", ended.stderr);
        assert!(!data.join("pki/ca.key").exists(), "no key of the cluster: {}", ended.stderr);
        ended
    };
    let host = cluster.asks(0, &["host", "token"]).stdout;
    let refused = join(host.trim(), "s2");
    assert_eq!(refused.code, 3, "a host's token: {}", refused.stderr);
    let server = std::fs::read_to_string(cluster.token(0)).unwrap();
    let (rest, _) = server.trim().rsplit_once('_').unwrap();
    let other = join(&format!("{rest}_{}", "0".repeat(64)), "s2");
    assert_eq!(other.code, 3, "another cluster's token: {}", other.stderr);
    assert!(other.stderr.contains("nothing was sent"), "{}", other.stderr);
    assert_eq!(cluster.servers(0).len(), 1);

    let first = text(&cluster.nodes[0].data).to_owned();
    let unit = cluster.world.good(&["server", "--print-unit", "--data", &first]);
    assert!(unit.stdout.contains("KillMode=process"), "{}", unit.stdout);
    let again = cluster.world.run(&["server", "--join", &api, "--replace", "--data", &first]);
    assert_eq!(again.code, 2, "{}", again.stderr);
}
