//! Fields of kinds, as expressions may name them.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::cel::check;
use crate::cel::env::{Env, Language};
use crate::cel::parse;
use crate::cel::types::Type;

fn kind(group: &str, version: &str, kind: &str) -> Kind {
    Kind {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
    }
}

/// The type of an expression about an object of a kind, or what is wrong with it.
fn infer(schemas: &Arc<Schemas>, kind: &Kind, view: View, expression: &str) -> String {
    let object = schemas.object(kind, view).unwrap();
    let env = Env::new([("object", Type::Dyn)], Language::Kubernetes);
    let env = env.with_schema("object", &object);
    let ast = parse::parse(expression).unwrap();
    let types = check::types(&ast, &env);
    match types.issues.first() {
        Some(issue) => issue.message.clone(),
        None => types.result.to_string(),
    }
}

#[test]
fn built_in_kinds_are_typed_as_kubernetes_types_them() {
    let schemas = Arc::new(Schemas::built_in());
    let deployment = kind("apps", "v1", "Deployment");
    for (expression, expected) in [
        ("object.spec.replicas", "int"),
        ("object.metadata.labels", "map(string, string)"),
        ("object.metadata.namespace", "string"),
        ("object.metadata.__namespace__", "string"),
        (
            "object.metadata.creationTimestamp",
            "google.protobuf.Timestamp",
        ),
        ("object.spec.strategy.rollingUpdate.maxSurge", "dyn"),
        (
            "object.spec.template.spec.containers",
            "list(Deployment.spec.template.spec.containers.@idx)",
        ),
        (
            "object.spec.template.spec.containers[0].resources.limits",
            "undefined field `limits` of Deployment.spec.template.spec.containers.@idx.resources",
        ),
        (
            "object.spec.replcas",
            "undefined field `replcas` of Deployment.spec",
        ),
        (
            "object.spec.replicas == null",
            "`==` does not take int and null_type",
        ),
        ("object.spec.template == null", "bool"),
        (
            "object.spec.template.spec.containers + object.spec.template.spec.initContainers",
            "`+` does not take list(Deployment.spec.template.spec.containers.@idx) and \
             list(Deployment.spec.template.spec.initContainers.@idx)",
        ),
        ("object['spec']", "`[]` does not take Deployment and string"),
    ] {
        let found = infer(&schemas, &deployment, View::Kubernetes, expression);
        assert_eq!(found, expected, "{expression}");
    }
    for (expression, expected) in [
        (
            "object.spec.template.spec.containers + object.spec.template.spec.initContainers",
            "list(Container)",
        ),
        (
            "object.spec.template.spec.containers[0].resources.limits",
            "map(string, resource quantity)",
        ),
    ] {
        let found = infer(&schemas, &deployment, View::Amounts, expression);
        assert_eq!(found, expected, "{expression}");
    }
}

#[test]
fn a_schema_that_holds_itself_ends() {
    let schemas = Arc::new(Schemas::built_in());
    let crd = kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let start = "object.spec.versions[0].schema.openAPIV3Schema";
    let found = infer(
        &schemas,
        &crd,
        View::Kubernetes,
        &format!("{start}.not.type"),
    );
    let path = "CustomResourceDefinition.spec.versions.@idx.schema.openAPIV3Schema.not";
    assert_eq!(found, format!("undefined field `type` of {path}"));
}

#[test]
fn custom_kinds_are_typed_by_their_definition() {
    let mut schemas = Schemas::built_in();
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "spec": {
            "group": "example.com",
            "names": {"kind": "Thing", "plural": "things"},
            "versions": [
                {"name": "v1", "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "required": ["spec"],
                    "properties": {"spec": {"type": "object", "properties": {
                        "size": {"type": "integer"},
                        "port": {"x-kubernetes-int-or-string": true},
                        "secret": {"type": "string", "format": "byte"},
                        "every": {"type": "string", "format": "duration"},
                        "any": {"x-kubernetes-preserve-unknown-fields": true},
                        "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                        "my-field": {"type": "boolean"},
                        "weights": {"type": "object", "additionalProperties": {"type": "number"}},
                        "inner": {"type": "object", "x-kubernetes-embedded-resource": true},
                        "items": {"type": "array", "x-kubernetes-list-type": "map",
                            "x-kubernetes-list-map-keys": ["name"],
                            "items": {"type": "object", "properties": {"name": {"type": "string"}}}}
                    }}}}}},
                {"name": "v2", "served": false},
                {"name": "v3"}
            ]
        }
    });
    schemas.define(&crd).unwrap();
    let schemas = Arc::new(schemas);
    let thing = kind("example.com", "v1", "Thing");
    for (expression, expected) in [
        ("object.metadata.labels", "map(string, string)"),
        ("object.spec.size", "int"),
        ("object.spec.port", "dyn"),
        ("object.spec.secret", "bytes"),
        ("object.spec.every", "google.protobuf.Duration"),
        ("object.spec.any", "undefined field `any` of Thing.spec"),
        (
            "object.spec.open.x",
            "undefined field `x` of Thing.spec.open",
        ),
        ("object.spec.my__dash__field", "bool"),
        ("object.spec.weights", "map(string, double)"),
        ("object.spec.inner.metadata.name", "string"),
        ("object.spec.items[0].name", "string"),
    ] {
        let found = infer(&schemas, &thing, View::Kubernetes, expression);
        assert_eq!(found, expected, "{expression}");
    }
    let open = infer(&schemas, &thing, View::Whole, "object.spec.open.x");
    assert_eq!(open, "dyn");
    assert!(schemas.kind(&kind("example.com", "v2", "Thing")).is_none());
    let bare = kind("example.com", "v3", "Thing");
    let found = infer(&schemas, &bare, View::Kubernetes, "object.spec");
    assert_eq!(found, "undefined field `spec` of Thing");
}

#[test]
fn how_lists_are_merged_is_known() {
    let schemas = Schemas::built_in();
    let container = schemas
        .nodes
        .iter()
        .find(|it| &*it.name == "api.core.v1.Container");
    let Shape::Object { properties, .. } = &container.unwrap().shape else {
        panic!("a container is an object");
    };
    let merge = |name: &str| {
        let property = properties.iter().find(|it| &*it.name == name).unwrap();
        match &schemas.schema(property.schema).shape {
            Shape::List { merge, .. } => merge.clone(),
            _ => panic!("{name} is a list"),
        }
    };
    let key = |name: &str, default| ListKey {
        name: Arc::from(name),
        default: Some(default),
    };
    assert_eq!(merge("command"), ListType::Atomic);
    assert_eq!(merge("env"), ListType::Map(vec![key("name", json!(""))]));
    let keys = vec![
        key("containerPort", json!(0)),
        key("protocol", json!("TCP")),
    ];
    assert_eq!(merge("ports"), ListType::Map(keys));
}
