//! JSON Patch (RFC 6902) to the letter of the API server's library, `gopkg.in/evanphx/json-patch.v4`.
//!
//! The library reads a document part by part, when an operation goes there, and tells a null it has
//! read (no node at all) from one that was written and not read since. What follows from it is kept:
//! `test` finds a null that was read equal to an operation without value only, and a null that was
//! written equal to `{}`. What ends the library with a panic is an error here, [`PatchError::Panic`].

pub(super) mod document;
mod equal;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::Value;

use self::document::{Document, Node};
use crate::cel::value::quote::quote;
use crate::json::MAX_DEPTH;

/// The sizes of all copies of a patch together (apiserver `pkg/server/config.go`,
/// `JSONPatchMaxCopyBytes`).
const COPY_LIMIT_BYTES: usize = 3 * 1024 * 1024;

/// Parts of values that a patch may have looked at. A patch looks at each part of what it tests and
/// adds once or twice; ten million take some tenths of a second.
const STEP_LIMIT: usize = 10_000_000;

/// A step of a patch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Operation {
    /// What is done.
    pub op: Action,
    /// Where, as a JSON pointer.
    pub path: String,
    /// Where a copied or moved value is from; empty if there is none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// The value; an operation without is not one with null.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

/// What an operation does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Adds a field, in place of one that is there, or an item of a list, before the one there.
    Add,
    /// Removes what must be there.
    Remove,
    /// Puts another value; a field that is not there is added.
    Replace,
    /// Removes a value and adds it elsewhere.
    Move,
    /// Adds a value that is elsewhere.
    Copy,
    /// Ends the patch without a change if the value is another.
    Test,
    /// Nothing; the patch fails.
    Other(String),
}

impl Action {
    /// Returns the action of a name.
    pub fn new(name: &str) -> Self {
        match name {
            "add" => Action::Add,
            "remove" => Action::Remove,
            "replace" => Action::Replace,
            "move" => Action::Move,
            "copy" => Action::Copy,
            "test" => Action::Test,
            other => Action::Other(other.to_owned()),
        }
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        match self {
            Action::Add => "add",
            Action::Remove => "remove",
            Action::Replace => "replace",
            Action::Move => "move",
            Action::Copy => "copy",
            Action::Test => "test",
            Action::Other(name) => name,
        }
    }
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What came of a patch.
#[derive(Debug, Clone, PartialEq)]
pub enum Applied {
    /// The patched value; it may be equal to the one before.
    Changed(Value),
    /// A `test` found another value: nothing of the patch is applied, and that is no error.
    TestFailed,
}

/// Why a patch cannot be applied; worded as the library words it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PatchError {
    /// An operation of no known name.
    #[error("Unexpected kind: {0}")]
    Kind(String),
    /// A path that is no JSON once Go has quoted it (control characters).
    #[error("{operation} operation failed to decode path: {reason}")]
    Path {
        /// The operation.
        operation: &'static str,
        /// What the library says of it.
        reason: String,
    },
    /// A `from` that is missing or, once quoted, no JSON.
    #[error("{operation} operation failed to decode from: {reason}")]
    From {
        /// The operation.
        operation: &'static str,
        /// What the library says of it.
        reason: String,
    },
    /// An operation that does not apply to the object.
    #[error("{0}")]
    Apply(String),
    /// Copies that are too large together.
    #[error(
        "Unable to complete the copy, the accumulated size increase of copy is {size}, exceeding the limit {limit}"
    )]
    CopySize {
        /// Their size in bytes.
        size: usize,
        /// How large they may be.
        limit: usize,
    },
    /// A null where the library does not expect one: the API server answers the request with an
    /// internal error, whatever the policy's `failurePolicy`.
    #[error(
        "{operation} operation meets a null that the API server's JSON patch cannot handle: {path}"
    )]
    Panic {
        /// The operation.
        operation: &'static str,
        /// Its path.
        path: String,
    },
    /// The object would be nested more deeply than objects may be.
    #[error("the patched object is nested more than {limit} deep")]
    TooDeep {
        /// How deep it may be.
        limit: usize,
    },
    /// The operations look at more parts of values than they may.
    #[error("the patch takes more than {limit} steps")]
    TooManySteps {
        /// How many it may take.
        limit: usize,
    },
}

/// Applies the operations of a mutating policy's `JSONPatch`, in order.
///
/// Semantics: apiserver `plugin/policy/mutating/patch/json_patch.go`, which puts `JSON Patch: ` before
/// the error. Names and paths are quoted there by Go's rules and read by those of JSON.
pub fn apply(object: &Value, operations: &[Operation]) -> Result<Applied, PatchError> {
    let mut patch = Patch::of(Cow::Borrowed(object));
    match patch.apply_all(operations)? {
        true => Ok(Applied::Changed(patch.document.into_value()?)),
        false => Ok(Applied::TestFailed),
    }
}

/// Applies operations as [`apply`] does, to the object itself; says whether all tests held. An object
/// that they do not apply to stays as it is.
///
/// Takes the time to look at the object, not to copy it.
pub fn apply_to(object: &mut Value, operations: &[Operation]) -> Result<bool, PatchError> {
    // What applies to the object that is lent applies to it as one that is given away.
    let mut trial = Patch::of(Cow::Borrowed(object));
    if !trial.apply_all(operations)? {
        return Ok(false);
    }
    trial.document.check_result()?;
    let mut patch = Patch::of(Cow::Owned(std::mem::take(object)));
    patch.apply_all(operations)?;
    *object = patch.document.into_value()?;
    Ok(true)
}

/// Applies operations that were read from JSON, as those a webhook answers with are.
#[cfg(test)]
pub(super) fn apply_decoded(
    object: &Value,
    operations: &[Operation],
) -> Result<Applied, PatchError> {
    let mut patch = Patch::of(Cow::Borrowed(object));
    for operation in operations {
        if !patch.apply(operation)? {
            return Ok(Applied::TestFailed);
        }
    }
    Ok(Applied::Changed(patch.document.into_value()?))
}

/// The error of an operation whose texts `strconv.Quote` does not make JSON of.
fn unreadable(operation: &Operation) -> Option<PatchError> {
    let name = match &operation.op {
        Action::Add => "add",
        Action::Remove => "remove",
        Action::Replace => "replace",
        Action::Move => "move",
        Action::Copy => "copy",
        Action::Test => "test",
        Action::Other(name) if json_fault(name).is_some() => {
            return Some(PatchError::Kind("unknown".to_owned()));
        }
        Action::Other(_) => return None,
    };
    let from = match operation.op {
        Action::Move | Action::Copy => json_fault(&operation.from),
        _ => None,
    };
    if let Some(reason) = from {
        return Some(PatchError::From {
            operation: name,
            reason,
        });
    }
    let reason = json_fault(&operation.path)?;
    let reason = match operation.op {
        Action::Add | Action::Remove | Action::Copy => "missing value".to_owned(),
        _ => reason,
    };
    Some(PatchError::Path {
        operation: name,
        reason,
    })
}

/// What `encoding/json` says of a text quoted by Go's rules; `None` if it reads it.
fn json_fault(text: &str) -> Option<String> {
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return None;
    }
    let quoted = quote(text);
    let mut letters = quoted.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            continue;
        }
        match letters.next() {
            Some(escape @ ('a' | 'v' | 'x' | 'U')) => {
                return Some(format!(
                    "invalid character '{escape}' in string escape code"
                ));
            }
            _ => continue,
        }
    }
    None
}

/// A patch that is being applied.
struct Patch<'p> {
    document: Document<'p>,
    copied_bytes: usize,
}

impl<'p> Patch<'p> {
    fn of(object: Cow<'p, Value>) -> Self {
        Patch {
            document: Document::new(object, STEP_LIMIT),
            copied_bytes: 0,
        }
    }

    /// Applies the operations of a policy; says whether all tests hold.
    fn apply_all(&mut self, operations: &'p [Operation]) -> Result<bool, PatchError> {
        for operation in operations {
            if let Some(error) = unreadable(operation) {
                return Err(error);
            }
            if !self.apply(operation)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Applies one operation; says whether the patch goes on.
    fn apply(&mut self, operation: &'p Operation) -> Result<bool, PatchError> {
        match &operation.op {
            Action::Add => self.add(operation)?,
            Action::Remove => self.remove(operation)?,
            Action::Replace => self.replace(operation)?,
            Action::Move => self.move_value(operation)?,
            Action::Copy => self.copy(operation)?,
            Action::Test => return self.test(operation),
            Action::Other(name) => return Err(PatchError::Kind(name.clone())),
        }
        Ok(true)
    }

    fn add(&mut self, operation: &'p Operation) -> Result<(), PatchError> {
        let path = &operation.path;
        let value = self.document.given(operation.value.as_ref(), path)?;
        let Some((container, key)) = self.document.find(path)? else {
            return missing(format!(
                "add operation does not apply: doc is missing path: \"{path}\""
            ));
        };
        let added = container.add(&key, value);
        failed(added, "add", path, || {
            format!("error in add for path: '{path}'")
        })
    }

    fn remove(&mut self, operation: &'p Operation) -> Result<(), PatchError> {
        let path = &operation.path;
        let Some((container, key)) = self.document.find(path)? else {
            return missing(format!(
                "remove operation does not apply: doc is missing path: \"{path}\""
            ));
        };
        let removed = container.remove(&key).map(drop);
        failed(removed, "remove", path, || {
            format!("error in remove for path: '{path}'")
        })
    }

    fn replace(&mut self, operation: &'p Operation) -> Result<(), PatchError> {
        let path = &operation.path;
        if path.is_empty() {
            return self.replace_root(operation);
        }
        let value = self.document.given(operation.value.as_ref(), path)?;
        let Some((container, key)) = self.document.find(path)? else {
            return missing(format!(
                "replace operation does not apply: doc is missing path: {path}"
            ));
        };
        if container.get(&key).is_err() {
            return missing(format!(
                "replace operation does not apply: doc is missing key: {path}"
            ));
        }
        failed(container.set(&key, value), "replace", path, || {
            format!("error in remove for path: '{path}'")
        })
    }

    fn replace_root(&mut self, operation: &'p Operation) -> Result<(), PatchError> {
        match &operation.value {
            None => Err(PatchError::Panic {
                operation: "replace",
                path: String::new(),
            }),
            Some(value @ (Value::Object(_) | Value::Array(_) | Value::Null)) => {
                self.document.given(Some(value), "")?;
                self.document.replace_root(value);
                Ok(())
            }
            Some(_) => Err(PatchError::Apply(
                "replace operation value must be object or array: %!w(<nil>)".to_owned(),
            )),
        }
    }

    fn move_value(&mut self, operation: &'p Operation) -> Result<(), PatchError> {
        let from = given_from(operation, "move")?;
        let Some((container, key)) = self.document.find(from)? else {
            return missing(format!(
                "move operation does not apply: doc is missing from path: {from}"
            ));
        };
        let during = || format!("error in move for path: '{key}'");
        failed(container.get(&key).map(drop), "move", from, during)?;
        let value = container.remove(&key).map_err(|fault| {
            // What is got can be removed, except that an absent field is got as null.
            fault.error("move", from, during())
        })?;
        let path = &operation.path;
        self.document.check_depth(&value, path)?;
        let Some((container, key)) = self.document.find(path)? else {
            return missing(format!(
                "move operation does not apply: doc is missing destination path: {path}"
            ));
        };
        failed(container.add(&key, value), "move", path, || {
            format!("error in move for path: '{path}'")
        })
    }

    fn copy(&mut self, operation: &'p Operation) -> Result<(), PatchError> {
        let from = given_from(operation, "copy")?;
        let Some((container, key)) = self.document.find(from)? else {
            return missing(format!(
                "copy operation does not apply: doc is missing from path: {from}"
            ));
        };
        let got = container.get(&key).map(drop);
        failed(got, "copy", from, || {
            format!("error in copy for from: '{from}'")
        })?;
        let path = &operation.path;
        if self.document.find(path)?.is_none() {
            return missing(format!(
                "copy operation does not apply: doc is missing destination path: {path}"
            ));
        }
        let (value, size) = self.document.copied(from)?;
        self.copied_bytes = self.copied_bytes.saturating_add(size);
        if self.copied_bytes > COPY_LIMIT_BYTES {
            return Err(PatchError::CopySize {
                size: self.copied_bytes,
                limit: COPY_LIMIT_BYTES,
            });
        }
        self.document.check_depth(&value, path)?;
        let Some((container, key)) = self.document.find(path)? else {
            return Ok(());
        };
        failed(container.add(&key, value), "copy", path, || {
            "error while adding value during copy".to_owned()
        })
    }

    fn test(&mut self, operation: &'p Operation) -> Result<bool, PatchError> {
        let path = &operation.path;
        let value = operation.value.as_ref();
        if !path.is_empty() {
            let Some((container, key)) = self.document.find(path)? else {
                missing(format!(
                    "test operation does not apply: is missing path: {path}"
                ))?;
                return Ok(false);
            };
            let got = container
                .get(&key)
                .map(|node| matches!(node, Some(Node::Absent) | None));
            let is_null = match got {
                Ok(is_null) => is_null,
                Err(fault) => {
                    let during = format!("error in test for path: '{path}'");
                    return Err(fault.error("test", path, during));
                }
            };
            if is_null || value.is_none() {
                return Ok(is_null && value.is_none());
            }
        }
        let panic = || PatchError::Panic {
            operation: "test",
            path: path.clone(),
        };
        let value = value.ok_or_else(panic)?;
        self.document.equals(path, value)?.ok_or_else(panic)
    }
}

fn given_from<'p>(operation: &'p Operation, name: &'static str) -> Result<&'p str, PatchError> {
    if operation.from.is_empty() {
        return Err(PatchError::From {
            operation: name,
            reason: "operation, missing from field: missing value".to_owned(),
        });
    }
    Ok(&operation.from)
}

fn missing<T>(what: String) -> Result<T, PatchError> {
    Err(PatchError::Apply(format!("{what}: missing value")))
}

/// Why a container refuses a key.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    Text(String),
    /// The library writes into an object that was read from null.
    Panic,
}

impl Fault {
    fn error(self, operation: &'static str, path: &str, during: String) -> PatchError {
        match self {
            Fault::Text(text) => PatchError::Apply(format!("{during}: {text}")),
            Fault::Panic => PatchError::Panic {
                operation,
                path: path.to_owned(),
            },
        }
    }
}

fn failed(
    result: Result<(), Fault>,
    operation: &'static str,
    path: &str,
    during: impl Fn() -> String,
) -> Result<(), PatchError> {
    result.map_err(|fault| fault.error(operation, path, during()))
}

/// The last part of a JSON pointer or one before it, as it is written in the object.
fn unescape(part: &str) -> Cow<'_, str> {
    if !part.contains('~') {
        return Cow::Borrowed(part);
    }
    // One pass, so that `~01` is `~1`.
    let mut text = String::with_capacity(part.len());
    let mut rest = part;
    while let Some((before, after)) = rest.split_once('~') {
        text.push_str(before);
        rest = match after.as_bytes().first() {
            Some(b'0') => {
                text.push('~');
                after.get(1..).unwrap_or_default()
            }
            Some(b'1') => {
                text.push('/');
                after.get(1..).unwrap_or_default()
            }
            _ => {
                text.push('~');
                after
            }
        };
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// Returns a key as it is written in a JSON pointer (`jsonpatch.escapeKey`).
pub fn escape(key: &str) -> Cow<'_, str> {
    match key.contains(['~', '/']) {
        true => Cow::Owned(key.replace('~', "~0").replace('/', "~1")),
        false => Cow::Borrowed(key),
    }
}
