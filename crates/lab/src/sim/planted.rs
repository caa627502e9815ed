//! Known bugs, each put in at a seam, so that it can be seen that the checks find them. Production
//! code knows nothing of them.

use std::str::FromStr;

/// A known bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// The store does not compare the leader's term.
    NoTermCompare,
    /// The store does not compare whether a document is as it was read.
    NoDocumentCompare,
    /// The store acknowledges some writes and forgets them.
    LostWrite,
    /// Watches leave out some of what changed.
    LostEvent,
    /// A disk acknowledges what it has not kept, so that an agent starts with an older assignment.
    ForgetfulDisk,
    /// Tables are acknowledged long before they are in place.
    EarlyAcknowledgment,
    /// A host whose servers are all gone ends what it runs.
    StopsWhenAlone,
    /// Hosts hear the answers of one other alone, so that one word decides.
    DeafObservers,
    /// Addresses that were given back are forgotten at once.
    HotAddresses,
    /// Servers read a larger surge than manifests give.
    LooseSurge,
}

impl Planted {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::NoTermCompare,
        Self::NoDocumentCompare,
        Self::LostWrite,
        Self::LostEvent,
        Self::ForgetfulDisk,
        Self::EarlyAcknowledgment,
        Self::StopsWhenAlone,
        Self::DeafObservers,
        Self::HotAddresses,
        Self::LooseSurge,
    ];
}

impl FromStr for Planted {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|planted| format!("{planted:?}") == name);
        known.ok_or_else(|| format!("there is no bug called {name}"))
    }
}
