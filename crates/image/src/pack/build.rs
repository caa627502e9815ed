//! From a base and sources to an image in a content store.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};

use serde_json::{Map, Value, json};

use crate::content::ContentStore;
use crate::digest::{Digest, HashWriter};
use crate::manifest::{Compression, Image, LayerMedia, MAX_LAYERS, Platform};
use crate::manifest::{ManifestError, OCI_CONFIG, OCI_MANIFEST, read_document};
use crate::pack::PackError;
use crate::pack::archive::{FixedBlocks, ROOT_OWNED, TarEntry, TarKind, TarWriter, gzip};
use crate::pack::base::{DirectoryLook, Parts, Skeleton};
use crate::pack::source::{Found, Source, collect, read};

/// What an image says about its process; `None` keeps what the base says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The first words of the command. Setting it drops the base's `cmd`, which was meant for
    /// another program.
    pub entrypoint: Option<Vec<String>>,
    /// The words after it.
    pub cmd: Option<Vec<String>>,
    /// Variables, added to the base's and replacing those of the same name.
    pub env: BTreeMap<String, String>,
    /// `user[:group]`.
    pub user: Option<String>,
    /// The working directory.
    pub working_dir: Option<String>,
    /// Labels, added to the base's.
    pub labels: BTreeMap<String, String>,
    /// Ports such as `8080/tcp` (or `8080`, meaning TCP), added to the base's.
    pub exposed_ports: Vec<String>,
    /// The signal that asks it to stop.
    pub stop_signal: Option<String>,
}

/// Builds one image.
#[derive(Debug, Clone)]
pub struct Builder {
    base: Option<Digest>,
    platform: Platform,
    layers: Vec<Vec<Source>>,
    settings: Settings,
    epoch: u64,
}

/// An image that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The manifest's digest: the image's name.
    pub digest: Digest,
    /// The manifest's size in bytes.
    pub size: u64,
    /// The image.
    pub image: Image,
}

/// A layer that was added.
struct Added {
    blob: Digest,
    size: u64,
    diff_id: Digest,
    comment: String,
}

impl Builder {
    /// An image for `platform` on `base`, a manifest or index in the content store, or on nothing.
    #[must_use]
    pub fn new(base: Option<Digest>, platform: Platform) -> Self {
        let settings = Settings::default();
        Self { base, platform, layers: Vec::new(), settings, epoch: 0 }
    }

    /// Adds a layer of these sources; where two bring the same file the later one wins.
    #[must_use]
    pub fn layer(mut self, sources: Vec<Source>) -> Self {
        self.layers.push(sources);
        self
    }

    /// What the image says about its process.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// The time of everything, in seconds since 1970; see [`super::source_date_epoch`].
    #[must_use]
    pub fn epoch(mut self, seconds: u64) -> Self {
        self.epoch = seconds;
        self
    }

    /// Builds the image into `store`.
    ///
    /// # Errors
    /// A [`PackError`].
    pub fn build(&self, store: &ContentStore) -> Result<Built, PackError> {
        let base = match &self.base {
            Some(digest) => Some(Image::load(store, digest, &self.platform)?),
            None => None,
        };
        let below = base.as_ref().map_or(0, |image| image.layers.len());
        if below + self.layers.len() > MAX_LAYERS {
            return Err(PackError::Layers(below + self.layers.len()));
        }
        let mut skeleton = match &base {
            Some(image) if !self.layers.is_empty() => Skeleton::of(store, image)?,
            _ => Skeleton::default(),
        };
        let mut added = Vec::with_capacity(self.layers.len());
        for sources in &self.layers {
            added.push(self.add(store, &mut skeleton, sources)?);
        }
        let config = self.config(store, base.as_ref(), &added)?;
        let config_digest = store.write(&config)?;
        let mut layers: Vec<Value> = base
            .iter()
            .flat_map(|image| &image.layers)
            .map(|layer| descriptor(layer.media.to_oci(), &layer.blob, layer.size))
            .collect();
        let media = LayerMedia { compression: Compression::Gzip, distributable: true };
        layers.extend(added.iter().map(|l| descriptor(media.to_oci(), &l.blob, l.size)));
        let manifest = sorted_json(json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor(OCI_CONFIG, &config_digest, config.len() as u64),
            "layers": layers,
        }));
        let digest = store.write(&manifest)?;
        let image = Image::load(store, &digest, &self.platform)?;
        Ok(Built { digest, size: manifest.len() as u64, image })
    }

    fn add(
        &self,
        store: &ContentStore,
        skeleton: &mut Skeleton,
        sources: &[Source],
    ) -> Result<Added, PackError> {
        let mut nodes: BTreeMap<Parts, Place> = BTreeMap::new();
        for source in sources {
            for (parts, found) in collect(source)? {
                self.place(skeleton, &mut nodes, source, parts, found)?;
            }
        }
        let writer = store.writer()?;
        let gzip = FixedBlocks::new(gzip(HashWriter::new(writer)));
        let mut tar = TarWriter::new(HashWriter::new(gzip));
        for (parts, place) in &nodes {
            self.write(&mut tar, &parts.join(&b'/'), place)?;
        }
        let (blocks, diff_id, _) = tar.finish().map_err(PackError::Write)?.finish();
        let gzip = blocks.finish().map_err(PackError::Write)?;
        let (writer, blob, size) = gzip.finish().map_err(PackError::Write)?.finish();
        writer.commit(Some(&blob))?;
        let to: Vec<_> = sources.iter().map(|source| source.destination.as_str()).collect();
        Ok(Added { blob, size, diff_id, comment: format!("add {}", to.join(" ")) })
    }

    /// Puts something where it goes, with the directories above it.
    fn place(
        &self,
        skeleton: &mut Skeleton,
        nodes: &mut BTreeMap<Parts, Place>,
        source: &Source,
        mut parts: Parts,
        found: Found,
    ) -> Result<(), PackError> {
        let shown = |parts: &Parts| format!("/{}", String::from_utf8_lossy(&parts.join(&b'/')));
        let circle = |parts: &Parts| PackError::Destination {
            dest: shown(parts),
            why: "the base image's symbolic links go round in circles there",
        };
        let conflict = |dest: &Parts| {
            let (path, dest) = (source.source.clone(), shown(dest));
            PackError::Conflict { path, dest }
        };
        if found == Found::Directory {
            let resolved = skeleton.resolve(&parts).ok_or_else(|| circle(&parts))?;
            return self.directories(skeleton, nodes, &resolved).map_err(|at| conflict(&at));
        }
        let name = parts.pop().expect("a file's destination has a name");
        let mut resolved = skeleton.resolve(&parts).ok_or_else(|| circle(&parts))?;
        self.directories(skeleton, nodes, &resolved).map_err(|at| conflict(&at))?;
        resolved.push(name);
        if matches!(nodes.get(&resolved), Some(Place::Directory(_))) {
            return Err(conflict(&resolved));
        }
        let link = match &found {
            Found::Symlink(target) => Some(target.clone()),
            _ => None,
        };
        skeleton.add_other(&resolved, link);
        nodes.insert(resolved, Place::Found(found));
        Ok(())
    }

    /// Makes sure of a resolved directory and those above it; the error is what is in the way.
    fn directories(
        &self,
        skeleton: &mut Skeleton,
        nodes: &mut BTreeMap<Parts, Place>,
        parts: &Parts,
    ) -> Result<(), Parts> {
        for depth in 1..=parts.len() {
            let dir = parts[..depth].to_vec();
            match nodes.get(&dir) {
                Some(Place::Directory(_)) => continue,
                Some(Place::Found(_)) => return Err(dir),
                None => {}
            }
            let plain = DirectoryLook { mode: 0o755, owner: ROOT_OWNED, mtime: self.epoch };
            let look = skeleton.directory(&dir).unwrap_or(plain);
            skeleton.add_directory(dir.clone(), look);
            nodes.insert(dir, Place::Directory(look));
        }
        Ok(())
    }

    fn write<W: io::Write>(
        &self,
        tar: &mut TarWriter<W>,
        path: &[u8],
        place: &Place,
    ) -> Result<(), PackError> {
        let entry =
            |kind, mode| TarEntry { path, kind, mode, owner: ROOT_OWNED, mtime: self.epoch };
        let written = match place {
            Place::Directory(look) => {
                let (mode, owner, mtime) = (look.mode, look.owner, look.mtime);
                let entry = TarEntry { path, kind: TarKind::Directory, mode, owner, mtime };
                tar.entry(&entry, io::empty())
            }
            Place::Found(Found::Directory) => unreachable!("directories have a place of their own"),
            Place::Found(Found::Symlink(target)) => {
                tar.entry(&entry(TarKind::Symlink(target), 0o777), io::empty())
            }
            Place::Found(Found::File { from, size, executable }) => {
                let mut file = File::open(from).map_err(read(from))?;
                let mode = if *executable { 0o755 } else { 0o644 };
                let written = tar.entry(&entry(TarKind::File(*size), mode), &mut file);
                let cut = written.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::UnexpectedEof);
                let grown = file.read(&mut [0]).map_err(read(from))? > 0;
                if cut || (written.is_ok() && grown) {
                    return Err(PackError::Changed(from.clone()));
                }
                written
            }
        };
        written.map_err(PackError::Write)
    }

    /// The configuration: the base's, whatever fields it has, with ours over it.
    fn config(
        &self,
        store: &ContentStore,
        base: Option<&Image>,
        added: &[Added],
    ) -> Result<Vec<u8>, PackError> {
        let created = i64::try_from(self.epoch)
            .ok()
            .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
            .ok_or(PackError::Time(self.epoch))?
            .to_string();
        let mut config = match base {
            Some(image) => {
                let bytes = read_document(store, "configuration", &image.config)?;
                let value: Value = serde_json::from_slice(&bytes).map_err(|source| {
                    ManifestError::Malformed { what: "image configuration".to_owned(), source }
                })?;
                value.as_object().cloned().unwrap_or_default()
            }
            None => Map::new(),
        };
        // Docker's leftovers of the machine that built the base.
        for field in ["container", "container_config", "docker_version", "id", "parent"] {
            config.shift_remove(field);
        }
        config.insert("created".to_owned(), json!(created));
        config.insert("architecture".to_owned(), json!(self.platform.architecture));
        config.insert("os".to_owned(), json!(self.platform.os));
        let below = base.iter().flat_map(|image| &image.layers).map(|layer| layer.diff_id);
        let diff_ids: Vec<_> = below.chain(added.iter().map(|layer| layer.diff_id)).collect();
        config.insert("rootfs".to_owned(), json!({ "type": "layers", "diff_ids": diff_ids }));
        let mut history =
            config.get("history").and_then(Value::as_array).cloned().unwrap_or_default();
        history.extend(
            added.iter().map(|layer| json!({ "created": created, "created_by": layer.comment })),
        );
        config.insert("history".to_owned(), Value::Array(history));
        let process = config.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
        config.insert("config".to_owned(), Value::Object(self.process(process)));
        Ok(sorted_json(Value::Object(config)))
    }

    fn process(&self, mut process: Map<String, Value>) -> Map<String, Value> {
        let ours = &self.settings;
        let mut set = |key: &str, value: Value| {
            process.insert(key.to_owned(), value);
        };
        if let Some(entrypoint) = &ours.entrypoint {
            set("Entrypoint", json!(entrypoint));
            set("Cmd", Value::Null);
        }
        let texts = [
            ("User", &ours.user),
            ("WorkingDir", &ours.working_dir),
            ("StopSignal", &ours.stop_signal),
        ];
        for (key, value) in texts {
            if let Some(value) = value {
                set(key, json!(value));
            }
        }
        if let Some(cmd) = &ours.cmd {
            set("Cmd", json!(cmd));
        }
        let mut env: Vec<String> = process
            .get("Env")
            .and_then(|env| serde_json::from_value(env.clone()).ok())
            .unwrap_or_default();
        env.retain(|line| {
            let name = line.split_once('=').map_or(line.as_str(), |(name, _)| name);
            !ours.env.contains_key(name)
        });
        env.extend(ours.env.iter().map(|(name, value)| format!("{name}={value}")));
        if !env.is_empty() {
            process.insert("Env".to_owned(), json!(env));
        }
        let ports = ours.exposed_ports.iter().map(|port| {
            let port = if port.contains('/') { port.clone() } else { format!("{port}/tcp") };
            (port, json!({}))
        });
        extend(&mut process, "ExposedPorts", ports);
        let labels = ours.labels.iter().map(|(name, value)| (name.clone(), json!(value)));
        extend(&mut process, "Labels", labels);
        process.retain(|_, value| !value.is_null());
        process
    }
}

/// What goes to one path of a layer.
enum Place {
    Directory(DirectoryLook),
    Found(Found),
}

fn extend(
    process: &mut Map<String, Value>,
    key: &str,
    with: impl Iterator<Item = (String, Value)>,
) {
    let mut all = process.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
    all.extend(with);
    if !all.is_empty() {
        process.insert(key.to_owned(), Value::Object(all));
    }
}

fn descriptor(media_type: &str, digest: &Digest, size: u64) -> Value {
    json!({ "mediaType": media_type, "digest": digest, "size": size })
}

/// A document with all keys sorted, so that the same content is the same bytes.
pub(crate) fn sorted_json(mut value: Value) -> Vec<u8> {
    value.sort_all_objects();
    value.to_string().into_bytes()
}
