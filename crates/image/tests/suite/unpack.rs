//! What unpacked layers look like, and the layer store around them.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use image::manifest::Compression;
use image::unpack::{EntryError, LayerStore, Limits, Unpacked, Whiteouts};
use image::{Digest, UnpackError};
use tar::EntryType;

use crate::world::{self, Tar, compress, describe, layer, picture, xattrs};

const DEVICE: u32 = 0o020_000;

struct World {
    dir: tempfile::TempDir,
    store: LayerStore,
}

impl World {
    fn new() -> Self {
        Self::with(Whiteouts::Device, Limits::default())
    }

    fn with(whiteouts: Whiteouts, limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = LayerStore::open_with(dir.path(), whiteouts, limits).unwrap();
        Self { dir, store }
    }

    fn unpack(&self, tar: Tar) -> Result<(std::path::PathBuf, Unpacked), UnpackError> {
        let (layer, blob) = layer(&tar.end(), Compression::None);
        let info = self.store.unpack(&layer, blob.as_slice())?;
        Ok((self.store.path(&layer.diff_id), info.content))
    }

    /// That nothing is left but locks.
    fn assert_empty(&self) {
        assert_eq!(fs::read_dir(self.dir.path().join("layers")).unwrap().count(), 0);
        assert_eq!(fs::read_dir(self.dir.path().join("scratch")).unwrap().count(), 1);
    }
}

#[test]
fn attributes_are_those_of_the_archive() {
    if !world::root() {
        return;
    }
    let world = World::new();
    let capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let tar = Tar::default()
        .dir("./", 0o700)
        .pax(&[
            ("uid", b"4000000000"),
            ("mtime", b"1500000000.123456789"),
            ("SCHILY.xattr.security.capability", capability),
            ("SCHILY.xattr.user.note", b"\x00binary"),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("SCHILY.xattr.security.selinux", b"x"),
            ("SCHILY.xattr.user.overlay.whiteout", b"y"),
        ])
        .raw(EntryType::Regular, b"bin/su", b"", b"#!", |h| {
            h.set_mode(0o6755);
            h.set_gid(7);
        })
        .pax(&[("SCHILY.xattr.user.on-a-link", b"dropped")])
        .symlink("abs", "/etc/passwd")
        .raw(EntryType::Fifo, b"pipe", b"", b"", |h| h.set_mode(0o620))
        .special(EntryType::Char, "null")
        .special(EntryType::Block, "disk")
        .dir("bin", 0o1777)
        .hard_link("su2", "bin/su");
    let (path, content) = world.unpack(tar).unwrap();
    let seen = picture(&path);
    let su = &seen[Path::new("bin/su")];
    assert_eq!((su.mode, su.owner), (0o106_755, (4_000_000_000, 7)));
    assert_eq!(su.mtime, (1_500_000_000, 123_456_789));
    assert_eq!(su.xattrs.keys().collect::<Vec<_>>(), ["security.capability", "user.note"]);
    assert_eq!(su.xattrs["security.capability"], capability);
    assert_eq!(seen[Path::new("su2")].same_as, Path::new("bin/su"));
    assert_eq!(seen[Path::new("abs")].content, "/etc/passwd");
    assert_eq!(seen[Path::new("pipe")].mode, 0o010_620);
    assert_eq!(seen[Path::new("")].mode, 0o040_700);
    let bin = &seen[Path::new("bin")];
    assert_eq!((bin.mode, bin.mtime), (0o041_777, (1_000_000_000, 0)));
    assert!(!seen.contains_key(Path::new("null")));
    assert_eq!((content.devices_skipped, content.xattrs_dropped), (2, 4));
    // `bin` had to be made before its own entry came.
    assert_eq!((content.implicit_directories, content.entries), (1, 8));
}

#[test]
fn whiteouts_hide_in_all_three_forms() {
    if !world::root() {
        return;
    }
    let tar = || {
        Tar::default()
            .dir("d", 0o755)
            .file("d/.wh.gone", "")
            .file("o/.wh..wh..opq", "")
            .file("o/new", "")
            .file("kept", "k")
            .file(".wh.kept", "")
            .file(".wh.later", "")
            .file("later", "l")
            .dir("redir", 0o755)
            .file(".wh.redir", "")
            .file(".wh.through", "")
            .file("through/file", "")
            .file(".wh.again", "")
            .dir("again", 0o700)
            .file(".wh..wh.plnk", "")
    };
    let forms = [
        (Whiteouts::Device, "trusted.overlay."),
        (Whiteouts::TrustedXattr, "trusted.overlay."),
        (Whiteouts::UserXattr, "user.overlay."),
    ];
    for (form, prefix) in forms {
        let world = World::with(form, Limits::default());
        let (path, content) = world.unpack(tar()).unwrap();
        let seen = picture(&path);
        let opaque = format!("{prefix}opaque");
        let gone = &seen[Path::new("d/gone")];
        match form {
            Whiteouts::Device => assert_eq!((gone.mode & 0o170_000, gone.device), (DEVICE, 0)),
            _ => {
                assert_eq!(gone.xattrs.keys().collect::<Vec<_>>(), [&format!("{prefix}whiteout")]);
                assert_eq!(seen[Path::new("d")].xattrs[&opaque], b"x");
            }
        }
        for dir in ["o", "redir", "through", "again"] {
            assert_eq!(seen[Path::new(dir)].xattrs[&opaque], b"y", "{form:?} {dir}");
        }
        assert_eq!(seen[Path::new("kept")].content, Digest::of(b"k").to_string());
        assert_eq!(seen[Path::new("later")].content, Digest::of(b"l").to_string());
        assert!(seen.contains_key(Path::new("through/file")));
        assert!(!seen.keys().any(|p| p.to_string_lossy().contains(".wh.")), "{seen:?}");
        assert_eq!(content.whiteouts, 7);
    }
    for name in [".wh.", ".wh..", ".wh...", "d/.wh.."] {
        let error = World::new().unpack(Tar::default().file(name, "")).unwrap_err();
        assert!(matches!(error, UnpackError::Entry { source: EntryError::Whiteout, .. }), "{name}");
    }
}

#[test]
fn later_entries_replace_earlier_ones() {
    if !world::root() {
        return;
    }
    let tar = Tar::default()
        .file("a", "old")
        .hard_link("b", "a")
        .file("a", "new")
        .file("dir/x", "")
        .file("dir", "now a file")
        .file("file", "")
        .dir("file", 0o711)
        .symlink("link", "a")
        .file("link", "own")
        .dir("keeps", 0o700)
        .file("keeps/it", "")
        .dir("keeps/", 0o755)
        .hard_link("a", "a");
    let (path, _) = World::new().unpack_kept(tar);
    let read = |name: &str| fs::read_to_string(path.path().join(name)).unwrap();
    assert_eq!((read("a"), read("b")), ("new".into(), "old".into()));
    assert_eq!((read("dir"), read("link")), ("now a file".into(), "own".into()));
    let seen = picture(path.path());
    assert_eq!(seen[Path::new("file")].mode, 0o040_711);
    assert_eq!(seen[Path::new("keeps")].mode, 0o040_755);
    assert!(seen.contains_key(Path::new("keeps/it")));
}

impl World {
    /// Unpacks and hands the layer's directory on, in a directory of its own.
    fn unpack_kept(self, tar: Tar) -> (tempfile::TempDir, Unpacked) {
        let (path, content) = self.unpack(tar).unwrap();
        let kept = tempfile::tempdir().unwrap();
        fs::remove_dir(kept.path()).unwrap();
        fs::rename(path, kept.path()).unwrap();
        (kept, content)
    }
}

#[test]
fn links_inside_are_followed_as_the_container_would() {
    if !world::root() {
        return;
    }
    let tar = Tar::default()
        .dir("usr/lib", 0o755)
        .symlink("lib", "usr/lib")
        .file("lib/a", "a")
        .symlink("abs", "/usr/lib")
        .file("abs/b", "b")
        .symlink("usr/up", "../../../../usr/lib")
        .file("usr/up/c", "c")
        .symlink("dangling", "not/yet")
        .file("dangling/d", "d")
        .hard_link("hard", "abs/b");
    let (path, _) = World::new().unpack_kept(tar);
    let seen = picture(path.path());
    for file in ["usr/lib/a", "usr/lib/b", "usr/lib/c", "not/yet/d"] {
        assert!(seen.contains_key(Path::new(file)), "{file} is not in {:?}", seen.keys());
    }
    assert_eq!(seen[Path::new("usr/lib/b")].same_as, Path::new("hard"));
}

#[test]
fn every_compression_by_its_magic_whatever_its_label() {
    if !world::root() {
        return;
    }
    let archive = Tar::default().file("a", &"text ".repeat(50_000)).end();
    let (head, tail) = archive.split_at(70_000);
    let members = |c| [compress(head, c), compress(tail, c)].concat();
    let mut skippable = vec![0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    skippable.extend(compress(&archive, Compression::Zstd));
    let blobs = [
        archive.clone(),
        compress(&archive, Compression::Gzip),
        compress(&archive, Compression::Zstd),
        members(Compression::Gzip),
        members(Compression::Zstd),
        skippable,
    ];
    for blob in blobs {
        for label in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let world = World::new();
            let layer = describe(&archive, &blob, label);
            let info = world.store.unpack(&layer, blob.as_slice()).unwrap();
            assert_eq!(info.archive_bytes, archive.len() as u64);
            assert_eq!(
                fs::metadata(world.store.path(&layer.diff_id).join("a")).unwrap().len(),
                250_000
            );
        }
    }
}

#[test]
fn sparse_files_have_their_holes() {
    if !world::root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sparse");
    {
        use std::os::unix::fs::FileExt;
        let file = fs::File::create(&path).unwrap();
        for piece in 0..40 {
            file.write_at(b"piece", piece * 1_000_000 + 4096).unwrap();
        }
        file.set_len(64_000_000).unwrap();
    }
    let content = Digest::of(&fs::read(&path).unwrap()).to_string();
    for format in ["gnu", "pax --sparse-version=0.0", "pax --sparse-version=0.1", "pax"] {
        let tar = dir.path().join("t.tar");
        let command = format!(
            "tar -S --format={format} -C {} -cf {} sparse",
            dir.path().display(),
            tar.display()
        );
        world::run("sh", &["-c", &command]);
        let archive = fs::read(&tar).unwrap();
        assert!(archive.len() < 1_000_000, "{format} is not sparse");
        let (layer, blob) = layer(&archive, Compression::Gzip);
        let world = World::new();
        world.store.unpack(&layer, blob.as_slice()).unwrap();
        let unpacked = world.store.path(&layer.diff_id).join("sparse");
        assert_eq!(Digest::of(&fs::read(&unpacked).unwrap()).to_string(), content, "{format}");
        let blocks = std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&unpacked).unwrap());
        assert!(blocks * 512 < 2_000_000, "{format}: {blocks} blocks");
    }
}

#[test]
fn blob_and_archive_must_be_what_they_should() {
    let archive = Tar::default().file("a", "a").end();
    let (right, blob) = layer(&archive, Compression::Gzip);
    let world = World::new();
    let mut wrong = right.clone();
    wrong.diff_id = Digest::of(b"another archive");
    if world::root() {
        let error = world.store.unpack(&wrong, blob.as_slice()).unwrap_err();
        assert!(matches!(error, UnpackError::DiffId { .. }) && !error.retryable(), "{error}");
    }
    let mut wrong = right.clone();
    wrong.blob = Digest::of(b"another blob");
    if world::root() {
        let error = world.store.unpack(&wrong, blob.as_slice()).unwrap_err();
        assert!(matches!(error, UnpackError::Blob { .. }) && error.retryable(), "{error}");
    }
    let longer = [&blob[..], b"more"].concat();
    let error = world.store.unpack(&right, longer.as_slice()).unwrap_err();
    assert!(matches!(error, UnpackError::Size { .. }), "{error}");
    let error = world.store.unpack(&right, &blob[..blob.len() - 1]).unwrap_err();
    assert!(matches!(error, UnpackError::Size { .. }), "{error}");
    let source = Read::chain(&blob[..20], Failing);
    let error = world.store.unpack(&right, source).unwrap_err();
    assert!(matches!(error, UnpackError::Read { .. }) && error.retryable(), "{error}");
    world.assert_empty();
}

/// A network that breaks.
struct Failing;

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::ConnectionReset.into())
    }
}

#[test]
fn a_layer_is_unpacked_once_listed_and_removed() {
    if !world::root() {
        return;
    }
    let world = World::new();
    let (first, blob) = layer(&Tar::default().file("a", "12345").end(), Compression::Zstd);
    let info = world.store.unpack(&first, blob.as_slice()).unwrap();
    // Nothing is read the second time.
    assert_eq!(world.store.unpack(&first, Failing).unwrap(), info);
    assert!(world.store.has(&first.diff_id));
    assert_eq!(world.store.list().unwrap(), [info]);
    assert_eq!(world.store.size().unwrap(), 5);
    assert!(world.store.remove(&first.diff_id).unwrap());
    assert!(!world.store.remove(&first.diff_id).unwrap());
    assert!(!world.store.has(&first.diff_id));
    world.assert_empty();
}

#[test]
fn threads_unpacking_the_same_layer_all_succeed() {
    if !world::root() {
        return;
    }
    let world = World::new();
    let tar = (0..200).fold(Tar::default(), |tar, i| tar.file(&format!("d{i}/f"), "x"));
    let (layer, blob) = layer(&tar.end(), Compression::Gzip);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                // Opening meanwhile must not take others' work away.
                let store = LayerStore::open(world.dir.path()).unwrap();
                store.unpack(&layer, blob.as_slice()).unwrap();
            });
        }
    });
    assert_eq!(world.store.list().unwrap().len(), 1);
    assert_eq!(fs::read_dir(world.dir.path().join("scratch")).unwrap().count(), 1);
    assert_eq!(picture(&world.store.path(&layer.diff_id)).len(), 401);
}

/// The other process of the test below: unpacks a layer that never ends.
#[test]
fn unpack_until_killed() {
    let Some(root) = std::env::var_os("IMAGE_TEST_UNPACK_TO") else { return };
    let (mut layer, _) = layer(b"", Compression::None);
    layer.size = u64::MAX;
    let endless = (0_u64..).map(|i| Tar::default().file(&format!("f{i}"), "content").0);
    struct Endless<I>(I, Vec<u8>);
    impl<I: Iterator<Item = Vec<u8>>> Read for Endless<I> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.1.is_empty() {
                self.1 = self.0.next().unwrap();
                println!("going on");
            }
            let n = buffer.len().min(self.1.len());
            buffer[..n].copy_from_slice(&self.1[..n]);
            self.1.drain(..n);
            Ok(n)
        }
    }
    let store = LayerStore::open(root).unwrap();
    let error = store.unpack(&layer, Endless(endless, Vec::new())).unwrap_err();
    panic!("it ended: {error}");
}

#[test]
fn a_killed_unpack_leaves_nothing_after_the_next_open() {
    if !world::root() {
        return;
    }
    let world = World::new();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "unpack::unpack_until_killed", "--nocapture"])
        .env("IMAGE_TEST_UNPACK_TO", world.dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0; 9 * 1000]).unwrap();
    // While it runs, another opener leaves its work alone.
    LayerStore::open(world.dir.path()).unwrap();
    assert_eq!(fs::read_dir(world.dir.path().join("scratch")).unwrap().count(), 2);
    child.kill().unwrap();
    child.wait().unwrap();
    LayerStore::open(world.dir.path()).unwrap();
    world.assert_empty();
}

#[test]
fn a_full_disk_leaves_nothing() {
    if !world::root() {
        return;
    }
    let disk = world::Mounted::new("tmpfs", "size=1m");
    let store = LayerStore::open(disk.path()).unwrap();
    let tar = Tar::default().file("big", &"x".repeat(3 << 20));
    let (layer, blob) = layer(&tar.end(), Compression::Gzip);
    let error = store.unpack(&layer, blob.as_slice()).unwrap_err();
    assert!(matches!(error, UnpackError::DiskFull { .. }), "{error}");
    assert_eq!(fs::read_dir(disk.path().join("scratch")).unwrap().count(), 1);
    assert!(xattrs(disk.path()).is_empty());
}
