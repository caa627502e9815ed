//! How the members of the supervised etcd are, asked of each of them, for people.

use std::collections::BTreeMap;
use std::time::Duration;

use api::server::{EtcdMember, MemberState};
use async_trait::async_trait;
use futures_util::future::join_all;
use store::etcd::{EtcdAdmin, Member, MemberStatus};

use super::client::{Endpoints, client};
use super::options::Options;
use crate::core::MemberSource;

/// How long all answers together may take: who asks waits.
const WITHIN: Duration = Duration::from_secs(1);

/// Asks the members.
pub(crate) struct States {
    options: Options,
    endpoints: Endpoints,
}

impl States {
    /// Of the etcd whose members serve at `endpoints`.
    pub(crate) fn new(options: Options, endpoints: Endpoints) -> Self {
        Self { options, endpoints }
    }

    async fn admin(&self) -> Option<EtcdAdmin> {
        let options = client(&self.options, self.endpoints.get());
        let options = options.inspect_err(|error| tracing::warn!(%error, "ask etcd")).ok()?;
        EtcdAdmin::new(options).await.ok()
    }

    async fn of(admin: &EtcdAdmin, member: &Member) -> EtcdMember {
        let Some(url) = member.client_urls.first() else { return shown(member, None) };
        let status = tokio::time::timeout(WITHIN, admin.status(url)).await;
        shown(member, status.ok().and_then(Result::ok).as_ref())
    }
}

#[async_trait]
impl MemberSource for States {
    async fn members(&self) -> BTreeMap<String, EtcdMember> {
        let Some(admin) = self.admin().await else { return BTreeMap::new() };
        let listed = tokio::time::timeout(WITHIN, admin.members()).await;
        let members = match listed {
            Ok(Ok(members)) => members,
            Ok(Err(error)) => {
                tracing::debug!(%error, "list the members of etcd");
                return BTreeMap::new();
            }
            Err(_) => return BTreeMap::new(),
        };
        let admin = &admin;
        let asked =
            members.iter().map(async |member| (member.name.clone(), Self::of(admin, member).await));
        join_all(asked).await.into_iter().collect()
    }
}

/// What is shown of a member.
fn shown(member: &Member, status: Option<&MemberStatus>) -> EtcdMember {
    let state = match status {
        None => MemberState::Silent,
        Some(_) if member.learner => MemberState::Learner,
        Some(status) if status.leader == 0 => MemberState::Leaderless,
        Some(status) if status.leader == member.id => MemberState::Leader,
        Some(_) => MemberState::Follower,
    };
    EtcdMember {
        state,
        version: status.map(|status| status.version.clone()).unwrap_or_default(),
        db_bytes: status.map(|status| status.db_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_what_it_says_and_silent_when_it_says_nothing() {
        let member = |learner| Member {
            id: 7,
            name: "s1".into(),
            peer_urls: Vec::new(),
            client_urls: vec!["https://10.0.0.1:2379".into()],
            learner,
        };
        let status = |leader| MemberStatus {
            id: 7,
            leader,
            db_bytes: 4096,
            db_used_bytes: 1,
            applied: 1,
            learner: false,
            version: "3.5.0".into(),
        };
        let state =
            |learner, status: Option<MemberStatus>| shown(&member(learner), status.as_ref()).state;
        assert_eq!(state(false, None), MemberState::Silent);
        assert_eq!(state(false, Some(status(7))), MemberState::Leader);
        assert_eq!(state(false, Some(status(8))), MemberState::Follower);
        assert_eq!(state(false, Some(status(0))), MemberState::Leaderless);
        assert_eq!(state(true, Some(status(8))), MemberState::Learner);
        assert_eq!(shown(&member(false), Some(&status(7))).db_bytes, Some(4096));
    }
}
