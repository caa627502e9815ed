//! The files of a cgroup as numbers. Pure.

/// A file that is one number; `max` is none.
pub(super) fn single(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// The number after `key` in a file of `key value` lines.
pub(super) fn keyed(text: &str, key: &str) -> Option<u64> {
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.into_iter().find(|(name, _)| *name == key)?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{keyed, single};

    #[test]
    fn files_of_one_number_and_of_keys() {
        assert_eq!(single("4096\n"), Some(4096));
        assert_eq!(single("max\n"), None);
        let oom = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(keyed(oom, "oom_kill"), Some(3));
        assert_eq!(keyed(oom, "oom"), None);
    }
}
