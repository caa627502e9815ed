//! Reads the tree, asks cargo about the packages, applies the rules and prints what they found.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cargo_metadata::MetadataCommand;
use walkdir::WalkDir;

use super::exceptions;
use super::finding::Finding;
use super::layers::{self, Member};
use super::licences::{self, Deny, Package};
use super::source::Source;
use super::{purity, rules, settings, traces};

/// Directories that hold nothing of ours.
const SKIPPED: &[&str] = &["target", ".git", ".freehold", "node_modules", "dist"];

/// The longest file that is looked at; what is longer is generated or not text.
const MAX_BYTES: u64 = 2 * 1024 * 1024;

/// The platform whose packages are checked: the only one the product runs on.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// A text file of the tree.
struct Text {
    path: String,
    text: String,
}

/// Checks everything and prints the findings; true when there are none.
pub(crate) fn run(root: &Path, notes: bool) -> Result<bool> {
    let texts = read_tree(root)?;
    let mut found = check_texts(root, &texts)?;
    found.extend(check_packages(root)?);
    let list = texts.iter().find(|it| it.path == exceptions::FILE);
    let mut found = exceptions::apply(&found, list.map_or("", |it| it.text.as_str()));
    found.sort();
    for finding in &found {
        println!("{finding}");
    }
    let mut long: Vec<_> = rust(&texts).filter_map(|source| rules::note(&source)).collect();
    long.sort_by_key(|(_, lines)| usize::MAX - lines);
    if notes {
        for (path, lines) in &long {
            println!("note: {path} has {lines} lines without tests");
        }
    }
    println!("tidy: {} findings, {} files over 300 lines", found.len(), long.len());
    Ok(found.is_empty())
}

fn rust(texts: &[Text]) -> impl Iterator<Item = Source<'_>> {
    let rust = texts.iter().filter(|it| it.path.ends_with(".rs"));
    rust.map(|it| Source::new(&it.path, &it.text))
}

fn read_tree(root: &Path) -> Result<Vec<Text>> {
    let mut texts = Vec::new();
    let entries = WalkDir::new(root)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| !SKIPPED.contains(&entry.file_name().to_string_lossy().as_ref()));
    for entry in entries {
        let entry = entry.context("walk the tree")?;
        let size = entry.metadata().context("walk the tree")?.len();
        if !entry.file_type().is_file() || size > MAX_BYTES {
            continue;
        }
        let bytes =
            fs::read(entry.path()).with_context(|| format!("read {}", entry.path().display()))?;
        // Images and the like are not ours to check.
        let Ok(text) = String::from_utf8(bytes) else { continue };
        let path = entry.path().strip_prefix(root).context("walk the tree")?;
        texts.push(Text { path: path.to_string_lossy().into_owned(), text });
    }
    Ok(texts)
}

/// What texts alone tell.
fn check_texts(root: &Path, texts: &[Text]) -> Result<Vec<Finding>> {
    let cargo_home = std::env::var("CARGO_HOME").ok();
    let cargo_home = cargo_home.or_else(|| Some(format!("{}/.cargo", std::env::var("HOME").ok()?)));
    let local = traces::local_paths(&root.to_string_lossy(), cargo_home.as_deref());
    let mut found: Vec<Finding> = rust(texts).flat_map(|source| rules::check(&source)).collect();
    for Text { path, text } in texts {
        found.extend(traces::check(path, text, &local));
        match path.rsplit('/').next() {
            Some("Cargo.lock") => found.extend(traces::check_lock(path, text)),
            Some("clippy.toml") => found.extend(settings::check_clippy(path, text)?),
            Some("Cargo.toml") if path == "Cargo.toml" => {
                found.extend(settings::check_lints(text)?);
            }
            Some("Cargo.toml") => found.extend(settings::check_member(path, text)?),
            _ => {}
        }
    }
    for name in purity::PURE_CRATES {
        let path = format!("crates/{name}/clippy.toml");
        let file = texts.iter().find(|it| it.path == path);
        found.extend(purity::check_bans(name, file.map_or("", |it| it.text.as_str())));
    }
    Ok(found)
}

/// What only cargo can tell.
fn check_packages(root: &Path) -> Result<Vec<Finding>> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .other_options(vec![format!("--filter-platform={PLATFORM}"), "--locked".to_owned()])
        .exec()
        .context("ask cargo about the packages")?;
    let members: Vec<Member> = metadata
        .workspace_packages()
        .into_iter()
        .map(|package| Member {
            name: package.name.to_string(),
            manifest: package
                .manifest_path
                .strip_prefix(&metadata.workspace_root)
                .unwrap_or(&package.manifest_path)
                .to_string(),
            rank: package.metadata["freehold"]["rank"].as_u64(),
            dependencies: package.dependencies.iter().map(|it| it.name.clone()).collect(),
        })
        .collect();
    let resolved = metadata.resolve.as_ref().context("cargo resolved no packages")?;
    let packages: Vec<Package> = resolved
        .nodes
        .iter()
        .map(|node| &metadata[&node.id])
        .map(|it| Package { name: it.name.to_string(), licence: it.license.clone() })
        .collect();
    let deny = fs::read_to_string(root.join("deny.toml")).context("read deny.toml")?;
    let mut found = layers::check(&members);
    found.extend(licences::check(&packages, &Deny::parse(&deny)?));
    for name in purity::PURE_CRATES {
        found.extend(purity::check_tree(name, &tree_of(root, name)?));
    }
    Ok(found)
}

/// What a crate is built from when it is built alone, one package a line.
fn tree_of(root: &Path, name: &str) -> Result<String> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "--package", name])
        .args(["--target", PLATFORM])
        .current_dir(root)
        .output()
        .context("run cargo tree")?;
    let problems = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo tree of {name} failed:\n{problems}");
    String::from_utf8(output.stdout).context("cargo tree prints text")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn files_are_found_and_checked_by_kind() {
        let root = tree(&[
            ("crates/a/src/lib.rs", "fn a() {}\n"),
            ("crates/a/Cargo.toml", "[package]\nname = \"a\"\n"),
            ("crates/a/clippy.toml", ""),
            ("Cargo.toml", "[workspace]\n"),
            ("Cargo.lock", "source = \"registry+https://mirror.example/i\"\n"),
            ("target/debug/utils.rs", "fn a() {}\n"),
            (".git/utils.rs", "fn a() {}\n"),
            ("docs/picture.png", "\u{fffd}"),
        ]);
        fs::write(root.path().join("docs/picture.png"), [0xff, 0xfe, 0]).unwrap();
        let text = root.path().to_string_lossy().into_owned() + "/x";
        fs::write(root.path().join("README.md"), text).unwrap();
        let texts = read_tree(root.path()).unwrap();
        let found = check_texts(root.path(), &texts).unwrap();
        let has =
            |rule: &str, path: &str| found.iter().any(|it| it.rule == rule && it.path == path);
        assert!(has("module-docs", "crates/a/src/lib.rs"));
        assert!(has("front-page", "crates/a/src/lib.rs"));
        assert!(has("lints", "crates/a/Cargo.toml"));
        assert!(has("function-length", "crates/a/clippy.toml"));
        assert!(has("lints", "Cargo.toml"));
        assert!(has("package-source", "Cargo.lock"));
        assert!(has("machine-path", "README.md"));
        assert!(has("purity", "crates/plan/clippy.toml"));
        assert!(!found.iter().any(|it| it.path.contains("utils.rs")), "{found:?}");
    }
}
