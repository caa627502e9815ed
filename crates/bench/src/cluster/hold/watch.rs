//! Looking at something all the time, beside what a run does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use parking_lot::Mutex;

/// What is seen at most: an hour of four looks a second, or of few changes.
const MOST: usize = 200_000;

/// What a watcher has seen so far, and whether it is to go on.
#[derive(Debug)]
pub(super) struct Seen<T> {
    stop: Arc<AtomicBool>,
    all: Arc<Mutex<Vec<T>>>,
}

impl<T> Clone for Seen<T> {
    fn clone(&self) -> Self {
        Self { stop: self.stop.clone(), all: self.all.clone() }
    }
}

impl<T> Seen<T> {
    /// Whether there is room and nobody has stopped it.
    pub(super) fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst) && self.all.lock().len() < MOST
    }

    /// Keeps something.
    pub(super) fn push(&self, one: T) {
        self.all.lock().push(one);
    }
}

/// A watcher: a thread of its own.
#[derive(Debug)]
pub(super) struct Watch<T> {
    seen: Seen<T>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl<T: Send + 'static> Watch<T> {
    /// Starts it; `body` returns when it is not to go on.
    pub(super) fn start(body: impl FnOnce(&Seen<T>) -> Result<()> + Send + 'static) -> Self {
        let seen = Seen { stop: Arc::default(), all: Arc::default() };
        let own = seen.clone();
        let thread = Some(std::thread::spawn(move || body(&own)));
        Self { seen, thread }
    }

    /// Looks every so often; what `look` gives is kept.
    pub(super) fn every(
        pause: Duration,
        mut look: impl FnMut() -> Vec<T> + Send + 'static,
    ) -> Self {
        Self::start(move |seen| {
            while seen.goes_on() {
                look().into_iter().for_each(|one| seen.push(one));
                std::thread::sleep(pause);
            }
            Ok(())
        })
    }

    /// Shows what was seen so far to `look`.
    pub(super) fn look<R>(&self, look: impl FnOnce(&[T]) -> R) -> R {
        look(&self.seen.all.lock())
    }

    /// Ends it and gives everything. One that came to its own end saw only a part.
    pub(super) fn stop(mut self) -> Result<Vec<T>> {
        self.seen.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().map_err(|_| anyhow::anyhow!("a watcher panicked"))??;
        }
        let all = std::mem::take(&mut *self.seen.all.lock());
        anyhow::ensure!(all.len() < MOST, "a watcher saw too much");
        Ok(all)
    }
}

impl<T> Drop for Watch<T> {
    fn drop(&mut self) {
        self.seen.stop.store(true, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_given_and_a_failure_told() {
        let mut next = 0;
        let watch = Watch::every(Duration::ZERO, move || {
            next += 1;
            vec![next]
        });
        while watch.look(<[i32]>::len) < 3 {
            std::thread::yield_now();
        }
        let all = watch.stop().unwrap();
        assert_eq!(all[..3], [1, 2, 3]);
        let failing = Watch::<()>::start(|_| anyhow::bail!("blind"));
        assert!(failing.stop().unwrap_err().to_string().contains("blind"));
    }
}
