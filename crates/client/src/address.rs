//! Where a server is: `https://HOST:PORT`, the scheme and the port may be left out.

use std::fmt;
use std::str::FromStr;

use rustls_pki_types::ServerName;

/// The port of the API when none is written.
pub const DEFAULT_PORT: u16 = 7443;

/// Text that is no address of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("understand server address {address:?}: {reason}")]
pub struct MalformedAddress {
    /// What was given, shortened to 80 characters.
    pub address: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// A server's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
    name: ServerName<'static>,
}

impl Address {
    /// The name or IP address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The name that the server's certificate must carry.
    pub(crate) fn name(&self) -> ServerName<'static> {
        self.name.clone()
    }

    /// `HOST:PORT` as in a URI.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority())
    }
}

impl FromStr for Address {
    type Err = MalformedAddress;

    fn from_str(text: &str) -> Result<Self, MalformedAddress> {
        let fail = |reason| MalformedAddress { address: text.chars().take(80).collect(), reason };
        let text = text.trim();
        if text.starts_with("http://") {
            return Err(fail("the API is only served over https"));
        }
        let rest = text.strip_prefix("https://").unwrap_or(text);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = if let Some(inner) = rest.strip_prefix('[') {
            let (host, port) = inner.split_once(']').ok_or_else(|| fail("a ']' is missing"))?;
            match port.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if port.is_empty() => (host, None),
                None => return Err(fail("expected ':' and a port after ']'")),
            }
        } else {
            match rest.split_once(':') {
                Some((_, port)) if port.contains(':') => {
                    return Err(fail("write an IPv6 address in brackets: [::1]:7443"));
                }
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            }
        };
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => match port.parse::<u16>() {
                Ok(port) if port > 0 => port,
                _ => return Err(fail("the port is not a number from 1 to 65535")),
            },
        };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| fail("expected a host name or an IP address"))?;
        Ok(Self { host: host.to_owned(), port, name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, shown: &str) {
        assert_eq!(text.parse::<Address>().unwrap().to_string(), shown, "{text}");
    }

    #[test]
    fn scheme_and_port_may_be_left_out() {
        check("127.0.0.1", "https://127.0.0.1:7443");
        check("https://127.0.0.1:9/", "https://127.0.0.1:9");
        check(" host.example:443", "https://host.example:443");
        check("[::1]:8443", "https://[::1]:8443");
        check("https://[::1]", "https://[::1]:7443");
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_reason() {
        for text in ["", "http://a", "::1", "[::1", "[::1]x", "a:0", "a:65536", "a:b", "a b", "a/b"]
        {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
