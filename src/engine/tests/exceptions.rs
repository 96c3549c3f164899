//! What exceptions excuse, and what they do not.

use super::*;
use crate::cel::value::Timestamp;
use crate::engine::mutating::{self, Defaults, Mutating};
use crate::schema::Schemas;

const RULE: &str = "// @require at least three\nobject.spec.replicas >= 3\n";

const NOW: &str = "2026-06-01T00:00:00Z";

/// An exception for `p`, with what it says in front of `reason`.
fn exception(what: &str) -> String {
    format!(
        "apiVersion: portcullis.dev/v1alpha1\nkind: PolicyException\nmetadata: {{name: legacy}}\n\
         spec: {{policies: [p], {what} reason: old, owner: team, ticket: T-1, expires: 2026-12-31}}\n"
    )
}

fn decided(files: &[(&str, String)], changes: &[(&str, Value)], now: Option<&str>) -> Verdict {
    let set = set(files);
    let cluster = Objects::new(vec![json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "prod", "labels": {"tier": "old"}},
    })]);
    let body = body(changes);
    let request = review::parse(&body).unwrap();
    let options = Options {
        now: now.map(|now| Timestamp::parse(now).unwrap()),
        ..Options::new(&cluster)
    };
    validate(&set, &request, options).unwrap()
}

/// Who excuses the one violation of `p`, if somebody does.
fn excuse(exception: &str, changes: &[(&str, Value)], now: Option<&str>) -> Option<String> {
    let files = [("p.cel", cel("", RULE)), ("e.yaml", exception.to_owned())];
    let verdict = decided(&files, changes, now);
    match (verdict.decisions.as_slice(), verdict.excused.as_slice()) {
        ([], [excused]) => {
            assert_eq!(excused.policy.policy.name, "p");
            assert_eq!(excused.decisions.len(), 1);
            assert!(!verdict.is_denied());
            Some(excused.exception.exception.full_name())
        }
        ([_], []) => {
            assert!(verdict.is_denied());
            None
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn everything_that_is_written_must_fit() {
    let replicas = "match: {condition: 'object.spec.replicas == 1'},";
    for (what, expected) in [
        ("", true),
        ("match: {names: [web]},", true),
        ("match: {names: ['w*']},", true),
        ("match: {names: [other]},", false),
        ("match: {namespaces: [prod]},", true),
        ("match: {namespaces: ['pr*', x]},", true),
        ("match: {namespaces: [dev]},", false),
        ("match: {resources: [apps/v1/deployments]},", true),
        ("match: {resources: [apps/*/deployments]},", true),
        // A version of which it is not known that it is the same resource.
        ("match: {resources: [apps/v1beta1/deployments]},", false),
        ("match: {resources: [apps/v1/deployments/scale]},", false),
        ("match: {resources: [apps/v1/statefulsets]},", false),
        ("match: {objectSelector: {matchLabels: {app: web}}},", true),
        ("match: {objectSelector: {matchLabels: {app: x}}},", false),
        (
            "match: {namespaceSelector: {matchLabels: {tier: old}}},",
            true,
        ),
        (
            "match: {namespaceSelector: {matchLabels: {tier: new}}},",
            false,
        ),
        (replicas, true),
        ("match: {condition: 'object.spec.replicas == 2'},", false),
        (
            "match: {condition: 'request.operation == \"CREATE\"'},",
            true,
        ),
        (
            "match: {condition: \"namespaceObject.metadata.labels['tier'] == 'old'\"},",
            true,
        ),
        ("match: {names: [web], namespaces: [dev]},", false),
        ("match: {names: [web], condition: 'false'},", false),
    ] {
        let excused = excuse(&exception(what), &[], Some(NOW));
        assert_eq!(excused.is_some(), expected, "{what}");
    }
}

#[test]
fn an_exception_ends() {
    let text = exception("");
    for (now, expected) in [
        (Some("2026-12-31T23:59:59Z"), true),
        (Some("2027-01-01T00:00:00Z"), false),
        // Nobody knows.
        (None, false),
    ] {
        assert_eq!(excuse(&text, &[], now).is_some(), expected, "{now:?}");
    }
}

#[test]
fn an_exception_of_a_namespace_reaches_nothing_outside_of_it() {
    let text = exception("").replace("{name: legacy}", "{name: legacy, namespace: prod}");
    assert_eq!(
        excuse(&text, &[], Some(NOW)).as_deref(),
        Some("prod/legacy")
    );
    let elsewhere = ("/namespace", json!("dev"));
    assert_eq!(excuse(&text, &[elsewhere], Some(NOW)), None);
    let in_none = ("/namespace", json!(""));
    assert_eq!(
        excuse(&text, std::slice::from_ref(&in_none), Some(NOW)),
        None
    );
    // Its own Namespace is not in it.
    let resource = json!({"group": "", "version": "v1", "resource": "namespaces"});
    let changes = [
        (
            "/kind",
            json!({"group": "", "version": "v1", "kind": "Namespace"}),
        ),
        (
            "/requestKind",
            json!({"group": "", "version": "v1", "kind": "Namespace"}),
        ),
        ("/resource", resource.clone()),
        ("/requestResource", resource),
        ("/name", json!("prod")),
    ];
    let policy = cel("", RULE).replace("apps/v1/deployments", "v1/namespaces");
    let files = [("p.cel", policy), ("e.yaml", text)];
    let verdict = decided(&files, &changes, Some(NOW));
    assert_eq!((verdict.decisions.len(), verdict.excused.len()), (1, 0));
    // What asks for a namespace is not about objects in none.
    let named = exception("match: {namespaces: ['*']},");
    assert_eq!(
        excuse(&named, std::slice::from_ref(&in_none), Some(NOW)),
        None
    );
    let selector =
        "match: {namespaceSelector: {matchExpressions: [{key: x, operator: DoesNotExist}]}},";
    assert_eq!(excuse(&exception(selector), &[in_none], Some(NOW)), None);
    // A namespace of which nothing is known has no labels, and lacks none either.
    let unknown = ("/namespace", json!("unknown"));
    assert_eq!(excuse(&exception(selector), &[unknown], Some(NOW)), None);
    assert!(excuse(&exception(selector), &[], Some(NOW)).is_some());
}

#[test]
fn an_object_without_a_name_is_excused_only_if_each_it_may_get_is() {
    let object = |metadata: Value| [("/name", json!("")), ("/object/metadata", metadata)];
    for (names, metadata, expected) in [
        ("web-*", json!({"generateName": "web-"}), true),
        ("web-", json!({"generateName": "web-"}), false),
        ("web-a", json!({"generateName": "web-"}), false),
        ("web", json!({"name": "web"}), true),
        ("*", json!({}), false),
    ] {
        let text = exception(&format!("match: {{names: ['{names}']}},"));
        let excused = excuse(&text, &object(metadata.clone()), Some(NOW));
        assert_eq!(excused.is_some(), expected, "{names} {metadata}");
    }
}

#[test]
fn the_labels_an_object_gets_decide_and_not_those_it_had() {
    let text = exception("match: {objectSelector: {matchLabels: {legacy: 'yes'}}},");
    let old = json!({"metadata": {"labels": {"legacy": "yes"}}, "spec": {"replicas": 1}});
    let update = [("/operation", json!("UPDATE")), ("/oldObject", old)];
    assert_eq!(excuse(&text, &update, Some(NOW)), None);
}

#[test]
fn what_fails_excuses_nothing_and_says_so() {
    let failing = exception("match: {condition: 'object.spec.missing == 1'},");
    let files = [("p.cel", cel("", RULE)), ("e.yaml", failing)];
    let verdict = decided(&files, &[], Some(NOW));
    assert_eq!(messages(&verdict), ["Deny: at least three"]);
    let unapplied: Vec<&str> = verdict
        .unapplied
        .iter()
        .map(|it| it.message.as_str())
        .collect();
    let expected = "expression 'object.spec.missing == 1' resulted in error: no such key: missing";
    assert_eq!(unapplied, [expected]);
    let costly = "[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, \
                  [1,2,3,4,5,6,7,8,9].all(d, [1,2,3,4,5,6,7,8,9].all(e, [1,2,3,4,5,6,7,8,9].all(f, \
                  [1,2,3,4,5,6,7,8,9].all(g, a + b + c + d + e + f + g > object.spec.replicas)))))))";
    let costly = exception(&format!("match: {{condition: '{costly}'}},"));
    assert_eq!(excuse(&costly, &[], Some(NOW)), None);
}

#[test]
fn errors_are_excused_as_violations_are_and_other_policies_are_not() {
    let failing = cel("", "// @require x\nobject.spec.missing == 1\n");
    let files = [
        ("p.cel", failing),
        ("q.cel", cel("action: warn", RULE)),
        ("e.yaml", exception("")),
    ];
    let verdict = decided(&files, &[], Some(NOW));
    assert_eq!(messages(&verdict), ["Warn: at least three"]);
    assert_eq!(verdict.excused[0].decisions[0].outcome, Outcome::Error);
    assert_eq!(verdict.matched, 2);
}

#[test]
fn what_is_excused_is_recorded() {
    let files = [("p.cel", cel("", RULE)), ("e.yaml", exception(""))];
    let verdict = decided(&files, &[], Some(NOW));
    let annotations = respond::audit_annotations(&verdict, Mode::Enforce);
    let [(key, value)] = annotations.as_slice() else {
        panic!("{annotations:?}");
    };
    let value: Value = serde_json::from_str(value).unwrap();
    let expected = json!([{
        "policy": "p", "exception": "legacy", "owner": "team", "reason": "old", "ticket": "T-1",
        "expires": "2026-12-31", "violations": 1, "messages": ["at least three"],
    }]);
    assert_eq!((key.as_str(), value), ("excused", expected));
    let response = respond::respond("u", &verdict, Mode::Enforce);
    assert!(response.warnings.is_empty());
}

/// Answers as they go to the API server.
fn answer(files: &[(&str, String)], changes: &[(&str, Value)]) -> (bool, Vec<u8>) {
    let verdict = decided(files, changes, Some(NOW));
    let answer = respond::respond("u", &verdict, Mode::Enforce).to_json();
    (verdict.is_denied(), answer)
}

#[test]
fn an_exception_that_fits_nothing_changes_no_byte_and_none_denies() {
    let policies = [
        cel("", RULE),
        cel("action: [warn, audit]", RULE),
        cel(
            "failurePolicy: Ignore",
            "// @require x\nobject.spec.missing == 1\n",
        ),
        cel("", "// @require x\nobject.spec.missing == 1\n"),
        cel(
            "",
            &format!("{RULE}// @audit replicas\nstring(object.spec.replicas)\n"),
        ),
    ];
    let exceptions = [
        "",
        "match: {names: [other]},",
        "match: {condition: 'object.spec.missing == 1'},",
        "match: {condition: 'object.spec.replicas > 0'},",
    ];
    let requests: [&[(&str, Value)]; 3] = [
        &[],
        &[("/object/spec/replicas", json!(3))],
        &[("/namespace", json!("")), ("/name", json!(""))],
    ];
    for (policy, changes) in policies
        .iter()
        .flat_map(|it| requests.map(|request| (it, request)))
    {
        let bare = answer(&[("p.cel", policy.clone())], changes);
        for what in exceptions {
            let files = [("p.cel", policy.clone()), ("e.yaml", exception(what))];
            let (is_denied, bytes) = answer(&files, changes);
            assert!(bare.0 || !is_denied, "{policy} {what}");
            let is_about_nothing = what.contains("other") || what.contains("missing");
            if is_about_nothing {
                assert_eq!(bytes, bare.1, "{policy} {what}");
            }
        }
    }
}

#[test]
fn a_mutation_that_is_excused_is_not_made() {
    let policy = cel(
        "mutate: true",
        "// @apply\nObject{spec: Object.spec{replicas: 3}}\n",
    );
    let broken = cel(
        "mutate: true",
        "// @apply\nObject{spec: Object.spec{replicas: object.x}}\n",
    );
    let mutated = |policy: &str, what: &str| {
        let set = set(&[("p.cel", policy.to_owned()), ("e.yaml", exception(what))]);
        let body = body(&[]);
        let request = review::parse(&body).unwrap();
        let cluster = Objects::default();
        let options = Options {
            now: Some(Timestamp::parse(NOW).unwrap()),
            ..Options::new(&cluster)
        };
        let how = Mutating {
            schemas: &Schemas::built_in_shared,
            defaults: Defaults::Omitted,
        };
        let mutated = mutating::mutate(&set, &request, options, how).unwrap();
        let excused: Vec<usize> = mutated
            .verdict
            .excused
            .iter()
            .map(|it| it.decisions.len())
            .collect();
        (mutated.patch.len(), mutated.is_denied(), excused)
    };
    assert_eq!(mutated(&policy, ""), (0, false, vec![0]));
    assert_eq!(
        mutated(&policy, "match: {names: [other]},"),
        (1, false, vec![])
    );
    assert_eq!(mutated(&broken, ""), (0, false, vec![0]));
    assert_eq!(
        mutated(&broken, "match: {names: [other]},"),
        (0, true, vec![])
    );
}
