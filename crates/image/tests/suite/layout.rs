//! Images in files, with skopeo as the other reader and writer.

use std::fs;
use std::path::Path;

use image::layout::{Imported, LayoutError, export_directory, export_tar, import};
use image::manifest::{Compression, Platform};
use image::pack::{Builder, Source};
use image::{ContentError, ContentStore, Digest, Image, LayerStore};
use serde_json::{Value, json};

use crate::world::{self, Tar, layer, picture, run};

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

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn import(&self, name: &str) -> Result<Vec<Imported>, LayoutError> {
        import(&self.dir.path().join(name), &self.store)
    }

    fn load(&self, digest: &Digest) -> Image {
        Image::load(&self.store, digest, &Platform::linux("amd64")).unwrap()
    }

    /// An image of our own with two layers.
    fn build(&self) -> Digest {
        for (name, content) in [("one/a", "1"), ("two/b", "2")] {
            let path = self.dir.path().join("src").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content.repeat(100_000)).unwrap();
        }
        let source = |name: &str| Source {
            source: self.dir.path().join("src").join(name),
            destination: format!("/{name}"),
        };
        Builder::new(None, Platform::linux("amd64"))
            .layer(vec![source("one")])
            .layer(vec![source("two")])
            .build(&self.store)
            .unwrap()
            .digest
    }
}

fn skopeo(from: &str, to: &str) {
    run("skopeo", &["--insecure-policy", "copy", "-q", from, to]);
}

/// The digest that skopeo computes of what it sees.
fn skopeo_digest(image: &str) -> Digest {
    let raw = run("skopeo", &["inspect", "--raw", image]);
    let said: Value = serde_json::from_str(&run("skopeo", &["inspect", image])).unwrap();
    let digest: Digest = said["Digest"].as_str().unwrap().parse().unwrap();
    assert_eq!(digest, Digest::of(raw.as_bytes()));
    digest
}

#[test]
fn what_we_write_skopeo_reads_and_writes_back_unchanged() {
    if !world::tool("skopeo") {
        return;
    }
    let world = World::new();
    let digest = world.build();
    let images = [(Some("reg.example/team/app:1".to_owned()), digest)];
    export_directory(&world.store, &images, &world.dir.path().join("ours")).unwrap();
    let tar = fs::File::create(world.path("ours.tar")).unwrap();
    export_tar(&world.store, &images, tar).unwrap();
    let name = ":reg.example/team/app:1";
    let (dir, tar) = (world.path("ours") + name, world.path("ours.tar") + name);
    assert_eq!(skopeo_digest(&format!("oci:{dir}")), digest);
    assert_eq!(skopeo_digest(&format!("oci-archive:{tar}")), digest);
    skopeo(&format!("oci-archive:{tar}"), &format!("oci:{}:x", world.path("theirs")));
    skopeo(&format!("oci:{dir}"), &format!("oci-archive:{}:x", world.path("theirs.tar")));
    let other = World::new();
    for name in ["ours", "ours.tar", "theirs", "theirs.tar"] {
        let back = import(&world.dir.path().join(name), &other.store).unwrap();
        assert_eq!(back.len(), 1);
        assert_eq!(back[0].digest, digest, "{name}");
        let expected = if name.starts_with("ours") { "reg.example/team/app:1" } else { "x" };
        assert_eq!(back[0].name.as_deref(), Some(expected));
    }
    assert_eq!(other.load(&digest), world.load(&digest));
    // The same images are the same bytes.
    let mut again = Vec::new();
    export_tar(&other.store, &images, &mut again).unwrap();
    assert_eq!(again, fs::read(world.path("ours.tar")).unwrap());
    let full = export_directory(&world.store, &images, &world.dir.path().join("ours"));
    assert!(matches!(full, Err(LayoutError::NotEmpty(_))));
}

#[test]
fn docker_archives_of_skopeo_convert() {
    if !world::tool("skopeo") {
        return;
    }
    let world = World::new();
    let digest = world.build();
    let tar = fs::File::create(world.path("ours.tar")).unwrap();
    export_tar(&world.store, &[(Some("x".to_owned()), digest)], tar).unwrap();
    let from = format!("oci-archive:{}:x", world.path("ours.tar"));
    skopeo(&from, &format!("docker-archive:{}:reg.example/app:2", world.path("docker.tar")));
    fs::create_dir(world.path("docker")).unwrap();
    run("tar", &["-C", &world.path("docker"), "-xf", &world.path("docker.tar")]);
    run("sh", &["-c", &format!("gzip -k {}", world.path("docker.tar"))]);
    run("sh", &["-c", &format!("zstd -q {0} || gzip -c {0} > {0}.zst", world.path("docker.tar"))]);
    let ours = world.load(&digest);
    for name in ["docker.tar", "docker", "docker.tar.gz", "docker.tar.zst"] {
        let imported = world.import(name).unwrap();
        assert_eq!(imported.len(), 1);
        assert_eq!(imported[0].name.as_deref(), Some("reg.example/app:2"));
        let image = world.load(&imported[0].digest);
        // Our gzip on the same archives: the very same blobs.
        assert_eq!(image.layers, ours.layers, "{name}");
        assert_eq!(image.process, ours.process);
    }
    // And skopeo's own conversion has the same layers inside.
    let from = format!("docker-archive:{}", world.path("docker.tar"));
    skopeo(&from, &format!("oci:{}:y", world.path("converted")));
    let theirs = world.load(&world.import("converted").unwrap()[0].digest);
    let ids = |image: &Image| image.layers.iter().map(|l| l.diff_id).collect::<Vec<_>>();
    assert_eq!(ids(&theirs), ids(&ours));
}

/// A docker-archive in a directory, as old Docker writes it: layers in folders, one a link.
fn old_docker(dir: &Path, layers: &[Vec<u8>], tags: &Value) {
    let mut names = Vec::new();
    for (i, archive) in layers.iter().enumerate() {
        let folder = dir.join(format!("{i}"));
        fs::create_dir_all(&folder).unwrap();
        match layers[..i].iter().position(|earlier| earlier == archive) {
            Some(same) => {
                let target = format!("../{same}/layer.tar");
                std::os::unix::fs::symlink(target, folder.join("layer.tar")).unwrap();
            }
            None => fs::write(folder.join("layer.tar"), archive).unwrap(),
        }
        names.push(format!("{i}/layer.tar"));
    }
    let diff_ids: Vec<_> = layers.iter().map(|archive| Digest::of(archive)).collect();
    let config = json!({ "architecture": "amd64", "os": "linux", "config": { "Cmd": ["/x"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids } });
    fs::write(dir.join("config.json"), config.to_string()).unwrap();
    let list = json!([{ "Config": "config.json", "RepoTags": tags, "Layers": names }]);
    fs::write(dir.join("manifest.json"), list.to_string()).unwrap();
}

#[test]
fn an_image_of_forty_layers_goes_all_the_way() {
    if !world::root() || !world::tool("skopeo") {
        return;
    }
    let world = World::new();
    let layers: Vec<_> = (0..40)
        .map(|i| {
            let tar = Tar::default().file(&format!("layer{i}"), "x").file("last", &i.to_string());
            if i == 0 { tar } else { tar.file(&format!(".wh.layer{}", i - 1), "") }
        })
        .map(Tar::end)
        .collect();
    fs::create_dir(world.path("docker")).unwrap();
    old_docker(Path::new(&world.path("docker")), &layers, &json!(["a:1", "b:2"]));
    let tar = format!("tar -C {0} -cf {0}.tar .", world.path("docker"));
    run("sh", &["-c", &tar]);
    let imported = world.import("docker.tar").unwrap();
    assert_eq!(world.import("docker").unwrap(), imported);
    let names: Vec<_> = imported.iter().map(|i| i.name.clone().unwrap()).collect();
    assert_eq!(names, ["a:1", "b:2"]);
    let image = world.load(&imported[0].digest);
    assert_eq!(image.layers.len(), 40);
    let out = fs::File::create(world.path("out.tar")).unwrap();
    export_tar(&world.store, &[(Some("x".to_owned()), image.digest)], out).unwrap();
    assert_eq!(skopeo_digest(&format!("oci-archive:{}:x", world.path("out.tar"))), image.digest);
    let store = LayerStore::open(world.dir.path().join("layers")).unwrap();
    for layer in &image.layers {
        store.unpack(layer, world.store.reader(&layer.blob).unwrap()).unwrap();
    }
    let ids: Vec<_> = image.layers.iter().map(|layer| layer.diff_id).collect();
    let lower = image::overlay::lower_directories(&store, &ids);
    let mounted = world::overlay(&lower);
    let seen = picture(mounted.path());
    let names: Vec<_> = seen.keys().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(names, ["", "last", "layer39"]);
    assert_eq!(fs::read_to_string(mounted.path().join("last")).unwrap(), "39");
}

#[test]
fn broken_layouts_are_named_and_change_nothing_else() {
    let world = World::new();
    fs::create_dir(world.path("empty")).unwrap();
    assert!(matches!(world.import("empty"), Err(LayoutError::Unknown(_))));
    assert!(matches!(world.import("missing"), Err(LayoutError::Io { .. })));
    fs::write(world.path("text"), "no archive at all").unwrap();
    assert!(matches!(world.import("text"), Err(LayoutError::Archive { .. })));

    let docker = world.dir.path().join("docker");
    fs::create_dir(&docker).unwrap();
    let archive = Tar::default().file("a", "a").end();
    old_docker(&docker, &[archive.clone(), archive.clone()], &Value::Null);
    let imported = world.import("docker").unwrap();
    assert_eq!((imported.len(), imported[0].name.as_deref()), (1, None));
    let mut damaged = archive.clone();
    damaged[700] ^= 1;
    fs::write(docker.join("0/layer.tar"), damaged).unwrap();
    assert!(matches!(world.import("docker"), Err(LayoutError::Layer { .. })));
    fs::remove_file(docker.join("0/layer.tar")).unwrap();
    assert!(matches!(world.import("docker"), Err(LayoutError::Missing(_))));
    let list = json!([{ "Config": "../text", "Layers": ["0/layer.tar"] }]);
    fs::write(docker.join("manifest.json"), list.to_string()).unwrap();
    assert!(matches!(world.import("docker"), Err(LayoutError::Io { .. })), "a way out");
    let list = json!([{ "Config": "config.json", "Layers": [] }]);
    fs::write(docker.join("manifest.json"), list.to_string()).unwrap();
    assert!(matches!(world.import("docker"), Err(LayoutError::LayerCount { .. })));

    let oci = world.dir.path().join("oci");
    let digest = world.build();
    export_directory(&world.store, &[(None, digest)], &oci).unwrap();
    let layer = world.load(&digest).layers[0].blob;
    let file = oci.join("blobs/sha256").join(layer.hex());
    let mut bytes = fs::read(&file).unwrap();
    let other = World::new();
    bytes[30] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let error = import(&oci, &other.store).unwrap_err();
    let LayoutError::Content(ContentError::Mismatch { expected, .. }) = error else {
        panic!("{error:?}")
    };
    assert_eq!(expected, layer);
    assert!(!other.store.has(&digest).unwrap(), "a manifest whose parts are not all there");
    fs::remove_file(&file).unwrap();
    assert!(matches!(import(&oci, &other.store), Err(LayoutError::Missing(_))));
    fs::write(oci.join("oci-layout"), "{\"imageLayoutVersion\":\"2.0.0\"}").unwrap();
    assert!(matches!(import(&oci, &other.store), Err(LayoutError::Version(_))));
}

#[test]
fn an_index_may_leave_other_platforms_out() {
    let world = World::new();
    let digest = world.build();
    let size = world.store.info(&digest).unwrap().unwrap().size;
    let (other, _) = layer(b"", Compression::None);
    let media = "application/vnd.oci.image.manifest.v1+json";
    let entry = |digest: &Digest, size: u64, arch: &str| {
        json!({ "mediaType": media, "digest": digest, "size": size,
            "platform": { "os": "linux", "architecture": arch } })
    };
    let index = json!({ "schemaVersion": 2, "manifests": [
        entry(&other.blob, 7, "arm64"), entry(&digest, size, "amd64")],
        "mediaType": "application/vnd.oci.image.index.v1+json" });
    let index = world.store.write(index.to_string().as_bytes()).unwrap();
    let oci = world.dir.path().join("oci");
    export_directory(&world.store, &[(Some("all".to_owned()), index)], &oci).unwrap();
    let fresh = World::new();
    let imported = import(&oci, &fresh.store).unwrap();
    assert_eq!((imported[0].digest, imported[0].missing), (index, 1));
    assert_eq!(fresh.load(&index).digest, digest);
}
