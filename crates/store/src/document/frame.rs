//! Reading and writing a document in its frame. What becomes of unknown fields is the business of
//! [`merge`].

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::merge;

/// What may be done with a document of a later schema than this version knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Newer {
    /// It is read but not written: later versions changed the meaning of fields.
    ReadOnly,
    /// It is written too, with its own schema number and what is unknown in it: later versions only
    /// add fields that may be left as they are.
    Keep,
}

/// How one kind of document is written in this version.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    name: &'static str,
    version: u32,
    newer: Newer,
    upgrade: fn(u32, &mut Value),
}

impl Schema {
    /// A kind of document whose present schema is `version`, from 1.
    #[must_use]
    pub const fn new(name: &'static str, version: u32) -> Self {
        Self { name, version, newer: Newer::ReadOnly, upgrade: |_, _| {} }
    }

    /// Says that documents of later schemas may be written too.
    #[must_use]
    pub const fn keeping_newer(mut self) -> Self {
        self.newer = Newer::Keep;
        self
    }

    /// Rewrites a body of an older schema (its number comes first) to the present one.
    #[must_use]
    pub const fn upgrading(mut self, upgrade: fn(u32, &mut Value)) -> Self {
        self.upgrade = upgrade;
        self
    }
}

/// Why a document could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// The bytes are not a document, or its body is not of the type.
    #[error("read a {name} document")]
    Decode {
        /// The kind of document.
        name: &'static str,
        /// What is wrong with it.
        #[source]
        cause: serde_json::Error,
    },
    /// A document without a schema number, or with zero.
    #[error("read a {name} document: it has no schema number")]
    NoSchema {
        /// The kind of document.
        name: &'static str,
    },
    /// The body cannot be put into JSON.
    #[error("write a {name} document")]
    Encode {
        /// The kind of document.
        name: &'static str,
        /// What is wrong with it.
        #[source]
        cause: serde_json::Error,
    },
    /// The document was written by a later version that gave its fields another meaning.
    #[error("write a {name} document: its schema is {found}, this version knows up to {known}")]
    NewerSchema {
        /// The kind of document.
        name: &'static str,
        /// The schema it has.
        found: u32,
        /// The newest this version knows.
        known: u32,
    },
}

impl DocumentError {
    /// Reading or writing it again gives the same.
    #[must_use]
    pub fn retryable(&self) -> bool {
        false
    }

    /// Whose doing it is: nobody's but ours.
    #[must_use]
    pub fn fault(&self) -> crate::Fault {
        crate::Fault::Internal
    }
}

#[derive(Serialize, Deserialize)]
struct Frame {
    #[serde(default)]
    schema: u32,
    #[serde(default)]
    body: Value,
    #[serde(flatten)]
    beside: Map<String, Value>,
}

/// A document: its body, and what is needed to write it back without loss.
#[derive(Clone, Debug)]
pub struct Document<T> {
    /// The schema it was read with, or would be written with when it is new.
    pub schema: u32,
    /// What it says.
    pub body: T,
    /// The bytes it was read from; they share the store's buffer.
    raw: Option<Bytes>,
}

impl<T: Serialize + DeserializeOwned> Document<T> {
    /// A document that was never stored.
    #[must_use]
    pub fn new(schema: &Schema, body: T) -> Self {
        Self { schema: schema.version, body, raw: None }
    }

    /// Reads a stored document of this schema, an older one or a newer one.
    ///
    /// # Errors
    /// [`DocumentError::Decode`], [`DocumentError::NoSchema`].
    pub fn decode(schema: &Schema, bytes: &Bytes) -> Result<Self, DocumentError> {
        let frame = read_frame(schema, bytes)?;
        let found = frame.schema;
        let body = typed(schema, frame.body)?;
        Ok(Self { schema: found, body, raw: Some(bytes.clone()) })
    }

    /// Whether this version may write it.
    #[must_use]
    pub fn writable(&self, schema: &Schema) -> bool {
        self.schema <= schema.version || schema.newer == Newer::Keep
    }

    /// Writes it, with everything it held that the type does not know.
    ///
    /// # Errors
    /// [`DocumentError::NewerSchema`], [`DocumentError::Encode`].
    pub fn encode(&self, schema: &Schema) -> Result<Bytes, DocumentError> {
        let name = schema.name;
        if !self.writable(schema) {
            let known = schema.version;
            return Err(DocumentError::NewerSchema { name, found: self.schema, known });
        }
        let encode = |cause| DocumentError::Encode { name, cause };
        let after = serde_json::to_value(&self.body).map_err(encode)?;
        let mut frame = Frame { schema: 0, body: after, beside: Map::new() };
        if let Some(raw) = &self.raw {
            let stored = read_frame(schema, raw)?;
            let known: T = typed(schema, stored.body.clone())?;
            let before = serde_json::to_value(&known).map_err(encode)?;
            frame.body = merge(stored.body, &before, frame.body);
            frame.beside = stored.beside;
        }
        frame.schema = self.schema.max(schema.version);
        serde_json::to_vec(&frame).map(Bytes::from).map_err(encode)
    }
}

/// Reads the frame, its body in the present schema.
fn read_frame(schema: &Schema, bytes: &[u8]) -> Result<Frame, DocumentError> {
    let name = schema.name;
    let mut frame: Frame =
        serde_json::from_slice(bytes).map_err(|cause| DocumentError::Decode { name, cause })?;
    if frame.schema == 0 {
        return Err(DocumentError::NoSchema { name });
    }
    if frame.schema < schema.version {
        (schema.upgrade)(frame.schema, &mut frame.body);
    }
    Ok(frame)
}

fn typed<T: DeserializeOwned>(schema: &Schema, body: Value) -> Result<T, DocumentError> {
    let name = schema.name;
    serde_json::from_value(body).map_err(|cause| DocumentError::Decode { name, cause })
}
