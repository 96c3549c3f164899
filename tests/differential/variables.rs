//! The objects expressions are evaluated over, and the paths into them.

use serde_json::{Value as Row, json};

use super::random::Random;
use super::types::Ty;

/// The variables of a row with how they are declared.
pub(crate) struct Variables {
    /// `dyn` or `admission`.
    pub(crate) env: &'static str,
    /// The values by name.
    pub(crate) values: Row,
    /// Every path into them with the type of what is there.
    pub(crate) paths: Vec<(String, Ty)>,
    /// What the estimate takes for known: sizes by path.
    pub(crate) sizes: Row,
}

fn workload() -> Row {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "web", "namespace": "prod", "generation": 2,
            "labels": { "app": "web", "app.kubernetes.io/name": "web", "tier": "front" },
            "annotations": { "example.com/cpu": "500m", "since": "2024-01-01T00:00:00Z", "ttl": "1h" },
            "finalizers": [], "creationTimestamp": null
        },
        "spec": {
            "replicas": 3, "paused": false, "ratio": 0.5, "whole": 3.0, "big": 9_007_199_254_740_993_i64,
            "empty": {}, "none": [], "names": ["a", "b", "b", "c"], "ports": [80, 443, 8080],
            "weights": [1.5, -2.0, 1e21], "flags": [true, false], "mixed": [1, "a", 2.5, null, true, {}],
            "nested": [[1, 2], [3], []], "limits": { "cpu": "500m", "memory": "1Gi" },
            "cidr": "10.0.0.0/8", "address": "10.1.2.3", "url": "https://example.com:8443/p?q=1",
            "version": "v1.25.3", "schedule": "2024-06-15T12:30:45.123456789-07:00",
            "template": {
                "spec": {
                    "containers": [
                        { "name": "web", "image": "nginx:1.25", "ports": [{ "containerPort": 80 }],
                          "env": [{ "name": "A", "value": "1" }, { "name": "B" }],
                          "resources": { "limits": { "cpu": "500m", "memory": "128Mi" } } },
                        { "name": "side", "image": "redis@sha256:abc",
                          "securityContext": { "runAsUser": 1000, "privileged": false } }
                    ],
                    "hostNetwork": true
                }
            }
        }
    })
}

/// All dyn: the usual names of rules of custom resources and of policies.
pub(crate) fn untyped() -> Variables {
    let values = json!({
        "object": workload(),
        "oldObject": null,
        "self": { "val": { "b": 1, "d": 2 }, "one": { "k": "v" }, "list": [3, 1, 2], "s": "é€𝄞", "n": -7 },
    });
    with_paths("dyn", values)
}

/// The variables of a validating policy.
pub(crate) fn admission() -> Variables {
    let values = json!({
        "object": workload(),
        "oldObject": { "metadata": { "name": "web" }, "spec": { "replicas": 5 } },
        "params": { "data": { "max": "5", "min": "1" }, "limit": 10 },
        "request": {
            "uid": "u-1", "kind": { "group": "apps", "version": "v1", "kind": "Deployment" },
            "resource": { "group": "apps", "version": "v1", "resource": "deployments" },
            "name": "web", "namespace": "prod", "operation": "CREATE", "dryRun": false,
            "userInfo": {
                "username": "jane", "uid": "7", "groups": ["dev", "system:authenticated"],
                "extra": { "scopes": ["a", "b"] }
            },
            "options": { "kind": "CreateOptions" }
        },
        "namespaceObject": {
            "metadata": { "name": "prod", "labels": { "env": "prod", "team": "shop" } },
            "spec": { "finalizers": ["kubernetes"] }, "status": { "phase": "Active" }
        },
    });
    with_paths("admission", values)
}

fn with_paths(env: &'static str, values: Row) -> Variables {
    let mut paths = Vec::new();
    for (name, value) in values.as_object().unwrap() {
        walk(name, value, &mut paths);
    }
    Variables {
        env,
        values,
        paths,
        sizes: Row::Null,
    }
}

/// The same, of which the sizes of most parts are known.
pub(crate) fn with_sizes(variables: Variables) -> Variables {
    let mut sizes = serde_json::Map::new();
    for (name, value) in variables.values.as_object().unwrap() {
        add_sizes(name, value, &mut sizes);
    }
    Variables {
        sizes: Row::Object(sizes),
        ..variables
    }
}

/// Adds the sizes of a value and its parts, by all the paths the estimate may find them.
fn add_sizes(path: &str, value: &Row, sizes: &mut serde_json::Map<String, Row>) {
    let size = match value {
        Row::Object(fields) => {
            for (key, value) in fields {
                add_sizes(&format!("{path}.{key}"), value, sizes);
                add_sizes(&format!("{path}.@values"), value, sizes);
            }
            sizes.insert(format!("{path}.@keys"), json!([1, 63]));
            fields.len()
        }
        Row::Array(items) => {
            for item in items {
                // Of an untyped list it is not known that it is one.
                add_sizes(&format!("{path}.@items"), item, sizes);
                add_sizes(&format!("{path}.@values"), item, sizes);
                add_sizes(&format!("{path}.@keys"), item, sizes);
            }
            items.len()
        }
        Row::String(text) => text.len(),
        _ => return,
    };
    // Some are exact, some a range, of some nothing is known.
    match (path.len() + size) % 4 {
        0 => sizes.insert(path.to_owned(), json!([size, size])),
        1 | 2 => sizes.insert(path.to_owned(), json!([size / 2, size * 10])),
        _ => None,
    };
}

fn walk(path: &str, value: &Row, paths: &mut Vec<(String, Ty)>) {
    paths.push((path.to_owned(), type_of(value)));
    match value {
        Row::Object(fields) => {
            for (key, value) in fields {
                let is_name = key.chars().all(|it| it.is_ascii_alphanumeric());
                let step = if is_name {
                    format!(".{key}")
                } else {
                    format!("['{key}']")
                };
                walk(&format!("{path}{step}"), value, paths);
            }
        }
        Row::Array(items) => {
            for (at, value) in items.iter().enumerate() {
                walk(&format!("{path}[{at}]"), value, paths);
            }
        }
        _ => {}
    }
}

/// The type of a JSON value as the API server decodes it; of mixed lists and maps it is of dyn.
fn type_of(value: &Row) -> Ty {
    match value {
        Row::Null => Ty::Null,
        Row::Bool(_) => Ty::Bool,
        Row::Number(number) if number.is_i64() => Ty::Int,
        Row::Number(_) => Ty::Double,
        Row::String(_) => Ty::String,
        Row::Array(items) => Ty::List(Box::new(common(items.iter()))),
        Row::Object(fields) => Ty::Map(Box::new(Ty::String), Box::new(common(fields.values()))),
    }
}

fn common<'v>(values: impl Iterator<Item = &'v Row>) -> Ty {
    let mut types = values.map(type_of);
    match types.next() {
        Some(first) if types.all(|other| other == first) => first,
        _ => Ty::Dyn,
    }
}

/// Makes a path optional somewhere, or spells a step differently, or wrongly.
pub(crate) fn varied(path: &str, random: &mut Random) -> String {
    match random.below(6) {
        0 => path.replacen('.', ".?", 1 + random.below(3)),
        1 => path.replace('[', "[?"),
        2 => format!("{path}.missing"),
        3 => format!("{path}[0]"),
        4 => {
            let index =
                *random.pick(&["[0u]", "[0.0]", "[-1]", "[9]", "[dyn(0)]", "['0']", "[0.5]"]);
            path.replace("[0]", index)
        }
        _ => {
            let Some((front, field)) = path.rsplit_once('.') else {
                return path.to_owned();
            };
            let is_name = field.chars().all(|it| it.is_ascii_alphanumeric());
            if is_name {
                format!("{front}['{field}']")
            } else {
                path.to_owned()
            }
        }
    }
}
