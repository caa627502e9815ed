//! The sweeper: advances the coarse clock, ends connections that are idle or too slow, closes idle
//! connections to instances, and flushes the access log. One pass a tick, nothing per request.

use std::rc::Rc;
use std::time::Duration;

use super::client::{ClientState, Wish};
use super::serve::IDLE_TIMEOUT;
use super::worker::Worker;

/// How often: deadlines here are of seconds, a tick late is not noticed.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// Every so many ticks the connections are looked at.
const TICKS_PER_SWEEP: u32 = 5;

/// How long an idle connection to an instance is kept: below the 60 s and 75 s after which common
/// servers close theirs, so that we close first.
const IDLE_UPSTREAM_MS: u64 = 50_000;

/// While draining, a kept-alive connection gets this long to bring its next request, whose response
/// then tells the client to go: closing at once could cross a request on its way.
const DRAIN_GRACE_MS: u64 = 1_000;

/// How long after being asked to finish a connection is cut.
const CUT_AFTER_MS: u64 = 10_000;

/// Runs until the worker ends.
pub(crate) async fn run(worker: Rc<Worker>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut ticks = 0u32;
    loop {
        interval.tick().await;
        worker.clock.tick();
        worker.log.flush();
        ticks = ticks.wrapping_add(1);
        if ticks.is_multiple_of(TICKS_PER_SWEEP) || worker.is_draining() {
            let now = worker.clock.coarse_ms();
            for client in worker.clients.borrow().values() {
                client.wish(wish(client, worker.draining_since_ms.get(), now));
            }
        }
        if ticks.is_multiple_of(10 * TICKS_PER_SWEEP) {
            sweep_endpoints(&worker);
        }
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What to ask of a connection.
fn wish(client: &ClientState, draining_since_ms: Option<u64>, now: u64) -> Wish {
    let over = |since: u64, limit: u64| since != 0 && now.saturating_sub(since) >= limit;
    if client.wish.get() == Wish::Cut || over(client.stuck_since_ms.get(), ms(IDLE_TIMEOUT)) {
        return Wish::Cut;
    }
    if client.in_flight.get() > 0 {
        let leaving = draining_since_ms.is_some() && client.multiplexed.get();
        return if leaving { Wish::Finish } else { client.wish.get() };
    }
    if !client.multiplexed.get() && over(client.head_since_ms.get(), ms(client.worker.head_timeout))
    {
        return Wish::HeadTooLate;
    }
    let idle_since = client.idle_since_ms.get();
    if over(idle_since, ms(IDLE_TIMEOUT) + CUT_AFTER_MS) {
        return Wish::Cut;
    }
    let heads = client.head_since_ms.get() != 0 && !client.multiplexed.get();
    if over(idle_since, ms(IDLE_TIMEOUT)) && !heads {
        return Wish::Finish;
    }
    match draining_since_ms {
        Some(_) if client.multiplexed.get() => Wish::Finish,
        Some(since) if !heads && over(since.max(idle_since), DRAIN_GRACE_MS) => Wish::Finish,
        _ => client.wish.get(),
    }
}

fn sweep_endpoints(worker: &Worker) {
    let now = worker.clock.coarse_ms();
    let mut kept = worker.kept.borrow_mut();
    for endpoint in kept.endpoints.values() {
        endpoint.retain_idle(|connection| {
            now.saturating_sub(connection.idle_since_ms) < IDLE_UPSTREAM_MS
                && connection.is_usable()
        });
    }
    kept.forget_unused();
}
