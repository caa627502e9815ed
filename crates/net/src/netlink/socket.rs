#![expect(unsafe_code, reason = "two netlink socket options have no safe wrapper")]
//! A blocking netlink socket: batches of requests out, all their answers in.
//!
//! A socket belongs to the network namespace in which it was opened and keeps working on it
//! whatever namespace its thread enters later. It knows framing and acknowledgements, no family's
//! messages.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, sockopt};
use thiserror::Error;

use super::message::{Attributes, Message, Messages, Request, read_text, read_u32};

/// One datagram of a dump is at most 32 KiB (linux/netlink.h, NLMSG_GOODSIZE and its users).
const BUFFER: usize = 64 * 1024;
/// The kernel answers within microseconds; ten seconds only keep a lost answer from hanging a
/// caller.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// A dump is repeated when the listed thing changed meanwhile; the last try is taken as it is.
const DUMP_TRIES: usize = 8;

/// Talking to the kernel over netlink failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NetlinkError {
    /// A system call on the socket failed.
    #[error("{doing} a netlink socket")]
    Socket {
        /// What was tried.
        doing: &'static str,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The kernel refused a request.
    #[error("{doing}{}", detail(.explanation))]
    Refused {
        /// What was asked for.
        doing: String,
        /// The kernel's own words, where it has any.
        explanation: Option<String>,
        /// The error number.
        #[source]
        source: io::Error,
    },
    /// The kernel's answer was cut off or did not contain what it must.
    #[error("reading the kernel's answer while {doing}")]
    Malformed {
        /// What was asked for.
        doing: String,
    },
}

impl NetlinkError {
    /// The kernel's error number, when it refused.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused { source, .. } | Self::Socket { source, .. } => source.raw_os_error(),
            Self::Malformed { .. } => None,
        }
    }
}

fn detail(explanation: &Option<String>) -> String {
    explanation.as_ref().map(|text| format!(" ({text})")).unwrap_or_default()
}

/// The netlink families in use.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Family {
    /// Links, addresses and routes.
    Route,
    /// Connection tracking.
    Netfilter,
}

/// The kernel's verdict on one request of a batch.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    /// 0 or a positive error number.
    pub(crate) errno: i32,
    pub(crate) explanation: Option<String>,
}

impl Verdict {
    /// An error that names the request, unless the kernel agreed or answered with one of `fine`.
    pub(crate) fn check(&self, doing: &str, fine: &[i32]) -> Result<(), NetlinkError> {
        if self.errno == 0 || fine.contains(&self.errno) {
            return Ok(());
        }
        Err(NetlinkError::Refused {
            doing: doing.to_owned(),
            explanation: self.explanation.clone(),
            source: io::Error::from_raw_os_error(self.errno),
        })
    }
}

/// A netlink socket.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    pub(crate) fn open(family: Family) -> Result<Self, NetlinkError> {
        let protocol = match family {
            Family::Route => None,
            Family::Netfilter => Some(netlink::NETFILTER),
        };
        let fd = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )
        .map_err(failed("opening"))?;
        rustix::net::bind(&fd, &netlink::SocketAddrNetlink::new(0, 0))
            .map_err(failed("binding"))?;
        sockopt::set_socket_timeout(&fd, sockopt::Timeout::Recv, Some(ANSWER_WITHIN))
            .map_err(failed("setting a time-out on"))?;
        set_flag(&fd, libc::NETLINK_EXT_ACK)?;
        set_flag(&fd, libc::NETLINK_CAP_ACK)?;
        Ok(Self { fd, sequence: 1, buffer: vec![0; BUFFER] })
    }

    /// Sends all requests in one datagram and waits for each one's verdict. `visit` sees every
    /// reply with the index of its request. A refused request does not keep the later ones from
    /// running.
    pub(crate) fn exchange(
        &mut self,
        requests: Vec<Request>,
        mut visit: impl FnMut(usize, Message<'_>),
    ) -> Result<Vec<Verdict>, NetlinkError> {
        let count = requests.len();
        let flags = flag(libc::NLM_F_REQUEST) | flag(libc::NLM_F_ACK);
        let (first, bytes) = self.number(requests, flags);
        self.send(&bytes)?;
        let mut verdicts: Vec<Option<Verdict>> = vec![None; count];
        while verdicts.iter().any(Option::is_none) {
            let length = self.receive()?;
            for message in Messages(&self.buffer[..length]) {
                let index = message.sequence.wrapping_sub(first) as usize;
                let Some(slot) = verdicts.get_mut(index) else { continue };
                match end_of(&message) {
                    Some(verdict) => *slot = Some(verdict),
                    None => visit(index, message),
                }
            }
        }
        Ok(verdicts.into_iter().flatten().collect())
    }

    /// Lists: sends one dump request and shows every object to `visit`. When the listed thing
    /// changed meanwhile the dump starts again, so `visit` may see an object twice; `restart` is
    /// called then.
    pub(crate) fn dump(
        &mut self,
        doing: &str,
        request: &Request,
        mut restart: impl FnMut(),
        mut visit: impl FnMut(Message<'_>),
    ) -> Result<(), NetlinkError> {
        let flags = flag(libc::NLM_F_REQUEST) | flag(libc::NLM_F_DUMP);
        for attempt in 1..=DUMP_TRIES {
            let (first, bytes) = self.number(vec![request.clone()], flags);
            self.send(&bytes)?;
            let mut interrupted = false;
            let verdict = 'answers: loop {
                let length = self.receive()?;
                for message in Messages(&self.buffer[..length]) {
                    if message.sequence != first {
                        continue;
                    }
                    interrupted |= message.flags & flag(libc::NLM_F_DUMP_INTR) != 0;
                    match end_of(&message) {
                        Some(verdict) => break 'answers verdict,
                        None => visit(message),
                    }
                }
            };
            verdict.check(doing, &[])?;
            if !interrupted || attempt == DUMP_TRIES {
                break;
            }
            restart();
        }
        Ok(())
    }

    fn number(&mut self, requests: Vec<Request>, flags: u16) -> (u32, Vec<u8>) {
        let first = self.sequence;
        let mut bytes = Vec::new();
        for request in requests {
            bytes.extend(request.finish(self.sequence, flags));
            self.sequence = self.sequence.wrapping_add(1);
        }
        (first, bytes)
    }

    fn send(&self, bytes: &[u8]) -> Result<(), NetlinkError> {
        let kernel = netlink::SocketAddrNetlink::new(0, 0);
        rustix::net::sendto(&self.fd, bytes, SendFlags::empty(), &kernel)
            .map(drop)
            .map_err(failed("sending on"))
    }

    fn receive(&mut self) -> Result<usize, NetlinkError> {
        let received = rustix::io::retry_on_intr(|| {
            rustix::net::recv(&self.fd, &mut self.buffer[..], RecvFlags::TRUNC)
        });
        let (_, length) = received.map_err(failed("receiving on"))?;
        if length > self.buffer.len() {
            return Err(NetlinkError::Malformed { doing: "receiving a datagram".into() });
        }
        Ok(length)
    }
}

/// The verdict a message carries, if it ends a request: an error (0 = acknowledged) or "done".
fn end_of(message: &Message<'_>) -> Option<Verdict> {
    let kind = i32::from(message.kind);
    if kind != libc::NLMSG_ERROR && kind != libc::NLMSG_DONE {
        return None;
    }
    let errno =
        read_u32(message.body).map_or(libc::EBADMSG, |code| code.cast_signed().wrapping_neg());
    // After the code an error repeats the request's header (16 bytes); "done" has no such copy.
    let before = if kind == libc::NLMSG_ERROR { 20 } else { 4 };
    let explanation = (message.flags & flag(libc::NLM_F_ACK_TLVS) != 0)
        .then(|| Attributes::after(message.body, before).find(EXPLANATION).map(read_text))
        .flatten();
    Some(Verdict { errno, explanation })
}

/// linux/netlink.h: NLMSGERR_ATTR_MSG.
const EXPLANATION: u16 = 1;

/// The header's flags are 16 bits wide; the constants are wider.
pub(super) fn flag(value: i32) -> u16 {
    u16::try_from(value).expect("netlink flags have 16 bits")
}

fn failed(doing: &'static str) -> impl Fn(rustix::io::Errno) -> NetlinkError {
    move |errno| NetlinkError::Socket { doing, source: errno.into() }
}

fn set_flag(fd: &OwnedFd, option: libc::c_int) -> Result<(), NetlinkError> {
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on)).expect("an int is small");
    // SAFETY: the descriptor is open, and the option's value is an int that outlives the call.
    let result = unsafe {
        libc::setsockopt(fd.as_raw_fd(), libc::SOL_NETLINK, option, (&raw const on).cast(), length)
    };
    if result == 0 {
        return Ok(());
    }
    Err(NetlinkError::Socket { doing: "setting an option on", source: io::Error::last_os_error() })
}
