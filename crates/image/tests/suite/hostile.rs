//! Archives that mean harm: whatever they say, nothing outside the layer changes, and a refused
//! one leaves nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use image::UnpackError;
use image::manifest::Compression;
use image::unpack::{EntryError, LayerStore, Limits, Whiteouts};
use proptest::prelude::*;
use tar::EntryType;

use crate::world::{self, Seen, Tar, compress, describe, layer, picture};

/// A store inside a directory with things an archive would like to reach.
struct Trap {
    dir: tempfile::TempDir,
    store: LayerStore,
    before: BTreeMap<PathBuf, Seen>,
}

impl Trap {
    fn new(limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("canary/etc")).unwrap();
        fs::write(dir.path().join("canary/etc/passwd"), "root").unwrap();
        fs::write(dir.path().join("target"), "untouched").unwrap();
        let store =
            LayerStore::open_with(dir.path().join("store"), Whiteouts::Device, limits).unwrap();
        let mut trap = Self { dir, store, before: BTreeMap::new() };
        trap.before = trap.outside();
        trap
    }

    fn outside(&self) -> BTreeMap<PathBuf, Seen> {
        let mut all = picture(self.dir.path());
        let ours = Path::new("store/layers");
        all.retain(|path, _| !path.starts_with(ours) && !path.starts_with("store/scratch"));
        all
    }

    fn unpack(&self, archive: &[u8], compression: Compression) -> Result<PathBuf, UnpackError> {
        let (layer, blob) = layer(archive, compression);
        let result = self.store.unpack(&layer, blob.as_slice());
        assert_eq!(self.outside(), self.before, "something outside the layer changed");
        let scratch = fs::read_dir(self.dir.path().join("store/scratch")).unwrap().count();
        assert_eq!(scratch, 1, "something unfinished was left");
        if result.is_err() {
            assert!(!self.store.has(&layer.diff_id));
            assert_eq!(fs::read_dir(self.dir.path().join("store/layers")).unwrap().count(), 0);
        }
        result.map(|_| self.store.path(&layer.diff_id))
    }
}

fn small() -> Limits {
    Limits {
        total_bytes: 1 << 20,
        entries: 100,
        path_bytes: 300,
        depth: 8,
        xattr_bytes: 100,
        ratio: 100,
        ratio_floor_bytes: 1 << 16,
    }
}

fn refused(tar: Tar, why: impl Fn(&EntryError) -> bool) {
    let error = Trap::new(small()).unpack(&tar.end(), Compression::None).unwrap_err();
    match &error {
        UnpackError::Entry { source, .. } if why(source) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn ways_out_are_refused() {
    if !world::root() {
        return;
    }
    let parent = |e: &EntryError| matches!(e, EntryError::Parent);
    for path in ["../target", "a/../../target", "..", "/../target", "a/.."] {
        refused(Tar::default().file(path, "x"), parent);
        refused(Tar::default().dir(path, 0o777), parent);
        refused(Tar::default().symlink(path, "x"), parent);
    }
    refused(Tar::default().file("../.wh.target", ""), parent);
    refused(Tar::default().file("ok", "").hard_link("x", "../ok"), parent);
    let no_target = |e: &EntryError| matches!(e, EntryError::LinkTarget(_));
    for target in ["/etc/passwd", "canary/etc/passwd", "/", "missing", ".", ""] {
        refused(Tar::default().hard_link("x", target), no_target);
    }
    let out = Tar::default().symlink("up", "../../../canary").dir("d", 0o755);
    refused(out.clone().hard_link("x", "up/etc/passwd"), no_target);
    refused(Tar::default().dir("d", 0o755).hard_link("x", "d"), no_target);
    refused(Tar::default().file(".wh.w", "").hard_link("x", "w"), no_target);
    let circle = Tar::default().symlink("a", "b").symlink("b", "a").file("a/x", "");
    refused(circle, |e| matches!(e, EntryError::Loop));
    let not_dir = |e: &EntryError| matches!(e, EntryError::NotADirectory(_));
    refused(Tar::default().file("f", "").file("f/x", ""), not_dir);
    refused(Tar::default().special(EntryType::Fifo, "f").file("f/x", ""), not_dir);
    refused(Tar::default().file("", "x"), |e| matches!(e, EntryError::NoName));
    refused(Tar::default().pax(&[("uid", b"4294967295")]).file("x", ""), |e| {
        matches!(e, EntryError::Owner(4_294_967_295))
    });
}

#[test]
fn ways_in_disguise_stay_inside() {
    if !world::root() {
        return;
    }
    let trap = Trap::new(small());
    let outside = trap.dir.path().join("target");
    let outside = outside.to_str().unwrap();
    let tar = Tar::default()
        .file("/etc/passwd", "inside")
        .symlink("l", outside)
        .hard_link("h", "l")
        .file("l", "replaced, not written through")
        .symlink("dir", "/canary/etc")
        .file("dir/passwd", "inside")
        .symlink("up", "../../../../canary")
        .file("up/etc/shadow", "inside")
        .symlink("deep", "/proc/self/root/tmp")
        .file("deep/x", "inside")
        .special(EntryType::Char, "null")
        .file("up/.wh.etc", "")
        .file("dir/.wh..wh..opq", "");
    let path = trap.unpack(&tar.end(), Compression::Gzip).unwrap();
    let seen = picture(&path);
    for file in ["etc/passwd", "canary/etc/passwd", "canary/etc/shadow", "proc/self/root/tmp/x"] {
        assert!(seen.contains_key(Path::new(file)), "{file}: {:?}", seen.keys());
    }
    assert_eq!(seen[Path::new("h")].content, outside);
    assert_eq!(fs::read_to_string(path.join("l")).unwrap(), "replaced, not written through");
}

#[test]
fn everything_that_grows_has_a_limit() {
    if !world::root() {
        return;
    }
    let limit = |e: &EntryError| matches!(e, EntryError::Limit { .. });
    refused(Tar::default().file(&"n".repeat(256), ""), limit);
    refused(Tar::default().file(&"d/".repeat(151), ""), limit);
    refused(Tar::default().file("1/2/3/4/5/6/7/8/9", ""), limit);
    refused(Tar::default().symlink("l", &"t".repeat(301)), limit);
    refused(Tar::default().pax(&[("SCHILY.xattr.user.x", &[b'v'; 101])]).file("x", ""), limit);
    // Deeper and deeper through links, each path short.
    let deep = (0..9).fold(Tar::default().dir("d/d/d/d", 0o755).symlink("l0", "d/d/d/d"), {
        |tar, i| {
            let next = format!("l{i}/d/d/d");
            tar.dir(&next, 0o755).symlink(&format!("l{}", i + 1), &next)
        }
    });
    refused(deep, limit);
    let unpack = |tar: Tar| {
        Trap::new(small()).unpack(&tar.end(), Compression::Gzip).unwrap_err().to_string()
    };
    let many = (0..101).fold(Tar::default(), |tar, i| tar.file(&format!("{i}"), ""));
    assert!(unpack(many).ends_with("over the limit of 100 entries"));
    let large = Tar::default()
        .file("a", &"0123456789abcdef".repeat(60_000))
        .file("b", &{ "fedcba9876543210".repeat(10_000) });
    assert!(unpack(large).contains("over the limit of"));
    let holes = Tar::default()
        .pax(&[("GNU.sparse.size", b"99999999999999"), { ("GNU.sparse.map", b"0,1") }]);
    assert!(unpack(holes.file("holes", "x")).ends_with("1048576 bytes of files"));
}

#[test]
fn bombs_are_defused() {
    if !world::root() {
        return;
    }
    // 64 MiB of zeros where the archive should be, never in memory at once.
    let limits = Limits { total_bytes: 16 << 20, ratio_floor_bytes: 2 << 20, ..Limits::default() };
    for (ratio, says) in [(100, "per byte of its blob"), (u64::MAX, "bytes unpacked")] {
        let limits = Limits { ratio, ..limits.clone() };
        for compression in [Compression::Gzip, Compression::Zstd] {
            let head = Tar::default().0;
            let mut archive = head.as_slice().chain(std::io::repeat(0).take(64 << 20));
            let blob = match compression {
                Compression::Gzip => {
                    let level = flate2::Compression::best();
                    let mut out = Vec::new();
                    flate2::bufread::GzEncoder::new(std::io::BufReader::new(&mut archive), level)
                        .read_to_end(&mut out)
                        .unwrap();
                    out
                }
                _ => zstd::encode_all(&mut archive, 3).unwrap(),
            };
            let trap = Trap::new(limits.clone());
            let layer = describe(b"unknown", &blob, compression);
            let error = trap.store.unpack(&layer, blob.as_slice()).unwrap_err();
            assert!(matches!(error, UnpackError::Limit { .. }), "{error:?}");
            assert!(error.to_string().ends_with(says), "{error}");
            assert_eq!(trap.outside(), trap.before);
        }
    }
}

fn name() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "[a-c]",
        1 => Just("..".to_owned()),
        1 => Just(".".to_owned()),
        1 => Just(String::new()),
        1 => Just(".wh.a".to_owned()),
        1 => Just(".wh..wh..opq".to_owned()),
        1 => Just("x".repeat(120)),
    ];
    proptest::collection::vec(part, 1..5).prop_map(|parts| parts.join("/"))
}

fn target() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => name(),
        1 => Just("/etc".to_owned()),
        1 => Just("../../../../target".to_owned()),
        1 => Just("../../../canary/etc".to_owned()),
        1 => Just("/proc/self/cwd".to_owned()),
    ]
}

fn entry() -> impl Strategy<Value = (u8, String, String, u32)> {
    (0_u8..9, name(), target(), 0_u32..0o10000)
}

fn add(tar: Tar, (kind, path, target, mode): &(u8, String, String, u32)) -> Tar {
    let kind = match kind {
        0..=2 => EntryType::Regular,
        3 => EntryType::Directory,
        4 | 5 => EntryType::Symlink,
        6 => EntryType::Link,
        7 => EntryType::Fifo,
        _ => EntryType::Char,
    };
    let body = if kind == EntryType::Regular { path.as_bytes() } else { b"" };
    tar.raw(kind, path.as_bytes(), target.as_bytes(), body, |h| h.set_mode(*mode))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    /// Random archives of nasty entries: whether taken or refused, the canaries live.
    #[test]
    fn random_archives_stay_inside(entries in proptest::collection::vec(entry(), 0..14)) {
        if !world::root() { return Ok(()); }
        let archive = entries.iter().fold(Tar::default(), add).end();
        let _ = Trap::new(small()).unpack(&archive, Compression::None);
        // The most that each can do: without those refused for `..`, all the rest happens.
        let tame: Vec<_> = entries.iter().filter(|e| !e.1.split('/').any(|p| p == "..")).collect();
        let _ = Trap::new(small())
            .unpack(&tame.into_iter().fold(Tar::default(), add).end(), Compression::None);
    }

    /// A blob cut anywhere, or with any bit flipped, is an error and leaves nothing.
    #[test]
    fn damaged_blobs_are_refused(
        which in 0_usize..3, at in any::<prop::sample::Index>(), bit in 0..8, cut in any::<bool>(),
    ) {
        if !world::root() { return Ok(()); }
        let compression = [Compression::None, Compression::Gzip, Compression::Zstd][which];
        let archive = Tar::default().dir("d", 0o755).file("d/f", &"some text ".repeat(400)).end();
        let mut blob = compress(&archive, compression);
        let layer = describe(&archive, &blob, compression);
        let at = at.index(blob.len());
        if cut { blob.truncate(at) } else { blob[at] ^= 1_u8 << bit }
        let trap = Trap::new(Limits::default());
        let error = trap.store.unpack(&layer, blob.as_slice()).unwrap_err();
        let named = matches!(error, UnpackError::Blob { .. } | UnpackError::Size { .. });
        prop_assert!(named && error.retryable(), "{:?}", error);
        prop_assert_eq!(trap.outside(), trap.before.clone());
        let left = fs::read_dir(trap.dir.path().join("store/scratch")).unwrap().count();
        prop_assert_eq!(left, 1);
    }
}
