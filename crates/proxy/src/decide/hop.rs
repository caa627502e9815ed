//! Hop-by-hop headers (RFC 9110 §7.6.1): what belongs to one connection is removed before a
//! message goes on.

use http::header::{
    CONNECTION, EXPECT, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};

/// Not registered, but sent by old clients and meant for one hop.
pub const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
/// As `Connection`, by clients that know they talk to a proxy.
pub const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Removes what is meant for one hop, what `Connection` names included. Of `TE`, `trailers` stays:
/// gRPC asks for it end to end. `Host` and the framing are the caller's.
pub fn remove(headers: &mut HeaderMap) {
    let mut found = false;
    for name in headers.keys() {
        if is_hop(name) {
            found = true;
            break;
        }
    }
    if !found {
        return;
    }
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|token| !is_protected(token))
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    let trailers = headers.get_all(TE).iter().any(|value| has_token(value, "trailers"));
    for name in [
        CONNECTION,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        TE,
        TRANSFER_ENCODING,
        UPGRADE,
        EXPECT,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
    ] {
        headers.remove(name);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

fn is_hop(name: &HeaderName) -> bool {
    matches!(
        *name,
        CONNECTION
            | TE
            | TRANSFER_ENCODING
            | UPGRADE
            | EXPECT
            | PROXY_AUTHENTICATE
            | PROXY_AUTHORIZATION
    ) || *name == KEEP_ALIVE
        || *name == PROXY_CONNECTION
}

/// What `Connection` may name without effect: removing these would change who is meant, how the
/// message is framed or whom the app believes the client to be.
fn is_protected(token: &str) -> bool {
    const PROTECTED: [&str; 12] = [
        "close",
        "keep-alive",
        "host",
        "content-length",
        "transfer-encoding",
        "te",
        "upgrade",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-real-ip",
    ];
    PROTECTED.iter().any(|name| token.eq_ignore_ascii_case(name))
}

/// Whether a comma-separated header has a token, parameters ignored.
#[must_use]
pub fn has_token(value: &HeaderValue, token: &str) -> bool {
    value.to_str().is_ok_and(|text| {
        text.split(',')
            .map(|part| part.split(';').next().unwrap_or(part).trim())
            .any(|part| part.eq_ignore_ascii_case(token))
    })
}

/// The protocol a client wants to switch to, if it asks properly (RFC 9110 §7.8). `h2c` is not
/// passed on: switching to it is the proxy's own business.
#[must_use]
pub fn wanted_upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let upgrade = headers.get(UPGRADE)?;
    let asked = headers.get_all(CONNECTION).iter().any(|value| has_token(value, "upgrade"));
    (asked && !has_token(upgrade, "h2c")).then(|| upgrade.clone())
}
