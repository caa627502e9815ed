//! Frames of the streams between agents and servers: a big-endian `u32` length, then JSON. The
//! length's top bit says that the JSON is compressed with zstd. Pure: bytes in, values out; who
//! reads and writes sockets is not known here.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::protocol::MAX_FRAME_BYTES;

/// The bit of the length that says zstd.
const COMPRESSED: u32 = 1 << 31;

/// JSON shorter than this is sent as it is: a heartbeat or a log line gains nothing, and below the
/// size of one segment (about 1,400 bytes) compression saves no packet.
const COMPRESS_FROM_BYTES: usize = 1400;

/// The level for zstd: 1 takes about 2 ms for a whole assignment of 512 KiB.
const LEVEL: i32 = 1;

/// Length of the head of a frame.
const HEAD_BYTES: usize = 4;

/// Why a value was not made into a frame, or bytes not into a value.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// A value is larger than a frame may be.
    #[error("frame of {0} bytes: at most {MAX_FRAME_BYTES} are allowed")]
    TooLarge(usize),
    /// The JSON does not fit the type, or the value cannot be JSON.
    #[error("read or write a frame's JSON")]
    Json(#[from] serde_json::Error),
    /// Compression or decompression failed.
    #[error("compress or decompress a frame")]
    Zstd(#[source] std::io::Error),
    /// The stream ended inside a frame.
    #[error("read a frame: the stream ended {0} bytes into it")]
    Truncated(usize),
}

/// Makes a frame of a value.
///
/// # Errors
/// The value is no JSON or larger than [`MAX_FRAME_BYTES`].
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, FrameError> {
    let json = serde_json::to_vec(value)?;
    if json.len() > MAX_FRAME_BYTES {
        return Err(FrameError::TooLarge(json.len()));
    }
    if json.len() >= COMPRESS_FROM_BYTES {
        let packed = zstd::bulk::compress(&json, LEVEL).map_err(FrameError::Zstd)?;
        if packed.len() < json.len() {
            return Ok(joined(&packed, COMPRESSED));
        }
    }
    Ok(joined(&json, 0))
}

fn joined(body: &[u8], flag: u32) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("a frame is at most 8 MiB");
    let mut frame = Vec::with_capacity(HEAD_BYTES + body.len());
    frame.extend_from_slice(&(length | flag).to_be_bytes());
    frame.extend_from_slice(body);
    frame
}

/// Takes bytes as they come and gives values as they are complete. Holds at most one frame and what
/// was last pushed: take all values with [`Decoder::next`] after every push.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    start: usize,
}

impl Decoder {
    /// A decoder at the begin of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next value when all its bytes are there.
    ///
    /// # Errors
    /// The frame is larger than [`MAX_FRAME_BYTES`], also once decompressed, damaged or of another
    /// type. The stream is to be given up except after [`FrameError::Json`], which skips the frame.
    #[expect(clippy::should_implement_trait, reason = "the type of each value is chosen by call")]
    pub fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let rest = &self.bytes[self.start..];
        let Some((head, rest)) = rest.split_first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let head = u32::from_be_bytes(*head);
        let length = (head & !COMPRESSED) as usize;
        if length > MAX_FRAME_BYTES {
            return Err(FrameError::TooLarge(length));
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        self.start += HEAD_BYTES + length;
        if head & COMPRESSED == 0 {
            return Ok(Some(serde_json::from_slice(body)?));
        }
        Ok(Some(serde_json::from_slice(&unpacked(body)?)?))
    }

    /// To be called when the stream has ended: whether it ended between frames.
    ///
    /// # Errors
    /// [`FrameError::Truncated`].
    pub fn finish(&self) -> Result<(), FrameError> {
        match self.bytes.len() - self.start {
            0 => Ok(()),
            left => Err(FrameError::Truncated(left)),
        }
    }
}

/// Decompresses at most [`MAX_FRAME_BYTES`], whatever the data claims.
fn unpacked(body: &[u8]) -> Result<Vec<u8>, FrameError> {
    use std::io::Read as _;
    let limit = MAX_FRAME_BYTES as u64 + 1;
    let decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(FrameError::Zstd)?;
    let mut json = Vec::new();
    decoder.take(limit).read_to_end(&mut json).map_err(FrameError::Zstd)?;
    if json.len() > MAX_FRAME_BYTES {
        return Err(FrameError::TooLarge(json.len()));
    }
    Ok(json)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn values_survive_any_cutting(
            values in prop::collection::vec(prop::collection::vec(any::<u16>(), 0..2000), 0..6),
            cuts in prop::collection::vec(1usize..700, 1..40),
        ) {
            let mut bytes = Vec::new();
            for value in &values {
                bytes.extend(encode(value).unwrap());
            }
            let mut decoder = Decoder::new();
            let (mut seen, mut at, mut cut) = (Vec::new(), 0, cuts.iter().cycle());
            while at < bytes.len() {
                let end = (at + cut.next().unwrap()).min(bytes.len());
                decoder.push(&bytes[at..end]);
                at = end;
                while let Some(value) = decoder.next::<Vec<u16>>().unwrap() {
                    seen.push(value);
                }
            }
            prop_assert_eq!(seen, values);
            prop_assert!(decoder.finish().is_ok());
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = Decoder::new();
            decoder.push(&bytes);
            while let Ok(Some(_)) = decoder.next::<serde_json::Value>() {}
        }
    }

    #[test]
    fn what_is_too_large_is_refused_on_both_sides() {
        let large = "x".repeat(MAX_FRAME_BYTES);
        assert!(matches!(encode(&large), Err(FrameError::TooLarge(_))));
        let mut decoder = Decoder::new();
        decoder.push(&(MAX_FRAME_BYTES as u32 + 1).to_be_bytes());
        assert!(matches!(decoder.next::<u8>(), Err(FrameError::TooLarge(_))));
        let bomb = zstd::bulk::compress(&vec![b' '; 64 << 20], 1).unwrap();
        let mut decoder = Decoder::new();
        decoder.push(&joined(&bomb, COMPRESSED));
        assert!(matches!(decoder.next::<u8>(), Err(FrameError::TooLarge(_))));
    }

    #[test]
    fn an_end_inside_a_frame_is_told() {
        let frame = encode(&"heartbeat").unwrap();
        let mut decoder = Decoder::new();
        decoder.push(&frame[..frame.len() - 1]);
        assert!(decoder.next::<String>().unwrap().is_none());
        assert!(matches!(decoder.finish(), Err(FrameError::Truncated(_))));
    }

    #[test]
    fn large_values_travel_compressed() {
        let frame = encode(&"a".repeat(100_000)).unwrap();
        assert!(frame.len() < 1000, "{}", frame.len());
        assert_eq!(frame[0] & 0x80, 0x80);
    }
}
