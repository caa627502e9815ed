//! A minimal host of the hidden `shim` role, for tests and measurements of the runtime.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match args.next() {
        Some(role) if role == "shim" => agent::shim::main(args),
        _ => {
            eprintln!("usage: shim_host shim --bundle DIR");
            ExitCode::from(2)
        }
    }
}
