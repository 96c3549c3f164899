//! The format of test files, with its mistakes.

use serde_json::json;

use super::*;
use crate::suite::expect::Applies;

fn parse(text: &str) -> (TestFile, Vec<String>) {
    let source = Source::new("p.test.yaml", text);
    let (file, diagnostics) = read(&source);
    let shown = diagnostics.iter().map(|it| {
        let at = it.labels[0].position();
        let help = it
            .help
            .as_ref()
            .map_or(String::new(), |help| format!(" ({help})"));
        format!(
            "{}:{} {}: {}{help}",
            at.line, at.column, it.code, it.message
        )
    });
    (file, shown.collect())
}

const BASE: &str = "base: {apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {size: 1}}\n";

/// Returns operation, object and old object of the one case of a file.
fn case(text: &str) -> (Operation, Option<Value>, Option<Value>) {
    let (mut file, problems) = parse(&format!(
        "{BASE}cases:\n- {{name: c, expect: admit, {text}}}"
    ));
    assert_eq!(problems, [] as [&str; 0], "{text}");
    let case = file.cases.remove(0);
    (case.operation, case.object, case.old_object)
}

#[test]
fn a_case_is_the_base_with_what_differs() {
    let pod =
        |spec| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec});
    let good = pod(json!({"size": 1}));
    let other = json!({"kind": "Other"});
    for (text, operation, object, old) in [
        ("", Operation::Create, Some(good.clone()), None),
        (
            "set: {spec.size: 2}",
            Operation::Create,
            Some(pod(json!({"size": 2}))),
            None,
        ),
        (
            "set: [{path: [spec, a.b], value: 2}]",
            Operation::Create,
            Some(pod(json!({"size": 1, "a.b": 2}))),
            None,
        ),
        (
            "remove: spec.size",
            Operation::Create,
            Some(pod(json!({}))),
            None,
        ),
        (
            "remove: [spec.size], set: {spec.m: 2}",
            Operation::Create,
            Some(pod(json!({"m": 2}))),
            None,
        ),
        (
            "remove: [[spec, size]]",
            Operation::Create,
            Some(pod(json!({}))),
            None,
        ),
        (
            "object: {kind: Other}",
            Operation::Create,
            Some(other.clone()),
            None,
        ),
        (
            "oldObject: {kind: Other}",
            Operation::Update,
            Some(good.clone()),
            Some(other.clone()),
        ),
        (
            "object: null, oldObject: {kind: Other}",
            Operation::Delete,
            None,
            Some(other.clone()),
        ),
        (
            "set: {spec.size: 2}, request: {operation: UPDATE}",
            Operation::Update,
            Some(pod(json!({"size": 2}))),
            Some(good.clone()),
        ),
        (
            "set: {spec.size: 2}, request: {operation: DELETE}",
            Operation::Delete,
            None,
            Some(pod(json!({"size": 2}))),
        ),
        (
            "request: {operation: CONNECT}",
            Operation::Connect,
            Some(good.clone()),
            None,
        ),
    ] {
        assert_eq!(case(text), (operation, object, old), "{text}");
    }
}

#[test]
fn a_request_is_what_the_case_says_of_it() {
    let (file, problems) = parse(&format!(
        "{BASE}cases:
- name: c
  request:
    operation: UPDATE
    resource: apps/v1/deployments/scale
    name: nn
    namespace: ns
    userInfo: {{username: alice, groups: [a, b], uid: '7'}}
    dryRun: true
    options: {{fieldManager: me}}
  expect: skip
- name: d
  request: {{resource: {{group: '', version: v1, resource: pods}}, subResource: exec}}
  expect: skip
- name: e
  request: {{resource: v1/pods}}
  expect: skip
"
    ));
    assert_eq!(problems, [] as [&str; 0]);
    let request = &file.cases[0].request;
    assert_eq!(request.operation, Some(Operation::Update));
    assert_eq!(
        request.resource,
        Some(resource_of("apps", "v1", "deployments"))
    );
    assert_eq!(request.sub_resource, "scale");
    assert_eq!(
        (request.name.as_deref(), request.namespace.as_deref()),
        (Some("nn"), Some("ns"))
    );
    let user = request.user.as_ref().unwrap();
    assert_eq!(
        (user.username.as_str(), user.groups.join(",")),
        ("alice", "a,b".to_owned())
    );
    assert_eq!(Value::Object(user.more.clone()), json!({"uid": "7"}));
    assert!(request.dry_run);
    assert_eq!(
        Value::Object(request.options.clone()),
        json!({"fieldManager": "me"})
    );
    assert_eq!(file.cases[0].expect.applies, Applies::None);
    for case in &file.cases[1..] {
        assert_eq!(
            case.request.resource,
            Some(resource_of("", "v1", "pods")),
            "{}",
            case.name
        );
    }
    assert_eq!(file.cases[1].request.sub_resource, "exec");
}

#[test]
fn what_is_wrong_with_a_case_is_said_where_it_is() {
    for (case, problem) in [
        (
            "{name: c, expct: admit, expect: admit}",
            "3:13 test/unknown-key: unknown key `expct` (did you mean `expect`?)",
        ),
        (
            "{name: c}",
            "3:10 test/required: a case has no `expect` (say what is to happen: `expect: admit`, `expect: {deny: MESSAGE}`)",
        ),
        (
            "{expect: admit}",
            "3:3 test/required: a case has no `name` (say in a sentence what the case shows)",
        ),
        (
            "7",
            "3:3 test/wrong-type: a case is an integer, not a mapping",
        ),
        (
            "{name: c, expect: admit, set: {spec.size.m: 1}}",
            "3:34 test/path: `spec.size` is a number, not a mapping (a path is dotted, `spec.containers[0].image`; quote keys that hold a dot)",
        ),
        (
            "{name: c, expect: admit, remove: [spec.siez]}",
            "3:37 test/path: there is no `spec.siez`, did you mean `size`? (a path is dotted, `spec.containers[0].image`; quote keys that hold a dot)",
        ),
        (
            "{name: c, expect: admit, set: 7}",
            "3:33 test/wrong-type: `set` is an integer, not a mapping of paths to values",
        ),
        (
            "{name: c, expect: admit, set: [{path: a}]}",
            "3:34 test/required: an item of `set` has no `path` or no `value` (write `{path: [metadata, labels, example.com/a], value: b}`)",
        ),
        (
            "{name: c, expect: admit, request: {operation: create}}",
            "3:49 test/unknown-value: `create` is no operation (did you mean `CREATE`?)",
        ),
        (
            "{name: c, expect: admit, request: {subresource: x}}",
            "3:38 test/unknown-key: unknown key `subresource` (did you mean `subResource`?)",
        ),
        (
            "{name: c, expect: admit, request: {resource: pods}}",
            "3:48 test/unknown-value: `pods` is no resource (write `apps/v1/deployments`, or `v1/pods` for the core group)",
        ),
        (
            "{name: c, expect: admit, request: {operation: CREATE}, oldObject: {}}",
            "3:10 test/ambiguous: a CREATE has no `oldObject` (leave out the operation)",
        ),
        (
            "{name: c, expect: admit, object: null}",
            "3:10 test/required: there is no object to test with (give the file a `base`, or the case an `object`; only policies with `scope: cluster` have none)",
        ),
        (
            "{name: c, expect: admit, cluster: {}}",
            "3:37 test/wrong-type: `cluster` is a mapping, not a list of objects",
        ),
    ] {
        let (file, problems) = parse(&format!(
            "{BASE}cases:\n- {case}\n- {{name: good, expect: admit}}"
        ));
        assert_eq!(problems, [problem], "{case}");
        assert_eq!(file.cases.len(), 1, "the good case is still run: {case}");
    }
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    for (text, problem) in [
        (
            "",
            "1:1 test/required: the file has no cases (write `cases:` with a list of `{name: …, set: …, expect: …}`)",
        ),
        (
            "base: {}",
            "1:1 test/required: the file has no cases (write `cases:` with a list of `{name: …, set: …, expect: …}`)",
        ),
        (
            "cases: []",
            "1:1 test/required: the file has no cases (write `cases:` with a list of `{name: …, set: …, expect: …}`)",
        ),
        (
            "cases: x",
            "1:8 test/wrong-type: `cases` is a string, not a list",
        ),
        (
            "bases: {}\ncases: [{name: a, object: {}, expect: admit}]",
            "1:1 test/unknown-key: unknown key `bases` (did you mean `base`?)",
        ),
        (
            "cases:\n- {name: a, object: {}, expect: admit}\n- {name: a, object: {}, expect: skip}",
            "3:10 test/duplicate-name: there is another case named `a` (say what makes them different)",
        ),
        (
            "policies: [7]\ncases: [{name: a, object: {}, expect: admit}]",
            "1:12 test/wrong-type: a policy is an integer, not a string",
        ),
    ] {
        assert_eq!(parse(text).1, [problem], "{text}");
    }
}

#[test]
fn a_case_without_any_object_is_about_the_cluster() {
    let (file, problems) = parse(
        "cases:\n- {name: a, cluster: [{apiVersion: v1, kind: Node}], settings: {n: 1}, expect: admit}\n\
         - {name: b, object: {kind: A}, expect: admit}\n- {name: c, expect: admit}\n\
         - {name: d, request: {dryRun: true}, expect: admit}\n---\nbase: {kind: A}\ncases:\n\
         - {name: e, expect: admit}\n",
    );
    assert_eq!(
        problems,
        [
            "5:10 test/required: there is no object to test with (give the file a `base`, or the \
             case an `object`; only policies with `scope: cluster` have none)"
        ]
    );
    let scopes: Vec<_> = file
        .cases
        .iter()
        .map(|case| (case.name.as_str(), case.scope))
        .collect();
    assert_eq!(
        scopes,
        [
            ("a", PolicyScope::Cluster),
            ("b", PolicyScope::Request),
            ("c", PolicyScope::Cluster),
            ("e", PolicyScope::Request),
        ]
    );
}

#[test]
fn each_document_of_a_file_has_its_own_base() {
    let (file, problems) = parse(
        "policies: [a.cel, ../b.yaml]\nbase: {kind: A}\ncases: [{name: a, expect: admit}]\n---\n\
         base: {kind: B}\ncases: [{name: b, expect: admit}]\n",
    );
    assert_eq!(problems, [] as [&str; 0]);
    let kinds: Vec<_> = file
        .cases
        .iter()
        .map(|case| case.object.clone().unwrap())
        .collect();
    assert_eq!(kinds, [json!({"kind": "A"}), json!({"kind": "B"})]);
    let policies: Vec<&str> = file
        .policies
        .iter()
        .map(|(path, _)| path.as_str())
        .collect();
    assert_eq!(policies, ["a.cel", "../b.yaml"]);
}
