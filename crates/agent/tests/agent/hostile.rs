//! Documents that must not be taken, and packets that nobody with the key has made.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use api::assignment::Assignment;
use api::id::{Generation, HostId};
use api::liveness::{Observe, ObserveTarget, Observed, ProbeKey, ProbeTimes};
use api::protocol::Down;
use api::unit::Millis;
use probe::{Answering, Service};
use rustix::process::Signal;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::Instant;

use super::world::{World, ingress_table, network_table, possible};

const WEB: &str = "[process]\nport = 8080\n[health]\nhttp = \"/\"\n";

fn curl(world: &World) -> String {
    let mut command = world.command("curl");
    command.args(["-sS", "--max-time", "5", "-H", "Host: web-production.example"]);
    let output = command.arg("http://127.0.0.1:7080/").output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_of_before_and_documents_that_changed_are_refused_and_nothing_is_lost() {
    if !possible() {
        return;
    }
    let mut world = World::new("olddocs");
    world.start_agent();
    world.assign(Vec::new(), Vec::new());
    let entries = vec![world.entry("web-production-1", "web", "production", 2)];
    let workloads = vec![world.workload("web", "production", WEB)];
    let second = world.assign(entries.clone(), workloads.clone());
    let before = world.healthy(second, 1).await;

    // Each would stop what runs, and lead nobody to it.
    let say = |world: &World, name: &str, generation| {
        let host = HostId::new(name).unwrap();
        let assignment = Assignment { host, generation, entries: Vec::new(), cooling: Vec::new() };
        world.server.say(&Down::Assignment { assignment, workloads: Vec::new() });
        world.server.say(&Down::Network(network_table(generation, &[])));
        world.server.say(&Down::Ingress(ingress_table(generation, &[])));
    };
    let own = world.name.clone();
    say(&world, &own, Generation(1));
    say(&world, &own, second);
    say(&world, "another-host", Generation(99));
    // Tables do not say whose they are: those of 99 are newer, and so they are in place.
    let mut known = world.server.acknowledged.clone();
    known.wait_for(|known| known.network == Generation(99)).await.unwrap();
    let log = world.agent_log();
    for (words, count) in [
        ("refused an assignment: it is older", 1),
        ("refused an assignment: it changed at one generation", 1),
        ("refused an assignment: not for this host now", 1),
        ("refused a document: it is older", 2),
        ("refused a document: same generation, other content", 2),
    ] {
        let found = log.lines().filter(|line| line.contains(words)).count();
        assert!(found >= count, "{words}: {found} of {count}\n{log}");
    }
    let status = world.server.status.borrow().clone().unwrap();
    assert_eq!(status.generation, second);
    assert_eq!(status.instances[0].pid, before.instances[0].pid, "it runs as it ran");
    assert_eq!(status.instances[0].restarts, 0);

    // What is on disk is what was taken: another agent hears all of that again.
    world.end_agent(Signal::KILL).await;
    world.ephemeral();
    world.start_agent();
    let table = |generation: u64| {
        let generation = Generation(generation);
        world.server.say(&Down::Network(network_table(generation, &entries)));
        world.server.say(&Down::Ingress(ingress_table(generation, &entries)));
    };
    table(100);
    let mut known = world.server.acknowledged.clone();
    let in_place = |known: &api::protocol::Acknowledge| {
        known.network == Generation(100) && known.ingress == Some(Generation(100))
    };
    known.wait_for(in_place).await.unwrap();
    let pid = before.instances[0].pid;
    let after = world.reports(|status| {
        status.generation == second && status.instances.first().is_some_and(|it| it.pid == pid)
    });
    assert_eq!(after.await.instances.len(), 1);
    assert_eq!(curl(&world), "hello\n", "{}", world.agent_log());
    // And the next one is taken.
    world.assign(Vec::new(), Vec::new());
    world.reports(|status| status.instances.is_empty()).await;
    world.end_agent(Signal::TERM).await;
}

/// Shorter than by default, so that the test is; longer than a busy machine's pauses.
const TIMES: ProbeTimes =
    ProbeTimes { every: Millis(100), suspect: Millis(700), down: Millis(1400) };

const PROBES: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7444);

fn key(letter: char) -> ProbeKey {
    ProbeKey(letter.to_string().repeat(32))
}

fn list(key: ProbeKey, host: &str, address: SocketAddr) -> Observe {
    let target = ObserveTarget { host: HostId::new(host).unwrap(), address };
    Observe { generation: Generation(1), key, times: TIMES, targets: vec![target] }
}

/// A socket on the host's network.
fn socket(world: &World) -> UdpSocket {
    let bind = || std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let socket = world.namespace.run(bind).unwrap();
    socket.set_nonblocking(true).unwrap();
    UdpSocket::from_std(socket).unwrap()
}

/// Another host's probes; what it finds.
fn other(world: &World, name: &str, list: Observe) -> (SocketAddr, watch::Receiver<Observed>) {
    let (lists, given) = watch::channel(Arc::new(list));
    let (found, observed) = watch::channel(Observed::default());
    let (pulse, beats) = watch::channel(Instant::now() + std::time::Duration::from_secs(3600));
    let answering = Answering { host: HostId::new(name).unwrap(), pulse: beats };
    let wire = Box::new(socket(world));
    let address = wire.local_addr().unwrap();
    let service = Service::on(wire, Some(answering), given, found);
    tokio::spawn(async move {
        let _held = (lists, pulse);
        service.run().await;
    });
    (address, observed)
}

/// Stands between the agent and another host. It passes questions on; what comes back it spoils
/// in every way, unless it is honest.
fn relay(world: &World, to: SocketAddr, honest: watch::Receiver<bool>) -> SocketAddr {
    let socket = socket(world);
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut buffer, mut asker, mut last) = ([0; 300], None, Vec::new());
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let packet = buffer[..length].to_vec();
            if from != to {
                asker = Some(from);
                let _ = socket.send_to(&packet, to).await;
                continue;
            }
            let Some(asker) = asker else { continue };
            let forged = match *honest.borrow() {
                true => vec![packet.clone()],
                false => spoiled(&packet, &last),
            };
            for packet in forged {
                let _ = socket.send_to(&packet, asker).await;
            }
            last = packet;
        }
    });
    address
}

/// An answer that is none any more: each bit changed, cut, made longer, sent as a question; and the
/// one before, whose question is forgotten or was answered by nobody.
fn spoiled(answer: &[u8], last: &[u8]) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = (0..answer.len() * 8)
        .map(|bit| {
            let mut other = answer.to_vec();
            other[bit / 8] ^= 1 << (bit % 8);
            other
        })
        .collect();
    all.extend((0..answer.len()).map(|length| answer[..length].to_vec()));
    all.push([answer, b"x"].concat());
    all.push([answer, answer].concat());
    let mut question = answer.to_vec();
    question[4] = 1;
    all.push(question);
    // Its nonce with the hash of another one.
    if last.len() == answer.len() {
        all.push([&answer[..21], &last[21..]].concat());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_packets_are_no_word_of_a_host_and_rubbish_is_answered_by_nothing() {
    if !possible() {
        return;
    }
    let mut world = World::new("forged");
    world.ephemeral();
    world.set("probe", PROBES.to_string());
    let name = world.name.clone();
    let (honest, says) = watch::channel(false);
    let (target, _) = other(&world, "other", list(key('k'), &name, PROBES));
    let target = relay(&world, target, says);
    world.server.say(&Down::Observe(list(key('k'), "other", target)));
    world.start_agent();
    let silent = |found: &Observed| found.votes && found.silent.len() == 1;
    let down = |found: &Observed| silent(found) && found.silent[0].silent >= TIMES.down;
    world.heard(world.server.observed.clone(), down).await;

    // Rubbish of every length, and a stranger who has another key: nothing comes back.
    let rubbish = socket(&world);
    for length in 0..200_usize {
        let byte = u8::try_from(length).unwrap();
        let packets = [vec![byte; length], [b"FHP1".as_slice(), &vec![1; length]].concat()];
        for packet in packets {
            rubbish.send_to(&packet, PROBES).await.unwrap();
        }
    }
    rubbish.send_to(&vec![7; 60_000], PROBES).await.unwrap();
    let (_, mut stranger) = other(&world, "stranger", list(key('l'), &name, PROBES));
    let (_, mut misled) = other(&world, "misled", list(key('k'), "somebody-else", PROBES));
    for stranger in [&mut stranger, &mut misled] {
        stranger.wait_for(down).await.unwrap();
    }
    assert!(rubbish.try_recv(&mut [0; 100]).is_err(), "rubbish was answered");

    // Who has the key is answered, and is believed as soon as nobody spoils its words.
    let (_, mut friend) = other(&world, "friend", list(key('k'), &name, PROBES));
    friend.wait_for(|found| found.votes && found.silent.is_empty()).await.unwrap();
    let found = world.server.observed.borrow().clone().unwrap();
    assert!(silent(&found), "still nothing was heard of it: {found:?}");
    honest.send_replace(true);
    let heard = |found: &Observed| found.votes && found.silent.is_empty();
    world.heard(world.server.observed.clone(), heard).await;
    let log = world.agent_log();
    assert!(!log.contains("panicked"), "{log}");
    world.end_agent(Signal::TERM).await;
}
