//! The binary from outside: its help, its exit codes, images on this machine, offline restore, and
//! `up` with everything real.

mod help;
mod images;
mod offline;
mod up;
mod world;
