//! Lines of the access log: one JSON object each, written straight into the worker's buffer.
//! Paths are logged without their query, which may hold credentials.

use std::io::Write;
use std::net::SocketAddr;

use http::Version;

use super::client::ClientState;
use super::endpoint::Endpoint;
use super::ticket::Ticket;
use super::tunnel::Relayed;

/// Writes the line of an HTTP request.
pub(crate) fn request(out: &mut Vec<u8>, ticket: &Ticket, us: u64) {
    let client = &ticket.client;
    begin(out, client);
    out.extend_from_slice(match (ticket.version, client.https) {
        (Version::HTTP_2, true) => b"\",\"scheme\":\"https\",\"protocol\":\"HTTP/2\"".as_slice(),
        (Version::HTTP_2, false) => b"\",\"scheme\":\"http\",\"protocol\":\"HTTP/2\"",
        (Version::HTTP_10, true) => b"\",\"scheme\":\"https\",\"protocol\":\"HTTP/1.0\"",
        (Version::HTTP_10, false) => b"\",\"scheme\":\"http\",\"protocol\":\"HTTP/1.0\"",
        (_, true) => b"\",\"scheme\":\"https\",\"protocol\":\"HTTP/1.1\"",
        (_, false) => b"\",\"scheme\":\"http\",\"protocol\":\"HTTP/1.1\"",
    });
    text(out, b",\"method\":\"", ticket.method.as_str().as_bytes());
    if let Some(host) = &ticket.host {
        text(out, b",\"host\":\"", host.as_bytes());
    }
    text(out, b",\"path\":\"", ticket.uri.path().as_bytes());
    number(out, b",\"status\":", u64::from(ticket.status));
    number(out, b",\"bytes_in\":", ticket.bytes_in);
    number(out, b",\"bytes_out\":", ticket.bytes_out);
    number(out, b",\"duration_us\":", us);
    if let Some(stats) = ticket.stats() {
        text(out, b",\"route\":\"", stats.name.as_bytes());
        text(out, b",\"app\":\"", stats.app.as_str().as_bytes());
        text(out, b",\"environment\":\"", stats.environment.as_str().as_bytes());
    }
    if let Some(lease) = &ticket.lease {
        instance(out, &lease.endpoint);
    }
    number(out, b",\"retries\":", u64::from(ticket.retries));
    if !ticket.complete {
        out.extend_from_slice(b",\"complete\":false");
    }
    if let Some(error) = ticket.error {
        text(out, b",\"error\":\"", error.as_bytes());
    }
    out.extend_from_slice(b"}\n");
}

/// What is known about a TCP connection at its end.
pub(crate) struct Tcp<'a> {
    pub(crate) client: &'a ClientState,
    pub(crate) route: &'a api::ingress::TcpRoute,
    pub(crate) endpoint: Option<&'a Endpoint>,
    pub(crate) relayed: Option<Relayed>,
    pub(crate) retries: u32,
    pub(crate) us: u64,
}

/// Writes the line of a TCP connection.
pub(crate) fn tcp(out: &mut Vec<u8>, line: &Tcp<'_>) {
    begin(out, line.client);
    out.extend_from_slice(b"\",\"scheme\":\"tcp\"");
    number(out, b",\"bytes_in\":", line.relayed.map_or(0, |relayed| relayed.from_client));
    number(out, b",\"bytes_out\":", line.relayed.map_or(0, |relayed| relayed.from_instance));
    number(out, b",\"duration_us\":", line.us);
    text(out, b",\"route\":\"", line.route.name.as_bytes());
    text(out, b",\"app\":\"", line.route.app.as_str().as_bytes());
    text(out, b",\"environment\":\"", line.route.environment.as_str().as_bytes());
    if let Some(endpoint) = line.endpoint {
        instance(out, endpoint);
    }
    number(out, b",\"retries\":", u64::from(line.retries));
    if !line.relayed.is_some_and(|relayed| relayed.complete) {
        out.extend_from_slice(b",\"complete\":false");
    }
    if line.relayed.is_none() {
        out.extend_from_slice(b",\"error\":\"no instance reached\"");
    }
    out.extend_from_slice(b"}\n");
}

/// Up to the client's address, the closing quote left open.
fn begin(out: &mut Vec<u8>, client: &ClientState) {
    out.extend_from_slice(b"{\"time\":\"");
    client.worker.clock.write_wall_time(out);
    out.extend_from_slice(b"\",\"client\":\"");
    address(out, client.address);
}

fn instance(out: &mut Vec<u8>, endpoint: &Endpoint) {
    text(out, b",\"instance\":\"", endpoint.instance.as_str().as_bytes());
    number(out, b",\"release\":", u64::from(endpoint.release.0));
}

fn address(out: &mut Vec<u8>, address: SocketAddr) {
    // Writing into memory does not fail.
    let _ = match address {
        SocketAddr::V4(v4) => {
            let [a, b, c, d] = v4.ip().octets();
            for (octet, end) in [(a, b'.'), (b, b'.'), (c, b'.'), (d, b':')] {
                decimal(out, u64::from(octet));
                out.push(end);
            }
            decimal(out, u64::from(v4.port()));
            Ok(())
        }
        SocketAddr::V6(v6) => write!(out, "{v6}"),
    };
}

fn number(out: &mut Vec<u8>, key: &[u8], value: u64) {
    out.extend_from_slice(key);
    decimal(out, value);
}

fn decimal(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(value % 10).expect("a remainder of ten fits");
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Writes a JSON string's content and its closing quote. Bytes beyond ASCII are written as the
/// character of the same number (ISO 8859-1), so that the line is valid whatever a client sends.
fn text(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    out.extend_from_slice(key);
    if value.iter().all(|b| (0x20..0x7f).contains(b) && *b != b'"' && *b != b'\\') {
        out.extend_from_slice(value);
    } else {
        for byte in value {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
                0x20..0x7f => out.push(*byte),
                _ => {
                    // Writing into memory does not fail.
                    let _ = write!(out, "\\u{byte:04x}");
                }
            }
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_gives_valid_json() {
        for byte in 0..=255u8 {
            let mut out = Vec::new();
            text(&mut out, b"{\"k\":\"", &[b'a', byte, b'z']);
            out.push(b'}');
            let parsed: serde_json::Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(parsed["k"], format!("a{}z", char::from(byte)));
        }
    }

    #[test]
    fn numbers_and_addresses_are_written_as_usual() {
        for value in [0, 7, 10, 999, u64::MAX] {
            let mut out = Vec::new();
            decimal(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
        }
        for text in ["10.1.200.3:65535", "[::1]:80"] {
            let mut out = Vec::new();
            address(&mut out, text.parse().unwrap());
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
