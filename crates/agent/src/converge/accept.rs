//! Whether a document that came is taken. Pure.

use api::id::Generation;

/// What is done with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is newer: taken.
    Take,
    /// It is the one that is in place: acknowledged again.
    Replay,
    /// It is older than the one in place: refused.
    Older,
    /// It has the generation of the one in place and other content: refused.
    Conflict,
}

/// Judges a document against the one in place.
#[must_use]
pub fn judge<T: PartialEq>(
    current: Option<(Generation, &T)>,
    (generation, content): (Generation, &T),
) -> Verdict {
    match current {
        None => Verdict::Take,
        Some((have, _)) if generation > have => Verdict::Take,
        Some((have, _)) if generation < have => Verdict::Older,
        Some((_, same)) if same == content => Verdict::Replay,
        Some(_) => Verdict::Conflict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_newer_documents_are_taken() {
        let have = Some((Generation(5), &"a"));
        assert_eq!(judge(None, (Generation(0), &"a")), Verdict::Take);
        assert_eq!(judge(have, (Generation(6), &"a")), Verdict::Take);
        assert_eq!(judge(have, (Generation(5), &"a")), Verdict::Replay);
        assert_eq!(judge(have, (Generation(5), &"b")), Verdict::Conflict);
        assert_eq!(judge(have, (Generation(4), &"a")), Verdict::Older);
    }
}
