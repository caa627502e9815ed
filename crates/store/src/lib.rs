//! The state store: one trait over bytes with memory and SQLite backends.
