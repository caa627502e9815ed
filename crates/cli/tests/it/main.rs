//! The binary from outside: its help, its exit codes, images on this machine, offline restore, and
//! `up` with everything real.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod copies;
mod given;
mod help;
mod images;
mod joining;
mod moving;
mod offline;
mod restoring;
mod rotation;
mod servers;
mod up;
mod world;
