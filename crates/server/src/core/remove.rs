//! Hosts that leave for good: what is kept of one is that its certificate is worth nothing any
//! more.

use api::error::{ApiError, ErrorCode};
use api::event::Event;
use api::host::Host;
use api::id::HostId;
use api::join::JoinRole;
use pki::{PeerIdentity, PeerRole};
use store::{Compare, Op};

use super::{Caller, Change, Core, Kind, StoredJoinToken, StoredMember, View, member_name};

/// The most join tokens that one host has used: a transaction takes 128 operations.
const TOKENS: usize = 32;

impl Core {
    /// Removes a host that runs nothing; with `force` also one that is taken for dead, whatever
    /// still runs there. Its subnet is free, its certificate and join tokens are refused from now
    /// on.
    ///
    /// # Errors
    /// When there is no such host, or it runs instances.
    pub async fn remove_host(
        &self,
        caller: &Caller,
        name: &HostId,
        force: bool,
    ) -> Result<Host, ApiError> {
        let view = self.view();
        let Some(row) = view.hosts.get(name.as_str()) else {
            return Err(ApiError::new(ErrorCode::NotFound, format!("there is no host {name}"))
                .hint("freehold host list"));
        };
        let host = row.document.body.clone();
        let assignment = view.assignments.get(name.as_str());
        may_go(&host, assignment.map_or(0, |row| row.entries.len()), force)?;
        let mut change = Change::new().delete(row);
        // What was assigned meanwhile makes this fail.
        change = match assignment {
            Some(row) => change.delete(row),
            None => change.when(Compare::absent(format!("assignment/{name}"))),
        };
        if let Some(row) = view.statuses.get(name.as_str()) {
            change = change.then(Op::delete(row.key()));
        }
        change = change.then(Op::delete(format!("host-subnet/{}", host.subnet)));
        for row in used_by(&view, name) {
            change = change.delete(row);
        }
        let member = view.members.get(&member_name(JoinRole::Host, name.as_str()));
        let gone = StoredMember {
            role: JoinRole::Host,
            name: name.to_string(),
            key: member.map(|row| row.key.clone()).unwrap_or_default(),
            joined: host.joined,
            removed: Some(self.now()),
        };
        self.commit(change.put(member.map(AsRef::as_ref), &gone)).await?;
        self.agents.cut(name);
        let by = &caller.name;
        self.events.record(Event {
            at: self.now(),
            kind: "host.removed".to_owned(),
            app: None,
            environment: None,
            release: None,
            instance: None,
            host: Some(name.clone()),
            message: format!("host {name} was removed by {by}; its subnet {} is free", host.subnet),
        });
        Ok(host)
    }

    /// Why a member whose certificate was verified is none any more; none for one that is. Those
    /// that joined without a token have no record before they are removed.
    #[must_use]
    pub fn unwelcome(&self, peer: &PeerIdentity, key: &str) -> Option<ApiError> {
        let role = match peer.role() {
            PeerRole::Host => JoinRole::Host,
            PeerRole::Server => JoinRole::Server,
        };
        let view = self.view();
        let member = view.members.get(&member_name(role, peer.name()))?;
        if let Some(error) = removed(member) {
            return Some(error);
        }
        (member.key != key).then(|| {
            let message = format!("another machine took the place of {peer}");
            ApiError::new(ErrorCode::Forbidden, message)
                .hint("this machine is no member any more; to come back it joins with a new name")
        })
    }

    /// Why a host of this name is not let back by its certificate; none where it is.
    #[must_use]
    pub fn removed_host(&self, name: &HostId) -> Option<ApiError> {
        let view = self.view();
        removed(view.members.get(&member_name(JoinRole::Host, name.as_str()))?)
    }
}

fn removed(member: &StoredMember) -> Option<ApiError> {
    let at = member.removed?;
    let message = format!("host {} was removed from the cluster at {at}", member.name);
    Some(ApiError::new(ErrorCode::Forbidden, message).hint(
        "what still runs on it goes on until it is stopped there; to come back it joins anew, with \
         an empty directory: freehold host token makes a token",
    ))
}

/// Whether a host with so many instances may be removed.
fn may_go(host: &Host, instances: usize, force: bool) -> Result<(), ApiError> {
    let name = &host.name;
    let blocked = |message: String| ApiError::new(ErrorCode::Blocked, message);
    match (instances, host.is_down(), force) {
        (0, _, _) | (_, true, true) => Ok(()),
        (count, true, false) => Err(blocked(format!(
            "host {name} is taken for dead with {count} instances on it: if it still runs, so do \
             they, and nothing will tell them to end"
        ))
        .hint(format!("if the machine is off for good: freehold host remove {name} --force"))),
        (count, false, _) => Err(blocked(format!("host {name} runs {count} instances"))
            .hint(format!("freehold host drain {name}, and wait until they have moved"))),
    }
}

/// The join tokens that a host has used: it must not come back by them.
fn used_by<'a>(
    view: &'a View,
    name: &'a HostId,
) -> impl Iterator<Item = &'a super::Row<StoredJoinToken>> {
    let used = move |row: &&std::sync::Arc<super::Row<StoredJoinToken>>| {
        let used = row.token.used.as_ref();
        row.token.role == JoinRole::Host && used.is_some_and(|used| used.name == name.as_str())
    };
    view.join_tokens.values().filter(used).take(TOKENS).map(AsRef::as_ref)
}

#[cfg(test)]
mod tests {
    use api::host::{DomainPath, HostState};
    use api::time::Timestamp;

    use super::*;

    #[test]
    fn who_runs_something_stays_unless_it_is_dead_and_an_operator_insists() {
        let mut host = Host {
            name: HostId::new("h1").unwrap(),
            domain: DomainPath::default(),
            labels: Default::default(),
            subnet: "10.9.0.0/24".parse().unwrap(),
            address: [10, 0, 0, 1].into(),
            state: HostState::Draining,
            joined: Timestamp(0),
            down_since: None,
        };
        for force in [false, true] {
            may_go(&host, 0, force).unwrap();
            let refused = may_go(&host, 2, force).unwrap_err();
            assert!(refused.hint.unwrap().contains("host drain h1"), "force {force}");
        }
        host.down_since = Some(Timestamp(1));
        may_go(&host, 0, false).unwrap();
        let refused = may_go(&host, 2, false).unwrap_err();
        assert!(refused.hint.unwrap().contains("host remove h1 --force"));
        may_go(&host, 2, true).unwrap();
    }
}
