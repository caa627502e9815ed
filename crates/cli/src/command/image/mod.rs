//! `freehold image`: images on this machine and in the cluster's registry.

mod build;
mod import;
mod inspect;
mod list;
mod noun;

pub(in crate::command) use inspect::{Config, config};
pub(crate) use noun::{Arguments, run};
