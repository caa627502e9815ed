//! Tables without lines: columns by two spaces, headings in capitals.

use comfy_table::{ContentArrangement, presets};

/// Lines between two columns, in spaces.
const GAP: u16 = 2;

/// A table under construction.
#[derive(Debug)]
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    /// Columns to leave out first where there is no room, in this order.
    spare: &'static [&'static str],
}

impl Table {
    /// With these headings.
    pub(crate) fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new(), spare: &[] }
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

    /// Says which columns a narrow terminal may do without, the least needed first.
    pub(crate) fn spare(mut self, headings: &'static [&'static str]) -> Self {
        self.spare = headings;
        self
    }

    /// Columns that it would take unbroken.
    fn natural_width(&self) -> usize {
        let longest = |(i, heading): (usize, &&str)| {
            let cells = self.rows.iter().filter_map(|row| row.get(i));
            let cells = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
            cells.max(heading.chars().count()) + usize::from(GAP)
        };
        let all: usize = self.headings.iter().enumerate().map(longest).sum();
        all.saturating_sub(usize::from(GAP))
    }

    /// Leaves out columns until it fits, or all spare ones are out.
    fn shrink(&mut self, width: u16) {
        for spare in self.spare {
            if self.natural_width() <= usize::from(width) {
                return;
            }
            if let Some(at) = self.headings.iter().position(|heading| heading == spare) {
                self.headings.remove(at);
                for row in self.rows.iter_mut().filter(|row| row.len() > at) {
                    row.remove(at);
                }
            }
        }
    }

    /// As text that fits `width` where one is given; headings alone when there is no row.
    pub(crate) fn render(mut self, width: Option<u16>) -> String {
        if let Some(width) = width {
            self.shrink(width);
        }
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

    #[test]
    fn narrow_terminals_do_without_spare_columns() {
        let table = || {
            let mut table = Table::new(&["APP", "ADDRESS", "STATE"]).spare(&["ADDRESS"]);
            table.row(["shop".into(), "10.128.0.2".into(), "healthy".into()]);
            table
        };
        assert_eq!(table().render(Some(20)), "APP   STATE\nshop  healthy\n");
        assert!(table().render(Some(25)).contains("ADDRESS"));
        assert!(table().render(None).contains("ADDRESS"));
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
