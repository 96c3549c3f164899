//! Findings as tables for people: the worst first by object, then a line for each policy.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::audit::finding::{Counts, Finding, Findings, Result as Rating};
use crate::diagnostics::{Style, printable};

/// How many findings are shown; more than these nobody reads line by line.
const MOST_ROWS: usize = 1000;

/// Returns the tables; empty if there is nothing to say.
pub(super) fn render(findings: &Findings, style: Style) -> String {
    let mut rows: Vec<&Finding> = findings.kept().collect();
    if rows.is_empty() && findings.omitted() == 0 {
        return String::new();
    }
    // Stable: what is equally bad stays in order of namespace and object.
    rows.sort_by_key(|it| it.result);
    let shown = rows.iter().take(MOST_ROWS);
    let lines: Vec<[String; 4]> = shown
        .map(|finding| {
            [
                finding.result.as_str().to_owned(),
                finding.subject(),
                finding.policy.policy.name.clone(),
                printable(&finding.message),
            ]
        })
        .collect();
    let mut text = table(["RESULT", "OBJECT", "POLICY", "MESSAGE"], &lines, style);
    let others = rows.len().saturating_sub(MOST_ROWS);
    if others > 0 {
        let _ = writeln!(text, "… and {others} more; `--format json` prints all");
    }
    text.push('\n');
    text.push_str(&summary(findings, &rows));
    text
}

/// A line for each policy that has found something.
fn summary(findings: &Findings, rows: &[&Finding]) -> String {
    let severities: BTreeMap<&str, &str> = rows
        .iter()
        .map(|it| &it.policy.policy)
        .map(|policy| (policy.name.as_str(), policy.about.severity.as_str()))
        .collect();
    let mut policies: Vec<(&str, Counts)> = findings.by_policy().into_iter().collect();
    policies.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.all()));
    let line = |(policy, counts): &(&str, Counts)| {
        [
            (*policy).to_owned(),
            severities
                .get(policy)
                .copied()
                .unwrap_or_default()
                .to_owned(),
            counts.fail.to_string(),
            counts.error.to_string(),
            counts.warn.to_string(),
        ]
    };
    let lines: Vec<[String; 5]> = policies.iter().map(line).collect();
    let heads = ["POLICY", "SEVERITY", "FAIL", "ERROR", "WARN"];
    table(heads, &lines, Style::Plain)
}

/// Returns lines in columns; the last one is as long as it is.
fn table<const COLUMNS: usize>(
    heads: [&str; COLUMNS],
    lines: &[[String; COLUMNS]],
    style: Style,
) -> String {
    let mut widths = heads.map(str::len);
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let mut write = |cells: [&str; COLUMNS], colour: Option<&str>| {
        let last = COLUMNS.saturating_sub(1);
        for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
            let pad = match at == last {
                true => 0,
                false => width.saturating_sub(cell.chars().count()) + 2,
            };
            match colour.filter(|_| at == 0) {
                Some(colour) => {
                    let _ = write!(text, "{colour}{cell}\u{1b}[0m{:pad$}", "");
                }
                None => {
                    let _ = write!(text, "{cell}{:pad$}", "");
                }
            }
        }
        text.push('\n');
    };
    write(heads, None);
    for line in lines {
        let cells = line.each_ref().map(String::as_str);
        let colour = match style {
            Style::Plain => None,
            Style::Coloured => cells.first().and_then(|word| colour(word)),
        };
        write(cells, colour);
    }
    text
}

fn colour(word: &str) -> Option<&'static str> {
    const RED: &str = "\u{1b}[31m";
    const YELLOW: &str = "\u{1b}[33m";
    if word == Rating::Warn.as_str() {
        return Some(YELLOW);
    }
    [Rating::Fail, Rating::Error]
        .iter()
        .any(|it| it.as_str() == word)
        .then_some(RED)
}
