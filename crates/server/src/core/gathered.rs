//! What is known of hosts from the streams of all servers. What a server hears on its own streams
//! goes to every other at once, so that each of them could decide. Of two servers that speak of one
//! host, who heard it last is believed.

mod holders;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::id::{HostId, ServerId};
use api::liveness::{Observed, ProbeTimes};
use api::protocol::Acknowledge;
use api::status::HostStatus;
use api::traffic::RouteTraffic;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::words::{HostWords, ServerWord, Word, Words, age};

/// Frames waiting for one server: at most a report, an acknowledgment and an observer's word of
/// each of 1,000 hosts within one round trip. More means that it does not read; its stream is
/// ended and it is told everything anew.
const QUEUE: usize = 4096;

/// A sign of life of this process that comes so late means that it stood still: what was sent to it
/// meanwhile is unread, and nobody's silence may be concluded from that. Less than a heartbeat and
/// two ticks would be noise.
const STOOD_STILL: Duration = Duration::from_millis(350);

/// Another server.
#[derive(Default)]
struct Peer {
    /// Which stream of it lives, if one does.
    stream: Option<u64>,
    words: Words,
    /// What it said of itself last, and when.
    said: Option<(Instant, ServerWord)>,
}

struct Inner {
    own: Words,
    peers: BTreeMap<ServerId, Peer>,
    /// Our streams to other servers.
    streams: BTreeMap<ServerId, mpsc::Sender<Bytes>>,
    /// Numbers the streams of others.
    number: u64,
    /// Since when this process has listened without a gap: nobody is silent for longer.
    listening: Instant,
    /// When this process last showed that it runs; none before it is watched.
    ticked: Option<Instant>,
    /// What this server finds as an observer, and until when that counts for nothing.
    observed: Option<Observed>,
    mute_until: Option<Instant>,
    /// Whether this server has its store.
    store: bool,
}

/// What is known of hosts.
pub struct Gathered {
    inner: Mutex<Inner>,
    changed: watch::Sender<()>,
}

impl Default for Gathered {
    fn default() -> Self {
        let inner = Inner {
            own: Words::default(),
            peers: BTreeMap::new(),
            streams: BTreeMap::new(),
            number: 0,
            listening: Instant::now(),
            ticked: None,
            observed: None,
            mute_until: None,
            store: true,
        };
        Self { inner: Mutex::new(inner), changed: watch::Sender::default() }
    }
}

/// What servers have heard of a host.
#[derive(Debug, Clone)]
pub struct Heard {
    /// Whether a server holds its stream.
    pub connected: bool,
    /// How long ago any server heard it, on this machine's monotonic clock.
    pub age: Duration,
    /// What it said last as an observer of others.
    pub observed: Option<Observed>,
    /// Whether its stream crosses a network.
    pub distant: bool,
}

/// What has been heard of a server.
#[derive(Debug, Clone)]
pub struct HeardServer {
    /// Whether its stream lives; true for this one.
    pub connected: bool,
    /// How long ago it was heard; of this one, how long ago it showed that it runs.
    pub age: Duration,
    /// What it said of itself.
    pub word: ServerWord,
}

impl Gathered {
    /// Tells of each report, acknowledgment, observation, and of hosts that come or leave.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// A stream of a host began here.
    pub(super) fn came(&self, host: &HostId, distant: bool) {
        self.own(host, |words| {
            (words.connected, words.distant, words.reported) = (true, distant, false);
        });
        self.tell_ages();
    }

    /// A host's stream here ended.
    pub(super) fn left(&self, host: &HostId) {
        self.inner.lock().own.left(host);
        self.changed.send_replace(());
        self.tell_ages();
    }

    fn own<T>(&self, host: &HostId, change: impl FnOnce(&mut HostWords) -> T) -> T {
        let now = Instant::now();
        let mut inner = self.inner.lock();
        let words = inner.own.of(host, now);
        words.heard = now;
        let result = change(words);
        drop(inner);
        self.changed.send_replace(());
        result
    }

    /// An agent gave a sign of life.
    pub fn heard(&self, host: &HostId) {
        let now = Instant::now();
        self.inner.lock().own.of(host, now).heard = now;
    }

    /// Takes an agent's report over.
    pub fn report(&self, status: HostStatus) {
        // First kept, then told: a stream to another server that begins in between has both.
        let status = Arc::new(status);
        let first = self.own(&status.host, |words| {
            words.status = Some(status.clone());
            !std::mem::replace(&mut words.reported, words.connected)
        });
        self.tell(|| Word::Status(HostStatus::clone(&status)));
        if first {
            self.tell_ages();
        }
    }

    /// Takes an agent's acknowledgment over.
    pub fn acknowledge(&self, host: &HostId, acknowledge: Acknowledge) {
        self.own(host, |words| words.acknowledged = Some(acknowledge));
        self.tell(|| Word::Acknowledge { host: host.clone(), acknowledge });
    }

    /// Takes over what a host finds as an observer.
    pub fn observed(&self, host: &HostId, observed: Observed) {
        self.own(host, |words| words.observed = Some(observed.clone()));
        self.tell(|| Word::Observed { host: host.clone(), observed });
    }

    /// Takes over what a host's proxy counted.
    pub fn count(&self, host: &HostId, routes: Vec<RouteTraffic>) {
        let now = Instant::now();
        self.inner.lock().own.of(host, now).traffic.clone_from(&routes);
        self.tell(|| Word::Traffic { host: host.clone(), routes });
    }

    /// Says how long ago this server heard its hosts, and what it says of itself.
    pub fn tell_ages(&self) {
        let now = Instant::now();
        let word = {
            let inner = self.inner.lock();
            if inner.streams.is_empty() {
                return;
            }
            inner.own.tell_ages(now, inner.own_word(now))
        };
        self.tell(|| word);
    }

    /// Takes over what this server finds as an observer, and tells the others at once.
    pub fn observes(&self, observed: Observed) {
        self.inner.lock().observed = Some(observed);
        self.changed.send_replace(());
        self.tell_ages();
    }

    /// Shows that this process runs; `store` says whether it has its store. After it stood still
    /// nobody's silence is concluded from what it missed, and its own word as an observer, which is
    /// of the time before, counts for nothing.
    pub fn tick(&self, store: bool) {
        let mut inner = self.inner.lock();
        inner.store = store;
        inner.notice_a_gap();
        inner.ticked = Some(Instant::now());
    }

    /// Tells every other server.
    pub fn tell(&self, word: impl FnOnce() -> Word) {
        let mut inner = self.inner.lock();
        if inner.streams.is_empty() {
            return;
        }
        let frame = match api::frame::encode(&word()) {
            Ok(frame) => Bytes::from(frame),
            Err(error) => {
                tracing::error!(%error, "encode a word for other servers");
                return;
            }
        };
        inner.streams.retain(|server, stream| {
            let sent = stream.try_send(frame.clone());
            if sent.is_err() {
                tracing::warn!(%server, "a server does not read its stream: it is begun anew");
            }
            sent.is_ok()
        });
    }

    /// Tells one other server, if there is a stream to it.
    pub fn tell_one(&self, server: &ServerId, word: &Word) {
        let frame = match api::frame::encode(word) {
            Ok(frame) => Bytes::from(frame),
            Err(error) => return tracing::error!(%error, "encode a word for another server"),
        };
        let mut inner = self.inner.lock();
        let Some(stream) = inner.streams.get(server) else { return };
        if stream.try_send(frame).is_err() {
            tracing::warn!(%server, "a server does not read its stream: it is begun anew");
            inner.streams.remove(server);
        }
    }

    /// Opens our stream to another server; gives what it must be told first, and the frames that
    /// follow. An older stream to it ends.
    pub fn open(&self, server: &ServerId) -> (Vec<Word>, mpsc::Receiver<Bytes>) {
        let (frames, receiver) = mpsc::channel(QUEUE);
        let mut inner = self.inner.lock();
        inner.streams.insert(server.clone(), frames);
        let now = Instant::now();
        (inner.own.tell_all(now, inner.own_word(now)), receiver)
    }

    /// Closes our stream to another server.
    pub fn close(&self, server: &ServerId) {
        self.inner.lock().streams.remove(server);
    }

    /// Another server's stream begins: what it says replaces what it said before. Gives the
    /// stream's number.
    pub fn peer_came(&self, server: &ServerId) -> u64 {
        let mut inner = self.inner.lock();
        inner.number += 1;
        let number = inner.number;
        let peer = Peer { stream: Some(number), ..Peer::default() };
        let before = inner.peers.insert(server.clone(), peer);
        // Until it has spoken of a host, its last word counts.
        if let (Some(mut before), Some(peer)) = (before, inner.peers.get_mut(server)) {
            before.words.hosts.values_mut().for_each(HostWords::part);
            peer.words = before.words;
        }
        number
    }

    /// Another server's stream ended. What it said stays, and ages.
    pub fn peer_left(&self, server: &ServerId, stream: u64) {
        let mut inner = self.inner.lock();
        let peer = inner.peers.get_mut(server).filter(|peer| peer.stream == Some(stream));
        if let Some(peer) = peer {
            peer.stream = None;
            peer.words.hosts.values_mut().for_each(HostWords::part);
        }
        drop(inner);
        self.changed.send_replace(());
    }

    /// Another server is no member any more.
    pub fn forget_peer(&self, server: &ServerId) {
        let mut inner = self.inner.lock();
        inner.peers.remove(server);
        inner.streams.remove(server);
    }

    /// Takes over what another server says of hosts.
    pub fn peer_said(&self, server: &ServerId, word: Word) {
        let now = Instant::now();
        let mut inner = self.inner.lock();
        let Some(peer) = inner.peers.get_mut(server) else { return };
        let words = &mut peer.words;
        match word {
            Word::Ages { hosts, server } => {
                let before = peer.said.replace((now, server.clone()));
                let before = before.map(|(_, word)| word.observed);
                if !words.ages(&hosts, now) && before == Some(server.observed) {
                    return;
                }
            }
            Word::Status(status) => {
                let host = status.host.clone();
                heard(words, &host, now).status = Some(Arc::new(status));
            }
            Word::Acknowledge { host, acknowledge } => {
                heard(words, &host, now).acknowledged = Some(acknowledge);
            }
            Word::Observed { host, observed } => {
                heard(words, &host, now).observed = Some(observed);
            }
            Word::Holds { host, addresses } => {
                heard(words, &host, now).holds = addresses;
            }
            Word::Traffic { host, routes } => {
                words.of(&host, now).traffic = routes;
                return;
            }
            Word::Hello { .. }
            | Word::Tables { .. }
            | Word::Routes { .. }
            | Word::LeaseRequest { .. }
            | Word::LeaseAnswer { .. }
            | Word::Vips { .. }
            | Word::Warm { .. }
            | Word::Observers { .. } => return,
        }
        drop(inner);
        self.changed.send_replace(());
    }

    /// The servers whose streams live.
    #[must_use]
    pub fn peers(&self) -> Vec<ServerId> {
        let inner = self.inner.lock();
        inner
            .peers
            .iter()
            .filter(|(_, peer)| peer.stream.is_some())
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// The other server that holds a host's stream.
    #[must_use]
    pub fn holder(&self, host: &HostId) -> Option<ServerId> {
        let inner = self.inner.lock();
        let holds = |peer: &Peer| peer.words.hosts.get(host).is_some_and(|w| w.connected);
        inner.peers.iter().find(|(_, peer)| holds(peer)).map(|(id, _)| id.clone())
    }

    /// Whether any server holds a host's stream.
    #[must_use]
    pub fn is_connected(&self, host: &HostId) -> bool {
        let inner = self.inner.lock();
        inner.all().any(|words| words.hosts.get(host).is_some_and(|words| words.connected))
    }

    /// The hosts whose streams any server holds.
    #[must_use]
    pub fn connected(&self) -> Vec<HostId> {
        let inner = self.inner.lock();
        let newest = inner.newest(|words| words.connected.then_some(()));
        newest.into_keys().cloned().collect()
    }

    /// The newest reports, also of hosts that left.
    #[must_use]
    pub fn statuses(&self) -> BTreeMap<HostId, Arc<HostStatus>> {
        let inner = self.inner.lock();
        let mut newest = inner.newest(|words| words.status.as_ref());
        newest.extend(inner.newest(|words| words.status.as_ref().filter(|_| words.reported)));
        newest.into_iter().map(cloned).collect()
    }

    /// Whether a host has reported by the stream on which it was heard last: what was said before
    /// may be of an earlier life, in which containers ran that are gone.
    #[must_use]
    pub fn has_reported(&self, host: &HostId) -> bool {
        let inner = self.inner.lock();
        let words = inner.all().filter_map(|words| words.hosts.get(host));
        words.max_by_key(|words| words.order()).is_some_and(|words| words.reported)
    }

    /// The reports this server has to write: of hosts that no other server has heard later.
    #[must_use]
    pub fn own_statuses(&self) -> BTreeMap<HostId, Arc<HostStatus>> {
        let inner = self.inner.lock();
        let later = |host: &HostId, own: &HostWords| {
            let mut others = inner.peers.values().filter_map(|peer| peer.words.hosts.get(host));
            others.any(|words| words.status.is_some() && words.order() > own.order())
        };
        let own = inner.own.hosts.iter().filter(|(host, own)| !later(host, own));
        own.filter_map(|(host, own)| Some((host.clone(), own.status.clone()?))).collect()
    }

    /// What agents have in place.
    #[must_use]
    pub fn acknowledged(&self) -> BTreeMap<HostId, Acknowledge> {
        let inner = self.inner.lock();
        inner.newest(|words| words.acknowledged.as_ref()).into_iter().map(cloned).collect()
    }

    /// What all proxies counted on a route.
    #[must_use]
    pub fn traffic(&self, route: &str) -> RouteTraffic {
        let inner = self.inner.lock();
        let mut sum = RouteTraffic { route: route.to_owned(), ..RouteTraffic::default() };
        let counted = inner.newest(|words| (!words.traffic.is_empty()).then_some(&words.traffic));
        for counted in counted.into_values().flatten().filter(|r| r.route == route) {
            sum.add(counted);
        }
        sum
    }

    /// What servers have heard of each host that any of them ever heard.
    #[must_use]
    pub fn evidence(&self) -> BTreeMap<HostId, Heard> {
        let now = Instant::now();
        let mut inner = self.inner.lock();
        inner.notice_a_gap();
        let newest = inner.newest(Some);
        let heard = |words: &HostWords| Heard {
            connected: words.connected,
            age: now.saturating_duration_since(words.heard.max(inner.listening)),
            observed: words.observed.clone(),
            distant: words.distant,
        };
        newest.into_iter().map(|(host, words)| (host.clone(), heard(words))).collect()
    }

    /// What has been heard of the other servers that ever spoke, and of this one, `me`.
    #[must_use]
    pub fn servers(&self, me: &ServerId) -> BTreeMap<ServerId, HeardServer> {
        let now = Instant::now();
        let mut inner = self.inner.lock();
        inner.notice_a_gap();
        let others = inner.peers.iter().filter_map(|(server, peer)| {
            let (heard, word) = peer.said.clone()?;
            // What a process that stood still finds unread is older than it looks.
            let age = now.saturating_duration_since(heard);
            Some((server.clone(), HeardServer { connected: peer.stream.is_some(), age, word }))
        });
        let mut servers: BTreeMap<_, _> = others.collect();
        let age = inner.ticked.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let own = HeardServer { connected: true, age, word: inner.own_word(now) };
        servers.insert(me.clone(), own);
        servers
    }

    /// For how long this process has listened without a gap.
    #[must_use]
    pub fn listening_for(&self) -> Duration {
        self.inner.lock().listening.elapsed()
    }
}

impl HostWords {
    /// Words of a later time are believed; of one time, those of who holds the stream.
    fn order(&self) -> (Instant, bool) {
        (self.heard, self.connected)
    }
}

fn cloned<K: Clone, V: Clone>((key, value): (&K, &V)) -> (K, V) {
    (key.clone(), value.clone())
}

fn heard<'a>(words: &'a mut Words, host: &HostId, now: Instant) -> &'a mut HostWords {
    let words = words.of(host, now);
    words.heard = now;
    words
}

impl Inner {
    /// When this process has not shown for long that it runs, it stood still: whatever was said
    /// meanwhile was not heard, so that nobody counts as silent since before now.
    fn notice_a_gap(&mut self) {
        if self.ticked.is_none_or(|ticked| ticked.elapsed() < STOOD_STILL) {
            return;
        }
        let now = Instant::now();
        self.listening = now;
        self.mute_until = Some(now + ProbeTimes::default().suspect.duration());
    }

    /// What this server says of itself.
    fn own_word(&self, now: Instant) -> ServerWord {
        let heard = self.peers.iter().filter(|(_, peer)| peer.stream.is_some());
        let hears = heard.filter_map(|(server, peer)| {
            let (heard, _) = peer.said.as_ref()?;
            Some((server.clone(), age(*heard, now)))
        });
        let mut observed = self.observed.clone();
        if let Some(observed) = &mut observed {
            observed.votes &= self.mute_until.is_none_or(|until| now >= until);
        }
        ServerWord { observed, store: self.store, hears: hears.collect() }
    }

    fn all(&self) -> impl Iterator<Item = &Words> {
        std::iter::once(&self.own).chain(self.peers.values().map(|peer| &peer.words))
    }

    /// Of each host what the server says that heard it last, of those that say it.
    fn newest<'a, T>(
        &'a self,
        said: impl Fn(&'a HostWords) -> Option<T>,
    ) -> BTreeMap<&'a HostId, T> {
        let mut newest: BTreeMap<&HostId, (&HostWords, T)> = BTreeMap::new();
        for (host, words) in self.all().flat_map(|words| &words.hosts) {
            let Some(said) = said(words) else { continue };
            let later = newest.get(host).is_none_or(|(other, _)| words.order() > other.order());
            if later {
                newest.insert(host, (words, said));
            }
        }
        newest.into_iter().map(|(host, (_, said))| (host, said)).collect()
    }
}

#[cfg(test)]
mod tests {
    use api::id::Generation;

    use super::*;

    fn finds(votes: bool) -> Observed {
        Observed { generation: Generation(1), silent: Vec::new(), votes }
    }

    /// What this server says of itself.
    fn own(gathered: &Gathered) -> HeardServer {
        let me = ServerId::new("s1").unwrap();
        gathered.servers(&me).remove(&me).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_stood_still_neither_votes_nor_believes_in_silence() {
        let (gathered, host) = (Gathered::default(), HostId::new("h1").unwrap());
        gathered.tick(true);
        gathered.came(&host, true);
        gathered.observes(finds(true));
        for _ in 0..40 {
            tokio::time::advance(Duration::from_millis(50)).await;
            gathered.tick(true);
        }
        assert_eq!(gathered.evidence()[&host].age, Duration::from_secs(2));
        assert!(own(&gathered).word.observed.unwrap().votes);

        // Frozen: whoever looks first on waking, before anything else has run, sees nothing old.
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(gathered.evidence()[&host].age, Duration::ZERO);
        assert!(!own(&gathered).word.observed.unwrap().votes);
        gathered.tick(true);
        // Its observer, whose own timer was in time, has nothing new to say.
        for _ in 0..14 {
            tokio::time::advance(Duration::from_millis(50)).await;
            gathered.tick(true);
            assert!(!own(&gathered).word.observed.unwrap().votes);
        }
        tokio::time::advance(Duration::from_millis(50)).await;
        gathered.tick(true);
        assert!(own(&gathered).word.observed.unwrap().votes);
        gathered.observes(finds(false));
        assert!(!own(&gathered).word.observed.unwrap().votes);
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_of_an_earlier_life_is_told_apart() {
        let report = |generation| HostStatus {
            host: HostId::new("h1").unwrap(),
            generation: Generation(generation),
            capacity: api::host::Capacity::default(),
            version: String::new(),
            instances: Vec::new(),
            images: Vec::new(),
        };
        let (here, there) = (Gathered::default(), Gathered::default());
        let (host, peer) = (HostId::new("h1").unwrap(), ServerId::new("s2").unwrap());
        there.peer_came(&peer);
        // What this server tells the other one, as its streams carry it.
        let tell = || {
            let inner = here.inner.lock();
            let now = Instant::now();
            inner.own.tell_all(now, inner.own_word(now)).into_iter()
        };
        let known = |gathered: &Gathered| {
            let status = gathered.statuses().get(&host).map(|status| status.generation.0);
            (gathered.has_reported(&host), status)
        };
        for life in 1..3 {
            here.came(&host, true);
            tell().for_each(|word| there.peer_said(&peer, word));
            let before = (life > 1).then_some(life - 1);
            assert_eq!((known(&here), known(&there)), ((false, before), (false, before)));
            here.report(report(life));
            tell().for_each(|word| there.peer_said(&peer, word));
            assert_eq!((known(&here), known(&there)), ((true, Some(life)), (true, Some(life))));
            here.left(&host);
            tell().for_each(|word| there.peer_said(&peer, word));
            assert_eq!((known(&here), known(&there)), ((false, Some(life)), (false, Some(life))));
        }
        // On the other server, which heard it later, its report is the one that counts.
        tokio::time::advance(Duration::from_secs(1)).await;
        there.came(&host, true);
        tokio::time::advance(Duration::from_secs(1)).await;
        here.came(&host, true);
        here.report(report(3));
        tokio::time::advance(Duration::from_secs(1)).await;
        tell().for_each(|word| there.peer_said(&peer, word));
        there.heard(&host);
        assert_eq!(known(&there), (true, Some(3)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peers_word_is_as_old_as_it_is_and_what_it_found_is_told_at_once() {
        let (gathered, peer) = (Gathered::default(), ServerId::new("s2").unwrap());
        let number = gathered.peer_came(&peer);
        let mut changes = gathered.changes();
        let say = |observed: Observed| {
            let server = ServerWord { observed: Some(observed), store: true, ..Default::default() };
            gathered.peer_said(&peer, Word::Ages { hosts: Vec::new(), server });
        };
        say(finds(true));
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        say(finds(true));
        assert!(!changes.has_changed().unwrap(), "nothing new");
        say(finds(false));
        assert!(changes.has_changed().unwrap());
        tokio::time::advance(Duration::from_millis(800)).await;
        let me = ServerId::new("s1").unwrap();
        let heard = gathered.servers(&me).remove(&peer).unwrap();
        assert_eq!((heard.connected, heard.age), (true, Duration::from_millis(800)));
        assert_eq!(own(&gathered).word.hears[&peer], api::unit::Millis(800));
        gathered.peer_left(&peer, number);
        assert!(!gathered.servers(&me)[&peer].connected);
        assert!(own(&gathered).word.hears.is_empty());
    }
}
