//! Packet sockets: whole frames as they enter a port of the bridge, and frames put on the bridge.
//! With each frame goes what the kernel has yet to do to it (its checksum, mostly), so that nothing
//! is lost on the way through this process.
#![expect(unsafe_code, reason = "sockets of this family have no safe form")]

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

/// linux/if_packet.h: PACKET_VNET_HDR and PACKET_IGNORE_OUTGOING.
const OPTIONS: [libc::c_int; 2] = [15, 23];

/// Bytes of the header before each frame: linux/virtio_net.h, `struct virtio_net_hdr`.
pub(crate) const HEADER: usize = 10;

/// Bytes of a hardware address.
pub(crate) const MAC: usize = 6;

/// The longest frame, with its header: one that the kernel has not cut up yet.
pub(crate) const LONGEST: usize = HEADER + 14 + 65_536;

/// What the kernel may keep for this process: 30 ms of 1 Gbit/s.
const BUFFER: libc::c_int = 4 << 20;

/// All frames of one link.
#[derive(Debug)]
pub(crate) struct PacketSocket(OwnedFd);

impl PacketSocket {
    /// Opens it on the link with that number. It never blocks.
    pub(crate) fn open(index: u32) -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: takes no pointers; the result is checked before it is used.
        let fd = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just opened and belongs to nobody else.
        let socket = Self(unsafe { OwnedFd::from_raw_fd(fd) });
        for option in OPTIONS {
            socket.set(libc::SOL_PACKET, option, 1)?;
        }
        for option in [libc::SO_RCVBUFFORCE, libc::SO_SNDBUFFORCE] {
            // More is better and not needed.
            let _ = socket.set(libc::SOL_SOCKET, option, BUFFER);
        }
        // SAFETY: the structure is plain numbers, for which zero is valid.
        let mut at: libc::sockaddr_ll = unsafe { mem::zeroed() };
        at.sll_family = libc::AF_PACKET.try_into().unwrap_or_default();
        at.sll_protocol = u16::try_from(libc::ETH_P_ALL).unwrap_or_default().to_be();
        at.sll_ifindex = index.cast_signed();
        let length = size_of::<libc::sockaddr_ll>().try_into().unwrap_or_default();
        // SAFETY: the pointer leads to a live value of the length given with it.
        let bound = unsafe { libc::bind(fd, (&raw const at).cast(), length) };
        if bound < 0 { Err(io::Error::last_os_error()) } else { Ok(socket) }
    }

    fn set(&self, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
        let length = size_of::<libc::c_int>().try_into().unwrap_or_default();
        let at = (&raw const value).cast();
        // SAFETY: the pointer leads to a live value of the length given with it.
        let set = unsafe { libc::setsockopt(self.0.as_raw_fd(), level, option, at, length) };
        if set < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Waits until one of them has a frame, or so long.
    pub(crate) fn wait<'a>(all: impl Iterator<Item = &'a Self>, wait: Duration) -> io::Result<()> {
        let of =
            |it: &Self| libc::pollfd { fd: it.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let mut all: Vec<libc::pollfd> = all.map(of).collect();
        let wait = libc::timespec {
            tv_sec: wait.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: wait.subsec_nanos().into(),
        };
        let count = all.len().try_into().unwrap_or_default();
        // SAFETY: the pointers lead to live values, the first to as many as are given with it.
        let woken = unsafe { libc::ppoll(all.as_mut_ptr(), count, &raw const wait, ptr::null()) };
        match woken {
            0.. => Ok(()),
            _ => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
                error => Err(error),
            },
        }
    }

    /// The next frame with its header, if one has come; its length.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = rustix::io::read(&self.0, buffer)?;
        Ok(read)
    }

    /// Sends a frame with its header.
    pub(crate) fn send(&self, frame: &[u8]) -> io::Result<()> {
        rustix::io::write(&self.0, frame)?;
        Ok(())
    }
}
