//! An address that hosts of a segment hold in turn: lent to this host for a short time, so that a
//! host that stops renewing it loses it, and announced to the segment.
//!
//! Who holds it when is decided elsewhere.

#![expect(unsafe_code, reason = "packet sockets have no safe form")]

use std::io;
use std::mem;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use ipnet::Ipv4Net;
use thiserror::Error;

use crate::NetlinkError;
use crate::netlink::{Link, RouteSocket};

/// How long the kernel keeps a lent address that is not renewed, in seconds. It looks once a
/// second, so the address is gone after 2.0 to 2.5 s.
pub const LIFETIME_S: u32 = 2;

/// linux/if_arp.h: ARPHRD_ETHER; RFC 826: the hardware space of Ethernet.
const ETHERNET: u16 = 1;
/// Ethernet header 14, ARP for IPv4 28 bytes (RFC 826).
const FRAME: usize = 14 + 28;
/// Bytes of a hardware address.
const MAC: usize = 6;

/// An address could not be held, given up or announced.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VipError {
    /// The kernel refused over netlink.
    #[error("holding address {address}")]
    Netlink {
        /// The address.
        address: Ipv4Addr,
        /// Why.
        #[source]
        source: NetlinkError,
    },
    /// The host has no Ethernet link with its own address.
    #[error("holding address {address}: no Ethernet link has this host's address {near}")]
    NoLink {
        /// The address.
        address: Ipv4Addr,
        /// The host's own.
        near: Ipv4Addr,
    },
    /// The segment could not be told.
    #[error("announcing address {address}")]
    Announce {
        /// The address.
        address: Ipv4Addr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Puts `address` on the link that has `near`, this host's own address, for [`LIFETIME_S`] from
/// now; renews it where it is there already.
///
/// # Errors
/// No link has `near`, or the kernel refuses.
pub fn hold(address: Ipv4Addr, near: Ipv4Addr) -> Result<(), VipError> {
    let (mut socket, link) = link(address, near)?;
    let net = Ipv4Net::new_assert(address, 32);
    let held = socket.lend_address(link.index, net, LIFETIME_S);
    held.map_err(|source| VipError::Netlink { address, source })
}

/// Takes `address` off the link that has `near`; fine when it is gone.
///
/// # Errors
/// No link has `near`, or the kernel refuses.
pub fn give_up(address: Ipv4Addr, near: Ipv4Addr) -> Result<(), VipError> {
    let (mut socket, link) = link(address, near)?;
    let gone = socket.remove_address(link.index, Ipv4Net::new_assert(address, 32));
    gone.map_err(|source| VipError::Netlink { address, source })
}

/// Tells everybody on the segment of `near` that `address` is at this host (RFC 5227 §3), by a
/// request and a reply, since some listen to one of them only.
///
/// # Errors
/// No Ethernet link has `near`, or the kernel refuses.
pub fn announce(address: Ipv4Addr, near: Ipv4Addr) -> Result<(), VipError> {
    let (_, link) = link(address, near)?;
    let mac = <[u8; MAC]>::try_from(link.mac.as_slice());
    let mac = mac.map_err(|_| VipError::NoLink { address, near })?;
    let index = i32::try_from(link.index).map_err(|_| VipError::NoLink { address, near })?;
    for operation in [1, 2] {
        send(index, &frame(address, mac, operation))
            .map_err(|source| VipError::Announce { address, source })?;
    }
    Ok(())
}

fn link(address: Ipv4Addr, near: Ipv4Addr) -> Result<(RouteSocket, Link), VipError> {
    let failed = |source| VipError::Netlink { address, source };
    let mut socket = RouteSocket::open().map_err(failed)?;
    let addresses = socket.addresses().map_err(failed)?;
    let index = addresses.into_iter().find(|(_, net)| net.addr() == near).map(|(index, _)| index);
    let links = socket.links().map_err(failed)?;
    let link = links.into_iter().find(|link| Some(link.index) == index);
    Ok((socket, link.ok_or(VipError::NoLink { address, near })?))
}

/// A gratuitous ARP packet: sender and target are the address itself.
fn frame(address: Ipv4Addr, mac: [u8; MAC], operation: u16) -> [u8; FRAME] {
    let all = [0xff; MAC];
    let protocol = u16::try_from(libc::ETH_P_IP).unwrap_or_default();
    let arp = u16::try_from(libc::ETH_P_ARP).unwrap_or_default();
    let target = if operation == 1 { [0; MAC] } else { all };
    let mut bytes = Vec::with_capacity(FRAME);
    bytes.extend(all);
    bytes.extend(mac);
    bytes.extend(arp.to_be_bytes());
    bytes.extend(ETHERNET.to_be_bytes());
    bytes.extend(protocol.to_be_bytes());
    bytes.extend([6, 4]);
    bytes.extend(operation.to_be_bytes());
    bytes.extend(mac);
    bytes.extend(address.octets());
    bytes.extend(target);
    bytes.extend(address.octets());
    bytes.try_into().expect("the parts above are 42 bytes")
}

fn send(index: i32, frame: &[u8]) -> io::Result<()> {
    let protocol = u16::try_from(libc::ETH_P_ARP).unwrap_or_default().to_be();
    // SAFETY: takes no pointers; the result is checked before it is used.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just opened and belongs to nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: the structure is plain numbers, for which zero is valid.
    let mut to: libc::sockaddr_ll = unsafe { mem::zeroed() };
    to.sll_family = libc::AF_PACKET.try_into().unwrap_or_default();
    to.sll_protocol = protocol;
    to.sll_ifindex = index;
    to.sll_halen = MAC.try_into().unwrap_or_default();
    to.sll_addr[..MAC].fill(0xff);
    let length = size_of::<libc::sockaddr_ll>().try_into().unwrap_or_default();
    // SAFETY: both pointers lead to live values of the lengths given with them.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            frame.as_ptr().cast(),
            frame.len(),
            0,
            (&raw const to).cast(),
            length,
        )
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
