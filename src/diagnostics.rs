//! One shape for every finding that is shown to a person, whoever found it, and its renderings.
//!
//! [`render`] prints findings for people and for machines. It prints findings only: the summary
//! line, the exit code and where the text goes are the caller's.

mod github;
mod human;
mod json;
pub mod junit;
mod sarif;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::text::{Fragment, Position, Source, Span, nearest};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; changes no exit code.
    Note,
    /// Something is probably wrong; nothing was rejected.
    Warning,
    /// Something was rejected or could not be used.
    Error,
}

impl Severity {
    /// Returns the name as it is printed: `note`, `warning` or `error`.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A finding: what, where, and what to do about it.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// A stable identifier: `policy/unknown-key`, or the name of the policy that was violated.
    pub code: String,
    /// How much it matters.
    pub severity: Severity,
    /// One line, lower case, without a final period; user input in backticks.
    pub message: String,
    /// Where it is; the first label is the place itself, the others explain.
    pub labels: Vec<Label>,
    /// What to do, if that can be said.
    pub help: Option<String>,
    /// The object it is about, as `Deployment meshery/meshery`, for findings about manifests.
    pub subject: Option<String>,
    /// What excuses it, if something does: then it has no consequence.
    pub excuse: Option<Box<Excuse>>,
}

/// Why a finding is of no consequence, as the PolicyException says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Excuse {
    /// The full name of the exception.
    pub exception: String,
    /// Why.
    pub reason: String,
    /// Who answers for it.
    pub owner: String,
    /// Where it was agreed upon.
    pub ticket: Option<String>,
    /// When it ends, as it is written.
    pub expires: Option<String>,
}

impl Excuse {
    /// Returns by which exception, and until when.
    pub fn by(&self) -> String {
        let until = self.expires.as_ref();
        let until = until.map_or(String::new(), |it| format!(" until {it}"));
        format!("excused by `{}`{until}", self.exception)
    }
}

/// By which exception, until when, why and at whose responsibility, in one line.
impl fmt::Display for Excuse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {} ({})", self.by(), self.reason, self.owner)
    }
}

/// A place in a source, with a few words about it.
#[derive(Debug, Clone)]
pub struct Label {
    /// The text the span is of.
    pub source: Arc<Source>,
    /// The bytes to underline.
    pub span: Span,
    /// What to say beside the underline; may be empty.
    pub text: String,
}

impl Label {
    /// Returns line and column of the first byte.
    pub fn position(&self) -> Position {
        self.source.position(self.span.start)
    }

    /// Returns line and column after the last byte.
    pub fn end_position(&self) -> Position {
        self.source.position(self.span.end.max(self.span.start))
    }
}

impl Diagnostic {
    /// Makes an error.
    pub fn error(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message)
    }

    /// Makes a warning.
    pub fn warning(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message)
    }

    /// Makes a note.
    pub fn note(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, code, message)
    }

    /// Says whether something was rejected or could not be used.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    fn new(severity: Severity, code: impl Into<String>, message: impl Into<String>) -> Self {
        Diagnostic {
            code: code.into(),
            severity,
            message: message.into(),
            labels: Vec::new(),
            help: None,
            subject: None,
            excuse: None,
        }
    }

    /// Adds a place; the first one added is where the finding is.
    #[must_use]
    pub fn at(mut self, source: &Arc<Source>, span: Span) -> Self {
        self.labels.push(Label {
            source: Arc::clone(source),
            span,
            text: String::new(),
        });
        self
    }

    /// Adds a span of a fragment as a place.
    #[must_use]
    pub fn within(self, fragment: &Fragment, span: Span) -> Self {
        self.at(&fragment.source, fragment.locate(span))
    }

    /// Sets the words beside the place added last.
    #[must_use]
    pub fn labelled(mut self, text: impl Into<String>) -> Self {
        if let Some(label) = self.labels.last_mut() {
            label.text = text.into();
        }
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Names the object it is about.
    #[must_use]
    pub fn about(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }
}

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people: the source underlined, with help.
    #[default]
    Human,
    /// One JSON array.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// JUnit XML, for test reports.
    Junit,
    /// Workflow commands, which GitHub shows beside the changed lines.
    Github,
}

/// Whether the human format may use colours; the others never do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// Text only.
    #[default]
    Plain,
    /// With ANSI escapes.
    Coloured,
}

/// A format that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown format `{given}`{}", hint(.given))]
pub struct UnknownFormat {
    /// What was asked for.
    pub given: String,
}

fn hint(given: &str) -> String {
    match nearest(given, Format::ALL.map(Format::name)) {
        Some(name) => format!(", did you mean `{name}`?"),
        None => format!(", use one of {}", Format::ALL.map(Format::name).join(", ")),
    }
}

impl Format {
    /// All formats, in the order of the documentation.
    pub const ALL: [Format; 5] = [
        Format::Human,
        Format::Json,
        Format::Sarif,
        Format::Junit,
        Format::Github,
    ];

    /// Returns the name as it is given on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Format::Human => "human",
            Format::Json => "json",
            Format::Sarif => "sarif",
            Format::Junit => "junit",
            Format::Github => "github",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(given: &str) -> Result<Self, UnknownFormat> {
        let mut all = Format::ALL.into_iter();
        all.find(|format| format.name() == given)
            .ok_or_else(|| UnknownFormat {
                given: given.to_owned(),
            })
    }
}

/// Makes a line of a text that somebody else wrote: control characters, and what changes the direction of
/// text, become visible and do nothing to the terminal.
pub fn printable(text: &str) -> String {
    human::printable(text, human::Lines::Joined)
}

/// Prints findings; the text is complete, with a final line break unless it is empty.
///
/// Findings are in order of file (as the files first appear) and place, whatever order they are
/// given in; those without a place come first. Size and time are linear in the number of findings,
/// however long the lines of the sources are.
pub fn render(findings: &[Diagnostic], format: Format, style: Style) -> String {
    let findings = ordered(findings);
    match format {
        Format::Human => human::render(&findings, style),
        Format::Json => json::render(&findings),
        Format::Sarif => sarif::render(&findings),
        Format::Junit => junit::findings(&findings),
        Format::Github => github::render(&findings),
    }
}

fn ordered(findings: &[Diagnostic]) -> Vec<&Diagnostic> {
    let mut files = std::collections::BTreeMap::new();
    let mut placed = Vec::with_capacity(findings.len());
    for finding in findings {
        let place = finding.labels.first().map(|label| {
            let next = files.len();
            let file = *files.entry(label.source.name()).or_insert(next);
            (file, label.span.start)
        });
        placed.push((place, finding));
    }
    // Stable: findings of one place stay in the order they were found in.
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, finding)| finding).collect()
}
