//! Findings as SARIF 2.1.0, for code scanning services.
//!
//! Specification: OASIS `sarif-v2.1.0-os`. Fingerprints depend on the text of the line and not on
//! its number, so that a finding stays the same one when lines are added above it.
//!
//! What an exception excuses is a result with a suppression (section 3.35). Its level stays `note`: GitHub's
//! code scanning passes over suppressions (github/codeql-action issue 1230), and of an error it would make
//! an alert that fails the check of what is excused.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Diagnostic, Excuse, Label};
use crate::text::Span;

/// Name of the fingerprint; the number changes when what is hashed does.
const FINGERPRINT: &str = "portcullisFinding/v1";

/// Bytes of the line around a place that are hashed; bounds the work on very long lines.
const FINGERPRINT_REACH: usize = 200;

/// Prints a log with one run.
pub(super) fn render(findings: &[&Diagnostic]) -> String {
    let mut rule_by_code = BTreeMap::new();
    for finding in findings {
        rule_by_code.insert(finding.code.as_str(), 0);
    }
    for (at, index) in rule_by_code.values_mut().enumerate() {
        *index = at;
    }
    let rules = rule_by_code.keys().map(|code| json!({ "id": code }));
    let rules = rules.collect::<Value>();
    // "SHALL be either all null or all non-null" in a run (section 3.27.23).
    let has_suppressions = findings.iter().any(|finding| finding.excuse.is_some());
    let mut seen_by_hash = BTreeMap::new();
    let results = findings.iter().map(|finding| {
        let seen = seen_by_hash.entry(hash(finding)).or_insert(0_usize);
        *seen += 1;
        let rule = rule_by_code.get(finding.code.as_str());
        let mut result = result(finding, rule.copied(), *seen);
        if has_suppressions {
            let suppressions: Vec<Value> = finding
                .excuse
                .as_deref()
                .map(suppression)
                .into_iter()
                .collect();
            result.insert("suppressions".to_owned(), suppressions.into());
        }
        Value::Object(result)
    });
    let results = results.collect::<Value>();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "portcullis",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{log:#}\n")
}

fn suppression(excuse: &Excuse) -> Value {
    let mut properties = object(json!({
        "exception": excuse.exception,
        "owner": excuse.owner,
    }));
    for (key, value) in [("ticket", &excuse.ticket), ("expires", &excuse.expires)] {
        if let Some(value) = value {
            properties.insert(key.to_owned(), value.as_str().into());
        }
    }
    json!({
        "kind": "external",
        "status": "accepted",
        "justification": excuse.reason,
        "properties": properties,
    })
}

fn result(finding: &Diagnostic, rule: Option<usize>, occurrence: usize) -> Map<String, Value> {
    let text = match &finding.help {
        Some(help) => format!("{}\nhelp: {help}", finding.message),
        None => finding.message.clone(),
    };
    let mut fields = object(json!({
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": finding.severity.name(),
        "message": { "text": text },
    }));
    let mut place = finding.labels.first().map(location);
    if let Some(subject) = &finding.subject {
        let logical = json!([{ "fullyQualifiedName": subject, "kind": "resource" }]);
        let place = place.get_or_insert_default();
        place.insert("logicalLocations".to_owned(), logical);
    }
    if let Some(place) = place {
        fields.insert("locations".to_owned(), json!([place]));
    }
    let related = finding.labels.iter().skip(1).enumerate();
    let related = related.map(|(at, label)| {
        let mut place = location(label);
        place.insert("id".to_owned(), json!(at));
        place
    });
    let related = related.collect::<Vec<_>>();
    if !related.is_empty() {
        fields.insert("relatedLocations".to_owned(), json!(related));
    }
    let fingerprint = format!("{:016x}:{occurrence}", hash(finding));
    fields.insert(
        "partialFingerprints".to_owned(),
        json!({ FINGERPRINT: fingerprint }),
    );
    fields
}

fn location(label: &Label) -> Map<String, Value> {
    let (start, end) = (label.position(), label.end_position());
    let mut fields = object(json!({ "physicalLocation": {
        "artifactLocation": { "uri": uri(label.source.name()) },
        "region": {
            "startLine": start.line,
            "startColumn": start.column,
            "endLine": end.line,
            "endColumn": end.column,
        },
    }}));
    if !label.text.is_empty() {
        fields.insert("message".to_owned(), json!({ "text": label.text }));
    }
    fields
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// Returns a path as a URI reference: absolute ones as `file:`, other characters encoded.
fn uri(name: &str) -> String {
    let mut uri = String::new();
    if name.starts_with('/') {
        uri.push_str("file://");
    }
    let name = name.strip_prefix("./").unwrap_or(name);
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte));
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

/// Hashes what makes a finding the same one in another version of the file.
fn hash(finding: &Diagnostic) -> u64 {
    let label = finding.labels.first();
    let parts = [
        finding.code.as_str(),
        finding.subject.as_deref().unwrap_or_default(),
        label.map_or("", |label| label.source.name()),
        label.map_or("", line_of).trim(),
    ];
    // FNV-1a: short, and the same in every version of Rust. A byte that is in no UTF-8 text
    // separates the parts.
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0xff]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn line_of(label: &Label) -> &str {
    let at = label.span.start;
    let reach = Span::new(
        at.saturating_sub(FINGERPRINT_REACH),
        at.saturating_add(FINGERPRINT_REACH),
    );
    let around = label.source.slice(reach);
    let before = label.source.slice(Span::new(reach.start, at)).len();
    let start = around.get(..before).and_then(|text| text.rfind('\n'));
    let rest = around.get(start.map_or(0, |at| at + 1)..);
    rest.unwrap_or_default().lines().next().unwrap_or_default()
}
