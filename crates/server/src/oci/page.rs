//! Lists in pages: `n`, `last` and the `Link` header (OCI distribution specification, "Listing
//! tags"). Pure.

/// Most entries of a page; a tag has at most 128 bytes and a repository 255, so a page has at most
/// 1000 × 258 bytes = 258 KB.
pub(super) const MAX_PAGE: usize = 1000;

/// The part of a list that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    /// At most this many entries.
    pub(super) limit: usize,
    /// Those after this one.
    pub(super) after: String,
}

/// `n` is no number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotANumber;

impl Page {
    /// From the query's `n` and `last`. Without `n`, and where it is larger, [`MAX_PAGE`] counts.
    pub(super) fn new(n: Option<&str>, last: Option<&str>) -> Result<Self, NotANumber> {
        let limit = match n {
            None => MAX_PAGE,
            Some(n) if n.is_empty() || !n.bytes().all(|b| b.is_ascii_digit()) => {
                return Err(NotANumber);
            }
            // Digits that do not fit are a large number.
            Some(n) => n.parse().unwrap_or(MAX_PAGE).min(MAX_PAGE),
        };
        Ok(Self { limit, after: last.unwrap_or_default().to_owned() })
    }

    /// Cuts `entries`, which may have one more than wanted, and gives the entry to go on after.
    pub(super) fn cut<T>(&self, entries: &mut Vec<T>) -> bool {
        let more = entries.len() > self.limit && self.limit > 0;
        entries.truncate(self.limit);
        more
    }
}

/// The `Link` header to the next page. Names, tags and digests need no escaping in a query.
pub(super) fn link(path: &str, limit: usize, last: &str, rest: &str) -> String {
    format!("<{path}?n={limit}&last={last}{rest}>; rel=\"next\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_bounded() {
        let limit = |n| Page::new(n, None).map(|page| page.limit);
        assert_eq!(limit(None), Ok(MAX_PAGE));
        assert_eq!(limit(Some("0")), Ok(0));
        assert_eq!(limit(Some("7")), Ok(7));
        assert_eq!(limit(Some("100000")), Ok(MAX_PAGE));
        assert_eq!(limit(Some("99999999999999999999999")), Ok(MAX_PAGE));
        for bad in ["", "-1", "x", "1.5"] {
            assert_eq!(limit(Some(bad)), Err(NotANumber), "{bad}");
        }
    }

    #[test]
    fn only_a_full_page_has_a_next() {
        let check = |limit, mut entries: Vec<u8>, left: &[u8], more| {
            let page = Page { limit, after: String::new() };
            assert_eq!(page.cut(&mut entries), more);
            assert_eq!(entries, left);
        };
        check(2, vec![1, 2, 3], &[1, 2], true);
        check(2, vec![1, 2], &[1, 2], false);
        check(0, vec![1], &[], false);
        assert_eq!(
            link("/v2/a/tags/list", 2, "b", ""),
            "</v2/a/tags/list?n=2&last=b>; rel=\"next\""
        );
    }
}
