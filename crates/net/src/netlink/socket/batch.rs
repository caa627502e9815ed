//! Transactions of netfilter: requests between a begin and an end take effect together or not at
//! all (linux/netfilter/nfnetlink.h).

use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};
use netlink_sys::SocketAddr;
use rustix::net::sockopt;

use super::{Answer, Datagram, NetlinkError, Request, Socket, failed, read, sequence, write};

/// linux/netfilter/nfnetlink.h: NFNL_SUBSYS_NFTABLES, whose transaction it is.
const NFTABLES: u16 = 10;
/// What the kernel keeps of a send buffer for itself, amply.
const OVERHEAD: usize = 4096;

impl Socket {
    /// Has the packet filter carry out all requests as one transaction. An error means that
    /// nothing has changed; the first refusal is told, with what `doing` says of that request.
    pub(crate) fn transact(
        &mut self,
        requests: Vec<Request<NetfilterMessage>>,
        doing: impl Fn(usize) -> String,
    ) -> Result<(), NetlinkError> {
        let count = requests.len();
        let first = self.send_batch(requests)?;
        let mut waiting = count;
        let mut refused = None;
        while waiting > 0 {
            self.receive()?;
            for bytes in Datagram(&self.buffer) {
                let index = sequence(bytes).wrapping_sub(first) as usize;
                let Answer::End(verdict) = read::<NetfilterMessage>(bytes) else { continue };
                match index {
                    // The batch as a whole; what belongs to its requests may never be answered.
                    0 => verdict.check("changing the packet filter", &[])?,
                    index if index <= count => {
                        waiting = waiting.saturating_sub(1);
                        let verdict = verdict.check(&doing(index - 1), &[]);
                        refused = refused.or(verdict.err());
                    }
                    _ => {}
                }
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// Sends begin, requests and end in one datagram; gives the sequence number of the begin.
    fn send_batch(
        &mut self,
        requests: Vec<Request<NetfilterMessage>>,
    ) -> Result<u32, NetlinkError> {
        let first = self.sequence;
        let mut datagram = Vec::new();
        let mut add = |request, flags| {
            write(&mut datagram, request, self.sequence, flags);
            self.sequence = self.sequence.wrapping_add(1);
        };
        // Kernels differ in whether begin and end are acknowledged, so nobody asks for it.
        add(control(ControlMessage::BatchBegin), NLM_F_REQUEST);
        requests.into_iter().for_each(|request| add(request, NLM_F_REQUEST | NLM_F_ACK));
        add(control(ControlMessage::BatchEnd), NLM_F_REQUEST);
        let room = datagram.len().saturating_add(OVERHEAD);
        if sockopt::socket_send_buffer_size(&self.inner).is_ok_and(|size| size < room) {
            sockopt::set_socket_send_buffer_size_force(&self.inner, room)
                .map_err(|errno| failed("enlarging")(errno.into()))?;
        }
        self.inner.send_to(&datagram, &SocketAddr::new(0, 0), 0).map_err(failed("sending on"))?;
        Ok(first)
    }
}

fn control(message: ControlMessage) -> Request<NetfilterMessage> {
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, NFTABLES);
    Request::new(NetfilterMessage::new(header, NetfilterMessageInner::None(message)), 0)
}
