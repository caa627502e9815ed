//! Tables without lines: columns by two spaces, headings in capitals.

use comfy_table::{ContentArrangement, presets};

/// Lines between two columns, in spaces.
const GAP: u16 = 2;

/// A table under construction.
#[derive(Debug)]
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// With these headings.
    pub(crate) fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(one_line).collect());
    }

    /// The table with a row for each of `items`.
    pub(crate) fn of<T>(
        headings: &[&'static str],
        items: &[T],
        row: impl Fn(&T) -> Vec<String>,
    ) -> Self {
        let mut table = Self::new(headings);
        for item in items {
            table.row(row(item));
        }
        table
    }

    /// As text that fits `width` where one is given; headings alone when there is no row.
    pub(crate) fn render(self, width: Option<u16>) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_header(self.headings);
        table.add_rows(self.rows);
        match width {
            Some(width) => {
                table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, GAP));
        }
        let mut text = table.trim_fmt();
        text.push('\n');
        text
    }
}

/// Names and values of one thing, a line each.
pub(crate) fn fields(fields: &[(&str, String)]) -> String {
    let longest = fields.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let gap = usize::from(GAP);
    let lines = fields.iter().map(|(name, value)| {
        // Further lines of a value stand below its first.
        let value = value.trim_end().replace('\n', &format!("\n{:1$}", "", longest + gap));
        let value = if value.is_empty() { "-" } else { &value };
        format!("{name:0$}{1:gap$}{value}\n", longest, "")
    });
    lines.collect()
}

/// Control characters of names and messages stay out of the terminal.
fn one_line(text: String) -> String {
    if text.contains(char::is_control) { text.replace(char::is_control, " ") } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_tail() {
        let mut table = Table::new(&["APP", "STATE"]);
        table.row(["shop".into(), "healthy".into()]);
        table.row(["a-long-name".into(), "x\u{1b}[31m".into()]);
        assert_eq!(
            table.render(None),
            "APP          STATE\nshop         healthy\na-long-name  x [31m\n"
        );
        assert_eq!(Table::new(&["APP"]).render(Some(80)), "APP\n");
        assert_eq!(
            fields(&[("a", "1\n2".into()), ("bcd", String::new())]),
            "a    1\n     2\nbcd  -\n"
        );
    }

    proptest! {
        #[test]
        fn a_table_fits_its_terminal(
            rows in proptest::collection::vec(proptest::collection::vec("[a-z ]{0,40}", 4), 0..8),
            width in 40_u16..200,
        ) {
            let mut table = Table::new(&["ONE", "TWO", "THREE", "FOUR"]);
            for row in rows {
                table.row(row);
            }
            let text = table.render(Some(width));
            for line in text.lines() {
                prop_assert!(line.chars().count() <= usize::from(width), "{}", line);
            }
        }
    }
}
