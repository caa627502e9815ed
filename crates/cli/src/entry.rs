//! The command line's entry.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Failure;
use crate::role;

#[derive(Debug, Parser)]
#[command(name = "freehold", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(role::up::Arguments),
    Server(role::server::Arguments),
    Agent(role::agent::Arguments),
    #[command(hide = true)]
    Proxy(role::proxy::Arguments),
}

pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    pki::install_provider();
    match dispatch(cli.command) {
        Ok(code) => code,
        Err(failure) => {
            eprint!("{}", failure.render());
            ExitCode::from(failure.exit.code())
        }
    }
}

fn dispatch(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Up(arguments) => role::up::run(arguments),
        Command::Server(arguments) => role::server::run(arguments),
        Command::Agent(arguments) => role::agent::run(arguments),
        Command::Proxy(arguments) => role::proxy::run(arguments),
    }
}
