//! Requests against policies: what applies, what is decided, how it is worded.

mod about_cluster;
mod equivalents;
mod exceptions;
mod mutating;
mod secrecy;
mod sharing;
mod trial;

use serde_json::{Value, json};

use super::cluster::Objects;
use super::respond::{self, Mode};
use super::*;
use crate::admission::resources::Resources;
use crate::admission::review;
use crate::cel::version::KubernetesVersion;
use crate::policy::exceptions::settle_reach;
use crate::policy::model::{Documents, ValidationAction};
use crate::policy::read;
use crate::text::Source;

fn set(files: &[(&str, String)]) -> PolicySet {
    let mut documents = Documents::default();
    for (name, text) in files {
        let (read, findings) = read::read(&Source::new(*name, text.as_str()));
        assert!(findings.is_empty(), "{name}: {findings:?}");
        documents.policies.extend(read.policies);
        documents.bindings.extend(read.bindings);
        documents.params.extend(read.params);
        documents.exceptions.extend(read.exceptions);
    }
    settle_reach(&mut documents, None);
    PolicySet::build(
        documents,
        KubernetesVersion::default(),
        &PolicySet::default(),
        |_| false,
    )
    .set
}

fn cel(front_matter: &str, sections: &str) -> String {
    let front_matter: String = front_matter
        .lines()
        .map(|line| format!("// {line}\n"))
        .collect();
    format!(
        "// ---\n// match: {{resources: [apps/v1/deployments]}}\n{front_matter}// ---\n{sections}\n"
    )
}

fn body(changes: &[(&str, Value)]) -> Vec<u8> {
    let kind = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
    let resource = json!({"group": "apps", "version": "v1", "resource": "deployments"});
    let mut review = json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "u-1", "kind": kind, "resource": resource,
            "requestKind": kind, "requestResource": resource,
            "name": "web", "namespace": "prod", "operation": "CREATE",
            "userInfo": {"username": "ann", "groups": ["dev"]},
            "object": {
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "web", "namespace": "prod", "labels": {"app": "web"}},
                "spec": {"replicas": 1},
            },
            "oldObject": null, "dryRun": false,
        },
    });
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        review["request"].pointer_mut(parent).unwrap()[key] = value.clone();
    }
    review.to_string().into_bytes()
}

fn decide(set: &PolicySet, body: &[u8], cluster: &Objects) -> Verdict {
    decide_with(set, body, cluster, Resources::built_in())
}

fn decide_with(set: &PolicySet, body: &[u8], cluster: &Objects, resources: &Resources) -> Verdict {
    let request = review::parse(body).unwrap();
    let options = Options {
        resources,
        ..Options::new(cluster)
    };
    validate(set, &request, options).unwrap()
}

/// The messages of a verdict, each with its actions.
fn messages(verdict: &Verdict) -> Vec<String> {
    let shown = |decision: &Decision| {
        let actions: Vec<&str> = decision
            .actions
            .iter()
            .map(|action| action.as_str())
            .collect();
        format!("{}: {}", actions.join("+"), decision.message)
    };
    verdict.decisions.iter().map(shown).collect()
}

fn check(policy: String, changes: &[(&str, Value)], wanted: &[&str]) {
    let set = set(&[("p.cel", policy.clone())]);
    let verdict = decide(&set, &body(changes), &Objects::default());
    assert_eq!(messages(&verdict), wanted, "{policy}");
}

#[test]
fn a_message_is_computed_or_written_or_the_expression() {
    let rule = "// @require at least three\nobject.spec.replicas >= 3\n";
    check(cel("", rule), &[], &["Deny: at least three"]);
    check(cel("", rule), &[("/object/spec/replicas", json!(3))], &[]);
    let computed = |expression: &str| cel("", &format!("{rule}// @message\n{expression}\n"));
    check(
        computed("'has ' + string(object.spec.replicas)"),
        &[],
        &["Deny: has 1"],
    );
    check(computed("'  trimmed  '"), &[], &["Deny: trimmed"]);
    check(computed("'two\\nlines'"), &[], &["Deny: at least three"]);
    check(computed("''"), &[], &["Deny: at least three"]);
    check(
        computed("string(object.missing)"),
        &[],
        &["Deny: at least three"],
    );
}

#[test]
fn every_violation_is_listed_in_order_of_policy_and_validation() {
    let policy = |texts: [&str; 2]| {
        cel(
            "",
            &texts
                .map(|text| format!("// @require {text}\nfalse\n"))
                .concat(),
        )
    };
    let set = set(&[
        ("b.cel", policy(["b1", "b2"])),
        ("a.cel", policy(["a1", "a2"])),
    ]);
    let verdict = decide(&set, &body(&[]), &Objects::default());
    assert_eq!(
        respond::denial(&verdict).unwrap(),
        "ValidatingAdmissionPolicy 'a' with binding 'a' denied request: a1\n\
         ValidatingAdmissionPolicy 'a' with binding 'a' denied request: a2\n\
         ValidatingAdmissionPolicy 'b' with binding 'b' denied request: b1\n\
         ValidatingAdmissionPolicy 'b' with binding 'b' denied request: b2"
    );
}

#[test]
fn a_denial_is_cut_where_nobody_would_read_on() {
    let sections: String = (0..64)
        .map(|at| format!("// @require rule {at}\nfalse\n"))
        .collect();
    let set = set(&[("p.cel", cel("", &sections))]);
    let verdict = decide(&set, &body(&[]), &Objects::default());
    let text = respond::denial(&verdict).unwrap();
    assert_eq!(text.lines().count(), 21);
    assert!(text.ends_with("\nand 44 more"), "{text}");
}

#[test]
fn one_condition_that_does_not_hold_wins_over_an_error() {
    let rule = "// @require never\nfalse\n";
    let conditions = |texts: &[&str]| {
        let when: String = texts
            .iter()
            .enumerate()
            .map(|(at, it)| format!("// @when c{at}\n{it}\n"))
            .collect();
        cel("", &format!("{when}{rule}"))
    };
    check(
        conditions(&["object.spec.replicas == 1"]),
        &[],
        &["Deny: never"],
    );
    check(conditions(&["object.spec.replicas == 2"]), &[], &[]);
    check(conditions(&["object.missing == 1", "false"]), &[], &[]);
    // The same error is told once.
    check(
        conditions(&["object.missing == 1", "object.missing == 1"]),
        &[],
        &["Deny: expression 'object.missing == 1' resulted in error: no such key: missing"],
    );
    check(
        conditions(&["object.missing == 1", "true"]),
        &[],
        &["Deny: expression 'object.missing == 1' resulted in error: no such key: missing"],
    );
}

#[test]
fn an_error_denies_under_fail_and_is_passed_over_under_ignore() {
    let rule = "// @require r\nobject.missing == 1\n";
    check(
        cel("", rule),
        &[],
        &["Deny: expression 'object.missing == 1' resulted in error: no such key: missing"],
    );
    check(cel("failurePolicy: Ignore", rule), &[], &[]);
    check(
        cel("action: warn", rule),
        &[],
        &["Warn: expression 'object.missing == 1' resulted in error: no such key: missing"],
    );
}

#[test]
fn an_expression_that_does_not_compile_is_an_error_of_its_own() {
    let rule = "// @require r\nobjct.x == 1\n// @require s\nfalse\n";
    check(
        cel("", rule),
        &[],
        &[
            "Deny: compilation error: undeclared reference to `objct`",
            "Deny: s",
        ],
    );
    check(cel("failurePolicy: Ignore", rule), &[], &["Deny: s"]);
}

#[test]
fn a_violation_does_what_the_binding_says() {
    let rule = "// @require r\nfalse\n";
    check(cel("action: warn", rule), &[], &["Warn: r"]);
    check(cel("action: [deny, audit]", rule), &[], &["Deny+Audit: r"]);
    let set = set(&[("p.cel", cel("action: [warn, audit]", rule))]);
    let verdict = decide(&set, &body(&[]), &Objects::default());
    assert!(!verdict.is_denied());
    assert_eq!(
        respond::warnings(&verdict, Mode::Enforce),
        ["Validation failed for ValidatingAdmissionPolicy 'p' with binding 'p': r"]
    );
    let annotations = respond::audit_annotations(&verdict, Mode::Enforce);
    assert_eq!(annotations.len(), 1);
    assert_eq!(annotations[0].0, "validation_failure");
    let value: Value = serde_json::from_str(&annotations[0].1).unwrap();
    assert_eq!(
        value,
        json!([{"message": "r", "policy": "p", "binding": "p", "expressionIndex": 0,
                "validationActions": ["Warn", "Audit"]}])
    );
    assert!(
        verdict
            .decisions
            .iter()
            .all(|it| !it.actions.contains(&ValidationAction::Deny))
    );
}

#[test]
fn a_file_on_trial_rejects_nothing_whatever_is_wrong_with_it() {
    for (front_matter, body) in [
        ("action: audit", "// @require r\nobject.nope == 1\n"),
        ("action: [warn, audit]", "// @require r\n1 + 'a' == 2\n"),
        ("action: audit", "// @audit key\nobject.nope\n"),
        (
            "action: audit",
            "// @when it is\nobject.nope\n// @require r\ntrue\n",
        ),
    ] {
        let set = set(&[("p.cel", cel(front_matter, body))]);
        let verdict = decide(&set, &self::body(&[]), &Objects::default());
        assert!(!verdict.is_denied(), "{body}: {verdict:?}");
        assert_eq!(verdict.decisions.len(), 1, "{body}: {verdict:?}");
        let annotations = respond::audit_annotations(&verdict, Mode::Enforce);
        assert_eq!(annotations[0].0, "validation_failure", "{body}");
    }
}

#[test]
fn audit_mode_admits_and_says_what_it_would_have_denied() {
    let set = set(&[("p.cel", cel("", "// @require r\nfalse\n"))]);
    let verdict = decide(&set, &body(&[]), &Objects::default());
    let answer = respond::respond("u-1", &verdict, Mode::Audit);
    let answer: Value = serde_json::from_slice(&answer.to_json()).unwrap();
    assert_eq!(answer["response"]["allowed"], true);
    assert_eq!(
        answer["response"]["warnings"],
        json!([
            "[audit] would be denied: ValidatingAdmissionPolicy 'p' with binding 'p' denied request: r"
        ])
    );
    assert!(answer["response"]["auditAnnotations"]["validation_failure"].is_string());
}

#[test]
fn a_caller_is_warned_of_a_trial_unless_that_is_switched_off() {
    let kubernetes = "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\n\
                      metadata: {name: p}\nspec:\n  matchConstraints: {resourceRules: [{apiGroups: \
                      [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments]}]}\n  \
                      validations: [{expression: 'false', message: r}]\n---\napiVersion: \
                      admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: \
                      {name: p}\nspec: {policyName: p, validationActions: [Audit]}\n";
    let of = |action: &str| cel(action, "// @require r\nfalse\n");
    let (told, warned) = (
        "[audit] would be denied: ValidatingAdmissionPolicy 'p' with binding 'p' denied request: r",
        "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'p': r",
    );
    for (name, text, mode, expected) in [
        ("p.cel", of("action: audit"), Mode::Enforce, &[told][..]),
        ("p.cel", of("action: audit"), Mode::Audit, &[told]),
        ("p.cel", of("action: audit"), Mode::SilentEnforce, &[]),
        ("p.cel", of("action: audit"), Mode::SilentAudit, &[]),
        (
            "p.cel",
            of("action: [warn, audit]"),
            Mode::Enforce,
            &[warned],
        ),
        ("p.cel", of("action: [deny, audit]"), Mode::Enforce, &[]),
        ("p.yaml", kubernetes.to_owned(), Mode::Enforce, &[]),
        ("p.yaml", kubernetes.to_owned(), Mode::Audit, &[]),
    ] {
        let set = set(&[(name, text.clone())]);
        let verdict = decide(&set, &body(&[]), &Objects::default());
        assert_eq!(
            respond::warnings(&verdict, mode),
            expected,
            "{mode:?} {text}"
        );
    }
}

#[test]
fn reasons_have_their_codes() {
    for (reason, code) in [
        ("Forbidden", 403),
        ("Invalid", 422),
        ("RequestEntityTooLarge", 413),
    ] {
        let policy = cel("", &format!("// @require r\nfalse\n// @reason {reason}\n"));
        let set = set(&[("p.cel", policy)]);
        let verdict = decide(&set, &body(&[]), &Objects::default());
        let answer = respond::respond("u-1", &verdict, Mode::Enforce).to_json();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["response"]["status"]["code"], code);
        assert_eq!(answer["response"]["status"]["reason"], reason);
    }
}

#[test]
fn audit_annotations_are_published_trimmed_and_left_out_when_empty() {
    let policy = cel(
        "",
        "// @require r\ntrue\n// @audit team\n'  ' + object.metadata.labels.app\n// @audit none\nobject.spec.replicas > 5 ? 'big' : ''\n",
    );
    let set = set(&[("p.cel", policy)]);
    let verdict = decide(&set, &body(&[]), &Objects::default());
    assert_eq!(
        verdict.audit_annotations,
        [("p/team".to_owned(), "web".to_owned())]
    );
    let error = "expression 'string(object.missing)' resulted in error: no such key: missing";
    for (front_matter, action) in [("action: warn", "Deny"), ("action: audit", "Audit")] {
        let wrong = cel(
            front_matter,
            "// @require r\ntrue\n// @audit team\nstring(object.missing)\n",
        );
        check(wrong, &[], &[&format!("{action}: {error}")]);
    }
}

#[test]
fn the_budget_of_a_binding_ends_its_evaluation() {
    // Each costs somewhat under the limit of one expression; eleven are over the budget of all.
    let costly = "lists.range(400).all(x, lists.range(400).all(y, x + y >= 0))";
    let sections: String = (0..12)
        .map(|at| format!("// @require r{at}\n{costly}\n"))
        .collect();
    check(
        cel("", &sections),
        &[],
        &[
            "Deny: validation failed due to running out of cost budget, no further validation rules \
         will be run",
        ],
    );
    check(cel("failurePolicy: Ignore", &sections), &[], &[]);
}

#[test]
fn variables_are_computed_when_read_and_their_errors_are_the_readers() {
    let policy = cel(
        "",
        "// @let broken\nobject.missing\n// @let twice\nobject.spec.replicas * 2\n// @let more\nvariables.twice + 1\n\
         // @require unread\ntrue || variables.broken == 1\n// @require read\nvariables.more == 4\n// @require error\nvariables.broken == 1\n",
    );
    check(
        policy,
        &[],
        &[
            "Deny: read",
            "Deny: expression 'variables.broken == 1' resulted in error: composited variable \"broken\" fails to evaluate: no such key: missing",
        ],
    );
}

#[test]
fn settings_are_constants_of_the_policy() {
    let policy = cel(
        "settings: {floor: 3, names: [web]}",
        "// @require r\nobject.spec.replicas >= settings.floor && object.metadata.name in settings.names\n",
    );
    check(policy.clone(), &[], &["Deny: r"]);
    check(policy, &[("/object/spec/replicas", json!(3))], &[]);
}

#[test]
fn the_request_is_what_kubernetes_shows() {
    for (expression, holds) in [
        (
            "request.operation == 'CREATE' && request.name == 'web' && request.namespace == 'prod'",
            true,
        ),
        (
            "request.kind.kind == 'Deployment' && request.resource.resource == 'deployments'",
            true,
        ),
        (
            "request.userInfo.username == 'ann' && 'dev' in request.userInfo.groups",
            true,
        ),
        (
            "has(request.subResource) || has(request.requestSubResource)",
            false,
        ),
        ("request.dryRun == false && oldObject == null", true),
        ("namespaceObject.metadata.name == 'prod'", true),
        (
            "namespaceObject.metadata.labels['kubernetes.io/metadata.name'] == 'prod'",
            true,
        ),
    ] {
        let policy = cel("", &format!("// @require r\n{expression}\n"));
        check(policy, &[], if holds { &[] } else { &["Deny: r"] });
    }
}

#[test]
fn rules_match_by_operation_group_version_resource_scope_and_name() {
    let applies = |front_matter: &str, changes: &[(&str, Value)]| {
        let text = format!(
            "// ---\n{}// ---\n// @require r\nfalse\n",
            front_matter
                .lines()
                .map(|line| format!("// {line}\n"))
                .collect::<String>()
        );
        let set = set(&[("p.cel", text)]);
        decide(&set, &body(changes), &Objects::default()).matched == 1
    };
    let matching = |rule: &str| format!("match: {{{rule}}}");
    assert!(applies(
        &matching("resources: [apps/v1/deployments], operations: [CREATE]"),
        &[]
    ));
    assert!(!applies(
        &matching("resources: [apps/v1/deployments], operations: [DELETE]"),
        &[]
    ));
    assert!(applies(
        &matching("resources: ['*/*/*'], operations: ['*']"),
        &[]
    ));
    assert!(!applies(
        &matching("resources: [apps/v1/deployments/scale]"),
        &[]
    ));
    assert!(applies(
        &matching("resources: [apps/v1/deployments/scale]"),
        &[("/subResource", json!("scale")),]
    ));
    assert!(!applies(
        &matching("resources: [apps/v1/deployments]"),
        &[("/subResource", json!("scale")),]
    ));
    assert!(!applies(
        &matching("resources: [apps/v1/deployments], scope: Cluster"),
        &[]
    ));
    assert!(applies(
        &matching("resources: [apps/v1/deployments], scope: Namespaced"),
        &[]
    ));
    let excluded = "match: {resources: [apps/v1/deployments]}\nexclude: {resources: [apps/v1/deployments], operations: [CREATE]}";
    assert!(!applies(excluded, &[]));
    assert!(applies(excluded, &[("/operation", json!("UPDATE"))]));
    let labelled =
        "match: {resources: [apps/v1/deployments]}\nobjectSelector: {matchLabels: {app: web}}";
    assert!(applies(labelled, &[]));
    assert!(!applies(
        labelled,
        &[("/object/metadata/labels", json!({"app": "db"}))]
    ));
    let in_namespace = "match: {resources: [apps/v1/deployments]}\nnamespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [kube-system]}]}";
    assert!(applies(in_namespace, &[]));
    assert!(!applies(
        in_namespace,
        &[("/namespace", json!("kube-system"))]
    ));
}

#[test]
fn an_object_that_is_no_document_is_an_error_of_the_request() {
    let set = set(&[("p.cel", cel("", "// @require r\ntrue\n"))]);
    let nested = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    let text = String::from_utf8(body(&[("/object/spec", json!("DEEP"))])).unwrap();
    let text = text.replace("\"DEEP\"", &nested);
    let request = review::parse(text.as_bytes()).unwrap();
    let objects = Objects::default();
    let options = Options::new(&objects);
    let error = validate(&set, &request, options).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("request.object is unusable: nested deeper than 200 levels"),
        "{error}"
    );
}

#[test]
fn parameters_are_found_by_name_and_by_selector() {
    let documents = |reference: &str| {
        format!("
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: p}}
spec:
  paramKind: {{apiVersion: v1, kind: ConfigMap}}
  matchConstraints: {{resourceRules: [{{apiGroups: [apps], apiVersions: [v1], operations: ['*'], resources: [deployments]}}]}}
  validations: [{{expression: 'object.spec.replicas >= int(params.data.floor)', messageExpression: '\"below \" + params.data.floor'}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: b}}
spec: {{policyName: p, validationActions: [Deny], paramRef: {reference}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: one, namespace: prod, labels: {{use: here}}}}
data: {{floor: '2'}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: two, namespace: prod, labels: {{use: here}}}}
data: {{floor: '5'}}
")
    };
    for (reference, wanted) in [
        (
            "{name: one, parameterNotFoundAction: Deny}",
            vec!["Deny: below 2"],
        ),
        (
            "{name: two, namespace: prod, parameterNotFoundAction: Deny}",
            vec!["Deny: below 5"],
        ),
        (
            "{selector: {matchLabels: {use: here}}, parameterNotFoundAction: Deny}",
            vec!["Deny: below 2", "Deny: below 5"],
        ),
        ("{name: absent, parameterNotFoundAction: Allow}", vec![]),
        (
            "{name: absent, parameterNotFoundAction: Deny}",
            vec![
                "Deny: failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction",
            ],
        ),
    ] {
        let set = set(&[("p.yaml", documents(reference))]);
        let verdict = decide(&set, &body(&[]), &Objects::default());
        assert_eq!(messages(&verdict), wanted, "{reference}");
    }
}
