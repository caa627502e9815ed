//! Images on hosts ahead of need, and from which other hosts layers may be fetched.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::{Generation, HostId};
use crate::release::Image;

/// Most images a host reports to have: a digest takes 74 bytes, so 9.5 KB of its report.
pub const MAX_REPORTED: usize = 128;

/// Most hosts that one host is sent to for an image.
pub const MAX_SOURCES: usize = 4;

/// What a host is to have beside what it runs, and whom it may ask and answer. Sent whole; the one
/// that came last counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warm {
    /// Another one for every other content.
    pub generation: Generation,
    /// Images to have ready because instances of them would come here if another host, or all
    /// hosts of a failure domain, were lost.
    pub images: Vec<Image>,
    /// By image that this host is to have and has not reported: who has it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sources: BTreeMap<Digest, Vec<Source>>,
    /// By image that this host has: who may fetch it here, since an assignment or a list such as
    /// this names it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub askers: BTreeMap<Digest, Vec<HostId>>,
}

/// A host that has an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The host, as its certificate names it.
    pub host: HostId,
    /// Where its agent gives layers, over TCP.
    pub address: SocketAddr,
}
