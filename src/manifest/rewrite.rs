//! Texts of manifests with some objects changed, and everything else as people wrote it.
//!
//! The source is edited by spans (`edit`): comments, order, quotes and indentation of what is not
//! changed stay. The edited text is read again before it is given out. What then is not the objects that
//! are wanted is written anew as a whole document, and that is said.

mod edit;
mod layout;
mod render;
mod scalar;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;

use self::edit::{Edit, Editor};
use super::Manifest;
use crate::text::yaml::{self, Yaml};
use crate::text::{Source, Span};

/// A text with objects changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewritten {
    /// The text.
    pub text: String,
    /// Parts of the source that were written anew although not all in them is changed: whatever
    /// comments were there are lost.
    pub anew: Vec<Span>,
}

/// The text of an object that is wanted cannot be written.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the changed object cannot be written as YAML")]
pub struct Unwritable {
    /// The document.
    pub span: Span,
}

/// Writes a source with other objects: `wanted` holds for each of its manifests, in their order, what it
/// is to be, as it would be written; `None` leaves it.
pub fn rewrite(
    source: &Arc<Source>,
    wanted: &[(&Manifest, Option<Value>)],
) -> Result<Rewritten, Unwritable> {
    let mut queue: VecDeque<Wanted<'_>> = wanted
        .iter()
        .map(|(manifest, value)| Wanted {
            span: manifest.node.span,
            value: value.as_ref().map(edit::normalized),
            manifest,
        })
        .collect();
    let mut rewritten = Rewritten {
        text: String::with_capacity(source.text().len()),
        anew: Vec::new(),
    };
    let mut copied = 0;
    for part in yaml::parts(source) {
        let documents = yaml::parse_part(source, part).documents;
        let mut part_of = Part {
            source,
            span: part,
            documents: Vec::new(),
        };
        for node in documents {
            let mut changes = Vec::new();
            let value = find(&node, &mut queue, &mut changes);
            part_of.documents.push(Document {
                value,
                changes: changes
                    .into_iter()
                    .map(|(node, value)| (node.clone(), value))
                    .collect(),
                node,
            });
        }
        if part_of.documents.iter().all(|it| it.changes.is_empty()) {
            continue;
        }
        let before = source.text().get(copied..part.start).unwrap_or_default();
        rewritten.text.push_str(before);
        let (text, anew) = part_of.written()?;
        rewritten.text.push_str(&text);
        rewritten.anew.extend(anew);
        copied = part.end;
    }
    let rest = source.text().get(copied..).unwrap_or_default();
    rewritten.text.push_str(rest);
    Ok(rewritten)
}

/// Writes a value as YAML.
pub fn yaml(value: &Value) -> String {
    render::Manner::default().document(value)
}

/// What a manifest is to be.
struct Wanted<'m> {
    span: Span,
    value: Option<Value>,
    manifest: &'m Manifest,
}

/// Returns a document as it is to be, and the objects in it that are changed.
///
/// The objects come in the order in which [`super::read`] takes them out of lists.
fn find<'y>(
    node: &'y Yaml,
    queue: &mut VecDeque<Wanted<'_>>,
    changes: &mut Vec<(&'y Yaml, Value)>,
) -> Value {
    let is_next =
        |wanted: &Wanted<'_>| wanted.span == node.span && wanted.manifest.node.value == node.value;
    if queue.front().is_some_and(is_next) {
        return match queue.pop_front().and_then(|wanted| wanted.value) {
            Some(value) if !edit::is_same(node, &value) => {
                changes.push((node, value.clone()));
                value
            }
            _ => node.to_json(),
        };
    }
    let mut value = node.to_json();
    if let Some(items) = node.get("items").and_then(Yaml::as_sequence)
        && let Some(Value::Array(values)) = value.get_mut("items")
    {
        for (item, value) in items.iter().zip(values) {
            *value = find(item, queue, changes);
        }
    }
    value
}

/// A part of a source that is read on its own.
struct Part<'s> {
    source: &'s Arc<Source>,
    span: Span,
    documents: Vec<Document>,
}

/// A document of a part.
struct Document {
    node: Yaml,
    /// What it is to be.
    value: Value,
    /// What is changed in it.
    changes: Vec<(Yaml, Value)>,
}

impl Part<'_> {
    /// Writes the part with its changes.
    fn written(&self) -> Result<(String, Vec<Span>), Unwritable> {
        let text = self.source.text();
        let mut edits = Vec::new();
        let mut anew = Vec::new();
        for document in &self.documents {
            let manner = layout::manner(text, &document.node);
            for (node, value) in &document.changes {
                let mut editor = Editor::new(text, &manner);
                match editor.collection(node, value) {
                    Ok(()) => {
                        edits.append(&mut editor.edits);
                        anew.append(&mut editor.rewritten);
                    }
                    Err(_) => return self.anew(),
                }
            }
        }
        match self.edited(edits) {
            Some(text) if self.is_wanted(&text) => Ok((text, anew)),
            _ => self.anew(),
        }
    }

    /// Writes the changed documents anew.
    fn anew(&self) -> Result<(String, Vec<Span>), Unwritable> {
        let text = self.source.text();
        let changed = || self.documents.iter().filter(|it| !it.changes.is_empty());
        let spans = changed().map(|document| document.node.span).collect();
        for is_json in [false, true] {
            let edit = |document: &Document| {
                let mut manner = layout::manner(text, &document.node);
                manner.is_json |= is_json;
                let end = layout::Layout { text }.end(&document.node);
                let span = document.node.span;
                Edit {
                    span: Span::new(span.start, end.unwrap_or(span.end)),
                    text: manner.document(&document.value),
                }
            };
            match self.edited(changed().map(edit).collect()) {
                Some(text) if self.is_wanted(&text) => return Ok((text, spans)),
                _ => {}
            }
        }
        let span = changed().next().map_or(self.span, |it| it.node.span);
        Err(Unwritable { span })
    }

    /// Applies edits; `None` if they overlap.
    fn edited(&self, mut edits: Vec<Edit>) -> Option<String> {
        // What is put in at a place comes before what is put in the place of what follows; the order of
        // several at one place is that in which they were made, from the inside out.
        edits.sort_by_key(|edit| edit.span);
        let text = self.source.text();
        let mut written = String::with_capacity(self.span.end - self.span.start);
        let mut copied = self.span.start;
        for edit in &edits {
            written.push_str(text.get(copied..edit.span.start)?);
            written.push_str(&edit.text);
            copied = edit.span.end;
        }
        written.push_str(text.get(copied..self.span.end)?);
        Some(written)
    }

    /// Says whether a text holds the documents as they are to be.
    fn is_wanted(&self, text: &str) -> bool {
        let source = Source::new(self.source.name(), text);
        let stream = yaml::parse_stream(&source);
        let pairs = stream.documents.iter().zip(&self.documents);
        stream.errors.is_empty()
            && stream.documents.len() == self.documents.len()
            && pairs
                .into_iter()
                .all(|(node, document)| edit::is_same(node, &document.value))
    }
}
