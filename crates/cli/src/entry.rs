//! The command line's entry: reads what was typed, does it, and tells what failed.

use std::process::ExitCode;

use clap::Parser;

use crate::command::{Cli, dispatch};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Terminal, render_manifest};

/// Runs the command line.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, the rest is wrong input. A closed pipe is no matter.
            let _ = error.print();
            let exit = if error.use_stderr() { Exit::Invalid } else { Exit::Success };
            return ExitCode::from(exit.code());
        }
    };
    // Before anything of TLS is made.
    pki::install_provider();
    let terminal = Terminal::of_this_process();
    match dispatch(cli, terminal) {
        Ok(code) => code,
        Err(failure) => {
            eprint!("{}", told(&failure, terminal.colour));
            ExitCode::from(failure.exit.code())
        }
    }
}

/// A failure as it is told.
fn told(failure: &Failure, colour: bool) -> String {
    if let Some(errors) = &failure.manifest {
        let hint = failure.hint.iter().map(|hint| format!("hint: {hint}\n")).collect::<String>();
        return render_manifest(errors, colour) + &hint;
    }
    let text = failure.render();
    if !colour {
        return text;
    }
    // The words stay; colour only helps to find them.
    let mark = |text: String, word: &str, code: u8| {
        let lines = text.split_inclusive('\n').map(|line| match line.strip_prefix(word) {
            Some(rest) => format!("\x1b[1;{code}m{word}\x1b[0m{rest}"),
            None => line.to_owned(),
        });
        lines.collect::<String>()
    };
    mark(mark(text, "error:", 31), "hint:", 36)
}
