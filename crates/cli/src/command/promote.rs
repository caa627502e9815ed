//! `freehold promote`.

use std::process::ExitCode;

use api::id::{AppName, EnvironmentName};
use api::operation::PromoteRequest;

use super::rollout;
use crate::connect::Session;
use crate::failure::Failure;

/// Roll out in the next environment what runs completely in this one
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The app
    pub app: AppName,
    /// Where it runs [default: the first environment of the pipeline]
    #[arg(long, value_name = "NAME")]
    pub from: Option<EnvironmentName>,
    /// Where it goes [default: the next environment of the pipeline]
    #[arg(long, value_name = "NAME")]
    pub to: Option<EnvironmentName>,
    #[command(flatten)]
    pub rollout: rollout::Options,
}

pub(crate) fn run(session: &Session, arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments { app, from, to, rollout } = arguments;
    let request = PromoteRequest { from, to, dry_run: rollout.dry_run };
    let answer = session.ask(async |client| client.promote(&app, &request).await)?;
    rollout::conclude(session, &answer, &rollout)
}
