//! Images we build: the same bytes everywhere, and respectful of their base.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use image::manifest::{Compression, Platform};
use image::pack::{Builder, Built, PackError, Settings, Source, source_date_epoch};
use image::{ContentStore, LayerStore};
use serde_json::json;

use crate::world::{self, Tar, layer, picture};

struct World {
    dir: tempfile::TempDir,
    store: ContentStore,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = ContentStore::open(dir.path().join("store")).unwrap();
        Self { dir, store }
    }

    fn source(&self, name: &str, destination: &str) -> Source {
        let source = self.dir.path().join(name);
        Source { source, destination: destination.to_owned() }
    }

    fn write(&self, name: &str, content: &str, mode: u32) {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// A base image of one layer.
    fn base(&self, tar: Tar, config: &serde_json::Value) -> image::Digest {
        let (layer, blob) = layer(&tar.end(), Compression::Gzip);
        self.store.write(&blob).unwrap();
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": config, "x.unknown": [1],
            "rootfs": { "type": "layers", "diff_ids": [layer.diff_id] },
            "history": [{ "created_by": "base" }],
        })
        .to_string();
        let digest = self.store.write(config.as_bytes()).unwrap();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": { "mediaType": "application/vnd.docker.container.image.v1+json",
                "digest": digest, "size": config.len() },
            "layers": [{ "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                "digest": layer.blob, "size": layer.size }],
        });
        self.store.write(manifest.to_string().as_bytes()).unwrap()
    }

    /// The tree of the topmost layer.
    fn top(&self, built: &Built) -> std::path::PathBuf {
        let layers = LayerStore::open(self.dir.path().join("layers")).unwrap();
        let top = built.image.layers.last().unwrap();
        layers.unpack(top, self.store.reader(&top.blob).unwrap()).unwrap();
        layers.path(&top.diff_id)
    }
}

fn scratch() -> Builder {
    Builder::new(None, Platform::linux("amd64"))
}

/// The same tree, made in another order with other times, owners and modes, in another directory.
fn tree(world: &World, backwards: bool) {
    let mut files: Vec<_> = (0..50).map(|i| format!("src/d{}/f{i}", i % 7)).collect();
    if backwards {
        files.reverse();
    }
    for name in &files {
        world.write(name, &name.repeat(3000), if backwards { 0o600 } else { 0o644 });
    }
    world.write("src/run", "#!/bin/sh", if backwards { 0o4711 } else { 0o755 });
    world.write(&format!("src/{}/{}", "l".repeat(200), "n".repeat(150)), "long", 0o644);
    symlink("run", world.dir.path().join("src/link")).unwrap();
    symlink(format!("./{}", "t/".repeat(90)), world.dir.path().join("src/long")).unwrap();
    fs::create_dir(world.dir.path().join("src/empty")).unwrap();
    if backwards {
        let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(5);
        fs::File::open(world.dir.path().join("src/run")).unwrap().set_modified(old).unwrap();
        let mode = fs::Permissions::from_mode(0o700);
        fs::set_permissions(world.dir.path().join("src/d0"), mode).unwrap();
    }
}

fn settings() -> Settings {
    Settings {
        entrypoint: Some(vec!["/app/run".to_owned()]),
        cmd: Some(vec!["--now".to_owned()]),
        env: [("B".to_owned(), "2".to_owned()), ("A".to_owned(), "1".to_owned())].into(),
        user: Some("1000:1000".to_owned()),
        working_dir: Some("/app".to_owned()),
        labels: (0..20).map(|i| (format!("l{i}"), "v".to_owned())).collect(),
        exposed_ports: vec!["8080".to_owned(), "53/udp".to_owned()],
        stop_signal: None,
    }
}

#[test]
fn the_same_input_is_the_same_image_everywhere() {
    let mut digests = Vec::new();
    for backwards in [false, true] {
        let world = World::new();
        tree(&world, backwards);
        let built = scratch()
            .layer(vec![world.source("src", "/app")])
            .settings(settings())
            .epoch(1_700_000_000)
            .build(&world.store)
            .unwrap();
        digests.push(built.digest);
    }
    assert_eq!(digests[0], digests[1]);
    // Pinned: whoever changes this changes the name of everybody's images.
    assert_eq!(digests[0].to_string(), GOLDEN);
}

const GOLDEN: &str = "sha256:e33f10367dc63601172eadcc2057d58839e8c894cded9eb16cd583d306b97892";

#[test]
fn an_image_from_nothing_has_what_was_asked() {
    if !world::root() {
        return;
    }
    let world = World::new();
    tree(&world, true);
    world.write("tool", "bin", 0o755);
    let built = scratch()
        .layer(vec![world.source("src", "/app"), world.source("tool", "/usr/bin/")])
        .settings(settings())
        .build(&world.store)
        .unwrap();
    let process = &built.image.process;
    assert_eq!(process.command(), ["/app/run", "--now"]);
    assert_eq!(process.env, ["A=1", "B=2"]);
    assert_eq!(process.exposed_ports, ["53/udp", "8080/tcp"]);
    let seen = picture(&world.top(&built));
    assert!(seen.values().all(|seen| seen.owner == (0, 0) && seen.mtime == (0, 0)), "{seen:?}");
    assert_eq!(seen[Path::new("app/run")].mode, 0o100_755);
    assert_eq!(seen[Path::new("app/d0/f0")].mode, 0o100_644);
    assert_eq!(seen[Path::new("app/d0")].mode, 0o040_755);
    assert_eq!(seen[Path::new("app/link")].content, "run");
    assert_eq!(seen[Path::new("app/long")].content, format!("./{}", "t/".repeat(90)));
    assert!(seen.contains_key(Path::new("usr/bin/tool")));
    assert!(seen.contains_key(Path::new("app/empty")));
    let long = format!("app/{}/{}", "l".repeat(200), "n".repeat(150));
    assert!(seen.contains_key(Path::new(&long)));
}

#[test]
fn the_bases_directories_and_links_are_respected() {
    if !world::root() {
        return;
    }
    let world = World::new();
    world.write("src/bin/tool", "t", 0o755);
    world.write("src/tmp/note", "n", 0o644);
    let tar = Tar::default()
        .dir("usr/bin", 0o755)
        .symlink("bin", "usr/bin")
        .dir("tmp", 0o1777)
        .symlink("var/tmp", "/tmp")
        .symlink("a", "b")
        .symlink("b", "a")
        .file("etc/os-release", "");
    let base = world.base(
        tar,
        &json!({ "Env": ["PATH=/bin", "A=0"], "Cmd": ["sh"],
        "ExposedPorts": { "1/tcp": {} }, "Healthcheck": { "Test": ["NONE"] } }),
    );
    let on_base = || Builder::new(Some(base), Platform::linux("amd64"));
    let built = on_base()
        .layer(vec![world.source("src", "/"), world.source("src/tmp/note", "/var/tmp/deep/note")])
        .settings(settings())
        .build(&world.store)
        .unwrap();
    let seen = picture(&world.top(&built));
    assert!(!seen.contains_key(Path::new("bin")), "the link /bin would be hidden");
    assert!(seen.contains_key(Path::new("usr/bin/tool")));
    assert_eq!(seen[Path::new("tmp")].mode, 0o041_777);
    assert!(seen.contains_key(Path::new("tmp/deep/note")), "through /var/tmp");
    let process = &built.image.process;
    assert_eq!(process.env, ["PATH=/bin", "A=1", "B=2"]);
    assert_eq!(process.exposed_ports, ["1/tcp", "53/udp", "8080/tcp"]);
    assert_eq!(built.image.layers.len(), 2);
    let config = world.store.read(&built.image.config, 1 << 20).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["x.unknown"], json!([1]), "fields we do not know are kept");
    assert_eq!(config["config"]["Healthcheck"]["Test"], json!(["NONE"]));
    assert_eq!(config["history"].as_array().unwrap().len(), 2);
    let around = on_base().layer(vec![world.source("src", "/a/x")]).build(&world.store);
    assert!(matches!(around, Err(PackError::Destination { .. })), "{around:?}");
    // Without layers of our own the base's are taken over.
    let same = on_base().settings(settings()).build(&world.store).unwrap();
    assert_eq!(same.image.layers.len(), 1);
    assert_eq!(same.image.process.cmd, ["--now"]);
}

#[test]
fn bad_input_is_named() {
    let world = World::new();
    world.write("file", "f", 0o644);
    world.write("dir/x", "x", 0o644);
    let build = |sources: Vec<Source>| scratch().layer(sources).build(&world.store);
    let missing = build(vec![world.source("missing", "/x")]).unwrap_err();
    assert!(matches!(&missing, PackError::Read { path, .. } if path.ends_with("missing")));
    for dest in ["/../x", "/a/../../x", "/a\0b"] {
        let error = build(vec![world.source("file", dest)]).unwrap_err();
        assert!(matches!(error, PackError::Destination { .. }), "{dest}: {error:?}");
    }
    for pair in [("file", "dir"), ("dir", "file")] {
        let both = vec![world.source(pair.0, "/same"), world.source(pair.1, "/same")];
        assert!(matches!(build(both), Err(PackError::Conflict { .. })), "{pair:?}");
    }
    rustix::fs::mknodat(
        rustix::fs::CWD,
        world.dir.path().join("dir/pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    assert!(matches!(build(vec![world.source("dir", "/d")]), Err(PackError::Special(_))));
    for bad in ["", "x", ":/x", "x:", "x:y"] {
        assert!(matches!(bad.parse::<Source>(), Err(PackError::Source(_))), "{bad}");
    }
    let source: Source = "a:b:/c".parse().unwrap();
    assert_eq!((source.source.to_str(), source.destination.as_str()), (Some("a:b"), "/c"));
    assert_eq!(source_date_epoch(None).unwrap(), 0);
    assert_eq!(source_date_epoch(Some("17")).unwrap(), 17);
    assert!(source_date_epoch(Some("yesterday")).is_err());
    assert!(matches!(scratch().epoch(u64::MAX).build(&world.store), Err(PackError::Time(_))));
}
