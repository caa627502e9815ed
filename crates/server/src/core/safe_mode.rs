//! Safe mode for operators: whether it is in force and why, and that they accept what was lost.

use api::error::{ApiError, ErrorCode};
use api::event::Event;
use api::id::HostId;
use api::server::{LostAtOnce, SafeModeView};
use api::time::Timestamp;
use plan::liveness::{SafeMode, safe_mode};

use super::{Caller, Change, Core, StoredAcceptance, View};

/// How often a change is tried again that others got ahead of.
const TRIES: usize = 10;

impl Core {
    /// Whether safe mode is in force, and why.
    #[must_use]
    pub fn safe_mode(&self) -> SafeModeView {
        shown(&self.view())
    }

    /// Accepts what is lost now: replacements go on unpaced. Nothing changes where safe mode is not
    /// in force.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn accept_losses(&self, caller: &Caller) -> Result<SafeModeView, ApiError> {
        for _ in 0..TRIES {
            let view = self.view();
            let Some(mode) = in_force(&view) else { return Ok(shown(&view)) };
            // By the clock that the losses were noted with.
            let lost = mode.lost.iter().filter_map(|host| view.hosts.get(host.as_str()));
            let upto = lost.filter_map(|host| host.down_since).max().unwrap_or(mode.since);
            let accepted = StoredAcceptance { upto, by: caller.name.clone(), at: self.now() };
            let row = view.acceptances.get(StoredAcceptance::NAME);
            match self.commit(Change::new().put(row.map(AsRef::as_ref), &accepted)).await {
                Err(error) if error.code == ErrorCode::Conflict => continue,
                other => other?,
            };
            self.events.record(Event {
                at: self.now(),
                kind: "safe_mode.accepted".to_owned(),
                app: None,
                environment: None,
                release: None,
                instance: None,
                host: None,
                message: format!("{} accepted that {}", caller.name, why(&mode)),
            });
            return Ok(shown(&self.view()));
        }
        Err(ApiError::new(ErrorCode::Unavailable, "others accept at once; try again"))
    }
}

impl View {
    /// Up to when losses were accepted.
    #[must_use]
    pub fn accepted_losses(&self) -> Option<Timestamp> {
        self.acceptances.get(StoredAcceptance::NAME).map(|row| row.upto)
    }
}

fn in_force(view: &View) -> Option<SafeMode> {
    let hosts = view.hosts.values().map(|row| (row.name.clone(), row.document.body.clone()));
    safe_mode(&hosts.collect(), view.accepted_losses())
}

fn shown(view: &View) -> SafeModeView {
    let row = view.acceptances.get(StoredAcceptance::NAME);
    SafeModeView {
        lost: in_force(view).map(|mode| LostAtOnce {
            since: mode.since,
            why: why(&mode),
            hosts: mode.lost.into_iter().collect(),
            domains: mode.domains.into_iter().collect(),
        }),
        accepted: row.map(|row| row.upto),
        accepted_by: row.map(|row| row.by.clone()).unwrap_or_default(),
    }
}

/// What was lost, for people.
pub(crate) fn why(mode: &SafeMode) -> String {
    let lost: Vec<&str> = mode.lost.iter().map(HostId::as_str).collect();
    let domains: Vec<&str> = mode.domains.iter().map(String::as_str).collect();
    format!(
        "{} hosts were lost within 30 s ({}), among them all of {}",
        lost.len(),
        lost.join(", "),
        domains.join(" and ")
    )
}
