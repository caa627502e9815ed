//! Docker's own form of an image in a file: `manifest.json`, configurations and plain layers.
//!
//! The configuration's bytes are kept (its format is OCI's with more fields); layers are
//! compressed as our own builds compress them, so that the same archive always gives the same
//! image.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::content::ContentStore;
use crate::digest::{Digest, HashReader, HashWriter};
use crate::layout::bundle::Bundle;
use crate::layout::{Imported, LayoutError};
use crate::manifest::{
    MAX_LAYERS, MAX_MANIFESTS, ManifestError, OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST,
    parse_config,
};
use crate::pack::{FixedBlocks, gzip, sorted_json};
use crate::unpack::{Limits, Unzip};

/// An image in `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// Reads every image of a docker-archive; one with several tags is given once for each.
pub(crate) fn import(bundle: &Bundle, store: &ContentStore) -> Result<Vec<Imported>, LayoutError> {
    let entries: Vec<Entry> = serde_json::from_slice(&bundle.document("manifest.json")?)
        .map_err(|source| LayoutError::Malformed { file: "manifest.json".to_owned(), source })?;
    if entries.len() > MAX_MANIFESTS {
        return Err(LayoutError::Limit("manifest.json lists more than 1,024 images"));
    }
    let mut packed = BTreeMap::new();
    let mut imported = Vec::new();
    for entry in &entries {
        let manifest = convert(bundle, store, entry, &mut packed)?;
        let digest = store.write(&manifest)?;
        let tags = entry.repo_tags.iter().flatten().cloned().map(Some);
        let tags: Vec<_> = tags.collect();
        let names = if tags.is_empty() { vec![None] } else { tags };
        imported.extend(names.into_iter().map(|name| Imported {
            name,
            digest,
            media_type: OCI_MANIFEST.to_owned(),
            size: manifest.len() as u64,
            missing: 0,
        }));
    }
    Ok(imported)
}

/// The manifest of one image, its parts stored.
fn convert(
    bundle: &Bundle,
    store: &ContentStore,
    entry: &Entry,
    packed: &mut BTreeMap<Digest, (Digest, u64)>,
) -> Result<Vec<u8>, LayoutError> {
    let config = bundle.document(&entry.config)?;
    let parsed = parse_config(&config)?;
    let diff_ids = parsed.rootfs().diff_ids();
    let files = entry.layers.as_deref().unwrap_or_default();
    if diff_ids.len() != files.len() {
        let (named, listed) = (diff_ids.len(), files.len());
        return Err(LayoutError::LayerCount { config: entry.config.clone(), named, listed });
    }
    if files.len() > MAX_LAYERS {
        return Err(ManifestError::Layers(files.len()).into());
    }
    let mut layers = Vec::with_capacity(files.len());
    for (file, diff_id) in files.iter().zip(diff_ids) {
        let expected: Digest = diff_id
            .parse()
            .map_err(|source| LayoutError::Digest { file: entry.config.clone(), source })?;
        let (blob, size) = match packed.get(&expected) {
            Some(known) => *known,
            None => {
                let known = pack(bundle, store, file, expected)?;
                packed.insert(expected, known);
                known
            }
        };
        layers.push(descriptor(OCI_LAYER_GZIP, &blob, size));
    }
    let config_digest = store.write(&config)?;
    Ok(sorted_json(json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG, &config_digest, config.len() as u64),
        "layers": layers,
    })))
}

/// Compresses one layer into the store.
fn pack(
    bundle: &Bundle,
    store: &ContentStore,
    file: &str,
    expected: Digest,
) -> Result<(Digest, u64), LayoutError> {
    let limit = Limits::default().total_bytes;
    let failed = || LayoutError::io(format!("packing layer {file:?}"));
    let plain = Unzip::new(BufReader::new(bundle.need(file)?)).map_err(failed())?;
    let mut plain = HashReader::new(plain.take(limit + 1));
    let mut out = FixedBlocks::new(gzip(HashWriter::new(store.writer()?)));
    std::io::copy(&mut plain, &mut out).map_err(failed())?;
    let (found, length) = plain.finish();
    if length > limit {
        return Err(LayoutError::Limit("a layer is over 64 GiB"));
    }
    if found != expected {
        return Err(LayoutError::Layer { file: file.to_owned(), expected, found });
    }
    let gzip = out.finish().map_err(failed())?;
    let (writer, blob, size) = gzip.finish().map_err(failed())?.finish();
    writer.commit(Some(&blob))?;
    Ok((blob, size))
}

fn descriptor(media_type: &str, digest: &Digest, size: u64) -> Value {
    json!({ "mediaType": media_type, "digest": digest, "size": size })
}
