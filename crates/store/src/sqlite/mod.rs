//! The store in one SQLite database: write-ahead log, fully synchronous, one writer thread that
//! commits several transactions at once, readers beside it. What a transaction means is not decided
//! here.

mod failure;
mod lock;
mod open;
mod read;
mod readers;
mod store;
mod sweep;
mod tables;
mod writer;

pub use store::{SqliteOptions, SqliteStore};
