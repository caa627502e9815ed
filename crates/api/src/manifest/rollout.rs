//! `[rollout]`, `[spread]` and `priority`: how a release replaces the one before it, over what its
//! instances are spread, and who goes first when room is short.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::unit::Millis;

use super::decode::{Context, Decode, Ranged, table};
use super::tree::Node;
use super::word::words;

table! {
    /// How a release replaces the one before it.
    pub struct Rollout {
        /// How many instances may exist above `scale.instances` meanwhile.
        pub surge: u32 = 1, in 0, 10_000;
        /// How many of `scale.instances` may be missing meanwhile.
        pub max_unavailable: u32 = 0, in 0, 10_000;
        /// How long an instance may take to become healthy; 1s to 1h.
        pub start_within: Millis = Millis::secs(60), within Millis::secs(1), Millis::secs(3600);
    }
}

table! {
    /// Over which failure domains instances are spread.
    pub struct Spread {
        /// The levels of failure domains over which instances are spread.
        pub by: Vec<DomainLevel> = DomainLevel::WORDS.iter().map(|(_, level)| *level).collect();
        /// By how many instances two domains of one level may differ, where it can be kept.
        pub max_skew: u32 = 1, in 1, 10_000;
    }
}

words! {
    /// A level of failure domains, the largest first.
    pub enum DomainLevel = "a level of failure domains" {
        /// A building or a fire compartment.
        Zone = "zone",
        /// What shares power and a switch.
        Rack = "rack",
        /// A machine that hosts virtual machines.
        Hypervisor = "hypervisor",
        /// A host itself.
        Host = "host",
    }
}

/// Who goes first when room is short: 0 to 1000, the higher first; 100 by default.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Priority(#[schemars(range(min = 0, max = 1000))] pub u16);

impl Default for Priority {
    fn default() -> Self {
        Self(100)
    }
}

impl Decode for Priority {
    fn decode(node: &Node, cx: &mut Context) -> Option<Self> {
        u16::decode_in(node, cx, 0, 1000).map(Self)
    }
}
