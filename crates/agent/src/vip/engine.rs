//! The thread that listens, decides by [`plan::vip`] and carries out.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use api::id::{Generation, HostId};
use api::network::{Vip, VipTable};
use api::protocol::Held;
use api::unit::Millis;
use plan::vip::{Advert, Effect, Election, Event, LATE, State, step};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

use super::advert::{self, LENGTH, Message};
use crate::failure::told;

/// The usual UDP port of adverts.
pub const PORT: u16 = 7445;

/// Orders on their way: tables are taken within [`NAP`].
const ORDERS: usize = 4;
/// The longest wait for an advert: how late an order may be, and far below what counts as late.
const NAP: Millis = Millis(50);
/// How often a held address is renewed; the kernel keeps it for two seconds.
const RENEW_EVERY: Millis = Millis(500);
/// How often the segment is told after taking an address: once at once and with the next renewals,
/// in case the first is lost.
const ANNOUNCEMENTS: u8 = 3;
/// How long this host does not try for an address that its kernel refused.
const REFUSED: Millis = Millis(2000);
/// Datagrams read in one go before anything is decided; more than eight candidates of any number of
/// addresses send in a nap.
const AT_ONCE: usize = 256;

/// What the engine is made from.
#[derive(Debug, Clone)]
pub struct VipOptions {
    /// This host.
    pub host: HostId,
    /// Its address on the segment.
    pub address: Ipv4Addr,
    /// The UDP port of adverts; the same on all hosts.
    pub port: u16,
    /// Whether its proxy answers.
    pub able: Arc<AtomicBool>,
}

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum VipError {
    /// Adverts cannot be received.
    #[error("listen for adverts of held addresses at {at}")]
    Listen {
        /// Where.
        at: SocketAddrV4,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no thread for it.
    #[error("start the thread that holds addresses")]
    Thread(#[source] io::Error),
}

enum Order {
    Table(VipTable),
    Stop(SyncSender<()>),
}

/// The addresses that this host holds, sorted, and since when.
pub type Holdings = Arc<Vec<(Ipv4Addr, Millis)>>;

/// The same with for how long, by now.
#[must_use]
pub fn for_how_long(holdings: &Holdings) -> Vec<Held> {
    let now = now();
    let held = |since: Millis| Millis(now.0.saturating_sub(since.0));
    holdings.iter().map(|(address, since)| Held { address: *address, held: held(*since) }).collect()
}

/// The handle of the engine.
#[derive(Debug)]
pub struct Vips {
    orders: SyncSender<Order>,
    held: watch::Receiver<Holdings>,
}

impl Vips {
    /// Starts the engine in the calling thread's network namespace. It holds nothing until it has
    /// a table.
    ///
    /// # Errors
    /// The port is taken, or this host does not have its address.
    pub fn start(options: VipOptions) -> Result<Self, VipError> {
        let at = SocketAddrV4::new(options.address, options.port);
        let socket = UdpSocket::bind(at).map_err(|source| VipError::Listen { at, source })?;
        let (orders, queue) = mpsc::sync_channel(ORDERS);
        let (holds, held) = watch::channel(Holdings::default());
        let engine = Engine {
            holds,
            options,
            socket,
            run: rand::random(),
            sequence: 0,
            generation: Generation(0),
            key: String::new(),
            places: BTreeMap::new(),
        };
        let thread = thread::Builder::new().name("vips".into());
        thread.spawn(move || engine.run(&queue)).map_err(VipError::Thread)?;
        Ok(Self { orders, held })
    }

    /// Which addresses this host holds.
    #[must_use]
    pub fn held(&self) -> watch::Receiver<Holdings> {
        self.held.clone()
    }

    /// Takes a new table. What did not change goes on as it is. Blocks for a nap at most.
    pub fn set_table(&self, table: VipTable) {
        // The thread ends only by `stop`.
        let _ = self.orders.send(Order::Table(table));
    }

    /// Gives up all addresses, so that others take them at once. Blocks for a nap at most.
    pub fn stop(&self) {
        let (done, stopped) = mpsc::sync_channel(1);
        if self.orders.send(Order::Stop(done)).is_ok() {
            // The sender is dropped when the thread ends in whatever way.
            let _ = stopped.recv();
        }
    }
}

/// One address, as this candidate sees it.
struct Place {
    vip: Vip,
    election: Election,
    /// The candidates' addresses by rank.
    candidates: Vec<Ipv4Addr>,
    state: State,
    /// The run and sequence heard last, by rank.
    heard: BTreeMap<usize, (u64, u64)>,
    renew_at: Millis,
    announcements: u8,
    refused_until: Millis,
    /// Since when this host holds it.
    since: Millis,
}

struct Engine {
    options: VipOptions,
    holds: watch::Sender<Holdings>,
    socket: UdpSocket,
    run: u64,
    sequence: u64,
    generation: Generation,
    key: String,
    places: BTreeMap<Ipv4Addr, Place>,
}

/// Time that also passes while the machine sleeps.
fn now() -> Millis {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Millis(seconds * 1000 + u64::try_from(time.tv_nsec).unwrap_or_default() / 1_000_000)
}

impl Engine {
    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let order = if self.places.is_empty() {
                orders.recv().map_err(|_| mpsc::TryRecvError::Disconnected)
            } else {
                orders.try_recv()
            };
            match order {
                Ok(Order::Table(table)) => {
                    self.take(table);
                    self.report();
                }
                Ok(Order::Stop(done)) => {
                    self.leave();
                    drop(done);
                    return;
                }
                Err(mpsc::TryRecvError::Empty) => {}
                Err(mpsc::TryRecvError::Disconnected) => return self.leave(),
            }
            self.listen();
            self.pass_time();
            self.report();
        }
    }

    fn take(&mut self, table: VipTable) {
        // Tables are handed over by threads of a pool, which may pass each other.
        if table.generation < self.generation {
            return;
        }
        let usable = !table.key.0.is_empty();
        self.key = table.key.0;
        self.generation = table.generation;
        let mut before = std::mem::take(&mut self.places);
        let mut fresh = Vec::new();
        for vip in table.vips.into_iter().filter(|_| usable) {
            let Some((election, candidates)) = Election::new(&vip, &self.options.host) else {
                continue;
            };
            let known = before.remove(&vip.address);
            let place = match known {
                Some(known) if known.vip == vip => known,
                // Who may hold it changed: the state means the same under other rules.
                Some(known) => Place { vip, election, candidates, heard: BTreeMap::new(), ..known },
                None => {
                    fresh.push(vip.address);
                    let state = State::new(&election, now());
                    let (renew_at, refused_until) = (Millis(0), Millis(0));
                    let heard = BTreeMap::new();
                    let (announcements, since) = (0, Millis(0));
                    Place {
                        vip,
                        election,
                        candidates,
                        state,
                        heard,
                        renew_at,
                        announcements,
                        refused_until,
                        since,
                    }
                }
            };
            self.places.insert(place.vip.address, place);
        }
        // What an earlier run held is not held by this one yet.
        for address in fresh {
            self.give_up(address);
        }
        let kept = std::mem::replace(&mut self.places, before);
        self.leave();
        self.places = kept;
    }

    /// Says which addresses this host holds, when that changed.
    fn report(&self) {
        let held = self.places.values().filter(|place| place.state.holds());
        let held: Vec<_> = held.map(|place| (place.vip.address, place.since)).collect();
        self.holds.send_if_modified(|before| {
            let changed = **before != held;
            if changed {
                *before = Arc::new(held);
            }
            changed
        });
    }

    /// Gives all addresses up.
    fn leave(&mut self) {
        let addresses: Vec<Ipv4Addr> = self.places.keys().copied().collect();
        for address in addresses {
            self.feed(address, Event::Leave);
        }
    }

    /// Waits for adverts until something is due, and reads all that came.
    fn listen(&mut self) {
        let now = now();
        let due = self.places.values().map(|place| place.state.wake_at()).min();
        let wait = due.unwrap_or_default().0.saturating_sub(now.0).clamp(1, NAP.0);
        let timeout = Some(Duration::from_millis(wait));
        if let Err(error) = self.socket.set_read_timeout(timeout) {
            tracing::error!(error = told(&error), "waiting for adverts");
            return thread::sleep(Duration::from_millis(wait));
        }
        let mut buffer = [0; LENGTH + 1];
        for _ in 0..AT_ONCE {
            match self.socket.recv_from(&mut buffer) {
                Ok((length, from)) => self.hear(buffer.get(..length).unwrap_or_default(), from),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    break;
                }
                // A candidate's refusal (ICMP) of an earlier advert.
                Err(_) => {}
            }
            let _ = self.socket.set_nonblocking(true);
        }
        let _ = self.socket.set_nonblocking(false);
    }

    fn hear(&mut self, datagram: &[u8], from: SocketAddr) {
        let Some(message) = advert::open(datagram, &self.key) else {
            return tracing::debug!(%from, "refused an advert: it is none of this cluster");
        };
        let Some(place) = self.places.get_mut(&message.vip) else { return };
        let rank = place.candidates.iter().position(|address| *address == message.from);
        let Some(rank) = rank.filter(|_| from.ip() == IpAddr::V4(message.from)) else {
            return tracing::debug!(%from, "refused an advert: its sender is no candidate");
        };
        let (run, last) = place.heard.get(&rank).copied().unwrap_or_default();
        if run == message.run && message.sequence <= last {
            return;
        }
        place.heard.insert(rank, (message.run, message.sequence));
        self.feed(message.vip, Event::Heard(rank, message.advert));
    }

    /// Lets time pass for every address, and renews those that are held.
    fn pass_time(&mut self) {
        let able = self.options.able.load(Ordering::Relaxed);
        let addresses: Vec<Ipv4Addr> = self.places.keys().copied().collect();
        for address in addresses {
            let begin = now();
            let refused = self.places.get(&address).map_or(begin, |place| place.refused_until);
            self.feed(address, Event::Able(able && begin >= refused));
            self.feed(address, Event::Tick);
            let now = now();
            if now.0.saturating_sub(begin.0) > LATE.0 {
                // Was frozen: what was decided is not true any more.
                continue;
            }
            let Some(place) = self.places.get_mut(&address) else { continue };
            if !place.state.holds() || now < place.renew_at {
                continue;
            }
            place.renew_at = Millis(now.0 + RENEW_EVERY.0);
            let again = place.announcements > 0;
            place.announcements = place.announcements.saturating_sub(1);
            self.hold(address, again);
        }
    }

    fn feed(&mut self, address: Ipv4Addr, event: Event) {
        let Some(place) = self.places.get_mut(&address) else { return };
        let decided = now();
        let (state, effects) = step(&place.election, place.state, event, decided);
        place.state = state;
        for effect in effects {
            // One that was frozen after it had decided says and takes nothing: the next step finds
            // that it was away.
            if now().0.saturating_sub(decided.0) > LATE.0 && effect != Effect::Drop {
                continue;
            }
            match effect {
                Effect::Take => {
                    tracing::info!(%address, "this host holds the address");
                    if let Some(place) = self.places.get_mut(&address) {
                        place.announcements = ANNOUNCEMENTS - 1;
                        place.renew_at = Millis(now().0 + RENEW_EVERY.0);
                        place.since = now();
                    }
                    self.hold(address, true);
                }
                Effect::Announce => self.announce(address),
                Effect::Drop => {
                    tracing::info!(%address, "this host gives the address up");
                    self.give_up(address);
                }
                Effect::Send(advert) => self.send(address, advert),
            }
        }
    }

    fn hold(&mut self, address: Ipv4Addr, announce: bool) {
        match net::vip::hold(address, self.options.address) {
            Ok(()) if announce => self.announce(address),
            Ok(()) => {}
            Err(error) => {
                tracing::error!(error = told(&error), "another host will hold it");
                if let Some(place) = self.places.get_mut(&address) {
                    place.refused_until = Millis(now().0 + REFUSED.0);
                }
            }
        }
    }

    fn announce(&self, address: Ipv4Addr) {
        if let Err(error) = net::vip::announce(address, self.options.address) {
            tracing::warn!(error = told(&error), "some may look for it elsewhere");
        }
    }

    fn give_up(&self, address: Ipv4Addr) {
        if let Err(error) = net::vip::give_up(address, self.options.address) {
            tracing::warn!(error = told(&error), "it goes by itself within seconds");
        }
    }

    fn send(&mut self, vip: Ipv4Addr, advert: Advert) {
        self.sequence += 1;
        let (from, run, sequence) = (self.options.address, self.run, self.sequence);
        let Some(place) = self.places.get(&vip) else { return };
        let message = Message { vip, from, advert, run, sequence };
        let Some(datagram) = advert::seal(&message, &self.key) else { return };
        for candidate in place.candidates.iter().filter(|address| **address != from) {
            // A candidate that is gone may be anywhere but here.
            let _ = self.socket.send_to(&datagram, (*candidate, self.options.port));
        }
    }
}
