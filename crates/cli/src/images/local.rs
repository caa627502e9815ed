//! The local store: blobs by content, and names for what was built, imported or pulled.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use api::time::Timestamp;
use image::manifest::known_document;
use image::{ContentStore, Digest, Document, Reference};
use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::failure::Failure;

/// The largest manifest or index read, in bytes.
const MAX_DOCUMENT: u64 = image::manifest::MAX_DOCUMENT_BYTES as u64;

/// How deep indexes may refer to indexes; images in use have one level.
const MAX_DEPTH: usize = 4;

/// A named image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The manifest or index.
    pub digest: Digest,
    /// When it got this name.
    pub created: Timestamp,
    /// Whether it came from the cluster, whose repository of this name has its blobs.
    #[serde(default)]
    pub pulled: bool,
}

/// The store.
#[derive(Debug)]
pub(crate) struct LocalImages {
    /// The blobs.
    pub content: ContentStore,
    names: PathBuf,
    lock: PathBuf,
}

/// Where it is: `FREEHOLD_IMAGES`, else as the XDG base directory specification says.
pub(crate) fn images_directory(
    variable: impl Fn(&str) -> Option<String>,
) -> Result<PathBuf, Failure> {
    if let Some(path) = variable("FREEHOLD_IMAGES") {
        return Ok(path.into());
    }
    let base = match (variable("XDG_DATA_HOME").map(PathBuf::from), variable("HOME")) {
        (Some(base), _) if base.is_absolute() => base,
        (_, Some(home)) => PathBuf::from(home).join(".local/share"),
        _ => {
            return Err(Failure::invalid("find the local images: HOME is not set")
                .hint("export FREEHOLD_IMAGES=DIR"));
        }
    };
    Ok(base.join("freehold/images"))
}

impl LocalImages {
    /// Opens the store of this user.
    pub(crate) fn open() -> Result<Self, Failure> {
        Self::at(&images_directory(|name| std::env::var(name).ok())?)
    }

    /// Opens the store in a directory.
    pub(crate) fn at(directory: &Path) -> Result<Self, Failure> {
        let content = ContentStore::open(directory)?;
        let (names, lock) = (directory.join("names.json"), directory.join("names.lock"));
        Ok(Self { content, names, lock })
    }

    /// All names.
    pub(crate) fn names(&self) -> Result<BTreeMap<String, Entry>, Failure> {
        let doing = || format!("read {}", self.names.display());
        let bytes = match std::fs::read(&self.names) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(e) => return Err(Failure::io(doing(), &e)),
        };
        serde_json::from_slice(&bytes)
            .map_err(|e| Failure::new(Exit::Failure, doing()).because(e.to_string()))
    }

    /// What a reference names here: its digest, else its name.
    pub(crate) fn find(&self, reference: &Reference) -> Result<Option<Digest>, Failure> {
        if let Some(digest) = reference.digest() {
            return Ok(self.content.has(&digest)?.then_some(digest));
        }
        Ok(self.names()?.get(&reference.to_string()).map(|entry| entry.digest))
    }

    /// The same; that it is not here is an error that lists near names.
    pub(crate) fn need(&self, reference: &Reference) -> Result<Digest, Failure> {
        if let Some(digest) = self.find(reference)? {
            return Ok(digest);
        }
        let names = self.names()?;
        let message = format!("find image {reference} on this machine: it is not there");
        let near = api::id::near_names(&reference.to_string(), names.keys().map(String::as_str));
        let hint = match near.first() {
            Some(near) => format!("did you mean {near}?"),
            None => "freehold image list --local".to_owned(),
        };
        Err(Failure::new(Exit::NotFound, message).hint(hint))
    }

    /// Gives an image a name, taking it from another that had it.
    pub(crate) fn name(
        &self,
        reference: &Reference,
        digest: Digest,
        pulled: bool,
    ) -> Result<(), Failure> {
        let created = Timestamp(jiff::Timestamp::now().as_millisecond());
        let entry = Entry { digest, created, pulled };
        self.change(|names| {
            names.insert(reference.to_string(), entry);
        })
    }

    /// Takes a name away and removes what no name reaches any more; gives the bytes that freed.
    pub(crate) fn remove(&self, reference: &Reference) -> Result<u64, Failure> {
        self.need(reference)?;
        let lock = self.locked()?;
        let mut names = self.names()?;
        names.remove(&reference.to_string());
        self.write(&names)?;
        let mut kept = BTreeSet::new();
        for entry in names.values() {
            self.reach(&entry.digest, &mut kept, MAX_DEPTH)?;
        }
        let mut freed = 0;
        for blob in self.content.list()? {
            let blob = blob?;
            if !kept.contains(&blob.digest) && self.content.delete(&blob.digest)? {
                freed += blob.size;
            }
        }
        drop(lock);
        Ok(freed)
    }

    /// A manifest or index with its media type.
    pub(crate) fn document(&self, digest: &Digest) -> Result<(Vec<u8>, Document), Failure> {
        let bytes = self.content.read(digest, MAX_DOCUMENT)?;
        let document = Document::parse(&bytes, None)?;
        Ok((bytes, document))
    }

    /// Adds a document and all it refers to that is here.
    pub(crate) fn reach(
        &self,
        digest: &Digest,
        reached: &mut BTreeSet<Digest>,
        depth: usize,
    ) -> Result<(), Failure> {
        if depth == 0 || !self.content.has(digest)? || !reached.insert(*digest) {
            return Ok(());
        }
        let (_, document) = self.document(digest)?;
        for part in document.references() {
            let part_digest: Digest = part.digest().to_string().parse()?;
            if known_document(part.media_type().as_ref()) {
                self.reach(&part_digest, reached, depth - 1)?;
            } else if self.content.has(&part_digest)? {
                reached.insert(part_digest);
            }
        }
        Ok(())
    }

    /// Bytes of an image on this machine.
    pub(crate) fn size(&self, digest: &Digest) -> Result<u64, Failure> {
        let mut reached = BTreeSet::new();
        self.reach(digest, &mut reached, MAX_DEPTH)?;
        let mut size = 0;
        for blob in &reached {
            size += self.content.info(blob)?.map_or(0, |info| info.size);
        }
        Ok(size)
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Entry>)) -> Result<(), Failure> {
        let lock = self.locked()?;
        let mut names = self.names()?;
        change(&mut names);
        self.write(&names)?;
        drop(lock);
        Ok(())
    }

    fn write(&self, names: &BTreeMap<String, Entry>) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(names).expect("names and digests are JSON");
        Ok(pki::write_atomic(&self.names, &text, pki::PUBLIC_MODE)?)
    }

    /// One writer of names at a time.
    fn locked(&self) -> Result<File, Failure> {
        let doing = || format!("lock {}", self.lock.display());
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).open(&self.lock);
        let file = file.map_err(|e| Failure::io(doing(), &e))?;
        file.lock().map_err(|e| Failure::io(doing(), &e))?;
        Ok(file)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use image::manifest::Platform;
    use image::pack::{Builder, Source};

    use super::*;

    pub(in crate::images) fn build(images: &LocalImages, text: &str) -> Digest {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), text).unwrap();
        let source = Source { source: dir.path().to_owned(), destination: "/".into() };
        let builder = Builder::new(None, Platform::host()).layer(vec![source]);
        builder.build(&images.content).unwrap().digest
    }

    #[test]
    fn names_are_given_found_and_taken_away_with_their_blobs() {
        let dir = tempfile::tempdir().unwrap();
        let images = LocalImages::at(dir.path()).unwrap();
        let one: Reference = "one:1".parse().unwrap();
        let two: Reference = "two:1".parse().unwrap();
        let first = build(&images, "first");
        let second = build(&images, "second");
        images.name(&one, first, false).unwrap();
        images.name(&two, second, true).unwrap();
        assert_eq!(images.need(&one).unwrap(), first);
        assert_eq!(images.need(&one.at(second)).unwrap(), second, "a digest says exactly what");
        assert!(images.size(&first).unwrap() > 0);

        assert!(images.remove(&one).unwrap() > 0);
        let missing = images.need(&"twoo:1".parse().unwrap()).unwrap_err();
        assert_eq!(missing.exit, Exit::NotFound);
        assert_eq!(missing.hint.as_deref(), Some("did you mean two:1?"));
        assert!(!images.content.has(&first).unwrap());
        assert_eq!(images.need(&two).unwrap(), second);
        image::Image::load(&images.content, &second, &Platform::host()).unwrap();
        images.remove(&two).unwrap();
        assert_eq!(images.content.list().unwrap().count(), 0);
    }

    #[test]
    fn the_directory_follows_the_environment() {
        let path = |pairs: &'static [(&str, &str)]| {
            let find = |name: &str| {
                pairs.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
            };
            images_directory(find).map(|path| path.display().to_string())
        };
        assert_eq!(path(&[("HOME", "/h")]).unwrap(), "/h/.local/share/freehold/images");
        assert_eq!(path(&[("XDG_DATA_HOME", "/x")]).unwrap(), "/x/freehold/images");
        assert_eq!(path(&[("FREEHOLD_IMAGES", "/i"), ("HOME", "/h")]).unwrap(), "/i");
        assert!(path(&[]).is_err());
    }
}
