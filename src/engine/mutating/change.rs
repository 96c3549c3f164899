//! One change of an object: a patch or a configuration that an expression gave, and what it must not
//! touch.

use serde_json::Value as Object;

use crate::cel::value::Value;
use crate::patch::json::Operation;
use crate::patch::{self, given, merge, strict};
use crate::schema::{Kind, Schemas};

use super::{Failure, Refusal};

/// Applies the patch that an expression gave.
pub(super) fn patch<'s>(
    object: &mut Object,
    (schemas, kind): (&'s dyn Fn() -> &'s Schemas, &Kind),
    value: Value<'_>,
) -> Result<(), Failure> {
    let policy = |problem: String| Failure::from(problem);
    let operations = given::operations(&value).map_err(|fault| policy(fault.to_string()))?;
    let before = IDENTITY.map(|(_, at)| {
        let before = object.pointer(at).filter(|value| !value.is_null());
        before.cloned()
    });
    // Kept only for what may turn out to be refused.
    let kept = may_change_identity(&operations).then(|| object.clone());
    let has_applied = patch::json::apply_to(object, &operations)
        .map_err(|error| policy(format!("JSON Patch: {error}")))?;
    // Upstream applies nothing of a patch one of whose tests fails, and says nothing.
    if !has_applied {
        return Ok(());
    }
    strict::check(schemas(), kind, object)
        .map_err(|error| Failure::Request(Refusal::Internal(error.to_string())))?;
    let fields = IDENTITY.iter().zip(&before);
    let mut changed = fields
        .filter(|((_, at), before)| before.is_some() && before.as_ref() != object.pointer(at));
    if let Some(((field, _), _)) = changed.next() {
        *object = kept.unwrap_or_default();
        return Err(identity_changed(field));
    }
    Ok(())
}

/// Merges the configuration that an expression gave.
pub(super) fn merge<'s>(
    object: &mut Object,
    (schemas, kind): (&'s dyn Fn() -> &'s Schemas, &Kind),
    value: Value<'_>,
) -> Result<(), Failure> {
    let policy = |problem: String| Failure::from(problem);
    let given = given::configuration(&value).map_err(|fault| policy(fault.to_string()))?;
    // `apiVersion` and `kind` are never taken from a configuration.
    for field in ["name", "namespace", "uid"] {
        let before = object.pointer(&format!("/metadata/{field}"));
        let before = before.and_then(Object::as_str);
        if let (Some(before), Some(wanted)) = (before, given.text(&["metadata", field]))
            && before != wanted
        {
            return Err(identity_changed(&format!("metadata.{field}")));
        }
    }
    merge::merge_into(schemas(), kind, object, &given).map_err(|error| match error {
        merge::MergeError::UnknownKind(_) => {
            Failure::Request(Refusal::Unavailable(error.to_string()))
        }
        other => policy(format!("error applying patch: {other}")),
    })
}

/// The fields that tell what an object is.
const IDENTITY: [(&str, &str); 5] = [
    ("apiVersion", "/apiVersion"),
    ("kind", "/kind"),
    ("metadata.name", "/metadata/name"),
    ("metadata.namespace", "/metadata/namespace"),
    ("metadata.uid", "/metadata/uid"),
];

/// Says whether operations go where what an object is stands, or to something around it.
fn may_change_identity(operations: &[Operation]) -> bool {
    let may_change = |path: &str| {
        // The first part of a path means nothing.
        let mut parts = path.split('/').skip(1);
        match (parts.next(), parts.next()) {
            (Some("metadata"), Some(field)) => {
                field.contains('~') || ["name", "namespace", "uid"].contains(&field)
            }
            (Some("spec" | "status" | "data"), _) => false,
            _ => true,
        }
    };
    operations
        .iter()
        .any(|it| may_change(&it.path) || (!it.from.is_empty() && may_change(&it.from)))
}

fn identity_changed(field: &str) -> Failure {
    Failure::from(format!(
        "a mutation must not change {field}, which says what the object is"
    ))
}
