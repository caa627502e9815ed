//! Which output of dead instances goes. The choice is pure; [`sweep`] looks and removes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::SystemTime;

use api::id::InstanceId;

/// Dead instances whose output is kept, for each app and environment: the two of a slot that
/// promise 3 allows, and those of the release before. At 32 MiB each that is 160 MiB.
const KEPT_DEAD: usize = 5;

/// Output that is kept on disk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kept {
    /// When it was last written.
    pub written: SystemTime,
    /// Whose.
    pub instance: InstanceId,
}

/// What of `kept` goes: of each app and environment all dead but the newest few.
#[must_use]
pub fn disposable(mut kept: Vec<Kept>, alive: &BTreeSet<InstanceId>) -> Vec<InstanceId> {
    kept.sort_by(|a, b| b.cmp(a));
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut gone = Vec::new();
    for Kept { instance, .. } in kept {
        if alive.contains(&instance) {
            continue;
        }
        let name = instance.as_str();
        let slot = name.rsplit_once('-').map_or(name, |(slot, _)| slot).to_owned();
        let count = counts.entry(slot).or_default();
        *count += 1;
        if *count > KEPT_DEAD {
            gone.push(instance);
        }
    }
    gone
}

/// Removes what is disposable below `directory`. Blocks.
pub fn sweep(directory: &Path, alive: &BTreeSet<InstanceId>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    let kept = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let instance = InstanceId::new(entry.file_name().into_string().ok()?).ok()?;
        let written = entry.metadata().and_then(|meta| meta.modified()).ok()?;
        Some(Kept { written, instance })
    });
    for instance in disposable(kept.collect(), alive) {
        let path = directory.join(instance.as_str());
        if let Err(error) = std::fs::remove_dir_all(&path) {
            tracing::warn!(path = %path.display(), %error, "removing old logs");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn the_newest_dead_of_each_app_stay_and_the_living_always() {
        let id = |text: String| InstanceId::new(text).unwrap();
        let mut kept = Vec::new();
        for n in 0..8 {
            for app in ["shop-staging", "shop-production"] {
                let written = UNIX_EPOCH + Duration::from_secs(n);
                kept.push(Kept { written, instance: id(format!("{app}-{n}")) });
            }
        }
        let alive = BTreeSet::from([id("shop-staging-0".into())]);
        let gone = disposable(kept, &alive);
        let gone: Vec<&str> = gone.iter().map(InstanceId::as_str).collect();
        let expected = [
            "shop-staging-2",
            "shop-production-2",
            "shop-staging-1",
            "shop-production-1",
            "shop-production-0",
        ];
        assert_eq!(gone, expected);
    }
}
