//! Layers made by GNU tar, unpacked by us and stacked by overlayfs, against GNU tar unpacking them
//! one over the other.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use image::LayerStore;
use image::manifest::Compression;
use image::overlay::lower_directories;

use crate::world::{self, Seen, layer, picture, run};

/// Three layers of everyday trouble. Each script runs in an empty directory that becomes a layer.
const LAYERS: [&str; 3] = [
    "mkdir -p etc usr/bin usr/lib var/cache/deep tmp opt/gone home/u
     chmod 1777 tmp; chmod 750 home/u; chown 1000:1001 home/u
     ln -s usr/lib lib; ln -s /usr/bin bin; ln -s ../nowhere etc/broken
     echo su > usr/bin/su; chmod 4755 usr/bin/su
     echo wall > usr/bin/wall; chgrp 5 usr/bin/wall; chmod 2755 usr/bin/wall
     ln usr/bin/su usr/bin/sudo; ln lib usr/liblink
     echo ping > usr/bin/ping
     mkfifo var/pipe; chown 7 var/pipe; chown -h 8:9 etc/broken
     for i in 1 2 3; do echo $i > var/cache/deep/$i; echo $i > opt/gone/$i; done
     touch -h -d '1999-12-31 23:59:59.5' etc/broken usr/bin/su usr/lib
     touch 'name with spaces' $(printf 'n%.0s' $(seq 200)) $(printf 'b\\377d')
     truncate -s 300000 sparse; echo end >> sparse",
    "mkdir -p etc var/cache opt usr/bin tmp
     chmod 700 etc; chmod 1777 tmp; touch opt/.wh.gone var/cache/.wh..wh..opq
     echo new > var/cache/new; touch usr/bin/.wh.wall; echo moved > usr/bin/ping
     echo file > lib2",
    "mkdir -p var/cache/deep lib2 opt/gone; echo again > var/cache/deep/x
     echo in > lib2/now-a-directory; ln lib2/now-a-directory hard
     mkdir etc; echo conf > etc/conf; chown 33:33 etc/conf; echo back > opt/gone/4",
];

/// The naive way: for each layer, take away what its whiteouts name, then unpack over it.
fn flatten(archives: &[PathBuf], to: &Path) {
    for archive in archives {
        let archive = archive.to_str().unwrap();
        let list = run("tar", &["-tf", archive, "--quoting-style=escape"]);
        for path in list.lines().filter(|line| line.contains(".wh.")) {
            let (dir, name) = path.rsplit_once('/').unwrap();
            let target = to.join(dir);
            if name == ".wh..wh..opq" {
                fs::remove_dir_all(&target).unwrap();
                fs::create_dir(&target).unwrap();
            } else {
                let target = target.join(name.strip_prefix(".wh.").unwrap());
                run("rm", &["-rf", target.to_str().unwrap()]);
            }
        }
        // A directory replaces a file, which tar does only for files.
        for path in list.lines().filter(|line| line.ends_with('/')) {
            let target = to.join(path.trim_end_matches('/'));
            if fs::symlink_metadata(&target).is_ok_and(|meta| meta.is_file()) {
                fs::remove_file(target).unwrap();
            }
        }
        let to = to.to_str().unwrap();
        run(
            "tar",
            &[
                "-C",
                to,
                "-xpf",
                archive,
                "--same-owner",
                "--numeric-owner",
                "--xattrs",
                { "--xattrs-include=*" },
                "--exclude=.wh.*",
            ],
        );
    }
}

/// What overlayfs shows differs in two ways that no container sees.
fn plain(mut seen: BTreeMap<PathBuf, Seen>) -> BTreeMap<PathBuf, Seen> {
    for one in seen.values_mut() {
        one.xattrs.retain(|name, _| !name.starts_with("trusted."));
    }
    seen
}

#[test]
fn layers_stack_as_tar_would_flatten_them() {
    if !world::root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let flat = dir.path().join("flat");
    fs::create_dir(&flat).unwrap();
    let mut archives = Vec::new();
    for (i, script) in LAYERS.iter().enumerate() {
        let tree = dir.path().join(format!("tree{i}"));
        fs::create_dir(&tree).unwrap();
        let archive = dir.path().join(format!("layer{i}.tar"));
        let (tree, file) = (tree.to_str().unwrap(), archive.to_str().unwrap());
        run("sh", &["-euc", &format!("cd {tree}; umask 022; {script}")]);
        if i == 0 {
            let ping = format!("{tree}/usr/bin/ping");
            let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
            for (name, value) in
                [("user.note", &b"some note"[..]), ("security.capability", capability)]
            {
                let flags = rustix::fs::XattrFlags::empty();
                rustix::fs::setxattr(&ping, name, value, flags).unwrap();
            }
        }
        run(
            "tar",
            &[
                "-C",
                tree,
                "-cf",
                file,
                "--format=posix",
                "--xattrs",
                "-S",
                "--xattrs-include=*",
                { "--numeric-owner" },
                ".",
            ],
        );
        archives.push(archive);
    }
    flatten(&archives, &flat);
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let store = LayerStore::open(dir.path().join(format!("{compression:?}"))).unwrap();
        let mut ids = Vec::new();
        for archive in &archives {
            let (layer, blob) = layer(&fs::read(archive).unwrap(), compression);
            store.unpack(&layer, blob.as_slice()).unwrap();
            ids.push(layer.diff_id);
        }
        let merged = world::overlay(&lower_directories(&store, &ids));
        let (ours, theirs) = (plain(picture(merged.path())), plain(picture(&flat)));
        for (path, seen) in &theirs {
            assert_eq!(ours.get(path), Some(seen), "{}", path.display());
        }
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
        assert!(ours.len() > 25, "the layers were not empty");
    }
}
