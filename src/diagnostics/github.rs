//! Findings as workflow commands of GitHub Actions, which become annotations.
//!
//! Format and escapes: `actions/toolkit`, `packages/core/src/command.ts`.

use super::{Diagnostic, Severity};

/// Prints one command a line.
pub(super) fn render(findings: &[&Diagnostic]) -> String {
    findings.iter().map(|finding| command(finding)).collect()
}

fn command(finding: &Diagnostic) -> String {
    let name = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "notice",
    };
    let mut properties = Vec::new();
    if let Some(label) = finding.labels.first() {
        let (start, end) = (label.position(), label.end_position());
        properties.push(("file", label.source.name().to_owned()));
        properties.push(("line", start.line.to_string()));
        properties.push(("endLine", end.line.to_string()));
        // GitHub ignores columns of an annotation of several lines, and says so in the log.
        if start.line == end.line {
            properties.push(("col", start.column.to_string()));
            properties.push(("endColumn", end.column.to_string()));
        }
    }
    properties.push(("title", finding.code.clone()));
    let properties = properties
        .iter()
        .map(|(name, value)| format!("{name}={}", escape_property(value)))
        .collect::<Vec<_>>();
    let mut message = finding.message.clone();
    if let Some(subject) = &finding.subject {
        message = format!("{subject}: {message}");
    }
    if let Some(help) = &finding.help {
        message = format!("{message}\nhelp: {help}");
    }
    format!(
        "::{name} {}::{}\n",
        properties.join(","),
        escape_data(&message)
    )
}

fn escape_data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn escape_property(text: &str) -> String {
    escape_data(text).replace(':', "%3A").replace(',', "%2C")
}
