//! Automation of the workspace: `cargo xtask tidy` checks the house rules, `cargo xtask gen` writes
//! generated files or, with `--check`, says which are out of date. Never part of the product.

mod generate;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask tidy [--notes] | gen [--check]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let root = root.expect("xtask lives in the workspace");
    let done = match arguments.as_slice() {
        ["tidy"] => tidy::run(root, false),
        ["tidy", "--notes"] => tidy::run(root, true),
        ["gen"] => generate::run(root, false),
        ["gen", "--check"] => generate::run(root, true),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("xtask: {e:#}");
            ExitCode::FAILURE
        }
    }
}
