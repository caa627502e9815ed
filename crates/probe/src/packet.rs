//! What is sent: a mark, a fresh number, and a keyed hash of both with the name of the host that is
//! asked. Only who has the key can ask or answer; an answer fits one question to one host, and is
//! no longer than the question.

use api::id::HostId;
use api::liveness::ProbeKey;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// First of every packet: what it is, and the version of its form.
const MAGIC: [u8; 4] = *b"FHP1";

/// Names one question.
pub(super) type Nonce = [u8; 16];

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// "Are you there?"
    Question,
    /// "I am."
    Answer,
}

impl Kind {
    fn byte(self) -> u8 {
        match self {
            Self::Question => 1,
            Self::Answer => 2,
        }
    }
}

/// Mark, kind, nonce and hash: 4 + 1 + 16 + 32 bytes.
pub(super) const LENGTH: usize = 53;

/// A packet that was read and whose hash is still to be checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet<'a> {
    pub(super) kind: Kind,
    pub(super) nonce: Nonce,
    hash: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Takes a packet apart; none when it is not one.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (kind, rest) = rest.split_first()?;
        let kind = match kind {
            1 => Kind::Question,
            2 => Kind::Answer,
            _ => return None,
        };
        let (nonce, hash) = rest.split_first_chunk()?;
        (hash.len() == 32).then_some(Self { kind, nonce: *nonce, hash })
    }

    /// Whether someone with the key made it, to ask `host` or as its answer.
    pub(super) fn is_of(&self, key: &ProbeKey, host: &HostId) -> bool {
        keyed(key, self.kind, &self.nonce, host).is_some_and(|m| m.verify_slice(self.hash).is_ok())
    }
}

/// Makes a packet; none without a key.
pub(super) fn packet(
    key: &ProbeKey,
    kind: Kind,
    nonce: &Nonce,
    host: &HostId,
) -> Option<[u8; LENGTH]> {
    let hash = keyed(key, kind, nonce, host)?.finalize().into_bytes();
    let mut packet = [0; LENGTH];
    packet[..4].copy_from_slice(&MAGIC);
    packet[4] = kind.byte();
    packet[5..21].copy_from_slice(nonce);
    packet[21..].copy_from_slice(&hash);
    Some(packet)
}

/// HMAC-SHA256 (RFC 2104) over kind, nonce and name; the name comes last, so that nothing can be
/// moved between the parts.
fn keyed(key: &ProbeKey, kind: Kind, nonce: &Nonce, host: &HostId) -> Option<Hmac<Sha256>> {
    if key.0.is_empty() {
        return None;
    }
    let mut mac = Hmac::new_from_slice(key.0.as_bytes()).ok()?;
    mac.update(&[kind.byte()]);
    mac.update(nonce);
    mac.update(host.as_str().as_bytes());
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> HostId {
        HostId::new(name).unwrap()
    }

    #[test]
    fn every_changed_bit_other_key_and_other_host_is_noticed() {
        let key = ProbeKey("k".repeat(32));
        let bytes = packet(&key, Kind::Answer, &[7; 16], &host("a")).unwrap();
        let read = Packet::read(&bytes).unwrap();
        assert_eq!((read.kind, read.nonce), (Kind::Answer, [7; 16]));
        assert!(read.is_of(&key, &host("a")));
        assert!(!read.is_of(&key, &host("b")));
        assert!(!read.is_of(&ProbeKey("l".repeat(32)), &host("a")));
        assert!(!read.is_of(&ProbeKey::default(), &host("a")));
        for bit in 0..LENGTH * 8 {
            let mut other = bytes;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!Packet::read(&other).is_some_and(|p| p.is_of(&key, &host("a"))), "{bit}");
        }
        for length in 0..LENGTH {
            assert!(Packet::read(&bytes[..length]).is_none());
        }
        assert!(Packet::read(&[&bytes[..], b"x"].concat()).is_none());
    }

    #[test]
    fn without_a_key_nothing_is_made() {
        assert!(packet(&ProbeKey::default(), Kind::Question, &[0; 16], &host("a")).is_none());
    }
}
