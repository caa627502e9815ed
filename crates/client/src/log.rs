//! Log lines as they come.

use api::protocol::LogLine;

use crate::call::Opened;
use crate::error::ClientError;
use crate::lines::Lines;

/// Log lines of an app's instances.
#[derive(Debug)]
pub struct LogStream {
    lines: Lines,
}

impl LogStream {
    pub(crate) fn new(opened: Opened) -> Self {
        Self { lines: Lines::new(opened) }
    }

    /// The next line; none when there are no more. Cancel-safe.
    ///
    /// # Errors
    /// When the connection breaks, or what comes is no log line.
    pub async fn next(&mut self) -> Result<Option<LogLine>, ClientError> {
        loop {
            let Some(line) = self.lines.next().await? else { return Ok(None) };
            // An empty line keeps the connection open.
            if line.is_empty() {
                continue;
            }
            return serde_json::from_slice(&line).map(Some).map_err(|error| ClientError::Answer {
                address: self.lines.address().clone(),
                what: "a request for logs".into(),
                reason: error.to_string(),
            });
        }
    }
}
