//! Which policies are in force after documents were read, and after they were read again.

use super::*;
use crate::policy::model::ValidationAction;
use crate::policy::read;
use crate::text::Source;

fn asked<'r>(group: &'r str, resource: &'r str, operation: Operation) -> Asked<'r> {
    Asked {
        group,
        version: "v1",
        resource,
        operation,
    }
}

fn documents(files: &[(&str, &str)]) -> Documents {
    let mut documents = Documents::default();
    for (name, text) in files {
        let (read, _) = read::read(&Source::new(*name, *text));
        documents.policies.extend(read.policies);
        documents.bindings.extend(read.bindings);
        documents.params.extend(read.params);
    }
    documents
}

fn policy(expression: &str) -> String {
    format!(
        "// ---\n// match: {{resources: [apps/v1/deployments]}}\n// ---\n// @require it holds\n{expression}\n"
    )
}

/// The policies in force, each with its first expression, `!` for one that does not compile.
fn in_force(set: &PolicySet) -> Vec<String> {
    let shown = |bound: &BoundPolicy| {
        let text = bound
            .policy
            .validations
            .first()
            .map(|it| it.expression.text.clone());
        let mark = if bound.policy.is_faulty() { "!" } else { "" };
        format!(
            "{}{mark}: {}",
            bound.policy.policy.name,
            text.unwrap_or_default()
        )
    };
    set.validating().iter().map(shown).collect()
}

fn build(files: &[(&str, &str)], previous: &PolicySet) -> Built {
    let faulty: Vec<String> = files
        .iter()
        .filter(|(name, text)| {
            let (_, findings) = read::read(&Source::new(*name, *text));
            findings.iter().any(Diagnostic::is_error)
        })
        .map(|(name, _)| (*name).to_owned())
        .collect();
    PolicySet::build(
        documents(files),
        KubernetesVersion::default(),
        previous,
        |source| faulty.iter().any(|it| it == source),
    )
}

#[test]
fn policies_are_in_order_of_name_whatever_the_files_order() {
    let (b, a) = (policy("1 == 1"), policy("2 == 2"));
    let built = build(&[("b.cel", &b), ("a.cel", &a)], &PolicySet::default());
    assert_eq!(in_force(&built.set), ["a: 2 == 2", "b: 1 == 1"]);
    assert!(built.diagnostics.is_empty(), "{:?}", built.diagnostics);
}

#[test]
fn a_policy_that_no_longer_compiles_stays_as_it_was_and_the_others_change() {
    let (a, b) = (policy("1 == 1"), policy("2 == 2"));
    let before = build(&[("a.cel", &a), ("b.cel", &b)], &PolicySet::default()).set;
    let (a, b) = (policy("objct == 1"), policy("3 == 3"));
    let after = build(&[("a.cel", &a), ("b.cel", &b)], &before);
    assert_eq!(in_force(&after.set), ["a: 1 == 1", "b: 3 == 3"]);
    assert_eq!(after.kept, ["a"]);
    let mended = build(&[("a.cel", &policy("4 == 4")), ("b.cel", &b)], &after.set);
    assert_eq!(in_force(&mended.set), ["a: 4 == 4", "b: 3 == 3"]);
    assert!(mended.kept.is_empty());
}

#[test]
fn a_file_that_can_no_longer_be_read_keeps_its_policies_and_bindings() {
    let before = build(&[("a.cel", &policy("1 == 1"))], &PolicySet::default()).set;
    let after = build(
        &[(
            "a.cel",
            "// ---\n// match: [\n// ---\n// @require x\ntrue\n",
        )],
        &before,
    );
    assert_eq!(in_force(&after.set), ["a: 1 == 1"]);
    assert_eq!(after.kept, ["a"]);
}

#[test]
fn a_faulty_file_keeps_its_policy_and_actions_although_it_was_renamed() {
    let good = policy("1 == 1").replace("// match", "// name: old\n// action: warn\n// match");
    let before = build(&[("a.cel", &good)], &PolicySet::default()).set;
    for faulty in [
        policy("objct == 1").replace("// match", "// name: new\n// match"),
        policy("1 == 1").replace("match:", "match: ["),
    ] {
        let after = build(&[("a.cel", &faulty)], &before);
        assert_eq!(in_force(&after.set), ["old: 1 == 1"], "{faulty}");
        assert_eq!(after.kept, ["old"]);
        assert_eq!(after.set.policies().len(), 1, "the faulty one is not there");
        let bindings = &after.set.validating()[0].bindings;
        assert_eq!(bindings[0].validation_actions, [ValidationAction::Warn]);
    }
    let renamed = build(&[("a.cel", &policy("2 == 2"))], &before);
    assert_eq!(in_force(&renamed.set), ["a: 2 == 2"]);
    assert!(renamed.kept.is_empty());
}

#[test]
fn a_binding_that_can_no_longer_be_read_stays_as_it_was() {
    let yaml = |action: &str| {
        format!(
            "apiVersion: admissionregistration.k8s.io/v1\n\
             kind: ValidatingAdmissionPolicyBinding\n\
             metadata: {{name: b}}\n\
             spec: {{policyName: a, validationActions: [{action}]}}\n"
        )
    };
    let before = build(&[("b.yaml", &yaml("Deny"))], &PolicySet::default()).set;
    let after = build(&[("b.yaml", &yaml("Dney"))], &before);
    let actions = |set: &PolicySet| set.bindings()[0].validation_actions.clone();
    assert_eq!(actions(&after.set), [ValidationAction::Deny]);
    let mended = build(&[("b.yaml", &yaml("Audit"))], &after.set);
    assert_eq!(actions(&mended.set), [ValidationAction::Audit]);
}

#[test]
fn a_file_that_is_gone_takes_its_policies_with_it() {
    let before = build(&[("a.cel", &policy("1 == 1"))], &PolicySet::default()).set;
    let after = build(&[], &before);
    assert!(in_force(&after.set).is_empty());
    assert!(after.kept.is_empty());
}

#[test]
fn a_policy_faulty_from_the_start_is_in_force_as_an_error() {
    let built = build(&[("a.cel", &policy("objct == 1"))], &PolicySet::default());
    assert_eq!(in_force(&built.set), ["a!: objct == 1"]);
    assert_eq!(built.diagnostics.len(), 1);
    assert!(built.kept.is_empty());
}

#[test]
fn a_policy_without_a_binding_is_known_and_not_in_force() {
    let policy = "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: unbound}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments]}]}
  validations: [{expression: 'true'}]
";
    let built = build(&[("p.yaml", policy)], &PolicySet::default());
    assert!(in_force(&built.set).is_empty());
    assert_eq!(built.set.policies().len(), 1);
}

#[test]
fn the_index_finds_resources_subresources_and_patterns() {
    let rule = |resources: &str| {
        format!(
            "// ---\n// match: {{resources: [{resources}]}}\n// ---\n// @require it holds\ntrue\n"
        )
    };
    let files = [
        ("deployments.cel", rule("apps/v1/deployments")),
        ("scale.cel", rule("apps/v1/deployments/scale")),
        ("every-scale.cel", rule("'*/*/*/scale'")),
        ("everything.cel", rule("'*/*/*'")),
        ("pods.cel", rule("v1/pods, apps/v1/deployments")),
    ];
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    let set = build(&files, &PolicySet::default()).set;
    let found = |group: &str, resource: &str| -> Vec<String> {
        set.candidates(
            PolicyKind::Validating,
            asked(group, resource, Operation::Create),
        )
        .map(|it| it.bound.policy.policy.name.clone())
        .collect()
    };
    assert_eq!(
        found("apps", "deployments"),
        ["deployments", "every-scale", "everything", "pods"]
    );
    assert_eq!(
        found("apps", "deployments/scale"),
        ["every-scale", "everything", "scale"]
    );
    assert_eq!(found("", "pods"), ["every-scale", "everything", "pods"]);
    assert_eq!(found("batch", "jobs"), ["every-scale", "everything"]);
    // What a rule says in words is known; what it says in patterns is to be looked at.
    let deleted = set.candidates(
        PolicyKind::Validating,
        asked("apps", "deployments", Operation::Delete),
    );
    let deleted: Vec<_> = deleted
        .map(|it| (it.bound.policy.policy.name.as_str(), it.certainty))
        .collect();
    assert_eq!(
        deleted,
        [
            ("every-scale", Certainty::Possible),
            ("everything", Certainty::Possible)
        ]
    );
}

/// Upstream keeps variables by name (apiserver `plugin/cel/composition.go`): whoever reads one that is
/// declared twice reads the last, even above it; that we refuse.
#[test]
fn of_variables_of_one_name_the_last_one_counts() {
    let policy = |variables: &str| {
        format!(
            "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\n\
             metadata: {{name: p}}\nspec:\n  matchConstraints: {{resourceRules: [{{apiGroups: [''], \
             apiVersions: [v1], operations: [CREATE], resources: [pods]}}]}}\n  \
             variables: [{variables}]\n  validations: [{{expression: variables.a}}]\n"
        )
    };
    let a = |expression: &str| format!("{{name: a, expression: \"{expression}\"}}");
    for (variables, is_faulty) in [
        (format!("{}, {}", a("1"), a("true")), false),
        (format!("{}, {}", a("true"), a("1")), true),
        (format!("{}, {}", a("true"), a("variables.a")), true),
        (
            format!(
                "{}, {{name: b, expression: variables.a}}, {}",
                a("true"),
                a("true")
            ),
            true,
        ),
        (
            format!(
                "{}, {}, {{name: b, expression: variables.a}}",
                a("1"),
                a("true")
            ),
            false,
        ),
    ] {
        let built = build(&[("p.yaml", &policy(&variables))], &PolicySet::default());
        let found = built.set.policies().iter().any(|it| it.is_faulty());
        assert_eq!(found, is_faulty, "{variables}: {:?}", built.diagnostics);
    }
}
