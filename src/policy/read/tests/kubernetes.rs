//! Reading Kubernetes documents: what they may say, and every mistake in them.

use super::*;

/// Both kinds of policy with their bindings, a parameter, and a list.
pub(super) const WHOLE: &str = "\
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: replicas
  labels: {team: a}
  annotations:
    portcullis.dev/description: Keeps it up.
    portcullis.dev/severity: critical
    portcullis.dev/category: availability
    portcullis.dev/source: a guide
    other: x
  resourceVersion: '5'
spec:
  failurePolicy: Ignore
  paramKind: {apiVersion: v1, kind: ConfigMap}
  matchConstraints:
    matchPolicy: Exact
    resourceRules:
    - apiGroups: [apps]
      apiVersions: [v1]
      operations: [CREATE]
      resources: [deployments]
      resourceNames: [a]
      scope: Namespaced
    excludeResourceRules:
    - {apiGroups: ['*'], apiVersions: ['*'], operations: ['*'], resources: ['*']}
    namespaceSelector:
      matchExpressions:
      - {key: env, operator: NotIn, values: [dev]}
    objectSelector: {matchLabels: {app: x}}
  matchConditions:
  - {name: ours, expression: 'true'}
  variables:
  - name: floor
    expression: '3'
  validations:
  - expression: >-
      object.spec.replicas >=
      variables.floor
    message: few
    messageExpression: '''few'''
    reason: Forbidden
  auditAnnotations:
  - {key: count, valueExpression: '''x'''}
status: {observedGeneration: 1, anything: [1]}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: replicas-prod}
spec:
  policyName: replicas
  validationActions: [Deny, Audit]
  paramRef: {name: x, namespace: ops, parameterNotFoundAction: Allow}
  matchResources: {objectSelector: {matchLabels: {a: b}}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: patch}
spec:
  reinvocationPolicy: IfNeeded
  matchConstraints:
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  mutations:
  - patchType: JSONPatch
    jsonPatch: {expression: '[]'}
  - patchType: ApplyConfiguration
    applyConfiguration: {expression: 'Object{}'}
---
apiVersion: v1
kind: List
items:
- apiVersion: admissionregistration.k8s.io/v1
  kind: MutatingAdmissionPolicyBinding
  metadata: {name: patch}
  spec: {policyName: patch}
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: x, namespace: ops, labels: {l: m}}
  data: {min: '3', gone: null}
";

#[test]
fn everything_that_can_be_written_is_read() {
    let documents = sound("p.yaml", WHOLE);
    let [policy, mutating] = documents.policies.as_slice() else {
        panic!("{} policies", documents.policies.len());
    };
    assert_eq!(policy.name, "replicas");
    assert_eq!(policy.kind, PolicyKind::Validating);
    assert_eq!(policy.about.description, "Keeps it up.");
    assert_eq!(policy.about.severity, PolicySeverity::Critical);
    assert_eq!(policy.about.category.as_deref(), Some("availability"));
    assert_eq!(policy.failure_policy, FailurePolicy::Ignore);
    assert_eq!(
        policy.param_kind.as_ref().map(|kind| kind.kind.as_str()),
        Some("ConfigMap")
    );
    let matched = policy.match_constraints.as_ref().expect("constraints");
    assert_eq!(matched.match_policy, MatchPolicy::Exact);
    let rule = &matched.resource_rules[0];
    assert_eq!(rule.scope, Scope::Namespaced);
    assert_eq!(rule.resource_names, ["a"]);
    assert_eq!(rule.resources, ["deployments"]);
    assert_eq!(matched.exclude_resource_rules[0].scope, Scope::All);
    let requirement = &matched.namespace_selector.match_expressions[0];
    assert_eq!(requirement.operator, LabelOperator::NotIn);
    assert_eq!(matched.object_selector.match_labels["app"], "x");
    assert_eq!(policy.match_conditions[0].name, "ours");
    let variable = &policy.variables[0];
    assert_eq!(policy.origin.source.slice(variable.name_span), "floor");
    let validation = &policy.validations[0];
    assert_eq!(
        validation.expression.text,
        "object.spec.replicas >= variables.floor"
    );
    assert_eq!(validation.message.as_deref(), Some("few"));
    assert_eq!(validation.reason, Some(Reason::Forbidden));
    assert_eq!(policy.audit_annotations[0].value_expression.text, "'x'");
    assert!(policy.mutate && policy.settings.is_empty() && policy.reads.is_empty());
    assert_eq!(mutating.kind, PolicyKind::Mutating);
    assert_eq!(mutating.reinvocation_policy, ReinvocationPolicy::IfNeeded);
    assert_eq!(mutating.mutations.len(), 2);
    assert_eq!(mutating.failure_policy, FailurePolicy::Fail);
}

#[test]
fn bindings_and_parameters_are_read() {
    let documents = sound("p.yaml", WHOLE);
    let binding = &documents.bindings[0];
    assert_eq!(
        (binding.name.as_str(), binding.policy_name.as_str()),
        ("replicas-prod", "replicas")
    );
    assert_eq!(
        binding.validation_actions,
        [ValidationAction::Deny, ValidationAction::Audit]
    );
    let resources = binding.match_resources.as_ref().expect("resources");
    assert_eq!(resources.match_policy, MatchPolicy::Equivalent);
    assert_eq!(documents.bindings[1].kind, PolicyKind::Mutating);
    let param = &documents.params[0];
    assert_eq!(
        (param.name.as_str(), param.namespace.as_str()),
        ("x", "ops")
    );
    assert_eq!(param.kind.api_version, "v1");
    assert_eq!(param.labels["l"], "m");
    assert_eq!(param.object["data"], serde_json::json!({"min": "3"}));
    assert_eq!(documents.bindings[0].origin.form, Form::Kubernetes);
}

const BINDING: &str = "\
kind: ValidatingAdmissionPolicyBinding
metadata: {name: b}
spec: {policyName: p, validationActions: [Deny], paramRef: {selector: {}}}
";

#[test]
fn missing_parameters_deny_by_default_in_the_alpha_only() {
    let alpha = format!("apiVersion: admissionregistration.k8s.io/v1alpha1\n{BINDING}");
    let documents = sound("p.yaml", &alpha);
    let param_ref = documents.bindings[0]
        .param_ref
        .as_ref()
        .expect("a reference");
    assert_eq!(param_ref.not_found, ParameterNotFoundAction::Deny);
    assert!(matches!(param_ref.select, ParamSelect::Selector(_)));
    for version in ["v1", "v1beta1"] {
        let text = format!("apiVersion: admissionregistration.k8s.io/{version}\n{BINDING}");
        check(
            "p.yaml",
            &text,
            &[("4:50 required paramRef", "`Deny` or `Allow`")],
        );
    }
}

#[test]
fn the_items_of_a_typed_list_need_not_say_what_they_are() {
    let text = "\
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBindingList
metadata: {resourceVersion: '1'}
items:
- metadata: {name: b}
  spec: {policyName: p, validationActions: [Warn]}
";
    assert_eq!(sound("p.yaml", text).bindings[0].name, "b");
    let text = "apiVersion: v1\nkind: ConfigMapList\nitems:\n- metadata: {name: c}\n";
    let documents = sound("p.yaml", text);
    assert_eq!(documents.params[0].object["kind"], "ConfigMap");
}

#[test]
fn json_is_read_as_well() {
    let text = r#"{"apiVersion": "v1", "kind": "List", "items": [
      {"apiVersion": "admissionregistration.k8s.io/v1beta1", "kind": "MutatingAdmissionPolicyBinding",
       "metadata": {"name": "b"}, "spec": {"policyName": "p"}}]}"#;
    assert_eq!(sound("p.json", text).bindings[0].policy_name, "p");
}

#[test]
fn a_stream_with_nothing_in_it_is_no_mistake() {
    for text in ["", "---\n---\n", "# nothing\n", "null\n"] {
        let documents = sound("p.yaml", text);
        assert!(
            documents.policies.is_empty() && documents.params.is_empty(),
            "{text}"
        );
    }
}

#[test]
fn what_is_no_object_is_refused() {
    let rows: [(&str, &[(&str, &str)]); 9] = [
        ("- a\n", &[("1:1 wrong-type - a", "key: value")]),
        ("5\n", &[("1:1 wrong-type 5", "key: value")]),
        (
            "kind: Pod\n",
            &[("1:1 required kind", "`apiVersion` and `kind`")],
        ),
        (
            "apiVersion: v1\n",
            &[("1:1 required apiVersion", "`apiVersion` and `kind`")],
        ),
        (
            "apiVersion: ''\nkind: Pod\n",
            &[("1:13 required ''", "`apiVersion` and `kind`")],
        ),
        (
            "apiVersion: 1\nkind: Pod\n",
            &[("1:13 wrong-type 1", "quotes")],
        ),
        (
            "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolcy\n",
            &[(
                "2:7 unknown-kind ValidatingAdmissionPolcy",
                "`ValidatingAdmissionPolicy`",
            )],
        ),
        (
            "apiVersion: admissionregistration.k8s.io/v2\nkind: ValidatingAdmissionPolicy\n",
            &[(
                "1:13 unknown-version admissionregistration.k8s.io/v2",
                "`v1`",
            )],
        ),
        (
            "a: {\n---\napiVersion: v1\n",
            &[("2:1 yaml ", ""), ("3:1 required apiVersion", "`kind`")],
        ),
    ];
    for (text, expected) in rows {
        let found = findings("p.yaml", text);
        if text.starts_with("a: {") {
            assert_eq!(found.len(), 2, "{found:#?}");
            assert!(found[0].0.contains(" yaml "), "{found:#?}");
            assert_eq!(found[1].0, expected[1].0);
            continue;
        }
        check("p.yaml", text, expected);
    }
}

#[test]
fn fields_that_do_not_exist_are_refused() {
    let text = "\
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: p, label: {}}
specs: {}
spec:
  failurepolicy: Fail
  matchConstraints:
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resource: [pods], resources: [pods]}
    objectSelector: {matchLabel: {}}
  validations:
  - {expression: 'true', messageExpresion: x}
  mutations: []
";
    check(
        "p.yaml",
        text,
        &[
            ("3:21 unknown-key label", "`labels`"),
            ("4:1 unknown-key specs", "`spec`"),
            ("6:3 unknown-key failurepolicy", "`failurePolicy`"),
            ("9:66 unknown-key resource", "`resources`"),
            ("10:22 unknown-key matchLabel", "`matchLabels`"),
            ("12:26 unknown-key messageExpresion", "`messageExpression`"),
            ("13:3 unknown-key mutations", "known keys"),
        ],
    );
}

#[test]
fn values_of_another_type_are_refused() {
    let text = "\
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: 5, labels: [a]}
spec:
  failurePolicy: true
  matchConstraints:
    resourceRules: {}
  validations:
  - expression: true
  - 5
  - {expression: 'true', message: 3}
";
    check(
        "p.yaml",
        text,
        &[
            ("3:18 wrong-type 5", "quotes"),
            ("3:29 wrong-type [a]", "name: value"),
            ("5:18 wrong-type true", "quotes"),
            ("7:20 wrong-type {}", "[item, item]"),
            ("9:17 wrong-type true", "quotes"),
            ("10:5 wrong-type 5", "key: value"),
            ("11:35 wrong-type 3", "quotes"),
        ],
    );
}

#[test]
fn a_bad_document_hides_no_other() {
    let text = format!("kind: X\n---\n{WHOLE}---\n- 5\n");
    let (documents, diagnostics) = read(&Source::new("p.yaml", text));
    assert_eq!(documents.policies.len(), 2);
    assert_eq!(documents.bindings.len(), 2);
    assert_eq!(diagnostics.len(), 2);
}

#[test]
fn two_policies_of_one_kind_and_name_are_refused() {
    let text = format!("{WHOLE}---\n{WHOLE}");
    let found = findings("p.yaml", &text);
    let codes: Vec<&str> = found
        .iter()
        .filter_map(|(place, _)| place.split(' ').nth(1))
        .collect();
    assert_eq!(codes, ["duplicate-name"; 4], "{found:#?}");
}

#[test]
fn lists_in_lists_come_to_an_end() {
    let mut text = String::from("{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}");
    for _ in 0..9 {
        text = format!("{{apiVersion: v1, kind: List, items: [{text}]}}");
    }
    let found = findings("p.yaml", &text);
    assert_eq!(found.len(), 1);
    assert!(found[0].0.contains("too-deep"), "{found:#?}");
}

#[test]
fn what_lies_beside_policies_is_passed_over_with_a_note() {
    for text in [
        "resources: [a.yaml]\n",
        "[{op: add, path: /a, value: 1}]\n",
        "name: x\nversion: 1\n",
    ] {
        let (read, diagnostics) = read(&Source::new("p.yaml", text));
        let [note] = &diagnostics[..] else {
            panic!("{diagnostics:?}")
        };
        assert_eq!(
            (note.code.as_str(), note.severity),
            ("policy/not-an-object", Severity::Note)
        );
        assert!(read.params.is_empty());
    }
    for text in [
        "metadata: {name: x}\n",
        "spec: {validations: []}\n",
        "[{kind: x}]\n",
    ] {
        let (_, diagnostics) = read(&Source::new("p.yaml", text));
        assert!(diagnostics.iter().any(Diagnostic::is_error), "{text}");
    }
}
