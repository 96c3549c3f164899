//! Findings as one JSON array, for scripts.

use serde_json::{Value, json};

use super::{Diagnostic, Excuse};

/// Prints an array with one object a finding; what is unknown is `null`.
///
/// `endLine` and `endColumn` are of the place after the last character.
pub(super) fn render(findings: &[&Diagnostic]) -> String {
    let all = findings.iter().map(|finding| object(finding));
    format!("{:#}\n", all.collect::<Value>())
}

fn object(finding: &Diagnostic) -> Value {
    let label = finding.labels.first();
    let start = label.map(|label| label.position());
    let end = label.map(|label| label.end_position());
    json!({
        "code": finding.code,
        "severity": finding.severity.name(),
        "message": finding.message,
        "help": finding.help,
        "subject": finding.subject,
        "excused": finding.excuse.as_deref().map(excuse),
        "file": label.map(|label| label.source.name()),
        "line": start.map(|position| position.line),
        "column": start.map(|position| position.column),
        "endLine": end.map(|position| position.line),
        "endColumn": end.map(|position| position.column),
    })
}

fn excuse(excuse: &Excuse) -> Value {
    json!({
        "exception": excuse.exception,
        "reason": excuse.reason,
        "owner": excuse.owner,
        "ticket": excuse.ticket,
        "expires": excuse.expires,
    })
}
