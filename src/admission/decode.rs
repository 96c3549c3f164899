//! What reading a manifest into Kubernetes' own types does to it.
//!
//! The API server reads built-in objects into Go structs and writes them out again, so a policy
//! never sees a null, an empty list, an empty map of labels, or a quantity in another than its
//! canonical form. Custom resources are kept as they are but for `metadata`, which is typed.

use serde_json::{Map, Value};

mod quantity;

/// Brings a built-in object into the form the API server gives it.
///
/// Unknown fields are kept: which ones there are is the business of a schema.
///
/// A CustomResourceDefinition counts as custom: in the schemas it holds, names mean nothing.
pub fn built_in(object: &mut Map<String, Value>) {
    match object.get("kind").and_then(Value::as_str) {
        Some("CustomResourceDefinition") => custom(object),
        _ => clean(object, 0),
    }
}

/// Brings a custom object into the form the API server gives it: nulls stay where the schema may
/// allow them, but not in `metadata`.
pub fn custom(object: &mut Map<String, Value>) {
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        clean(metadata, 0);
    }
}

/// Maps of texts: a null in one is the empty text, an empty map is absent.
const TEXT_MAPS: &[&str] = &[
    "annotations",
    "binaryData",
    "data",
    "labels",
    "matchLabels",
    "nodeSelector",
    "parameters",
    "stringData",
];

/// Maps of quantities.
const QUANTITY_MAPS: &[&str] = &[
    "allocatable",
    "allocatedResources",
    "capacity",
    "default",
    "defaultRequest",
    "hard",
    "limits",
    "max",
    "maxLimitRequestRatio",
    "min",
    "overhead",
    "requests",
    "used",
];

/// Fields that are quantities.
const QUANTITIES: &[&str] = &["averageValue", "divisor", "sizeLimit"];

/// Texts that are not written when they are empty, as the two lists below are not when they are
/// false or zero.
///
/// Others are behind pointers and so are kept. Derived from the types of `k8s.io/api` 0.36.2 for
/// pods, workloads, services, claims and access rules.
const LEFT_OUT_IF_EMPTY: &[&str] = &[
    "apiGroup",
    "clusterIP",
    "effect",
    "externalName",
    "generateName",
    "host",
    "hostname",
    "image",
    "imagePullPolicy",
    "key",
    "loadBalancerIP",
    "medium",
    "namespace",
    "nodeName",
    "prefix",
    "priorityClassName",
    "resourceVersion",
    "selfLink",
    "serviceAccount",
    "serviceAccountName",
    "subPath",
    "subPathExpr",
    "subdomain",
    "targetContainerName",
    "uid",
    "value",
    "workingDir",
];

/// Booleans that are not written when they are false.
const LEFT_OUT_IF_FALSE: &[&str] = &[
    "globalDefault",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "paused",
    "publishNotReadyAddresses",
    "readOnly",
    "stdin",
    "stdinOnce",
    "tty",
];

/// Numbers that are not written when they are zero.
const LEFT_OUT_IF_ZERO: &[&str] = &[
    "generation",
    "healthCheckNodePort",
    "hostPort",
    "initialDelaySeconds",
    "minReadySeconds",
    "nodePort",
];

/// Times of conditions and tokens, which are written as null when they are not known.
const NULL_TIMES: &[&str] = &[
    "expirationTimestamp",
    "lastHeartbeatTime",
    "lastProbeTime",
    "lastTransitionTime",
];

fn clean(fields: &mut Map<String, Value>, depth: usize) {
    if depth > crate::json::MAX_DEPTH {
        return;
    }
    fields.retain(|key, value| {
        if TEXT_MAPS.contains(&key.as_str()) {
            return keep_map(value, |entry| {
                if entry.is_null() {
                    *entry = Value::String(String::new());
                }
            });
        }
        if QUANTITY_MAPS.contains(&key.as_str()) && value.is_object() {
            return keep_map(value, quantity::normalize);
        }
        if QUANTITIES.contains(&key.as_str()) {
            quantity::normalize(value);
            return !value.is_null();
        }
        match value {
            Value::Null => NULL_TIMES.contains(&key.as_str()),
            Value::Object(inner) => {
                clean(inner, depth + 1);
                true
            }
            Value::Array(items) => {
                clean_items(items, depth);
                // The rules of a role are written even if there are none.
                !items.is_empty() || (depth == 0 && key == "rules")
            }
            Value::Bool(false) => !LEFT_OUT_IF_FALSE.contains(&key.as_str()),
            Value::String(text) if text.is_empty() => !LEFT_OUT_IF_EMPTY.contains(&key.as_str()),
            Value::Number(number) if number.as_i64() == Some(0) => {
                !LEFT_OUT_IF_ZERO.contains(&key.as_str())
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
        }
    });
}

/// Changes the entries of a map and says whether it is kept; what is no map is kept unless null.
fn keep_map(value: &mut Value, change: impl FnMut(&mut Value)) -> bool {
    match value {
        Value::Object(entries) => {
            entries.values_mut().for_each(change);
            !entries.is_empty()
        }
        other => !other.is_null(),
    }
}

/// A null in a list is an element with no fields, or the empty text.
fn clean_items(items: &mut [Value], depth: usize) {
    let holds_objects = items.iter().any(Value::is_object);
    for item in items {
        match item {
            Value::Object(inner) => clean(inner, depth + 1),
            Value::Null if holds_objects => *item = Value::Object(Map::new()),
            Value::Null => *item = Value::String(String::new()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
