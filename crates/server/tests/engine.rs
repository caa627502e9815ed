//! The supervised etcd as real processes with the cluster's certificates.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use pki::{CertificateAuthority, Identity, ServerNames};
use rustix::process::{Pid, Signal, kill_process};
use server::engine::{CLIENT_NAME, Engine, JoinError, Launch, Options, Upkeep, join, promote};
use store::etcd::EtcdAdmin;
use store::{EtcdOptions, EtcdStore, EtcdTls, KeyRange, Op, Store, Txn, read_all};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster's authority and the engines started in its directory; they end with it.
struct World {
    directory: tempfile::TempDir,
    authority: CertificateAuthority,
    members: Vec<Options>,
}

struct Supervised {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl World {
    fn new() -> Option<Self> {
        if std::process::Command::new("etcd").arg("--version").output().is_err() {
            eprintln!("skipped: needs etcd (Debian's etcd-server)");
            return None;
        }
        pki::install_provider();
        let directory = tempfile::tempdir().unwrap();
        let authority = CertificateAuthority::create("c", Timestamp::now()).unwrap();
        authority.bundle().save(&directory.path().join("ca.pem")).unwrap();
        Some(Self { directory, authority, members: Vec::new() })
    }

    /// A member with a certificate, not started.
    fn member(&mut self, name: &str) -> Options {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (client, peer) = (free(), free());
        let path = |kind: &str| self.directory.path().join(format!("{name}.{kind}"));
        let addresses = vec![Ipv4Addr::LOCALHOST.into()];
        let names = ServerNames { dns: vec![CLIENT_NAME.to_owned()], addresses };
        let identity = self.authority.issue_server(name, &names, Timestamp::now()).unwrap();
        identity.save(&path("pem"), &path("key")).unwrap();
        let address = |of: &TcpListener| -> SocketAddr { of.local_addr().unwrap() };
        let options = Options {
            name: name.to_owned(),
            cluster: "c".to_owned(),
            directory: path("engine"),
            binary: PathBuf::from("/usr/bin/etcd"),
            client: address(&client),
            peer: address(&peer),
            certificate: path("pem"),
            key: path("key"),
            authorities: self.directory.path().join("ca.pem"),
            quota_bytes: 32 << 20,
            heartbeat: Options::HEARTBEAT,
            election: Options::ELECTION,
        };
        self.members.push(options.clone());
        options
    }

    fn tls(&self, identity: &Identity) -> EtcdTls {
        EtcdTls {
            authorities: self.authority.bundle().to_pem().into_bytes(),
            certificate: identity.certificate_pem().into_bytes(),
            key: Zeroizing::new(identity.key_pem().as_bytes().to_vec()),
        }
    }

    fn client(&self, members: &[&Options]) -> EtcdOptions {
        let names = ServerNames { dns: vec![CLIENT_NAME.to_owned()], addresses: vec![] };
        let identity = self.authority.issue_server("client", &names, Timestamp::now()).unwrap();
        EtcdOptions::new(members.iter().map(|it| it.client_url())).with_tls(self.tls(&identity))
    }

    async fn admin(&self, members: &[&Options]) -> EtcdAdmin {
        EtcdAdmin::new(self.client(members)).await.unwrap()
    }

    async fn store(&self, members: &[&Options]) -> EtcdStore {
        let begun = Instant::now();
        loop {
            match EtcdStore::open(self.client(members)).await {
                Ok(store) => return store,
                Err(error) => assert!(begun.elapsed() < PATIENCE, "no etcd in time: {error:?}"),
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for member in &self.members {
            if let Some(pid) = pid(member) {
                // It may have ended already.
                let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
            }
        }
    }
}

/// The process written down, if it still is an etcd.
fn pid(member: &Options) -> Option<i32> {
    let text = std::fs::read(member.directory.join("process.json")).ok()?;
    let record: serde_json::Value = serde_json::from_slice(&text).ok()?;
    let pid = i32::try_from(record["pid"].as_i64()?).ok()?;
    let line = std::fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline")).ok()?;
    String::from_utf8_lossy(&line).contains(member.directory.to_str()?).then_some(pid)
}

fn supervise(member: &Options) -> Supervised {
    let stop = CancellationToken::new();
    let engine = Engine::new(member.clone()).unwrap();
    let token = stop.clone();
    let task = tokio::spawn(async move { engine.run(token).await.unwrap() });
    Supervised { stop, task }
}

impl Supervised {
    async fn let_go(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

async fn put(store: &EtcdStore, key: &str) {
    let begun = Instant::now();
    while let Err(error) = store.txn(Txn::of([Op::put(key.to_owned(), "v")])).await {
        assert!(begun.elapsed() < PATIENCE, "no write in time: {error:?}");
    }
}

async fn keys(store: &EtcdStore) -> Vec<String> {
    let (_, all) = read_all(store, KeyRange::all()).await.unwrap();
    all.into_iter().map(|kv| String::from_utf8(kv.key.to_vec()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_outlives_the_server_and_is_adopted_again() {
    let Some(mut world) = World::new() else { return };
    let member = world.member("s1");
    assert!(Engine::new(member.clone()).is_err(), "it has not been said how it starts");
    Launch::first(&member).save(&member.directory).unwrap();
    let first = supervise(&member);
    let store = world.store(&[&member]).await;
    put(&store, "a").await;
    let started = pid(&member).expect("it runs");
    first.let_go().await;
    assert_eq!(pid(&member), Some(started), "it goes on without the server");
    put(&store, "b").await;

    // Also when what was written down of it is gone.
    std::fs::remove_file(member.directory.join("process.json")).unwrap();
    let again = supervise(&member);
    let begun = Instant::now();
    while pid(&member).is_none() {
        assert!(begun.elapsed() < PATIENCE, "it was not found");
        tokio::task::yield_now().await;
    }
    assert_eq!(pid(&member), Some(started), "no second one was started");

    kill_process(Pid::from_raw(started).unwrap(), Signal::KILL).unwrap();
    put(&store, "c").await;
    assert_ne!(pid(&member), Some(started), "another one was started");
    assert_eq!(keys(&store).await, ["a", "b", "c"]);
    again.let_go().await;
    Engine::new(member.clone()).unwrap().end().await.unwrap();
    assert_eq!(pid(&member), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_servers_are_let_in() {
    let Some(mut world) = World::new() else { return };
    let member = world.member("s1");
    Launch::first(&member).save(&member.directory).unwrap();
    let running = supervise(&member);
    put(&world.store(&[&member]).await, "a").await;
    let host = world.authority.issue_host("h1", Timestamp::now()).unwrap();
    let other = CertificateAuthority::create("c", Timestamp::now()).unwrap();
    let names = ServerNames { dns: vec![CLIENT_NAME.to_owned()], addresses: vec![] };
    let stranger = other.issue_server("s1", &names, Timestamp::now()).unwrap();
    for identity in [host, stranger] {
        let options = EtcdOptions::new([member.client_url()]).with_tls(world.tls(&identity));
        assert!(EtcdStore::open(options).await.is_err(), "{:?}", identity.peer());
    }
    running.let_go().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_join_and_a_dead_one_is_replaced() {
    let Some(mut world) = World::new() else { return };
    let first = world.member("s1");
    Launch::first(&first).save(&first.directory).unwrap();
    let mut running = vec![supervise(&first)];
    let store = world.store(&[&first]).await;
    put(&store, "a").await;
    let admin = world.admin(&[&first]).await;
    let mut all = vec![first];
    for name in ["s2", "s3"] {
        let member = world.member(name);
        join(&admin, &member, None).await.unwrap();
        // Cut off here, it is done over.
        join(&admin, &member, None).await.unwrap().save(&member.directory).unwrap();
        running.push(supervise(&member));
        promote(&admin, &member, PATIENCE).await.unwrap();
        all.push(member);
    }
    let members: Vec<&Options> = all.iter().collect();
    store.reconfigure(world.client(&members)).await.unwrap();
    let admin = world.admin(&members).await;
    put(&store, "b").await;
    let voting = admin.members().await.unwrap();
    assert!(voting.len() == 3 && voting.iter().all(|member| !member.learner), "{voting:?}");
    let upkeep = Upkeep::new(world.admin(&members).await);
    assert_eq!(upkeep.run().await.unwrap(), None, "nothing is due");

    let fourth = world.member("s4");
    let alive = join(&admin, &fourth, Some("s2")).await;
    assert!(matches!(alive, Err(JoinError::Alive { .. })), "{alive:?}");
    running.remove(1).let_go().await;
    let dead = pid(&all[1]).unwrap();
    kill_process(Pid::from_raw(dead).unwrap(), Signal::KILL).unwrap();
    let begun = Instant::now();
    put(&store, "c").await;
    eprintln!("a write {} ms after the death of a member", begun.elapsed().as_millis());
    assert_eq!(admin.members().await.unwrap().len(), 3, "silent, but still a member");
    join(&admin, &fourth, Some("s2")).await.unwrap().save(&fourth.directory).unwrap();
    running.push(supervise(&fourth));
    promote(&admin, &fourth, PATIENCE).await.unwrap();
    let names: Vec<_> = admin.members().await.unwrap().into_iter().map(|it| it.name).collect();
    assert!(names.len() == 3 && !names.contains(&"s2".to_owned()), "{names:?}");
    assert_eq!(keys(&world.store(&[&fourth]).await).await, ["a", "b", "c"]);
    for engine in running {
        engine.let_go().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_etcd_comes_back() {
    let Some(mut world) = World::new() else { return };
    let member = world.member("s1");
    Launch::first(&member).save(&member.directory).unwrap();
    let running = supervise(&member);
    let store = world.store(&[&member]).await;
    let fill = || Txn::of([Op::put("k", vec![7; 1 << 20])]);
    let begun = Instant::now();
    loop {
        match store.txn(fill()).await {
            Err(store::StoreError::DiskFull { .. }) => break,
            _ => assert!(begun.elapsed() < PATIENCE, "it is never full"),
        }
    }
    let upkeep = Upkeep::new(world.admin(&[&member]).await);
    let done = upkeep.run().await.unwrap().expect("something was due");
    assert!(done.contains("takes writes again"), "{done}");
    store.txn(fill()).await.unwrap();
    assert_eq!(upkeep.run().await.unwrap(), None);
    running.let_go().await;
}
