//! Where each field of a policy or binding was written.

use std::collections::BTreeMap;

use crate::text::{Source, Span};

/// The places of fields, by their path in the Kubernetes object: `spec.validations[0].message`.
///
/// A `.cel` file's sections and front matter are found under the path of the field they stand for.
/// A value of a map has its key in brackets: `spec.objectSelector.matchLabels[app]`.
#[derive(Debug, Clone, Default)]
pub struct Places {
    by_path: BTreeMap<String, Place>,
}

/// Where a field was written.
#[derive(Debug, Clone, Copy)]
struct Place {
    key: Option<Span>,
    /// `None` for a key with a value of null, which is as good as not written.
    value: Option<Span>,
}

impl Places {
    /// Notes that the field at `path` has its key and value at these places.
    pub fn note(&mut self, path: impl Into<String>, key: Option<Span>, value: Span) {
        let value = Some(value);
        self.by_path.insert(path.into(), Place { key, value });
    }

    /// Notes that the field at `path` has a key and a value of null.
    pub fn note_null(&mut self, path: impl Into<String>, key: Span) {
        let key = Some(key);
        self.by_path.insert(path.into(), Place { key, value: None });
    }

    /// Returns where to point at for a finding about the field at `path`.
    ///
    /// That is its value if it was written, otherwise the key of the nearest field around it that
    /// was (its first line, for an item of a list). `None` if nothing around it was written.
    pub fn find(&self, source: &Source, path: &str) -> Option<Span> {
        if let Some(place) = self.by_path.get(path) {
            return place.value.or(place.key);
        }
        let mut around = parent(path);
        while let Some(path) = around {
            if let Some(place) = self.by_path.get(path) {
                let item = place.value.map(|span| first_line(source, span));
                return place.key.or(item);
            }
            around = parent(path);
        }
        None
    }

    /// Returns where the field at `path` has its key, if it was written and has one.
    pub fn key(&self, path: &str) -> Option<Span> {
        self.by_path.get(path).and_then(|place| place.key)
    }

    /// Returns where the field at `path` has its value, if it was written.
    pub fn value(&self, path: &str) -> Option<Span> {
        self.by_path.get(path).and_then(|place| place.value)
    }
}

/// Returns the path of what holds the field at `path`.
fn parent(path: &str) -> Option<&str> {
    let cut = path.rfind(['.', '['])?;
    path.get(..cut)
}

/// Returns the part of `span` that lies on its first line.
pub(crate) fn first_line(source: &Source, span: Span) -> Span {
    let text = source.slice(span);
    let end = text.find('\n').unwrap_or(text.len());
    let line = text.get(..end).unwrap_or_default().trim_end();
    Span::new(span.start, span.start + line.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_field_is_pointed_at_where_it_should_be() {
        let source = Source::new("p.yaml", "rule:\n  a: 1\n  b: 2\nlist:\n- x: 1\n  y: 2\n");
        let mut places = Places::default();
        places.note("rule", Some(Span::new(0, 4)), Span::new(8, 19));
        places.note("rule.a", Some(Span::new(8, 9)), Span::new(11, 12));
        places.note("list[0]", None, Span::new(28, 39));
        let found = |path| places.find(&source, path).map(|span| source.slice(span));
        assert_eq!(found("rule.a"), Some("1"));
        assert_eq!(found("rule.c"), Some("rule"));
        assert_eq!(found("rule.c[3].d"), Some("rule"));
        assert_eq!(found("rule.a[example.com/x]"), Some("a"));
        assert_eq!(found("list[0].z"), Some("x: 1"));
        assert_eq!(found("other"), None);
    }
}
