//! Manifests as people write them: read, made into requests, and pointed at in findings.
//!
//! Flow: [`read`] takes the objects out of a text, [`request`] makes of each what an API server
//! would ask, [`neighbours`] lets policies look at the others, and [`finding`] says a violation
//! where it is written, with the help of [`point`]. What mutations change is taken over into what is
//! written ([`written`]), and the text edited ([`mod@rewrite`]).
//!
//! Above the engine, because findings are made of its decisions and it looks at neighbours; below
//! the tests of policies, which bring the objects of a case into the same form.

pub mod finding;
pub mod neighbours;
pub mod point;
pub mod request;
pub mod rewrite;
pub mod written;

use std::sync::Arc;

use serde_json::Value;

use crate::diagnostics::Diagnostic;
use crate::text::yaml::{self, Stream, Yaml, YamlError, YamlValue};
use crate::text::{Source, Span};

/// Every code of findings about manifests themselves, in alphabetical order, with its meaning.
pub const CODES: [(&str, &str); 5] = [
    (
        "manifest/not-an-object",
        "A document or item is no mapping.",
    ),
    (
        "manifest/refused",
        "A mutation makes something of the object that the API server refuses.",
    ),
    (
        "manifest/required",
        "An object has no `apiVersion` or no `kind`.",
    ),
    (
        "manifest/unusable",
        "No request can be made from the object.",
    ),
    (
        "manifest/yaml",
        "A document is no YAML or JSON; the message says what is wrong with it.",
    ),
];

/// An object with the place where it is written.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The text it is written in.
    pub source: Arc<Source>,
    /// The object as written.
    pub node: Yaml,
    /// `group/version`, or `version` for the core group; never empty.
    pub api_version: String,
    /// The kind; never empty.
    pub kind: String,
}

/// What identifies an object among others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key<'k> {
    /// `group/version`, or `version` for the core group.
    pub api_version: &'k str,
    /// The kind.
    pub kind: &'k str,
    /// The namespace, empty if there is none.
    pub namespace: &'k str,
    /// The name.
    pub name: &'k str,
}

/// Takes the objects out of a stream of YAML or JSON documents, lists taken apart.
///
/// What is no object is said; the rest is returned all the same. Lists are what the API machinery
/// takes for one: a kind that ends in `List` with `items` at the top.
pub fn read(source: &Arc<Source>) -> (Vec<Manifest>, Vec<Diagnostic>) {
    objects(source, yaml::parse_stream(source))
}

/// Does for one of the [`yaml::parts`] of a source what [`read`] does for the whole.
pub fn read_part(source: &Arc<Source>, part: Span) -> (Vec<Manifest>, Vec<Diagnostic>) {
    objects(source, yaml::parse_part(source, part))
}

fn objects(source: &Arc<Source>, stream: Stream) -> (Vec<Manifest>, Vec<Diagnostic>) {
    let errors = stream.errors.into_iter();
    let mut diagnostics: Vec<Diagnostic> =
        errors.map(|error| syntax_error(source, error)).collect();
    let mut manifests = Vec::new();
    for document in stream.documents {
        take(source, document, None, (&mut manifests, &mut diagnostics));
    }
    (manifests, diagnostics)
}

/// Returns the finding about a text that is no YAML.
pub fn syntax_error(source: &Arc<Source>, error: YamlError) -> Diagnostic {
    let diagnostic = Diagnostic::error("manifest/yaml", error.message).at(source, error.span);
    match error.help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}

/// What an item of a typed list is, if it does not say so itself.
struct ItemType {
    api_version: String,
    kind: String,
}

/// Adds an object, or the objects of a list; lists in lists are bounded by the reader's depth.
fn take(
    source: &Arc<Source>,
    node: Yaml,
    implied: Option<&ItemType>,
    (manifests, diagnostics): (&mut Vec<Manifest>, &mut Vec<Diagnostic>),
) {
    if node.as_mapping().is_none() {
        let message = format!("{} where an object is expected", node.kind_name());
        let help = "a manifest has `apiVersion`, `kind` and `metadata`";
        let span = first_line(source, node.span);
        let diagnostic = Diagnostic::error("manifest/not-an-object", message);
        diagnostics.push(diagnostic.at(source, span).help(help));
        return;
    }
    let text = |field, implied: Option<&String>| {
        let written = node
            .get(field)
            .and_then(Yaml::as_str)
            .filter(|text| !text.is_empty());
        written.map(str::to_owned).or(implied.cloned())
    };
    let api_version = text("apiVersion", implied.map(|implied| &implied.api_version));
    let kind = text("kind", implied.map(|implied| &implied.kind));
    let (api_version, kind) = match (api_version, kind) {
        (Some(api_version), Some(kind)) => (api_version, kind),
        (api_version, _) => {
            let field = if api_version.is_none() {
                "apiVersion"
            } else {
                "kind"
            };
            diagnostics.push(missing(source, &node, field));
            return;
        }
    };
    match (
        kind.strip_suffix("List"),
        node.get("items").and_then(Yaml::as_sequence),
    ) {
        (Some(item_kind), Some(_)) => {
            // A plain List holds objects of any kind; the others can leave out what they hold.
            let item_type = (!item_kind.is_empty()).then(|| ItemType {
                api_version,
                kind: item_kind.to_owned(),
            });
            for item in items(node) {
                take(source, item, item_type.as_ref(), (manifests, diagnostics));
            }
        }
        _ => manifests.push(Manifest {
            source: Arc::clone(source),
            node,
            api_version,
            kind,
        }),
    }
}

/// Takes the items out of a list.
fn items(list: Yaml) -> Vec<Yaml> {
    let YamlValue::Mapping(entries) = list.value else {
        return Vec::new();
    };
    let items = entries.into_iter().find(|entry| entry.key == "items");
    match items.map(|entry| entry.value.value) {
        Some(YamlValue::Sequence(items)) => items,
        _ => Vec::new(),
    }
}

fn missing(source: &Arc<Source>, node: &Yaml, field: &str) -> Diagnostic {
    let written = node
        .as_mapping()
        .into_iter()
        .flatten()
        .find(|entry| entry.key == field);
    let message = match written.map(|entry| &entry.value) {
        Some(value) if value.as_str().is_none() && !value.is_null() => {
            format!("`{field}` is {}, not a string", value.kind_name())
        }
        _ => format!("`{field}` is missing or empty"),
    };
    let span = written.map_or_else(|| first_line(source, node.span), |entry| entry.key_span);
    Diagnostic::error("manifest/required", message)
        .at(source, span)
        .help("every Kubernetes object says its `apiVersion` and `kind`")
}

/// Returns the part of a span that lies on its first line.
fn first_line(source: &Source, span: Span) -> Span {
    let text = source.slice(span);
    let line = text
        .split(['\n', '\r'])
        .next()
        .unwrap_or_default()
        .trim_end();
    Span::new(span.start, span.start + line.len())
}

impl Manifest {
    /// Returns what identifies the object, with the namespace as it is written.
    pub fn key(&self) -> Key<'_> {
        let text = |path: &[&str]| {
            self.node
                .at(path)
                .and_then(Yaml::as_str)
                .unwrap_or_default()
        };
        Key {
            api_version: &self.api_version,
            kind: &self.kind,
            namespace: text(&["metadata", "namespace"]),
            name: match text(&["metadata", "name"]) {
                "" => text(&["metadata", "generateName"]),
                name => name,
            },
        }
    }

    /// Returns the object as JSON.
    pub fn to_json(&self) -> Value {
        let mut object = self.node.to_json();
        if let Value::Object(fields) = &mut object {
            // Items of a typed list leave these out.
            for (key, text) in [("apiVersion", &self.api_version), ("kind", &self.kind)] {
                if !fields.contains_key(key) {
                    fields.insert(key.to_owned(), text.as_str().into());
                }
            }
        }
        object
    }

    /// Returns the object's name for people: `Deployment meshery/meshery`.
    pub fn subject(&self, namespace: &str) -> String {
        let name = self.key().name;
        let name = if name.is_empty() {
            "(without a name)"
        } else {
            name
        };
        match namespace {
            "" => format!("{} {name}", self.kind),
            namespace => format!("{} {namespace}/{name}", self.kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> (Vec<String>, Vec<String>) {
        let source = Source::new("m.yaml", text);
        let (manifests, diagnostics) = read(&source);
        let names = manifests.iter().map(|manifest| {
            let key = manifest.key();
            format!(
                "{} {}",
                manifest.api_version,
                manifest.subject(key.namespace)
            )
        });
        let findings = diagnostics.iter().map(|diagnostic| {
            let at = diagnostic.labels[0].position();
            format!(
                "{}:{} {} {}",
                at.line, at.column, diagnostic.code, diagnostic.message
            )
        });
        (names.collect(), findings.collect())
    }

    #[test]
    fn a_document_that_does_not_parse_does_not_hide_the_next_one() {
        let (names, findings) = names(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\nkind: [\n---\n\
             apiVersion: v1\nkind: Pod\nmetadata: {name: b, namespace: x}\n",
        );
        assert_eq!(names, ["v1 Pod a", "v1 Pod x/b"]);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].contains("manifest/yaml"), "{findings:?}");
    }

    #[test]
    fn lists_are_taken_apart_and_say_the_kind_of_their_items() {
        let (names, findings) = names(
            "{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Pod, metadata: {name: a}}, \
             {apiVersion: apps/v1, kind: DeploymentList, items: [{metadata: {name: b}}, 7]}]}",
        );
        assert_eq!(names, ["v1 Pod a", "apps/v1 Deployment b"]);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(
            findings[0].ends_with("manifest/not-an-object an integer where an object is expected"),
            "{findings:?}"
        );
    }

    #[test]
    fn a_list_that_is_empty_holds_nothing_and_a_kind_that_ends_in_list_may_be_none() {
        let (names, findings) = names(
            "{apiVersion: v1, kind: List, items: []}\n---\n\
             {apiVersion: example.com/v1, kind: AllowList, metadata: {name: a}}",
        );
        assert_eq!(names, ["example.com/v1 AllowList a"]);
        assert_eq!(findings, [] as [&str; 0]);
    }

    #[test]
    fn what_is_no_object_is_said_where_it_is() {
        for (text, finding) in [
            (
                "- a\n- b\n",
                "1:1 manifest/not-an-object a list where an object is expected",
            ),
            (
                "kind: Pod\n",
                "1:1 manifest/required `apiVersion` is missing or empty",
            ),
            (
                "apiVersion: v1\nkind: 7\n",
                "2:1 manifest/required `kind` is an integer, not a string",
            ),
            (
                "apiVersion: v1\nmetadata: {}\n",
                "1:1 manifest/required `kind` is missing or empty",
            ),
        ] {
            assert_eq!(names(text), (vec![], vec![finding.to_owned()]), "{text}");
        }
    }
}
