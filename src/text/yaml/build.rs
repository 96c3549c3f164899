//! From parser events to a tree: resolution, anchors, merge keys, duplicate keys, bounds.
//!
//! Semantics: `go.yaml.in/yaml/v2`, `decode.go`. Nothing here recurses; the tree is bounded by
//! [`MAX_DEPTH`], so that whoever walks it may.

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::quoted::Indented;
use super::{Entry, MAX_ALIASED_NODES, MAX_DEPTH, Place, Stream, Yaml, YamlError, YamlValue};
use super::{resolve, syntax};
use crate::text::Span;

/// Most errors reported of one document; the first ones say enough.
const MAX_ERRORS: usize = 20;

/// How many times the size of its text a document may grow by aliases.
const MAX_GROWTH: usize = 100;

/// From this many keys on duplicates are found by sorting instead of comparing every pair.
const SORTED_FROM: usize = 16;

/// Reads one part of a stream.
///
/// After an error nothing of the part is used: what looks like a whole document may be the
/// beginning of one with a line indented wrongly.
pub(super) fn documents(text: &str, place: &Place, stream: &mut Stream) {
    let mut builder = Builder::new(text, place);
    let mut documents = Vec::new();
    let outcome = read(text, place, &mut builder, &mut documents);
    let error = match outcome {
        Ok(()) => {
            stream.errors.append(&mut builder.errors);
            stream.documents.append(&mut documents);
            return;
        }
        Err(Stop::Shallow { at, error }) => match read_indented(text, at, place, stream) {
            Some(()) => return,
            None => error,
        },
        Err(Stop::Error(error)) => error,
    };
    stream.errors.append(&mut builder.errors);
    stream.errors.push(error);
}

/// Most bytes that are parsed again because of quoted scalars that are not indented.
const MAX_REREAD: usize = 64 << 20;

/// Reads a text in which the quoted scalar at `at` is not indented; `None` if there is more that
/// the parser does not read.
fn read_indented(text: &str, at: usize, place: &Place, stream: &mut Stream) -> Option<()> {
    let mut indented = Indented::new(text);
    let mut at = at;
    for _ in 0..(MAX_REREAD / text.len().max(1)).clamp(1, 64) {
        if !indented.indent(at) {
            return None;
        }
        let map = |offset| (place.map)(place.base + indented.written(offset));
        let place = Place {
            base: 0,
            source: place.source,
            map: &map,
        };
        let mut builder = Builder::new(&indented.text, &place);
        let mut documents = Vec::new();
        match read(&indented.text, &place, &mut builder, &mut documents) {
            Ok(()) => {
                stream.errors.append(&mut builder.errors);
                stream.documents.append(&mut documents);
                return Some(());
            }
            Err(Stop::Shallow { at: next, .. }) => at = next,
            Err(Stop::Error(_)) => return None,
        }
    }
    None
}

/// Why reading stopped.
enum Stop {
    /// A line of the quoted scalar at this offset is not indented.
    Shallow { at: usize, error: YamlError },
    /// Something cannot be read.
    Error(YamlError),
}

impl From<YamlError> for Stop {
    fn from(error: YamlError) -> Self {
        Stop::Error(error)
    }
}

fn read(
    text: &str,
    place: &Place,
    builder: &mut Builder,
    documents: &mut Vec<Yaml>,
) -> Result<(), Stop> {
    let offsets = syntax::Offsets::new(text);
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let at = offsets.byte(error.marker().index());
            let is_shallow = error.info() == syntax::SHALLOW_QUOTED;
            let error = syntax::error(error.info(), text, at, place);
            match is_shallow {
                true => Stop::Shallow { at, error },
                false => Stop::Error(error),
            }
        })?;
        let start = offsets.byte(span.start.index());
        let end = offsets.byte(span.end.index());
        documents.extend(builder.event(event, start, end)?);
    }
    Ok(())
}

/// A subtree that is complete, with what bounds need to know about it.
struct Node {
    yaml: Yaml,
    /// Levels of nesting, 0 for a scalar.
    height: usize,
    /// Nodes, long strings counted as several.
    weight: usize,
    is_merge_key: bool,
}

/// A collection whose end has not been seen.
struct Open {
    start: usize,
    anchor: usize,
    height: usize,
    weight: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Yaml>),
    Mapping {
        entries: Vec<Entry>,
        /// Whether the entry at the same place in `entries` came out of a merge key.
        merged: Vec<bool>,
        key: Option<Key>,
    },
}

enum Key {
    Name(String, Span),
    Merge,
    /// A key that was reported; its value is left out.
    Unusable,
}

struct Anchored {
    yaml: Yaml,
    height: usize,
    weight: usize,
}

struct Builder<'a> {
    text: &'a str,
    place: &'a Place<'a>,
    open: Vec<Open>,
    /// What anchors mark, by the parser's number; numbers are not reused between documents.
    anchors: std::collections::BTreeMap<usize, Anchored>,
    /// Whether the text can hold an alias at all; if not, anchors are not remembered.
    has_aliases: bool,
    /// Weight of the copies made in this document.
    copied: usize,
    copy_limit: usize,
    root: Option<Yaml>,
    errors: Vec<YamlError>,
    errors_before_document: usize,
    /// Where the event before ended, in the text.
    previous_end: usize,
}

impl<'a> Builder<'a> {
    fn new(text: &'a str, place: &'a Place<'a>) -> Self {
        Builder {
            text,
            place,
            open: Vec::new(),
            anchors: std::collections::BTreeMap::new(),
            has_aliases: text.contains('*'),
            copied: 0,
            copy_limit: MAX_ALIASED_NODES.min(text.len().saturating_mul(MAX_GROWTH)),
            root: None,
            errors: Vec::new(),
            errors_before_document: 0,
            previous_end: 0,
        }
    }

    /// Takes the next event; returns a document when it is complete, usable and not empty.
    fn event(
        &mut self,
        event: Event<'_>,
        start: usize,
        end: usize,
    ) -> Result<Option<Yaml>, YamlError> {
        // Events without text of their own are reported at the token that follows.
        let is_written = match &event {
            Event::Scalar(text, style, ..) => *style != ScalarStyle::Plain || !text.is_empty(),
            Event::DocumentStart(explicit) => *explicit,
            _ => true,
        };
        // Quoted scalars and brackets are reported with the comment behind them.
        let ends_itself = matches!(
            event,
            Event::Scalar(..) | Event::SequenceEnd | Event::MappingEnd
        );
        match event {
            Event::DocumentStart(_) => {
                self.anchors.clear();
                self.copied = 0;
                self.root = None;
                self.errors_before_document = self.errors.len();
            }
            Event::DocumentEnd => {
                let usable = self.errors.len() == self.errors_before_document;
                return Ok(self.root.take().filter(|root| usable && !root.is_null()));
            }
            Event::Scalar(text, style, anchor, tag) => {
                let node = self.scalar(text.into_owned(), style, tag.as_deref(), (start, end));
                self.remember(anchor, &node)?;
                self.attach(node);
            }
            Event::Alias(anchor) => {
                let node = self.alias(anchor, start, end)?;
                self.attach(node);
            }
            Event::SequenceStart(anchor, _) => {
                let start = match end > start {
                    true => start,
                    false => self.first_hyphen(start),
                };
                self.begin(start, anchor, Content::Sequence(Vec::new()))?;
            }
            Event::MappingStart(anchor, _) => {
                let content = Content::Mapping {
                    entries: Vec::new(),
                    merged: Vec::new(),
                    key: None,
                };
                self.begin(start, anchor, content)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.finish(start, end)?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd => {}
        }
        if is_written && end > start && !ends_itself {
            self.previous_end = end;
        }
        Ok(None)
    }

    fn report(&mut self, span: Span, message: String, help: Option<&str>) {
        if self.errors.len() < self.errors_before_document + MAX_ERRORS {
            self.errors.push(YamlError {
                span,
                message,
                help: help.map(str::to_owned),
            });
        }
    }

    fn scalar(
        &mut self,
        mut text: String,
        style: ScalarStyle,
        tag: Option<&Tag>,
        (start, end): (usize, usize),
    ) -> Node {
        let plain = style == ScalarStyle::Plain;
        let (start, end) = if plain && text.is_empty() {
            (start, start)
        } else {
            syntax::scalar_bounds(self.text, style, self.previous_end, (start, end))
        };
        let span = self.place.span(start, end);
        if end > start {
            self.previous_end = end;
        }
        let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
        if is_block && self.ends_without_line_break(end) && text.ends_with('\n') {
            // The parser adds the line break that the last line of the file lacks; go-yaml does not.
            text.pop();
        }
        let tag = tag.map(|tag| format!("{}{}", tag.handle, tag.suffix));
        let is_merge_key = text == "<<"
            && match &tag {
                None => plain,
                Some(tag) => tag == "tag:yaml.org,2002:merge",
            };
        if plain && text.starts_with(['|', '>']) {
            let message = "a block scalar cannot be inside of `[…]` or `{…}`".to_owned();
            self.report(span, message, Some("quote the value"));
        }
        let weight = 1 + text.len() / size_of::<Yaml>();
        let value = match tag {
            None if plain => resolve::plain(&text),
            None => YamlValue::String(text),
            Some(tag) => resolve::tagged(&tag, &text).unwrap_or_else(|message| {
                self.report(span, message, None);
                YamlValue::Null
            }),
        };
        Node {
            yaml: Yaml { span, value },
            height: 0,
            weight,
            is_merge_key,
        }
    }

    /// Says whether nothing but blanks follows `end`, not even a line break.
    fn ends_without_line_break(&self, end: usize) -> bool {
        let rest = self.text.get(end..).unwrap_or_default();
        rest.bytes().all(|byte| matches!(byte, b' ' | b'\t'))
    }

    fn alias(&mut self, anchor: usize, start: usize, end: usize) -> Result<Node, YamlError> {
        let span = self.place.span(start, end);
        let Some(marked) = self.anchors.get(&anchor) else {
            return Err(YamlError {
                span,
                message: "the alias is inside of what it stands for".to_owned(),
                help: None,
            });
        };
        if self.open.len() + marked.height > MAX_DEPTH {
            return Err(too_deep(span));
        }
        self.copied = self.copied.saturating_add(marked.weight);
        if self.copied > self.copy_limit {
            return Err(too_large(span));
        }
        Ok(Node {
            yaml: marked.yaml.clone(),
            height: marked.height,
            weight: marked.weight,
            is_merge_key: false,
        })
    }

    fn remember(&mut self, anchor: usize, node: &Node) -> Result<(), YamlError> {
        if anchor == 0 || !self.has_aliases {
            return Ok(());
        }
        self.copied = self.copied.saturating_add(node.weight);
        if self.copied > self.copy_limit {
            return Err(too_large(node.yaml.span));
        }
        let anchored = Anchored {
            yaml: node.yaml.clone(),
            height: node.height,
            weight: node.weight,
        };
        self.anchors.insert(anchor, anchored);
        Ok(())
    }

    /// Returns where a list without brackets begins: one as deep as its key is reported at its first item.
    fn first_hyphen(&self, reported: usize) -> usize {
        let is_value = matches!(
            self.open.last().map(|open| &open.content),
            Some(Content::Mapping { key: Some(_), .. })
        );
        let hyphen = syntax::skip_colon(self.text, self.previous_end);
        match is_value && self.text.as_bytes().get(hyphen) == Some(&b'-') {
            true => hyphen,
            false => reported,
        }
    }

    fn begin(&mut self, start: usize, anchor: usize, content: Content) -> Result<(), YamlError> {
        let start = syntax::skip_properties(self.text, start);
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(self.place.span(start, start + 1)));
        }
        self.open.push(Open {
            start,
            anchor,
            height: 0,
            weight: 1,
            content,
        });
        Ok(())
    }

    fn finish(&mut self, start: usize, end: usize) -> Result<(), YamlError> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        // The end of a block collection is noticed at the next token; it ends where its last child
        // does. A flow collection ends with a bracket.
        let end = if end > start {
            start + 1
        } else {
            self.previous_end
        };
        let end = syntax::trim_end(self.text, open.start, end);
        let end = syntax::flow_end(self.text, open.start, end);
        self.previous_end = end;
        let span = self.place.span(open.start, end);
        let value = match open.content {
            Content::Sequence(items) => YamlValue::Sequence(items),
            Content::Mapping {
                entries, merged, ..
            } => YamlValue::Mapping(self.entries(entries, &merged)),
        };
        let node = Node {
            yaml: Yaml { span, value },
            height: open.height + 1,
            weight: open.weight,
            is_merge_key: false,
        };
        self.remember(open.anchor, &node)?;
        self.attach(node);
        Ok(())
    }

    fn attach(&mut self, node: Node) {
        let Some(mut parent) = self.open.pop() else {
            self.root = Some(node.yaml);
            return;
        };
        parent.height = parent.height.max(node.height);
        parent.weight = parent.weight.saturating_add(node.weight);
        match &mut parent.content {
            Content::Sequence(items) => items.push(node.yaml),
            Content::Mapping {
                entries,
                merged,
                key,
            } => match key.take() {
                None => *key = Some(self.key(node)),
                Some(Key::Unusable) => {}
                Some(Key::Name(name, key_span)) => {
                    merged.push(false);
                    entries.push(Entry {
                        key: name,
                        key_span,
                        value: node.yaml,
                    });
                }
                Some(Key::Merge) => {
                    entries.extend(self.merge(node.yaml));
                    merged.resize(entries.len(), true);
                }
            },
        }
        self.open.push(parent);
    }

    fn key(&mut self, node: Node) -> Key {
        if node.is_merge_key {
            return Key::Merge;
        }
        match resolve::key(&node.yaml.value) {
            Ok(name) => Key::Name(name, node.yaml.span),
            Err(message) => {
                let help = match node.yaml.value {
                    YamlValue::Mapping(_) => Some(
                        "a value that begins with `{{` must be quoted; a Helm template must be \
                         rendered first (`helm template`)",
                    ),
                    YamlValue::Null => Some("quote the key: `\"null\"`"),
                    _ => None,
                };
                self.report(node.yaml.span, message, help);
                Key::Unusable
            }
        }
    }

    /// Returns the entries that `<<: value` adds, weakest first.
    fn merge(&mut self, value: Yaml) -> Vec<Entry> {
        let span = value.span;
        let mappings = match value.value {
            YamlValue::Mapping(entries) => return entries,
            YamlValue::Sequence(items) => items,
            _ => vec![value],
        };
        let mut entries = Vec::new();
        // Of several mappings the first one wins.
        for mapping in mappings.into_iter().rev() {
            let YamlValue::Mapping(more) = mapping.value else {
                let message = "`<<` takes a mapping or a list of mappings".to_owned();
                self.report(span, message, None);
                return Vec::new();
            };
            entries.extend(more);
        }
        entries
    }

    /// Drops the entries that a later one replaces, and reports keys written twice.
    ///
    /// As in go-yaml a merge key replaces what stands before it and is replaced by what follows.
    fn entries(&mut self, entries: Vec<Entry>, merged: &[bool]) -> Vec<Entry> {
        let is_written = |at: usize| !merged.get(at).copied().unwrap_or_default();
        for (first, second) in duplicates(&entries, is_written) {
            let error = duplicate_key(first, second, self.place);
            self.report(error.span, error.message, error.help.as_deref());
        }
        if !merged.contains(&true) {
            return entries;
        }
        let mut last_by_key = std::collections::BTreeMap::new();
        for (at, entry) in entries.iter().enumerate() {
            last_by_key.insert(entry.key.as_str(), at);
        }
        let mut kept = vec![false; entries.len()];
        for at in last_by_key.into_values() {
            if let Some(kept) = kept.get_mut(at) {
                *kept = true;
            }
        }
        let pairs = entries.into_iter().zip(kept);
        pairs
            .filter_map(|(entry, kept)| kept.then_some(entry))
            .collect()
    }
}

/// Returns the pairs of entries with the same key, of those entries that `counts`.
pub(super) fn duplicates(
    entries: &[Entry],
    counts: impl Fn(usize) -> bool,
) -> Vec<(&Entry, &Entry)> {
    let counted = || {
        let all = entries.iter().enumerate();
        all.filter(|(at, _)| counts(*at)).map(|(_, entry)| entry)
    };
    if entries.len() < SORTED_FROM {
        return counted()
            .enumerate()
            .filter_map(|(at, second)| {
                let first = counted().take(at).find(|first| first.key == second.key)?;
                Some((first, second))
            })
            .collect();
    }
    let mut sorted = counted().collect::<Vec<_>>();
    // Stable, so that entries of one key stay in order of place.
    sorted.sort_by(|a, b| a.key.cmp(&b.key));
    let mut pairs = sorted
        .chunk_by(|a, b| a.key == b.key)
        .flat_map(|group| {
            let first = group.first();
            let others = group.iter().skip(1);
            others.filter_map(move |second| Some((*first?, *second)))
        })
        .collect::<Vec<_>>();
    pairs.sort_by_key(|(_, second)| second.key_span);
    pairs
}

/// Says that the key of `second` is that of `first`.
pub(super) fn duplicate_key(first: &Entry, second: &Entry, place: &Place) -> YamlError {
    YamlError {
        span: second.key_span,
        message: format!(
            "duplicate key `{}`; it is first set on line {}",
            second.key,
            place.line(first.key_span)
        ),
        help: Some("remove one of the two".to_owned()),
    }
}

/// Says that the nesting exceeds [`MAX_DEPTH`].
pub(super) fn too_deep(span: Span) -> YamlError {
    YamlError {
        span,
        message: format!("nested deeper than {MAX_DEPTH} levels"),
        help: None,
    }
}

fn too_large(span: Span) -> YamlError {
    YamlError {
        span,
        message: "aliases make the document too large".to_owned(),
        help: Some("write out what the aliases stand for, or use fewer of them".to_owned()),
    }
}
