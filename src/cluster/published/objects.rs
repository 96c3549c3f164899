//! Policies and bindings of `admissionregistration.k8s.io`, each a text of its own, as `kubectl` shows it.
//!
//! The API server decides by them, too, as far as it knows them. What it keeps for itself in their
//! metadata, and their status, say nothing about what they mean and are left out.

use std::sync::Arc;

use kube::api::DynamicObject;
use serde_json::{Map, Value, json};

use super::follow::{Kind, Read};
use crate::policy::model::PolicyKind;
use crate::sources::write;
use crate::text::Source;
use crate::text::yaml::parse_stream;

const GROUP: &str = "admissionregistration.k8s.io";
/// The best first.
const VERSIONS: &[&str] = &["v1", "v1beta1", "v1alpha1"];
/// What `kubectl apply` writes for itself: the object once more.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Policies, then their bindings.
pub(super) fn kinds() -> [Kind; 4] {
    let kind = |kind, plural, words: &str| Kind {
        words: words.to_owned(),
        group: GROUP,
        versions: VERSIONS,
        kind,
        plural,
        namespace: None,
        holds: None,
        binds: None,
        read,
    };
    let (validating, mutating) = (Some(PolicyKind::Validating), Some(PolicyKind::Mutating));
    [
        Kind {
            holds: validating,
            ..kind(
                "ValidatingAdmissionPolicy",
                "validatingadmissionpolicies",
                "labelled ValidatingAdmissionPolicies",
            )
        },
        Kind {
            holds: mutating,
            ..kind(
                "MutatingAdmissionPolicy",
                "mutatingadmissionpolicies",
                "labelled MutatingAdmissionPolicies",
            )
        },
        Kind {
            binds: validating,
            ..kind(
                "ValidatingAdmissionPolicyBinding",
                "validatingadmissionpolicybindings",
                "ValidatingAdmissionPolicyBindings",
            )
        },
        Kind {
            binds: mutating,
            ..kind(
                "MutatingAdmissionPolicyBinding",
                "mutatingadmissionpolicybindings",
                "MutatingAdmissionPolicyBindings",
            )
        },
    ]
}

fn read(kind: &Kind, api_version: &str, mut object: DynamicObject) -> Read {
    let mut carrier = kind.carrier(api_version, &object);
    let spec = object.data.get_mut("spec").map(Value::take);
    let spec = spec.unwrap_or_default();
    let names = spec.get("policyName").and_then(Value::as_str);
    // A binding that names none is of no policy that is taken.
    let names = kind.binds.map(|_| names.unwrap_or_default().to_owned());
    let mut metadata = Map::new();
    metadata.insert("name".to_owned(), json!(carrier.name));
    let mut annotations = object.metadata.annotations.unwrap_or_default();
    annotations.remove(LAST_APPLIED);
    let labels = object.metadata.labels.unwrap_or_default();
    for (key, map) in [("labels", labels), ("annotations", annotations)] {
        if !map.is_empty() {
            metadata.insert(key.to_owned(), json!(map));
        }
    }
    let document = json!({
        "apiVersion": api_version,
        "kind": kind.kind,
        "metadata": metadata,
        "spec": spec,
    });
    carrier.sources = vec![source(kind, &carrier.name, &document)];
    Read { carrier, names }
}

/// Writes a document as the reader understands it, which is made sure of.
fn source(kind: &Kind, name: &str, document: &Value) -> Arc<Source> {
    let origin = kind.origin().join(name);
    let name = format!("{}.yaml", origin.display());
    if let Ok(text) = write::yaml(std::slice::from_ref(document)) {
        let text = text.strip_prefix("---\n").unwrap_or(&text);
        let source = Source::new(name.as_str(), text);
        let read = parse_stream(&source);
        let mut documents = read.documents.iter();
        if documents.next().is_some_and(|it| it.to_json() == *document) && documents.len() == 0 {
            return source;
        }
    }
    // JSON is YAML, and has one way to write a text.
    let text = serde_json::to_string_pretty(document).unwrap_or_default();
    Source::new(name, text)
}
