//! Traces of the machine on which something was written: its paths and its package mirrors. What to
//! look for is taken from the machine that checks, so nothing of any machine is written down here.

use super::finding::Finding;

/// Top-level directories that every machine has, and that texts may speak of.
const ORDINARY: &[&str] = &[
    "bin", "boot", "dev", "etc", "home", "lib", "media", "mnt", "opt", "proc", "root", "run",
    "sbin", "srv", "sys", "tmp", "usr", "var",
];

/// The source of crates that is the same everywhere.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Beginnings of paths that exist on this machine only: the workspace, cargo's home, and the
/// top-level directory that holds the workspace, when it is not an ordinary one.
pub(super) fn local_paths(root: &str, cargo_home: Option<&str>) -> Vec<String> {
    let mut paths = vec![root.to_owned()];
    paths.extend(cargo_home.map(str::to_owned));
    let top = root.trim_start_matches('/').split('/').next().unwrap_or_default();
    if !ORDINARY.contains(&top) && !top.is_empty() {
        paths.push(format!("/{top}"));
    }
    paths.retain(|path| path.len() > 1);
    paths
}

/// Lines that speak of a local path. A path that only contains the same words further in is fine.
pub(super) fn check(path: &str, text: &str, local: &[String]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for place in local {
            let spoken = line.match_indices(place.as_str()).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                let after = line[at + place.len()..].chars().next();
                let inside = |c: char| c.is_alphanumeric() || "/_-.}$".contains(c);
                !before.is_some_and(inside)
                    && after.is_none_or(|c| c == '/' || !inside(c))
                    && (place.matches('/').count() > 1 || after == Some('/'))
            });
            if spoken {
                let what = "speaks of a path of the machine it was written on";
                found.push(Finding::new(path, index + 1, "machine-path", what));
                break;
            }
        }
    }
    found
}

/// Packages in a lock file that come from elsewhere than crates.io.
pub(super) fn check_lock(path: &str, text: &str) -> Vec<Finding> {
    let sources = text.lines().enumerate().filter(|(_, line)| line.starts_with("source = "));
    let foreign = sources.filter(|(_, line)| !line.contains(CRATES_IO));
    let what = "a package from elsewhere than crates.io";
    foreign.map(|(index, _)| Finding::new(path, index + 1, "package-source", what)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_paths_are_found_and_ordinary_ones_are_not() {
        let local = local_paths("/here/tree", Some("/home/me/.cargo"));
        for (line, found) in [
            ("see /here/tree/a.rs", true),
            ("\"/here/other\"", true),
            ("dir=/home/me/.cargo/bin", true),
            ("/root is root's home", false),
            ("upper/here/x", false),
            ("$dir/here/x", false),
            ("/hereafter", false),
            ("/here", false),
            ("/var/lib", false),
        ] {
            assert_eq!(!check("a", line, &local).is_empty(), found, "{line}");
        }
        assert_eq!(local_paths("/home/me/tree", None), ["/home/me/tree"]);
    }

    #[test]
    fn foreign_packages_are_found() {
        let good = format!("name = \"a\"\nsource = \"{CRATES_IO}\"\n");
        assert!(check_lock("Cargo.lock", &good).is_empty());
        for bad in ["registry+https://mirror.example/index", "git+https://example.com/a?rev=1"] {
            let lock = format!("{good}source = \"{bad}\"\n");
            assert_eq!(check_lock("Cargo.lock", &lock)[0].line, 3);
        }
    }
}
