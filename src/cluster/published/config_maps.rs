//! Policies in ConfigMaps: each key that is named as a file of policies is one.

use std::path::Path;

use kube::api::DynamicObject;
use serde_json::Value;

use super::follow::{Kind, Read};
use crate::sources::is_policy;
use crate::text::Source;

/// The ConfigMaps of a namespace.
pub(super) fn kind(namespace: String) -> Kind {
    Kind {
        words: format!("ConfigMaps in `{namespace}`"),
        group: "",
        versions: &["v1"],
        kind: "ConfigMap",
        plural: "configmaps",
        namespace: Some(namespace),
        holds: None,
        binds: None,
        read,
    }
}

fn read(kind: &Kind, api_version: &str, mut object: DynamicObject) -> Read {
    let mut carrier = kind.carrier(api_version, &object);
    let origin = kind.origin();
    let named = |key: &str| origin.join(&carrier.name).join(key).display().to_string();
    let (mut sources, mut faults, mut passed_over) = (Vec::new(), Vec::new(), Vec::new());
    for (key, text) in fields(&mut object.data, "data") {
        match text {
            Value::String(text) if is_policy(Path::new(&key)) => {
                sources.push(Source::new(named(&key), text));
            }
            _ => passed_over.push(key),
        }
    }
    // Where `kubectl create configmap --from-file` puts what is no text.
    for (key, _) in fields(&mut object.data, "binaryData") {
        match is_policy(Path::new(&key)) {
            true => faults.push(format!("`{key}` is not a UTF-8 text")),
            false => passed_over.push(key),
        }
    }
    if sources.is_empty() && faults.is_empty() {
        faults.push("no key is named as a file of policies: .cel, .yaml, .yml or .json".to_owned());
    }
    carrier.sources = sources;
    carrier.faults = faults;
    carrier.passed_over = passed_over;
    Read {
        carrier,
        names: None,
    }
}

/// Takes the fields of a mapping, in order of their names.
fn fields(data: &mut Value, key: &str) -> Vec<(String, Value)> {
    let mut fields: Vec<(String, Value)> = match data.get_mut(key).map(Value::take) {
        Some(Value::Object(fields)) => fields.into_iter().collect(),
        _ => Vec::new(),
    };
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    fields
}
