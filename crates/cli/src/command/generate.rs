//! The hidden `freehold gen`: files about the binary that are committed beside its source.

use std::process::ExitCode;

use clap::{Command, CommandFactory, Subcommand};

use super::Cli;
use crate::connect::print_out;
use crate::exit::Exit;
use crate::failure::Failure;

/// Print generated files
#[derive(Debug, Subcommand)]
pub(crate) enum Arguments {
    /// The OpenAPI document
    Openapi,
    /// The JSON schema of manifests
    Schema,
    /// The reference of the command line
    Cli,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let mut text = match arguments {
        Arguments::Openapi => server::http::openapi(),
        Arguments::Schema => {
            serde_json::to_string_pretty(&api::manifest::schema()).expect("a schema is JSON")
        }
        Arguments::Cli => reference(),
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    print_out(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// All commands with their help, and the exit codes.
fn reference() -> String {
    let mut text = String::from(
        "# The command line\n\n\
         Written by `cargo xtask gen`; what a command says about itself is changed in its\n\
         source.\n\n\
         The cluster is found by `--context`, else by `FREEHOLD_API` (addresses joined by\n\
         commas), `FREEHOLD_TOKEN` or `FREEHOLD_TOKEN_FILE`, and `FREEHOLD_CA`, else by the\n\
         current context of `~/.config/freehold/config.toml`, which `freehold login` writes.\n\
         Answers go to standard output, everything else to standard error. `-o json` uses the\n\
         API's own field names; a list is an array.\n\n\
         ## Exit codes\n\n| code | meaning |\n| ---: | --- |\n",
    );
    for (exit, meaning) in Exit::ALL {
        text.push_str(&format!("| {} | {meaning} |\n", exit.code()));
    }
    text.push_str("\n## Commands\n");
    let mut cli = Cli::command().term_width(100).disable_help_subcommand(true);
    cli.build();
    describe(&cli, "freehold", &mut text);
    text
}

fn describe(command: &Command, path: &str, text: &mut String) {
    // Options of all commands are told once, at the top.
    let top = path == "freehold";
    let mut shown = command.clone().bin_name(path).term_width(100);
    if !top {
        let global: Vec<String> = shown
            .get_arguments()
            .filter(|argument| argument.is_global_set())
            .map(|argument| argument.get_id().to_string())
            .collect();
        for id in global {
            shown = shown.mut_arg(id, |argument| argument.hide(true));
        }
    }
    let help = shown.render_long_help().to_string();
    let help: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
    text.push_str(&format!("\n### `{path}`\n\n```text\n{}\n```\n", help.join("\n")));
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        describe(sub, &format!("{path} {}", sub.get_name()), text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_the_reference() {
        let text = reference();
        for heading in ["### `freehold image build`", "### `freehold up`", "| 10 |"] {
            assert!(text.contains(heading), "{heading}");
        }
        assert!(!text.contains("### `freehold gen"), "hidden ones are not");
        assert!(text.lines().all(|line| line.trim_end() == line));
    }

    #[test]
    fn every_command_says_what_it_is_for() {
        fn check(command: &Command, path: &str) {
            assert!(command.get_about().is_some(), "{path} says nothing about itself");
            for argument in command.get_arguments() {
                let named = argument.get_help().is_some() || argument.is_hide_set();
                assert!(named, "{path}: {} is not explained", argument.get_id());
            }
            for sub in command.get_subcommands() {
                check(sub, &format!("{path} {}", sub.get_name()));
            }
        }
        check(&Cli::command(), "freehold");
    }
}
