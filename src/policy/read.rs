//! Reads policies, bindings and parameters from a text, whatever form it has.
//!
//! Everything that can be read is returned, with a finding for everything that cannot: one bad
//! document never hides another. A policy of which something could not be read is returned too,
//! marked [`Faulty`](crate::policy::model::Reading::Faulty), so that its failure policy decides
//! about the requests it matches. What can be read and is not allowed is for
//! [`validate`](crate::policy::validate).

mod admission;
mod cel_file;
mod exceptions;
mod front_matter;
mod gatekeeper;
mod kubernetes;
mod kyverno;
mod match_rules;
mod matching;
mod overrides;
mod reader;
mod resource_pattern;
mod sections;

pub use overrides::overrides;

use std::sync::Arc;

use crate::diagnostics::Diagnostic;
use crate::policy::exceptions::PolicyException;
use crate::policy::model::{Documents, Form};
use crate::text::yaml::Yaml;
use crate::text::{Source, Span};

/// Reads everything in `source`.
///
/// A name that ends in `.cel` is a `.cel` file, one that ends in `.yaml`, `.yml` or `.json` a
/// stream of Kubernetes documents; any other text is a `.cel` file if it has a section in it. The
/// findings are in order of place.
pub fn read(source: &Arc<Source>) -> (Documents, Vec<Diagnostic>) {
    if let Some(diagnostic) = not_text(source) {
        return (Documents::default(), vec![diagnostic]);
    }
    let (documents, mut diagnostics) = match form(source) {
        Form::Cel => cel_file::read(source),
        Form::Kubernetes => kubernetes::read(source),
    };
    diagnostics.sort_by_key(|diagnostic| {
        let first = diagnostic.labels.first();
        first.map_or(0, |label| label.span.start)
    });
    (documents, diagnostics)
}

/// Reads an exception that is part of another text, and need not say its `apiVersion` and `kind`.
pub fn exception(source: &Arc<Source>, yaml: &Yaml) -> (Vec<PolicyException>, Vec<Diagnostic>) {
    kubernetes::exception(source, yaml)
}

fn form(source: &Source) -> Form {
    let name = source.name().to_ascii_lowercase();
    let documents = [".yaml", ".yml", ".json"];
    if name.ends_with(".cel") {
        Form::Cel
    } else if documents.iter().any(|end| name.ends_with(end)) {
        Form::Kubernetes
    } else if sections::has_sections(source.text()) {
        Form::Cel
    } else {
        Form::Kubernetes
    }
}

/// Returns the one finding about a text that is none.
///
/// Control characters other than tabs and line ends are in no policy, and what a decoder could
/// not read is U+FFFD.
fn not_text(source: &Arc<Source>) -> Option<Diagnostic> {
    let stray = |c: char| {
        (c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}')) || c == '\u{fffd}'
    };
    let at = source.text().find(stray)?;
    let found = source.text().get(at..)?.chars().next()?;
    Some(
        Diagnostic::error(
            "policy/not-text",
            format!("not a text: character U+{:04X}", u32::from(found)),
        )
        .at(source, Span::new(at, at + found.len_utf8()))
        .help("policies are UTF-8 texts, `.cel` or YAML"),
    )
}

#[cfg(test)]
mod tests;
