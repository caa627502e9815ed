//! The files a shim leaves in its bundle: what it was asked for and how its container ended.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::runtime::Exit;

/// How the container ended, a [`Exit`] as JSON; written once, by renaming.
pub(crate) const EXIT: &str = "exit.json";
/// What the container is, a `ContainerSpec` as JSON.
pub(crate) const SPEC: &str = "spec.json";
/// What the shim needs to know, small enough to stay in its memory.
pub(crate) const SHIM: &str = "shim.json";

/// Reads the exit record, if there is one.
pub(crate) fn read_exit(bundle: &Path) -> io::Result<Option<Exit>> {
    match read_json(&bundle.join(EXIT)) {
        Ok(exit) => Ok(Some(exit)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Reads a JSON file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

/// Writes a JSON file whole or not at all. Bundles lie on tmpfs, so there is nothing to sync.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".new");
    // An OCI spec holds the environment, and that may hold secrets.
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&partial);
    file?.write_all(&serde_json::to_vec(value)?)?;
    fs::rename(&partial, path)
}
