//! Which directories and files an image lacks that something is to be mounted on. Pure.
//!
//! The answer becomes a layer above the image's, so it must hold nothing the image has too, except
//! parents with their attributes copied: nothing of an image is ever hidden.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// Most symbolic links followed on one path, as the kernel's own limit (path_resolution(7)).
const MAX_LINKS: u32 = 40;

/// Something is to be mounted here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Absolute, without `..`.
    pub path: PathBuf,
    /// Whether a directory is needed, else a file.
    pub dir: bool,
}

/// What lies at a path of the image, symbolic links not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory with its permissions and host owners.
    Dir {
        /// Permission bits.
        mode: u32,
        /// Owner on the host.
        uid: u32,
        /// Group on the host.
        gid: u32,
    },
    /// A symbolic link to this.
    Link(PathBuf),
    /// Anything else.
    File,
    /// Nothing.
    Missing,
}

/// One entry of the layer to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A directory of the image, there again with the same attributes.
    Copy {
        /// Permission bits.
        mode: u32,
        /// Owner on the host.
        uid: u32,
        /// Group on the host.
        gid: u32,
    },
    /// A new directory.
    Dir,
    /// A new empty file.
    File,
}

/// Why a mount point cannot be had.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SkeletonError {
    /// A part of the path is no directory, or the end is of the wrong kind.
    #[error("{path} of the image is in the way of a mount at {target}")]
    InTheWay {
        /// What is in the way.
        path: PathBuf,
        /// Of which mount.
        target: PathBuf,
    },
    /// Symbolic links in a circle, or too many.
    #[error("too many symbolic links in the image on the way to {0}")]
    Links(PathBuf),
}

/// Finds what has to be made so that every target exists. The result is in order of path, parents
/// first; empty when the image has all.
///
/// # Errors
/// A target cannot exist beside what the image has.
pub fn plan(
    targets: &[Target],
    lookup: &mut dyn FnMut(&Path) -> std::io::Result<Kind>,
) -> std::io::Result<Result<BTreeMap<PathBuf, Node>, SkeletonError>> {
    let mut nodes = BTreeMap::new();
    for target in targets {
        if let Err(error) = plan_one(target, lookup, &mut nodes)? {
            return Ok(Err(error));
        }
    }
    Ok(Ok(nodes))
}

fn plan_one(
    target: &Target,
    lookup: &mut dyn FnMut(&Path) -> std::io::Result<Kind>,
    nodes: &mut BTreeMap<PathBuf, Node>,
) -> std::io::Result<Result<(), SkeletonError>> {
    let mut todo = reversed(&target.path);
    let mut at = PathBuf::from("/");
    let mut parents: Vec<(PathBuf, Node)> = Vec::new();
    let mut links = 0;
    let mut missing = false;
    while let Some(name) = todo.pop() {
        if name == ".." {
            at.pop();
            parents.retain(|(path, _)| at.starts_with(path));
            continue;
        }
        let here = at.join(&name);
        let last = todo.is_empty();
        let found = if missing { Kind::Missing } else { known(nodes, &here, lookup)? };
        match found {
            Kind::Dir { mode, uid, gid } if !last || target.dir => {
                parents.push((here.clone(), Node::Copy { mode, uid, gid }));
                at = here;
            }
            Kind::Link(to) => {
                links += 1;
                if links > MAX_LINKS {
                    return Ok(Err(SkeletonError::Links(target.path.clone())));
                }
                if to.is_absolute() {
                    at = PathBuf::from("/");
                    parents.clear();
                }
                todo.extend(reversed(&to));
            }
            Kind::Missing => {
                missing = true;
                let node = if last && !target.dir { Node::File } else { Node::Dir };
                parents.push((here.clone(), node));
                at = here;
            }
            Kind::File if last && !target.dir => at = here,
            Kind::File | Kind::Dir { .. } => {
                let target = target.path.clone();
                return Ok(Err(SkeletonError::InTheWay { path: here, target }));
            }
        }
    }
    if missing {
        for (path, node) in parents {
            nodes.entry(path).or_insert(node);
        }
    }
    Ok(Ok(()))
}

/// What is there once the nodes planned so far are made.
fn known(
    nodes: &BTreeMap<PathBuf, Node>,
    path: &Path,
    lookup: &mut dyn FnMut(&Path) -> std::io::Result<Kind>,
) -> std::io::Result<Kind> {
    match nodes.get(path) {
        // New directories are looked through as missing ones, so that they stay `Dir`.
        Some(Node::Dir) | None => lookup(path),
        Some(Node::File) => Ok(Kind::File),
        Some(Node::Copy { mode, uid, gid }) => Ok(Kind::Dir { mode: *mode, uid: *uid, gid: *gid }),
    }
}

/// The names of a path, last first.
fn reversed(path: &Path) -> Vec<std::ffi::OsString> {
    let names = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    let mut names: Vec<_> = names.collect();
    names.reverse();
    names
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    use super::{Kind, MAX_LINKS, Node, SkeletonError, Target, plan};

    const DIR: Kind = Kind::Dir { mode: 0o751, uid: 7, gid: 8 };
    const COPY: Node = Node::Copy { mode: 0o751, uid: 7, gid: 8 };

    fn check(
        image: &[(&str, Kind)],
        targets: &[(&str, bool)],
    ) -> Result<Vec<(String, Node)>, SkeletonError> {
        let image: BTreeMap<PathBuf, Kind> =
            image.iter().map(|(path, kind)| (PathBuf::from(path), kind.clone())).collect();
        let targets: Vec<Target> =
            targets.iter().map(|(path, dir)| Target { path: path.into(), dir: *dir }).collect();
        let mut lookup = |path: &Path| Ok(image.get(path).cloned().unwrap_or(Kind::Missing));
        let nodes = plan(&targets, &mut lookup).unwrap()?;
        Ok(nodes.into_iter().map(|(path, node)| (path.display().to_string(), node)).collect())
    }

    fn at(path: &str, node: Node) -> (String, Node) {
        (path.to_owned(), node)
    }

    #[test]
    fn a_whole_image_needs_nothing() {
        let image = [("/proc", DIR), ("/etc", DIR), ("/etc/hosts", Kind::File)];
        assert_eq!(check(&image, &[("/proc", true), ("/etc/hosts", false)]), Ok(vec![]));
    }

    #[test]
    fn an_empty_image_gets_all_and_shares_parents() {
        let targets = [("/etc/hosts", false), ("/etc/resolv.conf", false), ("/proc", true)];
        let want = vec![
            at("/etc", Node::Dir),
            at("/etc/hosts", Node::File),
            at("/etc/resolv.conf", Node::File),
            at("/proc", Node::Dir),
        ];
        assert_eq!(check(&[], &targets), Ok(want));
    }

    #[test]
    fn parents_keep_their_attributes() {
        let want = vec![at("/etc", COPY), at("/etc/hosts", Node::File)];
        assert_eq!(check(&[("/etc", DIR)], &[("/etc/hosts", false)]), Ok(want));
    }

    #[test]
    fn links_lead_to_where_they_point_inside_and_are_not_replaced() {
        let image = [
            ("/var", DIR),
            ("/var/run", Kind::Link("../run".into())),
            ("/run", DIR),
            ("/etc", DIR),
            ("/etc/resolv.conf", Kind::Link("../../../run/resolve/stub".into())),
        ];
        let want = vec![
            at("/run", COPY),
            at("/run/resolve", Node::Dir),
            at("/run/resolve/stub", Node::File),
            at("/run/secrets", Node::Dir),
        ];
        let targets = [("/var/run/secrets", true), ("/etc/resolv.conf", false)];
        assert_eq!(check(&image, &targets), Ok(want));
    }

    #[test]
    fn circles_and_wrong_kinds_are_refused() {
        let circle = [("/a", Kind::Link("/b".into())), ("/b", Kind::Link("a".into()))];
        assert_eq!(check(&circle, &[("/a/x", true)]), Err(SkeletonError::Links("/a/x".into())));
        let in_the_way = |path: &str, target: &str| {
            Err(SkeletonError::InTheWay { path: path.into(), target: target.into() })
        };
        let file = [("/tmp", Kind::File)];
        assert_eq!(check(&file, &[("/tmp", true)]), in_the_way("/tmp", "/tmp"));
        assert_eq!(check(&file, &[("/tmp/x", true)]), in_the_way("/tmp", "/tmp/x"));
        let dir = [("/etc", DIR), ("/etc/hosts", DIR)];
        assert_eq!(check(&dir, &[("/etc/hosts", false)]), in_the_way("/etc/hosts", "/etc/hosts"));
        let long: Vec<(String, Kind)> = (0..=MAX_LINKS)
            .map(|n| (format!("/l{n}"), Kind::Link(format!("/l{}", n + 1).into())))
            .collect();
        let long: Vec<(&str, Kind)> = long.iter().map(|(p, k)| (p.as_str(), k.clone())).collect();
        assert!(check(&long, &[("/l0", true)]).is_err());
    }
}
