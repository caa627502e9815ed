//! A small root file system with busybox in it, as a directory and as an image.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result};
use image::pack::{Builder, Settings, Source};
use image::{ContentStore, Digest};

/// Debian's `busybox-static`.
const BUSYBOX: &str = "/bin/busybox";

/// Makes the root file system: directories to mount on, and a program that sleeps.
pub(crate) fn make_root(root: &Path) -> Result<()> {
    for name in ["bin", "proc", "sys", "dev", "tmp", "etc"] {
        fs::create_dir_all(root.join(name)).context("make a root file system")?;
    }
    fs::copy(BUSYBOX, root.join("bin/busybox"))
        .with_context(|| format!("copy {BUSYBOX}; hint: apt-get install busybox-static"))?;
    for name in ["sh", "true", "sleep"] {
        symlink("busybox", root.join("bin").join(name)).context("make a root file system")?;
    }
    Ok(())
}

/// Builds an image of that file system and gives its digest.
pub(crate) fn make_image(store: &ContentStore, root: &Path) -> Result<Digest> {
    let source = Source { source: root.to_owned(), destination: "/".to_owned() };
    let settings = Settings {
        entrypoint: Some(vec!["/bin/sleep".to_owned(), "1000000".to_owned()]),
        ..Settings::default()
    };
    let builder = Builder::new(None, image::manifest::Platform::host());
    let built = builder.layer(vec![source]).settings(settings).build(store);
    Ok(built.context("build the image")?.digest)
}
