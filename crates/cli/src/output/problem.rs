//! What is wrong in a manifest, shown in the manifest: file, line, column and a caret.

use std::fmt;

use api::manifest::{ManifestErrors, Problem};
use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode,
};

/// Columns when nothing is known of the terminal.
const WIDTH: usize = 100;

/// All problems of a manifest as text; plain is without colour and with ASCII alone.
pub(crate) fn render_manifest(errors: &ManifestErrors, colour: bool) -> String {
    let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::none() };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(WIDTH)
        .with_links(false)
        .with_context_lines(1);
    let mut text = String::new();
    for problem in &errors.problems {
        let place = errors.position(problem);
        let shown = Shown {
            problem,
            source: place.map(|_| NamedSource::new(&errors.file, errors.source.clone())),
        };
        // A line of its own that editors and scripts understand, then the picture.
        match place {
            Some((line, column)) => {
                text.push_str(&format!("{}:{line}:{column}: {problem}\n", errors.file));
            }
            None => text.push_str(&format!("{}: {problem}\n", errors.file)),
        }
        if shown.source.is_some() {
            let mut picture = String::new();
            if handler.render_report(&mut picture, &shown).is_ok() {
                text.push_str(&body(&picture));
            }
        }
        if let Some(hint) = &problem.hint {
            text.push_str(&format!("  hint: {hint}\n"));
        }
    }
    let count = errors.problems.len();
    let plural = if count == 1 { "problem" } else { "problems" };
    text.push_str(&format!("error: {} has {count} {plural}\n", errors.file));
    text
}

/// The picture without its heading, which says the message once more, and without blank lines.
fn body(picture: &str) -> String {
    let begin = picture.lines().position(|line| line.contains("[") && line.contains(":"));
    let lines = picture.lines().skip(begin.unwrap_or(0)).filter(|line| !line.trim().is_empty());
    lines.map(|line| format!("{}\n", line.trim_end())).collect()
}

#[derive(Debug)]
struct Shown<'a> {
    problem: &'a Problem,
    source: Option<NamedSource<String>>,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.problem.span.clone()?;
        let label = LabeledSpan::new(Some("here".to_owned()), span.start, span.len());
        Some(Box::new(std::iter::once(label)))
    }
}

#[cfg(test)]
mod tests {
    use api::manifest::Manifest;

    use super::*;

    #[test]
    fn problems_are_shown_where_they_are() {
        let source = "app = \"shop\"\nteam = \"retail\"\n\n[process]\nprot = 8080\n\
                      [resources]\nmemory = \"128Mib\"\n[health]\nhttp = \"/\"\n";
        let errors = Manifest::parse("freehold.toml", source).unwrap_err();
        insta::assert_snapshot!(render_manifest(&errors, false));
    }

    #[test]
    fn what_has_no_place_is_said_all_the_same() {
        let errors = Manifest::parse("freehold.toml", "app = \"shop\"\n").unwrap_err();
        insta::assert_snapshot!(render_manifest(&errors, false));
        assert!(!render_manifest(&errors, true).is_empty());
    }
}
