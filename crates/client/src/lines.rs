//! An answer's body as lines. Holds one line at most; a longer one than allowed ends the answer.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::address::Address;
use crate::call::Opened;
use crate::error::{ClientError, Unreached};

/// Bytes of the longest line: an assignment document (512 KiB) as an event, escaped, with room.
const MAX_LINE: usize = 4 << 20;

/// Lines of a body.
#[derive(Debug)]
pub(crate) struct Lines {
    address: Address,
    body: Incoming,
    buffer: BytesMut,
    /// How much of the buffer holds no line end.
    searched: usize,
}

impl Lines {
    pub(crate) fn new(opened: Opened) -> Self {
        let body = opened.response.into_body();
        Self { address: opened.address, body, buffer: BytesMut::new(), searched: 0 }
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// The next line without its end; none when the answer is over. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            if let Some(at) = self.buffer[self.searched..].iter().position(|b| *b == b'\n') {
                let mut line = self.buffer.split_to(self.searched + at + 1);
                self.searched = 0;
                line.truncate(line.len() - 1);
                if line.last() == Some(&b'\r') {
                    line.truncate(line.len() - 1);
                }
                return Ok(Some(line.freeze()));
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > MAX_LINE {
                return Err(self.lost(format!("a line is longer than {MAX_LINE} bytes")));
            }
            match self.body.frame().await {
                None => {
                    // What comes after the last line end is cut off, so it is no line.
                    return Ok(None);
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Err(self.lost(error.to_string())),
            }
        }
    }

    fn lost(&self, cause: String) -> ClientError {
        ClientError::Lost(Unreached { address: self.address.clone(), cause })
    }
}
