//! An address among three real processes on a real segment: killed, frozen, leaving.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::Write;
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use api::id::{Generation, HostId};
use api::network::{Vip, VipCandidate, VipKey, VipTable};
use net::namespace::{self, Namespace};

const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
/// Everything here takes a second or two; this is for a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(20);
const HOSTS: u8 = 3;

fn address(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, host)
}

fn sh(script: &str) -> String {
    let output = Command::new("sh").arg("-c").arg(script).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{script}: {text}");
    String::from_utf8(output.stdout).unwrap()
}

/// A switch with three hosts and a client on it. Dropping it ends all processes and namespaces.
struct Segment {
    directory: tempfile::TempDir,
    hosts: Vec<(Namespace, Option<Child>)>,
    client: Namespace,
    preempt: bool,
}

impl Segment {
    fn new(preempt: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let switch = Namespace::create(&directory.path().join("switch"), &[]).unwrap();
        switch.run(|| sh("ip link add sw type bridge; ip link set sw up")).unwrap();
        let machine = |number: u8| {
            let path = directory.path().join(format!("m{number}"));
            let inside = Namespace::create(&path, &[]).unwrap();
            let shown = path.display();
            switch
                .run(|| {
                    sh(&format!(
                        "ip link add p{number} type veth peer name eth0 netns {shown}; \
                         ip link set p{number} master sw up"
                    ))
                })
                .unwrap();
            let address = address(number);
            inside
                .run(|| {
                    sh(&format!(
                        "ip link set lo up; ip addr add {address}/24 dev eth0; \
                         ip link set eth0 up"
                    ))
                })
                .unwrap();
            inside
        };
        let hosts = (1..=HOSTS).map(|number| (machine(number), None)).collect();
        let client = machine(50);
        Self { directory, hosts, client, preempt }
    }

    fn start(&mut self, number: u8) {
        let name = |number: u8| HostId::new(format!("h{number}")).unwrap();
        let candidate = |number: u8| VipCandidate {
            host: name(number),
            address: address(number),
            priority: 100 - number,
        };
        let candidates = (1..=HOSTS).map(candidate).collect();
        let table = VipTable {
            generation: Generation(1),
            key: VipKey("0123456789abcdef0123456789abcdef".into()),
            vips: vec![Vip { address: VIP, preempt: self.preempt, candidates }],
        };
        let me = std::env::current_exe().unwrap();
        let exe = me.ancestors().nth(2).unwrap().join("examples/vip_host");
        let (inside, child) = &mut self.hosts[usize::from(number) - 1];
        let started = Command::new("nsenter")
            .arg(format!("--net={}", inside.path().display()))
            .arg(exe)
            .args([name(number).as_str(), &address(number).to_string(), "7445"])
            .arg(serde_json::to_string(&table).unwrap())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        *child = Some(started);
    }

    /// The hosts that have the address on their link.
    fn holders(&self) -> Vec<u8> {
        let has = |inside: &Namespace| {
            let listed = inside.run(|| sh("ip -o -4 addr show dev eth0")).unwrap();
            listed.contains(&format!("{VIP}/32"))
        };
        (1..=HOSTS).filter(|number| has(&self.hosts[usize::from(*number) - 1].0)).collect()
    }

    /// Waits until exactly `wanted` hold it; gives how long that took.
    fn wait(&self, wanted: &[u8]) -> Duration {
        let begin = Instant::now();
        loop {
            let found = self.holders();
            if found == wanted {
                return begin.elapsed();
            }
            assert!(begin.elapsed() < PATIENCE, "holders are {found:?}, not {wanted:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn signal(&mut self, number: u8, signal: rustix::process::Signal) {
        let child = self.hosts[usize::from(number) - 1].1.as_ref().unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
    }

    /// Whose hardware address the client finds behind the address.
    fn seen(&self) -> String {
        self.client
            .run(|| {
                let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
                let _ = socket.send_to(b"?", (VIP, 9));
                let begin = Instant::now();
                loop {
                    let text = sh(&format!("ip neigh show {VIP}"));
                    if let Some(mac) = text.split("lladdr ").nth(1) {
                        return mac.split(' ').next().unwrap().to_owned();
                    }
                    assert!(begin.elapsed() < PATIENCE, "nobody answers: {text}");
                    std::thread::sleep(Duration::from_millis(10));
                }
            })
            .unwrap()
    }

    fn mac(&self, number: u8) -> String {
        let inside = &self.hosts[usize::from(number) - 1].0;
        let text = inside.run(|| sh("ip -o link show eth0")).unwrap();
        text.split("link/ether ").nth(1).unwrap().split(' ').next().unwrap().to_owned()
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        for (_, child) in &mut self.hosts {
            if let Some(mut child) = child.take() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        for path in namespace::list(self.directory.path()).unwrap_or_default() {
            let _ = namespace::delete(&path);
        }
    }
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root for network namespaces");
    }
    root
}

#[test]
fn an_address_follows_its_killed_holder_and_the_segment_knows() {
    if !is_root() {
        return;
    }
    let mut segment = Segment::new(false);
    (1..=HOSTS).for_each(|number| segment.start(number));
    segment.wait(&[1]);
    assert_eq!(segment.seen(), segment.mac(1));
    segment.signal(1, rustix::process::Signal::KILL);
    // Dead as by power loss: its address is not there any more for anybody.
    let dead = segment.mac(1);
    segment.hosts[0].0.run(|| sh("ip link set eth0 down; ip addr flush dev eth0")).unwrap();
    let gap = segment.wait(&[2]);
    eprintln!("killed holder: taken over after {} ms", gap.as_millis());
    let seen = segment.seen();
    assert_eq!(seen, segment.mac(2), "not {dead}: the client's entry was replaced");
    // In order: the next has it as soon as this one lets go.
    let mut child = segment.hosts[1].1.take().unwrap();
    drop(child.stdin.take());
    child.wait().unwrap();
    let gap = segment.wait(&[3]);
    eprintln!("leaving holder: taken over after {} ms", gap.as_millis());
}

#[test]
fn a_frozen_holder_loses_the_address_and_yields_on_return() {
    if !is_root() {
        return;
    }
    let mut segment = Segment::new(false);
    (1..=2).for_each(|number| segment.start(number));
    segment.wait(&[1]);
    segment.signal(1, rustix::process::Signal::STOP);
    let begin = Instant::now();
    segment.wait(&[1, 2]);
    let both = begin.elapsed();
    segment.wait(&[2]);
    let lost = begin.elapsed();
    eprintln!(
        "frozen holder: other after {} ms, lost after {} ms, two for {} ms",
        both.as_millis(),
        lost.as_millis(),
        (lost - both).as_millis()
    );
    segment.signal(1, rustix::process::Signal::CONT);
    // Long enough for a dozen adverts: it hears that another holds it and stays quiet.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(3) {
        assert_eq!(segment.holders(), [2]);
    }
    assert_eq!(segment.seen(), segment.mac(2));
}

#[test]
fn a_preferred_host_takes_the_address_back_where_it_may() {
    if !is_root() {
        return;
    }
    for preempt in [true, false] {
        let mut segment = Segment::new(preempt);
        segment.start(2);
        segment.wait(&[2]);
        segment.start(1);
        if preempt {
            segment.wait(&[1]);
        } else {
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_secs(2) {
                assert_eq!(segment.holders(), [2]);
            }
        }
        std::io::stderr().flush().unwrap();
    }
}
