//! `freehold image inspect`, and reading what an image says of itself.

use std::process::ExitCode;

use image::manifest::{Platform, Process};
use image::{Digest, Document, Image, Reference};
use serde::Serialize;

use crate::connect::{Session, run_async};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::images::{InCluster, LocalImages, api_digest, image_digest};
use crate::output::{Look, fields, size};

/// The largest configuration read, in bytes.
const MAX_CONFIG: u64 = image::manifest::MAX_DOCUMENT_BYTES as u64;

/// Show what an image says of itself
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The image, on this machine or else in the cluster
    pub reference: Reference,
}

/// What an image says of itself.
#[derive(Debug, Clone)]
pub(in crate::command) struct Config {
    /// The image.
    pub image: Image,
    /// Paths that it declares as volumes, sorted.
    pub volumes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Answer {
    reference: Reference,
    digest: Digest,
    platform: String,
    command: Vec<String>,
    user: String,
    working_dir: String,
    env: Vec<String>,
    ports: Vec<String>,
    volumes: Vec<String>,
    stop_signal: String,
    labels: std::collections::BTreeMap<String, String>,
    layers: Vec<Layer>,
}

#[derive(Debug, Serialize)]
struct Layer {
    digest: Digest,
    diff_id: Digest,
    size: u64,
}

pub(crate) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let config = config(session, &arguments.reference)?;
    let answer = answer(arguments.reference.clone(), config);
    session.show(&answer, table)
}

fn answer(reference: Reference, config: Config) -> Answer {
    let Config { image, volumes } = config;
    let command = image.process.command();
    let Process { env, user, working_dir, exposed_ports, stop_signal, labels, .. } = image.process;
    let layer = |layer: &image::Layer| Layer {
        digest: layer.blob,
        diff_id: layer.diff_id,
        size: layer.size,
    };
    Answer {
        reference,
        digest: image.digest,
        platform: image.platform.to_string(),
        command,
        user,
        working_dir,
        env,
        ports: exposed_ports,
        volumes,
        stop_signal,
        labels,
        layers: image.layers.iter().map(layer).collect(),
    }
}

fn table(answer: &Answer, _: &Look) -> String {
    let layer = |layer: &Layer| format!("{} {}", layer.digest, size(layer.size));
    let label = |(name, value): (&String, &String)| format!("{name}={value}");
    fields(&[
        ("image", answer.reference.to_string()),
        ("digest", answer.digest.to_string()),
        ("platform", answer.platform.clone()),
        ("command", answer.command.join(" ")),
        ("user", answer.user.clone()),
        ("working dir", answer.working_dir.clone()),
        ("ports", answer.ports.join(", ")),
        ("volumes", answer.volumes.join(", ")),
        ("stop signal", answer.stop_signal.clone()),
        ("environment", answer.env.join("\n")),
        ("labels", answer.labels.iter().map(label).collect::<Vec<_>>().join("\n")),
        ("layers", answer.layers.iter().map(layer).collect::<Vec<_>>().join("\n")),
    ])
}

/// Reads manifest and configuration, from this machine or else from the cluster, without layers.
pub(in crate::command) fn config(
    session: &Session,
    reference: &Reference,
) -> Result<Config, Failure> {
    let images = LocalImages::open()?;
    if let Some(digest) = images.find(reference)? {
        let image = Image::load(&images.content, &digest, &Platform::host())?;
        let bytes = images.content.read(&image.config, MAX_CONFIG)?;
        return Ok(Config { image, volumes: volumes(&bytes) });
    }
    let client = session.client()?;
    let it = InCluster::of(reference, &client)?;
    run_async(fetch(&client, &it))
}

async fn fetch(client: &client::Client, it: &InCluster) -> Result<Config, Failure> {
    let registry = client.registry(&it.repository);
    let mut wanted = it.wanted.clone();
    // An index of one level is all there is in practice.
    for _ in 0..2 {
        let Some(manifest) = registry.manifest(&wanted).await? else {
            let message =
                format!("find image {}: neither this machine nor the cluster has it", it.reference);
            return Err(Failure::new(Exit::NotFound, message).hint("freehold image list"));
        };
        match Document::parse(&manifest.bytes, Some(&manifest.media_type))? {
            Document::Index(index) => {
                let platform = Platform::host();
                let chosen = platform.choose(&index).ok_or_else(|| {
                    let offered = Platform::offered(&index);
                    Failure::invalid(format!(
                        "read {}: it has nothing for {platform}",
                        it.reference
                    ))
                    .because(format!("it is for {offered}"))
                })?;
                wanted = chosen.digest().to_string();
            }
            Document::Image(document) => {
                let digest: Digest = document.config().digest().to_string().parse()?;
                let mut bytes = Vec::new();
                registry.pull_blob(&api_digest(&digest), &mut bytes, |_| ()).await?;
                if Digest::of(&bytes) != digest {
                    return Err(Failure::invalid(format!("read {digest}: its content is another")));
                }
                let own = image_digest(&manifest.digest);
                let image = Image::assemble(own, &document, &bytes, &Platform::host())?;
                return Ok(Config { image, volumes: volumes(&bytes) });
            }
        }
    }
    Err(Failure::invalid(format!("read {}: its indexes are nested too deep", it.reference)))
}

/// The paths that a configuration declares as volumes.
fn volumes(config: &[u8]) -> Vec<String> {
    let config: serde_json::Value = serde_json::from_slice(config).unwrap_or_default();
    let volumes = config.get("config").and_then(|config| config.get("Volumes"));
    let volumes = volumes.and_then(serde_json::Value::as_object);
    let mut paths: Vec<String> =
        volumes.into_iter().flatten().map(|(path, _)| path.clone()).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_read_and_nonsense_has_none() {
        let config = br#"{"config":{"Volumes":{"/b":{},"/a":{}}}}"#;
        assert_eq!(volumes(config), ["/a", "/b"]);
        for none in [&b"{}"[..], b"[]", b"x", br#"{"config":{"Volumes":null}}"#] {
            assert!(volumes(none).is_empty());
        }
    }
}
