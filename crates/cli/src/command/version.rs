//! `freehold version`.

use std::process::ExitCode;

use api::operation::VersionView;
use serde::Serialize;

use crate::connect::Session;
use crate::failure::Failure;
use crate::output::fields;

/// Show the version of this binary and, where one is known, of the cluster
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Do not ask the cluster
    #[arg(long)]
    pub client: bool,
}

#[derive(Debug, Serialize)]
struct Versions {
    version: &'static str,
    server: Option<VersionView>,
}

pub(crate) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let ask = !arguments.client && session.target().is_ok();
    let server = if ask {
        match session.ask(async |client| client.version().await) {
            Ok(server) => Some(server),
            Err(failure) => {
                eprint!("warning: {}", failure.render().trim_start_matches("error: "));
                None
            }
        }
    } else {
        None
    };
    let versions = Versions { version: env!("CARGO_PKG_VERSION"), server };
    session.show(&versions, |versions, _| {
        let mut lines = vec![("freehold", versions.version.to_owned())];
        if let Some(server) = &versions.server {
            lines.push(("server", format!("{} of cluster {}", server.version, server.cluster)));
        }
        fields(&lines)
    })
}
