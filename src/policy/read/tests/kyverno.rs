//! Reading Kyverno's policies.

use super::*;

const RULES: &str = "\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: hosts}
spec:
  validationFailureAction: Enforce
  rules:
  - name: host
    match: {any: [{resources: {kinds: [Pod], operations: [CREATE]}}]}
    validate:
      message: no host
      cel:
        expressions: [{expression: '!object.spec.hostNetwork'}]
";

const VALIDATING: &str = "\
apiVersion: policies.kyverno.io/v1
kind: ValidatingPolicy
metadata: {name: hosts}
spec:
  validationActions: [Audit]
  matchConstraints:
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  validations: [{expression: '!object.spec.hostNetwork'}]
";

/// Name, resources and the first expression of each policy.
fn outline(read: &Documents) -> Vec<(String, String, String)> {
    read.policies
        .iter()
        .map(|policy| {
            let rules = policy
                .match_constraints
                .iter()
                .flat_map(|it| &it.resource_rules);
            let resources: Vec<String> = rules
                .map(|it| format!("{}:{}", it.api_groups.join(","), it.resources.join(",")))
                .collect();
            let expression = &policy.validations[0].expression.text;
            (policy.name.clone(), resources.join(" "), expression.clone())
        })
        .collect()
}

fn check_outline(text: &str, wanted: &[(&str, &str, &str)]) {
    let read = sound("p.yaml", text);
    let outline = outline(&read);
    let found: Vec<(&str, &str, &str)> = outline
        .iter()
        .map(|(name, resources, expression)| (&**name, &**resources, &**expression))
        .collect();
    assert_eq!(found, wanted, "{text}");
}

#[test]
fn what_is_about_pods_is_about_their_controllers() {
    let direct = "!object.spec.template.spec.hostNetwork";
    let of_job = "!object.spec.jobTemplate.spec.template.spec.hostNetwork";
    let pods = (
        "hosts",
        "*:pods,pods/ephemeralcontainers",
        "!object.spec.hostNetwork",
    );
    check_outline(
        RULES,
        &[
            pods,
            (
                "hosts.autogen",
                "apps:daemonsets,deployments,replicasets,statefulsets batch:jobs \
                 :replicationcontrollers",
                direct,
            ),
            ("hosts.autogen-cronjobs", "batch:cronjobs", of_job),
        ],
    );
    let annotated = |value: &str| {
        let key = "pod-policies.kyverno.io/autogen-controllers";
        RULES.replace(
            "{name: hosts}",
            &format!("{{name: hosts, annotations: {{{key}: {value}}}}}"),
        )
    };
    check_outline(&annotated("none"), &[pods]);
    check_outline(
        &annotated("Deployment"),
        &[pods, ("hosts.autogen", "apps:deployments", direct)],
    );
    check_outline(
        &VALIDATING.replace(
            "spec:\n",
            "spec:\n  autogen: {podControllers: {controllers: [cronjobs]}}\n",
        ),
        &[
            ("hosts", ":pods", "!object.spec.hostNetwork"),
            ("hosts.autogen-cronjobs", "batch:cronjobs", of_job),
        ],
    );
    check_outline(
        &VALIDATING.replace("resources: [pods]", "resources: [pods, services]"),
        &[("hosts", ":pods,services", "!object.spec.hostNetwork")],
    );
}

#[test]
fn the_action_is_the_rules_own_or_the_policys() {
    let rows = [
        (RULES.to_owned(), ValidationAction::Deny),
        (
            RULES.replace("  validationFailureAction: Enforce\n", ""),
            ValidationAction::Audit,
        ),
        (
            RULES.replace("message: no host", "failureAction: Audit"),
            ValidationAction::Audit,
        ),
        (VALIDATING.to_owned(), ValidationAction::Audit),
        (
            VALIDATING.replace("  validationActions: [Audit]\n", ""),
            ValidationAction::Deny,
        ),
    ];
    for (text, action) in rows {
        let read = sound("p.yaml", &text);
        assert_eq!(read.bindings.len(), read.policies.len());
        for binding in &read.bindings {
            assert_eq!(binding.validation_actions, [action], "{text}");
        }
    }
}

#[test]
fn what_rules_match_is_said_in_resources_and_cel() {
    let rows = [
        (
            "{resources: {kinds: [apps/v1/Deployment]}}",
            "",
            "apps:deployments",
            "",
        ),
        ("{resources: {kinds: [Pod/exec]}}", "", "*:pods/exec", ""),
        (
            "{resources: {kinds: [Tekton*]}}",
            "",
            "*:*",
            "(request.kind.kind).matches",
        ),
        (
            "{resources: {kinds: [Service], namespaces: ['kube-*']}}",
            "",
            "*:services",
            r"(string(request.?namespace.orValue('')).matches('^(?s:kube\\-.*)$'))",
        ),
        (
            "{resources: {kinds: [Service], names: [a]}}",
            "",
            "*:services",
            "[object, oldObject].exists(it, it != null && (",
        ),
        (
            "{resources: {kinds: [Service]}}",
            "exclude: {any: [{subjects: [{kind: Group, name: admins}]}]}",
            "*:services",
            "!(request.userInfo.?groups.orValue([]).exists(group, group == 'admins'))",
        ),
    ];
    for (matched, excluded, resources, condition) in rows {
        let text = RULES
            .replace("{resources: {kinds: [Pod], operations: [CREATE]}}", matched)
            .replace("    validate:", &format!("    {excluded}\n    validate:"));
        let read = sound("p.yaml", &text);
        assert_eq!(outline(&read)[0].1, resources, "{matched}");
        let conditions = &read.policies[0].match_conditions;
        match condition {
            "" => assert!(conditions.is_empty(), "{matched} {conditions:?}"),
            _ => {
                let text = conditions[0].expression.text.replace('"', "'");
                let text = text.replace("string(request.kind.kind)", "(request.kind.kind)");
                assert!(text.contains(condition), "{text}");
            }
        }
    }
}

#[test]
fn what_is_written_wrongly_is_said_where_it_is() {
    let rows = [
        (
            RULES.replace("expressions:", "expresions:"),
            "12:9 unknown-key expresions",
            "did you mean `expressions`?",
        ),
        (
            RULES.replace("kinds: [Pod]", "kinds: [a/b/c/d/e]"),
            "8:40 malformed-kind a/b/c/d/e",
            "Pod/exec",
        ),
        (
            RULES.replace("Enforce", "Enforced"),
            "5:28 unknown-action Enforced",
            "did you mean `Enforce`?",
        ),
        (
            RULES.replace(
                "  rules:",
                "  validationFailureActionOverrides: []\n  rules:",
            ),
            "6:3 not-allowed validationFailureActionOverrides",
            "two policies",
        ),
        (
            VALIDATING.replace("validations:", "validation:"),
            "9:3 unknown-key validation",
            "did you mean `validations`?",
        ),
    ];
    for (text, place, help) in rows {
        let found = findings("p.yaml", &text);
        assert!(
            found.iter().any(|it| it.0 == place && it.1.contains(help)),
            "{place}: {found:#?}"
        );
        let (read, _) = read(&Source::new("p.yaml", text));
        assert!(!read.policies.is_empty());
        let mut all = read.policies.iter().map(|it| it.reading);
        assert!(all.all(|reading| reading == Reading::Faulty), "{place}");
    }
}

#[test]
fn what_is_not_written_in_cel_is_warned_of_and_never_passes_silently() {
    let rest = RULES.split("      cel:").next().unwrap();
    for (text, policies) in [
        (format!("{rest}      pattern: {{a: b}}\n"), 3),
        (
            RULES.split("    validate:").next().unwrap().to_owned() + "    mutate: {a: b}\n",
            0,
        ),
        (
            VALIDATING.replace("ValidatingPolicy", "ImageValidatingPolicy"),
            3,
        ),
        (VALIDATING.replace("ValidatingPolicy", "MutatingPolicy"), 0),
    ] {
        let (read, diagnostics) = read(&Source::new("p.yaml", text.clone()));
        let [warning] = &diagnostics[..] else {
            panic!("{text} {diagnostics:?}")
        };
        assert_eq!(warning.code, "policy/not-evaluated");
        assert_eq!(warning.severity, Severity::Warning);
        assert_eq!(read.policies.len(), policies, "{text}");
        for policy in &read.policies {
            assert_eq!(policy.validations[0].expression.text, "false");
        }
    }
}
