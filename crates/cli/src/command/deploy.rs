//! `freehold deploy`.

use std::process::ExitCode;

use api::id::EnvironmentName;
use api::operation::DeployRequest;

use super::{manifest, rollout};
use crate::connect::Session;
use crate::failure::Failure;

/// Make a release of a manifest and an image, and roll it out
///
/// The same image and manifest as a release that exists make no new one. Without --env it goes to
/// the first environment of the pipeline.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub file: manifest::File,
    /// The image; goes before the manifest's
    #[arg(long, value_name = "REF")]
    pub image: Option<image::Reference>,
    /// The environment [default: the first of the pipeline]
    #[arg(long, value_name = "NAME")]
    pub env: Option<EnvironmentName>,
    #[command(flatten)]
    pub rollout: rollout::Options,
}

pub(crate) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let read = manifest::read(&arguments.file.file)?;
    if arguments.image.is_none() && read.manifest.image().is_none() {
        return Err(Failure::invalid(format!("deploy {}: no image is named", read.manifest.app()))
            .hint(format!("add --image REF, or image = \"REF\" to {}", read.source.name)));
    }
    let request = DeployRequest {
        manifest: read.manifest.document().clone(),
        image: arguments.image.as_ref().map(ToString::to_string),
        environment: arguments.env.clone(),
        dry_run: arguments.rollout.dry_run,
    };
    let answer = session
        .ask(async |client| client.deploy(&request).await)
        .map_err(|failure| failure.locate(&read.source.name, &read.source.text))?;
    rollout::conclude(session, &answer, &arguments.rollout)
}
