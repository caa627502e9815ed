//! Ranks: a crate depends on lower ranks only, in its tests too. A crate states its own rank in its
//! manifest (`[package.metadata.freehold] rank = N`); who has none stands outside of the layers.

use std::collections::BTreeMap;

use super::finding::Finding;

/// One workspace member, as far as layers go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// The crate's name.
    pub(super) name: String,
    /// Its manifest, relative to the workspace.
    pub(super) manifest: String,
    /// Its rank, if it states one.
    pub(super) rank: Option<u64>,
    /// The names of all its dependencies, of every kind.
    pub(super) dependencies: Vec<String>,
}

/// Dependencies that do not go down, and crates that should state a rank.
pub(super) fn check(members: &[Member]) -> Vec<Finding> {
    let ranks: BTreeMap<&str, Option<u64>> =
        members.iter().map(|member| (member.name.as_str(), member.rank)).collect();
    let mut found = Vec::new();
    for member in members {
        let mut forbid = |text| found.push(Finding::new(&*member.manifest, 0, "rank", text));
        let folder = member.manifest.strip_prefix("crates/").and_then(|it| it.split('/').next());
        if folder.is_some() && member.rank.is_none() {
            forbid("states no rank: [package.metadata.freehold] rank = N".to_owned());
        }
        if folder.is_some_and(|folder| folder != member.name) {
            forbid(format!("the folder of crate {} has another name", member.name));
        }
        // A crate may use itself in its tests, with other features.
        for dependency in member.dependencies.iter().filter(|it| **it != member.name) {
            let Some(below) = ranks.get(dependency.as_str()) else { continue };
            match (member.rank, below) {
                (Some(rank), Some(below)) if *below < rank => {}
                (Some(rank), Some(below)) => forbid(format!(
                    "{} (rank {rank}) depends on {dependency} (rank {below}): lower ranks only",
                    member.name
                )),
                _ => forbid(format!(
                    "{} depends on {dependency}: who has no rank stands alone",
                    member.name
                )),
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, rank: Option<u64>, dependencies: &[&str]) -> Member {
        Member {
            name: name.to_owned(),
            manifest: format!("crates/{name}/Cargo.toml"),
            rank,
            dependencies: dependencies.iter().map(|it| (*it).to_owned()).collect(),
        }
    }

    #[test]
    fn dependencies_go_down() {
        let api = member("api", Some(0), &["serde"]);
        let plan = member("plan", Some(1), &["api", "serde"]);
        assert_eq!(check(&[api.clone(), plan.clone()]), []);
        assert_eq!(check(&[member("store", Some(0), &["store"])]), []);
        for bad in [
            vec![member("api", Some(0), &["plan"]), plan.clone()],
            vec![api.clone(), member("store", Some(0), &["api"])],
            vec![api.clone(), member("plan", None, &[])],
            vec![
                api.clone(),
                Member { manifest: "x/Cargo.toml".into(), ..member("x", None, &["api"]) },
            ],
            vec![Member { manifest: "crates/other/Cargo.toml".into(), ..api.clone() }],
        ] {
            assert_eq!(check(&bad).len(), 1, "{bad:?}");
        }
    }
}
