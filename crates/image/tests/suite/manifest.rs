//! Manifests of every kind, and images put together from a store.

use image::manifest::{Compression, MAX_DOCUMENT_BYTES, Platform};
use image::{ContentStore, Digest, Document, Image, ManifestError};
use serde_json::{Value, json};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";

fn part(media: &str, content: &[u8]) -> Value {
    json!({ "mediaType": media, "digest": Digest::of(content), "size": content.len() })
}

fn manifest(layers: usize) -> Value {
    let layer = part("application/vnd.oci.image.layer.v1.tar+gzip", b"layer");
    json!({
        "schemaVersion": 2,
        "mediaType": OCI,
        "config": part("application/vnd.oci.image.config.v1+json", b"{}"),
        "layers": vec![layer; layers],
    })
}

fn parse(value: &Value, declared: Option<&str>) -> Result<Document, ManifestError> {
    Document::parse(value.to_string().as_bytes(), declared)
}

#[test]
fn every_kind_is_told_apart() {
    for layers in [0, 1, 40, 128] {
        let document = parse(&manifest(layers), Some(OCI)).unwrap();
        assert_eq!(document.references().len(), layers + 1);
        assert_eq!(document.media_type(), OCI);
    }
    assert!(matches!(parse(&manifest(129), None), Err(ManifestError::Layers(129))));
    let mut untyped = manifest(1);
    untyped.as_object_mut().unwrap().remove("mediaType");
    assert!(matches!(parse(&untyped, None).unwrap(), Document::Image(_)));
    assert!(matches!(parse(&untyped, Some(DOCKER)).unwrap(), Document::Image(_)));
    let index = json!({ "schemaVersion": 2, "manifests": [part(OCI, b"m")] });
    for media in [None, Some(OCI_INDEX), Some(DOCKER_LIST)] {
        assert!(matches!(parse(&index, media).unwrap(), Document::Index(_)));
    }
    let subject = part(OCI, b"the image");
    let mut artifact = manifest(1);
    artifact["subject"] = subject;
    artifact["artifactType"] = json!("application/example");
    let document = parse(&artifact, None).unwrap();
    assert_eq!(document.artifact_type().as_deref(), Some("application/example"));
    assert_eq!(document.subject().unwrap().size(), 9);
}

#[test]
fn what_cannot_be_trusted_is_refused() {
    let schema1 = json!({ "schemaVersion": 1, "fsLayers": [], "history": [] });
    for declared in [None, Some(SCHEMA1), Some(OCI)] {
        let error = parse(&schema1, declared).unwrap_err();
        assert!(matches!(error, ManifestError::Schema1) && error.to_string().contains("hint:"));
    }
    let mut both = manifest(1);
    both["manifests"] = json!([]);
    assert!(matches!(parse(&both, None), Err(ManifestError::Ambiguous(_))));
    assert!(matches!(parse(&manifest(1), Some(DOCKER)), Err(ManifestError::Ambiguous(_))));
    let mut index = json!({ "schemaVersion": 2, "manifests": [] });
    assert!(matches!(parse(&index, Some(OCI)), Err(ManifestError::Ambiguous(_))));
    index["mediaType"] = json!("text/html");
    assert!(matches!(parse(&index, None), Err(ManifestError::Media(_))));
    let mut other = manifest(1);
    other["layers"][0]["digest"] = json!(format!("sha512:{}", "0".repeat(128)));
    assert!(matches!(parse(&other, None), Err(ManifestError::Digest { .. })));
    let huge = vec![b' '; MAX_DOCUMENT_BYTES + 1];
    assert!(matches!(Document::parse(&huge, None), Err(ManifestError::TooLarge { .. })));
    for bad in ["", "{", "[]", "null", "{\"schemaVersion\":2}", &"[".repeat(100_000)] {
        assert!(Document::parse(bad.as_bytes(), None).is_err(), "{bad:.20}");
    }
}

/// A store with an image for each architecture and an index over all.
fn images(architectures: &[(&str, Option<&str>)]) -> (tempfile::TempDir, ContentStore, Digest) {
    let dir = tempfile::tempdir().unwrap();
    let store = ContentStore::open(dir.path()).unwrap();
    let mut entries = Vec::new();
    for (architecture, variant) in architectures {
        // As Docker writes it: absent lists are null, empty ones left out.
        let config = json!({
            "architecture": architecture, "os": "linux", "rootfs": { "type": "layers" },
            "config": {
                "Entrypoint": null, "Cmd": ["/run", variant], "Env": ["A=b"], "User": "7:8",
                "ExposedPorts": { "90/tcp": {}, "80/tcp": {} }, "StopSignal": "SIGQUIT",
                "Healthcheck": { "Test": ["NONE"] }, "Labels": null,
            },
            "docker_version": "1",
        });
        let config = config.to_string().replace("null]", "\"-\"]");
        store.write(config.as_bytes()).unwrap();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": DOCKER, "layers": [],
            "config": part("application/vnd.docker.container.image.v1+json", config.as_bytes()),
        })
        .to_string();
        store.write(manifest.as_bytes()).unwrap();
        let mut entry = part(DOCKER, manifest.as_bytes());
        entry["platform"] = json!({ "os": "linux", "architecture": architecture });
        if let Some(variant) = variant {
            entry["platform"]["variant"] = json!(variant);
        }
        entries.push(entry);
    }
    let index = json!({ "schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": entries });
    let digest = store.write(index.to_string().as_bytes()).unwrap();
    (dir, store, digest)
}

#[test]
fn the_fitting_platform_is_chosen() {
    let (_dir, store, index) = images(&[
        ("unknown", None),
        ("amd64", Some("v3")),
        ("amd64", Some("v1")),
        ("arm64", Some("v8")),
    ]);
    let load = |arch: &str| Image::load(&store, &index, &Platform::linux(arch));
    let image = load("amd64").unwrap();
    assert_eq!(image.process.cmd, ["/run", "v1"]);
    assert_eq!(image.process.exposed_ports, ["80/tcp", "90/tcp"]);
    assert_eq!(
        (image.process.user.as_str(), image.process.stop_signal.as_str()),
        ("7:8", "SIGQUIT")
    );
    assert_eq!(load("arm64").unwrap().process.command(), ["/run", "v8"]);
    let error = load("riscv64").unwrap_err().to_string();
    assert!(error.contains("linux/riscv64") && error.contains("linux/arm64/v8"), "{error}");
    // A single image for another machine is refused too.
    let wrong = Image::load(&store, &image.digest, &Platform::linux("arm64")).unwrap_err();
    assert!(wrong.to_string().contains("made for linux/amd64"), "{wrong}");
}

#[test]
fn missing_and_unfit_parts_are_named() {
    let (_dir, store, index) = images(&[("amd64", None)]);
    let image = Image::load(&store, &index, &Platform::linux("amd64")).unwrap();
    store.delete(&image.config).unwrap();
    let error = Image::load(&store, &index, &Platform::linux("amd64")).unwrap_err();
    assert!(error.to_string().contains(&image.config.to_string()), "{error}");
    let config = json!({ "architecture": "amd64", "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [Digest::of(b"a")] } })
    .to_string();
    store.write(config.as_bytes()).unwrap();
    let build = |config_media: &str, layer_media: &[&str]| {
        let layers: Vec<_> = layer_media.iter().map(|media| part(media, b"l")).collect();
        let manifest = json!({ "schemaVersion": 2, "mediaType": OCI, "layers": layers,
            "config": part(config_media, config.as_bytes()) });
        let digest = store.write(manifest.to_string().as_bytes()).unwrap();
        Image::load(&store, &digest, &Platform::linux("amd64"))
    };
    const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    let image = build(CONFIG, &[LAYER]).unwrap();
    assert_eq!(image.layers[0].media.compression, Compression::Zstd);
    for (config, layers, says) in [
        (CONFIG, &[LAYER, LAYER][..], "2 layers, its configuration 1"),
        (CONFIG, &["text/plain"], "\"text/plain\" are not supported"),
        ("application/vnd.oci.empty.v1+json", &[LAYER], "no image"),
    ] {
        let error = build(config, layers).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
