//! Files that the binary writes about itself and that are committed, so that a change to the API,
//! the manifest or the command line is seen in review. Must not know their content.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A generated file and the arguments that make `freehold` print it.
struct Generator {
    file: &'static str,
    arguments: &'static [&'static str],
}

/// All of them. A new one is a line here and a hidden subcommand of `freehold gen`.
const GENERATORS: &[Generator] = &[
    Generator { file: "docs/openapi.json", arguments: &["gen", "openapi"] },
    Generator { file: "docs/manifest.schema.json", arguments: &["gen", "schema"] },
    Generator { file: "docs/cli.md", arguments: &["gen", "cli"] },
    Generator { file: "completions/freehold.bash", arguments: &["completions", "bash"] },
    Generator { file: "completions/_freehold", arguments: &["completions", "zsh"] },
    Generator { file: "completions/freehold.fish", arguments: &["completions", "fish"] },
];

/// Writes every file anew, or only says which differ; true when none does.
pub(crate) fn run(root: &Path, check: bool) -> Result<bool> {
    let mut good = true;
    for generator in GENERATORS {
        let fresh = print(root, generator.arguments)?;
        let path = root.join(generator.file);
        if !check {
            let directory = path.parent().context("generated files live in directories")?;
            fs::create_dir_all(directory)?;
            fs::write(&path, fresh).with_context(|| format!("write {}", generator.file))?;
            continue;
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        if let Some(line) = first_difference(&committed, &fresh) {
            println!("{}:{line}: out of date; type: cargo xtask gen", generator.file);
            good = false;
        }
    }
    Ok(good)
}

fn print(root: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["run", "--quiet", "--locked", "--package", "cli", "--bin", "freehold", "--"])
        .args(arguments)
        .current_dir(root)
        .output()
        .context("run cargo")?;
    let problems = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "freehold {} failed:\n{problems}", arguments.join(" "));
    let text = String::from_utf8(output.stdout).context("generated files are text")?;
    ensure!(!text.trim().is_empty(), "freehold {} printed nothing", arguments.join(" "));
    Ok(text)
}

/// The number of the first line that differs, from 1.
fn first_difference(old: &str, new: &str) -> Option<usize> {
    if old == new {
        return None;
    }
    let same = old.split('\n').zip(new.split('\n')).take_while(|(old, new)| old == new).count();
    Some(same + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_different_line_is_named() {
        for (old, new, line) in [
            ("a\nb\n", "a\nb\n", None),
            ("", "a\n", Some(1)),
            ("a\nb\n", "a\nc\n", Some(2)),
            ("a\n", "a\nb\n", Some(2)),
            ("a\nb", "a\nb\n", Some(3)),
        ] {
            assert_eq!(first_difference(old, new), line, "{old:?} {new:?}");
        }
    }

    #[test]
    fn no_two_generators_write_one_file() {
        let mut files: Vec<_> = GENERATORS.iter().map(|generator| generator.file).collect();
        files.sort_unstable();
        files.dedup();
        assert_eq!(files.len(), GENERATORS.len());
    }
}
