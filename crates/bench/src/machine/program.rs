//! Finding the programs of peers.

use std::path::{Path, PathBuf};

/// Where programs are looked for: the search path, where administration's programs are, and further
/// directories.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    directories: Vec<PathBuf>,
}

impl Programs {
    /// Looks into `first`, then the directories of `path` (in the form of `$PATH`), then `/sbin`s.
    pub(crate) fn new(first: &Path, path: &str) -> Self {
        // Debian's own come before what an administrator put beside them: the peers are Debian's.
        let known = [first.to_owned(), "/usr/bin".into(), "/usr/sbin".into()];
        let directories = known.into_iter().chain(std::env::split_paths(path));
        Self { directories: directories.collect() }
    }

    /// The program's path.
    ///
    /// # Errors
    /// It is not installed; the text says how to install it.
    pub(crate) fn find(&self, name: &str) -> Result<PathBuf, String> {
        let mut paths = self.directories.iter().map(|directory| directory.join(name));
        paths.find(|path| path.is_file()).ok_or_else(|| missing(name))
    }
}

/// What is said of a program that is not there.
pub(crate) fn missing(name: &str) -> String {
    format!("{name} is not installed; hint: make bench-setup")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_or_their_absence_has_a_hint() {
        let own = tempfile::tempdir().unwrap();
        std::fs::write(own.path().join("caddy"), "").unwrap();
        std::fs::create_dir(own.path().join("traefik")).unwrap();
        let programs = Programs::new(own.path(), "");
        assert_eq!(programs.find("caddy").unwrap(), own.path().join("caddy"));
        let absent = programs.find("traefik").unwrap_err();
        assert!(absent.contains("traefik") && absent.contains("make bench-setup"), "{absent}");
    }
}
