//! The server name in a TLS client's first bytes, read without answering (RFC 6066 §3).

use rustls::server::Acceptor;

/// The most bytes of hello that are read before giving up: a hello of one full TLS record.
pub const MAX_HELLO_BYTES: usize = 16 * 1024 + 5;

/// What the first bytes of a connection tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hello {
    /// More bytes are needed.
    Partial,
    /// A whole hello with the server name in lower case, if it has one.
    Complete(Option<String>),
    /// Not TLS.
    NotTls,
}

/// Looks at the first bytes of a connection.
#[must_use]
pub fn read(bytes: &[u8]) -> Hello {
    if bytes.first().is_some_and(|first| *first != 0x16) {
        return Hello::NotTls;
    }
    let mut acceptor = Acceptor::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        match acceptor.read_tls(&mut rest) {
            Ok(0) | Err(_) => return Hello::NotTls,
            Ok(_) => {}
        }
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => {
                let name = accepted.client_hello().server_name().map(str::to_ascii_lowercase);
                return Hello::Complete(name);
            }
            Err(_) => return Hello::NotTls,
        }
    }
    if bytes.len() >= MAX_HELLO_BYTES { Hello::NotTls } else { Hello::Partial }
}
