//! Who asks: a host by its certificate, anybody else by a token, as HTTP Basic or Bearer.

use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use data_encoding::BASE64;

use super::answer::Refusal;
use crate::oci::{Access, AccessError, PeerHost, Who};

/// Longest credentials accepted: a token has under 100 bytes, a user name rarely more.
const MAX_CREDENTIALS: usize = 4096;

/// Who asks.
#[derive(Debug)]
pub(super) enum Asker {
    /// A host of the cluster.
    Host(String),
    /// Somebody with a token.
    Caller(Who),
}

impl Asker {
    /// Their name, for records.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Host(host) => host,
            Self::Caller(who) => who.name(),
        }
    }
}

/// Credentials as they came.
#[derive(PartialEq, Eq)]
struct Credentials {
    user: Option<String>,
    secret: String,
}

/// Finds out who asks. A token counts before a certificate: who shows one wants to be its owner.
pub(super) async fn identify(access: &dyn Access, request: &Parts) -> Result<Asker, Refusal> {
    match credentials(&request.headers) {
        Some(Ok(Credentials { user, secret })) => {
            Ok(Asker::Caller(access.authenticate(user.as_deref(), &secret).await?))
        }
        Some(Err(why)) => Err(AccessError::Unauthenticated(why.to_owned()).into()),
        None => match request.extensions.get::<PeerHost>() {
            Some(PeerHost(host)) => Ok(Asker::Host(host.clone())),
            None => {
                let why =
                    "no token was given; hint: log in with any user name and a token as password";
                Err(AccessError::Unauthenticated(why.to_owned()).into())
            }
        },
    }
}

fn credentials(headers: &HeaderMap) -> Option<Result<Credentials, &'static str>> {
    let value = headers.get(header::AUTHORIZATION)?;
    Some(read(value.as_bytes()))
}

fn read(value: &[u8]) -> Result<Credentials, &'static str> {
    const FORM: &str = "the Authorization header is neither Basic nor Bearer";
    if value.len() > MAX_CREDENTIALS {
        return Err("the Authorization header is too long");
    }
    let text = std::str::from_utf8(value).map_err(|_| FORM)?;
    let (scheme, rest) = text.split_once(' ').ok_or(FORM)?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Credentials { user: None, secret: rest.to_owned() });
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(FORM);
    }
    const BASIC: &str = "the Basic credentials are not base64 of USER:TOKEN";
    let decoded = BASE64.decode(rest.as_bytes()).map_err(|_| BASIC)?;
    let decoded = String::from_utf8(decoded).map_err(|_| BASIC)?;
    let (user, secret) = decoded.split_once(':').ok_or(BASIC)?;
    Ok(Credentials { user: Some(user.to_owned()), secret: secret.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_basic_or_bearer() {
        let check = |value: &str, user: Option<&str>, secret: &str| {
            let expected = Credentials { user: user.map(str::to_owned), secret: secret.into() };
            assert!(read(value.as_bytes()) == Ok(expected), "{value}");
        };
        check("Bearer abc", None, "abc");
        check("bearer  abc ", None, "abc");
        let basic = |text: &str| format!("Basic {}", BASE64.encode(text.as_bytes()));
        check(&basic("u:t"), Some("u"), "t");
        check(&basic(":t"), Some(""), "t");
        check(&basic("u:a:b"), Some("u"), "a:b");
        let long = format!("Bearer {}", "x".repeat(5000));
        for bad in ["", "Basic", "Basic !", "Digest x", &basic("no colon"), &long] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(read(&[0xff, 0xfe]).is_err());
    }
}
