//! `freehold completions`.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;
use crate::connect::print_out;
use crate::failure::Failure;

/// Print completions for a shell
///
/// For bash: freehold completions bash > /etc/bash_completion.d/freehold
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The shell
    pub shell: Shell,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "freehold", &mut text);
    print_out(&String::from_utf8_lossy(&text))?;
    Ok(ExitCode::SUCCESS)
}
