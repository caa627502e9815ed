//! The rules for one Rust file: its size, its opening, and what it must not contain.

use super::finding::Finding;
use super::source::Source;

/// The most lines of a file, tests not counted.
const MAX_LINES: usize = 600;

/// From here on a file is worth a note.
const MANY_LINES: usize = 300;

/// The most columns of a line, in characters.
const MAX_COLUMNS: usize = 100;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["types", "utils", "util", "common", "helpers", "misc"];

/// The crates that talk to the kernel in ways that safe code cannot.
const UNSAFE_CRATES: &[&str] = &["crates/net/", "crates/agent/", "crates/lab/"];

/// How far above an unsafe block its reason may begin, in lines.
const SAFETY_LINES: usize = 8;

/// All findings for one file.
pub(super) fn check(source: &Source<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    length(source, &mut found);
    names(source, &mut found);
    opening(source, &mut found);
    columns(source, &mut found);
    contents(source, &mut found);
    unsafe_code(source, &mut found);
    let front = ["/lib.rs", "/mod.rs"].iter().any(|name| source.path.ends_with(name));
    if front && source.product_lines() > 0 {
        front_page(source, &mut found);
    }
    found
}

/// Files that are allowed and long all the same: path and lines.
pub(super) fn note(source: &Source<'_>) -> Option<(String, usize)> {
    let lines = source.product_lines();
    (lines > MANY_LINES).then(|| (source.path.to_owned(), lines))
}

fn length(source: &Source<'_>, found: &mut Vec<Finding>) {
    let lines = source.product_lines();
    if lines > MAX_LINES {
        let text = format!("{lines} lines without tests, at most {MAX_LINES}: cut it by subject");
        found.push(Finding::new(source.path, 0, "file-length", text));
    }
}

fn names(source: &Source<'_>, found: &mut Vec<Finding>) {
    for part in source.path.trim_end_matches(".rs").split('/') {
        if EMPTY_NAMES.contains(&part) {
            let text = format!("a module named {part} says nothing: name it by its subject");
            found.push(Finding::new(source.path, 0, "module-name", text));
        }
    }
}

fn opening(source: &Source<'_>, found: &mut Vec<Finding>) {
    let first = source.lines.iter().find(|line| !line.trim().is_empty());
    if !first.is_some_and(|line| line.starts_with("//!")) {
        let text = "opens without `//!`: say what it is for and what it must not do";
        found.push(Finding::new(source.path, 1, "module-docs", text));
    }
}

fn columns(source: &Source<'_>, found: &mut Vec<Finding>) {
    for (index, line) in source.lines.iter().enumerate() {
        let columns = line.chars().count();
        let address = line.contains("https://") && line.split_whitespace().count() <= 2;
        if columns > MAX_COLUMNS && !address {
            let text = format!("{columns} columns, at most {MAX_COLUMNS}");
            found.push(Finding::new(source.path, index + 1, "columns", text));
        }
    }
}

fn contents(source: &Source<'_>, found: &mut Vec<Finding>) {
    for (line, code, test) in source.numbered() {
        let packed: String = code.split_whitespace().collect();
        let mut forbid = |rule, text: &str| found.push(Finding::new(source.path, line, rule, text));
        if packed.contains("#[allow(") || packed.contains("#![allow(") {
            forbid("allow", "`#[allow]` outlives its reason: `#[expect(lint, reason = …)]`");
        }
        if packed.contains("#[ignore") {
            forbid("ignore", "a test that is not run is no test");
        }
        if !test && packed.contains("cfg!(test)") {
            forbid("cfg-test", "product code must not know that it is tested");
        }
        if packed.contains("#[path=") {
            forbid("path", "a module lies where its name says");
        }
        if packed.contains("unbounded_channel(") || packed.contains("mpsc::channel()") {
            forbid("unbounded", "every channel has a bound");
        }
    }
}

fn unsafe_code(source: &Source<'_>, found: &mut Vec<Finding>) {
    let allowed = UNSAFE_CRATES.iter().any(|place| source.path.starts_with(place));
    let lifted = source.code.iter().any(|line| line.contains("expect(unsafe_code"));
    for (line, code, _) in source.numbered() {
        if !has_word(code, "unsafe") || code.contains("unsafe_code") {
            continue;
        }
        let mut forbid = |text| found.push(Finding::new(source.path, line, "unsafe", text));
        if !allowed {
            forbid("unsafe code belongs into net, agent and lab");
        } else if !lifted {
            forbid("the module must lift the ban: `#![expect(unsafe_code, reason = …)]`");
        }
        let opens = ["unsafe {", "unsafe impl"].iter().any(|text| code.contains(text));
        let above = &source.lines[line.saturating_sub(SAFETY_LINES)..line];
        if opens && !above.iter().any(|line| line.contains("SAFETY:")) {
            forbid("say above the block why it is sound: `// SAFETY: …`");
        }
    }
}

fn has_word(code: &str, word: &str) -> bool {
    code.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|part| part == word)
}

/// `lib.rs` and `mod.rs` are tables of contents: docs, `mod`, `use`, attributes.
fn front_page(source: &Source<'_>, found: &mut Vec<Finding>) {
    let mut depth = 0_usize;
    let mut continued = false;
    for (line, code, _) in source.numbered() {
        let text = code.trim();
        if depth == 0 && !continued && !text.is_empty() && !is_front_item(text) {
            let what = "only docs, `mod` and `use` belong here";
            found.push(Finding::new(source.path, line, "front-page", what));
            return;
        }
        for c in text.chars() {
            match c {
                '{' | '[' | '(' => depth += 1,
                '}' | ']' | ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        continued = depth > 0 || !(text.is_empty() || text.ends_with([';', ']', '}']));
    }
}

fn is_front_item(text: &str) -> bool {
    let item = text.strip_prefix("pub").map_or(text, |rest| match rest.split_once(')') {
        Some((scope, rest)) if scope.starts_with('(') => rest,
        _ => rest,
    });
    let item = item.trim_start();
    let module = item.starts_with("mod ") && item.ends_with(';');
    text.starts_with('#') || module || item.starts_with("use ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules that a file breaks, with the lines.
    fn broken(path: &str, text: &str) -> Vec<(&'static str, usize)> {
        check(&Source::new(path, text)).into_iter().map(|it| (it.rule, it.line)).collect()
    }

    fn file(body: &str) -> String {
        format!("//! What it is for.\n{body}\n")
    }

    #[test]
    fn a_good_file_is_good() {
        let body = "\n/// `#[allow(x)]` in words.\nfn a() -> &'static str {\n    \"unsafe {\"\n}";
        assert_eq!(broken("crates/x/src/a.rs", &file(body)), []);
    }

    #[test]
    fn every_content_rule_fires() {
        for (body, rule) in [
            ("#[allow(dead_code)]\nfn a() {}", "allow"),
            ("#[ allow (\n dead_code)]\nfn a() {}", "allow"),
            ("#[test]\n#[ignore]\nfn a() {}", "ignore"),
            ("#[test]\n#[ignore = \"slow\"]\nfn a() {}", "ignore"),
            ("fn a() -> bool { cfg!(test) }", "cfg-test"),
            ("#[path = \"b.rs\"]\nmod a;", "path"),
            ("fn a() { let c = mpsc::unbounded_channel(); }", "unbounded"),
            ("fn a() { unsafe { b() } }", "unsafe"),
            ("unsafe extern \"C\" {}", "unsafe"),
        ] {
            let found = broken("crates/x/src/a.rs", &file(body));
            assert!(found.iter().any(|(found, _)| *found == rule), "{body}: {found:?}");
        }
        assert_eq!(broken("crates/x/src/a.rs", "fn a() {}\n"), [("module-docs", 1)]);
        assert_eq!(broken("crates/x/src/utils.rs", &file("")), [("module-name", 0)]);
        assert_eq!(broken("crates/x/src/misc/a.rs", &file("")), [("module-name", 0)]);
    }

    #[test]
    fn tests_may_ask_whether_they_are_tests() {
        let body = "#[cfg(test)]\nmod tests {\n    fn a() -> bool { cfg!(test) }\n}";
        assert_eq!(broken("crates/x/src/a.rs", &file(body)), []);
    }

    #[test]
    fn unsafe_needs_the_place_the_lifted_ban_and_the_reason() {
        let lifted = "#![expect(unsafe_code, reason = \"calls the kernel\")]\n";
        let bare = "fn a() {\n    unsafe { b() }\n}";
        let argued = "fn a() {\n    // SAFETY: b asks for nothing.\n    unsafe { b() }\n}";
        let count = |path: &str, body: &str| broken(path, &file(body)).len();
        assert_eq!(count("crates/net/src/a.rs", &format!("{lifted}{argued}")), 0);
        assert_eq!(count("crates/net/src/a.rs", &format!("{lifted}{bare}")), 1);
        assert_eq!(count("crates/net/src/a.rs", argued), 1);
        assert_eq!(count("crates/net/src/a.rs", bare), 2);
        assert_eq!(count("crates/api/src/a.rs", &format!("{lifted}{argued}")), 1);
    }

    #[test]
    fn lengths_are_counted_without_tests() {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}", "    // x\n".repeat(700));
        assert_eq!(broken("crates/x/src/a.rs", &file(&tests)), []);
        let long = "// x\n".repeat(599);
        assert_eq!(broken("crates/x/src/a.rs", &file(&long)), [("file-length", 0)]);
        assert_eq!(broken("crates/x/tests/a.rs", &file(&long)), []);
        let fits = "// x\n".repeat(598);
        assert_eq!(broken("crates/x/src/a.rs", &file(&fits)), []);
        assert!(note(&Source::new("a.rs", &fits)).is_some());
    }

    #[test]
    fn columns_are_characters() {
        assert_eq!(broken("a.rs", &file(&format!("// {}", "ä".repeat(97)))), []);
        assert_eq!(broken("a.rs", &file(&format!("// {}", "ä".repeat(98)))), [("columns", 2)]);
        let address = format!("// https://example.com/{}", "a".repeat(98));
        assert_eq!(broken("a.rs", &file(&address)), []);
    }

    #[test]
    fn front_pages_hold_no_code() {
        let good = "#![warn(x)]\nmod a;\npub mod b;\npub(crate) mod c;\nuse d::{\n    e,\n};\n\
                    pub use g::\n    h;\n#[cfg(test)]\nmod tests;";
        assert_eq!(broken("crates/x/src/lib.rs", &file(good)), []);
        for bad in [
            "fn a() {}",
            "pub struct A;",
            "const A: u8 = 1;",
            "macro_rules! a { () => {} }",
            "mod a {\n    fn b() {}\n}",
            "#[cfg(test)]\nmod tests { }",
            "pub(crate) fn a() {}",
        ] {
            for path in ["crates/x/src/lib.rs", "crates/x/src/a/mod.rs"] {
                let found = broken(path, &file(bad));
                assert!(found.iter().any(|(rule, _)| *rule == "front-page"), "{bad}: {found:?}");
            }
            assert_eq!(broken("crates/x/src/a.rs", &file(bad)), []);
        }
    }
}
