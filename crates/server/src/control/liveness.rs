//! Who is dead. Every server listens and tells the others how long ago it heard its hosts; the
//! leader feeds all of it to the planner's verdict, tells observers whom to probe, and writes down
//! who is taken for dead. It decides nothing itself.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use api::event::Event;
use api::host::Host;
use api::id::{Generation, HostId, ServerId};
use api::liveness::{Liveness, Observe, ProbeTimes};
use api::server::Server;
use api::unit::Millis;
use async_trait::async_trait;
use plan::liveness::{Evidence, OBSERVERS, Observer, Verdict, judge, lists};
use plan::restart::Moment;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::driver::Controller;
use crate::core::{AGES_EVERY, Change, Core, Term, View};

/// A look at everything even if nothing changes.
const PERIOD: Duration = Duration::from_millis(250);

/// As long as a host is not alive its return is looked for so often: heartbeats alone tell of no
/// change.
const RETURN_PERIOD: Duration = Duration::from_millis(50);

/// How often it is looked whether this process runs.
const TICK: Duration = Duration::from_millis(50);

/// Tells other servers how long ago hosts were heard, and shows that this process runs.
pub(super) async fn listen(core: Arc<Core>, stop: CancellationToken) {
    let mut told = Instant::now();
    let store = core.servers.store_reachable();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Cancel-safe: a tick that is missed is made up for by the next.
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        core.agents.gathered.tick(*store.borrow());
        if told.elapsed() >= AGES_EVERY {
            told = Instant::now();
            core.agents.gathered.tell_ages();
        }
    }
}

/// Judges, on the leader.
pub(super) struct Judge {
    term: Term,
    times: ProbeTimes,
    changes: watch::Receiver<()>,
    began: Instant,
    lists: BTreeMap<Observer, Observe>,
    /// The digest of what the lists were made from, and their generation.
    listed: (u64, Generation),
    wake_in: Duration,
}

impl Judge {
    pub(super) fn new(core: &Core, term: Term) -> Self {
        // What an earlier term believed is no evidence.
        core.servers.believe(BTreeMap::new());
        Self {
            times: ProbeTimes::default(),
            changes: core.agents.gathered.changes(),
            began: Instant::now(),
            lists: BTreeMap::new(),
            listed: (0, Generation(term.number << 32)),
            wake_in: PERIOD,
            term,
        }
    }

    /// This process's monotonic clock, an hour ahead so that ages reach before its begin.
    fn moment(&self) -> Moment {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Moment(since).after(Millis::secs(3600))
    }

    /// Makes the observers' lists anew when hosts or servers came, left or moved.
    async fn list(
        &mut self,
        core: &Core,
        view: &View,
        hosts: &BTreeMap<HostId, Host>,
    ) -> Result<(), String> {
        let servers = view.servers.values();
        let servers: BTreeMap<ServerId, Server> =
            servers.map(|row| (row.name.clone(), row.document.body.clone())).collect();
        let mut digest = DefaultHasher::new();
        for server in servers.values() {
            (&server.name, &server.address, &server.host).hash(&mut digest);
        }
        for host in hosts.values() {
            (&host.name, &host.domain, host.address).hash(&mut digest);
        }
        let digest = digest.finish();
        if self.listed.0 == digest {
            return Ok(());
        }
        let key = core.probe_key(&self.term).await.map_err(|error| error.to_string())?;
        let generation = self.listed.1.next();
        let form = Observe { generation, key, times: self.times, targets: Vec::new() };
        self.lists = lists(hosts, &servers, core.servers.probe_port, OBSERVERS, &form);
        self.listed = (digest, generation);
        let (mut of_hosts, mut of_servers) = (BTreeMap::new(), BTreeMap::new());
        for (observer, list) in &self.lists {
            match observer {
                Observer::Host(host) => _ = of_hosts.insert(host.clone(), list.clone()),
                Observer::Server(server) => _ = of_servers.insert(server.clone(), list.clone()),
            }
        }
        let (gathered, term) = (&core.agents.gathered, self.term.number);
        core.servers.published.lead_observers(gathered, term, of_hosts, of_servers);
        Ok(())
    }

    fn verdicts(&mut self, core: &Core, view: &View) -> plan::liveness::Verdicts {
        let now = self.moment();
        let gleaned = core.glean(view, now);
        judge(&Evidence {
            now,
            hosts: &gleaned.hosts,
            lists: &self.lists,
            words: &gleaned.words,
            times: self.times,
        })
    }

    /// Writes down who is taken for dead and who is not any more.
    async fn write(
        &self,
        core: &Core,
        view: &View,
        verdicts: &BTreeMap<HostId, Verdict>,
    ) -> Result<Vec<String>, String> {
        let mut done = Vec::new();
        for (name, verdict) in verdicts {
            let Some(row) = view.hosts.get(name.as_str()) else { continue };
            let down = verdict.liveness == Liveness::Down;
            if down == row.is_down() {
                continue;
            }
            if !down && !core.agents.gathered.has_reported(name) {
                // What is known of its instances is of the time before.
                continue;
            }
            let mut host = row.document.body.clone();
            host.down_since = down.then(|| core.now());
            let change = Change::new().update(row, host).when(self.term.fence());
            change.commit(core.store.as_ref()).await.map_err(|error| error.to_string())?;
            let (kind, said) =
                if down { ("host.down", "is taken for dead") } else { ("host.back", "is back") };
            let message = format!("host {name} {said}: {}", verdict.reason);
            done.push(message.clone());
            core.events.record(Event {
                at: core.now(),
                kind: kind.to_owned(),
                app: None,
                environment: None,
                release: None,
                instance: None,
                host: Some(name.clone()),
                message,
            });
        }
        Ok(done)
    }
}

#[async_trait]
impl Controller for Judge {
    fn name(&self) -> &'static str {
        "liveness"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    async fn changed(&mut self, _: &Core) {
        let _ = self.changes.changed().await;
    }

    fn wake_in(&self) -> Option<Duration> {
        Some(self.wake_in)
    }

    async fn run(&mut self, core: &Arc<Core>) -> Result<String, String> {
        self.changes.mark_unchanged();
        let view = core.view();
        let hosts = view.hosts.values();
        let hosts = hosts.map(|row| (row.name.clone(), row.document.body.clone())).collect();
        self.list(core, &view, &hosts).await?;
        let verdicts = self.verdicts(core, &view);
        let all_alive = verdicts.hosts.values().all(|v| v.liveness == Liveness::Alive);
        let mark = verdicts.wake_at.map(|at| at.since(self.moment()).duration());
        let least = Duration::from_millis(1);
        self.wake_in = if all_alive { PERIOD } else { RETURN_PERIOD };
        self.wake_in = mark.map_or(self.wake_in, |mark| self.wake_in.min(mark).max(least));
        // What is believed goes to the planner at once; what is written follows.
        let believed = verdicts.hosts.iter().map(|(host, v)| (host.clone(), v.liveness)).collect();
        core.servers.believe(believed);
        let done = self.write(core, &view, &verdicts.hosts).await?;
        Ok(done.join("; "))
    }
}
