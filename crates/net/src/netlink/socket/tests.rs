//! Framing: what is written is read, verdicts keep the kernel's words, and no bytes make it panic.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use proptest::prelude::*;

use super::*;

fn link(name: &str, mtu: u32) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.attributes = vec![LinkAttribute::IfName(name.into()), LinkAttribute::Mtu(mtu)];
    RouteNetlinkMessage::NewLink(message)
}

/// One message as the kernel frames it.
fn framed(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(16 + body.len()).unwrap().to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend(body);
    bytes
}

fn attribute(kind: u16, text: &[u8]) -> Vec<u8> {
    let mut bytes = u16::try_from(4 + text.len()).unwrap().to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(text);
    bytes.resize(aligned(bytes.len()), 0);
    bytes
}

fn verdict(bytes: &[u8]) -> Verdict {
    match read::<RouteNetlinkMessage>(bytes) {
        Answer::End(verdict) => verdict,
        other => panic!("{other:?}"),
    }
}

#[test]
fn verdicts_keep_the_kernels_words() {
    let refused = |errno: i32| [(-errno).to_ne_bytes().to_vec(), vec![7; 16]].concat();
    let words = [attribute(2, &[0; 4]), attribute(1, b"no such thing\0")].concat();
    let told = [refused(22), words.clone()].concat();
    let expected = |errno, text: Option<&str>| Verdict { errno, explanation: text.map(Into::into) };
    let with = expected(22, Some("no such thing"));
    assert_eq!(verdict(&framed(NLMSG_ERROR, NLM_F_ACK_TLVS, &told)), with);
    assert_eq!(verdict(&framed(NLMSG_ERROR, 0, &told)), expected(22, None));
    assert_eq!(verdict(&framed(NLMSG_ERROR, NLM_F_ACK_TLVS, &refused(1))), expected(1, None));
    assert_eq!(verdict(&framed(NLMSG_ERROR, 0, &refused(0))), expected(0, None));
    let done = [(-4_i32).to_ne_bytes().to_vec(), words].concat();
    let with = expected(4, Some("no such thing"));
    assert_eq!(verdict(&framed(NLMSG_DONE, NLM_F_ACK_TLVS, &done)), with);
    assert_eq!(verdict(&framed(NLMSG_DONE, 0, &[])), expected(0, None));
    // Cut off: an end all the same, or the caller would wait for it.
    assert_eq!(verdict(&framed(NLMSG_ERROR, 0, &[1, 2])).errno, libc::EBADMSG);
}

#[test]
fn what_cannot_be_read_says_why() {
    let bytes = framed(16, 0, &[0; 3]);
    assert!(matches!(read::<RouteNetlinkMessage>(&bytes), Answer::Unreadable(why)
        if why.contains("type 16")));
    assert_eq!(read::<RouteNetlinkMessage>(&framed(1, 0, &[])), Answer::Nothing);
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        links in prop::collection::vec(("[a-z0-9]{1,15}", any::<u32>()), 1..6),
        first in any::<u32>(),
    ) {
        let mut bytes = Vec::new();
        for (index, (name, mtu)) in (0..).zip(&links) {
            let request = Request::new(link(name, *mtu), 0x400);
            write(&mut bytes, request, first.wrapping_add(index), 5);
        }
        let messages: Vec<_> = Datagram(&bytes).collect();
        prop_assert_eq!(messages.len(), links.len());
        for ((index, (name, mtu)), message) in (0..).zip(&links).zip(messages) {
            prop_assert_eq!(sequence(message), first.wrapping_add(index));
            prop_assert_eq!(NetlinkBuffer::new(message).flags(), 0x405);
            prop_assert_eq!(read(message), Answer::Object(link(name, *mtu)));
        }
    }

    #[test]
    fn hostile_bytes_end_without_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        kind in prop::option::of(prop::sample::select(&[2_u16, 3, 16, 20, 24][..])),
    ) {
        // Whole messages of kinds that are asked for, filled with anything.
        if let (Some(kind), Ok(length)) = (kind, u32::try_from(bytes.len())) && length >= 16 {
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        }
        let mut count = 0;
        for message in Datagram(&bytes) {
            read::<RouteNetlinkMessage>(message);
            count += 1;
        }
        prop_assert!(count <= bytes.len() / 16);
        prop_assert!(kind.is_none() || bytes.len() < 16 || count == 1);
        explanation(&bytes);
    }
}
