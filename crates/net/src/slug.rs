//! The name of one installation on a machine and every kernel name derived from it.
//!
//! All derivations are pure, so that a call can find what an earlier process made without any
//! record. No other module makes up names.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use thiserror::Error;

/// Longest slug: a bridge name is `fh` + slug and the kernel allows 15 bytes; 8 leaves room.
const MAX_LENGTH: usize = 8;

/// What tells installations on one machine apart: 1 to 8 of `a-z0-9`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slug(String);

/// A text that cannot be a slug.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a slug is 1 to 8 of a-z and 0-9, not {0:?}")]
pub struct InvalidSlug(String);

impl Slug {
    /// Checks and takes a slug.
    ///
    /// # Errors
    /// When `text` is empty, longer than 8 bytes or has other characters than `a-z0-9`.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidSlug> {
        let text = text.into();
        let fits = (1..=MAX_LENGTH).contains(&text.len());
        if fits && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
            Ok(Self(text))
        } else {
            Err(InvalidSlug(text))
        }
    }

    /// The slug itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Name of the bridge that holds the gateway's address, `fh<slug>`.
    #[must_use]
    pub fn bridge(&self) -> String {
        format!("fh{}", self.0)
    }

    /// Name of the VXLAN device that leads to other hosts, `fx<slug>`.
    #[must_use]
    pub fn tunnel(&self) -> String {
        format!("fx{}", self.0)
    }

    /// Name of the nftables table (family inet), `freehold_<slug>`.
    #[must_use]
    pub fn table(&self) -> String {
        format!("freehold_{}", self.0)
    }

    /// The device group of this installation's ports: how kernel and filter
    /// recognise them. FNV-1a of the slug with the top bit set, so it is never the default 0.
    #[must_use]
    pub fn link_group(&self) -> u32 {
        let hash = self
            .0
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        hash | 0x8000_0000
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Slug {
    type Err = InvalidSlug;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

/// Name of the host's end of an instance's veth pair: `fv` + the address as 8 hex digits.
pub(crate) fn port_name(address: Ipv4Addr) -> String {
    format!("fv{:08x}", u32::from(address))
}

/// The inverse of [`port_name`]; `None` for any other name.
pub(crate) fn port_address(name: &str) -> Option<Ipv4Addr> {
    let digits = name.strip_prefix("fv").filter(|digits| digits.len() == 8)?;
    let address = u32::from_str_radix(digits, 16).ok().map(Ipv4Addr::from)?;
    (port_name(address) == name).then_some(address)
}

/// Hardware address of an instance's own end: a locally administered prefix + the IPv4 address, so
/// that a reused address never meets a stale neighbour entry.
pub(crate) fn instance_mac(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0xf4, a, b, c, d]
}

/// Hardware address of the host's end of the same pair (and of a bridge with that address).
pub(crate) fn host_mac(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x06, 0xf4, a, b, c, d]
}

/// Hardware address of a host's tunnel, from its gateway's address: other hosts compute it.
pub(crate) fn tunnel_mac(gateway: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = gateway.octets();
    [0x0a, 0xf4, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_lower_case_slugs_pass() {
        for good in ["a", "0", "abc123", "zzzzzzzz"] {
            assert_eq!(Slug::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "ABC", "a-b", "123456789", "a b", "ä", "a\"", "a\n"] {
            assert!(Slug::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_fit_the_kernel_and_differ() {
        let one = Slug::new("abcdef12").unwrap();
        let two = Slug::new("abcdef13").unwrap();
        assert!(one.bridge().len() <= 15);
        assert_ne!(one.link_group(), two.link_group());
        assert_ne!(one.link_group(), 0);
    }

    #[test]
    fn port_names_lead_back_to_their_address() {
        for address in [Ipv4Addr::new(10, 128, 0, 2), Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST] {
            assert_eq!(port_address(&port_name(address)), Some(address));
        }
        for other in ["fv", "fv0A800002", "fv0a80000", "fv0a8000021", "fh0a800002", "fv+a800002"] {
            assert_eq!(port_address(other), None, "{other}");
        }
    }
}
