//! Refusals that an operator should know of: logged each time, recorded as an event once a minute
//! for each of a bounded number of subjects, so that nobody fills the events by knocking.

use std::collections::BTreeMap;
use std::time::Duration;

use api::event::Event;
use api::id::HostId;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::Core;

/// How long a subject is quiet after an event.
const QUIET: Duration = Duration::from_secs(60);

/// Subjects that are remembered; more are logged only, until a minute is over.
const SUBJECTS: usize = 256;

/// What was refused lately.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<BTreeMap<String, Instant>>);

impl Refusals {
    /// Whether this subject is to be recorded now.
    fn fresh(&self, subject: &str, now: Instant) -> bool {
        let mut known = self.0.lock();
        known.retain(|_, at| now.duration_since(*at) < QUIET);
        if known.contains_key(subject) || known.len() >= SUBJECTS {
            return false;
        }
        known.insert(subject.to_owned(), now);
        true
    }
}

impl Core {
    /// Notes that something was refused: `kind` as events are called, `subject` who it was.
    pub fn refused(&self, kind: &str, subject: &str, message: &str) {
        tracing::warn!(kind, subject, message, "refused");
        if self.agents.refusals.fresh(&format!("{kind} {subject}"), Instant::now()) {
            let view = self.view();
            let host =
                HostId::new(subject).ok().filter(|host| view.hosts.contains_key(host.as_str()));
            self.events.record(Event {
                at: self.now(),
                kind: kind.to_owned(),
                app: None,
                environment: None,
                release: None,
                instance: None,
                host,
                message: message.to_owned(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_knocks_again_and_again_is_recorded_once_a_minute() {
        let (refusals, begun) = (Refusals::default(), Instant::now());
        assert!(refusals.fresh("a", begun));
        assert!(!refusals.fresh("a", begun + QUIET / 2));
        assert!(refusals.fresh("a", begun + QUIET));
        let more = (0..2 * SUBJECTS).filter(|n| refusals.fresh(&n.to_string(), begun + QUIET));
        assert_eq!(more.count(), SUBJECTS - 1);
    }
}
