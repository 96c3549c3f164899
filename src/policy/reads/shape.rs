//! Which parts of a JSON document are kept.

use std::collections::BTreeMap;

use serde_json::Value;

/// The parts of a document that can be told from any others: what is kept of an object.
///
/// Whether a value is there, and of which type it is, is always kept with it; so are numbers,
/// booleans and null. A text, the items of a list and the entries of a map are kept where it says so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shape {
    is_whole: bool,
    /// Whether a text is kept; else it becomes an empty one.
    has_text: bool,
    /// The fields kept of a map, and what of them.
    fields: BTreeMap<String, Shape>,
    /// What is kept of every item of a list, and of every value of a map with its key.
    /// INVARIANT: with it there are no `fields` (upheld by [`Shape::add`]).
    each: Option<Box<Shape>>,
}

impl Shape {
    /// Everything.
    pub fn whole() -> Self {
        Shape {
            is_whole: true,
            ..Shape::default()
        }
    }

    /// Of an object, nothing but its name and namespace.
    pub fn named() -> Self {
        let mut shape = Shape::default();
        shape.add_path(&["metadata", "name"]);
        shape.add_path(&["metadata", "namespace"]);
        shape
    }

    /// A text, and nothing in a list or map.
    pub fn text() -> Self {
        Shape {
            has_text: true,
            ..Shape::default()
        }
    }

    /// Fields of a map.
    pub fn of_fields(fields: BTreeMap<String, Shape>) -> Self {
        Shape {
            fields,
            ..Shape::default()
        }
    }

    /// Every item of a list and every entry of a map.
    pub fn of_each(each: Shape) -> Self {
        Shape {
            each: Some(Box::new(each)),
            ..Shape::default()
        }
    }

    /// Adds the whole of what a path of fields leads to.
    pub fn add_path(&mut self, path: &[&str]) {
        let nested = path.iter().rev().fold(Shape::whole(), |inner, field| {
            Shape::of_fields(BTreeMap::from([((*field).to_owned(), inner)]))
        });
        self.add(nested);
    }

    /// Adds what another shape keeps.
    pub fn add(&mut self, other: Shape) {
        if self.is_whole {
            return;
        }
        if other.is_whole {
            *self = Shape::whole();
            return;
        }
        self.has_text |= other.has_text;
        for (field, shape) in other.fields {
            self.fields.entry(field).or_default().add(shape);
        }
        if let Some(each) = other.each {
            self.each.get_or_insert_default().add(*each);
        }
        // A field by its name is an entry, too.
        if let Some(each) = &mut self.each {
            for shape in std::mem::take(&mut self.fields).into_values() {
                each.add(shape);
            }
        }
    }

    /// Says whether of an object nothing is kept beside what every object has: its `metadata`,
    /// `apiVersion` and `kind`.
    pub fn is_metadata(&self) -> bool {
        let of_all = ["apiVersion", "kind", "metadata"];
        let mut fields = self.fields.keys();
        !self.is_whole && self.each.is_none() && fields.all(|it| of_all.contains(&it.as_str()))
    }

    /// Returns what is kept of a document.
    pub fn keep(&self, value: Value) -> Value {
        match value {
            value if self.is_whole => value,
            Value::String(_) if !self.has_text => Value::String(String::new()),
            Value::Array(items) => match &self.each {
                Some(each) => items.into_iter().map(|item| each.keep(item)).collect(),
                None => Value::Array(Vec::new()),
            },
            Value::Object(entries) => {
                let kept = entries.into_iter().filter_map(|(key, value)| {
                    let shape = self.fields.get(&key).or(self.each.as_deref())?;
                    Some((key, shape.keep(value)))
                });
                Value::Object(kept.collect())
            }
            value => value,
        }
    }
}
