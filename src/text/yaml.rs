//! YAML and JSON with a span on every value, read the way Kubernetes' own tools read manifests.
//!
//! The events come from `saphyr-parser`; what they mean (which plain scalars are booleans or
//! numbers, merge keys, keys that are not strings) is as in `sigs.k8s.io/yaml`, which `kubectl` and
//! the API server use. A stream is cut at the lines that begin with `---` first, so that a document
//! that cannot be read never hides the next one.
//!
//! DIVERGES: a key that a mapping has twice is an error here; `kubectl` takes the last one.

mod build;
mod fragment;
mod json;
mod quoted;
mod resolve;
mod split;
mod syntax;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::{Fragment, Source, Span};

/// Deepest nesting accepted: the same as for the documents of a request, so that what `check`
/// accepts the webhook accepts too.
pub const MAX_DEPTH: usize = 200;

/// Most nodes that the aliases of one document may add.
///
/// From go-yaml, which lets 99 % of a document of up to 400,000 nodes come from aliases
/// (`go.yaml.in/yaml/v2`, `decode.go`, `alias_ratio_range_low`).
pub const MAX_ALIASED_NODES: usize = 400_000;

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Yaml {
    /// The bytes the value is written in. A block scalar begins at its `|` or `>`; the value of an
    /// alias keeps the span of what its anchor marks.
    pub span: Span,
    /// The value.
    pub value: YamlValue,
}

/// What a YAML node can be after resolution.
#[derive(Debug, Clone, PartialEq)]
pub enum YamlValue {
    /// `null`, `~` or nothing.
    Null,
    /// `true`, `yes`, `on`, `y` and their opposites.
    Bool(bool),
    /// An integer that fits; also octal, hexadecimal and binary.
    Int(i64),
    /// Any other number.
    Double(f64),
    /// Everything else that is a scalar, timestamps among it.
    String(String),
    /// A list.
    Sequence(Vec<Yaml>),
    /// A mapping, in document order, merge keys applied, without duplicate keys.
    Mapping(Vec<Entry>),
}

/// A key of a mapping with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key as JSON has it: `true` for `yes`, `16` for `0x10`.
    pub key: String,
    /// The bytes the key is written in.
    pub key_span: Span,
    /// The value.
    pub value: Yaml,
}

/// Why a document cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YamlError {
    /// Where.
    pub span: Span,
    /// What is wrong, lower case, without a final period.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// The documents of a stream, and what is wrong with the ones that are missing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stream {
    /// The documents in order; a document with an error is not among them, nor is an empty one.
    pub documents: Vec<Yaml>,
    /// The errors in order of place.
    pub errors: Vec<YamlError>,
}

/// Reads all documents of a source, YAML or JSON.
///
/// Takes time linear in the text, and memory bounded by it and by [`MAX_ALIASED_NODES`].
pub fn parse_stream(source: &Arc<Source>) -> Stream {
    parse(source, source.text(), &|offset| offset)
}

/// Returns the parts of a source that can be read on their own, in order: what [`parse_part`] gives
/// for them is together what [`parse_stream`] gives.
pub fn parts(source: &Source) -> Vec<Span> {
    let parts = split::documents(source.text()).into_iter();
    parts.map(|part| Span::new(part.start, part.end)).collect()
}

/// Reads the documents of one of the [`parts`] of a source.
pub fn parse_part(source: &Arc<Source>, part: Span) -> Stream {
    let mut stream = Stream::default();
    let place = Place {
        base: part.start,
        source,
        map: &|offset| offset,
    };
    let text = source.text().get(part.start..part.end);
    read_chunk(text.unwrap_or_default(), &place, &mut stream);
    stream
}

/// Reads all documents of a text that was taken out of a source, such as front matter in comments.
///
/// `place` maps the offset of a byte of `text` to its offset in `source`; all spans are of the
/// source. A fragment of a scalar that crosses lines is exact if what was taken away from each line
/// is `//` and white space.
pub fn parse_embedded(source: &Arc<Source>, text: &str, place: &dyn Fn(usize) -> usize) -> Stream {
    parse(source, text, place)
}

fn parse(source: &Arc<Source>, text: &str, place: &dyn Fn(usize) -> usize) -> Stream {
    let mut stream = Stream::default();
    for chunk in split::documents(text) {
        let place = Place {
            base: chunk.start,
            source,
            map: place,
        };
        read_chunk(text.get(chunk).unwrap_or_default(), &place, &mut stream);
    }
    stream
}

fn read_chunk(text: &str, place: &Place, stream: &mut Stream) {
    match json::documents(text, place) {
        json::Outcome::Documents(documents) => stream.documents.extend(documents),
        json::Outcome::Error(error) => stream.errors.push(error),
        json::Outcome::NotJson => build::documents(text, place, stream),
    }
}

/// Returns the integer that a number is once Go has printed it as JSON, if it is one.
pub fn integral(value: f64) -> Option<i64> {
    resolve::integral(value)
}

/// Says whether a text that is written without quotes is a text, and no number or the like.
pub fn is_plain_text(text: &str) -> bool {
    matches!(resolve::plain(text), YamlValue::String(_))
}

/// Where the bytes of a chunk of text are in the source.
struct Place<'a> {
    /// Offset of the chunk in the whole text.
    base: usize,
    source: &'a Source,
    map: &'a dyn Fn(usize) -> usize,
}

impl Place<'_> {
    /// Returns the span in the source of `start..end` of the chunk.
    fn span(&self, start: usize, end: usize) -> Span {
        let from = (self.map)(self.base + start);
        if end <= start {
            return Span::new(from, from);
        }
        // The end is taken from the last byte: the one after it may be on another line of the
        // source, behind something that is not part of the text.
        let to = (self.map)(self.base + end - 1) + 1;
        Span::new(from, to.max(from))
    }

    /// Returns the line, from 1, of an offset in the source.
    fn line(&self, span: Span) -> usize {
        self.source.position(span.start).line
    }
}

impl Yaml {
    /// Returns the value of `key` if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Yaml> {
        self.as_mapping()?
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value)
    }

    /// Follows `path` through mappings.
    pub fn at(&self, path: &[&str]) -> Option<&Yaml> {
        path.iter().try_fold(self, |value, key| value.get(key))
    }

    /// Returns the string, if this is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            YamlValue::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the boolean, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self.value {
            YamlValue::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// Returns the integer, if this is one.
    pub fn as_int(&self) -> Option<i64> {
        match self.value {
            YamlValue::Int(value) => Some(value),
            _ => None,
        }
    }

    /// Returns the items, if this is a list.
    pub fn as_sequence(&self) -> Option<&[Yaml]> {
        match &self.value {
            YamlValue::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// Returns the entries, if this is a mapping.
    pub fn as_mapping(&self) -> Option<&[Entry]> {
        match &self.value {
            YamlValue::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    /// Says whether this is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self.value, YamlValue::Null)
    }

    /// Returns what this is, for messages: `a string`, `a list`.
    pub fn kind_name(&self) -> &'static str {
        match self.value {
            YamlValue::Null => "null",
            YamlValue::Bool(_) => "a boolean",
            YamlValue::Int(_) => "an integer",
            YamlValue::Double(_) => "a number",
            YamlValue::String(_) => "a string",
            YamlValue::Sequence(_) => "a list",
            YamlValue::Mapping(_) => "a mapping",
        }
    }

    /// Returns the value as JSON.
    ///
    /// Numbers are what the API server sees after Go has printed them: `3.0` is the integer `3`.
    /// What JSON has no number for (`.inf`, `.nan`) becomes `null`; `kubectl` refuses it.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            YamlValue::Null => serde_json::Value::Null,
            YamlValue::Bool(value) => (*value).into(),
            YamlValue::Int(value) => (*value).into(),
            YamlValue::Double(value) => match resolve::integral(*value) {
                Some(int) => int.into(),
                None => (*value).into(),
            },
            YamlValue::String(text) => text.as_str().into(),
            YamlValue::Sequence(items) => items.iter().map(Yaml::to_json).collect(),
            YamlValue::Mapping(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.value.to_json()))
                .collect(),
        }
    }

    /// Returns the text of a string with its map to the file; `None` for anything else.
    ///
    /// Works for every style of scalar. `source` is what the value was parsed from.
    pub fn fragment(&self, source: &Arc<Source>) -> Option<Fragment> {
        let text = self.as_str()?;
        let runs = fragment::runs(text, source.slice(self.span), self.span.start);
        Some(Fragment::mapped(source, self.span, text.to_owned(), runs))
    }
}
