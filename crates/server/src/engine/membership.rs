//! Becoming a member of an etcd: what to do next is decided from its list of members alone, so a
//! joining that was cut off goes on where it was.

use std::time::Duration;

use store::StoreError;
use store::etcd::{EtcdAdmin, Member};
use tokio::time::{Instant, sleep};

use super::launch::Launch;
use super::options::Options;

/// Members an etcd may have: more make every write slower and none safer.
const MAX_MEMBERS: usize = 5;

/// How long a joining may take: etcd changes its members only when those there are have been well
/// for 5 s, and a change before is two of those.
const JOIN_WITHIN: Duration = Duration::from_secs(30);

/// A pause before asking again what was not possible yet.
const AGAIN: Duration = Duration::from_millis(200);

/// Why a member could not join.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// Another member has the name.
    #[error("join etcd as {name}: a member of that name is at {at}; to take its place, replace it")]
    NameTaken {
        /// The name.
        name: String,
        /// Where that member is.
        at: String,
    },
    /// There is a member at our own address whose data is not here.
    #[error("join etcd as {name}: it is a member already, but its data is not here; replace it")]
    DataMissing {
        /// The name.
        name: String,
    },
    /// Who is to be replaced is no member.
    #[error("replace {name} in etcd: the members are {members}")]
    NoSuchMember {
        /// Who was named.
        name: String,
        /// Who there is.
        members: String,
    },
    /// Who is to be replaced answers.
    #[error("replace {name} in etcd: it is alive; stop it first")]
    Alive {
        /// Who was named.
        name: String,
    },
    /// There are enough members.
    #[error("join etcd as {name}: it has {members} members, which is the most")]
    Full {
        /// Who wanted to join.
        name: String,
        /// How many there are.
        members: usize,
    },
    /// etcd refused or could not be reached.
    #[error("join etcd as {name}")]
    Store {
        /// Who wanted to join.
        name: String,
        /// What etcd said.
        #[source]
        cause: StoreError,
    },
    /// It was not well, or its members kept changing, for the whole time.
    #[error("join etcd as {name}: within {:?} it took no new member", JOIN_WITHIN)]
    Unsettled {
        /// Who wanted to join.
        name: String,
    },
    /// It did not catch up in time; it goes on learning.
    #[error("give {name} its vote in etcd: it has not caught up within {waited:?}")]
    Late {
        /// The member.
        name: String,
        /// How long was waited.
        waited: Duration,
    },
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Remove {
        id: u64,
        clients: Vec<String>,
    },
    Add,
    /// Another one still learns, and etcd has one learner at a time.
    Wait,
    Start(Launch),
}

/// Decides from the members there are. Pure.
fn decide(members: &[Member], options: &Options, replace: Option<&str>) -> Result<Step, JoinError> {
    let (name, url) = (&options.name, options.peer_url());
    if let Some(replaced) = replace {
        let Some(old) = members.iter().find(|member| member.name == replaced) else {
            let names: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
            let members = names.join(", ");
            return Err(JoinError::NoSuchMember { name: replaced.to_owned(), members });
        };
        return Ok(Step::Remove { id: old.id, clients: old.client_urls.clone() });
    }
    let own = members.iter().find(|member| member.peer_urls.contains(&url));
    let other = members.iter().find(|it| it.name == *name && !it.peer_urls.contains(&url));
    if let Some(other) = other {
        let at = other.peer_urls.join(", ");
        return Err(JoinError::NameTaken { name: name.clone(), at });
    }
    match own {
        // It has never started: the one just added.
        Some(own) if own.name.is_empty() => {
            let named = members.iter().flat_map(|member| {
                let called = if member.id == own.id {
                    name.clone()
                } else if member.name.is_empty() {
                    format!("unstarted-{:x}", member.id)
                } else {
                    member.name.clone()
                };
                member.peer_urls.iter().map(move |url| (called.clone(), url.clone()))
            });
            Ok(Step::Start(Launch { first: false, members: named.collect() }))
        }
        Some(_) => Err(JoinError::DataMissing { name: name.clone() }),
        None if members.len() >= MAX_MEMBERS => {
            Err(JoinError::Full { name: name.clone(), members: members.len() })
        }
        None if members.iter().any(|member| member.learner) => Ok(Step::Wait),
        None => Ok(Step::Add),
    }
}

/// Makes a member of the etcd that `admin` reaches, in the place of `replace` if one is named, and
/// says how to start it. It learns first: give it its vote with [`promote`] once it runs.
///
/// # Errors
/// [`JoinError`]
pub async fn join(
    admin: &EtcdAdmin,
    options: &Options,
    replace: Option<&str>,
) -> Result<Launch, JoinError> {
    let failed = |cause| JoinError::Store { name: options.name.clone(), cause };
    let mut replace = replace;
    let until = Instant::now() + JOIN_WITHIN;
    while Instant::now() < until {
        let members = admin.members().await.map_err(failed)?;
        match decide(&members, options, replace)? {
            Step::Start(launch) => return Ok(launch),
            Step::Wait => sleep(AGAIN).await,
            Step::Add => match admin.add_learner(&options.peer_url()).await {
                // What became of it stands in the list.
                Ok(_) => {}
                Err(StoreError::Uncertain { .. }) => sleep(AGAIN).await,
                Err(error) if error.retryable() => {
                    tracing::info!(%error, "etcd takes no member yet");
                    sleep(AGAIN).await;
                }
                Err(error) => {
                    // Another one may have been added in between.
                    let now = admin.members().await.map_err(failed)?;
                    if !now.iter().any(|member| member.learner) {
                        return Err(failed(error));
                    }
                }
            },
            Step::Remove { id, clients } => {
                for url in &clients {
                    if admin.status(url).await.is_ok() {
                        let name = replace.unwrap_or_default().to_owned();
                        return Err(JoinError::Alive { name });
                    }
                }
                match admin.remove(id).await {
                    Ok(()) => replace = None,
                    Err(StoreError::Uncertain { .. }) => {
                        let left = admin.members().await.map_err(failed)?;
                        replace = replace.filter(|_| left.iter().any(|it| it.id == id));
                    }
                    Err(error) if error.retryable() => sleep(AGAIN).await,
                    Err(error) => return Err(failed(error)),
                }
            }
        }
    }
    Err(JoinError::Unsettled { name: options.name.clone() })
}

/// Gives a member that runs its vote, as soon as it has caught up.
///
/// # Errors
/// [`JoinError::Late`], [`JoinError::Store`].
pub async fn promote(
    admin: &EtcdAdmin,
    options: &Options,
    within: Duration,
) -> Result<(), JoinError> {
    let begun = Instant::now();
    let name = || options.name.clone();
    let url = options.peer_url();
    loop {
        let asked = async {
            let members = admin.members().await?;
            match members.iter().find(|member| member.peer_urls.contains(&url)) {
                Some(own) if own.learner => admin.promote(own.id).await,
                Some(_) => Ok(true),
                None => Ok(false),
            }
        };
        match asked.await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            // It may have been done: the list says.
            Err(error) if error.retryable() => {}
            Err(StoreError::Uncertain { .. }) => {}
            Err(cause) => return Err(JoinError::Store { name: name(), cause }),
        }
        if begun.elapsed() >= within {
            return Err(JoinError::Late { name: name(), waited: within });
        }
        sleep(AGAIN).await;
    }
}

#[cfg(test)]
mod tests;
