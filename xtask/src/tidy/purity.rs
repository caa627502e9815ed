//! Pure crates decide and do not act: no runtime, socket, file, clock or random source in what they
//! are built from. Their own calls into the standard library are banned by their `clippy.toml`.

use super::finding::Finding;

/// The crates that must stay pure.
pub(super) const PURE_CRATES: &[&str] = &["api", "plan"];

/// What makes a crate impure when it is built into it.
const IMPURE: &[&str] = &[
    "async-std",
    "axum",
    "fastrand",
    "getrandom",
    "h2",
    "hyper",
    "hyper-util",
    "libc",
    "mio",
    "nix",
    "oci-client",
    "parking_lot",
    "rand",
    "rand_core",
    "reqwest",
    "ring",
    "rusqlite",
    "rustix",
    "rustls",
    "smol",
    "socket2",
    "tempfile",
    "tokio",
    "tokio-util",
    "ureq",
    "walkdir",
];

/// What each pure crate's `clippy.toml` must ban, so that no such file can fall behind.
const BANNED_CALLS: &[&str] = &[
    "std::time::SystemTime::now",
    "std::time::Instant::now",
    "std::thread::sleep",
    "std::thread::spawn",
    "std::env::var",
    "std::fs::read",
    "std::fs::write",
    "std::fs::File",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::process::Command",
    "jiff::Timestamp::now",
    "jiff::Zoned::now",
];

/// Impure packages in `cargo tree`'s list of what a crate is built from: lines of `NAME vVERSION`.
pub(super) fn check_tree(name: &str, tree: &str) -> Vec<Finding> {
    let mut impure: Vec<_> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|it| IMPURE.contains(it))
        .collect();
    impure.sort_unstable();
    impure.dedup();
    let manifest = format!("crates/{name}/Cargo.toml");
    let text = |it| format!("{name} is pure and must not be built with {it}");
    impure.into_iter().map(|it| Finding::new(&*manifest, 0, "purity", text(it))).collect()
}

/// Bans that a pure crate's `clippy.toml` lacks.
pub(super) fn check_bans(name: &str, clippy: &str) -> Vec<Finding> {
    let path = format!("crates/{name}/clippy.toml");
    let missing = BANNED_CALLS.iter().filter(|it| !clippy.contains(&format!("\"{it}\"")));
    missing
        .map(|it| Finding::new(&*path, 0, "purity", format!("{it} must be banned here")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impure_packages_are_found_once() {
        let tree = "api v0.1.0 (/x)\nserde v1.0.0\ntokio v1.0.0\ntokio v1.0.0 (*)\nlibc v0.2.0\n";
        let found: Vec<_> = check_tree("api", tree).into_iter().map(|it| it.text).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(check_tree("api", "api v0.1.0\nserde v1.0.0\n").is_empty());
    }

    #[test]
    fn missing_bans_are_found() {
        let all: String =
            BANNED_CALLS.iter().map(|it| format!("{{ path = \"{it}\" }},\n")).collect();
        assert!(check_bans("api", &all).is_empty());
        assert_eq!(check_bans("api", "").len(), BANNED_CALLS.len());
        let without = all.replace("std::thread::sleep", "std::thread::sleep_ms");
        assert_eq!(check_bans("api", &without).len(), 1);
    }
}
