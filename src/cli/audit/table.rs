//! Findings as tables for people: the worst first by object, what is excused behind them, then a line for
//! each policy.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::audit::finding::{Counts, Excused, Finding, Findings, Result as Rating};
use crate::diagnostics::{Style, printable};

/// How many findings are shown; more than these nobody reads line by line.
const MOST_ROWS: usize = 1000;
/// What reports call a finding that is excused.
const SKIP: &str = "skip";

/// Returns the tables; empty if there is nothing to say.
pub(super) fn render(findings: &Findings, style: Style) -> String {
    let mut rows: Vec<&Finding> = findings.kept().collect();
    let counts = findings.counts();
    if counts.all() + counts.excused == 0 {
        return String::new();
    }
    // Stable: what is equally bad stays in order of namespace and object.
    rows.sort_by_key(|it| it.result);
    let found = rows
        .iter()
        .map(|it| row(it.result.as_str(), it, &it.message));
    let excused = findings.excused().map(excused);
    let lines: Vec<[String; 4]> = found.chain(excused).take(MOST_ROWS).collect();
    let mut text = table(&["RESULT", "OBJECT", "POLICY", "MESSAGE"], &lines, style);
    let kept = rows.len() + findings.excused().count();
    let others = kept.saturating_sub(MOST_ROWS);
    if others > 0 {
        let _ = writeln!(text, "… and {others} more; `--format json` prints all");
    }
    text.push('\n');
    text.push_str(&summary(findings, counts));
    text
}

fn row(result: &str, finding: &Finding, message: &str) -> [String; 4] {
    [
        result.to_owned(),
        finding.subject(),
        finding.policy.policy.name.clone(),
        printable(message),
    ]
}

fn excused(excused: &Excused) -> [String; 4] {
    row(SKIP, &excused.finding, &excused.message())
}

/// A line for each policy that has found something.
fn summary(findings: &Findings, all: Counts) -> String {
    let of_excused = findings.excused().map(|it| &it.finding);
    let severities: BTreeMap<&str, &str> = findings
        .kept()
        .chain(of_excused)
        .map(|it| &it.policy.policy)
        .map(|policy| (policy.name.as_str(), policy.about.severity.as_str()))
        .collect();
    let mut policies: Vec<(&str, Counts)> = findings.by_policy().into_iter().collect();
    policies.sort_by_key(|(_, counts)| std::cmp::Reverse((counts.all(), counts.excused)));
    let line = |(policy, counts): &(&str, Counts)| {
        let severity = severities.get(policy).copied().unwrap_or_default();
        let texts = [(*policy).to_owned(), severity.to_owned()];
        let numbers = [counts.fail, counts.error, counts.warn, counts.excused];
        let cells = texts.into_iter().chain(numbers.map(|it| it.to_string()));
        cells.collect::<Vec<_>>()
    };
    let mut heads = vec!["POLICY", "SEVERITY", "FAIL", "ERROR", "WARN"];
    if all.excused > 0 {
        heads.push("SKIP");
    }
    let lines: Vec<Vec<String>> = policies.iter().map(line).collect();
    table(&heads, &lines, Style::Plain)
}

/// Returns lines in columns; the last one is as long as it is. Cells without a head are left out.
fn table(heads: &[&str], lines: &[impl AsRef<[String]>], style: Style) -> String {
    let mut widths: Vec<usize> = heads.iter().map(|it| it.len()).collect();
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line.as_ref()) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let mut write = |cells: &[&str], colour: Option<&str>| {
        let last = heads.len().saturating_sub(1);
        for (at, (cell, width)) in cells.iter().zip(&widths).enumerate() {
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
        let cells: Vec<&str> = line.as_ref().iter().map(String::as_str).collect();
        let colour = match style {
            Style::Plain => None,
            Style::Coloured => cells.first().and_then(|word| colour(word)),
        };
        write(&cells, colour);
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
