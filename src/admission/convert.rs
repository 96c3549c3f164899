//! Objects turned from one version of their resource into another, as the API server turns them for
//! a policy whose rules name the other version.
//!
//! Most versions of a resource differ in nothing but their names. The one pair of built-in kinds that
//! differs and is in use is HorizontalPodAutoscaler (kubernetes
//! `pkg/apis/autoscaling/v1/conversion.go`); what version 1 keeps in annotations is not converted.

use bumpalo::Bump;

use crate::json::{Json, Object};

/// How the versions of a resource differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// In their names only.
    Alike,
    /// As `autoscaling/v1` and `autoscaling/v2` do.
    Autoscaling,
    /// In a way that is not known here.
    Different,
}

/// What the annotations begin with in which version 1 keeps what only version 2 has.
const ROUND_TRIP: &str = "autoscaling.alpha.kubernetes.io/";

/// Turns an object into another version, `group/version` or `version`; `None` if it cannot be done
/// exactly. Null stays null.
pub fn convert<'a>(
    arena: &'a Bump,
    object: Json<'a>,
    versions: Versions,
    api_version: &'a str,
) -> Option<Json<'a>> {
    let Json::Object(fields) = object else {
        return Some(object);
    };
    if versions == Versions::Different {
        return None;
    }
    let mut entries = Vec::with_capacity(fields.entries().len());
    for (name, value) in fields.entries() {
        let value = match (*name, versions) {
            ("apiVersion", _) => Json::String(api_version),
            (_, Versions::Alike) => *value,
            ("metadata", _) => has_no_round_trip(*value).then_some(*value)?,
            ("spec", _) => spec(arena, *value, api_version)?,
            ("status", _) => status(arena, *value, api_version)?,
            _ => *value,
        };
        entries.push((*name, value));
    }
    Some(made(arena, &entries))
}

fn made<'a>(arena: &'a Bump, entries: &[(&'a str, Json<'a>)]) -> Json<'a> {
    Json::Object(Object::new_in(arena, arena.alloc_slice_copy(entries)))
}

fn has_no_round_trip(metadata: Json<'_>) -> bool {
    let annotations = metadata.get("annotations").and_then(Json::as_object);
    annotations.is_none_or(|annotations| {
        let mut entries = annotations.entries().iter();
        !entries.any(|(name, _)| name.starts_with(ROUND_TRIP))
    })
}

/// The fields of a part, without some.
fn without<'a>(part: Json<'a>, left_out: &[&str]) -> Option<Vec<(&'a str, Json<'a>)>> {
    let entries = part.as_object()?.entries().iter().copied();
    Some(
        entries
            .filter(|(name, _)| !left_out.contains(name))
            .collect(),
    )
}

/// What is null was not written.
fn written<'a>(part: Json<'a>, field: &str) -> Option<Json<'a>> {
    part.get(field).filter(|value| !value.is_null())
}

fn spec<'a>(arena: &'a Bump, spec: Json<'a>, api_version: &str) -> Option<Json<'a>> {
    const TARGET: &str = "targetCPUUtilizationPercentage";
    let mut entries = without(spec, &[TARGET, "metrics", "behavior"])?;
    if api_version == "autoscaling/v2" {
        if let Some(utilization) = written(spec, TARGET) {
            let target = made(
                arena,
                &[
                    ("type", Json::String("Utilization")),
                    ("averageUtilization", utilization),
                ],
            );
            let resource = made(arena, &[("name", Json::String("cpu")), ("target", target)]);
            let metric = made(
                arena,
                &[("type", Json::String("Resource")), ("resource", resource)],
            );
            entries.push(("metrics", Json::List(arena.alloc_slice_copy(&[metric]))));
        }
        return Some(made(arena, &entries));
    }
    if written(spec, "behavior").is_some() {
        return None;
    }
    let metrics = written(spec, "metrics").map_or(Some(&[] as &[_]), Json::as_list)?;
    let mut utilizations = Vec::with_capacity(metrics.len());
    for metric in metrics {
        let is_cpu = metric.at(&["resource", "name"])?.as_str()? == "cpu";
        let is_resource = metric.get("type")?.as_str()? == "Resource";
        let utilization = metric.at(&["resource", "target", "averageUtilization"])?;
        utilizations.push((is_cpu && is_resource).then_some(utilization)?);
    }
    if let Some(first) = utilizations.first() {
        entries.push((TARGET, *first));
    }
    Some(made(arena, &entries))
}

fn status<'a>(arena: &'a Bump, status: Json<'a>, api_version: &str) -> Option<Json<'a>> {
    const UTILIZATION: &str = "currentCPUUtilizationPercentage";
    let is_empty =
        |value: Json<'_>| value.is_null() || value.as_list().is_some_and(<[_]>::is_empty);
    let left_out = [UTILIZATION, "currentMetrics", "conditions"];
    let is_lossless = left_out
        .iter()
        .all(|field| status.get(field).is_none_or(is_empty));
    if !is_lossless {
        return None;
    }
    let mut entries = without(status, &left_out)?;
    let replicas = entries
        .iter()
        .position(|(name, _)| *name == "currentReplicas");
    match (api_version, replicas) {
        // Version 2 leaves a zero out, version 1 does not.
        ("autoscaling/v1", None) => entries.push(("currentReplicas", Json::Int(0))),
        ("autoscaling/v2", Some(at)) if matches!(entries.get(at), Some((_, Json::Int(0)))) => {
            entries.remove(at);
        }
        _ => {}
    }
    if api_version == "autoscaling/v2" {
        entries.push(("currentMetrics", Json::Null));
    }
    Some(made(arena, &entries))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cel::value::Value;
    use crate::json;

    const V1: &str = r#"{"apiVersion":"autoscaling/v1","kind":"HorizontalPodAutoscaler",
        "metadata":{"name":"h"},
        "spec":{"minReplicas":2,"maxReplicas":5,"targetCPUUtilizationPercentage":60},
        "status":{"desiredReplicas":0,"currentReplicas":0}}"#;
    const V2: &str = r#"{"apiVersion":"autoscaling/v2","kind":"HorizontalPodAutoscaler",
        "metadata":{"name":"h"},
        "spec":{"minReplicas":2,"maxReplicas":5,"metrics":[{"type":"Resource","resource":
            {"name":"cpu","target":{"type":"Utilization","averageUtilization":60}}}]},
        "status":{"desiredReplicas":0,"currentMetrics":null}}"#;

    fn is_same(a: Json<'_>, b: Json<'_>) -> bool {
        Value::from(a).equals(&Value::from(b))
    }

    #[test]
    fn an_autoscaler_is_turned_into_the_other_version_and_back() {
        let arena = Bump::new();
        let (v1, v2) = (
            json::parse_text(&arena, V1).unwrap(),
            json::parse_text(&arena, V2).unwrap(),
        );
        let to = |object, version| convert(&arena, object, Versions::Autoscaling, version).unwrap();
        assert!(is_same(to(v1, "autoscaling/v2"), v2));
        assert!(is_same(to(v2, "autoscaling/v1"), v1));
    }

    #[test]
    fn what_the_other_version_cannot_say_is_not_converted() {
        let changes = [
            (
                r#""name":"h""#,
                r#""name":"h","annotations":{"autoscaling.alpha.kubernetes.io/x":"[]"}"#,
            ),
            (r#""name":"cpu""#, r#""name":"memory""#),
            (r#""averageUtilization":60"#, r#""averageValue":"1""#),
            (r#""minReplicas":2"#, r#""behavior":{"scaleUp":{}}"#),
            (
                r#""currentMetrics":null"#,
                r#""currentMetrics":[{"type":"Resource"}]"#,
            ),
            (
                r#""currentMetrics":null"#,
                r#""conditions":[{"type":"AbleToScale"}]"#,
            ),
        ];
        for (from, to) in changes {
            let text = V2.replace(from, to);
            assert_ne!(text, V2);
            let arena = Bump::new();
            let object = json::parse_text(&arena, &text).unwrap();
            let converted = convert(&arena, object, Versions::Autoscaling, "autoscaling/v1");
            assert!(converted.is_none(), "{to}");
        }
    }

    #[test]
    fn alike_versions_differ_in_their_names_only() {
        let arena = Bump::new();
        let text = r#"{"apiVersion":"example.com/v1","kind":"Widget","spec":{"a":[1]}}"#;
        let object = json::parse_text(&arena, text).unwrap();
        let expected = text.replace("/v1", "/v2");
        let expected = json::parse_text(&arena, &expected).unwrap();
        let converted = convert(&arena, object, Versions::Alike, "example.com/v2").unwrap();
        assert!(is_same(converted, expected));
        assert!(convert(&arena, object, Versions::Different, "example.com/v2").is_none());
        let nothing = convert(&arena, Json::Null, Versions::Different, "example.com/v2");
        assert!(nothing.is_some_and(Json::is_null));
    }
}
