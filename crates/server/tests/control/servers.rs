//! Several servers on one store, with real streams between them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::deployment::Phase;
use api::id::HostId;
use api::liveness::{Observed, Silence};
use api::protocol::Down;
use api::unit::Millis;
use server::control::Lead;
use server::core::{Agents, Change, CommitError, Election, Term};
use store::MemoryStore;

use super::severed::Severed;
use super::world::{Trust, World, first_report};

/// Leadership ten times as fast as by default, so that a take-over is soon.
pub(super) fn fast() -> Lead {
    let ms = Duration::from_millis;
    Lead::Elected(Election { renew: ms(30), step_down: ms(150), silence: ms(250), look: ms(10) })
}

pub(super) struct Cluster {
    pub(super) servers: Vec<World>,
    ways: Vec<Arc<Severed>>,
}

impl Cluster {
    async fn start(count: usize) -> Self {
        Self::start_probing(count, api::liveness::PROBE_PORT).await
    }

    /// With hosts that answer probes on this port.
    pub(super) async fn start_probing(count: usize, port: u16) -> Self {
        let (trust, store) = (Trust::probing(port), Arc::new(MemoryStore::new()));
        let (mut servers, mut ways) = (Vec::new(), Vec::new());
        for i in 1..=count {
            let way = Severed::new(store.clone());
            let name = format!("s{i}");
            let server = World::on(&trust, &name, store.clone(), way.clone(), fast()).await;
            if i == 1 {
                server.term().await;
            }
            servers.push(server);
            ways.push(way);
        }
        for server in &servers {
            let all = |core: &server::core::Core| core.agents.gathered.peers().len() == count - 1;
            server.wait("all servers to hear each other", all).await;
        }
        Self { servers, ways }
    }

    pub(super) async fn stop(self) {
        for server in self.servers {
            server.stop().await;
        }
    }

    /// Waits until one of these servers leads; gives which.
    pub(super) async fn leader(&self, among: &[usize]) -> usize {
        for _ in 0..3000 {
            let leads = |i: &&usize| self.servers[**i].core.servers.term().is_some();
            if let Some(leader) = among.iter().find(leads) {
                return *leader;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("none of {among:?} came to lead");
    }
}

async fn team(cluster: &Cluster, name: &str, term: &Term) -> Result<(), CommitError> {
    let team = api::team::Team {
        name: name.parse().unwrap(),
        description: String::new(),
        created: api::time::Timestamp(0),
    };
    let change = Change::new().create(&team).when(term.fence());
    change.commit(cluster.servers[0].store.as_ref()).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_server_may_hold_an_agent_and_any_may_be_asked() {
    let cluster = Cluster::start(3).await;
    cluster.servers[2].agent("h1").await;
    cluster.servers[1].agent("h2").await;
    cluster.servers[1].deploy("shop", 4, "img:1", false).await.unwrap();
    for server in &cluster.servers {
        server.wait_phase("shop", "staging", Phase::Complete).await;
        server
            .wait("both hosts to be known", |core| {
                core.hosts().iter().filter(|host| host.connected).count() == 2
            })
            .await;
        let shown = |core: &server::core::Core| {
            core.instances(None, None).iter().filter(|i| i.state == "healthy").count() == 4
        };
        server.wait("all to be seen healthy", shown).await;
        let led: Vec<_> = server.core.list_servers();
        assert_eq!(led.len(), 3);
        server
            .wait("the leader to be known", |core| {
                let leads = core.list_servers().into_iter().filter(|server| server.leads);
                leads.map(|server| server.server.name.to_string()).collect::<Vec<_>>() == ["s1"]
            })
            .await;
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_cut_off_between_any_two_writes_is_followed_by_one_that_finishes() {
    for writes in 0..10 {
        let cluster = Cluster::start(3).await;
        for (i, host) in ["h1", "h2"].into_iter().enumerate() {
            cluster.servers[i + 1].agent(host).await;
        }
        let old = cluster.servers[0].term().await;
        cluster.ways[0].cut_after(writes);
        let deployed = cluster.servers[1].deploy("shop", 3, "img:1", false).await;
        deployed.unwrap_or_else(|error| panic!("cut after {writes} writes: {error}"));
        let leader = cluster.leader(&[1, 2]).await;
        let new = cluster.servers[leader].term().await;
        assert!(new.number > old.number);
        cluster.servers[leader].wait_phase("shop", "staging", Phase::Complete).await;
        // One more than wanted may be there for a moment: surge, or a step of spreading.
        let seen = || cluster.servers[leader].core.instances(None, None).len();
        assert!((3..=4).contains(&seen()), "cut after {writes} writes: {} instances", seen());
        cluster.servers[leader].wait("three", |core| core.instances(None, None).len() == 3).await;
        // What the old one still would write is refused.
        let refused = team(&cluster, "late", &old).await;
        assert!(matches!(refused, Err(CommitError::Conflict)), "{refused:?}");
        // It has stopped to lead by itself: it can't know of the other.
        cluster.servers[0]
            .wait("the old one to step down", |core| core.servers.term().is_none())
            .await;
        cluster.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_term_is_led_by_two() {
    let (store, mut led) = (Arc::new(MemoryStore::new()), BTreeMap::new());
    let Lead::Elected(election) = fast() else { panic!("elected") };
    let mut tasks = Vec::new();
    for i in 0..5 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let name = format!("s{i}");
            let mut candidate = server::core::Candidate::new(name.clone(), election);
            let mut terms = Vec::new();
            while terms.len() < 4 {
                let Some(term) = candidate.attempt(store.as_ref()).await else { continue };
                assert!(term.renew(store.as_ref(), 1).await.unwrap());
                terms.push(term.number);
                // Every other time it lays the leadership down, else it just falls silent.
                if terms.len().is_multiple_of(2) {
                    term.end(store.as_ref()).await.unwrap();
                }
                candidate =
                    server::core::Candidate::new(format!("{name}-{}", terms.len()), election);
            }
            (name, terms)
        }));
    }
    for task in tasks {
        let (name, terms) = task.await.unwrap();
        for term in terms {
            let other = led.insert(term, name.clone());
            assert_eq!(other, None, "term {term} was led by two");
        }
    }
    assert_eq!(led.len(), 20);
    assert_eq!(led.keys().copied().collect::<Vec<_>>(), (1..=20).collect::<Vec<u64>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_its_store_says_so_and_reads_go_on() {
    let cluster = Cluster::start(2).await;
    let second = &cluster.servers[1];
    let (_end, mut frames) = Agents::connect(&second.core, &HostId::new("h1").unwrap(), true);
    cluster.ways[1].cut();
    let mut decoder = api::frame::Decoder::new();
    loop {
        decoder.push(&frames.recv().await.unwrap());
        if let Some(Down::Store { reachable: false }) = decoder.next().unwrap() {
            break;
        }
    }
    let error = second.deploy("shop", 1, "img:1", false).await.unwrap_err();
    assert_eq!(error.code, api::error::ErrorCode::Unavailable);
    assert!(error.hint.is_some());
    assert_eq!(second.core.list_servers().len(), 2);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_host_is_down_when_observers_on_any_server_say_so_and_back_when_it_is() {
    let cluster = Cluster::start(3).await;
    let watchers: Vec<_> = (1..=3).map(|i| HostId::new(format!("h{i}")).unwrap()).collect();
    let victim = HostId::new("h4").unwrap();
    let core = &cluster.servers[0].core;
    core.welcome(&victim, &Default::default()).await.unwrap();
    let mut ends = Vec::new();
    for (i, host) in watchers.iter().enumerate() {
        let core = &cluster.servers[i].core;
        core.welcome(host, &Default::default()).await.unwrap();
        ends.push((core.clone(), host.clone(), Agents::connect(core, host, true)));
    }
    // The observers beat, and say what they find to the list they were given.
    let beat = |silent: bool| {
        for (core, host, _) in &ends {
            core.agents.gathered.heard(host);
            let Some(list) = core.servers.published.observe(host) else { continue };
            let silent = if silent {
                vec![Silence { host: victim.clone(), silent: Millis(1500) }]
            } else {
                Vec::new()
            };
            let observed = Observed { generation: list.generation, silent, votes: true };
            core.agents.gathered.observed(host, observed);
        }
    };
    let down = || core.view().hosts["h4"].is_down();
    for _ in 0..60 {
        beat(false);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!down(), "observers hear it: it is only cut off");
    }
    let mut tries = 0;
    while !down() {
        beat(true);
        tokio::time::sleep(Duration::from_millis(50)).await;
        tries += 1;
        assert!(tries < 400, "{:?}", core.driver.list());
    }
    // It comes back to a server that does not lead.
    let third = &cluster.servers[2].core;
    let _back = Agents::connect(third, &victim, true);
    for _ in 0..20 {
        beat(true);
        third.agents.gathered.heard(&victim);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(down(), "it has not said what it runs");
    }
    third.agents.gathered.report(first_report(&victim));
    let mut tries = 0;
    while down() {
        beat(true);
        third.agents.gathered.heard(&victim);
        tokio::time::sleep(Duration::from_millis(50)).await;
        tries += 1;
        assert!(tries < 400, "{:?}", core.driver.list());
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_lines_come_by_way_of_the_server_that_holds_the_hosts_stream() {
    let cluster = Cluster::start(3).await;
    let host = HostId::new("h1").unwrap();
    // The agent's stream is on the third server; everybody else has to ask it.
    let third = cluster.servers[2].core.clone();
    third.welcome(&host, &Default::default()).await.unwrap();
    let (_end, mut frames) = Agents::connect(&third, &host, true);
    let line = |sequence: u64, instance: &api::id::InstanceId| api::protocol::LogLine {
        instance: instance.clone(),
        at: api::time::Timestamp(1),
        sequence,
        stderr: false,
        text: format!("line {sequence}"),
        partial: false,
    };
    let answering = third.clone();
    tokio::spawn(async move {
        let mut decoder = api::frame::Decoder::new();
        while let Some(frame) = frames.recv().await {
            decoder.push(&frame);
            while let Some(down) = decoder.next::<Down>().unwrap() {
                let Down::Logs(asked) = down else { continue };
                let lines = answering.agents.take_logs(&asked.id).expect("somebody waits");
                for sequence in 1..=u64::from(asked.tail) {
                    lines.send(line(sequence, &asked.instance)).await.unwrap();
                }
                // Who follows hears more until they leave; then this ends.
                let more = if asked.follow { u64::MAX } else { 0 };
                for sequence in (u64::from(asked.tail) + 1..).take_while(|at| *at < more) {
                    if lines.send(line(sequence, &asked.instance)).await.is_err() {
                        break;
                    }
                }
            }
        }
    });
    let instance = "shop-staging-00000001".parse().unwrap();
    for server in &cluster.servers[..2] {
        let knows = |core: &server::core::Core| core.agents.gathered.holder(&host).is_some();
        server.wait("the holder of the stream to be known", knows).await;
        let lines = server.core.last_lines(&host, &instance, 5).await;
        let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["line 1", "line 2", "line 3", "line 4", "line 5"]);
    }
    // Nobody holds the stream: there are no lines, and no error that would hide others'.
    let nobody = HostId::new("h9").unwrap();
    assert!(cluster.servers[0].core.last_lines(&nobody, &instance, 5).await.is_empty());
    cluster.stop().await;
}
