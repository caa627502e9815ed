//! The commands, a file for each noun or verb: what may be typed, what it asks the cluster, and how
//! the answer is shown. Rendering is pure.

mod app;
mod authority;
mod backup;
mod cert;
mod check;
mod completions;
mod deploy;
mod environment;
mod event;
mod follow;
mod generate;
mod host;
mod image;
mod join_token;
mod known;
mod lab;
mod login;
mod logs;
mod manifest;
mod net;
mod promote;
mod ps;
mod registry;
mod release;
mod restore;
mod rollback;
mod rollout;
mod root;
mod route;
mod safe_mode;
mod secret;
mod server;
mod source;
mod status;
mod store;
mod team;
mod token;
mod version;

pub(crate) use root::{Cli, dispatch};
