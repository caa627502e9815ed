//! The cluster as the registry sees it: records in the store, content on the other servers.

use std::sync::Arc;
use std::time::Duration;

use api::error::ErrorCode;
use api::event::Event;
use api::id::ServerId;
use api::time::Timestamp;
use async_trait::async_trait;
use image::Digest;
use store::document::Document;

use super::domains::{apart, domain_by_name, domain_of, farthest};
use super::peers::{Peers, Take};
use crate::core::{Change, Core, Kind, Row, StoredImage, StoredTag, View, image_name};
use crate::oci::{
    Cluster, ClusterError, Copies, Incoming, Mark, Record, Records, Registry, RegistryError,
    RepositoryName, TagRecord, Wanted,
};
use crate::peer::PeerDialer;

/// How often a write is tried anew that somebody else's write came before.
const TRIES: usize = 50;

/// How long the view may take to show a write that came before ours.
const SEEN_WITHIN: Duration = Duration::from_millis(200);

/// How long the store may take to say what a tag means before the view's word counts.
const ASK_WITHIN: Duration = Duration::from_secs(1);

/// The registry's cluster.
pub struct Shared {
    pub(super) core: Arc<Core>,
    pub(super) peers: Peers,
    pub(super) registry: Arc<Registry>,
}

impl Shared {
    /// Makes the registry one of the cluster's. What is in it and was never written down is
    /// written down first, once in the registry's life.
    ///
    /// # Errors
    /// The registry can't be read or the store does not write.
    pub async fn start(
        core: &Arc<Core>,
        registry: &Arc<Registry>,
        dialer: PeerDialer,
    ) -> Result<Arc<Self>, RegistryError> {
        let peers = Peers::new(core.clone(), dialer);
        let shared = Arc::new(Self { core: core.clone(), peers, registry: registry.clone() });
        if !registry.is_written_down() {
            let records = registry.records().await?;
            for record in &records.images {
                shared.record(record, None).await?;
            }
            for tag in &records.tags {
                shared.record_tag(tag).await?;
            }
            registry.note_written_down()?;
        }
        registry.share(shared.clone());
        Ok(shared)
    }

    /// Everything that is written down.
    pub(super) fn records(&self) -> Records {
        let view = self.core.view();
        let tags = view.image_tags.values().filter_map(|row| tag_record(row));
        let used = view.releases.values().filter(|release| release.image.registry.is_none());
        Records {
            images: view.images.values().filter_map(|row| record(row)).collect(),
            tags: tags.collect(),
            used: used.filter_map(|release| release.image.digest.as_str().parse().ok()).collect(),
        }
    }

    async fn record_tag(&self, tag: &TagRecord) -> Result<(), ClusterError> {
        let stored = StoredTag {
            repository: tag.repository.to_string(),
            tag: tag.tag.clone(),
            digest: api_digest(&tag.digest)?,
            pushed: Timestamp(tag.pushed),
        };
        self.write(|view| {
            let row = view.image_tags.get(&stored.name()).map(AsRef::as_ref);
            // Another server's word is newer than what was never written down.
            Some(if row.is_some() { Change::new() } else { Change::new().put(row, &stored) })
        })
        .await
        .map(|_| ())
    }

    /// Writes what `change` makes of the newest view, until nobody comes before; `None` ends it.
    async fn write(&self, change: impl Fn(&View) -> Option<Change>) -> Result<bool, ClusterError> {
        let mut changes = self.core.cache.changes();
        for _ in 0..TRIES {
            changes.mark_unchanged();
            let view = self.core.view();
            let Some(change) = change(&view) else { return Ok(false) };
            match self.core.commit(change).await {
                Ok(_) => return Ok(true),
                Err(error) if error.code == ErrorCode::Conflict => {
                    // Until the view shows what came before; it is looked at again in any case.
                    let _ = tokio::time::timeout(SEEN_WITHIN, changes.changed()).await;
                }
                Err(error) => return Err(ClusterError(error.to_string())),
            }
        }
        Err(ClusterError("others write the same image without end".to_owned()))
    }

    /// Says that an image is on one server only.
    fn tell_short(&self, repository: &RepositoryName, why: &str) {
        self.core.events.record(Event {
            at: self.core.now(),
            kind: "image.one_copy".into(),
            app: None,
            environment: None,
            release: None,
            instance: None,
            host: None,
            message: format!("an image pushed to {repository} on {}: {why}", self.core.servers.me),
        });
    }
}

fn api_digest(digest: &Digest) -> Result<api::digest::Digest, ClusterError> {
    digest
        .to_string()
        .parse()
        .map_err(|error: api::id::InvalidName| ClusterError(error.to_string()))
}

fn record(row: &StoredImage) -> Option<Record> {
    Some(Record {
        repository: row.repository.parse().ok()?,
        digest: row.digest.as_str().parse().ok()?,
        media_type: row.media_type.clone(),
        size: row.size,
        pusher: row.pusher.clone(),
        pushed: row.pushed.0,
    })
}

fn tag_record(row: &StoredTag) -> Option<TagRecord> {
    Some(TagRecord {
        repository: row.repository.parse().ok()?,
        tag: row.tag.clone(),
        digest: row.digest.as_str().parse().ok()?,
        pushed: row.pushed.0,
    })
}

fn row_of<'a>(
    view: &'a View,
    repository: &RepositoryName,
    digest: &Digest,
) -> Option<&'a Row<StoredImage>> {
    let name = image_name(repository.as_str(), &digest.to_string());
    view.images.get(&name).map(AsRef::as_ref)
}

#[async_trait]
impl Cluster for Shared {
    async fn tag(
        &self,
        repository: &RepositoryName,
        tag: &str,
    ) -> Result<Option<Digest>, ClusterError> {
        let key = format!("{}{repository}:{tag}", StoredTag::PREFIX);
        let asked = self.core.store.get(key.as_bytes(), None);
        let row = match tokio::time::timeout(ASK_WITHIN, asked).await {
            Ok(Ok(got)) => {
                self.core.wait_for(got.revision).await;
                let decode = |kv: store::KeyValue| Document::decode(&StoredTag::SCHEMA, &kv.value);
                let found: Option<Document<StoredTag>> = got.kv.map(decode).transpose().map_err(
                    |error: store::document::DocumentError| ClusterError(error.to_string()),
                )?;
                found.map(|document| document.body)
            }
            // Without the store what was last known is good enough to pull.
            _ => {
                let view = self.core.view();
                let row = view.image_tags.get(&key[StoredTag::PREFIX.len()..]);
                row.map(|row| row.document.body.clone())
            }
        };
        Ok(row.and_then(|row| row.digest.as_str().parse().ok()))
    }

    fn image(&self, repository: &RepositoryName, digest: &Digest) -> Option<(Record, Mark)> {
        let view = self.core.view();
        let row = row_of(&view, repository, digest)?;
        Some((record(row)?, Mark(row.revision.0)))
    }

    async fn record(&self, record: &Record, tag: Option<&str>) -> Result<(), ClusterError> {
        let digest = api_digest(&record.digest)?;
        let image = StoredImage {
            repository: record.repository.to_string(),
            digest: digest.clone(),
            media_type: record.media_type.clone(),
            size: record.size,
            pushed: Timestamp(record.pushed),
            pusher: record.pusher.clone(),
        };
        let tag = tag.map(|tag| StoredTag {
            repository: record.repository.to_string(),
            tag: tag.to_owned(),
            digest,
            pushed: Timestamp(record.pushed),
        });
        self.write(|view| {
            let row = row_of(view, &record.repository, &record.digest);
            let mut change = Change::new().put(row, &image);
            if let Some(tag) = &tag {
                let row = view.image_tags.get(&tag.name()).map(AsRef::as_ref);
                change = change.put(row, tag);
            }
            Some(change)
        })
        .await
        .map(|_| ())
    }

    async fn forget_tag(
        &self,
        repository: &RepositoryName,
        tag: &str,
    ) -> Result<bool, ClusterError> {
        let name = format!("{repository}:{tag}");
        self.write(|view| Some(Change::new().delete(view.image_tags.get(&name)?))).await
    }

    async fn forget_image(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        mark: Mark,
    ) -> Result<bool, ClusterError> {
        let text = digest.to_string();
        self.write(|view| {
            let row = row_of(view, repository, digest).filter(|row| row.revision.0 == mark.0)?;
            let mut change = Change::new().delete(row);
            let tags = view
                .image_tags
                .values()
                .filter(|tag| tag.repository == repository.as_str() && tag.digest.as_str() == text);
            for tag in tags {
                change = change.delete(tag);
            }
            Some(change)
        })
        .await
    }

    async fn copy(&self, repository: &RepositoryName, content: &[Wanted]) -> Copies {
        let view = self.core.view();
        let me = &self.core.servers.me;
        let mine = domain_by_name(&view, me);
        let others: Vec<_> = view.servers.values().filter(|row| row.name != *me).collect();
        if others.is_empty() {
            return Copies::Single;
        }
        let image = content.first().map(|wanted| wanted.digest.to_string()).unwrap_or_default();
        let take = Take { content: super::peers::Named::all(content), from: vec![me.clone()] };
        let mut failure = "no other server is reachable".to_owned();
        for server in farthest(&view, &mine, self.peers.reachable(), &image) {
            match self.peers.take(&server, &take).await {
                Ok(()) => {
                    let is_far = apart(&mine, &domain_by_name(&view, &server));
                    if is_far || !others.iter().any(|row| apart(&mine, &domain_of(&view, row))) {
                        return Copies::Enough;
                    }
                    let why = "it is in one failure domain: no server of another is reachable";
                    self.tell_short(repository, why);
                    return Copies::Short(why.to_owned());
                }
                Err(error) => {
                    tracing::warn!(%server, %repository, %error, "copy an image");
                    failure = format!("server {server} did not take a copy");
                }
            }
        }
        let why = format!("it is on one server only: {failure}");
        self.tell_short(repository, &why);
        Copies::Short(why)
    }

    async fn size(&self, repository: Option<&RepositoryName>, digest: &Digest) -> Option<u64> {
        for server in self.peers.to_ask() {
            match self.peers.size(&server, repository, digest).await {
                Ok(Some(size)) => return Some(size),
                Ok(None) => {}
                Err(error) => tracing::info!(%server, %digest, %error, "ask for content"),
            }
        }
        None
    }

    async fn open(&self, repository: Option<&RepositoryName>, digest: &Digest) -> Option<Incoming> {
        for server in self.peers.to_ask() {
            match self.peers.open(&server, repository, digest).await {
                Ok(Some(found)) => return Some(found),
                Ok(None) => {}
                Err(error) => tracing::info!(%server, %digest, %error, "ask for content"),
            }
        }
        None
    }

    async fn open_from(&self, servers: &[ServerId], digest: &Digest) -> Option<Incoming> {
        for server in servers.iter().filter(|server| **server != self.core.servers.me) {
            match self.peers.open(server, None, digest).await {
                Ok(Some(found)) => return Some(found),
                Ok(None) => {}
                Err(error) => tracing::info!(%server, %digest, %error, "ask for content"),
            }
        }
        self.open(None, digest).await
    }
}
