//! What the supervision of an etcd needs of it: its members, their state, their upkeep. What to
//! do with it is not decided here.

use std::time::Duration;

use etcd_client::{AlarmAction, AlarmType, Client, Error, GetOptions, MemberAddOptions};
use tokio::time::timeout;

use super::convert::{revision, signed, unsigned};
use super::endpoints::{Endpoints, Kind};
use super::failure::Failed;
use super::options::EtcdOptions;
use crate::{Revision, StoreError};

/// A defragmentation rewrites the database and blocks the member as long: 8 GB at 100 MB/s.
const DEFRAGMENT_WITHIN: Duration = Duration::from_secs(80);

/// A member of an etcd, as its members know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its number in etcd.
    pub id: u64,
    /// Its name; empty as long as it was added and has not started.
    pub name: String,
    /// Where other members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it; empty as long as it has not started.
    pub client_urls: Vec<String>,
    /// Whether it only learns yet, and has no vote.
    pub learner: bool,
}

/// What one member says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    /// Its number.
    pub id: u64,
    /// The number of the leader it follows; zero when it knows none.
    pub leader: u64,
    /// Bytes its database takes on disk.
    pub db_bytes: u64,
    /// Bytes of those that hold data.
    pub db_used_bytes: u64,
    /// How far its log is applied.
    pub applied: u64,
    /// Whether it only learns yet.
    pub learner: bool,
    /// Its version.
    pub version: String,
}

/// The operator's side of an etcd.
#[derive(Debug)]
pub struct EtcdAdmin {
    endpoints: Endpoints,
}

impl EtcdAdmin {
    /// Connects nowhere yet.
    ///
    /// # Errors
    /// [`StoreError::Internal`] when an endpoint or a certificate cannot be read.
    pub async fn new(options: EtcdOptions) -> Result<Self, StoreError> {
        let endpoints = Endpoints::new(options).await;
        Ok(Self { endpoints: endpoints.map_err(|failed| failed.of_read("reach etcd"))? })
    }

    /// The members.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn members(&self) -> Result<Vec<Member>, StoreError> {
        let asked =
            self.endpoints.call(Kind::Read, |mut client| async move { client.member_list().await });
        let list = asked.await.map_err(|failed| failed.of_read("list the members of etcd"))?;
        Ok(list.members().iter().map(member).collect())
    }

    /// Adds a member that has no vote yet and is to be started now.
    ///
    /// # Errors
    /// [`StoreError::Internal`] with etcd's reason (another learner, too few healthy members),
    /// [`StoreError::Unavailable`], [`StoreError::Uncertain`]: list the members then.
    pub async fn add_learner(&self, peer_url: &str) -> Result<Member, StoreError> {
        let asked = self.endpoints.call(Kind::Write, |mut client| {
            let (urls, options) =
                ([peer_url.to_owned()], MemberAddOptions::new().with_is_learner());
            async move { client.member_add(urls, Some(options)).await }
        });
        let added = asked.await.map_err(|failed| failed.of_write("add a member to etcd"))?;
        added.member().map(member).ok_or_else(|| StoreError::Internal {
            what: "add a member to etcd: it did not say which".to_owned(),
            cause: None,
        })
    }

    /// Gives a learner its vote. False while it has not caught up: ask again later.
    ///
    /// # Errors
    /// As [`EtcdAdmin::add_learner`].
    pub async fn promote(&self, id: u64) -> Result<bool, StoreError> {
        let asked = self
            .endpoints
            .call(Kind::Write, |mut client| async move { client.member_promote(id).await });
        match asked.await {
            Ok(_) => Ok(true),
            // "can only promote a learner member which is in sync with leader"
            Err(Failed::Refused(Error::GRpcStatus(status)))
                if status.message().contains("in sync with leader") =>
            {
                Ok(false)
            }
            Err(failed) => Err(failed.of_write("give a member of etcd its vote")),
        }
    }

    /// Removes a member for good.
    ///
    /// # Errors
    /// As [`EtcdAdmin::add_learner`].
    pub async fn remove(&self, id: u64) -> Result<(), StoreError> {
        let asked = self
            .endpoints
            .call(Kind::Write, |mut client| async move { client.member_remove(id).await });
        asked.await.map(drop).map_err(|failed| failed.of_write("remove a member of etcd"))
    }

    /// What the member at `endpoint` says of itself.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn status(&self, endpoint: &str) -> Result<MemberStatus, StoreError> {
        const WHAT: &str = "ask a member of etcd how it is";
        let limit = self.endpoints.options().patience;
        let mut client = self.client(endpoint, WHAT).await?;
        let status = timeout(limit, client.status()).await.map_err(|_| Failed::Late);
        let status = status.and_then(|it| it.map_err(Failed::from));
        let status = status.map_err(|failed| failed.of_read(WHAT))?;
        Ok(MemberStatus {
            id: status.header().map_or(0, etcd_client::ResponseHeader::member_id),
            leader: status.leader(),
            db_bytes: unsigned(status.db_size()),
            db_used_bytes: unsigned(status.raft_used_db_size()),
            applied: status.raft_applied_index(),
            learner: status.is_learner(),
            version: status.version().to_owned(),
        })
    }

    /// Gives the free space in the database of the member at `endpoint` back to its disk. The
    /// member answers nobody meanwhile.
    ///
    /// # Errors
    /// As [`EtcdAdmin::add_learner`].
    pub async fn defragment(&self, endpoint: &str) -> Result<(), StoreError> {
        const WHAT: &str = "defragment a member of etcd";
        let mut client = self.client(endpoint, WHAT).await?;
        let done = timeout(DEFRAGMENT_WITHIN, client.defragment()).await;
        let done = done.map_err(|_| Failed::Late).and_then(|it| it.map_err(Failed::from));
        done.map(drop).map_err(|failed| failed.of_write(WHAT))
    }

    /// The members whose space has run out: etcd takes no writes while there is one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn out_of_space(&self) -> Result<Vec<u64>, StoreError> {
        let asked = self.endpoints.call(Kind::Read, |mut client| async move {
            client.alarm(AlarmAction::Get, AlarmType::Nospace, None).await
        });
        let alarms = asked.await.map_err(|failed| failed.of_read("ask etcd for alarms"))?;
        let full = alarms.alarms().iter().filter(|it| it.alarm() == AlarmType::Nospace);
        Ok(full.map(etcd_client::AlarmMember::member_id).collect())
    }

    /// Lets etcd take writes again. It raises the alarm anew when there is still no space.
    ///
    /// # Errors
    /// As [`EtcdAdmin::add_learner`].
    pub async fn disarm(&self, member: u64) -> Result<(), StoreError> {
        let asked = self.endpoints.call(Kind::Read, |mut client| async move {
            let mut options = etcd_client::AlarmOptions::new();
            options.with_member(member);
            client.alarm(AlarmAction::Deactivate, AlarmType::Nospace, Some(options)).await
        });
        asked.await.map(drop).map_err(|failed| failed.of_write("end an alarm of etcd"))
    }

    /// Forgets all history: what is now stays. Returns where etcd stands. It comes back when the
    /// space is free.
    ///
    /// # Errors
    /// As [`EtcdAdmin::add_learner`].
    pub async fn compact(&self) -> Result<Revision, StoreError> {
        const WHAT: &str = "compact etcd";
        let read = self.endpoints.call(Kind::Read, |mut client| async move {
            client.get("\0", Some(GetOptions::new().with_count_only())).await
        });
        let now = revision(read.await.map_err(|failed| failed.of_read(WHAT))?.header());
        let physical = etcd_client::CompactionOptions::new().with_physical();
        let asked = self.endpoints.call(Kind::Write, |mut client| {
            let physical = physical.clone();
            async move { client.compact(signed(now.0), Some(physical)).await }
        });
        match asked.await {
            Ok(_) | Err(Failed::Compacted) => Ok(now),
            Err(failed) => Err(failed.of_write(WHAT)),
        }
    }

    async fn client(&self, endpoint: &str, what: &str) -> Result<Client, StoreError> {
        let options = self.endpoints.options().connect_options().with_require_leader(false);
        let client = Client::connect([endpoint], Some(options)).await;
        client.map_err(|error| Failed::from(error).of_read(what))
    }
}

fn member(member: &etcd_client::Member) -> Member {
    Member {
        id: member.id(),
        name: member.name().to_owned(),
        peer_urls: member.peer_urls().to_vec(),
        client_urls: member.client_urls().to_vec(),
        learner: member.is_learner(),
    }
}
