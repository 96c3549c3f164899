//! Reading fields of a test file, with a finding for everything that is not as it should be.

use std::sync::Arc;

use crate::diagnostics::Diagnostic;
use crate::text::yaml::{Entry, Yaml};
use crate::text::{Source, Span, nearest};

/// Collects what is wrong with one file.
#[derive(Debug)]
pub(super) struct Reader<'s> {
    pub(super) source: &'s Arc<Source>,
    pub(super) diagnostics: Vec<Diagnostic>,
}

impl<'s> Reader<'s> {
    pub(super) fn new(source: &'s Arc<Source>) -> Self {
        Reader {
            source,
            diagnostics: Vec::new(),
        }
    }

    pub(super) fn error(&mut self, span: Span, code: &str, message: String, help: &str) {
        let diagnostic = Diagnostic::error(code, message).at(self.source, span);
        self.diagnostics.push(if help.is_empty() {
            diagnostic
        } else {
            diagnostic.help(help)
        });
    }

    pub(super) fn wrong_type(&mut self, node: &Yaml, what: &str, wanted: &str) {
        let message = format!("{what} is {}, not {wanted}", node.kind_name());
        self.error(node.span, "test/wrong-type", message, "");
    }

    /// Returns the entries of a mapping that may have these keys only.
    pub(super) fn fields<'y>(
        &mut self,
        node: &'y Yaml,
        what: &str,
        known: &[&str],
    ) -> Option<&'y [Entry]> {
        let Some(entries) = node.as_mapping() else {
            self.wrong_type(node, what, "a mapping");
            return None;
        };
        for entry in entries {
            if !known.contains(&entry.key.as_str()) {
                let message = format!("unknown key `{}`", entry.key);
                let help = match nearest(&entry.key, known.iter().copied()) {
                    Some(name) => format!("did you mean `{name}`?"),
                    None => format!("{what} takes {}", listed(known)),
                };
                self.error(entry.key_span, "test/unknown-key", message, &help);
            }
        }
        Some(entries)
    }

    pub(super) fn text<'y>(&mut self, node: &'y Yaml, what: &str) -> Option<&'y str> {
        let text = node.as_str();
        if text.is_none() {
            self.wrong_type(node, what, "a string");
        }
        text
    }

    pub(super) fn boolean(&mut self, node: &Yaml, what: &str) -> Option<bool> {
        let value = node.as_bool();
        if value.is_none() {
            self.wrong_type(node, what, "`true` or `false`");
        }
        value
    }

    /// Returns a mapping as JSON.
    pub(super) fn object(
        &mut self,
        node: &Yaml,
        what: &str,
    ) -> Option<serde_json::Map<String, serde_json::Value>> {
        match node.to_json() {
            serde_json::Value::Object(fields) => Some(fields),
            _ => {
                self.wrong_type(node, what, "a mapping");
                None
            }
        }
    }

    /// Returns the items of a list, or the one value that is none.
    pub(super) fn one_or_many<'y>(&mut self, node: &'y Yaml) -> &'y [Yaml] {
        node.as_sequence().unwrap_or(std::slice::from_ref(node))
    }
}

/// Joins names for a message: `a`, `b` and `c`.
pub(super) fn listed(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}
