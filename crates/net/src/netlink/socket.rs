//! A blocking conversation with the kernel: batches of requests out, all their answers in.
//!
//! A socket belongs to the network namespace in which it was opened and keeps working on it
//! whatever namespace its thread enters later. It knows framing and acknowledgements, no family's
//! messages.

use std::io;
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_ALIGNTO,
    NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable, NlasIterator, parse_string,
};
use netlink_sys::SocketAddr;
use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use rustix::net::sockopt;
use thiserror::Error;

/// One datagram of a dump is at most 32 KiB (linux/netlink.h, NLMSG_GOODSIZE and its users).
const BUFFER: usize = 64 * 1024;
/// The kernel answers within microseconds; ten seconds only keep a lost answer from hanging a
/// caller.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// A dump is repeated when the listed thing changed meanwhile; the last try is taken as it is.
const DUMP_TRIES: usize = 8;
/// linux/netlink.h: NLMSGERR_ATTR_MSG.
const EXPLANATION: u16 = 1;
/// An error repeats the header of its request before the attributes.
const REPEATED_HEADER: usize = 16;

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
    /// Connection tracking and packet filter.
    Netfilter,
}

/// What a family's messages can do.
pub(crate) trait Message: NetlinkSerializable + NetlinkDeserializable {}

impl<M: NetlinkSerializable + NetlinkDeserializable> Message for M {}

/// A message to the kernel.
#[derive(Debug, Clone)]
pub(crate) struct Request<M> {
    message: M,
    flags: u16,
}

impl<M> Request<M> {
    /// A request with `flags` beyond those every request has.
    pub(crate) fn new(message: M, flags: u16) -> Self {
        Self { message, flags }
    }
}

/// The kernel's verdict on one request of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
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

    /// What follows from an answer that cannot be read.
    fn unreadable(explanation: String) -> Self {
        Self { errno: libc::EBADMSG, explanation: Some(explanation) }
    }
}

/// A netlink socket.
#[derive(Debug)]
pub(crate) struct Socket {
    inner: netlink_sys::Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    pub(crate) fn open(family: Family) -> Result<Self, NetlinkError> {
        let protocol = match family {
            Family::Route => NETLINK_ROUTE,
            Family::Netfilter => NETLINK_NETFILTER,
        };
        let mut inner = netlink_sys::Socket::new(protocol).map_err(failed("opening"))?;
        inner.bind(&SocketAddr::new(0, 0)).map_err(failed("binding"))?;
        inner.set_ext_ack(true).map_err(failed("setting an option on"))?;
        inner.set_cap_ack(true).map_err(failed("setting an option on"))?;
        sockopt::set_socket_timeout(&inner, sockopt::Timeout::Recv, Some(ANSWER_WITHIN))
            .map_err(|errno| failed("setting a time-out on")(errno.into()))?;
        Ok(Self { inner, sequence: 1, buffer: Vec::with_capacity(BUFFER) })
    }

    /// Sends all requests in one datagram and waits for each one's verdict. `visit` sees every
    /// reply with the index of its request. A refused request does not keep the later ones from
    /// running; one whose reply cannot be read counts as refused.
    pub(crate) fn exchange<M: Message>(
        &mut self,
        requests: Vec<Request<M>>,
        mut visit: impl FnMut(usize, M),
    ) -> Result<Vec<Verdict>, NetlinkError> {
        let mut verdicts: Vec<Option<Verdict>> = vec![None; requests.len()];
        let mut unreadable: Vec<Option<Verdict>> = vec![None; requests.len()];
        let first = self.send(requests, NLM_F_REQUEST | NLM_F_ACK)?;
        while verdicts.iter().any(Option::is_none) {
            self.receive()?;
            for bytes in Datagram(&self.buffer) {
                let index = sequence(bytes).wrapping_sub(first) as usize;
                let Some(slot) = verdicts.get_mut(index) else { continue };
                match read(bytes) {
                    Answer::Object(message) => visit(index, message),
                    Answer::Unreadable(why) => unreadable[index] = Some(Verdict::unreadable(why)),
                    Answer::End(verdict) => {
                        let unreadable = unreadable[index].take();
                        *slot = Some(unreadable.filter(|_| verdict.errno == 0).unwrap_or(verdict));
                    }
                    Answer::Nothing => {}
                }
            }
        }
        Ok(verdicts.into_iter().flatten().collect())
    }

    /// Lists: sends one dump request and shows every object to `visit`, but those that cannot be
    /// read: what other programs have made must not stop us. When the listed thing changed
    /// meanwhile the dump starts again, so `visit` may see an object twice; `restart` is called
    /// then.
    pub(crate) fn dump<M: Message + Clone>(
        &mut self,
        doing: &str,
        request: &Request<M>,
        mut restart: impl FnMut(),
        mut visit: impl FnMut(M),
    ) -> Result<(), NetlinkError> {
        for attempt in 1..=DUMP_TRIES {
            let first = self.send(vec![request.clone()], NLM_F_REQUEST | NLM_F_DUMP)?;
            let mut interrupted = false;
            let verdict = 'answers: loop {
                self.receive()?;
                for bytes in Datagram(&self.buffer) {
                    if sequence(bytes) != first {
                        continue;
                    }
                    interrupted |= NetlinkBuffer::new(bytes).flags() & NLM_F_DUMP_INTR != 0;
                    match read(bytes) {
                        Answer::Object(message) => visit(message),
                        Answer::Unreadable(error) => {
                            tracing::warn!(doing, error, "leaving out what cannot be read");
                        }
                        Answer::End(verdict) => break 'answers verdict,
                        Answer::Nothing => {}
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

    /// Sends requests in one datagram and gives the sequence number of the first.
    fn send<M: Message>(
        &mut self,
        requests: Vec<Request<M>>,
        flags: u16,
    ) -> Result<u32, NetlinkError> {
        let first = self.sequence;
        let mut datagram = Vec::new();
        for request in requests {
            write(&mut datagram, request, self.sequence, flags);
            self.sequence = self.sequence.wrapping_add(1);
        }
        let kernel = SocketAddr::new(0, 0);
        self.inner.send_to(&datagram, &kernel, 0).map_err(failed("sending on"))?;
        Ok(first)
    }

    fn receive(&mut self) -> Result<(), NetlinkError> {
        let length = loop {
            self.buffer.clear();
            match self.inner.recv(&mut self.buffer, libc::MSG_TRUNC) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result.map_err(failed("receiving on"))?,
            }
        };
        if length > self.buffer.len() {
            return Err(NetlinkError::Malformed { doing: "receiving a datagram".into() });
        }
        Ok(())
    }
}

/// The messages of one datagram; stops at the first whose length is wrong.
struct Datagram<'a>(&'a [u8]);

impl<'a> Iterator for Datagram<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(NetlinkBuffer::new_checked(self.0).ok()?.length()).ok()?;
        let message = self.0.get(..length)?;
        self.0 = self.0.get(aligned(length)..).unwrap_or_default();
        Some(message)
    }
}

/// What a message from the kernel is to its request.
#[derive(Debug, PartialEq, Eq)]
enum Answer<M> {
    /// One thing asked for.
    Object(M),
    /// The last answer: an error (0 = acknowledged) or "done".
    End(Verdict),
    /// One thing asked for, which is told in a way nobody here understands, and why.
    Unreadable(String),
    /// Filling.
    Nothing,
}

/// Reads one whole message of a [`Datagram`].
fn read<M: Message>(bytes: &[u8]) -> Answer<M> {
    let message = match NetlinkMessage::<M>::deserialize(bytes) {
        Ok(message) => message,
        Err(error) => {
            return match NetlinkBuffer::new(bytes).message_type() {
                NLMSG_ERROR | NLMSG_DONE => Answer::End(Verdict::unreadable(error.to_string())),
                _ => Answer::Unreadable(error.to_string()),
            };
        }
    };
    let (code, attributes) = match &message.payload {
        NetlinkPayload::Error(error) => (error.raw_code(), error.header.get(REPEATED_HEADER..)),
        NetlinkPayload::Done(done) => (done.code, Some(&done.extended_ack[..])),
        _ => {
            return match message.payload {
                NetlinkPayload::InnerMessage(message) => Answer::Object(message),
                _ => Answer::Nothing,
            };
        }
    };
    let attributes = attributes.filter(|_| message.header.flags & NLM_F_ACK_TLVS != 0);
    Answer::End(Verdict {
        errno: code.wrapping_neg(),
        explanation: attributes.and_then(explanation),
    })
}

/// The kernel's words among the attributes of a verdict, which the packet library leaves as bytes.
fn explanation(attributes: &[u8]) -> Option<String> {
    let mut attributes = NlasIterator::new(attributes).flatten();
    let found = attributes.find(|attribute| attribute.kind() == EXPLANATION)?;
    parse_string(found.value()).ok()
}

fn sequence(bytes: &[u8]) -> u32 {
    NetlinkBuffer::new(bytes).sequence_number()
}

fn write<M: Message>(datagram: &mut Vec<u8>, request: Request<M>, sequence: u32, flags: u16) {
    let mut header = NetlinkHeader::default();
    header.flags = request.flags | flags;
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(request.message));
    message.finalize();
    let start = datagram.len();
    let length = message.buffer_len();
    datagram.resize(start + aligned(length), 0);
    message.serialize(&mut datagram[start..start + length]);
}

fn aligned(length: usize) -> usize {
    length.saturating_add(usize::from(NLMSG_ALIGNTO) - 1) & !(usize::from(NLMSG_ALIGNTO) - 1)
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> NetlinkError {
    move |source| NetlinkError::Socket { doing, source }
}

mod batch;

#[cfg(test)]
mod tests;
