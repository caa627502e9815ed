//! What is said on a shim's socket: frames of a 4-byte big-endian length and that much JSON.
//!
//! A shim of an older release keeps running after an upgrade, so this only ever grows: new requests
//! are new variants, new fields have defaults, and `Hello` tells who understands what.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::runtime::{BoottimeMs, Exit, Signal, Started};

/// What this code speaks. 1: the requests below.
pub const PROTOCOL_VERSION: u32 = 1;

/// Longest frame: the biggest reply is a status of about 1 KiB; 64 KiB leaves room to grow.
pub const MAX_FRAME: usize = 64 << 10;

/// Asked of a shim; each gets one reply, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// Says what the client speaks; answered by what the shim speaks.
    Hello {
        /// The client's version.
        version: u32,
    },
    /// Asks for [`ShimStatus`].
    Status,
    /// Sends one signal to the command.
    Signal {
        /// Which.
        signal: Signal,
    },
    /// Begins to stop.
    Stop {
        /// Time until SIGKILL.
        grace_ms: u64,
    },
    /// Answered when the container has ended, at once if it has.
    WaitExit,
    /// Moves the singleton's deadline forward.
    Renew {
        /// The new deadline.
        deadline: BoottimeMs,
    },
}

/// A shim's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "re", rename_all = "snake_case")]
pub enum Reply {
    /// What the shim speaks.
    Hello {
        /// The shim's version.
        version: u32,
    },
    /// Done.
    Ok,
    /// The state now.
    Status(ShimStatus),
    /// The container has ended.
    Exited(Exit),
    /// Not done, and why.
    Refused {
        /// Why.
        what: String,
    },
}

/// The state of a shim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShimStatus {
    /// Set once the command has been executed.
    pub started: Option<Started>,
    /// Log lines dropped so far.
    pub dropped_lines: u64,
    /// Number the next log line gets.
    pub next_log_seq: u64,
    /// A singleton's deadline.
    pub deadline: Option<BoottimeMs>,
}

/// Encodes one frame.
///
/// # Errors
/// The value does not fit [`MAX_FRAME`].
pub(crate) fn encode<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    let body = serde_json::to_vec(value)?;
    if body.len() > MAX_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "frame too long"));
    }
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend_from_slice(&body);
    Ok(frame)
}

/// Takes one frame off the front of a buffer, if it is whole.
///
/// # Errors
/// The length passes [`MAX_FRAME`] or the body is not such a value; the connection is beyond
/// repair.
pub(crate) fn decode<T: DeserializeOwned>(buffer: &mut Vec<u8>) -> io::Result<Option<T>> {
    let Some(head) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*head) as usize;
    if length > MAX_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "frame too long"));
    }
    let Some(body) = buffer.get(4..4 + length) else { return Ok(None) };
    let value = serde_json::from_slice(body)?;
    buffer.drain(..4 + length);
    Ok(Some(value))
}

/// Writes one frame to a blocking stream.
pub(crate) fn send<T: Serialize>(stream: &mut impl Write, value: &T) -> io::Result<()> {
    stream.write_all(&encode(value)?)?;
    stream.flush()
}

/// Reads one frame from a blocking stream.
pub(crate) fn receive<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<T> {
    let mut head = [0; 4];
    stream.read_exact(&mut head)?;
    let length = u32::from_be_bytes(head) as usize;
    if length > MAX_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "frame too long"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(serde_json::from_slice(&body)?)
}

#[cfg(test)]
mod tests {
    use super::{Reply, Request, decode, encode, receive};

    #[test]
    fn frames_come_apart_where_they_were_put_together() {
        let mut wire = encode(&Request::Status).unwrap();
        wire.extend(encode(&Request::Stop { grace_ms: 7 }).unwrap());
        let mut buffer = Vec::new();
        let mut seen = Vec::new();
        for byte in wire {
            buffer.push(byte);
            while let Some(request) = decode::<Request>(&mut buffer).unwrap() {
                seen.push(request);
            }
        }
        assert_eq!(seen, [Request::Status, Request::Stop { grace_ms: 7 }]);
        assert!(buffer.is_empty());
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        assert!(decode::<Request>(&mut vec![0xff; 8]).is_err());
        assert!(decode::<Request>(&mut b"\0\0\0\x02{}".to_vec()).is_err());
        assert!(receive::<Reply>(&mut &b"\xff\xff\xff\xff"[..]).is_err());
        assert!(receive::<Reply>(&mut &b"\0\0\0\x09{"[..]).is_err());
    }
}
