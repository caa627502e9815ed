//! Encoding and decoding of netlink messages: a header, a fixed body, then attributes as
//! length-type-value, all aligned to four bytes, in the machine's byte order
//! (linux/netlink.h; RFC 3549 §2). Pure; reads hostile bytes without panicking.

const HEADER: usize = 16;
/// Attribute type bits that flag nesting and byte order (linux/netlink.h, NLA_TYPE_MASK).
const KIND_MASK: u16 = 0x3fff;
const NESTED: u16 = 0x8000;

/// A request under construction.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    bytes: Vec<u8>,
}

impl Request {
    /// A request of `kind` with the family's fixed `body`; `flags` beyond REQUEST and ACK.
    pub(crate) fn new(kind: u16, flags: u16, body: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&0_u32.to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(body);
        let mut request = Self { bytes };
        request.pad();
        request
    }

    /// Adds an attribute; `payload` is at most 64 KiB by the format and far less by every caller.
    pub(crate) fn attribute(mut self, kind: u16, payload: &[u8]) -> Self {
        let length = u16::try_from(payload.len() + 4).expect("attributes here are below 64 KiB");
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(payload);
        self.pad();
        self
    }

    /// Adds a 32-bit attribute in the machine's byte order.
    pub(crate) fn number(self, kind: u16, value: u32) -> Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// Adds a text attribute, zero-terminated.
    pub(crate) fn text(self, kind: u16, value: &str) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes)
    }

    /// Adds an attribute whose payload is `body` (may be empty) followed by what `fill` adds.
    pub(crate) fn nest(mut self, kind: u16, body: &[u8], fill: impl FnOnce(Self) -> Self) -> Self {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&0_u16.to_ne_bytes());
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        self.bytes.extend_from_slice(body);
        self.pad();
        let mut filled = fill(self);
        let length = u16::try_from(filled.bytes.len() - start).expect("below 64 KiB");
        filled.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        filled
    }

    /// The finished bytes under `sequence` and with `flags` added.
    pub(crate) fn finish(mut self, sequence: u32, flags: u16) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).expect("requests here are below 4 GiB");
        self.bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        let all = read_u16(&self.bytes[6..]).unwrap_or(0) | flags;
        self.bytes[6..8].copy_from_slice(&all.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }

    fn pad(&mut self) {
        self.bytes.resize(aligned(self.bytes.len()), 0);
    }
}

/// One received message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) body: &'a [u8],
}

/// The messages of one datagram; stops at the first that is malformed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Messages<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let length = usize::try_from(read_u32(self.0)?).ok()?;
        let message = self.0.get(..length).filter(|message| message.len() >= HEADER)?;
        self.0 = self.0.get(aligned(length)..).unwrap_or_default();
        Some(Message {
            kind: read_u16(&message[4..])?,
            flags: read_u16(&message[6..])?,
            sequence: read_u32(&message[8..])?,
            body: &message[HEADER..],
        })
    }
}

/// The attributes in a payload, as kind and value; stops at the first that is malformed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

impl<'a> Attributes<'a> {
    /// The attributes that follow a fixed body of `body` bytes.
    pub(crate) fn after(payload: &'a [u8], body: usize) -> Self {
        Self(payload.get(aligned(body)..).unwrap_or_default())
    }

    /// The value of the first attribute of `kind`.
    pub(crate) fn find(mut self, kind: u16) -> Option<&'a [u8]> {
        Iterator::find(&mut self, |(found, _)| *found == kind).map(|(_, value)| value)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let length = usize::from(read_u16(self.0)?);
        let kind = read_u16(self.0.get(2..)?)? & KIND_MASK;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(aligned(length)..).unwrap_or_default();
        Some((kind, value))
    }
}

/// The first two bytes as a number.
pub(crate) fn read_u16(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?))
}

/// The first four bytes as a number.
pub(crate) fn read_u32(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?))
}

/// A zero-terminated text attribute.
pub(crate) fn read_text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            kind in 0_u16..0x3fff,
            values in prop::collection::vec(
                (0_u16..0x3fff, prop::collection::vec(any::<u8>(), 0..40)), 0..6),
            sequence in any::<u32>(),
        ) {
            let mut request = Request::new(kind, 0x100, &[1, 2, 3]);
            request = request.nest(7, &[9, 9], |mut inner| {
                for (kind, value) in &values {
                    inner = inner.attribute(*kind, value);
                }
                inner
            });
            let mut bytes = request.clone().finish(sequence, 5);
            bytes.extend(request.finish(sequence, 5));
            let read: Vec<_> = Messages(&bytes).collect();
            prop_assert_eq!(read.len(), 2);
            prop_assert_eq!(read[0], read[1]);
            prop_assert_eq!((read[0].kind, read[0].flags), (kind, 0x105));
            prop_assert_eq!(read[0].sequence, sequence);
            let nested = Attributes::after(read[0].body, 3).find(7).unwrap();
            let inner: Vec<_> =
                Attributes::after(nested, 2).map(|(kind, value)| (kind, value.to_vec())).collect();
            prop_assert_eq!(inner, values);
        }

        #[test]
        fn hostile_bytes_end_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let messages = Messages(&bytes).count();
            prop_assert!(messages <= bytes.len() / HEADER);
            prop_assert!(Attributes(&bytes).count() <= bytes.len() / 4);
        }
    }
}
