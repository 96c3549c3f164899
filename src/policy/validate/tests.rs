//! Refusals compared with those recorded from Kubernetes.

use std::sync::Arc;

use crate::diagnostics::Diagnostic;
use crate::policy::model::Documents;
use crate::policy::{codes, read, validate};
use crate::text::yaml::{self, Yaml};
use crate::text::{Source, Span};

/// Reads and checks a text, as whoever loads policies does.
fn check(source: &Arc<Source>) -> (Documents, Vec<Diagnostic>) {
    let (documents, mut diagnostics) = read::read(source);
    diagnostics.extend(validate::documents(&documents));
    (documents, diagnostics)
}

fn said(source: &Source, diagnostics: &[Diagnostic]) -> Vec<String> {
    diagnostics
        .iter()
        .map(|diagnostic| {
            let label = &diagnostic.labels[0];
            let at = label.position();
            format!(
                "{}:{} {} {:?}: {}",
                at.line,
                at.column,
                diagnostic.code,
                source.slice(label.span),
                diagnostic.message
            )
        })
        .collect()
}

/// A refusal of Kubernetes: the path of a field and the kind of error.
struct Refusal<'t> {
    field: &'t str,
    kind: &'t str,
}

impl Refusal<'_> {
    /// Tells whether a finding says the same of the same place.
    fn is(&self, document: &Yaml, diagnostic: &Diagnostic) -> bool {
        let place = self.place(document);
        let span = diagnostic.labels[0].span;
        place.start <= span.start && span.end <= place.end && self.takes(&diagnostic.code)
    }

    fn takes(&self, code: &str) -> bool {
        let code = code.strip_prefix("policy/").unwrap_or(code);
        match self.kind {
            "Required" => matches!(code, "required" | "empty-expression" | "too-long"),
            "NotSupported" => code.starts_with("unknown-"),
            "Duplicate" => code.starts_with("duplicate-"),
            "Forbidden" => matches!(code, "not-allowed" | "exclusive"),
            "TooMany" => code == "too-many",
            "Invalid" => {
                code.starts_with("invalid-")
                    || matches!(code, "overlap" | "exclusive" | "too-many")
                    || matches!(code, "required" | "empty-expression")
                    || code == "unknown-selector-operator"
            }
            _ => false,
        }
    }

    /// The field with its key, or what would hold it.
    fn place(&self, document: &Yaml) -> Span {
        let mut place = document.span;
        let mut yaml = document;
        let path = self.field.replace('[', ".[");
        for part in path.split('.') {
            let index = part
                .strip_prefix('[')
                .and_then(|part| part.strip_suffix(']'));
            let next = match index {
                Some(index) => {
                    let items = yaml.as_sequence().unwrap_or_default();
                    let index: usize = index.parse().expect("an index");
                    items.get(index).map(|item| (item.span, item))
                }
                None => {
                    let entries = yaml.as_mapping().unwrap_or_default();
                    let entry = entries.iter().find(|entry| entry.key == part);
                    entry.map(|entry| (entry.key_span.to(entry.value.span), &entry.value))
                }
            };
            let Some((span, value)) = next else { break };
            place = span;
            yaml = value;
        }
        place
    }
}

#[test]
fn what_kubernetes_refuses_is_refused_at_the_same_field() {
    let mut count = 0;
    let mut wrong = Vec::new();
    for text in include_str!("upstream.yaml").split("---\n").skip(1) {
        let mut name = "";
        let mut refusals = Vec::new();
        for line in text.lines() {
            if let Some(case) = line.strip_prefix("# case: ") {
                name = case;
            } else if let Some(refused) = line.strip_prefix("# refused: ") {
                let (field, kind) = refused.split_once(' ').expect("a field and a kind");
                refusals.push(Refusal { field, kind });
            }
        }
        let source = Source::new("p.yaml", text);
        let document = &yaml::parse_stream(&source).documents[0];
        let (_, diagnostics) = check(&source);
        let said = said(&source, &diagnostics);
        for refusal in &refusals {
            if !diagnostics.iter().any(|found| refusal.is(document, found)) {
                let (field, kind) = (refusal.field, refusal.kind);
                wrong.push(format!("{name}: {field} {kind} is not among {said:?}"));
            }
        }
        for (diagnostic, said) in diagnostics.iter().zip(&said) {
            if !refusals
                .iter()
                .any(|refusal| refusal.is(document, diagnostic))
            {
                wrong.push(format!("{name}: Kubernetes does not say {said}"));
            }
            if diagnostic.help.is_none() || codes::meaning(&diagnostic.code).is_none() {
                wrong.push(format!("{name}: no help or meaning with {said}"));
            }
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count > 130, "{count} cases");
}
