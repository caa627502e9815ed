//! The manifest as the commands use it: found, parsed, judged.

use std::path::{Path, PathBuf};

use api::manifest::{Manifest, ManifestErrors};

use super::source::Source;
use crate::failure::Failure;

/// Which manifest.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct File {
    /// The manifest; - is standard input
    #[arg(short, long, value_name = "FILE", default_value = "freehold.toml")]
    pub file: PathBuf,
}

/// A manifest with its text.
#[derive(Debug)]
pub(crate) struct Read {
    /// The text.
    pub source: Source,
    /// What it says.
    pub manifest: Manifest,
}

/// Reads a manifest; what is wrong with it is shown in its text. What has no effect yet is wrong.
pub(crate) fn read(path: &Path) -> Result<Read, Failure> {
    let source = Source::read(path).map_err(|failure| {
        failure.hint("name the manifest with -f FILE; it is usually called freehold.toml")
    })?;
    let manifest = Manifest::parse(&source.name, &source.text)?;
    let unsupported = manifest.unsupported();
    if !unsupported.is_empty() {
        return Err(ManifestErrors::locate(&source.name, &source.text, unsupported).into());
    }
    Ok(Read { source, manifest })
}
