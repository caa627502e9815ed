//! Exceptions to the rules: a list that can only become shorter. Its length is limited in code, and
//! an entry that is no longer needed is a finding itself.

use super::finding::Finding;

/// The file: lines of `RULE PATH`, empty ones and those with `#` aside.
pub(super) const FILE: &str = "xtask/tidy-exceptions.txt";

/// How many entries there may be. Only ever lower it.
const MOST: usize = 0;

/// Takes away what is excepted; adds what is wrong with the list.
pub(super) fn apply(found: &[Finding], list: &str) -> Vec<Finding> {
    apply_at_most(MOST, found, list)
}

fn apply_at_most(most: usize, found: &[Finding], list: &str) -> Vec<Finding> {
    let lines = list.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let entries: Vec<_> = lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| (number, line.split_once(' ').unwrap_or((line, ""))))
        .collect();
    let covers = |(rule, path): (&str, &str), it: &Finding| it.rule == rule && it.path == path;
    let mut out: Vec<Finding> = found
        .iter()
        .filter(|finding| !entries.iter().any(|(_, entry)| covers(*entry, finding)))
        .cloned()
        .collect();
    for (line, entry) in &entries {
        if !found.iter().any(|finding| covers(*entry, finding)) {
            let text = "this exception is no longer needed: remove it";
            out.push(Finding::new(FILE, *line, "exceptions", text));
        }
    }
    if entries.len() > most {
        let text = format!("{} exceptions, at most {most}: the list only shrinks", entries.len());
        out.push(Finding::new(FILE, 0, "exceptions", text));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_cover_and_the_list_only_shrinks() {
        let found =
            || vec![Finding::new("a.rs", 3, "columns", ""), Finding::new("b.rs", 1, "allow", "")];
        let rules = |most, list| -> Vec<_> {
            apply_at_most(most, &found(), list).into_iter().map(|it| it.rule).collect()
        };
        assert_eq!(rules(0, "# none\n\n"), ["columns", "allow"]);
        assert_eq!(rules(1, "columns a.rs\n"), ["allow"]);
        assert_eq!(rules(2, "columns a.rs\nallow b.rs\n"), [""; 0]);
        assert_eq!(rules(1, "columns b.rs\n"), ["columns", "allow", "exceptions"]);
        assert_eq!(rules(0, "columns a.rs\n"), ["allow", "exceptions"]);
    }
}
