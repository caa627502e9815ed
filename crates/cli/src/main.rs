//! The `freehold` binary.

mod command;
mod connect;
mod entry;
mod exit;
mod failure;
mod former;
mod images;
mod output;
mod role;

use std::process::ExitCode;

fn main() -> ExitCode {
    // First of all: a shim must make its container before there is a second thread.
    let mut arguments = std::env::args_os();
    if arguments.nth(1).is_some_and(|role| role == "shim") {
        return agent::shim::main(arguments);
    }
    entry::main()
}
