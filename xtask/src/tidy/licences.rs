//! Licences and bans, as `deny.toml` lists them, for every package that is built for Linux.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::finding::Finding;

/// The parts of `deny.toml` that are checked here.
#[derive(Debug, Deserialize)]
pub(super) struct Deny {
    licenses: Licences,
    bans: Bans,
}

#[derive(Debug, Deserialize)]
struct Licences {
    allow: BTreeSet<String>,
    #[serde(default)]
    clarify: Vec<Clarification>,
}

#[derive(Debug, Deserialize)]
struct Clarification {
    #[serde(rename = "crate")]
    name: String,
    expression: String,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Debug, Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

impl Deny {
    pub(super) fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).context("parse deny.toml")
    }
}

/// A package and the licence its manifest states.
#[derive(Debug, Clone)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) licence: Option<String>,
}

/// Banned packages, and packages under licences that are not allowed.
pub(super) fn check(packages: &[Package], deny: &Deny) -> Vec<Finding> {
    let bans: BTreeMap<&str, &str> =
        deny.bans.deny.iter().map(|ban| (ban.name.as_str(), ban.reason.as_str())).collect();
    let mut found = Vec::new();
    for package in packages {
        let name = &package.name;
        if let Some(reason) = bans.get(name.as_str()) {
            let text = format!("package {name} is banned: {reason}");
            found.push(Finding::new("Cargo.lock", 0, "banned", text));
        }
        let clarified = deny.licenses.clarify.iter().find(|it| it.name == *name);
        let licence = clarified.map(|it| &it.expression).or(package.licence.as_ref());
        let text = match licence {
            None => format!("package {name} states no licence"),
            Some(licence) if is_allowed(licence, &deny.licenses.allow) => continue,
            Some(licence) => format!("package {name} is under {licence}"),
        };
        found.push(Finding::new("Cargo.lock", 0, "licence", text));
    }
    found
}

/// Whether an SPDX expression (annex D of the SPDX specification 2.3), or the older form with `/`,
/// can be met with the allowed licences. What cannot be read is not allowed.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    match any_of(&words, allowed) {
        Some((met, rest)) => met && rest.is_empty(),
        None => false,
    }
}

type Met<'a> = Option<(bool, &'a [&'a str])>;

fn any_of<'a>(words: &'a [&'a str], allowed: &BTreeSet<String>) -> Met<'a> {
    let (mut met, mut rest) = all_of(words, allowed)?;
    while let ["OR", after @ ..] = rest {
        let (more, after) = all_of(after, allowed)?;
        (met, rest) = (met || more, after);
    }
    Some((met, rest))
}

fn all_of<'a>(words: &'a [&'a str], allowed: &BTreeSet<String>) -> Met<'a> {
    let (mut met, mut rest) = single(words, allowed)?;
    while let ["AND", after @ ..] = rest {
        let (more, after) = single(after, allowed)?;
        (met, rest) = (met && more, after);
    }
    Some((met, rest))
}

fn single<'a>(words: &'a [&'a str], allowed: &BTreeSet<String>) -> Met<'a> {
    match words {
        ["(", inside @ ..] => match any_of(inside, allowed)? {
            (met, [")", rest @ ..]) => Some((met, rest)),
            _ => None,
        },
        ["OR" | "AND" | "WITH" | ")", ..] | [] => None,
        [licence, "WITH", exception, rest @ ..] => {
            Some((allowed.contains(&format!("{licence} WITH {exception}")), rest))
        }
        [licence, rest @ ..] => Some((allowed.contains(*licence), rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENY: &str = r#"
        [licenses]
        allow = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "ISC"]
        [[licenses.clarify]]
        crate = "silent"
        expression = "MIT"
        [bans]
        deny = [{ crate = "openssl-sys", reason = "rustls" }]
    "#;

    #[test]
    fn expressions_are_understood() {
        let deny = Deny::parse(DENY).unwrap();
        for (expression, good) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("MIT OR GPL-3.0", true),
            ("GPL-3.0/MIT", true),
            ("MIT AND GPL-3.0", false),
            ("MIT AND (GPL-3.0 OR ISC)", true),
            ("GPL-3.0 OR MIT AND ISC", true),
            ("(GPL-3.0 OR MIT) AND AGPL-3.0", false),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("MIT WITH LLVM-exception", false),
            ("", false),
            ("MIT OR", false),
            ("(MIT", false),
            ("MIT ISC", false),
        ] {
            assert_eq!(is_allowed(expression, &deny.licenses.allow), good, "{expression}");
        }
    }

    #[test]
    fn bans_and_licences_are_found() {
        let deny = Deny::parse(DENY).unwrap();
        let rules = |name: &str, licence: Option<&str>| -> Vec<_> {
            let package = Package { name: name.to_owned(), licence: licence.map(str::to_owned) };
            check(&[package], &deny).into_iter().map(|it| it.rule).collect()
        };
        assert_eq!(rules("a", Some("MIT")), [""; 0]);
        assert_eq!(rules("silent", None), [""; 0]);
        assert_eq!(rules("a", None), ["licence"]);
        assert_eq!(rules("a", Some("GPL-2.0")), ["licence"]);
        assert_eq!(rules("openssl-sys", Some("MIT")), ["banned"]);
    }
}
