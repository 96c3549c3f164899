//! Shows how tests ended: for people, and as JUnit XML.

use super::coverage::Tally;
use super::expect::Line;
use super::format::Case;
use super::run::Outcome;
use crate::diagnostics::junit::{self, TestCase, TestSuite};
use crate::diagnostics::{Diagnostic, Format, Style, render};
use crate::text::Source;

/// The results of a file of tests.
#[derive(Debug)]
pub struct FileResult<'f> {
    /// The file.
    pub source: &'f Source,
    /// Its cases, in order.
    pub cases: Vec<(&'f Case, Outcome)>,
}

/// How many cases ended how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// As expected.
    pub passed: usize,
    /// Otherwise, or not run.
    pub failed: usize,
}

/// Counts the cases of all files.
pub fn counts(files: &[FileResult<'_>]) -> Counts {
    let mut counts = Counts::default();
    for (_, outcome) in files.iter().flat_map(|file| &file.cases) {
        match outcome {
            Outcome::Passed => counts.passed += 1,
            Outcome::Failed(_) | Outcome::Errored(_) => counts.failed += 1,
        }
    }
    counts
}

/// Prints what failed with the difference, a line for each file, and a summary.
pub fn human(files: &[FileResult<'_>], style: Style) -> String {
    let mut text = String::new();
    for file in files {
        for (case, outcome) in &file.cases {
            match outcome {
                Outcome::Passed => {}
                Outcome::Failed(lines) => text.push_str(&failed(file, case, lines, style)),
                Outcome::Errored(diagnostic) => text.push_str(&errored(case, diagnostic, style)),
            }
        }
    }
    for file in files {
        let counts = counts(std::slice::from_ref(file));
        let result = match counts {
            Counts { passed, failed: 0 } => paint(style, GREEN, &format!("{passed} passed")),
            Counts { passed, failed } => {
                format!(
                    "{passed} passed, {}",
                    paint(style, RED, &format!("{failed} failed"))
                )
            }
        };
        text.push_str(&format!("{}: {result}\n", file.source.name()));
    }
    text
}

/// Returns one line about all files.
pub fn summary(files: &[FileResult<'_>]) -> String {
    let Counts { passed, failed } = counts(files);
    let plural = |count: usize, one: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {one}s"),
    };
    let cases = plural(passed + failed, "case");
    format!(
        "{cases} in {}: {passed} passed, {failed} failed",
        plural(files.len(), "file")
    )
}

const RED: &str = "1;31";
const GREEN: &str = "1;32";
const BOLD: &str = "1";

fn paint(style: Style, colour: &str, text: &str) -> String {
    match style {
        Style::Plain => text.to_owned(),
        Style::Coloured => format!("\u{1b}[{colour}m{text}\u{1b}[0m"),
    }
}

fn failed(file: &FileResult<'_>, case: &Case, lines: &[Line], style: Style) -> String {
    let at = file.source.position(case.place.start);
    let mut text = format!(
        "{} {}\n  --> {}:{}:{}\n",
        paint(style, RED, "failed:"),
        paint(style, BOLD, &case.name),
        file.source.name(),
        at.line,
        at.column
    );
    let legend = format!(
        "  ({}, {})\n",
        paint(style, GREEN, "- expected"),
        paint(style, RED, "+ got")
    );
    text.push_str(&legend);
    for line in lines {
        let shown = match line {
            Line::Same(line) => format!("    {line}"),
            Line::Missing(line) => paint(style, GREEN, &format!("  - {line}")),
            Line::Unexpected(line) => paint(style, RED, &format!("  + {line}")),
        };
        text.push_str(&shown);
        text.push('\n');
    }
    text.push('\n');
    text
}

fn errored(case: &Case, diagnostic: &Diagnostic, style: Style) -> String {
    let rendered = render(std::slice::from_ref(diagnostic), Format::Human, style);
    format!(
        "{} {}\n{rendered}\n",
        paint(style, RED, "not run:"),
        paint(style, BOLD, &case.name)
    )
}

/// Prints a JUnit report: a suite for what could not be read, one for each file, and with
/// `coverage` one with a case for each validation.
pub fn junit(
    files: &[FileResult<'_>],
    problems: &[Diagnostic],
    coverage: Option<&Tally>,
) -> String {
    let mut suites = Vec::new();
    if !problems.is_empty() {
        suites.push(junit::problems(problems));
    }
    suites.extend(files.iter().map(suite));
    suites.extend(coverage.map(coverage_suite));
    junit::render(&suites)
}

fn suite(file: &FileResult<'_>) -> TestSuite {
    let case = |(case, outcome): &(&Case, Outcome)| TestCase {
        name: case.name.clone(),
        classname: file.source.name().to_owned(),
        outcome: junit_outcome(file, case, outcome),
        seconds: None,
        output: None,
    };
    TestSuite {
        name: file.source.name().to_owned(),
        cases: file.cases.iter().map(case).collect(),
    }
}

fn junit_outcome(file: &FileResult<'_>, case: &Case, outcome: &Outcome) -> junit::Outcome {
    match outcome {
        Outcome::Passed => junit::Outcome::Passed,
        Outcome::Failed(lines) => junit::Outcome::Failed {
            kind: "unexpected".to_owned(),
            message: one_line(lines),
            details: failed(file, case, lines, Style::Plain),
        },
        Outcome::Errored(diagnostic) => junit::Outcome::Errored {
            kind: diagnostic.code.clone(),
            message: diagnostic.message.clone(),
            details: render(
                std::slice::from_ref(diagnostic),
                Format::Human,
                Style::Plain,
            ),
        },
    }
}

fn one_line(lines: &[Line]) -> String {
    let expected = lines.iter().filter_map(|line| match line {
        Line::Same(text) | Line::Missing(text) => Some(text.as_str()),
        Line::Unexpected(_) => None,
    });
    let got = lines.iter().filter_map(|line| match line {
        Line::Same(text) | Line::Unexpected(text) => Some(text.as_str()),
        Line::Missing(_) => None,
    });
    let join = |texts: Vec<&str>| texts.join("; ");
    format!(
        "expected {}, got {}",
        join(expected.collect()),
        join(got.collect())
    )
}

fn coverage_suite(tally: &Tally) -> TestSuite {
    let mut cases = Vec::new();
    for (file, name, row) in tally.rows() {
        for seen in &row.validations {
            let outcome = match seen.gap(row.tests) {
                None => junit::Outcome::Passed,
                Some(gap) => junit::Outcome::Failed {
                    kind: "coverage".to_owned(),
                    message: gap.to_owned(),
                    details: format!(
                        "{file}: {} cases admit and {} deny by this validation\n",
                        seen.admits, seen.denies
                    ),
                },
            };
            cases.push(TestCase {
                name: format!("{name}: {}", seen.text),
                classname: file.to_owned(),
                outcome,
                seconds: None,
                output: None,
            });
        }
    }
    TestSuite {
        name: "coverage".to_owned(),
        cases,
    }
}
