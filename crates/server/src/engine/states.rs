//! How the members of the supervised etcd are, asked of each of them, for people.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::server::{EtcdMember, MemberState};
use async_trait::async_trait;
use futures_util::future::{join_all, select_ok};
use store::etcd::{EtcdAdmin, Member, MemberStatus};

use super::client::{Endpoints, client};
use super::options::Options;
use crate::core::MemberSource;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// How long one member may take to say how it is: who asks waits for the slowest.
const WITHIN: Duration = Duration::from_millis(300);

/// How long the first member may take to say who all are.
const LISTED_WITHIN: Duration = Duration::from_secs(1);

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

    /// Asks only at these endpoints.
    async fn admin(&self, endpoints: Vec<String>) -> Result<EtcdAdmin, Failed> {
        Ok(EtcdAdmin::new(client(&self.options, endpoints)?).await?)
    }

    async fn list(&self, endpoint: String) -> Result<Vec<Member>, Failed> {
        Ok(self.admin(vec![endpoint]).await?.members().await?)
    }
}

#[async_trait]
impl MemberSource for States {
    async fn members(&self) -> BTreeMap<String, EtcdMember> {
        let endpoints = self.endpoints.get();
        let lists = endpoints.iter().map(|endpoint| self.list(endpoint.clone()));
        let Some(members) = first(lists, LISTED_WITHIN).await else { return BTreeMap::new() };
        let admin = self.admin(endpoints).await;
        let admin = match admin {
            Ok(admin) => Arc::new(admin),
            Err(error) => {
                tracing::warn!(%error, "ask etcd");
                return BTreeMap::new();
            }
        };
        let ask = |member: &Member| {
            let (admin, url) = (admin.clone(), member.client_urls.first().cloned());
            async move { admin.status(&url?).await.ok() }
        };
        each(members, WITHIN, ask).await
    }
}

/// The first good answer of all who are asked at once, so that one who is dead delays nobody.
async fn first<T>(
    asked: impl Iterator<Item = impl Future<Output = Result<T, Failed>> + Send>,
    within: Duration,
) -> Option<T> {
    let asked: Vec<_> = asked.map(Box::pin).collect();
    if asked.is_empty() {
        return None;
    }
    match tokio::time::timeout(within, select_ok(asked)).await {
        Ok(Ok((answer, _))) => Some(answer),
        Ok(Err(error)) => {
            tracing::debug!(%error, "list the members of etcd");
            None
        }
        Err(_) => None,
    }
}

/// Asks all members at once, each for no longer than `within`.
async fn each<F>(
    members: Vec<Member>,
    within: Duration,
    ask: impl Fn(&Member) -> F,
) -> BTreeMap<String, EtcdMember>
where
    F: Future<Output = Option<MemberStatus>>,
{
    let asked = members.into_iter().map(|member| {
        let status = tokio::time::timeout(within, ask(&member));
        async move {
            let status = status.await.ok().flatten();
            let state = shown(&member, status.as_ref());
            (member.name, state)
        }
    });
    join_all(asked).await.into_iter().collect()
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

    /// On a clock that goes on by itself when all wait.
    #[tokio::test(start_paused = true)]
    async fn a_member_that_never_answers_costs_the_others_nothing() {
        let begun = tokio::time::Instant::now();
        let lists = [None, Some("list"), None].map(|answer| async move {
            match answer {
                Some(answer) => Ok(answer),
                None => std::future::pending().await,
            }
        });
        assert_eq!(first(lists.into_iter(), LISTED_WITHIN).await, Some("list"));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let refused = [Err("refused".into()), Ok("list")].map(std::future::ready);
        assert_eq!(first(refused.into_iter(), LISTED_WITHIN).await, Some("list"));
        assert_eq!(
            first(std::iter::empty::<std::future::Ready<_>>(), LISTED_WITHIN).await,
            None::<&str>
        );

        let members = ["s1", "s2", "s3"].map(|name| Member {
            id: 7,
            name: name.into(),
            peer_urls: Vec::new(),
            client_urls: Vec::new(),
            learner: false,
        });
        let ask = |member: &Member| {
            let name = member.name.clone();
            async move {
                match name.as_str() {
                    "s1" => Some(status(7)),
                    _ => std::future::pending().await,
                }
            }
        };
        let all = each(members.to_vec(), WITHIN, ask).await;
        assert_eq!(begun.elapsed(), WITHIN, "two that are dead are waited for at once");
        let states: Vec<MemberState> = all.values().map(|member| member.state).collect();
        assert_eq!(states, [MemberState::Leader, MemberState::Silent, MemberState::Silent]);
    }

    fn status(leader: u64) -> MemberStatus {
        MemberStatus {
            id: 7,
            leader,
            db_bytes: 4096,
            db_used_bytes: 1,
            applied: 1,
            learner: false,
            version: "3.5.0".into(),
        }
    }

    #[test]
    fn a_member_is_what_it_says_and_silent_when_it_says_nothing() {
        let member = |learner| Member {
            id: 7,
            name: "s1".into(),
            peer_urls: Vec::new(),
            client_urls: vec!["https://10.0.0.1:2379".into()],
            learner,
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
