//! Observers and observed over real sockets, with a relay between them that drops, keeps or swaps
//! packets, and a process that is frozen.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;

use api::id::{Generation, HostId};
use api::liveness::{Observe, ObserveTarget, Observed, ProbeKey, ProbeTimes};
use api::unit::Millis;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::Instant;

use super::packet::{Kind, packet};
use super::service::{Answering, Service};

/// Shorter than in production, and so long that a loaded machine keeps them most of the time.
const TIMES: ProbeTimes = ProbeTimes { every: Millis(60), suspect: Millis(300), down: Millis(600) };

fn host(name: &str) -> HostId {
    HostId::new(name).unwrap()
}

fn key() -> ProbeKey {
    ProbeKey("0123456789abcdef0123456789abcdef".into())
}

fn list(key: ProbeKey, targets: &[(&str, SocketAddr)]) -> Arc<Observe> {
    let targets = targets.iter().map(|(name, a)| ObserveTarget { host: host(name), address: *a });
    let targets = targets.collect();
    Arc::new(Observe { generation: Generation(1), key, times: TIMES, targets })
}

/// A running service.
struct Running {
    address: SocketAddr,
    lists: watch::Sender<Arc<Observe>>,
    observed: watch::Receiver<Observed>,
    pulse: watch::Sender<Instant>,
    task: tokio::task::JoinHandle<()>,
}

async fn start(name: &str, list: Arc<Observe>) -> Running {
    let (lists, given) = watch::channel(list);
    let (found, observed) = watch::channel(Observed::default());
    let (pulse, beats) = watch::channel(Instant::now() + std::time::Duration::from_secs(3600));
    let any = "127.0.0.1:0".parse().unwrap();
    let answering = Answering { host: host(name), pulse: beats };
    let service = Service::bind(any, Some(answering), given, found).await.unwrap();
    let address = service.address().unwrap();
    Running { address, lists, observed, pulse, task: tokio::spawn(service.run()) }
}

impl Running {
    async fn until(&mut self, what: &str, found: impl Fn(&Observed) -> bool) {
        let last = self.observed.clone();
        let wait = self.observed.wait_for(|observed| found(observed));
        let limit = std::time::Duration::from_secs(30);
        let met = tokio::time::timeout(limit, wait).await.is_ok();
        assert!(met, "never {what}; the last was {:?}", last.borrow());
    }

    async fn hears_all(&mut self) {
        self.until("heard all", |o| o.votes && o.silent.is_empty()).await;
    }

    async fn lost(&mut self, name: &str) {
        let lost = |o: &Observed| {
            let silent = o.silent.iter().find(|silence| silence.host == host(name));
            o.votes && silent.is_some_and(|silence| silence.silent >= TIMES.down)
        };
        self.until(&format!("lost {name}"), lost).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Stands between observer and target; `pass` says what becomes of a packet, by whether it is an
/// answer.
async fn relay(
    target: SocketAddr,
    mut pass: impl FnMut(&[u8], bool) -> Option<Vec<u8>> + Send + 'static,
) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 200];
        let mut asker = None;
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let answer = from == target;
            if !answer {
                asker = Some(from);
            }
            let to = if answer { asker } else { Some(target) };
            if let (Some(to), Some(bytes)) = (to, pass(&buffer[..length], answer)) {
                let _ = socket.send_to(&bytes, to).await;
            }
        }
    });
    address
}

#[tokio::test]
async fn a_target_falls_silent_and_returns() {
    let target = start("b", list(key(), &[])).await;
    let other = start("c", list(key(), &[])).await;
    let (cut, is_cut) = watch::channel(false);
    let way = relay(target.address, move |bytes, _| (!*is_cut.borrow()).then(|| bytes.into()));
    let way = way.await;
    let targets = [("b", way), ("c", other.address)];
    let mut observer = start("a", list(key(), &targets)).await;
    observer.hears_all().await;
    cut.send_replace(true);
    observer.lost("b").await;
    assert_eq!(observer.observed.borrow().silent.len(), 1, "c is heard");
    cut.send_replace(false);
    observer.hears_all().await;
}

/// The target's answers reach the observer as `spoil` makes them: none may count.
async fn never_heard(spoil: impl FnMut(&[u8], bool) -> Option<Vec<u8>> + Send + 'static) {
    let target = start("b", list(key(), &[])).await;
    let other = start("c", list(key(), &[])).await;
    let way = relay(target.address, spoil).await;
    let mut observer = start("a", list(key(), &[("b", way), ("c", other.address)])).await;
    observer.lost("b").await;
}

#[tokio::test]
async fn an_answer_that_is_replayed_is_none() {
    let mut first: Option<Vec<u8>> = None;
    never_heard(move |bytes, answer| {
        if !answer {
            return Some(bytes.into());
        }
        // The first one comes for all others: once it may be in time, then it is used up.
        let kept = first.get_or_insert_with(|| bytes.into()).clone();
        (kept != bytes).then_some(kept)
    })
    .await;
}

#[tokio::test]
async fn an_answer_of_a_stranger_or_of_another_host_is_none() {
    for (key, name) in [(ProbeKey("x".repeat(32)), "b"), (key(), "c"), (key(), "a")] {
        never_heard(move |bytes, answer| {
            if !answer {
                return Some(bytes.into());
            }
            let nonce = bytes[5..21].try_into().unwrap();
            Some(packet(&key, Kind::Answer, &nonce, &host(name)).unwrap().to_vec())
        })
        .await;
    }
    // A question that comes back unchanged is no answer either.
    let mut last = Vec::new();
    never_heard(move |bytes, answer| {
        if !answer {
            last = bytes.to_vec();
            return Some(bytes.into());
        }
        Some(last.clone())
    })
    .await;
}

#[tokio::test]
async fn a_target_without_the_key_or_whose_agent_hangs_does_not_answer() {
    let keyless = start("b", list(ProbeKey::default(), &[])).await;
    let hanging = start("c", list(key(), &[])).await;
    hanging.pulse.send_replace(Instant::now() - std::time::Duration::from_secs(60));
    let fine = start("d", list(key(), &[])).await;
    let targets = [("b", keyless.address), ("c", hanging.address), ("d", fine.address)];
    let mut observer = start("a", list(key(), &targets)).await;
    observer.lost("b").await;
    observer.lost("c").await;
    assert_eq!(observer.observed.borrow().silent.len(), 2);
    keyless.lists.send_replace(list(key(), &[]));
    hanging.pulse.send_replace(Instant::now());
    observer.hears_all().await;
}

const CHILD: &str = "FREEHOLD_TEST_OBSERVER_OF";

/// Not a test of its own: the process that the next test freezes. Says what it observes.
#[tokio::test]
async fn frozen_observer() {
    let Ok(target) = std::env::var(CHILD) else { return };
    let mut observer = start("a", list(key(), &[("b", target.parse().unwrap())])).await;
    while observer.observed.changed().await.is_ok() {
        let news = observer.observed.borrow_and_update().clone();
        println!("observed {}", serde_json::to_string(&news).unwrap());
        std::io::stdout().flush().unwrap();
    }
}

#[tokio::test]
async fn an_observer_that_was_frozen_does_not_vote_on_waking() {
    let target = start("b", list(key(), &[])).await;
    let mut witness = start("c", list(key(), &[("b", target.address)])).await;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::frozen_observer", "--nocapture"])
        .env(CHILD, target.address.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    let (said, mut heard) = tokio::sync::mpsc::channel(1000);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let reader = std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            // The harness writes its own word at the beginning of the first line.
            if let Some((_, json)) = line.split_once("observed ") {
                let _ = said.blocking_send(serde_json::from_str::<Observed>(json).unwrap());
            }
        }
    });
    while !heard.recv().await.unwrap().votes {}
    kill_process(pid, Signal::STOP).unwrap();
    while heard.try_recv().is_ok() {}
    // So long that it would call the target dead if it believed its own eyes.
    target.task.abort();
    witness.until("lost", |o| o.silent.iter().any(|s| s.silent >= TIMES.down)).await;
    kill_process(pid, Signal::CONT).unwrap();
    let first = heard.recv().await.unwrap();
    assert!(!first.votes && first.silent.is_empty(), "{first:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
}
