//! The report as a table for people. Pure.

use super::report::Row;
use super::statistics::Summary;

/// Renders rows: a line for Freehold and one for each peer below it.
pub(crate) fn render(rows: &[Row]) -> String {
    let mut lines =
        vec![["benchmark", "", "median", "99th pct", "runs", "ratio", "budget"].map(str::to_owned)];
    for row in rows {
        let budgets: Vec<String> = row
            .budgets
            .iter()
            .map(|verdict| {
                if verdict.met {
                    format!("{}: kept", verdict.budget)
                } else {
                    format!("{}: MISSED by {:.0} %", verdict.budget, verdict.missed_by_percent)
                }
            })
            .collect();
        let title = format!("{} [{}]", row.name, row.unit);
        lines.push(line(title, "freehold", &row.freehold, String::new(), budgets.join(", ")));
        for (name, theirs) in &row.peers {
            let ratio = row.ratio.get(name).map_or_else(String::new, |it| format!("{it:.2}"));
            lines.push(line(String::new(), name, theirs, ratio, String::new()));
        }
        for (name, why) in &row.skipped {
            let mut skipped: [String; 7] = Default::default();
            name.clone_into(&mut skipped[1]);
            skipped[6] = format!("skipped: {}", why.lines().next().unwrap_or_default());
            lines.push(skipped);
        }
    }
    aligned(&lines)
}

fn line(title: String, name: &str, of: &Summary, ratio: String, budget: String) -> [String; 7] {
    [title, name.to_owned(), short(of.median), short(of.p99), of.runs.to_string(), ratio, budget]
}

/// Three digits that count, and no more than a reader needs.
fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Names to the left, numbers to the right.
fn aligned(lines: &[[String; 7]]) -> String {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: [usize; 7] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let mut text = String::new();
    for line in lines {
        let mut out = String::new();
        for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
            let pad = " ".repeat(width - cell.chars().count());
            match column {
                2..=5 => out.extend([&*pad, cell, "  "]),
                _ => out.extend([cell, &*pad, "  "]),
            }
        }
        text.push_str(out.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contest::Budget;

    #[test]
    fn a_table_reads_as_this() {
        let of = |median, runs| Summary { median, p99: median * 3.0, runs };
        let mut start = Row::new("create-start", "ms", of(9.876, 50));
        start.peer("runc", of(19.0, 50));
        start.skipped.insert("crun".into(), "not installed: make bench-setup\nmore".into());
        start.judge(&[Budget::TimesAtMost("runc", 1.0), Budget::AtMost(5.0)]);
        let mut ingress = Row::new("ingress", "requests/s", of(85_000.4, 5));
        ingress.peer("haproxy", of(68_000.0, 5));
        let wanted = "\
benchmark                       median  99th pct  runs  ratio  budget
create-start [ms]     freehold    9.88      29.6    50         ≤ 1× runc: kept, \
≤ 5 ms: MISSED by 98 %
                      runc        19.0      57.0    50   0.52
                      crun                                     skipped: \
not installed: make bench-setup
ingress [requests/s]  freehold   85000    255001     5
                      haproxy    68000    204000     5   1.25
";
        assert_eq!(render(&[start, ingress]), wanted);
    }
}
