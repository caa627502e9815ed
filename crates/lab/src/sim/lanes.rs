//! What arrives in order or not at all: connections' two directions, requests to the store and
//! its answers. What is lost is sent again; what meets a cut waits for its end.

use std::collections::VecDeque;

use super::links::{Fate, Links};
use super::place::NodeId;
use super::random::Random;

/// After a loss or before a cut the next attempt waits so long, as TCP's retransmission does.
const AGAIN: (u64, u64) = (200, 300);

/// A lane by its number.
pub(super) type LaneId = usize;

/// One direction of something that keeps its order.
pub(super) struct Lane<T> {
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    queue: VecDeque<(u64, T)>,
    /// Whether the world has an event for it.
    due: bool,
}

impl<T> Lane<T> {
    pub(super) fn new(from: NodeId, to: NodeId) -> Self {
        Self { from, to, queue: VecDeque::new(), due: false }
    }

    /// Something is sent at a time; gives when the lane is to be looked at, if anew.
    pub(super) fn send(
        &mut self,
        item: T,
        now: u64,
        links: &Links,
        random: &mut Random,
    ) -> Option<u64> {
        let arrives = match links.fate(self.from, self.to, random) {
            Fate::Arrives(after) => now + after,
            Fate::Lost | Fate::Cut => now + random.between(AGAIN.0, AGAIN.1),
        };
        let arrives = self.queue.back().map_or(arrives, |(last, _)| arrives.max(*last));
        self.queue.push_back((arrives, item));
        let new = !std::mem::replace(&mut self.due, true);
        new.then(|| self.queue[0].0)
    }

    /// What has arrived by now; gives when to look again.
    pub(super) fn arrive(
        &mut self,
        now: u64,
        links: &Links,
        random: &mut Random,
        into: &mut Vec<T>,
    ) -> Option<u64> {
        self.due = false;
        while let Some((at, _)) = self.queue.front() {
            if *at > now {
                break;
            }
            if links.fate(self.from, self.to, random) == Fate::Cut {
                let again = now + random.between(AGAIN.0, AGAIN.1);
                self.queue[0].0 = again;
                break;
            }
            into.extend(self.queue.pop_front().map(|(_, item)| item));
        }
        let next = self.queue.front().map(|(at, _)| (*at).max(now + 1));
        self.due = next.is_some();
        next
    }
}
