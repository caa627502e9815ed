//! The leader's part: goes on to the next phase when all are through with the present one, and
//! gives servers their turns to start their etcd anew.

use std::sync::Arc;
use std::time::Duration;

use api::authority::Phase;
use api::error::ApiError;
use async_trait::async_trait;
use pki::CaBundle;
use store::Revision;
use tokio::sync::watch;

use super::exchange::{broken, texts, wanted};
use super::step::next;
use crate::control::Controller;
use crate::core::{Change, Core, Kind, Row, StoredAuthority, Term, View};

/// Who is connected is no document: it is looked at this often.
const PERIOD: Duration = Duration::from_secs(1);

/// Goes on with an exchange of the authority.
pub(crate) struct Exchange {
    term: Term,
    changes: watch::Receiver<Revision>,
}

impl Exchange {
    pub(crate) fn new(core: &Core, term: Term) -> Self {
        Self { term, changes: core.cache.changes() }
    }

    /// Forgets what those said of themselves that are gone.
    async fn forget(&self, core: &Core, view: &View) -> Result<usize, String> {
        let known = core.members(view);
        let gone = view.abouts.values().filter(|row| {
            let name = row.name().replacen('/', " ", 1);
            !known.iter().any(|member| member.name == name)
        });
        let mut forgotten = 0;
        for row in gone {
            let change = Change::new().delete(row).when(self.term.fence());
            change.commit(core.store.as_ref()).await.map_err(|error| error.to_string())?;
            forgotten += 1;
        }
        Ok(forgotten)
    }
}

/// What the document becomes now; none when all there is to do is to wait.
fn advanced(
    core: &Core,
    view: &View,
    it: &StoredAuthority,
) -> Result<Option<StoredAuthority>, ApiError> {
    let members = core.members(view);
    let authorities = texts(&it.bundle()?);
    let wanted = wanted(it, &authorities);
    let turn = wanted.engine_turn(&members, it.engine_turn.as_deref()).map(str::to_owned);
    let mut after = StoredAuthority { engine_turn: turn, ..it.clone() };
    let held = it.held && it.phase == Phase::Trust;
    if !held && wanted.waits_for(&members).is_empty() {
        after.phase = next(it.phase);
        after.engine_turn = None;
        match (after.phase, &it.successor) {
            (Phase::Issue, Some(successor)) => {
                let new = CaBundle::from_pem(successor.certificate_pem.as_bytes());
                let new = new.map_err(|error| broken(&error))?;
                let both = new.followed_by(&it.bundle()?).map_err(|error| broken(&error))?;
                after.authorities_pem = both.to_pem();
                after.generation += 1;
            }
            (Phase::Drop, Some(successor)) => {
                after.authorities_pem.clone_from(&successor.certificate_pem);
                after.generation += 1;
            }
            _ => {
                after.successor = None;
                after.ended = Some(core.now());
            }
        }
    }
    Ok(Some(after).filter(|after| after != it))
}

#[async_trait]
impl Controller for Exchange {
    fn name(&self) -> &'static str {
        "authority"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    async fn changed(&mut self, _: &Core) {
        // Cancel-safe: it only tells that something changed.
        let _ = self.changes.changed().await;
    }

    async fn run(&mut self, core: &Arc<Core>) -> Result<String, String> {
        self.changes.mark_unchanged();
        let view = core.view();
        let forgotten = self.forget(core, &view).await?;
        let told = if forgotten > 0 {
            format!("{forgotten} gone members forgotten")
        } else {
            String::new()
        };
        let Some(row) = view.authority() else { return Ok(told) };
        let row: &Row<StoredAuthority> = row;
        if row.phase == Phase::Settled {
            return Ok(told);
        }
        let before = &row.document.body;
        let after = advanced(core, &view, before).map_err(|error| error.to_string())?;
        let Some(after) = after else { return Ok(told) };
        let change = Change::new().update(row, after.clone()).when(self.term.fence());
        let revision = change.commit(core.store.as_ref()).await;
        core.wait_for(revision.map_err(|error| error.to_string())?).await;
        if after.phase != before.phase {
            core.tell_exchange(&after);
        }
        let turn = after.engine_turn.as_deref().unwrap_or("nobody");
        Ok(format!("phase {}, {turn} starts its etcd anew", after.phase.word()))
    }
}
