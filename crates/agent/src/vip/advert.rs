//! An advert on the wire: a datagram of fixed layout, authenticated with HMAC-SHA-256. Pure.

use std::net::Ipv4Addr;

use hmac::{Hmac, KeyInit, Mac};
use plan::vip::Advert;
use sha2::Sha256;

/// Version of the layout.
const MAGIC: [u8; 4] = *b"FHV1";
/// Magic 4, address 4, sender 4, kind 1, run 8, sequence 8.
const BODY: usize = 29;
/// The body and its code.
pub(super) const LENGTH: usize = BODY + 32;

/// What one candidate says of one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Message {
    /// The address it is about.
    pub(super) vip: Ipv4Addr,
    /// The sender's own.
    pub(super) from: Ipv4Addr,
    pub(super) advert: Advert,
    /// Random, for as long as the sender runs.
    pub(super) run: u64,
    /// Grows with every advert of a run.
    pub(super) sequence: u64,
}

fn code(key: &str) -> Option<Hmac<Sha256>> {
    <Hmac<Sha256> as KeyInit>::new_from_slice(key.as_bytes()).ok()
}

/// The datagram; none without a key.
pub(super) fn seal(message: &Message, key: &str) -> Option<[u8; LENGTH]> {
    let mut bytes = Vec::with_capacity(LENGTH);
    bytes.extend(MAGIC);
    bytes.extend(message.vip.octets());
    bytes.extend(message.from.octets());
    bytes.push(match message.advert {
        Advert::Hold => 1,
        Advert::Resign => 2,
        Advert::Claim => 3,
    });
    bytes.extend(message.run.to_be_bytes());
    bytes.extend(message.sequence.to_be_bytes());
    let mut mac = code(key)?;
    mac.update(&bytes);
    bytes.extend(mac.finalize().into_bytes());
    bytes.try_into().ok()
}

/// What a datagram says; none when it is no advert or was made with another key.
pub(super) fn open(datagram: &[u8], key: &str) -> Option<Message> {
    let (body, tag) = datagram.split_at_checked(BODY).filter(|_| datagram.len() == LENGTH)?;
    let mut mac = code(key)?;
    mac.update(body);
    mac.verify_slice(tag).ok()?;
    let rest = body.strip_prefix(&MAGIC)?;
    let four =
        |at: usize| rest.get(at..at + 4)?.try_into().ok().map(|b: [u8; 4]| Ipv4Addr::from(b));
    let eight = |at: usize| rest.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes);
    let advert = match rest.get(8)? {
        1 => Advert::Hold,
        2 => Advert::Resign,
        3 => Advert::Claim,
        _ => return None,
    };
    let (run, sequence) = (eight(9)?, eight(17)?);
    Some(Message { vip: four(0)?, from: four(4)?, advert, run, sequence })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn only_what_was_sealed_with_the_key_opens(
            vip: u32, from: u32, kind in 0_usize..3, run: u64, sequence: u64,
            at in 0..LENGTH, bit in 0_u8..8,
        ) {
            let advert = [Advert::Hold, Advert::Resign, Advert::Claim][kind];
            let message =
                Message { vip: vip.into(), from: from.into(), advert, run, sequence };
            let mut datagram = seal(&message, "key").unwrap();
            prop_assert_eq!(open(&datagram, "key"), Some(message));
            prop_assert_eq!(open(&datagram, "other"), None);
            prop_assert_eq!(open(&datagram[..at], "key"), None);
            datagram[at] ^= 1 << bit;
            prop_assert_eq!(open(&datagram, "key"), None);
        }

        #[test]
        fn anything_may_arrive(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(open(&bytes, "key"), None);
        }
    }
}
