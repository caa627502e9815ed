//! Which directories overlayfs is to stack for an image. Mounting is the agent's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::unpack::LayerStore;

/// The lower directories for layers given lowest first, topmost first as overlayfs wants them.
///
/// A layer that occurs twice is stacked once, at its highest place, since overlayfs refuses the
/// same directory twice: whatever the lower occurrence has or hides, the higher one has and hides
/// too. Zero directories (an empty image) and one directory cannot make an overlay without an upper
/// one; the caller mounts those plainly.
#[must_use]
pub fn lower_directories(store: &LayerStore, diff_ids: &[Digest]) -> Vec<PathBuf> {
    let mut seen = BTreeSet::new();
    diff_ids.iter().rev().filter(|id| seen.insert(**id)).map(|id| store.path(id)).collect()
}

/// The directories as the text of a `lowerdir=` option, with what separates escaped
/// (kernel documentation, filesystems/overlayfs.rst). `mount(2)` takes one page of options, some 40
/// directories; more go one by one through `fsconfig(2)` and `lowerdir+`, unescaped.
#[must_use]
pub fn lowerdir_option(directories: &[PathBuf]) -> std::ffi::OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let escape = |path: &PathBuf| {
        Path::as_os_str(path).as_bytes().iter().fold(Vec::new(), |mut text, byte| {
            if b"\\:,".contains(byte) {
                text.push(b'\\');
            }
            text.push(*byte);
            text
        })
    };
    let parts: Vec<_> = directories.iter().map(escape).collect();
    std::ffi::OsString::from_vec(parts.join(&b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_stack_from_the_top_and_only_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = LayerStore::open(dir.path()).unwrap();
        let [a, b, c] = [b"a", b"b", b"c"].map(|text| Digest::of(text));
        let lower = lower_directories(&store, &[a, b, a, c]);
        assert_eq!(lower, [store.path(&c), store.path(&a), store.path(&b)]);
        assert!(lower_directories(&store, &[]).is_empty());
        let option = lowerdir_option(&["/a:b".into(), "/c,d\\e".into()]);
        assert_eq!(option, "/a\\:b:/c\\,d\\\\e");
    }
}
