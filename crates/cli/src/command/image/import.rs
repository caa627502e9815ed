//! `freehold image import`: images out of files that other tools wrote.

use std::path::PathBuf;
use std::process::ExitCode;

use image::layout::Imported;
use image::{Digest, Reference};
use serde::Serialize;

use crate::connect::Session;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::images::LocalImages;
use crate::output::{Table, opt};

/// Import images from a docker-archive or OCI layout, a tar file or directory
///
/// That is what `docker save`, `podman save` and `skopeo copy` write.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The tar file, compressed or not, or the directory
    pub path: PathBuf,
    /// What to call the image [default: the names in the file, without their registry]
    #[arg(long, value_name = "REF")]
    pub tag: Option<Reference>,
}

#[derive(Debug, Serialize)]
struct Answer {
    reference: Option<Reference>,
    digest: Digest,
    missing: usize,
}

pub(crate) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let images = LocalImages::open()?;
    let imported = image::layout::import(&arguments.path, &images.content)?;
    let named = names(&imported, arguments)?;
    for answer in &named {
        if let Some(reference) = &answer.reference {
            images.name(reference, answer.digest, false)?;
        }
    }
    session.show(&named, |named, look| {
        Table::of(&["IMAGE", "DIGEST"], named, |answer| {
            vec![opt(answer.reference.as_ref()), answer.digest.to_string()]
        })
        .render(look.width)
    })
}

/// Which image gets which name.
fn names(imported: &[Imported], arguments: &Arguments) -> Result<Vec<Answer>, Failure> {
    let path = arguments.path.display();
    if imported.is_empty() {
        let message = format!("import {path}: it holds no image");
        return Err(Failure::new(Exit::NotFound, message));
    }
    if arguments.tag.is_some() && imported.len() > 1 {
        let message = format!("import {path}: --tag names one image, it holds {}", imported.len());
        return Err(Failure::invalid(message).hint("leave --tag out"));
    }
    let name = |image: &Imported| match (&arguments.tag, &image.name) {
        (Some(tag), _) => Some(tag.clone()),
        (None, Some(name)) => own_name(name),
        (None, None) => None,
    };
    let answers: Vec<Answer> = imported
        .iter()
        .map(|image| Answer {
            reference: name(image),
            digest: image.digest,
            missing: image.missing,
        })
        .collect();
    if let Some(nameless) = answers.iter().find(|answer| answer.reference.is_none()) {
        let message = format!("import {path}: image {} has no name in it", nameless.digest);
        return Err(Failure::invalid(message).hint("give one with --tag NAME:TAG"));
    }
    Ok(answers)
}

/// The reference of a full name, without the registry it came from; a tag alone is none.
fn own_name(name: &str) -> Option<Reference> {
    let reference: Reference = name.parse().ok()?;
    // A layout may give only a tag, which reads like a repository.
    let full = name.contains([':', '/']);
    full.then(|| reference.on(None).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_registry_and_tags_alone_are_none() {
        let name = |text| own_name(text).map(|reference| reference.to_string());
        assert_eq!(name("docker.io/library/nginx:1").as_deref(), Some("library/nginx:1"));
        assert_eq!(name("localhost/app:2").as_deref(), Some("app:2"));
        assert_eq!(name("app:2").as_deref(), Some("app:2"));
        assert_eq!(name("latest"), None);
        assert_eq!(name("Not A Name"), None);
    }
}
