//! Forgetting connections: when an instance left for a fault, those who talk to it through a
//! service address are to be reset at once instead of waiting for an answer that cannot come.
//!
//! With its entry gone the next packet of a connection is translated anew, to an endpoint that
//! knows nothing of it and answers with a reset. Changes no rule.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_core::{NLA_TYPE_MASK, Nla};
use netlink_packet_netfilter::conntrack::{ConntrackAttribute, ConntrackMessage, IPTuple, Tuple};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};

use crate::NetlinkError;
use crate::netlink::{Family, Request, Socket};

/// Of what the packet library leaves as bytes (linux/netfilter/nfnetlink_conntrack.h).
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
/// Deletions per datagram: about 80 bytes each, so some 20 KiB, far below a socket's send buffer.
const BATCH: usize = 256;

/// Deletes every tracked IPv4 connection of the calling thread's network namespace in which one of
/// `addresses` takes part, before or after translation. Gives how many there were.
///
/// # Errors
/// When the kernel cannot be asked or refuses; entries that end meanwhile are no error.
pub fn forget(addresses: &BTreeSet<Ipv4Addr>) -> Result<usize, NetlinkError> {
    if addresses.is_empty() {
        return Ok(0);
    }
    let mut socket = Socket::open(Family::Netfilter)?;
    let requests = RefCell::new(Vec::new());
    socket.dump(
        "listing tracked connections",
        &request(ConntrackMessage::Get(Vec::new())),
        || requests.borrow_mut().clear(),
        |message| requests.borrow_mut().extend(deletion(message, addresses)),
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

fn request(message: ConntrackMessage) -> Request<NetfilterMessage> {
    let header = NetfilterHeader::new(NetfilterProtoFamily::IPv4, 0, 0);
    Request::new(NetfilterMessage::new(header, message), 0)
}

/// The request that deletes the entry a message describes, if one of `addresses` is in it.
fn deletion(
    message: NetfilterMessage,
    addresses: &BTreeSet<Ipv4Addr>,
) -> Option<Request<NetfilterMessage>> {
    let NetfilterMessageInner::Conntrack(ConntrackMessage::New(mut entry)) = message.inner else {
        return None;
    };
    let involved = entry.iter().any(|attribute| match attribute {
        ConntrackAttribute::CtaTupleOrig(tuple) | ConntrackAttribute::CtaTupleReply(tuple) => {
            names(tuple, addresses)
        }
        _ => false,
    });
    // The identity keeps a new connection with the same ports from being taken for the old one.
    entry.retain(|attribute| match attribute {
        ConntrackAttribute::CtaTupleOrig(_) => true,
        ConntrackAttribute::Other(other) => {
            [CTA_ID, CTA_ZONE].contains(&(other.kind() & NLA_TYPE_MASK))
        }
        _ => false,
    });
    involved.then(|| request(ConntrackMessage::Delete(entry)))
}

fn names(tuple: &[Tuple], wanted: &BTreeSet<Ipv4Addr>) -> bool {
    let mut addresses = tuple.iter().filter_map(|part| match part {
        Tuple::Ip(addresses) => Some(addresses),
        _ => None,
    });
    addresses.any(|sides| {
        sides.iter().any(|side| match side {
            IPTuple::SourceAddress(found) | IPTuple::DestinationAddress(found) => {
                matches!(found, IpAddr::V4(found) if wanted.contains(found))
            }
            _ => false,
        })
    })
}
