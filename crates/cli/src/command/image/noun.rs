//! The noun itself and its short verbs.

use std::process::ExitCode;

use clap::Subcommand;
use image::Reference;

use super::{build, import, inspect, list};
use crate::connect::{Session, run_async};
use crate::failure::Failure;
use crate::images::{InCluster, LocalImages, pull, push};
use crate::output::{Progress, size};

/// Images on this machine and in the cluster's own registry
#[derive(Debug, Subcommand)]
pub(crate) enum Arguments {
    Build(Box<build::Arguments>),
    /// Push an image of this machine into the cluster's registry
    Push {
        /// The image
        reference: Reference,
    },
    /// Pull an image of the cluster's registry to this machine
    Pull {
        /// The image
        reference: Reference,
    },
    Import(import::Arguments),
    List(list::Arguments),
    Inspect(inspect::Arguments),
    /// Delete an image, or a tag of one
    Delete {
        /// The image
        reference: Reference,
        /// Delete it on this machine, not in the cluster
        #[arg(long)]
        local: bool,
    },
    /// Remove what no image of the cluster's registry needs
    CollectGarbage,
}

pub(crate) fn run(session: &Session, arguments: Arguments) -> Result<ExitCode, Failure> {
    match arguments {
        Arguments::Build(arguments) => build::run(session, *arguments),
        Arguments::Push { reference } => {
            let images = LocalImages::open()?;
            let client = session.client()?;
            let to = InCluster::of(&reference, &client)?;
            let digest = match images.find(&reference)? {
                Some(digest) => digest,
                None => images.need(&to.reference)?,
            };
            let progress = Progress::new(session.terminal.lively);
            run_async(push(&client, &images, digest, &to, &progress))?;
            let told = format!("{} is in the cluster's registry: {digest}", to.reference);
            session
                .changed(&serde_json::json!({ "reference": to.reference, "digest": digest }), &told)
        }
        Arguments::Pull { reference } => {
            let images = LocalImages::open()?;
            let client = session.client()?;
            let from = InCluster::of(&reference, &client)?;
            let progress = Progress::new(session.terminal.lively);
            let digest = run_async(pull(&client, &images, &from, &progress))?;
            let told = format!("{} is on this machine: {digest}", from.reference);
            session.changed(
                &serde_json::json!({ "reference": from.reference, "digest": digest }),
                &told,
            )
        }
        Arguments::Import(arguments) => import::run(session, &arguments),
        Arguments::List(arguments) => list::run(session, &arguments),
        Arguments::Inspect(arguments) => inspect::run(session, &arguments),
        Arguments::Delete { reference, local: true } => {
            let freed = LocalImages::open()?.remove(&reference)?;
            eprintln!("{reference} is deleted from this machine; {} are free again", size(freed));
            Ok(ExitCode::SUCCESS)
        }
        Arguments::Delete { reference, local: false } => {
            let client = session.client()?;
            let it = InCluster::of(&reference, &client)?;
            run_async(async { Ok(client.delete_image(&it.repository, &it.wanted).await?) })?;
            eprintln!("{} is deleted from the cluster's registry", it.reference);
            Ok(ExitCode::SUCCESS)
        }
        Arguments::CollectGarbage => {
            let collected = session.ask(async |client| client.collect_garbage().await)?;
            let nothing = "there was nothing to remove";
            let told = if collected.result.is_empty() { nothing } else { &collected.result };
            session.changed(&collected, told)
        }
    }
}
