//! Errors as people read them where only one line of text travels.

use std::error::Error;

/// The longest text: it becomes a part of the host's report, which holds up to 250 instances in
/// 512 KiB with two such texts each.
const MAX_CHARACTERS: usize = 800;

/// The error and its causes, outermost first, joined by colons; cut when it is long.
#[must_use]
pub(crate) fn told(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        // Some libraries repeat their cause in their own text.
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = next.source();
    }
    if text.chars().count() > MAX_CHARACTERS {
        text = text.chars().take(MAX_CHARACTERS).chain(['…']).collect();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::told;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<Layer>>);

    #[test]
    fn causes_follow_once_and_long_texts_are_cut() {
        let inner = Layer("no such file", None);
        let middle = Layer("open: no such file", Some(Box::new(inner)));
        let outer = Layer("start", Some(Box::new(middle)));
        assert_eq!(told(&outer), "start: open: no such file");
        let long: &str = Box::leak("ä".repeat(5000).into_boxed_str());
        assert_eq!(told(&Layer(long, None)).chars().count(), 801);
    }
}
