//! What the tests share: archives made by hand, layers of them, and pictures of directory trees.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use image::manifest::{Compression, LayerMedia};
use image::{Digest, Layer};
use tar::{EntryType, Header};

/// Says so and gives `false` when not root.
pub(crate) fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root to give files their owners");
    }
    root
}

/// Says so and gives `false` when a tool is not installed.
pub(crate) fn tool(name: &str) -> bool {
    let found = Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success());
    if !found {
        eprintln!("skipped: needs {name}");
    }
    found
}

/// Runs a command that must succeed; gives its output.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// An archive whose headers say exactly what they are told.
#[derive(Default, Clone)]
pub(crate) struct Tar(pub(crate) Vec<u8>);

impl Tar {
    pub(crate) fn raw(
        mut self,
        kind: EntryType,
        path: &[u8],
        link: &[u8],
        body: &[u8],
        tweak: impl FnOnce(&mut Header),
    ) -> Self {
        for (kind, text) in [(EntryType::GNULongLink, link), (EntryType::GNULongName, path)] {
            if text.len() > 100 {
                let mut header = Header::new_gnu();
                header.set_entry_type(kind);
                header.set_size(text.len() as u64);
                header.set_cksum();
                self.0.extend(header.as_bytes());
                self.body(text);
            }
        }
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(body.len() as u64);
        header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        let old = header.as_old_mut();
        let (n, l) = (path.len().min(100), link.len().min(100));
        old.name[..n].copy_from_slice(&path[..n]);
        old.linkname[..l].copy_from_slice(&link[..l]);
        tweak(&mut header);
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self.body(body);
        self
    }

    fn body(&mut self, body: &[u8]) {
        self.0.extend(body);
        let padded = self.0.len().next_multiple_of(512);
        self.0.resize(padded, 0);
    }

    pub(crate) fn file(self, path: &str, body: &str) -> Self {
        self.raw(EntryType::Regular, path.as_bytes(), b"", body.as_bytes(), |_| {})
    }

    pub(crate) fn dir(self, path: &str, mode: u32) -> Self {
        self.raw(EntryType::Directory, path.as_bytes(), b"", b"", |h| h.set_mode(mode))
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.raw(EntryType::Symlink, path.as_bytes(), target.as_bytes(), b"", |_| {})
    }

    pub(crate) fn hard_link(self, path: &str, target: &str) -> Self {
        self.raw(EntryType::Link, path.as_bytes(), target.as_bytes(), b"", |_| {})
    }

    pub(crate) fn special(self, kind: EntryType, path: &str) -> Self {
        self.raw(kind, path.as_bytes(), b"", b"", |h| {
            h.set_device_major(1).unwrap();
            h.set_device_minor(3).unwrap();
        })
    }

    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut text = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length = rest + length.to_string().len();
            }
            text.extend(format!("{length} {key}=").bytes());
            text.extend(*value);
            text.push(b'\n');
        }
        self.raw(EntryType::XHeader, b"pax", b"", &text, |_| {})
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

/// A layer of `archive`, compressed, and its blob.
pub(crate) fn layer(archive: &[u8], compression: Compression) -> (Layer, Vec<u8>) {
    let blob = compress(archive, compression);
    (describe(archive, &blob, compression), blob)
}

pub(crate) fn describe(archive: &[u8], blob: &[u8], compression: Compression) -> Layer {
    Layer {
        blob: Digest::of(blob),
        size: blob.len() as u64,
        diff_id: Digest::of(archive),
        media: LayerMedia { compression, distributable: true },
    }
}

pub(crate) fn compress(archive: &[u8], compression: Compression) -> Vec<u8> {
    match compression {
        Compression::None => archive.to_vec(),
        Compression::Gzip => {
            let level = flate2::Compression::fast();
            let mut out = flate2::write::GzEncoder::new(Vec::new(), level);
            out.write_all(archive).unwrap();
            out.finish().unwrap()
        }
        Compression::Zstd => zstd::encode_all(archive, 1).unwrap(),
    }
}

/// All that one can see of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) mtime: (i64, i64),
    /// A file's digest or a link's target.
    pub(crate) content: String,
    pub(crate) xattrs: BTreeMap<String, Vec<u8>>,
    /// The first path, in order, with the same inode.
    pub(crate) same_as: PathBuf,
    pub(crate) device: u64,
}

/// A picture of the tree at `top`, by path relative to it; the top itself is the empty path.
pub(crate) fn picture(top: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut all = BTreeMap::new();
    let mut open = vec![top.to_owned()];
    while let Some(path) = open.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        }
        let content = if meta.is_file() {
            Digest::of(&fs::read(&path).unwrap()).to_string()
        } else if meta.is_symlink() {
            fs::read_link(&path).unwrap().to_string_lossy().into_owned()
        } else {
            String::new()
        };
        let seen = Seen {
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            mtime: (meta.mtime(), meta.mtime_nsec()),
            content,
            xattrs: xattrs(&path),
            same_as: PathBuf::new(),
            device: meta.rdev(),
        };
        let relative = path.strip_prefix(top).unwrap().to_owned();
        all.insert(relative, (seen, meta.ino(), meta.is_dir()));
    }
    let mut first: BTreeMap<u64, PathBuf> = BTreeMap::new();
    for (path, (seen, inode, is_dir)) in &mut all {
        let same = first.entry(*inode).or_insert_with(|| path.clone());
        seen.same_as = if *is_dir { path.clone() } else { same.clone() };
    }
    all.into_iter().map(|(path, (seen, ..))| (path, seen)).collect()
}

pub(crate) fn xattrs(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0; 65_536];
    let n = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or(0);
    let mut found = BTreeMap::new();
    for name in names[..n].split(|b| *b == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 65_536];
        let key = std::ffi::OsString::from_vec(name.to_vec());
        let n = rustix::fs::lgetxattr(path, key.as_bytes(), &mut value[..]).unwrap();
        value.truncate(n);
        found.insert(key.into_string().unwrap(), value);
    }
    found
}

/// A mount that goes with its handle.
pub(crate) struct Mounted(pub(crate) tempfile::TempDir);

impl Mounted {
    pub(crate) fn new(kind: &str, options: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let flags = rustix::mount::MountFlags::empty();
        let options = std::ffi::CString::new(options).unwrap();
        rustix::mount::mount(kind, dir.path(), kind, flags, options.as_c_str()).unwrap();
        Self(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let flags = rustix::mount::UnmountFlags::DETACH;
        rustix::mount::unmount(self.0.path(), flags).unwrap();
    }
}

/// A read-only overlay of directories, the topmost first.
pub(crate) fn overlay(lower: &[PathBuf]) -> Mounted {
    let option = image::overlay::lowerdir_option(lower);
    let text = option.to_str().unwrap();
    if text.len() < 3500 {
        return Mounted::new("overlay", &format!("lowerdir={text}"));
    }
    // More than a page of options: one by one, as the agent does it.
    use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags};
    let dir = tempfile::tempdir().unwrap();
    let fs = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
    for path in lower {
        rustix::mount::fsconfig_set_string(&fs, "lowerdir+", path).unwrap();
    }
    rustix::mount::fsconfig_create(&fs).unwrap();
    let mount =
        rustix::mount::fsmount(&fs, FsMountFlags::empty(), MountAttrFlags::MOUNT_ATTR_RDONLY);
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(mount.unwrap(), "", rustix::fs::CWD, dir.path(), flags).unwrap();
    Mounted(dir)
}
