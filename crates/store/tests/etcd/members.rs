//! Real etcd members on free loopback ports in a directory of their own, killed with the test.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use store::{EtcdOptions, EtcdStore};

/// What etcd of the distribution is called.
const BINARY: &str = "etcd";

pub(crate) struct Members {
    pub(crate) directory: tempfile::TempDir,
    members: Vec<Member>,
    pub(crate) quota: u64,
}

struct Member {
    child: Option<Child>,
    client: u16,
    peer: u16,
    lock: Option<(TcpListener, TcpListener)>,
}

impl Members {
    /// Members that answer, or none where etcd is not installed.
    pub(crate) fn start(count: usize) -> Option<Self> {
        Self::with_quota(count, 0)
    }

    pub(crate) fn with_quota(count: usize, quota: u64) -> Option<Self> {
        if Command::new(BINARY).arg("--version").output().is_err() {
            eprintln!("skipped: needs etcd (Debian's etcd-server)");
            return None;
        }
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        let members = (0..count)
            .map(|_| (free(), free()))
            .map(|(client, peer)| Member {
                child: None,
                client: client.local_addr().unwrap().port(),
                peer: peer.local_addr().unwrap().port(),
                lock: Some((client, peer)),
            })
            .collect();
        let mut all = Self { directory: tempfile::tempdir().unwrap(), members, quota };
        (0..count).for_each(|number| all.run(number));
        Some(all)
    }

    pub(crate) fn endpoint(&self, number: usize) -> String {
        format!("http://127.0.0.1:{}", self.members[number].client)
    }

    pub(crate) fn options(&self, prefix: &str) -> EtcdOptions {
        let endpoints = (0..self.members.len()).map(|number| self.endpoint(number));
        let mut options = EtcdOptions::new(endpoints);
        options.prefix = prefix.to_owned();
        options.ping = (Duration::from_millis(300), Duration::from_millis(700));
        options
    }

    /// Opens a store once the members have a leader.
    pub(crate) async fn open(&self, prefix: &str) -> EtcdStore {
        let begun = Instant::now();
        loop {
            match EtcdStore::open(self.options(prefix)).await {
                Ok(store) => return store,
                Err(error) => {
                    let last = format!("{error:?}");
                    assert!(begun.elapsed() < Duration::from_secs(60), "no etcd in 60 s: {last}");
                }
            }
        }
    }

    pub(crate) fn run(&mut self, number: usize) {
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let cluster = self.members.iter().enumerate();
        let cluster: Vec<_> = cluster.map(|(n, it)| format!("m{n}={}", url(it.peer))).collect();
        let path = self.path(number);
        let member = &mut self.members[number];
        let log = std::fs::OpenOptions::new();
        let log = { log }.create(true).append(true).open(path.with_extension("log")).unwrap();
        // Held until now, so that nobody else gets the ports.
        member.lock = None;
        let child = Command::new(BINARY)
            .args(["--name", &format!("m{number}")])
            .arg("--data-dir")
            .arg(&path)
            .args(["--listen-client-urls", &url(member.client)])
            .args(["--advertise-client-urls", &url(member.client)])
            .args(["--listen-peer-urls", &url(member.peer)])
            .args(["--initial-advertise-peer-urls", &url(member.peer)])
            .args(["--initial-cluster", &cluster.join(",")])
            .args(["--heartbeat-interval", "50", "--election-timeout", "300"])
            .args(["--quota-backend-bytes", &self.quota.to_string()])
            .args(["--grpc-keepalive-min-time", "100ms", "--snapshot-count", "2000"])
            .args(["--logger", "zap", "--log-level", "warn", "--log-outputs", "stderr"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        member.child = Some(child);
    }

    pub(crate) fn path(&self, number: usize) -> PathBuf {
        self.directory.path().join(format!("m{number}"))
    }

    pub(crate) fn kill(&mut self, number: usize) {
        let mut child = self.members[number].child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn freeze(&self, number: usize) {
        self.signal(number, Signal::STOP);
    }

    pub(crate) fn thaw(&self, number: usize) {
        self.signal(number, Signal::CONT);
    }

    fn signal(&self, number: usize, signal: Signal) {
        let child = self.members[number].child.as_ref().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// The member that leads now, by what it says itself.
    pub(crate) async fn leader(&self) -> usize {
        let admin = store::etcd::EtcdAdmin::new(self.options("any/")).await.unwrap();
        let begun = Instant::now();
        loop {
            for number in 0..self.members.len() {
                if let Ok(status) = admin.status(&self.endpoint(number)).await
                    && status.id == status.leader
                {
                    return number;
                }
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "no leader in 60 s");
        }
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        for member in &mut self.members {
            if let Some(child) = &mut member.child {
                // It is gone already, or dies now.
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}
