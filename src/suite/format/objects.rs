//! The objects of a case: which of them is the old one, and what is done.

use serde_json::Value;

use super::super::reader::Reader;
use super::Request;
use crate::admission::review::Operation;
use crate::text::Span;

/// The objects of a case before it is clear which is which.
pub(super) struct Objects {
    /// The base, or the case's own object, before anything was set or removed.
    pub(super) before_change: Option<Value>,
    pub(super) object: Option<Value>,
    pub(super) old: Option<Value>,
}

impl Objects {
    /// Says whether there is none.
    pub(super) fn are_none(&self) -> bool {
        self.object.is_none() && self.old.is_none()
    }

    /// Finds out what is done: what has an old object is updated, or deleted if nothing is left of
    /// it. The old object of an update is the good one, unless another is given; what is deleted is
    /// the case's object.
    pub(super) fn settle(
        self,
        reader: &mut Reader<'_>,
        request: &mut Request,
        place: Span,
    ) -> (Operation, Option<Value>, Option<Value>) {
        let operation = request
            .operation
            .unwrap_or(match (&self.object, &self.old) {
                (None, Some(_)) => Operation::Delete,
                (_, Some(_)) => Operation::Update,
                (_, None) => Operation::Create,
            });
        let is_object_needed = operation != Operation::Delete;
        let (object, old) = match operation {
            Operation::Update => (self.object, self.old.or(self.before_change)),
            Operation::Delete => (None, self.old.or(self.object)),
            Operation::Create | Operation::Connect => {
                if self.old.is_some() {
                    let message = format!("a {} has no `oldObject`", operation.as_str());
                    reader.error(place, "test/ambiguous", message, "leave out the operation");
                }
                (self.object, None)
            }
        };
        if (if is_object_needed { &object } else { &old }).is_none() {
            let (message, help) = NO_OBJECT;
            reader.error(place, "test/required", message.to_owned(), help);
        }
        (operation, object, old)
    }
}

/// What is said of a case about requests that has none.
pub(in crate::suite) const NO_OBJECT: (&str, &str) = (
    "there is no object to test with",
    "give the file a `base`, or the case an `object`; only policies with `scope: cluster` have none",
);

/// Says whether a key of a case is about a request: without any, the case is about the cluster as a
/// whole.
pub(super) fn is_of_request(key: &str) -> bool {
    !matches!(key, "name" | "cluster" | "settings" | "expect")
}
