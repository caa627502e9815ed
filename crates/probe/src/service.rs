//! The loop around the socket: probes go out by the prober's word, answers and questions come in.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::id::HostId;
use api::liveness::{Observe, Observed, ProbeKey};
use plan::liveness::Prober;
use plan::restart::Moment;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::packet::{Kind, LENGTH, Nonce, Packet, packet};
use super::wire::{Wire, receive};

/// A host whose agent's own loop has shown no sign of life for so long does not answer for its
/// host.
const PULSE_WITHIN: Duration = Duration::from_secs(5);

/// After an error of the socket, so that a lasting one does not take the whole processor.
const ERROR_PAUSE: Duration = Duration::from_millis(20);

/// When the agent's own loop last showed that it runs.
pub type Pulse = watch::Receiver<Instant>;

/// The host that a service answers for.
#[derive(Debug)]
pub struct Answering {
    /// Its name.
    pub host: HostId,
    /// Shows that its agent works; without it nothing is answered.
    pub pulse: Pulse,
}

/// Probes others, and answers probes of its own host where there is one.
#[derive(Debug)]
pub struct Service {
    wire: Box<dyn Wire>,
    answering: Option<Answering>,
    lists: watch::Receiver<Arc<Observe>>,
    observed: watch::Sender<Observed>,
}

impl Service {
    /// Binds the socket. Lists are read from `lists`; what is found is put into `observed`.
    ///
    /// # Errors
    /// The address is taken or not this host's.
    pub async fn bind(
        address: SocketAddr,
        answering: Option<Answering>,
        lists: watch::Receiver<Arc<Observe>>,
        observed: watch::Sender<Observed>,
    ) -> io::Result<Self> {
        let wire = Box::new(UdpSocket::bind(address).await?);
        Ok(Self::on(wire, answering, lists, observed))
    }

    /// The same on something that stands in for a socket.
    #[must_use]
    pub fn on(
        wire: Box<dyn Wire>,
        answering: Option<Answering>,
        lists: watch::Receiver<Arc<Observe>>,
        observed: watch::Sender<Observed>,
    ) -> Self {
        Self { wire, answering, lists, observed }
    }

    /// Where it answers.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.wire.address()
    }

    /// Runs until dropped.
    pub async fn run(mut self) {
        let begin = Instant::now();
        let now = || Moment(u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX));
        let mut questions = Questions::default();
        let mut prober = Prober::new(now());
        prober.take(Observe::clone(&self.lists.borrow_and_update()), now());
        let mut every = prober.tick_every();
        let mut timer = timer(every.duration());
        let mut buffer = [0; LENGTH + 1];
        loop {
            tokio::select! {
                // Cancel-safe: a tick that is due stays due.
                _ = timer.tick() => self.probe(&mut prober, &mut questions, now()),
                // Cancel-safe: a change stays marked.
                Ok(()) = self.lists.changed() => {
                    prober.take(Observe::clone(&self.lists.borrow_and_update()), now());
                }
                // Cancel-safe: nothing was received unless it returns.
                received = receive(&*self.wire, &mut buffer) => match received {
                    Ok((length, from)) => {
                        let key = &prober.list().key;
                        let heard = self.read(key, &buffer[..length], from, &mut questions);
                        if let Some(host) = heard {
                            prober.answered(&host, now());
                        }
                    }
                    Err(error) => {
                        tracing::debug!(%error, "receive a probe");
                        sleep(ERROR_PAUSE).await;
                    }
                },
            }
            if let Some(news) = prober.news(now()) {
                self.observed.send_replace(news);
            }
            if prober.tick_every() != every {
                every = prober.tick_every();
                timer = self::timer(every.duration());
            }
        }
    }

    /// Sends the questions that are due. One that cannot be sent is one that is not answered.
    fn probe(&self, prober: &mut Prober, questions: &mut Questions, now: Moment) {
        let due = prober.tick(now);
        let Observe { key, times, .. } = prober.list();
        questions.forget(|asked| now.since(asked) >= times.suspect);
        for (host, address) in due {
            let nonce: Nonce = rand::random();
            let Some(question) = packet(key, Kind::Question, &nonce, &host) else { return };
            if let Err(error) = self.wire.send(&question, address) {
                tracing::trace!(%error, %host, "send a probe");
            }
            questions.open.insert(nonce, (host, now));
        }
    }

    /// Answers a question; gives the host that answered one of ours.
    fn read(
        &self,
        key: &ProbeKey,
        bytes: &[u8],
        from: SocketAddr,
        questions: &mut Questions,
    ) -> Option<HostId> {
        let read = Packet::read(bytes)?;
        match read.kind {
            Kind::Question => {
                let Answering { host, pulse } = self.answering.as_ref()?;
                let lives = pulse.borrow().elapsed() < PULSE_WITHIN;
                if lives && read.is_of(key, host) {
                    let answer = packet(key, Kind::Answer, &read.nonce, host)?;
                    if let Err(error) = self.wire.send(&answer, from) {
                        tracing::trace!(%error, %from, "answer a probe");
                    }
                }
                None
            }
            Kind::Answer => {
                let (host, _) = questions.open.get(&read.nonce)?;
                let right = read.is_of(key, host);
                right.then(|| questions.open.remove(&read.nonce).map(|(host, _)| host))?
            }
        }
    }
}

/// Questions that nobody has answered yet: at most as many as go out until a target is suspected,
/// 15 for each target by default.
#[derive(Debug, Default)]
struct Questions {
    open: HashMap<Nonce, (HostId, Moment)>,
}

impl Questions {
    fn forget(&mut self, old: impl Fn(Moment) -> bool) {
        self.open.retain(|_, (_, asked)| !old(*asked));
    }
}

fn timer(every: Duration) -> tokio::time::Interval {
    let mut timer = interval(every);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timer
}
