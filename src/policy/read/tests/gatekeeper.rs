//! Reading templates and constraints.

use super::*;

const TEMPLATE: &str = "\
apiVersion: templates.gatekeeper.sh/v1
kind: ConstraintTemplate
metadata: {name: k8sowner}
spec:
  crd: {spec: {names: {kind: K8sOwner}}}
  targets:
  - target: admission.k8s.gatekeeper.sh
    code:
    - engine: K8sNativeValidation
      source:
        failurePolicy: Ignore
        matchCondition: [{name: own, expression: 'true'}]
        variables: [{name: owner, expression: variables.params.owner}]
        validations: [{expression: variables.owner != '', message: who}]
";

const CONSTRAINT: &str = "\
apiVersion: constraints.gatekeeper.sh/v1
kind: K8sOwner
metadata: {name: all}
spec:
  enforcementAction: warn
  match:
    kinds: [{apiGroups: [''], kinds: [Pod]}]
    scope: Namespaced
    labelSelector: {matchLabels: {a: b}}
  parameters: {owner: x}
";

#[test]
fn a_template_is_a_policy_and_a_constraint_its_binding_with_a_parameter() {
    let read = sound("p.yaml", &format!("{TEMPLATE}---\n{CONSTRAINT}"));
    let [policy] = &read.policies[..] else {
        panic!()
    };
    assert_eq!(policy.name, "k8sowner");
    assert_eq!(policy.failure_policy, FailurePolicy::Ignore);
    let names: Vec<&str> = policy.variables.iter().map(|it| &*it.name).collect();
    assert_eq!(names, ["params", "owner"]);
    assert_eq!(policy.match_conditions.last().unwrap().name, "own");
    let kind = policy.param_kind.as_ref().unwrap();
    assert_eq!(kind, &read.params[0].kind);
    let [binding] = &read.bindings[..] else {
        panic!()
    };
    assert_eq!(binding.policy_name, policy.name);
    assert_eq!(binding.name, "k8sowner.all");
    assert_eq!(binding.validation_actions, [ValidationAction::Warn]);
    let limits = binding.match_resources.as_ref().unwrap();
    assert_eq!(limits.resource_rules[0].scope, Scope::Namespaced);
    assert_eq!(limits.object_selector.match_labels["a"], "b");
}

#[test]
fn what_is_written_wrongly_is_said_where_it_is() {
    let rows = [
        (
            TEMPLATE.replace("kind: K8sOwner", "kind: K8sOther"),
            "5:30 invalid-name K8sOther",
            "k8sother",
        ),
        (
            TEMPLATE.replace("matchCondition:", "matchConditions:"),
            "12:9 unknown-key matchConditions",
            "did you mean `matchCondition`?",
        ),
        (
            TEMPLATE.replace("name: owner", "name: params"),
            "13:28 duplicate-name params",
            "another name",
        ),
        (
            CONSTRAINT.replace(": warn", ": wran"),
            "5:22 unknown-action wran",
            "did you mean `warn`?",
        ),
        (
            CONSTRAINT.replace("scope: Namespaced", "namespaces: ['a*b']"),
            "8:18 invalid-name 'a*b'",
            "at the end",
        ),
        (
            CONSTRAINT.replace("labelSelector", "labelSelektor"),
            "9:5 unknown-key labelSelektor",
            "did you mean `labelSelector`?",
        ),
    ];
    for (text, place, help) in rows {
        check("p.yaml", &text, &[(place, help)]);
        let (read, _) = read(&Source::new("p.yaml", text));
        let policies = read.policies.iter().map(|it| it.reading);
        let mut all = policies.chain(read.bindings.iter().map(|it| it.reading));
        assert!(all.all(|reading| reading == Reading::Faulty), "{place}");
    }
}

#[test]
fn rego_alone_is_warned_of_and_rejects() {
    let rego = TEMPLATE.split("    code:").next().unwrap().to_owned() + "    rego: package x\n";
    let (read, diagnostics) = read(&Source::new("p.yaml", rego));
    let [warning] = &diagnostics[..] else {
        panic!("{diagnostics:?}")
    };
    assert_eq!(warning.code, "policy/not-evaluated");
    assert_eq!(warning.severity, Severity::Warning);
    let policy = &read.policies[0];
    assert_eq!(policy.reading, Reading::Whole);
    assert_eq!(policy.validations[0].expression.text, "false");
}

#[test]
fn what_is_scoped_is_done_at_admission_or_recorded() {
    use ValidationAction::{Audit, Deny, Warn};
    let rows: [(&str, &[ValidationAction]); 4] = [
        (
            "[{action: warn, enforcementPoints: [{name: '*'}]}]",
            &[Warn],
        ),
        (
            "[{action: deny, enforcementPoints: [{name: validation.gatekeeper.sh}]}, \
             {action: warn, enforcementPoints: [{name: '*'}]}]",
            &[Deny],
        ),
        (
            "[{action: deny, enforcementPoints: [{name: audit.gatekeeper.sh}]}]",
            &[Audit],
        ),
        ("[]", &[Audit]),
    ];
    for (scoped, actions) in rows {
        let text = CONSTRAINT.replace(
            "enforcementAction: warn",
            &format!("enforcementAction: scoped\n  scopedEnforcementActions: {scoped}"),
        );
        let read = sound("p.yaml", &text);
        assert_eq!(read.bindings[0].validation_actions, actions, "{scoped}");
    }
}
