//! Benchmarks of Freehold beside its peers, and the report.
//!
//! `bench` runs each benchmark in namespaces of its own, so that nothing of it can stay behind, and
//! writes one table and one JSON document. Peers that are not installed are skipped by name.

mod cluster;
mod contest;
mod create_start;
mod docker;
mod host;
mod ingress;
mod instance_start;
mod machine;
mod memory;
mod options;
mod outside;
mod service_change;
mod setting;

use std::process::ExitCode;

use clap::Parser;

use options::Options;

fn main() -> ExitCode {
    pki::install_provider();
    let options = Options::parse();
    let client = options.hold.map(cluster::hold).or_else(|| options.fill.map(cluster::fill));
    if let Some(ended) = client {
        return if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let done = match &options.inside {
        None => outside::run(&options),
        Some(_) => setting::run_inside(&options).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
