//! Takes the lead, runs the leader's controllers as long as it is kept, and lays it down.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::start::start_leading;
use crate::core::{Candidate, Core, Election, Term};

/// How a server comes to lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lead {
    /// It has the store for itself: nobody else can lead, and nothing needs to be renewed.
    Alone,
    /// Several servers share the store.
    Elected(Election),
}

/// Leads whenever it can, until told to stop.
pub async fn lead(core: Arc<Core>, how: Lead, stop: CancellationToken) {
    let me = core.servers.me.to_string();
    let mut candidate = match how {
        Lead::Alone => None,
        Lead::Elected(election) => Some((Candidate::new(me.clone(), election), election)),
    };
    loop {
        // A take-over that is dropped half-way is found as our own by the next process.
        let (term, taken) = tokio::select! {
            () = stop.cancelled() => return,
            taken = win(&core, candidate.as_mut().map(|(candidate, _)| candidate)) => taken,
        };
        tracing::info!(term = term.number, "this server leads");
        core.servers.note_leader(Some(&me));
        core.servers.note_term(Some(term.clone()));
        let renewed = candidate.as_ref().map(|(_, election)| (*election, taken));
        reign(&core, &term, renewed, &stop).await;
        core.servers.note_term(None);
        core.servers.note_leader(None);
        tracing::info!(term = term.number, "this server does not lead any more");
    }
}

/// Waits for the next term of ours; says when its last attempt was begun.
async fn win(core: &Core, candidate: Option<&mut Candidate>) -> (Term, Instant) {
    let store = core.store.as_ref();
    let Some(candidate) = candidate else {
        loop {
            let begun = Instant::now();
            match Term::take(store, core.servers.me.as_str()).await {
                Ok(term) => return (term, begun),
                Err(error) => tracing::warn!(%error, "take the lead"),
            }
            tokio::time::sleep(Election::default().look).await;
        }
    };
    loop {
        let begun = Instant::now();
        let won = candidate.attempt(store).await;
        core.servers.note_leader(candidate.leader());
        if let Some(term) = won {
            return (term, begun);
        }
    }
}

/// Runs the leader's controllers until it may not lead any more.
async fn reign(
    core: &Arc<Core>,
    term: &Term,
    renewed: Option<(Election, Instant)>,
    stop: &CancellationToken,
) {
    let (tasks, ending) = (TaskTracker::new(), stop.child_token());
    let begin = begin(core.clone(), term.clone(), tasks.clone(), ending.clone());
    tasks.spawn(begin);
    match renewed {
        None => stop.cancelled().await,
        Some((election, renewed)) => hold(core, term, election, renewed, stop).await,
    }
    ending.cancel();
    tasks.close();
    tasks.wait().await;
    if let (true, Some((election, _))) = (stop.is_cancelled(), renewed) {
        // Where this fails, the others wait for the silence.
        let end = term.end(core.store.as_ref());
        let _ = tokio::time::timeout(election.renew, end).await;
    }
}

/// Starts to lead, once the view shows everything that earlier leaders wrote: since the revision
/// that began our term they can write nothing.
async fn begin(core: Arc<Core>, term: Term, tasks: TaskTracker, ending: CancellationToken) {
    tokio::select! {
        () = ending.cancelled() => {}
        () = core.cache.catch_up(term.since) => start_leading(&core, &term, &tasks, &ending),
    }
}

/// Renews until told to stop, until somebody else leads, or until the last renewal is so old that
/// somebody else soon may.
async fn hold(
    core: &Core,
    term: &Term,
    election: Election,
    mut renewed: Instant,
    stop: &CancellationToken,
) {
    let mut next = renewed + election.renew;
    for beat in 1.. {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep_until(next) => {}
        }
        let sent = Instant::now();
        let renewal = term.renew(core.store.as_ref(), beat);
        match tokio::time::timeout_at(renewed + election.step_down, renewal).await {
            Ok(Ok(true)) => {
                renewed = sent;
                next = sent + election.renew;
            }
            Ok(Ok(false)) => {
                tracing::warn!(term = term.number, "another server leads now");
                return;
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "renew the leadership");
                next = Instant::now() + election.look;
            }
            Err(_) => {}
        }
        if renewed.elapsed() >= election.step_down {
            tracing::warn!(term = term.number, "the leadership could not be renewed in time");
            return;
        }
    }
}
