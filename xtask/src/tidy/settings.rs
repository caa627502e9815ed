//! That what clippy and rustc check for us stays switched on.

use anyhow::{Context, Result};

use super::finding::Finding;

/// The lints that the house rules rely on, in the workspace's manifest.
const LINTS: &[(&str, &str)] = &[
    ("rust", "unsafe_code"),
    ("rust", "missing_docs"),
    ("clippy", "all"),
    ("clippy", "allow_attributes_without_reason"),
    ("clippy", "too_many_lines"),
    ("clippy", "unwrap_used"),
];

/// The most lines of a function.
const MAX_FUNCTION_LINES: i64 = 70;

/// Lints that the workspace's manifest no longer switches on.
pub(super) fn check_lints(manifest: &str) -> Result<Vec<Finding>> {
    let manifest: toml::Table = manifest.parse().context("parse Cargo.toml")?;
    let lints = manifest.get("workspace").and_then(|it| it.get("lints"));
    let missing = LINTS.iter().filter(|(tool, lint)| {
        let level = lints.and_then(|it| it.get(tool)).and_then(|it| it.get(lint));
        let level = level.and_then(|it| it.get("level").or(Some(it))).and_then(|it| it.as_str());
        !matches!(level, Some("warn" | "deny" | "forbid"))
    });
    let text = |lint| format!("lint {lint} must be on");
    Ok(missing.map(|(_, lint)| Finding::new("Cargo.toml", 0, "lints", text(lint))).collect())
}

/// Whether a member follows the workspace's lints.
pub(super) fn check_member(path: &str, manifest: &str) -> Result<Vec<Finding>> {
    let manifest: toml::Table = manifest.parse().with_context(|| format!("parse {path}"))?;
    let follows = manifest.get("lints").and_then(|it| it.get("workspace"));
    if follows.and_then(toml::Value::as_bool) == Some(true) {
        return Ok(Vec::new());
    }
    let text = "must follow the workspace's lints: [lints] workspace = true";
    Ok(vec![Finding::new(path, 0, "lints", text)])
}

/// Whether a `clippy.toml` keeps functions short; the nearest file wins, so each must say it.
pub(super) fn check_clippy(path: &str, text: &str) -> Result<Vec<Finding>> {
    let settings: toml::Table = text.parse().with_context(|| format!("parse {path}"))?;
    let most = settings.get("too-many-lines-threshold").and_then(toml::Value::as_integer);
    if most.is_some_and(|most| most <= MAX_FUNCTION_LINES) {
        return Ok(Vec::new());
    }
    let text = format!("too-many-lines-threshold must be {MAX_FUNCTION_LINES}");
    Ok(vec![Finding::new(path, 0, "function-length", text)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lints_that_are_off_are_found() {
        let good = "[workspace.lints.rust]\nunsafe_code = \"deny\"\nmissing_docs = \"warn\"\n\
            [workspace.lints.clippy]\nall = { level = \"warn\", priority = -1 }\n\
            allow_attributes_without_reason = \"warn\"\ntoo_many_lines = \"warn\"\n\
            unwrap_used = \"warn\"\n";
        assert_eq!(check_lints(good).unwrap(), []);
        assert_eq!(check_lints(&good.replace("unwrap_used = \"warn\"", "")).unwrap().len(), 1);
        let off = good.replace("level = \"warn\"", "level = \"allow\"");
        assert_eq!(check_lints(&off).unwrap().len(), 1);
        assert_eq!(check_lints("").unwrap().len(), LINTS.len());
    }

    #[test]
    fn members_and_thresholds_are_checked() {
        assert_eq!(check_member("a", "[lints]\nworkspace = true\n").unwrap(), []);
        assert_eq!(check_member("a", "[lints.rust]\nunsafe_code = \"allow\"\n").unwrap().len(), 1);
        assert_eq!(check_clippy("a", "too-many-lines-threshold = 70\n").unwrap(), []);
        assert_eq!(check_clippy("a", "too-many-lines-threshold = 71\n").unwrap().len(), 1);
        assert_eq!(check_clippy("a", "").unwrap().len(), 1);
    }
}
