//! Time for leases: monotonic, and in the hands of whoever composes the program. Never wall time.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::Instant;

/// A monotonic clock.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// Time since some fixed moment of this clock.
    fn now(&self) -> Duration;

    /// Returns when [`Clock::now`] has reached `at`.
    async fn wait_until(&self, at: Duration);
}

/// The machine's monotonic clock.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { origin: Instant::now() }
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    async fn wait_until(&self, at: Duration) {
        tokio::time::sleep_until(self.origin + at).await;
    }
}

/// A clock that stands still until it is moved: for tests and simulations.
#[derive(Debug)]
pub struct ManualClock {
    now: watch::Sender<Duration>,
}

impl Default for ManualClock {
    fn default() -> Self {
        Self { now: watch::Sender::new(Duration::ZERO) }
    }
}

impl ManualClock {
    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.now.send_modify(|now| *now += by);
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Duration {
        *self.now.borrow()
    }

    async fn wait_until(&self, at: Duration) {
        let mut now = self.now.subscribe();
        // The sender lives as long as `self`, so this ends only when the time has come.
        let _ = now.wait_for(|now| *now >= at).await;
    }
}
