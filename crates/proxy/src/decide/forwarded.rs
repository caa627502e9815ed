//! Who the client is, told to the app: `Forwarded` (RFC 7239) and its older relatives.
//!
//! What an untrusted peer says about itself is thrown away; what a trusted proxy says is extended.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

/// The chain of addresses.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `http` or `https`, as the client spoke.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The host the client asked for.
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// The client's address alone.
pub const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Whether a peer's own forwarding headers are believed.
#[must_use]
pub fn is_trusted(peer: IpAddr, trusted: &[IpNet]) -> bool {
    let peer = peer.to_canonical();
    trusted.iter().any(|net| net.contains(&peer))
}

/// What is the same for all requests of a connection, made once.
#[derive(Debug)]
pub struct Peer {
    address: IpAddr,
    text: HeaderValue,
    https: bool,
    /// `Forwarded` for the last host seen, since clients rarely change it.
    cached: Option<(HeaderValue, HeaderValue)>,
}

impl Peer {
    /// For a connection from `address`, over TLS or not.
    #[must_use]
    pub fn new(address: SocketAddr, https: bool) -> Self {
        let address = address.ip().to_canonical();
        Self { address, text: value(address.to_string().into()), https, cached: None }
    }

    /// Replaces (or, from a trusted proxy, extends) the forwarding headers of a request for `host`.
    pub fn apply(&mut self, headers: &mut HeaderMap, host: &HeaderValue, trusted: &[IpNet]) {
        let believed = !trusted.is_empty() && is_trusted(self.address, trusted);
        let element = self.element(host);
        let proto = HeaderValue::from_static(if self.https { "https" } else { "http" });
        if !believed {
            headers.insert(X_FORWARDED_FOR, self.text.clone());
            headers.insert(X_REAL_IP, self.text.clone());
            headers.insert(X_FORWARDED_PROTO, proto);
            headers.insert(X_FORWARDED_HOST, host.clone());
            headers.insert(FORWARDED, element);
            return;
        }
        let chain = joined(headers, &X_FORWARDED_FOR, &self.text);
        let real = first_untrusted(&chain, trusted).unwrap_or_else(|| self.text.clone());
        headers.insert(X_FORWARDED_FOR, chain);
        headers.insert(X_REAL_IP, real);
        headers.entry(X_FORWARDED_PROTO).or_insert(proto);
        headers.entry(X_FORWARDED_HOST).or_insert_with(|| host.clone());
        let elements = joined(headers, &FORWARDED, &element);
        headers.insert(FORWARDED, elements);
    }

    fn element(&mut self, host: &HeaderValue) -> HeaderValue {
        if let Some((of, element)) = &self.cached
            && of == host
        {
            return element.clone();
        }
        let proto = if self.https { "https" } else { "http" };
        let mut text = Vec::with_capacity(48 + host.len());
        match self.address {
            IpAddr::V4(_) => text.extend_from_slice(b"for="),
            IpAddr::V6(_) => text.extend_from_slice(b"for=\"["),
        }
        text.extend_from_slice(self.text.as_bytes());
        if self.address.is_ipv6() {
            text.extend_from_slice(b"]\"");
        }
        text.extend_from_slice(b";host=\"");
        text.extend(host.as_bytes().iter().filter(|b| !b"\"\\".contains(b)));
        text.extend_from_slice(b"\";proto=");
        text.extend_from_slice(proto.as_bytes());
        let element = value(text.into());
        self.cached = Some((host.clone(), element.clone()));
        element
    }
}

fn value(text: Bytes) -> HeaderValue {
    HeaderValue::from_maybe_shared(text).expect("addresses and checked hosts are visible ASCII")
}

/// All values of `name` and then `last`, comma-separated.
fn joined(headers: &HeaderMap, name: &HeaderName, last: &HeaderValue) -> HeaderValue {
    let mut text = Vec::new();
    for held in headers.get_all(name) {
        text.extend_from_slice(held.as_bytes());
        text.extend_from_slice(b", ");
    }
    text.extend_from_slice(last.as_bytes());
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or_else(|_| last.clone())
}

/// The address nearest to us that no trusted proxy vouches to be one of its own kind.
fn first_untrusted(chain: &HeaderValue, trusted: &[IpNet]) -> Option<HeaderValue> {
    let text = chain.to_str().ok()?;
    let mut parts = text.rsplit(',').map(str::trim).peekable();
    while let Some(part) = parts.next() {
        let address: IpAddr = part.parse().ok()?;
        if parts.peek().is_none() || !is_trusted(address, trusted) {
            return HeaderValue::from_str(part).ok();
        }
    }
    None
}
