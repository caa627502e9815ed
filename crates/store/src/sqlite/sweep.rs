//! Removing, bit by bit between the writes, what a compaction has made unreadable.
//!
//! For a compaction at revision C goes every event that a later one of its key up to C supersedes,
//! and every deletion before C. Events at C stay: a watch may begin there.

use super::failure::engine;
use super::read::first_seq;
use super::tables::{Room, WriteTables};
use crate::{Revision, StoreError};

/// Events looked at in one go; with about 20 µs for each that is removed, 10 ms between writes.
const STEP: i64 = 500;

/// How far the sweep under way has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sweep {
    target: Revision,
    next_seq: i64,
}

impl Sweep {
    /// A sweep for the last compaction, if it is not done yet. One that a restart or a further
    /// compaction interrupted begins anew.
    pub(super) fn wanted(
        current: Option<Self>,
        compacted: Revision,
        swept: Revision,
    ) -> Option<Self> {
        match current {
            Some(sweep) if sweep.target == compacted => Some(sweep),
            _ if swept < compacted => Some(Self { target: compacted, next_seq: 0 }),
            _ => None,
        }
    }

    /// Does a step inside the writer's transaction. None when it was the last.
    pub(super) fn step(self, tables: &mut WriteTables) -> Result<Option<Self>, StoreError> {
        tables.allow(Room::Reserve)?;
        let target = first_seq(self.target);
        let behind = first_seq(self.target.next());
        let reached = tables
            .conn
            .prepare_cached(
                "SELECT max(seq) FROM (SELECT seq FROM event WHERE seq >= ?1 AND seq < ?2
                 ORDER BY seq LIMIT ?3)",
            )
            .and_then(|mut select| {
                select.query_row((self.next_seq, behind, STEP), |row| row.get::<_, Option<i64>>(0))
            })
            .map_err(|error| engine("look for what was compacted", error))?;
        let Some(reached) = reached else {
            tables.state.swept = self.target;
            return Ok(None);
        };
        tables
            .conn
            .prepare_cached(
                "DELETE FROM event WHERE seq >= ?1 AND seq <= ?2 AND (
                   (value IS NULL AND seq < ?3)
                   OR EXISTS (SELECT 1 FROM event AS later WHERE later.key = event.key
                              AND later.seq > event.seq AND later.seq < ?4))",
            )
            .and_then(|mut delete| delete.execute((self.next_seq, reached, target, behind)))
            .map_err(|error| engine("remove what was compacted", error))?;
        Ok(Some(Self { next_seq: reached + 1, ..self }))
    }
}
