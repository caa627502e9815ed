//! How things are shown: tables, JSON and YAML on standard output; problems and progress on
//! standard error. Rendering is a function of what is shown and how wide the terminal is; nothing
//! here asks a server.

mod format;
mod look;
mod problem;
mod progress;
mod table;
mod words;

pub(crate) use format::{Format, render};
pub(crate) use look::{Look, Terminal};
pub(crate) use problem::render_manifest;
pub(crate) use progress::{Bar, Progress};
pub(crate) use table::{Table, fields};
pub(crate) use words::{age, dash, opt, size};
