//! Changes as they happen. A watch that breaks off is resumed by itself after the last revision it
//! has given out; when that is no longer possible its caller is told to list again.

use std::time::Duration;

use http::Method;
use http::header::{ACCEPT, HeaderName};
use serde::Deserialize;
use serde_json::Value;

use crate::call::{Call, Client};
use crate::error::ClientError;
use crate::lines::Lines;
use crate::sse::SseParser;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// How long nothing may come before the connection counts as dead: three of the server's signs of
/// life, one each 10 s.
const SILENCE: Duration = Duration::from_secs(30);

/// Pauses before a watch that broke off is resumed; after the last the caller gets the error, and
/// may go on by asking for the next change.
const PAUSES_MS: [u64; 6] = [50, 200, 500, 1_000, 2_000, 4_000];

/// An object that changed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Object {
    /// Its kind, e.g. `deployment`.
    pub kind: String,
    /// Its name inside the kind, e.g. `production/shop`.
    pub name: String,
    /// The revision that changed it.
    pub revision: u64,
    /// What it is now, as the API shows it elsewhere; none when it is gone.
    #[serde(default)]
    pub object: Option<Value>,
}

impl Object {
    /// The object as one of the API's kinds; none when it is gone or something else.
    #[must_use]
    pub fn as_kind<T: serde::de::DeserializeOwned>(&self) -> Option<T> {
        let object = self.object.as_ref()?;
        T::deserialize(object).ok()
    }
}

/// What a watch says.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// List now, first of all and whenever history was lost: what changes after this revision is
    /// told next. Some of it may be in the list already.
    Relist {
        /// From where on changes are told.
        revision: u64,
    },
    /// An object was made or changed.
    Put(Object),
    /// An object is gone.
    Delete(Object),
}

/// Changes of some kinds.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    kinds: String,
    /// The revision to resume after; none lists again.
    after: Option<u64>,
    stream: Option<(Lines, SseParser)>,
    failures: usize,
}

#[derive(Deserialize)]
struct Ready {
    revision: u64,
}

impl Watch {
    pub(crate) fn new(client: Client, kinds: &[&str], after: Option<u64>) -> Self {
        Self { client, kinds: kinds.join(","), after, stream: None, failures: 0 }
    }

    /// The next change. Cancel-safe: what was not given out comes with the next call.
    ///
    /// # Errors
    /// When the server refuses, or no server can be reached for about eight seconds; a later call
    /// tries again and loses nothing.
    pub async fn next(&mut self) -> Result<Change, ClientError> {
        loop {
            match self.step().await {
                Ok(Some(change)) => {
                    self.failures = 0;
                    return Ok(change);
                }
                Ok(None) => {}
                Err(ClientError::Api(error)) if !error.code.retryable() => {
                    self.stream = None;
                    return Err(ClientError::Api(error));
                }
                Err(error) => {
                    self.stream = None;
                    let Some(pause) = PAUSES_MS.get(self.failures) else {
                        self.failures = 0;
                        return Err(error);
                    };
                    self.failures += 1;
                    tracing::debug!(%error, "a watch broke off");
                    tokio::time::sleep(Duration::from_millis(*pause)).await;
                }
            }
        }
    }

    /// Goes on by one event; none when it was not one for the caller.
    async fn step(&mut self) -> Result<Option<Change>, ClientError> {
        let (lines, parser) = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let opened = self.client.open(&self.call()).await?;
                self.stream.insert((Lines::new(opened), SseParser::default()))
            }
        };
        let line = match tokio::time::timeout(SILENCE, lines.next()).await {
            Ok(line) => line?,
            Err(_) => None,
        };
        let Some(line) = line else {
            // Over, or dead: resumed at once, unless it goes on like that.
            let address = lines.address().clone();
            let cause = "the watch ended".to_owned();
            return Err(ClientError::Lost(crate::error::Unreached { address, cause }));
        };
        let event = parser.line(&line);
        let id = parser.last_id().and_then(|id| id.parse::<u64>().ok());
        let address = lines.address().clone();
        let malformed = |error: serde_json::Error| ClientError::Answer {
            address,
            what: "a watch".into(),
            reason: error.to_string(),
        };
        let Some(event) = event else {
            if line.is_empty() {
                // A sign of life: the watch is well.
                self.failures = 0;
            }
            self.advance(id);
            return Ok(None);
        };
        let change = match event.kind.as_str() {
            "ready" => {
                let ready: Ready = serde_json::from_str(&event.data).map_err(malformed)?;
                let resumed = self.after.is_some();
                self.advance(Some(ready.revision));
                (!resumed).then_some(Change::Relist { revision: ready.revision })
            }
            "compacted" => {
                self.after = None;
                self.stream = None;
                return Ok(None);
            }
            "put" => Some(Change::Put(serde_json::from_str(&event.data).map_err(malformed)?)),
            "delete" => Some(Change::Delete(serde_json::from_str(&event.data).map_err(malformed)?)),
            _ => None,
        };
        self.advance(id);
        Ok(change)
    }

    fn advance(&mut self, id: Option<u64>) {
        if let Some(id) = id {
            self.after = Some(id);
            self.client.saw_revision(id);
        }
    }

    fn call(&self) -> Call {
        let path = format!("/v1/watch?kinds={}", self.kinds);
        let call = Call::new(Method::GET, path).header(ACCEPT, "text/event-stream");
        match self.after {
            Some(after) => call.header(LAST_EVENT_ID, &after.to_string()),
            None => call,
        }
    }
}
