//! Policies that change objects.

use super::*;
use crate::admission::response::Outcome as Answer;
use crate::engine::mutating::{Defaults, Mutated, Mutating, Refusal, mutate};
use crate::schema::Schemas;

/// A policy of Kubernetes and its binding.
fn policy(name: &str, more: &str, mutations: &[(&str, &str)]) -> String {
    let mutations: String = mutations
        .iter()
        .map(|(kind, expression)| {
            let field = match *kind {
                "JSONPatch" => "jsonPatch",
                _ => "applyConfiguration",
            };
            format!("  - patchType: {kind}\n    {field}: {{expression: {expression:?}}}\n")
        })
        .collect();
    format!(
        "apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingAdmissionPolicy\n\
         metadata: {{name: {name}}}\nspec:\n  matchConstraints: {{resourceRules: [{{apiGroups: \
         ['*'], apiVersions: ['*'], operations: [CREATE, UPDATE], resources: ['*']}}]}}\n{more}  \
         mutations:\n{mutations}---\napiVersion: admissionregistration.k8s.io/v1\nkind: \
         MutatingAdmissionPolicyBinding\nmetadata: {{name: {name}-b}}\nspec: {{policyName: {name}}}\n"
    )
}

const NEVER: &str = "  reinvocationPolicy: Never\n";
const IF_NEEDED: &str = "  reinvocationPolicy: IfNeeded\n";

fn changed(set: &PolicySet, body: &[u8], defaults: Defaults) -> Mutated {
    let request = review::parse(body).unwrap();
    let cluster = Objects::default();
    let options = Options::new(&cluster);
    let mutating = Mutating {
        schemas: &Schemas::built_in_shared,
        defaults,
    };
    mutate(set, &request, options, mutating).unwrap()
}

fn set_of(policies: &[String]) -> PolicySet {
    let names = ["a.yaml", "b.yaml", "c.yaml"];
    let files: Vec<(&str, String)> = names.into_iter().zip(policies.iter().cloned()).collect();
    set(&files)
}

fn patched(policies: &[String]) -> Value {
    let mutated = changed(&set_of(policies), &body(&[]), Defaults::Omitted);
    assert!(!mutated.is_denied(), "{mutated:?}");
    serde_json::to_value(&mutated.patch).unwrap()
}

/// Adds a letter to a label.
fn appending(letter: &str) -> String {
    format!(
        "Object{{metadata: Object.metadata{{labels: {{'app': object.metadata.labels.app + '{letter}'}}}}}}"
    )
}

#[test]
fn each_policy_sees_what_those_before_it_have_made() {
    let apply = |name: &str, more: &str, letter: &str| {
        policy(name, more, &[("ApplyConfiguration", &appending(letter))])
    };
    let given = [
        apply("c", NEVER, "3"),
        apply("a", NEVER, "1"),
        apply("b", NEVER, "2"),
    ];
    assert_eq!(
        patched(&given),
        json!([{"op": "replace", "path": "/metadata/labels/app", "value": "web123"}])
    );
    // Both of them run once more, and see the result.
    let again = [apply("a", IF_NEEDED, "1"), apply("b", IF_NEEDED, "2")];
    assert_eq!(patched(&again)[0]["value"], "web1212");
    let once = [apply("a", IF_NEEDED, "1"), apply("b", NEVER, "2")];
    assert_eq!(patched(&once)[0]["value"], "web121");
}

#[test]
fn the_mutations_of_a_policy_follow_each_other_and_its_variables_see_that() {
    let more = "  variables: [{name: app, expression: object.metadata.labels.app}]\n  \
                reinvocationPolicy: Never\n";
    let put =
        "[JSONPatch{op: 'replace', path: '/metadata/labels/app', value: variables.app + '!'}]";
    let given = [policy("a", more, &[("JSONPatch", put), ("JSONPatch", put)])];
    assert_eq!(patched(&given)[0]["value"], "web!!");
}

#[test]
fn conditions_see_the_object_as_it_has_become() {
    let more = "  matchConditions: [{name: one, expression: object.spec.replicas == 1}]\n  \
                reinvocationPolicy: Never\n";
    let to = |replicas: u8| format!("Object{{spec: Object.spec{{replicas: {replicas}}}}}");
    let given = [
        policy("a", more, &[("ApplyConfiguration", &to(2))]),
        policy("b", more, &[("ApplyConfiguration", &to(3))]),
    ];
    assert_eq!(
        patched(&given),
        json!([{"op": "replace", "path": "/spec/replicas", "value": 2}])
    );
}

#[test]
fn a_changed_object_is_matched_anew() {
    let removing = "[JSONPatch{op: 'remove', path: '/metadata/labels/app'}]";
    let remover = policy("b", NEVER, &[("JSONPatch", removing)]);
    let reading = "  matchConditions: [{name: one, expression: object.metadata.labels.app == 'other'}]\n  reinvocationPolicy: Never\n";
    let append = appending("1");
    let reader = policy("a", reading, &[("ApplyConfiguration", &append)]);
    let mutated = changed(
        &set_of(&[reader, remover.clone()]),
        &body(&[]),
        Defaults::Omitted,
    );
    let messages: Vec<&str> = mutated
        .verdict
        .decisions
        .iter()
        .map(|d| &*d.message)
        .collect();
    assert_eq!(
        messages,
        ["expression 'object.metadata.labels.app == 'other'' resulted in error: no such key: app"]
    );

    // What its selector does not select any more is not run again.
    let selected = policy("a", IF_NEEDED, &[("ApplyConfiguration", &append)]).replace(
        "matchConstraints: {",
        "matchConstraints: {objectSelector: {matchExpressions: [{key: app, operator: Exists}]}, ",
    );
    assert_eq!(
        patched(&[selected, remover]),
        json!([{"op": "remove", "path": "/metadata/labels/app"}])
    );
}

#[test]
fn a_patch_whose_test_fails_changes_nothing() {
    let patch = "[JSONPatch{op: 'test', path: '/spec/replicas', value: 7}, JSONPatch{op: 'remove', \
                 path: '/spec/replicas'}]";
    let given = [policy("a", NEVER, &[("JSONPatch", patch)])];
    assert_eq!(patched(&given), json!([]));
}

#[test]
fn an_error_refuses_the_request_unless_the_policy_fails_open() {
    let cases = [
        (
            "[JSONPatch{op: 'remove', path: '/spec/nope'}]",
            "policy 'a' with binding 'a-b' denied request: JSON Patch: error in remove for path: \
             '/spec/nope': Unable to remove nonexistent key: nope: missing value",
        ),
        (
            "[JSONPatch{op: 'replace', path: '/metadata/name', value: 'other'}]",
            "policy 'a' with binding 'a-b' denied request: a mutation must not change metadata.name, \
             which says what the object is",
        ),
        (
            "[JSONPatch{op: 'add', path: '/spec/x', value: object.spec.nope}]",
            "policy 'a' with binding 'a-b' denied request: expression '[JSONPatch{op: 'add', path: \
             '/spec/x', value: object.spec.nope}]' resulted in error: no such key: nope",
        ),
    ];
    for (patch, expected) in cases {
        let closed = set_of(&[policy("a", NEVER, &[("JSONPatch", patch)])]);
        let mutated = changed(&closed, &body(&[]), Defaults::Omitted);
        assert!(
            mutated.is_denied() && mutated.patch.is_empty(),
            "{mutated:?}"
        );
        let answer = respond::respond_mutated("u", &mutated, Mode::Enforce).to_json();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["response"]["status"]["message"], expected);
        assert_eq!(answer["response"]["status"]["code"], 403);
        assert_eq!(answer["response"]["status"]["reason"], "Invalid");
        let open = format!("  failurePolicy: Ignore\n{NEVER}");
        let open = set_of(&[policy("a", &open, &[("JSONPatch", patch)])]);
        let mutated = changed(&open, &body(&[]), Defaults::Omitted);
        assert!(
            !mutated.is_denied() && mutated.patch.is_empty(),
            "{mutated:?}"
        );
    }
}

#[test]
fn an_object_that_could_not_be_read_refuses_the_request_whatever_the_policy_says() {
    let open = format!("  failurePolicy: Ignore\n{NEVER}");
    let patch = "[JSONPatch{op: 'add', path: '/spec/replicas', value: 'many'}]";
    let mutated = changed(
        &set_of(&[policy("a", &open, &[("JSONPatch", patch)])]),
        &body(&[]),
        Defaults::Omitted,
    );
    assert!(
        matches!(mutated.refusal, Some(Refusal::Internal(_))),
        "{mutated:?}"
    );
    let answer = respond::respond_mutated("u", &mutated, Mode::Enforce).to_json();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["response"]["status"]["code"], 500);
}

#[test]
fn defaults_are_filled_in_after_a_change() {
    let patch = "[JSONPatch{op: 'add', path: '/spec/template', value: {'spec': {'containers': \
                 [{'name': 'a', 'image': 'a:1'}]}}}]";
    let given = set_of(&[policy("a", NEVER, &[("JSONPatch", patch)])]);
    let mutated = changed(&given, &body(&[]), Defaults::Applied);
    let object = mutated.object.unwrap();
    let container = &object["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["imagePullPolicy"], "IfNotPresent");
    let mutated = changed(&given, &body(&[]), Defaults::Omitted);
    let object = mutated.object.unwrap();
    let container = &object["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["imagePullPolicy"], Value::Null);
}

#[test]
fn the_mutation_of_a_cel_file_is_off_until_it_is_switched_on() {
    let text = |flag: &str| {
        format!(
            "// ---\n// name: p\n// match: {{resources: [apps/v1/deployments]}}\n// settings: \
             {{least: 3}}\n{flag}// ---\n// @patch\n[JSONPatch{{op: 'replace', path: \
             '/spec/replicas', value: settings.least}}]\n"
        )
    };
    let off = set(&[("p.cel", text(""))]);
    assert_eq!(changed(&off, &body(&[]), Defaults::Omitted).patch, []);
    let on = set(&[("p.cel", text("// mutate: true\n"))]);
    let mutated = changed(&on, &body(&[]), Defaults::Omitted);
    assert_eq!(mutated.object.unwrap()["spec"]["replicas"], 3);
}

#[test]
fn audit_mode_changes_nothing_and_tells_the_patch() {
    let given = set_of(&[policy(
        "a",
        NEVER,
        &[("ApplyConfiguration", &appending("!"))],
    )]);
    let mutated = changed(&given, &body(&[]), Defaults::Omitted);
    let patch = r#"[{"op":"replace","path":"/metadata/labels/app","value":"web!"}]"#;
    let answer = respond::respond_mutated("u", &mutated, Mode::Audit).to_json();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["response"]["allowed"], true);
    assert_eq!(answer["response"]["patch"], Value::Null);
    assert_eq!(answer["response"]["auditAnnotations"]["patch"], patch);
    assert_eq!(
        answer["response"]["warnings"],
        json!([format!("[audit] would be patched: {patch}")])
    );
    let answer = respond::respond_mutated("u", &mutated, Mode::Enforce).to_json();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["response"]["patchType"], "JSONPatch");
}

#[test]
fn audit_mode_can_be_silent_and_loses_nothing() {
    let given = set_of(&[policy(
        "a",
        NEVER,
        &[("ApplyConfiguration", &appending("!"))],
    )]);
    let mutated = changed(&given, &body(&[]), Defaults::Omitted);
    let answer = respond::respond_mutated("u", &mutated, Mode::SilentAudit);
    assert!(answer.warnings.is_empty(), "{answer:?}");
    assert_eq!(answer.audit_annotations[0].0, "patch");
    let patch = "[JSONPatch{op: 'add', path: '/spec/replicas', value: 'many'}]";
    let given = set_of(&[policy("a", NEVER, &[("JSONPatch", patch)])]);
    let mutated = changed(&given, &body(&[]), Defaults::Omitted);
    let answer = respond::respond_mutated("u", &mutated, Mode::Audit);
    assert_eq!(answer.outcome, Answer::Allowed, "a refusal is none either");
    assert!(
        answer.warnings[0].starts_with("[audit] would be refused: Internal error occurred"),
        "{answer:?}"
    );
    assert_eq!(answer.audit_annotations[0].0, "refusal");
}

/// A file that sets the replicas, and what it says of its action.
fn trial(name: &str, action: &str, value: &str) -> (String, String) {
    let text = format!(
        "// ---\n// name: {name}\n// match: {{resources: ['*/*/*']}}\n{action}// mutate: true\n// \
         ---\n// @patch\n[JSONPatch{{op: 'add', path: '/spec/replicas', value: {value}}}]\n"
    );
    (format!("{name}.cel"), text)
}

#[test]
fn a_mutation_on_trial_is_recorded_and_others_are_made() {
    let texts = [
        trial("a", "// action: audit\n", "7"),
        trial("b", "", "object.spec.replicas + 1"),
        trial("c", "// action: [warn, audit]\n", "9"),
        trial("d", "// action: audit\n", "object.nope"),
    ];
    let texts: Vec<_> = texts
        .iter()
        .map(|(name, text)| (name.as_str(), text.clone()))
        .collect();
    let mutated = changed(&set(&texts), &body(&[]), Defaults::Omitted);
    assert!(!mutated.is_denied(), "{mutated:?}");
    let answer = respond::respond_mutated("u", &mutated, Mode::Enforce);
    let Answer::Patched(patch) = &answer.outcome else {
        panic!("{answer:?}");
    };
    let before: Value = serde_json::from_slice(&body(&[])).unwrap();
    let before = before["request"]["object"]["spec"]["replicas"]
        .as_i64()
        .unwrap();
    let patch: Value = serde_json::from_slice(patch).unwrap();
    assert_eq!(
        patch,
        json!([{"op": "replace", "path": "/spec/replicas", "value": before + 1}]),
        "only what is enforced, of the object as it came"
    );
    let replaced =
        |value| format!(r#"[{{"op":"replace","path":"/spec/replicas","value":{value}}}]"#);
    let annotations: Vec<_> = answer
        .audit_annotations
        .iter()
        .filter(|(key, _)| key.ends_with(".patch"))
        .cloned()
        .collect();
    assert_eq!(
        annotations,
        [
            ("a.patch".to_owned(), replaced(7)),
            ("c.patch".to_owned(), replaced(9))
        ]
    );
    let patched = |name: &str, value| {
        let patch = replaced(value);
        format!("[audit] would be patched by policy '{name}': {patch}")
    };
    let [fault, patches @ ..] = answer.warnings.as_slice() else {
        panic!("{answer:?}");
    };
    let begins = "[audit] would be denied: policy 'd' with binding 'd' denied request: ";
    assert!(fault.starts_with(begins), "{fault}");
    assert_eq!(patches, [patched("a", 7), patched("c", 9)]);
    let silent = respond::respond_mutated("u", &mutated, Mode::SilentEnforce);
    assert_eq!(silent.warnings, [patched("c", 9)], "only what it asks for");
    assert_eq!(silent.outcome, answer.outcome);
    assert_eq!(silent.audit_annotations, answer.audit_annotations);
    let (_, failure) = &answer.audit_annotations[0];
    assert!(
        failure.contains(r#""policy":"d""#) && failure.contains(r#""validationActions":["Audit"]"#),
        "{failure}"
    );
}

#[test]
fn no_value_of_a_secret_is_recorded() {
    let body = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u", "operation": "CREATE",
            "kind": {"group": "", "version": "v1", "kind": "Secret"},
            "resource": {"group": "", "version": "v1", "resource": "secrets"},
            "name": "s", "namespace": "n",
            "object": {
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "n"},
                "data": {"a": "aHVzaA=="},
            },
        },
    });
    let text = "// ---\n// name: copy\n// match: {resources: [v1/secrets]}\n// action: [warn, audit]\n\
                // mutate: true\n// ---\n// @patch\n[JSONPatch{op: 'add', path: '/data/b', value: \
                object.data.a}]\n";
    for text in [
        text.to_owned(),
        text.replace("// action: [warn, audit]\n", ""),
    ] {
        let body = body.to_string().into_bytes();
        let mutated = changed(&set(&[("copy.cel", text)]), &body, Defaults::Omitted);
        let answer = respond::respond_mutated("u", &mutated, Mode::Audit);
        let said = format!("{:?} {:?}", answer.warnings, answer.audit_annotations);
        assert!(
            said.contains("/data/b") && !said.contains("aHVzaA"),
            "{said}"
        );
    }
}

proptest::proptest! {
    #[test]
    fn a_patch_makes_the_object_and_once_is_enough(
        labels in proptest::collection::btree_map("[a-z/~]{1,4}", "[a-z]{0,3}", 0..5),
        set in proptest::collection::btree_map("[a-z/~]{1,4}", "[a-z]{0,3}", 0..4),
        replicas in 0_u8..6,
        wanted in 0_u8..6,
        is_needed in proptest::bool::ANY,
    ) {
        let set: String = set.iter().map(|(key, value)| format!("'{key}': '{value}', ")).collect();
        let labelled = format!("Object{{metadata: Object.metadata{{labels: {{{set}}}}}}}");
        let scaled = format!(
            "[JSONPatch{{op: 'replace', path: '/spec/replicas', value: {wanted}}}, JSONPatch{{op: \
             'add', path: '/metadata/annotations', value: {{'a/b~': 'c'}}}}]"
        );
        let more = if is_needed { IF_NEEDED } else { NEVER };
        let policies = set_of(&[
            policy("a", more, &[("ApplyConfiguration", &labelled)]),
            policy("b", NEVER, &[("JSONPatch", &scaled)]),
        ]);
        let before = body(&[("/object/metadata/labels", json!(labels)), ("/object/spec/replicas", json!(replicas))]);
        let mutated = changed(&policies, &before, Defaults::Applied);
        proptest::prop_assert!(!mutated.is_denied(), "{:?}", mutated);
        let object = mutated.object.unwrap();
        let before: Value = serde_json::from_slice(&before).unwrap();
        let applied = crate::patch::json::apply(&before["request"]["object"], &mutated.patch).unwrap();
        proptest::prop_assert_eq!(applied, crate::patch::json::Applied::Changed(object.clone()));
        let again = changed(&policies, &body(&[("/object", object)]), Defaults::Applied);
        proptest::prop_assert_eq!(again.patch, []);
    }
}

/// A request for an autoscaler in version 1, with a policy about version 2.
fn autoscaled(more: &str, expression: &str) -> Mutated {
    let policy = policy("a", more, &[("JSONPatch", expression)]).replace(
        "apiGroups: ['*'], apiVersions: ['*'], operations: [CREATE, UPDATE], resources: ['*']",
        "apiGroups: [autoscaling], apiVersions: [v2], operations: [CREATE], resources: \
         [horizontalpodautoscalers]",
    );
    let kind = json!({"group": "autoscaling", "version": "v1", "kind": "HorizontalPodAutoscaler"});
    let resource = json!({
        "group": "autoscaling", "version": "v1", "resource": "horizontalpodautoscalers",
    });
    let object = json!({
        "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web"},
        "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 60},
    });
    let body = body(&[
        ("/kind", kind.clone()),
        ("/requestKind", kind),
        ("/resource", resource.clone()),
        ("/requestResource", resource),
        ("/object", object),
    ]);
    changed(&set_of(&[policy]), &body, Defaults::Omitted)
}

#[test]
fn an_object_is_changed_in_the_version_that_a_policy_is_about_and_turned_back() {
    let utilization = "/spec/metrics/0/resource/target/averageUtilization";
    let mutated = autoscaled(
        NEVER,
        &format!("[JSONPatch{{op: 'replace', path: '{utilization}', value: 70}}]"),
    );
    assert!(!mutated.is_denied(), "{mutated:?}");
    let patch = serde_json::to_value(&mutated.patch).unwrap();
    let path = "/spec/targetCPUUtilizationPercentage";
    assert_eq!(patch, json!([{"op": "replace", "path": path, "value": 70}]));
    // What version 1 cannot say.
    let memory =
        "[JSONPatch{op: 'replace', path: '/spec/metrics/0/resource/name', value: 'memory'}]";
    for (more, is_denied) in [
        (NEVER.to_owned(), true),
        (format!("{NEVER}  failurePolicy: Ignore\n"), false),
    ] {
        let mutated = autoscaled(&more, memory);
        assert_eq!(mutated.is_denied(), is_denied);
        assert_eq!(mutated.patch, []);
        let messages = messages(&mutated.verdict);
        let is_told = |it: &String| it.contains("failed to convert object");
        assert_eq!(messages.iter().any(is_told), is_denied, "{messages:?}");
    }
}

#[test]
fn an_object_that_would_change_again_is_told_of_without_a_consequence() {
    let growing = "[JSONPatch{op: 'replace', path: '/metadata/labels/app', value: \
                   object.metadata.labels.app + 'x'}]";
    let settled = "[JSONPatch{op: 'replace', path: '/metadata/labels/app', value: 'x'}]";
    for (expression, count) in [(growing, 1), (settled, 0)] {
        let policy = policy("a", NEVER, &[("JSONPatch", expression)]);
        let mutated = changed(&set_of(&[policy]), &body(&[]), Defaults::Omitted);
        assert!(!mutated.is_denied(), "{mutated:?}");
        assert_eq!(mutated.patch.len(), 1);
        assert_eq!(mutated.unsettled.len(), count, "{expression}");
    }
}

#[test]
fn a_deletion_is_none_of_their_business() {
    // Kubernetes does not ask them, so that a missing parameter refuses nothing.
    let bound = |rule: &str| {
        let policy = policy("a", NEVER, &[("JSONPatch", "[]")]);
        let policy = policy.replace("operations: [CREATE, UPDATE]", rule);
        let param_kind = "spec:\n  paramKind: {apiVersion: v1, kind: ConfigMap}\n";
        let policy = policy.replacen("spec:\n", param_kind, 1);
        let reference = "policyName: a, paramRef: {name: x, parameterNotFoundAction: Deny}";
        set_of(&[policy.replace("policyName: a", reference)])
    };
    let object =
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}});
    let deletion = [
        ("/operation", json!("DELETE")),
        ("/object", Value::Null),
        ("/oldObject", object),
    ];
    let everything = bound("operations: ['*']");
    let mutated = changed(&everything, &body(&deletion), Defaults::Omitted);
    assert!(!mutated.is_denied(), "{mutated:?}");
    let created = changed(&everything, &body(&[]), Defaults::Omitted);
    let reason = "no params found for policy binding with `Deny` parameterNotFoundAction";
    assert!(format!("{created:?}").contains(reason), "{created:?}");
}
