//! Finding the cluster: environment variables first, then the contexts of the configuration file.
//!
//! [`config`] is the file, [`target`] the decision (pure), [`session`] what commands work with.

mod authorities;
mod config;
mod session;
mod target;

pub(crate) use config::{Config, Context, config_path};
pub(crate) use session::{Session, print_out, run_async};
pub(crate) use target::Target;
