//! The frame every stored document has: a schema number, and a memory for fields this version does
//! not know, so that an older server writing a newer server's document loses nothing of it.
//!
//! ```json
//! {"schema": 3, "body": {"app": "shop", "a field of later": 1}}
//! ```
//!
//! What is kept: on writing, the typed body is laid over the document as it was read. A field the
//! type knew when reading and has dropped since goes; a field it never knew stays, at any depth of
//! objects and in the elements of lists (told apart by `id`, `name` or `key`, else by being
//! unchanged, else by place). Body types must not use serde's `alias`, nor `flatten` into a map.

mod frame;
mod merge;

pub use frame::{Document, DocumentError, Newer, Schema};
pub use merge::merge;
