//! Servers as observers: three of them, apart from three hosts of which two are lost at once. What
//! is left of the hosts hears nobody, so its word alone is none.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use api::id::HostId;
use api::liveness::{Observe, Observed};
use api::protocol::Place;
use probe::{Answering, Service};
use server::core::{Agents, Core};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::servers::Cluster;
use super::world::first_report;

/// Hosts' addresses; servers are on 127.0.0.1.
fn address(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 77, n)
}

/// A port that is free on all hosts' addresses.
fn free_port() -> u16 {
    for _ in 0..100 {
        let first = UdpSocket::bind((address(1), 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        if (2..=3).all(|n| UdpSocket::bind((address(n), port)).is_ok()) {
            return port;
        }
    }
    panic!("no port is free on three addresses");
}

/// A host with its stream to one server: beats, answers probes and probes others as it is told.
struct Machine(JoinHandle<()>);

impl Machine {
    async fn start(core: &Arc<Core>, n: u8, port: u16) -> Self {
        let host = HostId::new(format!("h{n}")).unwrap();
        let place = Place { address: Some(address(n)), ..Place::default() };
        core.welcome(&host, &place).await.unwrap();
        let (lists, given) = watch::channel(Arc::new(Observe::default()));
        let (found, mut observed) = watch::channel(Observed::default());
        let (beat, pulse) = watch::channel(Instant::now());
        let answering = Some(Answering { host: host.clone(), pulse });
        let at = SocketAddr::from((address(n), port));
        let service = Service::bind(at, answering, given, found).await.unwrap();
        let core = core.clone();
        Self(tokio::spawn(async move {
            let (_end, _frames) = Agents::connect(&core, &host, true);
            core.agents.gathered.report(first_report(&host));
            let beats = async {
                loop {
                    beat.send_replace(Instant::now());
                    core.agents.gathered.heard(&host);
                    if let Some(list) = core.servers.published.observe(&host) {
                        let list = Arc::new(list);
                        lists.send_if_modified(|known| {
                            let new = *known != list;
                            *known = list;
                            new
                        });
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            let tells = async {
                while observed.changed().await.is_ok() {
                    let news = observed.borrow_and_update().clone();
                    core.agents.gathered.observed(&host, news);
                }
            };
            tokio::join!(beats, tells, service.run());
        }))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn down(core: &Core) -> Vec<String> {
    let view = core.view();
    view.hosts.values().filter(|row| row.is_down()).map(|row| row.name.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_three_hosts_lost_at_once_are_found_by_the_servers_and_back_when_they_are() {
    let port = free_port();
    let cluster = Cluster::start_probing(3, port).await;
    let core = |n: usize| &cluster.servers[n].core;
    let mut machines = Vec::new();
    for n in 1..=3u8 {
        machines.push(Machine::start(core(usize::from(n) - 1), n, port).await);
    }
    let leader = cluster.leader(&[0, 1, 2]).await;
    for server in &cluster.servers {
        let all_find = |core: &Core| {
            let heard = core.agents.gathered.servers(&core.servers.me);
            let newest = core.servers.published.observe_from(&core.servers.me);
            heard.len() == 3
                && newest.targets.len() == 3
                && heard.values().all(|server| {
                    let observed = server.word.observed.as_ref();
                    observed.is_some_and(|o| {
                        o.votes && o.silent.is_empty() && o.generation == newest.generation
                    })
                })
        };
        server.wait("all servers to hear all hosts and each other", all_find).await;
    }
    let report = core(leader).net_report();
    assert!(report.pairs >= 9, "{report:?}");

    machines.truncate(1);
    cluster.servers[leader].wait("two to be down", |core| down(core) == ["h2", "h3"]).await;
    assert_eq!(core(leader).safe_mode().lost.unwrap().hosts.len(), 2);

    machines.push(Machine::start(core(leader), 2, port).await);
    cluster.servers[leader].wait("one to be back", |core| down(core) == ["h3"]).await;
    drop(machines);
    cluster.stop().await;
}

/// A server without network hears no host: it does not vote, and where nobody does, nobody is dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_no_server_hears_any_more_are_not_dead() {
    let port = free_port();
    let cluster = Cluster::start_probing(2, port).await;
    let core = &cluster.servers[0].core;
    let mut machines = Vec::new();
    for n in 1..=3u8 {
        machines.push(Machine::start(core, n, port).await);
    }
    let leader = cluster.leader(&[0, 1]).await;
    cluster.servers[leader]
        .wait("the leader to have a list", |core| {
            core.servers.published.observe_from(&core.servers.me).targets.len() == 3
        })
        .await;
    machines.clear();
    let all_silent = |core: &Core| {
        let heard = core.agents.gathered.servers(&core.servers.me);
        heard.values().all(|server| {
            let silent = server.word.observed.as_ref().map(|observed| &observed.silent);
            silent.is_some_and(|all| all.len() == 3 && all.iter().all(|s| s.silent.0 >= 1500))
        })
    };
    for server in &cluster.servers {
        server.wait("all to be silent", all_silent).await;
    }
    // The verdict was made with that: the leader's judge has run since.
    let runs = |core: &Core| {
        core.driver.list().iter().find(|row| row.name == "liveness").map_or(0, |row| row.runs)
    };
    let before = runs(&cluster.servers[leader].core);
    cluster.servers[leader].wait("two more verdicts", |core| runs(core) >= before + 2).await;
    assert_eq!(down(&cluster.servers[leader].core), [] as [String; 0]);
    cluster.stop().await;
}
