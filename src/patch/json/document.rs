//! The document that is patched: read part by part, as the library does.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use super::{Fault, MAX_DEPTH, PatchError, STEP_LIMIT, equal, unescape};
use crate::cel::encode::go::json_number;
use crate::cel::value::quote::quote;

/// A part of a document.
#[derive(Debug, Clone)]
pub(super) enum Node<'p> {
    /// A null that was read, and the value of an operation without (no node in the library).
    Absent,
    /// What was not looked into; a null in it was written and is not [`Node::Absent`].
    Unread(Cow<'p, Value>),
    /// A written null that was looked into as if it were an object.
    NullObject,
    /// An object that was looked into.
    Object(BTreeMap<Cow<'p, str>, Node<'p>>),
    /// A list that was looked into.
    List(Vec<Node<'p>>),
}

/// The document.
pub(super) struct Document<'p> {
    root: Node<'p>,
    steps_left: usize,
}

impl<'p> Document<'p> {
    pub(super) fn new(value: Cow<'p, Value>, steps: usize) -> Self {
        let mut root = Node::Unread(value);
        root.read();
        Document {
            root,
            steps_left: steps,
        }
    }

    pub(super) fn replace_root(&mut self, value: &'p Value) {
        self.root = Node::Unread(Cow::Borrowed(value));
        self.root.read();
    }

    /// The node of an operation's value, if it may be put at a path.
    pub(super) fn given(
        &mut self,
        value: Option<&'p Value>,
        path: &str,
    ) -> Result<Node<'p>, PatchError> {
        let node = match value {
            Some(value) => Node::Unread(Cow::Borrowed(value)),
            None => Node::Absent,
        };
        self.check_depth(&node, path)?;
        Ok(node)
    }

    /// Refuses what would be nested too deeply at a path.
    pub(super) fn check_depth(&mut self, node: &Node<'_>, path: &str) -> Result<(), PatchError> {
        let above = path.bytes().filter(|byte| *byte == b'/').count();
        let left = MAX_DEPTH.checked_sub(above);
        let fits = match left {
            Some(left) => node.is_within(left, &mut self.steps_left)?,
            None => false,
        };
        match fits {
            true => Ok(()),
            false => Err(PatchError::TooDeep { limit: MAX_DEPTH }),
        }
    }

    /// The container that a path leads to, and the key in it; `None` if there is none.
    ///
    /// The first part of a path is passed over, whatever it is. Semantics: `findObject`.
    pub(super) fn find<'f>(
        &'f mut self,
        path: &'f str,
    ) -> Result<Option<(&'f mut Node<'p>, Cow<'f, str>)>, PatchError> {
        let Some((_, rest)) = path.split_once('/') else {
            return Ok(None);
        };
        let mut container = &mut self.root;
        let (parts, key) = match rest.rsplit_once('/') {
            Some((parts, key)) => (Some(parts), key),
            None => (None, rest),
        };
        for part in parts.into_iter().flat_map(|parts| parts.split('/')) {
            let next = match container.get_mut(&unescape(part)) {
                Ok(Some(next)) => next,
                _ => return Ok(None),
            };
            // What is read for the first time takes a step for each of its parts.
            let read = next.read();
            spend(&mut self.steps_left, read.saturating_add(1))?;
            match next {
                Node::Object(_) | Node::List(_) | Node::NullObject => container = next,
                Node::Absent | Node::Unread(_) => return Ok(None),
            }
        }
        Ok(Some((container, unescape(key))))
    }

    /// A copy of what a path leads to, and its size in bytes. A null that was read is not copied, a
    /// copy is not read.
    pub(super) fn copied(&mut self, path: &str) -> Result<(Node<'p>, usize), PatchError> {
        let mut steps = self.steps_left;
        let copy = match self.find(path)? {
            Some((container, key)) => match container.get(&key) {
                Ok(Some(node)) if !matches!(node, Node::Absent) => {
                    let value = node.clone().into_value(MAX_DEPTH, &mut steps)?;
                    let size = json_size(&value);
                    (Node::Unread(Cow::Owned(value)), size)
                }
                _ => (Node::Absent, 0),
            },
            None => (Node::Absent, 0),
        };
        self.steps_left = self.steps_left.min(steps);
        Ok(copy)
    }

    /// Says whether a value is the one at a path; `None` if the library cannot tell.
    pub(super) fn equals(&mut self, path: &str, value: &Value) -> Result<Option<bool>, PatchError> {
        let mut steps = self.steps_left;
        let is_equal = if path.is_empty() {
            equal::is_equal(&self.root, value, &mut steps)?
        } else {
            match self.find(path)? {
                Some((container, key)) => match container.get(&key) {
                    Ok(Some(node)) => equal::is_equal(node, value, &mut steps)?,
                    _ => Some(false),
                },
                None => Some(false),
            }
        };
        self.steps_left = self.steps_left.min(steps);
        Ok(is_equal)
    }

    /// Says whether [`Self::into_value`] gives a value.
    pub(super) fn check_result(&self) -> Result<(), PatchError> {
        let mut steps = STEP_LIMIT;
        match self.root.is_within(MAX_DEPTH, &mut steps)? {
            true => Ok(()),
            false => Err(PatchError::TooDeep { limit: MAX_DEPTH }),
        }
    }

    pub(super) fn into_value(self) -> Result<Value, PatchError> {
        let mut steps = STEP_LIMIT;
        self.root.into_value(MAX_DEPTH, &mut steps)
    }
}

/// Takes steps off those that are left.
pub(super) fn spend(left: &mut usize, steps: usize) -> Result<(), PatchError> {
    *left = left
        .checked_sub(steps)
        .ok_or(PatchError::TooManySteps { limit: STEP_LIMIT })?;
    Ok(())
}

impl<'p> Node<'p> {
    /// A child of what is read.
    fn child(value: &'p Value) -> Self {
        match value {
            Value::Null => Node::Absent,
            value => Node::Unread(Cow::Borrowed(value)),
        }
    }

    fn owned_child(value: Value) -> Self {
        match value {
            Value::Null => Node::Absent,
            value => Node::Unread(Cow::Owned(value)),
        }
    }

    /// Reads one level of what was not read; a scalar stays as it is. Returns how many parts it has.
    fn read(&mut self) -> usize {
        let Node::Unread(value) = self else {
            return 0;
        };
        *self = match std::mem::replace(value, Cow::Owned(Value::Null)) {
            Cow::Borrowed(Value::Object(map)) => Node::Object(
                map.iter()
                    .map(|(key, value)| (Cow::Borrowed(key.as_str()), Node::child(value)))
                    .collect(),
            ),
            Cow::Borrowed(Value::Array(list)) => Node::List(list.iter().map(Node::child).collect()),
            Cow::Owned(Value::Object(map)) => Node::Object(
                map.into_iter()
                    .map(|(key, value)| (Cow::Owned(key), Node::owned_child(value)))
                    .collect(),
            ),
            Cow::Owned(Value::Array(list)) => {
                Node::List(list.into_iter().map(Node::owned_child).collect())
            }
            Cow::Borrowed(Value::Null) | Cow::Owned(Value::Null) => Node::NullObject,
            scalar => Node::Unread(scalar),
        };
        self.len()
    }

    fn len(&self) -> usize {
        match self {
            Node::Object(fields) => fields.len(),
            Node::List(items) => items.len(),
            Node::Absent | Node::Unread(_) | Node::NullObject => 0,
        }
    }

    /// The child of a key, if there is one. Semantics: `get` of `partialDoc` and `partialArray`.
    pub(super) fn get(&self, key: &str) -> Result<Option<&Node<'p>>, Fault> {
        match self {
            Node::Object(fields) => Ok(fields.get(key)),
            Node::List(items) => {
                let at = position(items.len(), key)?;
                Ok(items.get(at))
            }
            Node::Absent | Node::Unread(_) | Node::NullObject => Ok(None),
        }
    }

    fn get_mut(&mut self, key: &str) -> Result<Option<&mut Node<'p>>, Fault> {
        match self {
            Node::Object(fields) => Ok(fields.get_mut(key)),
            Node::List(items) => {
                let at = position(items.len(), key)?;
                Ok(items.get_mut(at))
            }
            Node::Absent | Node::Unread(_) | Node::NullObject => Ok(None),
        }
    }

    /// Puts a value at a key that may be got.
    pub(super) fn set(&mut self, key: &str, value: Node<'p>) -> Result<(), Fault> {
        match self {
            Node::Object(fields) => {
                fields.insert(Cow::Owned(key.to_owned()), value);
                Ok(())
            }
            Node::List(items) => {
                let at = position(items.len(), key)?;
                if let Some(item) = items.get_mut(at) {
                    *item = value;
                }
                Ok(())
            }
            Node::Absent | Node::Unread(_) | Node::NullObject => Err(Fault::Panic),
        }
    }

    /// Adds a field or an item. Semantics: `add` of `partialDoc` and `partialArray`.
    pub(super) fn add(&mut self, key: &str, value: Node<'p>) -> Result<(), Fault> {
        let Node::List(items) = self else {
            return self.set(key, value);
        };
        if key == "-" {
            items.push(value);
            return Ok(());
        }
        let index = atoi(key).map_err(|text| {
            Fault::Text(format!(
                "value was not a proper array index: '{key}': {text}"
            ))
        })?;
        let at = resolve(index, items.len().saturating_add(1))?;
        if at > items.len() {
            return Err(invalid_index(index));
        }
        items.insert(at, value);
        Ok(())
    }

    /// Removes a field or an item. Semantics: `remove` of `partialDoc` and `partialArray`.
    pub(super) fn remove(&mut self, key: &str) -> Result<Node<'p>, Fault> {
        let missing = || {
            Fault::Text(format!(
                "Unable to remove nonexistent key: {key}: missing value"
            ))
        };
        match self {
            Node::Object(fields) => fields.remove(key).ok_or_else(missing),
            Node::List(items) => {
                let at = position(items.len(), key)?;
                match at < items.len() {
                    true => Ok(items.remove(at)),
                    false => Err(missing()),
                }
            }
            Node::Absent | Node::Unread(_) | Node::NullObject => Err(missing()),
        }
    }

    /// Says whether a node is nested at most so deep.
    fn is_within(&self, depth: usize, steps_left: &mut usize) -> Result<bool, PatchError> {
        spend(steps_left, 1)?;
        let Some(depth) = depth.checked_sub(1) else {
            return Ok(!matches!(self, Node::Object(_) | Node::List(_))
                && !matches!(self, Node::Unread(value) if value.is_object() || value.is_array()));
        };
        match self {
            Node::Absent | Node::NullObject => Ok(true),
            Node::Unread(value) => value_is_within(value, depth + 1, steps_left),
            Node::Object(fields) => {
                for field in fields.values() {
                    if !field.is_within(depth, steps_left)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Node::List(items) => {
                for item in items {
                    if !item.is_within(depth, steps_left)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }

    /// The value, as the API server reads it back; what is owned is moved.
    fn into_value(self, depth: usize, steps_left: &mut usize) -> Result<Value, PatchError> {
        spend(steps_left, 1)?;
        let below = || {
            depth
                .checked_sub(1)
                .ok_or(PatchError::TooDeep { limit: MAX_DEPTH })
        };
        Ok(match self {
            Node::Absent | Node::NullObject => Value::Null,
            Node::Unread(value) => {
                if !value_is_within(&value, depth, steps_left)? {
                    return Err(PatchError::TooDeep { limit: MAX_DEPTH });
                }
                let mut value = value.into_owned();
                read_back(&mut value);
                value
            }
            Node::Object(fields) => {
                let depth = below()?;
                let mut map = Map::with_capacity(fields.len());
                for (key, field) in fields {
                    map.insert(key.into_owned(), field.into_value(depth, steps_left)?);
                }
                Value::Object(map)
            }
            Node::List(items) => {
                let depth = below()?;
                let items = items.into_iter();
                let items = items.map(|item| item.into_value(depth, steps_left));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
        })
    }
}

/// Makes of a value, which is not nested too deeply, what the API server reads back: whole doubles are
/// written without a fraction, and so become integers.
fn read_back(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(read_back),
        Value::Array(items) => items.iter_mut().for_each(read_back),
        Value::Number(number) if number.is_f64() => *number = whole(number),
        _ => {}
    }
}

/// A number as it is read back.
pub(in crate::patch) fn whole(number: &Number) -> Number {
    if !number.is_f64() {
        return number.clone();
    }
    let written = number_text(number);
    let read = written.parse::<i64>().ok();
    read.map_or_else(|| number.clone(), Number::from)
}

/// Says whether a value is nested at most so deep.
fn value_is_within(
    value: &Value,
    depth: usize,
    steps_left: &mut usize,
) -> Result<bool, PatchError> {
    spend(steps_left, 1)?;
    let depth = match (value, depth.checked_sub(1)) {
        (Value::Object(_) | Value::Array(_), None) => return Ok(false),
        (Value::Object(_) | Value::Array(_), Some(depth)) => depth,
        _ => return Ok(true),
    };
    match value {
        Value::Object(map) => {
            for value in map.values() {
                if !value_is_within(value, depth, steps_left)? {
                    return Ok(false);
                }
            }
        }
        Value::Array(list) => {
            for value in list {
                if !value_is_within(value, depth, steps_left)? {
                    return Ok(false);
                }
            }
        }
        _ => {}
    }
    Ok(true)
}

/// The position of an item that is there.
fn position(length: usize, key: &str) -> Result<usize, Fault> {
    let index = atoi(key).map_err(Fault::Text)?;
    let at = resolve(index, length)?;
    match at < length {
        true => Ok(at),
        false => Err(invalid_index(index)),
    }
}

/// A negative index counts from behind.
fn resolve(index: i64, length: usize) -> Result<usize, Fault> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let at = match index < 0 {
        true => index.checked_add(length).filter(|at| *at >= 0),
        false => Some(index),
    };
    at.and_then(|at| usize::try_from(at).ok())
        .ok_or_else(|| invalid_index(index))
}

fn invalid_index(index: i64) -> Fault {
    Fault::Text(format!(
        "Unable to access invalid index: {index}: invalid index referenced"
    ))
}

/// Go's `strconv.Atoi`: signs and leading zeros are taken.
fn atoi(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let reason = if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        "invalid syntax"
    } else {
        match text.parse() {
            Ok(index) => return Ok(index),
            Err(_) => "value out of range",
        }
    };
    Err(format!("strconv.Atoi: parsing {}: {reason}", quote(text)))
}

/// A number as Go writes it: a whole double has no fraction.
pub(super) fn number_text(number: &Number) -> Cow<'static, str> {
    match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(number), _, _) => Cow::Owned(number.to_string()),
        (_, Some(number), _) => Cow::Owned(number.to_string()),
        (_, _, Some(number)) => Cow::Owned(json_number(number)),
        _ => Cow::Borrowed("null"),
    }
}

/// How many bytes `encoding/json` writes a value in; its depth is checked before.
fn json_size(value: &Value) -> usize {
    match value {
        Value::Null => 4,
        Value::Bool(true) => 4,
        Value::Bool(false) => 5,
        Value::Number(number) => number_text(number).len(),
        Value::String(text) => text_size(text),
        Value::Array(items) => {
            let inner: usize = items.iter().map(|item| json_size(item) + 1).sum();
            inner.max(1) + 1
        }
        Value::Object(fields) => {
            let sizes = fields.iter();
            let inner: usize = sizes
                .map(|(key, value)| text_size(key) + json_size(value) + 2)
                .sum();
            inner.max(1) + 1
        }
    }
}

fn text_size(text: &str) -> usize {
    let letters = text.chars().map(|letter| match letter {
        '"' | '\\' | '\u{8}' | '\u{c}' | '\n' | '\r' | '\t' => 2,
        '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => 6,
        letter if letter < ' ' => 6,
        letter => letter.len_utf8(),
    });
    letters.sum::<usize>() + 2
}
