//! Forgetting connections: when an instance left for a fault, those who talk to it through a
//! service address are to be reset at once instead of waiting for an answer that cannot come.
//!
//! With its entry gone the next packet of a connection is translated anew, to an endpoint that
//! knows nothing of it and answers with a reset. Speaks the conntrack part of netfilter's netlink
//! (linux/netfilter/nfnetlink_conntrack.h) and changes no rule.

use std::net::Ipv4Addr;

use crate::NetlinkError;
use crate::netlink::message::{Attributes, Message, Request};
use crate::netlink::{Family, Socket};

/// NFNL_SUBSYS_CTNETLINK << 8.
const SUBSYSTEM: u16 = 1 << 8;
const NEW: u16 = SUBSYSTEM;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;
/// struct nfgenmsg: family, version, resource; and the family for IPv4.
const BODY: usize = 4;
const IPV4: [u8; BODY] = [2, 0, 0, 0];
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const CTA_TUPLE_IP: u16 = 1;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const NESTED: u16 = 0x8000;
/// Deletions per datagram: about 80 bytes each, so some 20 KiB, far below a socket's send buffer.
const BATCH: usize = 256;

/// Deletes every tracked IPv4 connection of the calling thread's network namespace in which
/// `address` takes part, before or after translation. Gives how many there were.
///
/// # Errors
/// When the kernel cannot be asked or refuses; entries that end meanwhile are no error.
pub fn forget(address: Ipv4Addr) -> Result<usize, NetlinkError> {
    let mut socket = Socket::open(Family::Netfilter)?;
    let requests = std::cell::RefCell::new(Vec::new());
    socket.dump(
        "listing tracked connections",
        &Request::new(GET, 0, &IPV4),
        || requests.borrow_mut().clear(),
        |message| requests.borrow_mut().extend(deletion(&message, address)),
    )?;
    let requests = requests.into_inner();
    let mut deleted = 0;
    for batch in requests.chunks(BATCH) {
        for verdict in socket.exchange(batch.to_vec(), |_, _| ())? {
            verdict.check("deleting a tracked connection", &[libc::ENOENT])?;
            deleted += usize::from(verdict.errno == 0);
        }
    }
    Ok(deleted)
}

/// The request that deletes the entry a message describes, if `address` is in it.
fn deletion(message: &Message<'_>, address: Ipv4Addr) -> Option<Request> {
    if message.kind != NEW {
        return None;
    }
    let entry = Attributes::after(message.body, BODY);
    let original = entry.find(CTA_TUPLE_ORIG)?;
    let reply = entry.find(CTA_TUPLE_REPLY).unwrap_or_default();
    if ![original, reply].into_iter().any(|tuple| names(tuple, address)) {
        return None;
    }
    let mut request = Request::new(DELETE, 0, &IPV4).attribute(CTA_TUPLE_ORIG | NESTED, original);
    // The identity keeps a new connection with the same ports from being taken for the old one.
    for kind in [CTA_ID, CTA_ZONE] {
        if let Some(value) = entry.find(kind) {
            request = request.attribute(kind, value);
        }
    }
    Some(request)
}

fn names(tuple: &[u8], address: Ipv4Addr) -> bool {
    let Some(ip) = Attributes(tuple).find(CTA_TUPLE_IP) else { return false };
    [CTA_IP_V4_SRC, CTA_IP_V4_DST]
        .into_iter()
        .any(|side| Attributes(ip).find(side) == Some(address.octets().as_slice()))
}
