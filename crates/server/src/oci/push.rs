//! What pushing does: uploads, links, manifests. Everything here blocks and runs on threads made
//! for that; the content of requests comes in pieces.

use std::time::SystemTime;

use image::content::UploadId;
use image::manifest::{Document, LayerMedia, known_document};
use image::{ContentError, Digest};

use super::metadata::{NewManifest, Part};
use super::registry::Inner;
use super::session::Session;
use super::{ManifestName, RegistryError, RepositoryName};

/// A manifest as it came.
pub(super) struct Pushed {
    pub(super) repository: RepositoryName,
    pub(super) name: ManifestName,
    /// The media type the client said it has.
    pub(super) declared: Option<String>,
    pub(super) content: Vec<u8>,
    pub(super) pusher: String,
}

/// A manifest that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) digest: Digest,
    pub(super) subject: Option<Digest>,
}

impl Inner {
    /// Starts an upload.
    pub(super) fn start_upload(
        &self,
        repository: &RepositoryName,
    ) -> Result<Session, RegistryError> {
        let limit = self.options.max_uploads;
        if self.metadata.count_uploads()? >= limit {
            self.expire_uploads(self.options.upload_reclaim)?;
        }
        let session = self.sessions.start()?;
        match self.metadata.add_upload(session.id, repository, self.now(), limit) {
            Ok(()) => Ok(session),
            Err(error) => {
                self.sessions.forget(session.id);
                if let Err(left) = session.cancel() {
                    tracing::warn!(error = %left, "removing an upload that was not noted failed");
                }
                Err(error)
            }
        }
    }

    /// Takes the right to write an upload of this repository.
    pub(super) fn claim_upload(
        &self,
        repository: &RepositoryName,
        id: &str,
    ) -> Result<Session, RegistryError> {
        let unknown = || RegistryError::UploadUnknown {
            repository: repository.clone(),
            id: id.chars().take(100).collect(),
        };
        let upload: UploadId = id.parse().map_err(|_| unknown())?;
        if !self.metadata.has_upload(upload, repository)? {
            return Err(unknown());
        }
        match self.sessions.claim(upload) {
            Err(ContentError::NoUpload(_)) => {
                self.metadata.remove_upload(upload)?;
                Err(unknown())
            }
            other => Ok(other?),
        }
    }

    /// Turns an upload into a blob of the repository.
    pub(super) fn finish_upload(
        &self,
        repository: &RepositoryName,
        mut session: Session,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        let _placed_and_linked = self.shards.lock(digest);
        match session.place(&self.content, digest) {
            Ok(()) => {}
            Err(error @ ContentError::Mismatch { .. }) => {
                self.sessions.forget(session.id);
                self.metadata.remove_upload(session.id)?;
                return Err(error.into());
            }
            Err(error) => return Err(error.into()),
        }
        self.metadata.link_blob(repository, digest, session.id, self.now())?;
        self.sessions.forget(session.id);
        Ok(())
    }

    /// Ends an upload without a blob.
    pub(super) fn cancel_upload(&self, session: Session) -> Result<(), RegistryError> {
        let id = session.id;
        session.cancel()?;
        self.sessions.forget(id);
        self.metadata.remove_upload(id)
    }

    /// Cancels uploads without new bytes for `idle`; gives their number.
    pub(super) fn expire_uploads(&self, idle: std::time::Duration) -> Result<usize, RegistryError> {
        let now = self.now();
        let old: Vec<UploadId> = self
            .content
            .uploads()?
            .into_iter()
            .filter(|upload| now.duration_since(upload.modified).is_ok_and(|age| age >= idle))
            .map(|upload| upload.id)
            .collect();
        self.sessions.close_idle(|id| old.contains(&id));
        let expired = self.content.expire_uploads(now, idle)?;
        let left: std::collections::HashSet<UploadId> =
            self.content.uploads()?.into_iter().map(|upload| upload.id).collect();
        let before = now.checked_sub(idle).unwrap_or(SystemTime::UNIX_EPOCH);
        self.metadata.forget_uploads(before, |id| {
            let gone = !left.contains(&id);
            if gone {
                self.sessions.forget(id);
            }
            gone
        })?;
        Ok(expired)
    }

    /// The size of a blob that is seen in the repository. Who asks may be about to push a manifest
    /// that relies on the answer, so a blob that no manifest needs is kept for another while.
    pub(super) fn blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<u64, RegistryError> {
        let unknown =
            || RegistryError::BlobUnknown { repository: repository.clone(), digest: *digest };
        let touched = self.metadata.blob_touched(repository, digest)?.ok_or_else(unknown)?;
        let size = self.blob_size(digest)?.ok_or_else(unknown)?;
        let now = self.now();
        let age = now.duration_since(super::metadata::from_millis(touched)).unwrap_or_default();
        if age > self.options.grace / 2 {
            match self.metadata.touch_blob(repository, digest, now) {
                Ok(true) => {}
                Ok(false) => return Err(unknown()),
                // On a full disk reading goes on.
                Err(error) => tracing::warn!(%digest, %error, "keeping a blob failed"),
            }
        }
        Ok(size)
    }

    /// Makes a blob of `from` a blob of `repository`; `false` when it is not in `from`.
    pub(super) fn mount(
        &self,
        repository: &RepositoryName,
        from: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, RegistryError> {
        let _placed_and_linked = self.shards.lock(digest);
        if !self.content.has(digest)? {
            return Ok(false);
        }
        self.metadata.mount_blob(repository, from, digest, self.now())
    }

    /// Stores a manifest.
    pub(super) fn put_manifest(&self, pushed: &Pushed) -> Result<Stored, RegistryError> {
        let new = read_manifest(pushed)?;
        let size = |digest: &Digest| self.blob_size(digest);
        // Once before, so that what can't be stored takes no place.
        self.metadata.check_manifest(&new, &size)?;
        let _placed_and_linked = self.shards.lock(&new.digest);
        self.content.write(&pushed.content)?;
        self.metadata.put_manifest(&new, self.now(), &size)?;
        Ok(Stored { digest: new.digest, subject: new.subject })
    }
}

/// Reads a manifest as it came.
pub(super) fn read_manifest(pushed: &Pushed) -> Result<NewManifest, RegistryError> {
    let content = pushed.content.as_slice();
    let digest = Digest::of(content);
    if let ManifestName::Digest(expected) = pushed.name
        && expected != digest
    {
        return Err(RegistryError::DigestMismatch { expected, found: digest });
    }
    let declared = pushed.declared.as_deref();
    let document = Document::parse(content, declared).map_err(RegistryError::Manifest)?;
    let subject = match document.subject().map(|subject| subject.digest().as_ref().parse()) {
        None => None,
        Some(Ok(subject)) => Some(subject),
        Some(Err(error)) => return Err(RegistryError::Name(super::NameError::Digest(error))),
    };
    Ok(NewManifest {
        digest,
        tag: match &pushed.name {
            ManifestName::Tag(tag) => Some(tag.clone()),
            ManifestName::Digest(_) => None,
        },
        media_type: declared
            .filter(|media| known_document(media))
            .map_or_else(|| document.media_type(), str::to_owned),
        artifact_type: document.artifact_type(),
        size: content.len() as u64,
        subject,
        annotations: subject.and_then(|_| annotations(&document)),
        parts: parts(&document)?,
        repository: pushed.repository.clone(),
        pusher: pushed.pusher.clone(),
    })
}

/// The annotations as JSON, if there are any.
fn annotations(document: &Document) -> Option<String> {
    let annotations = match document {
        Document::Image(manifest) => manifest.annotations(),
        Document::Index(index) => index.annotations(),
    };
    let annotations = annotations.as_ref().filter(|annotations| !annotations.is_empty())?;
    let sorted: std::collections::BTreeMap<_, _> = annotations.iter().collect();
    serde_json::to_string(&sorted).ok()
}

/// What the document needs, each part once.
fn parts(document: &Document) -> Result<Vec<Part>, RegistryError> {
    let index = matches!(document, Document::Index(_));
    let mut parts: Vec<Part> = Vec::new();
    for descriptor in document.references() {
        let digest: Digest =
            descriptor.digest().as_ref().parse().map_err(super::NameError::Digest)?;
        let elsewhere = LayerMedia::parse(descriptor.media_type().as_ref())
            .is_some_and(|layer| !layer.distributable);
        let size = descriptor.size();
        if i64::try_from(size).is_err() {
            let (part, declared) = (digest, size);
            return Err(RegistryError::PartSize { part, declared, size: 0 });
        }
        match parts.iter().find(|part| part.digest == digest) {
            Some(known) if known.size != size => {
                let (part, declared) = (digest, size);
                return Err(RegistryError::PartSize { part, declared, size: known.size });
            }
            Some(_) => {}
            None => parts.push(Part { digest, size, optional: index || elsewhere }),
        }
    }
    Ok(parts)
}
