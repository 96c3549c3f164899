//! Policies about one version of a resource, and requests in another.

use super::*;

/// A policy whose message says what it sees.
fn telling(resources: &str, more: &str, message: &str) -> PolicySet {
    let text = format!(
        "// ---\n// match: {{resources: [{resources}]}}\n{more}// ---\n// @require r\nfalse\n// \
         @message\n{message}\n"
    );
    set(&[("p.cel", text)])
}

/// A request for an object as it was sent.
fn request(group: &str, version: &str, (resource, kind): (&str, &str), object: Value) -> Vec<u8> {
    let kind = json!({"group": group, "version": version, "kind": kind});
    let resource = json!({"group": group, "version": version, "resource": resource});
    body(&[
        ("/kind", kind.clone()),
        ("/requestKind", kind),
        ("/resource", resource.clone()),
        ("/requestResource", resource),
        ("/object", object),
    ])
}

fn autoscaler(version: &str, spec: &Value) -> Vec<u8> {
    let object = json!({
        "apiVersion": format!("autoscaling/{version}"), "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web"}, "spec": spec,
    });
    let names = ("horizontalpodautoscalers", "HorizontalPodAutoscaler");
    request("autoscaling", version, names, object)
}

fn told(verdict: &Verdict) -> Vec<&str> {
    let decisions = verdict.decisions.iter();
    decisions
        .map(|decision| decision.message.as_str())
        .collect()
}

const SEEN: &str = "object.apiVersion + ' ' + request.kind.version + request.resource.version + ' ' \
                    + request.requestKind.version + ' ' + string(has(object.spec.metrics))";

#[test]
fn a_rule_about_another_version_sees_the_object_in_it() {
    let spec = json!({"maxReplicas": 3, "targetCPUUtilizationPercentage": 60});
    let request = autoscaler("v1", &spec);
    let none = Objects::default();
    let cases = [
        (
            "autoscaling/v2/horizontalpodautoscalers",
            "",
            vec!["autoscaling/v2 v2v2 v1 true"],
        ),
        (
            "autoscaling/v1/horizontalpodautoscalers",
            "",
            vec!["autoscaling/v1 v1v1 v1 false"],
        ),
        (
            "autoscaling/*/horizontalpodautoscalers",
            "",
            vec!["autoscaling/v1 v1v1 v1 false"],
        ),
        (
            "autoscaling/v2/horizontalpodautoscalers",
            "// matchPolicy: Exact\n",
            vec![],
        ),
        ("autoscaling/v2beta2/horizontalpodautoscalers", "", vec![]),
    ];
    for (resources, more, expected) in cases {
        let set = telling(resources, more, SEEN);
        let verdict = decide(&set, &request, &none);
        assert_eq!(told(&verdict), expected, "{resources} {more}");
    }
}

#[test]
fn what_the_api_server_has_converted_is_taken_back_for_a_rule_about_what_was_sent() {
    let spec = json!({"maxReplicas": 3, "metrics": [{"type": "Resource", "resource": {
        "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}]});
    let mut review: Value = serde_json::from_slice(&autoscaler("v2", &spec)).unwrap();
    for (key, of) in [("requestKind", "kind"), ("requestResource", "resource")] {
        review["request"][key] = review["request"][of].clone();
        review["request"][key]["version"] = json!("v1");
    }
    let request = review.to_string();
    let none = Objects::default();
    let message = "object.apiVersion + ' ' + string(object.spec.targetCPUUtilizationPercentage)";
    let set = telling("autoscaling/*/horizontalpodautoscalers", "", message);
    let verdict = decide(&set, request.as_bytes(), &none);
    assert_eq!(told(&verdict), ["autoscaling/v1 60"]);
    let set = telling("autoscaling/v2/horizontalpodautoscalers", "", SEEN);
    let verdict = decide(&set, request.as_bytes(), &none);
    assert_eq!(told(&verdict), ["autoscaling/v2 v2v2 v1 true"]);
}

#[test]
fn what_cannot_be_converted_is_an_error_of_the_policy() {
    let spec = json!({"maxReplicas": 3, "behavior": {"scaleUp": {}}});
    let request = autoscaler("v2", &spec);
    let none = Objects::default();
    let set = telling("autoscaling/v1/horizontalpodautoscalers", "", "'never'");
    let verdict = decide(&set, &request, &none);
    assert!(verdict.is_denied());
    assert!(
        told(&verdict)[0].contains("failed to convert object version"),
        "{verdict:?}"
    );
    let ignored = "// failurePolicy: Ignore\n";
    let set = telling(
        "autoscaling/v1/horizontalpodautoscalers",
        ignored,
        "'never'",
    );
    assert!(!decide(&set, &request, &none).is_denied());
}

#[test]
fn events_are_the_same_in_both_groups() {
    let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}});
    let request = request("", "v1", ("events", "Event"), event);
    let none = Objects::default();
    let set = telling("events.k8s.io/v1/events", "", "'never'");
    let verdict = decide(&set, &request, &none);
    assert!(
        told(&verdict)[0].contains("failed to convert object version"),
        "{verdict:?}"
    );
    let set = telling(
        "events.k8s.io/v1/events",
        "// matchPolicy: Exact\n",
        "'never'",
    );
    assert_eq!(decide(&set, &request, &none).matched, 0);
    let set = telling(
        "v1/events, events.k8s.io/v1/events",
        "",
        "string(object.kind)",
    );
    assert_eq!(told(&decide(&set, &request, &none)), ["Event"]);
}

#[test]
fn exclusions_are_about_every_version_that_is_known() {
    let spec = json!({"maxReplicas": 3});
    let request = autoscaler("v1", &spec);
    let none = Objects::default();
    let excluding = |version: &str| {
        let more = format!(
            "// exclude: {{resources: [autoscaling/{version}/horizontalpodautoscalers]}}\n"
        );
        let set = telling("'autoscaling/*/horizontalpodautoscalers'", &more, "'seen'");
        decide(&set, &request, &none).matched
    };
    assert_eq!(["v1", "v2", "v3"].map(excluding), [0, 0, 1]);
}

fn widgets(strategy: &str) -> Resources {
    let version = |name: &str| {
        json!({"name": name, "served": true, "schema": {"openAPIV3Schema": {
            "type": "object", "properties": {"spec": {"type": "object", "properties": {
                "ratio": {"type": "number"}, "size": {"type": "integer"},
            }}},
        }}})
    };
    let mut resources = Resources::default();
    resources
        .define(&json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "widgets.example.com"},
            "spec": {
                "group": "example.com", "scope": "Namespaced",
                "names": {"plural": "widgets", "kind": "Widget"},
                "conversion": {"strategy": strategy},
                "versions": [version("v1"), version("v2")],
            },
        }))
        .unwrap();
    resources
}

fn widget() -> Vec<u8> {
    let object = json!({
        "apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"},
        "spec": {"ratio": 1, "size": 1},
    });
    request("example.com", "v1", ("widgets", "Widget"), object)
}

#[test]
fn versions_of_custom_resources_are_those_of_their_definition() {
    let none = Objects::default();
    let message = "object.apiVersion + ' ' + request.kind.version";
    let asked = |version: &str, resources: &Resources| {
        let set = telling(&format!("example.com/{version}/widgets"), "", message);
        let verdict = decide_with(&set, &widget(), &none, resources);
        told(&verdict).join(";")
    };
    let alike = widgets("None");
    assert_eq!(asked("v1", &alike), "example.com/v1 v1");
    assert_eq!(asked("v2", &alike), "example.com/v2 v2");
    assert_eq!(asked("v3", &alike), "");
    let different = widgets("Webhook");
    assert_eq!(asked("v1", &different), "example.com/v1 v1");
    assert!(asked("v2", &different).contains("failed to convert object version"));
    // What is not defined may be the same in any version.
    assert_eq!(asked("v3", Resources::built_in()), "example.com/v1 v1");
}

#[test]
fn numbers_of_custom_resources_are_doubles_where_the_definition_is_known() {
    let none = Objects::default();
    let message =
        "string(type(object.spec.ratio) == double) + ' ' + string(type(object.spec.size))";
    let message = message.replace(
        "string(type(object.spec.size))",
        "string(type(object.spec.size) == int)",
    );
    let set = telling("example.com/v1/widgets", "", &message);
    let verdict = decide_with(&set, &widget(), &none, &widgets("None"));
    assert_eq!(told(&verdict), ["true true"]);
    let verdict = decide(&set, &widget(), &none);
    assert_eq!(told(&verdict), ["false true"]);
}
