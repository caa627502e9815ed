//! Keeps an etcd in good order: learners get their votes, free space goes back to the disk one
//! member at a time, and a full database comes back. For the leader, now and then.

use store::StoreError;
use store::etcd::{EtcdAdmin, Member, MemberStatus};

/// A database smaller than this is not worth rewriting.
const WORTHWHILE_BYTES: u64 = 64 << 20;

/// A member with what it says of itself; none when it does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    member: Member,
    status: Option<MemberStatus>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Chore {
    /// Give a learner its vote.
    Promote(u64),
    /// Rewrite one member's database.
    Defragment(String),
    /// Compact, rewrite every database in this order, and take writes again.
    MakeRoom(Vec<String>),
}

/// Decides what to do next. Pure.
fn decide(seen: &[Seen], full: &[u64]) -> Option<Chore> {
    let leads = |status: &MemberStatus| status.id == status.leader;
    let mut answering: Vec<(&Seen, &MemberStatus)> =
        seen.iter().filter_map(|it| Some((it, it.status.as_ref()?))).collect();
    // The leader last: its followers wait for it.
    answering.sort_by_key(|(_, status)| (leads(status), status.id));
    let url = |it: &Seen| it.member.client_urls.first().cloned();
    if !full.is_empty() {
        return Some(Chore::MakeRoom(answering.iter().filter_map(|(it, _)| url(it)).collect()));
    }
    if let Some((it, _)) = answering.iter().find(|(it, _)| it.member.learner) {
        return Some(Chore::Promote(it.member.id));
    }
    // A member answers nobody while it rewrites; with another one silent that may be one too many.
    if seen.iter().any(|it| it.status.is_none()) {
        return None;
    }
    let wasteful = answering.iter().find(|(_, status)| {
        status.db_bytes >= WORTHWHILE_BYTES && status.db_used_bytes < status.db_bytes / 2
    });
    wasteful.and_then(|(it, _)| url(it)).map(Chore::Defragment)
}

/// Keeps an etcd in good order.
#[derive(Debug)]
pub struct Upkeep {
    admin: EtcdAdmin,
}

impl Upkeep {
    /// Over the etcd that `admin` reaches.
    #[must_use]
    pub fn new(admin: EtcdAdmin) -> Self {
        Self { admin }
    }

    /// Does what is due and says what it was; at most one member's database is rewritten, but for
    /// a full etcd, whose members are all done one after the other.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] and what etcd refused.
    pub async fn run(&self) -> Result<Option<String>, StoreError> {
        let mut seen = Vec::new();
        for member in self.admin.members().await? {
            let status = match member.client_urls.first() {
                Some(url) => self.admin.status(url).await.ok(),
                None => None,
            };
            seen.push(Seen { member, status });
        }
        let full = self.admin.out_of_space().await?;
        match decide(&seen, &full) {
            None => Ok(None),
            Some(Chore::Promote(id)) => {
                let done = self.admin.promote(id).await?;
                Ok(done.then(|| format!("etcd member {id:x} has its vote")))
            }
            Some(Chore::Defragment(url)) => {
                self.admin.defragment(&url).await?;
                Ok(Some(format!("etcd member {url} defragmented")))
            }
            Some(Chore::MakeRoom(urls)) => self.make_room(&urls, &full).await.map(Some),
        }
    }

    /// Writes are refused as long as one member is full, so its space comes first and the alarm
    /// ends last. etcd raises it again by itself if there is still no room.
    async fn make_room(&self, urls: &[String], full: &[u64]) -> Result<String, StoreError> {
        self.admin.compact().await?;
        let mut freed = 0;
        for url in urls {
            let before = self.admin.status(url).await?.db_bytes;
            self.admin.defragment(url).await?;
            freed += before.saturating_sub(self.admin.status(url).await?.db_bytes);
        }
        for member in full {
            self.admin.disarm(*member).await?;
        }
        Ok(format!("etcd was full; {freed} bytes freed, it takes writes again"))
    }
}

#[cfg(test)]
mod tests;
