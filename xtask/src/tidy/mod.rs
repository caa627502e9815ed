//! The house rules that a machine can check and clippy does not. Every rule is a pure function of
//! texts; reading files and asking cargo happens in [`run`] alone.

mod exceptions;
mod finding;
mod layers;
mod licences;
mod purity;
mod rules;
mod settings;
mod source;
mod traces;
mod tree;

pub(crate) use tree::run;
