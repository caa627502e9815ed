//! `freehold up`: server, agent and ingress of one machine under one supervisor.
//!
//! * [`arguments`] is what was typed, [`installation`] what it comes to (pure);
//! * [`lock`] keeps a data directory to one supervisor, [`preflight`] looks whether the machine can
//!   do it, [`certificates`] makes and renews what server and agent show each other;
//! * [`supervise`] starts them and starts them again, [`log_file`] keeps their words;
//! * [`ready`] knows when all of it serves; [`run()`] puts it together.

mod arguments;
mod certificates;
mod installation;
mod lock;
mod log_file;
mod preflight;
mod ready;
mod run;
mod supervise;

pub(crate) use arguments::Arguments;
pub(crate) use installation::quoted;
pub(super) use installation::{host_from, slug};
pub(super) use run::machine;
pub(crate) use run::run;
