//! What is told to the caller, and what is recorded, of what may hold values of Secrets.

use super::*;
use crate::cel::value::Timestamp;
use crate::engine::mutating::{self, Defaults, Mutating};
use crate::engine::secrecy::Secrecy;
use crate::schema::Schemas;

const VALUE: &str = "HUNTER2SECRET";

fn secret() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "prod"},
        "data": {"password": VALUE},
    })
}

/// A request about a Secret.
fn about_secret() -> Vec<(&'static str, Value)> {
    let kind = json!({"group": "", "version": "v1", "kind": "Secret"});
    let resource = json!({"group": "", "version": "v1", "resource": "secrets"});
    vec![
        ("/kind", kind.clone()),
        ("/requestKind", kind),
        ("/resource", resource.clone()),
        ("/requestResource", resource),
        ("/object", secret()),
    ]
}

fn policy(match_and_more: &str, sections: &str) -> (&'static str, String) {
    let text = format!("// ---\n// {match_and_more}\n// ---\n{sections}\n");
    ("p.cel", text)
}

/// A policy of Kubernetes whose parameter is a Secret.
fn with_params(action: &str) -> (&'static str, String) {
    let text = format!(
        "apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: p}}
spec:
  matchConstraints: {{resourceRules: [{{apiGroups: [apps], apiVersions: [v1], operations: ['*'],
    resources: [deployments]}}]}}
  paramKind: {{apiVersion: v1, kind: Secret}}
  validations:
  - expression: 'false'
    message: the static one
    messageExpression: \"'it must not be ' + params.data.password\"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: p}}
spec:
  policyName: p
  paramRef: {{name: s, namespace: prod, parameterNotFoundAction: Deny}}
  validationActions: [{action}]
---
{}
",
        secret()
    );
    ("p.yaml", text)
}

const READING: &str = "cluster.get('v1', 'Secret', 'prod', 's').value().data.password";

/// A policy's file, what the request has besides, and the words that are recorded.
type Leak = (
    (&'static str, String),
    Vec<(&'static str, Value)>,
    &'static str,
);

/// Policies whose words hold the value, for each way to it, with what is recorded instead.
fn leaking(action: &str) -> Vec<Leak> {
    let secrets = format!("match: {{resources: [v1/secrets]}}\n// action: {action}");
    let reading = format!(
        "match: {{resources: [apps/v1/deployments]}}\n// reads: [v1/Secret]\n// action: {action}"
    );
    let told = "// @require the static one\nfalse\n// @message\n";
    let action = match action {
        "deny" => "Deny",
        _ => "Audit",
    };
    vec![
        (
            policy(&secrets, &format!("{told}'it is ' + object.data.password")),
            about_secret(),
            "the static one",
        ),
        (
            policy(
                &secrets,
                "// @require an address\nip(object.data.password).family() == 4",
            ),
            about_secret(),
            "error in expression: ip(object.data.password).family() == 4",
        ),
        (
            policy(
                &secrets,
                "// @when an address\nip(object.data.password).family() == 4\n// @require no\nfalse",
            ),
            about_secret(),
            "the policy could not be evaluated",
        ),
        (
            policy(&reading, &format!("{told}'it is ' + {READING}")),
            vec![],
            "the static one",
        ),
        (
            policy(
                &reading,
                &format!("// @require an address\nip({READING}).family() == 4"),
            ),
            vec![],
            "error in expression: ip(cluster.get('v1', 'Secret', 'prod', 's').value().data.password).family() == 4",
        ),
        (with_params(action), vec![], "the static one"),
    ]
}

fn decided(
    file: (&'static str, String),
    more: Option<String>,
    changes: &[(&str, Value)],
) -> Verdict {
    let (name, text) = file;
    let mut files = vec![(name, text)];
    files.extend(more.map(|it| ("more.yaml", it)));
    let set = set(&files);
    let cluster = Objects::new(vec![secret()]);
    let body = body(changes);
    let request = review::parse(&body).unwrap();
    let options = Options {
        now: Some(Timestamp::parse("2026-06-01T00:00:00Z").unwrap()),
        ..Options::new(&cluster)
    };
    validate(&set, &request, options).unwrap()
}

#[test]
fn the_caller_is_told_what_upstream_tells_and_others_only_what_the_policy_says() {
    for (file, changes, recorded) in leaking("deny") {
        let text = file.1.clone();
        let verdict = decided(file, None, &changes);
        let denial = respond::denial(&verdict).unwrap();
        assert!(denial.contains(VALUE), "{denial}\n{text}");
        let other = respond::recorded_denial(&verdict).unwrap();
        let expected = format!("denied request: {recorded}");
        assert!(other.ends_with(&expected), "{other}\n{text}");
        for mode in [Mode::Audit, Mode::SilentAudit] {
            let answer = respond::respond("u", &verdict, mode);
            let [(key, value)] = answer.audit_annotations.as_slice() else {
                panic!("{answer:?}");
            };
            assert_eq!(key, "validation_failure");
            let value: Value = serde_json::from_str(value).unwrap();
            assert_eq!(value[0]["message"], recorded, "{text}");
        }
        let annotations = respond::audit_annotations(&verdict, Mode::Enforce);
        assert_eq!(annotations, [], "{text}");
    }
}

#[test]
fn what_is_on_trial_is_recorded_without_values() {
    for (file, changes, recorded) in leaking("audit") {
        let text = file.1.clone();
        let verdict = decided(file, None, &changes);
        assert!(!verdict.is_denied(), "{text}");
        let answer = respond::respond("u", &verdict, Mode::Enforce).to_json();
        let answer = String::from_utf8(answer).unwrap();
        assert!(!answer.contains(VALUE), "{answer}\n{text}");
        assert!(answer.contains(recorded), "{answer}\n{text}");
    }
}

#[test]
fn what_is_excused_is_recorded_without_values() {
    let exception = "apiVersion: portcullis.dev/v1alpha1\nkind: PolicyException\nmetadata: {name: e}\n\
                     spec: {policies: [p], reason: old, owner: team, expires: 2026-12-31}\n";
    for (file, changes, recorded) in leaking("deny") {
        let text = file.1.clone();
        let verdict = decided(file, Some(exception.to_owned()), &changes);
        assert_eq!(verdict.excused.len(), 1, "{text}");
        let answer = respond::respond("u", &verdict, Mode::Enforce);
        let [(key, value)] = answer.audit_annotations.as_slice() else {
            panic!("{answer:?}");
        };
        assert_eq!(key, "excused");
        let value: Value = serde_json::from_str(value).unwrap();
        assert_eq!(value[0]["messages"], json!([recorded]), "{text}");
    }
}

#[test]
fn what_no_secret_could_give_is_recorded_as_it_is_told() {
    let computed =
        "// @require the static one\nfalse\n// @message\n'it is ' + object.metadata.name";
    let front = "match: {resources: [apps/v1/deployments]}\n// reads: [v1/ConfigMap]";
    let verdict = decided(policy(front, computed), None, &[]);
    let denial = respond::denial(&verdict);
    assert!(denial.as_ref().is_some_and(|it| it.ends_with("it is web")));
    assert_eq!(respond::recorded_denial(&verdict), denial);
    assert_eq!(verdict.secrecy, Secrecy::Open);
}

#[test]
fn a_patch_that_secrets_were_read_for_is_recorded_by_its_places() {
    let text = |action: &str| {
        format!(
            "// ---\n// match: {{resources: [apps/v1/deployments]}}\n// reads: [v1/Secret]\n// mutate: \
             true\n// action: {action}\n// ---\n// @patch\n[JSONPatch{{op: 'add', path: \
             '/metadata/labels/x', value: {READING}}}]\n"
        )
    };
    let answer = |text: String, mode| {
        let set = set(&[("p.cel", text)]);
        let cluster = Objects::new(vec![secret()]);
        let body = body(&[]);
        let request = review::parse(&body).unwrap();
        let how = Mutating {
            schemas: &Schemas::built_in_shared,
            defaults: Defaults::Omitted,
        };
        let mutated = mutating::mutate(&set, &request, Options::new(&cluster), how).unwrap();
        let answer = respond::respond_mutated("u", &mutated, mode);
        (answer.warnings, answer.audit_annotations)
    };
    let patch = r#"[{"op":"add","path":"/metadata/labels/x"}]"#.to_owned();
    for (action, mode, key) in [
        ("deny", Mode::Audit, "patch"),
        ("[warn, audit]", Mode::Enforce, "p.patch"),
    ] {
        let (warnings, annotations) = answer(text(action), mode);
        assert_eq!(annotations, [(key.to_owned(), patch.clone())]);
        assert!(!warnings[0].contains(VALUE), "{warnings:?}");
    }
}
