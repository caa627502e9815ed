//! A Rust file seen line by line without its comments and the content of its literals, and which of
//! its lines are tests. A scanner, not a parser: it needs brackets and keywords only.

/// A scanned file.
#[derive(Debug)]
pub(super) struct Source<'a> {
    /// Path relative to the workspace.
    pub(super) path: &'a str,
    /// The lines as they are.
    pub(super) lines: Vec<&'a str>,
    /// The same lines with comments and the content of literals blanked.
    pub(super) code: Vec<String>,
    /// Whether a line belongs to a `#[cfg(test)]` item, or the whole file is a test.
    pub(super) test: Vec<bool>,
}

impl<'a> Source<'a> {
    pub(super) fn new(path: &'a str, text: &'a str) -> Self {
        let lines: Vec<&str> = text.lines().collect();
        let blanked = blank(text);
        let mut code: Vec<String> = blanked.lines().map(str::to_owned).collect();
        code.resize(lines.len(), String::new());
        let test = if is_test_path(path) { vec![true; lines.len()] } else { test_lines(&code) };
        Self { path, lines, code, test }
    }

    /// The number of lines that are not tests.
    pub(super) fn product_lines(&self) -> usize {
        self.test.iter().filter(|test| !**test).count()
    }

    /// The lines with their numbers from 1, blanked, and whether they are tests.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (usize, &str, bool)> {
        let code = self.code.iter().zip(&self.test).enumerate();
        code.map(|(index, (line, test))| (index + 1, line.as_str(), *test))
    }
}

/// Whether all of a file is tests, by its place and name.
fn is_test_path(path: &str) -> bool {
    let mut parts = path.split('/').rev();
    let file = parts.next().unwrap_or_default();
    file == "tests.rs" || file.ends_with("_tests.rs") || parts.any(|directory| directory == "tests")
}

#[derive(Clone, Copy)]
enum Mode {
    Code,
    LineComment,
    BlockComment(usize),
    Text,
    RawText(usize),
}

/// The text with comments and the content of strings and characters as blanks. Line breaks stay.
pub(super) fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let mut out = String::with_capacity(text.len());
    let (mut mode, mut i) = (Mode::Code, 0);
    while i < chars.len() {
        let c = chars[i];
        let mut used = 1;
        let mut shown = false;
        match mode {
            Mode::Code => match (c, at(i + 1)) {
                ('/', '/') => mode = Mode::LineComment,
                ('/', '*') => (mode, used) = (Mode::BlockComment(1), 2),
                ('"', _) => (mode, shown) = (Mode::Text, true),
                ('r' | 'b' | 'c', _) if starts_word(&chars, i) => match raw_opening(&chars, i) {
                    Some((hashes, length)) => (mode, used) = (Mode::RawText(hashes), length),
                    None => shown = true,
                },
                ('\'', _) => (used, shown) = (character(&chars, i), character(&chars, i) == 1),
                _ => shown = true,
            },
            Mode::LineComment if c == '\n' => mode = Mode::Code,
            Mode::LineComment => {}
            Mode::BlockComment(depth) => match (c, at(i + 1)) {
                ('/', '*') => (mode, used) = (Mode::BlockComment(depth + 1), 2),
                ('*', '/') if depth == 1 => (mode, used) = (Mode::Code, 2),
                ('*', '/') => (mode, used) = (Mode::BlockComment(depth - 1), 2),
                _ => {}
            },
            Mode::Text if c == '\\' => used = 2,
            Mode::Text if c == '"' => (mode, shown) = (Mode::Code, true),
            Mode::Text => {}
            Mode::RawText(hashes) => {
                if c == '"' && (1..=hashes).all(|n| at(i + n) == '#') {
                    (mode, used) = (Mode::Code, 1 + hashes);
                }
            }
        }
        for c in chars.iter().skip(i).take(used) {
            out.push(if *c == '\n' || shown { *c } else { ' ' });
        }
        i += used;
    }
    out
}

fn starts_word(chars: &[char], i: usize) -> bool {
    i == 0 || !(chars[i - 1].is_alphanumeric() || chars[i - 1] == '_')
}

/// `r"`, `r#"`, `br##"`, `cr"` …: how many `#`, and how long the opening is.
fn raw_opening(chars: &[char], i: usize) -> Option<(usize, usize)> {
    let rest = &chars[i..];
    let prefix = match rest {
        ['b' | 'c', 'r', ..] => 2,
        ['r', ..] => 1,
        _ => return None,
    };
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    (rest.get(prefix + hashes) == Some(&'"')).then_some((hashes, prefix + hashes + 1))
}

/// The length of a character literal that starts here, or 1 when it is a lifetime.
fn character(chars: &[char], i: usize) -> usize {
    if chars.get(i + 1) == Some(&'\\') {
        let close = chars.iter().skip(i + 3).take(12).position(|c| *c == '\'');
        return close.map_or(1, |position| position + 4);
    }
    if chars.get(i + 2) == Some(&'\'') { 3 } else { 1 }
}

/// Marks the lines of `#[cfg(test)]` items.
fn test_lines(code: &[String]) -> Vec<bool> {
    let mut test = vec![false; code.len()];
    let mut line = 0;
    while line < code.len() {
        if !code[line].trim_start().starts_with("#[cfg(test)]") {
            line += 1;
            continue;
        }
        let end = item_end(code, line);
        test[line..=end].fill(true);
        line = end + 1;
    }
    test
}

/// The last line of the item whose attributes begin at `from`: where its braces close, or its `;`.
fn item_end(code: &[String], from: usize) -> usize {
    let mut depth = 0_usize;
    for (index, line) in code.iter().enumerate().skip(from) {
        for c in line.chars() {
            match c {
                '{' | '[' | '(' => depth += 1,
                '}' | ']' | ')' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 && c == '}' {
                        return index;
                    }
                }
                ';' if depth == 0 => return index,
                _ => {}
            }
        }
    }
    code.len() - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked() {
        for (text, code) in [
            ("a // b", "a     "),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"f("x // y", 'z')"#, r#"f("      ",    )"#),
            (r##"f(r#"a"b"#)"##, "f(        )"),
            (r#""a\"b" c"#, r#""    " c"#),
            ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
            (r"'\'' '\u{1f}' x", "              x"),
            ("br\"x\" bar", "      bar"),
            ("\"a\nb\" c", "\" \n \" c"),
        ] {
            assert_eq!(blank(text), code, "{text}");
        }
    }

    #[test]
    fn test_items_are_found() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { \"}\"; }\n}\nfn c() {}\n\
                    #[cfg(test)]\nmod more;\nfn d() {}\n";
        let source = Source::new("crates/x/src/a.rs", text);
        let product: Vec<_> =
            source.numbered().filter(|(_, _, test)| !test).map(|(line, _, _)| line).collect();
        assert_eq!(product, [1, 6, 9]);
        assert_eq!(source.product_lines(), 3);
    }

    #[test]
    fn test_files_are_known_by_their_place() {
        for (path, test) in [
            ("crates/x/tests/a.rs", true),
            ("crates/x/src/tests.rs", true),
            ("crates/x/src/y/tests/z.rs", true),
            ("crates/x/src/y_tests.rs", true),
            ("crates/x/src/latests.rs", false),
        ] {
            assert_eq!(is_test_path(path), test, "{path}");
        }
    }
}
