//! Paths to fields of an object, as a case writes what differs: `spec.containers[0].image`.
//!
//! A key that holds a dot is quoted (`metadata.labels."app.kubernetes.io/name"`, or in brackets
//! with quotes), or the path is a list of its steps.

use serde_json::{Map, Value};

use crate::json::MAX_DEPTH;
use crate::text::nearest;

/// A way to a field; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    /// An item of a list, from 0.
    Index(usize),
}

/// Why a path is none, or leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PathError {
    /// It cannot be read.
    #[error("the path `{path}` cannot be read: {problem}")]
    Malformed { path: String, problem: &'static str },
    /// It leads through something that has no such part.
    #[error("{at} is {found}, not {wanted}")]
    WrongType {
        at: String,
        found: &'static str,
        wanted: &'static str,
    },
    /// A list is shorter.
    #[error("{at} has {length} items")]
    OutOfRange { at: String, length: usize },
    /// There is nothing to remove.
    #[error("there is no {at}{}", hint(.nearest.as_deref()))]
    Absent { at: String, nearest: Option<String> },
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or(String::new(), |name| format!(", did you mean `{name}`?"))
}

impl Path {
    /// Reads a dotted path.
    pub(super) fn parse(text: &str) -> Result<Self, PathError> {
        let malformed = |problem| PathError::Malformed {
            path: text.to_owned(),
            problem,
        };
        let mut steps = Vec::new();
        let mut rest = text;
        loop {
            let step;
            (step, rest) = first_step(rest, steps.is_empty()).map_err(malformed)?;
            steps.push(step);
            if steps.len() > MAX_DEPTH {
                return Err(malformed("it is too long"));
            }
            if rest.is_empty() {
                return Ok(Path(steps));
            }
        }
    }

    /// Makes a path of its steps: keys, and indexes as numbers.
    pub(super) fn of(steps: &[Value]) -> Option<Self> {
        let steps = steps.iter().map(|step| match step {
            Value::String(key) => Some(Step::Key(key.clone())),
            step => Some(Step::Index(usize::try_from(step.as_u64()?).ok()?)),
        });
        let steps = steps.collect::<Option<Vec<_>>>()?;
        (!steps.is_empty() && steps.len() <= MAX_DEPTH).then_some(Path(steps))
    }

    /// Sets the field; what is missing on the way to it is made.
    ///
    /// An index may be that of an item there is, or the next one.
    pub(super) fn set(&self, object: &mut Value, value: Value) -> Result<(), PathError> {
        let mut node = object;
        for (at, step) in self.0.iter().enumerate() {
            if node.is_null() {
                *node = match step {
                    Step::Key(_) => Value::Object(Map::new()),
                    Step::Index(_) => Value::Array(Vec::new()),
                };
            }
            node = match (step, node) {
                (Step::Key(key), Value::Object(fields)) => {
                    fields.entry(key.as_str()).or_insert(Value::Null)
                }
                (Step::Index(index), Value::Array(items)) => {
                    let length = items.len();
                    if *index == length {
                        items.push(Value::Null);
                    }
                    let out_of_range = PathError::OutOfRange {
                        at: self.shown(at),
                        length,
                    };
                    items.get_mut(*index).ok_or(out_of_range)?
                }
                (step, node) => return Err(self.wrong_type(at, step, node)),
            };
        }
        *node = value;
        Ok(())
    }

    /// Removes the field, which must be there: removing nothing would test nothing.
    pub(super) fn remove(&self, object: &mut Value) -> Result<(), PathError> {
        let Some((last, way)) = self.0.split_last() else {
            return Ok(());
        };
        let mut node = object;
        for (at, step) in way.iter().enumerate() {
            node = match (step, node) {
                (Step::Key(key), Value::Object(fields)) => {
                    let absent = self.absent(at, fields);
                    fields.get_mut(key).ok_or(absent)?
                }
                (Step::Index(index), Value::Array(items)) => {
                    let length = items.len();
                    let out_of_range = PathError::OutOfRange {
                        at: self.shown(at),
                        length,
                    };
                    items.get_mut(*index).ok_or(out_of_range)?
                }
                (step, node) => return Err(self.wrong_type(at, step, node)),
            };
        }
        match (last, node) {
            (Step::Key(key), Value::Object(fields)) => {
                let absent = self.absent(way.len(), fields);
                fields.shift_remove(key).map(drop).ok_or(absent)
            }
            (Step::Index(index), Value::Array(items)) if *index < items.len() => {
                items.remove(*index);
                Ok(())
            }
            (Step::Index(_), Value::Array(items)) => Err(PathError::OutOfRange {
                at: self.shown(way.len()),
                length: items.len(),
            }),
            (step, node) => Err(self.wrong_type(way.len(), step, node)),
        }
    }

    /// Writes the first `count` steps.
    fn shown(&self, count: usize) -> String {
        let mut text = String::new();
        for step in self.0.iter().take(count) {
            match step {
                Step::Index(index) => text.push_str(&format!("[{index}]")),
                Step::Key(key) => {
                    let dot = if text.is_empty() { "" } else { "." };
                    let quote = if key.contains(['.', '[', '"']) {
                        "\""
                    } else {
                        ""
                    };
                    text.push_str(&format!("{dot}{quote}{key}{quote}"));
                }
            }
        }
        if text.is_empty() {
            "the object".to_owned()
        } else {
            format!("`{text}`")
        }
    }

    fn wrong_type(&self, at: usize, step: &Step, found: &Value) -> PathError {
        PathError::WrongType {
            at: self.shown(at),
            found: kind_name(found),
            wanted: match step {
                Step::Key(_) => "a mapping",
                Step::Index(_) => "a list",
            },
        }
    }

    fn absent(&self, at: usize, fields: &Map<String, Value>) -> PathError {
        let nearest = match self.0.get(at) {
            Some(Step::Key(key)) => nearest(key, fields.keys().map(String::as_str)),
            _ => None,
        };
        PathError::Absent {
            at: self.shown(at + 1),
            nearest: nearest.map(str::to_owned),
        }
    }
}

/// Returns what a value is, for messages.
pub(super) fn kind_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// Reads one step, and returns what follows it.
fn first_step(text: &str, is_first: bool) -> Result<(Step, &str), &'static str> {
    if let Some(inside) = text.strip_prefix('[') {
        return bracket(inside);
    }
    let text = match text.strip_prefix('.') {
        Some(rest) if !is_first => rest,
        Some(_) => return Err("it begins with a dot"),
        None => text,
    };
    if text.starts_with(['"', '\'']) {
        let (key, rest) = quoted(text)?;
        return match rest.starts_with(['.', '[']) || rest.is_empty() {
            true => Ok((Step::Key(key.to_owned()), rest)),
            false => Err("a quoted key is followed by something other than `.` or `[`"),
        };
    }
    let end = text.find(['.', '[']).unwrap_or(text.len());
    match text.split_at_checked(end) {
        Some((key, rest)) if !key.is_empty() => Ok((Step::Key(key.to_owned()), rest)),
        _ => Err("a key is empty"),
    }
}

fn bracket(inside: &str) -> Result<(Step, &str), &'static str> {
    let (step, rest) = if inside.starts_with(['"', '\'']) {
        let (key, rest) = quoted(inside)?;
        (
            Step::Key(key.to_owned()),
            rest.strip_prefix(']').ok_or("a bracket is not closed")?,
        )
    } else {
        let (index, rest) = inside.split_once(']').ok_or("a bracket is not closed")?;
        let index = index
            .parse()
            .map_err(|_| "in brackets is a number or a quoted key")?;
        (Step::Index(index), rest)
    };
    match rest.starts_with(['.', '[']) || rest.is_empty() {
        true => Ok((step, rest)),
        false => Err("a bracket is followed by something other than `.` or `[`"),
    }
}

/// Takes a quoted key off the front of a text that begins with a quote.
fn quoted(text: &str) -> Result<(&str, &str), &'static str> {
    let quote = text.chars().next().unwrap_or('"');
    let inside = text.strip_prefix(quote).unwrap_or_default();
    match inside.split_once(quote) {
        Some((key, rest)) if !key.is_empty() => Ok((key, rest)),
        Some(_) => Err("a key is empty"),
        None => Err("a quote is not closed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_path_leads_through_keys_and_items() {
        for (path, steps) in [
            ("spec.replicas", json!(["spec", "replicas"])),
            ("a[0].b[1][2]", json!(["a", 0, "b", 1, 2])),
            (
                r#"metadata.labels."a.b/c""#,
                json!(["metadata", "labels", "a.b/c"]),
            ),
            (
                "metadata.labels['a.b/c'].d",
                json!(["metadata", "labels", "a.b/c", "d"]),
            ),
            ("'a.b'.c", json!(["a.b", "c"])),
            ("spec.0", json!(["spec", "0"])),
        ] {
            let expected = Path::of(steps.as_array().unwrap());
            assert_eq!(Path::parse(path).ok(), expected, "{path}");
        }
    }

    #[test]
    fn a_path_that_cannot_be_read_says_why() {
        for (path, problem) in [
            ("", "a key is empty"),
            (".a", "it begins with a dot"),
            ("a..b", "a key is empty"),
            ("a.", "a key is empty"),
            ("a[x]", "in brackets is a number or a quoted key"),
            ("a[-1]", "in brackets is a number or a quoted key"),
            ("a[0", "a bracket is not closed"),
            ("a['b", "a quote is not closed"),
            (
                "a[0]b",
                "a bracket is followed by something other than `.` or `[`",
            ),
            (
                "'a'b",
                "a quoted key is followed by something other than `.` or `[`",
            ),
        ] {
            let error = Path::parse(path).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("the path `{path}` cannot be read: {problem}")
            );
        }
    }

    #[test]
    fn setting_makes_what_is_missing_on_the_way() {
        for (path, result) in [
            ("a", json!({"a": 7, "l": [{"x": 1}]})),
            ("b.c", json!({"a": 1, "l": [{"x": 1}], "b": {"c": 7}})),
            ("b[0].c", json!({"a": 1, "l": [{"x": 1}], "b": [{"c": 7}]})),
            ("l[0].x", json!({"a": 1, "l": [{"x": 7}]})),
            ("l[1]", json!({"a": 1, "l": [{"x": 1}, 7]})),
        ] {
            let mut object = json!({"a": 1, "l": [{"x": 1}]});
            Path::parse(path)
                .unwrap()
                .set(&mut object, json!(7))
                .unwrap();
            assert_eq!(object, result, "{path}");
        }
    }

    #[test]
    fn a_path_that_leads_nowhere_says_where_it_ends() {
        for (path, set, remove) in [
            (
                "a.b",
                Some("`a` is a number, not a mapping"),
                "`a` is a number, not a mapping",
            ),
            (
                "l.x",
                Some("`l` is a list, not a mapping"),
                "`l` is a list, not a mapping",
            ),
            (
                "a[0]",
                Some("`a` is a number, not a list"),
                "`a` is a number, not a list",
            ),
            ("l[2]", Some("`l` has 1 items"), "`l` has 1 items"),
            (
                "[0]",
                Some("the object is a mapping, not a list"),
                "the object is a mapping, not a list",
            ),
            (
                "replica",
                None,
                "there is no `replica`, did you mean `replicas`?",
            ),
            ("other.c", None, "there is no `other`"),
        ] {
            let object = json!({"a": 1, "l": [{"x": 1}], "replicas": 3});
            let path = Path::parse(path).unwrap();
            let error = path.set(&mut object.clone(), json!(7)).err();
            assert_eq!(
                error.map(|error| error.to_string()).as_deref(),
                set,
                "{path:?}"
            );
            let error = path.remove(&mut object.clone()).err();
            assert_eq!(
                error.map(|error| error.to_string()).as_deref(),
                Some(remove),
                "{path:?}"
            );
        }
    }

    #[test]
    fn removing_takes_fields_and_items_away() {
        let mut object = json!({"a": {"b": 1, "c": 2}, "l": [1, 2]});
        for path in ["a.b", "l[0]"] {
            Path::parse(path).unwrap().remove(&mut object).unwrap();
        }
        assert_eq!(object, json!({"a": {"c": 2}, "l": [2]}));
    }
}
