//! Slow links. A process in the lab's network takes the frames that a machine sends to another one
//! from the machine's port, holds them for as long as the link is slow, and puts them on the bridge
//! then; the packet filter lets nothing else pass on such a link. The bridge's own rules still
//! apply to what was held: a machine that has died meanwhile stays silent.
//!
//! Frames to everybody go to each machine behind a slow link by themselves.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use net::namespace::Namespace;
use rustix::process::Signal;
use rustix::thread::LinkNameSpaceType;
use serde::{Deserialize, Serialize};

use crate::directory::{Lab, Lock, read, remove, write};
use crate::failure::LabError;
use crate::fault::{Delay, End, Faults, Link};
use crate::machine;
use crate::network::{BRIDGE, apply, segment, slow};
use crate::packet::{HEADER, LONGEST, MAC, PacketSocket};
use crate::plan::Plan;
use crate::process::Process;

/// What is held at most; more gets lost, as on any slow link.
const HELD_BYTES: usize = 64 << 20;

/// How often is looked for ports that came anew with their machine.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long the process may take to begin.
const BEGIN_WITHIN: Duration = Duration::from_secs(10);

/// The process that holds frames back.
#[derive(Debug, Serialize, Deserialize)]
struct Relay {
    process: Process,
}

/// Changes which links are slow; `exe` is the binary `freehold`.
///
/// # Errors
/// The process that holds frames back does not begin, or the rules cannot be loaded.
pub fn delay_links(
    lab: &Lab,
    _lock: &Lock,
    exe: &Path,
    change: impl FnOnce(&mut Faults),
) -> Result<Faults, LabError> {
    let (plan, mut faults) = (lab.plan()?, lab.faults()?);
    change(&mut faults);
    lab.save_faults(&faults)?;
    stop(lab);
    if faults.slow.is_empty() {
        segment(lab, &plan, false);
    } else {
        segment(lab, &plan, true);
        begin(lab, exe)?;
    }
    apply(lab, &plan, &faults)?;
    Ok(faults)
}

/// Ends the process that holds frames back, with all it holds.
pub(crate) fn stop(lab: &Lab) {
    if let Ok(relay) = read::<Relay>(&lab.path("relay.json")) {
        relay.process.signal(Signal::KILL);
    }
    let _ = remove(&lab.path("relay.json"));
}

fn begin(lab: &Lab, exe: &Path) -> Result<(), LabError> {
    let path = lab.path("relay.log");
    let log = OpenOptions::new().create(true).append(true).open(&path);
    let log = log.map_err(LabError::file("open", &path))?;
    let failed = |source| LabError::System { doing: "hold frames back".to_owned(), source };
    let mut child = Command::new(exe)
        .arg0("freehold")
        .args(lab.hidden("lab-relay", None))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let begin = Instant::now();
    while read::<Relay>(&lab.path("relay.json")).is_err() {
        let ended = child.try_wait().map_err(failed)?;
        if ended.is_some() || begin.elapsed() > BEGIN_WITHIN {
            let why = io::Error::other(format!("it ended or is late; see {}", path.display()));
            return Err(failed(why));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Holds frames back until the process is killed.
///
/// # Errors
/// There is no such lab, or no packet socket can be had.
pub fn relay(lab: &Lab) -> Result<(), LabError> {
    let failed = |source| LabError::System { doing: "hold frames back".to_owned(), source };
    let _ = rustix::process::setsid();
    let (plan, faults) = (lab.plan()?, lab.faults()?);
    let namespace = Namespace::open(&lab.namespace())?;
    rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(LabError::system("enter the lab's network"))?;
    let out = number(BRIDGE).ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    let out = PacketSocket::open(out).map_err(failed)?;
    let mut relaying = Relaying { out, sources: sources(&plan, &faults), held: Held::default() };
    relaying.look();
    let own = i32::try_from(std::process::id()).ok().and_then(Process::of);
    let process = own.expect("this process runs");
    write(&lab.path("relay.json"), &Relay { process })?;
    relaying.run().map_err(failed)
}

/// A link's number in this thread's namespace.
fn number(name: &str) -> Option<u32> {
    use rustix::net::{AddressFamily, SocketType, netdevice, socket};
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None).ok()?;
    netdevice::name_to_index(&socket, name).ok()
}

/// A machine whose frames are held on their way to some others.
struct Source {
    port: String,
    targets: Vec<([u8; MAC], Duration)>,
    open: Option<(u32, PacketSocket)>,
}

fn sources(plan: &Plan, faults: &Faults) -> Vec<Source> {
    let mut by: BTreeMap<String, Vec<([u8; MAC], Duration)>> = BTreeMap::new();
    for (Link { from, to }, Delay { millis }) in &faults.slow {
        let (End::Machine(from), End::Machine(to)) = (from, to) else { continue };
        if let (Some(from), Some(to)) = (plan.machine(from), plan.machine(to)) {
            let target = (to.mac(), Duration::from_millis((*millis).into()));
            by.entry(from.port()).or_default().push(target);
        }
    }
    by.into_iter().map(|(port, targets)| Source { port, targets, open: None }).collect()
}

/// Frames by when they go on, and the order in which they came.
#[derive(Default)]
struct Held {
    frames: BTreeMap<(Instant, u64), Vec<u8>>,
    bytes: usize,
    count: u64,
}

impl Held {
    /// Takes a frame that one of the targets shall get.
    fn take(&mut self, now: Instant, frame: &[u8], targets: &[([u8; MAC], Duration)]) {
        let Some(to) = frame.get(HEADER..HEADER + MAC) else { return };
        // The lowest bit of the first byte: to a group (IEEE 802).
        let group = to[0] & 1 == 1;
        for (mac, delay) in targets.iter().filter(|(mac, _)| group || to == mac) {
            if self.bytes + frame.len() > HELD_BYTES {
                return;
            }
            let mut frame = frame.to_vec();
            frame[HEADER..HEADER + MAC].copy_from_slice(mac);
            self.bytes += frame.len();
            self.count += 1;
            self.frames.insert((now + *delay, self.count), frame);
        }
    }

    /// The next frame whose time has come.
    fn due(&mut self, now: Instant) -> Option<Vec<u8>> {
        let first = self.frames.first_entry().filter(|first| first.key().0 <= now)?;
        let frame = first.remove();
        self.bytes -= frame.len();
        Some(frame)
    }

    /// How long until the next one.
    fn wait(&self, now: Instant) -> Option<Duration> {
        self.frames.keys().next().map(|(due, _)| due.saturating_duration_since(now))
    }
}

struct Relaying {
    out: PacketSocket,
    sources: Vec<Source>,
    held: Held,
}

impl Relaying {
    fn run(mut self) -> io::Result<()> {
        let mut looked = Instant::now();
        let mut buffer = vec![0; LONGEST];
        loop {
            let now = Instant::now();
            while let Some(frame) = self.held.due(now) {
                // A frame that cannot be sent is lost, as on any link.
                let _ = self.out.send(&frame);
            }
            if now.duration_since(looked) >= LOOK_EVERY {
                looked = now;
                self.look();
            }
            self.receive(&mut buffer);
            let wait = self.held.wait(Instant::now()).unwrap_or(LOOK_EVERY).min(LOOK_EVERY);
            self.sleep(wait)?;
        }
    }

    /// Opens ports that are there and were not, or have come anew.
    fn look(&mut self) {
        for source in &mut self.sources {
            let now = number(&source.port);
            if source.open.as_ref().map(|(index, _)| *index) != now {
                source.open = now.and_then(|it| Some((it, PacketSocket::open(it).ok()?)));
            }
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) {
        let now = Instant::now();
        for source in &self.sources {
            let Some((_, socket)) = &source.open else { continue };
            while let Ok(length) = socket.receive(buffer) {
                self.held.take(now, &buffer[..length], &source.targets);
            }
        }
    }

    fn sleep(&self, wait: Duration) -> io::Result<()> {
        let sockets = self.sources.iter().filter_map(|source| Some(&source.open.as_ref()?.1));
        PacketSocket::wait(sockets, wait)
    }
}

/// A machine that has just started sends in frames of a size that can be held.
pub(crate) fn started(lab: &Lab, name: &str) {
    if lab.faults().is_ok_and(|faults| !faults.slow.is_empty())
        && let Some(init) = machine::init(lab, name)
    {
        slow(init.pid, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEAR: [u8; MAC] = [2, 0, 0, 0, 0, 1];
    const FAR: [u8; MAC] = [2, 0, 0, 0, 0, 2];

    fn frame(to: [u8; MAC], content: u8) -> Vec<u8> {
        [vec![0; HEADER], to.to_vec(), vec![content]].concat()
    }

    #[test]
    fn frames_go_on_in_time_and_in_order_and_to_whom_they_are_for() {
        let begin = Instant::now();
        let after = |millis| begin + Duration::from_millis(millis);
        let targets = [(NEAR, Duration::from_millis(10)), (FAR, Duration::from_millis(30))];
        let mut held = Held::default();
        held.take(begin, &frame(FAR, 1), &targets);
        held.take(begin, &frame([0xff; MAC], 2), &targets);
        held.take(begin, &frame(NEAR, 3), &targets);
        held.take(begin, &frame([2, 0, 0, 0, 0, 9], 4), &targets);
        assert_eq!(held.wait(begin), Some(Duration::from_millis(10)));
        assert_eq!(held.due(after(9)), None);
        let mut all = |at| -> Vec<Vec<u8>> { std::iter::from_fn(|| held.due(at)).collect() };
        assert_eq!(all(after(10)), [frame(NEAR, 2), frame(NEAR, 3)]);
        assert_eq!(all(after(30)), [frame(FAR, 1), frame(FAR, 2)]);
        assert_eq!((held.bytes, held.wait(begin)), (0, None));
    }

    #[test]
    fn what_is_held_has_a_bound() {
        let mut held = Held::default();
        let long = [frame(NEAR, 0), vec![0; LONGEST]].concat();
        for _ in 0..2 * HELD_BYTES / LONGEST {
            held.take(Instant::now(), &long, &[(NEAR, Duration::from_secs(1))]);
        }
        assert!(held.bytes <= HELD_BYTES && held.bytes > HELD_BYTES / 2);
        held.take(Instant::now(), &[0; 3], &[(NEAR, Duration::ZERO)]);
    }
}
