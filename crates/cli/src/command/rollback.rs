//! `freehold rollback`.

use std::process::ExitCode;

use api::id::{AppName, EnvironmentName, ReleaseNumber};
use api::operation::RollbackRequest;

use super::rollout;
use crate::connect::Session;
use crate::failure::Failure;

/// Roll out an earlier release
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The app
    pub app: AppName,
    /// Where [default: the last environment of the pipeline that the app runs in]
    #[arg(long, value_name = "NAME")]
    pub env: Option<EnvironmentName>,
    /// The release's number [default: the one that ran completely before]
    #[arg(long, value_name = "N")]
    pub release: Option<u32>,
    #[command(flatten)]
    pub rollout: rollout::Options,
}

pub(crate) fn run(session: &Session, arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments { app, env, release, rollout } = arguments;
    let release = release.map(ReleaseNumber);
    let request = RollbackRequest { environment: env, release, dry_run: rollout.dry_run };
    let answer = session.ask(async |client| client.rollback(&app, &request).await)?;
    rollout::conclude(session, &answer, &rollout)
}
