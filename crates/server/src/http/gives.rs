//! What an endpoint answers, with the schema that documents it.

use std::convert::Infallible;
use std::marker::PhantomData;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use http::StatusCode;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use super::answer;

/// An answer.
pub(super) trait Gives: Send + 'static {
    /// Its status.
    const STATUS: StatusCode;
    /// What it is, for the document.
    const WHAT: &'static str;
    /// Its media type; empty when it has no body.
    const MEDIA_TYPE: &'static str;

    /// The schema of its body, or of one line or event of it.
    fn schema(generator: &mut SchemaGenerator) -> Option<Schema>;

    /// The answer itself.
    fn respond(self) -> Response;
}

/// A JSON value; `S` is documented where `T` itself has no schema.
pub(super) struct Shows<T, S = T>(pub(super) T, pub(super) PhantomData<fn() -> S>);

/// Shows a value.
pub(super) fn shows<T, S>(value: T) -> Shows<T, S> {
    Shows(value, PhantomData)
}

impl<T: Serialize + Send + 'static, S: JsonSchema + 'static> Gives for Shows<T, S> {
    const STATUS: StatusCode = StatusCode::OK;
    const WHAT: &'static str = "What was asked for, or what it is now.";
    const MEDIA_TYPE: &'static str = "application/json";

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<S>())
    }

    fn respond(self) -> Response {
        answer::json(StatusCode::OK, &self.0)
    }
}

/// What was made.
pub(super) struct Made<T, S = T>(pub(super) T, pub(super) PhantomData<fn() -> S>);

/// Shows what was made.
pub(super) fn made<T, S>(value: T) -> Made<T, S> {
    Made(value, PhantomData)
}

impl<T: Serialize + Send + 'static, S: JsonSchema + 'static> Gives for Made<T, S> {
    const STATUS: StatusCode = StatusCode::CREATED;
    const WHAT: &'static str = "What was made.";
    const MEDIA_TYPE: &'static str = "application/json";

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<S>())
    }

    fn respond(self) -> Response {
        answer::json(StatusCode::CREATED, &self.0)
    }
}

/// It was done, and there is nothing to say.
pub(super) struct Done;

impl Gives for Done {
    const STATUS: StatusCode = StatusCode::NO_CONTENT;
    const WHAT: &'static str = "It was done.";
    const MEDIA_TYPE: &'static str = "";

    fn schema(_: &mut SchemaGenerator) -> Option<Schema> {
        None
    }

    fn respond(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    }
}

/// Pieces of a body as they come.
pub(super) type Pieces = BoxStream<'static, Bytes>;

fn streamed(media_type: &'static str, pieces: Pieces) -> Response {
    let body = Body::from_stream(pieces.map(Ok::<_, Infallible>));
    answer::with_body(StatusCode::OK, media_type, body)
}

/// Lines of JSON, each a `T`; empty lines keep the connection open.
pub(super) struct JsonLines<T>(pub(super) Pieces, pub(super) PhantomData<fn() -> T>);

impl<T: JsonSchema + 'static> Gives for JsonLines<T> {
    const STATUS: StatusCode = StatusCode::OK;
    const WHAT: &'static str =
        "One JSON value on each line, as they come. Empty lines mean nothing.";
    const MEDIA_TYPE: &'static str = "application/x-ndjson";

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<T>())
    }

    fn respond(self) -> Response {
        streamed(Self::MEDIA_TYPE, self.0)
    }
}

/// Server-sent events whose data is a `T`.
pub(super) struct ServerSent<T>(pub(super) Pieces, pub(super) PhantomData<fn() -> T>);

impl<T: JsonSchema + 'static> Gives for ServerSent<T> {
    const STATUS: StatusCode = StatusCode::OK;
    const WHAT: &'static str = "Server-sent events. `ready` comes first and says after which \
        revision changes are told; `put` and `delete` tell a change of one object; `compacted` is \
        the last and means: list again, then watch anew. An event's id is the revision up to which \
        all has been told; with it in Last-Event-ID a watch goes on, and what had been told only \
        in part is told again.";
    const MEDIA_TYPE: &'static str = "text/event-stream";

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<T>())
    }

    fn respond(self) -> Response {
        streamed(Self::MEDIA_TYPE, self.0)
    }
}

/// A file. An error breaks the connection off, so that nobody takes a part for the whole.
pub(super) struct Download(pub(super) BoxStream<'static, std::io::Result<Bytes>>);

impl Gives for Download {
    const STATUS: StatusCode = StatusCode::OK;
    const WHAT: &'static str = "The file.";
    const MEDIA_TYPE: &'static str = "application/octet-stream";

    fn schema(_: &mut SchemaGenerator) -> Option<Schema> {
        None
    }

    fn respond(self) -> Response {
        answer::with_body(StatusCode::OK, Self::MEDIA_TYPE, Body::from_stream(self.0))
    }
}
