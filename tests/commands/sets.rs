//! `check` and `lint` with policies as Gatekeeper and Kyverno have them.

use super::Folder;

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
        validations:
        - expression: >-
            has(variables.anyObject.metadata.labels) &&
            variables.params.label in variables.anyObject.metadata.labels
          messageExpression: \"'label ' + variables.params.label + ' is missing'\"
";

/// A constraint that matches this.
fn constraint(matched: &str) -> String {
    format!(
        "\
apiVersion: constraints.gatekeeper.sh/v1beta1
kind: K8sOwner
metadata: {{name: all}}
spec:
  match: {matched}
  parameters: {{label: owner}}
"
    )
}

#[test]
fn a_constraint_rejects_what_it_matches_and_nothing_else() {
    let object = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web-1, namespace: team-a}\n";
    for (matched, code) in [
        ("{}", 1),
        ("{kinds: [{apiGroups: [''], kinds: [ConfigMap]}]}", 1),
        ("{kinds: [{apiGroups: ['*'], kinds: ['*']}]}", 1),
        ("{kinds: [{apiGroups: [''], kinds: [Pod]}]}", 0),
        ("{kinds: [{apiGroups: [apps], kinds: [ConfigMap]}]}", 0),
        ("{namespaces: [team-a]}", 1),
        ("{namespaces: ['team-*']}", 1),
        ("{namespaces: ['*-b', 'other']}", 0),
        ("{excludedNamespaces: ['*eam*']}", 0),
        ("{excludedNamespaces: [team]}", 1),
        ("{name: 'web-*'}", 1),
        ("{name: web}", 0),
        ("{scope: Cluster}", 0),
        ("{scope: Namespaced}", 1),
        ("{labelSelector: {matchLabels: {a: b}}}", 0),
        (
            "{labelSelector: {matchExpressions: [{key: a, operator: DoesNotExist}]}}",
            1,
        ),
    ] {
        let folder = Folder::with(&[
            ("p/template.yaml", TEMPLATE),
            ("p/constraint.yaml", &constraint(matched)),
            ("p/kustomization.yaml", "resources: [template.yaml]\n"),
            ("object.yaml", object),
        ]);
        let output = folder.run("check object.yaml --policies p");
        assert_eq!(
            output.code,
            Some(code),
            "{matched} {}{}",
            output.out,
            output.err
        );
        let is_said = output.out.contains("label owner is missing");
        assert_eq!(is_said, code == 1, "{matched} {}", output.out);
    }
}

/// A policy of Kyverno with these in `match` and `exclude`.
fn rules(matched: &str, excluded: &str) -> String {
    format!(
        "\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {{name: hosts}}
spec:
  validationFailureAction: Enforce
  rules:
  - name: host
    match: {{any: [{{{matched}}}]}}
    exclude: {{any: [{excluded}]}}
    validate:
      cel:
        expressions:
        - {{expression: '!object.spec.?hostNetwork.orValue(false)', message: no host network}}
"
    )
}

const POD: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: team-a, labels: {app: web}, annotations: {a.b/c: x1}}
spec: {hostNetwork: true, containers: [{name: c, image: i}]}
";

#[test]
fn a_rule_rejects_what_it_matches_and_does_not_exclude() {
    for (matched, excluded, code) in [
        ("resources: {kinds: [Pod]}", "", 1),
        ("resources: {kinds: [Service]}", "", 0),
        ("resources: {kinds: [P*]}", "", 1),
        ("resources: {kinds: [v1/Pod], operations: [UPDATE]}", "", 0),
        ("resources: {kinds: [Pod], names: ['web-?']}", "", 1),
        ("resources: {kinds: [Pod], names: ['api-*']}", "", 0),
        ("resources: {kinds: [Pod], namespaces: ['team-*']}", "", 1),
        (
            "resources: {kinds: [Pod], selector: {matchLabels: {app: 'w*'}}}",
            "",
            1,
        ),
        (
            "resources: {kinds: [Pod], selector: {matchLabels: {app: api}}}",
            "",
            0,
        ),
        (
            "resources: {kinds: [Pod], annotations: {'a.b/*': 'x?'}}",
            "",
            1,
        ),
        (
            "resources: {kinds: [Pod], annotations: {'a.b/*': z}}",
            "",
            0,
        ),
        (
            "resources: {kinds: [Pod], namespaceSelector: {matchExpressions: \
             [{key: a, operator: DoesNotExist}]}}",
            "",
            1,
        ),
        (
            "resources: {kinds: [Pod]}, subjects: [{kind: User, name: nobody}]",
            "",
            0,
        ),
        (
            "resources: {kinds: [Pod]}",
            "{resources: {namespaces: [team-a]}}",
            0,
        ),
        (
            "resources: {kinds: [Pod]}",
            "{resources: {namespaces: [team-b]}}",
            1,
        ),
        (
            "resources: {kinds: [Pod]}",
            "{resources: {names: ['web*']}}",
            0,
        ),
        (
            "resources: {kinds: [Pod]}",
            "{subjects: [{kind: Group, name: 'system:mast*'}]}",
            0,
        ),
        (
            "resources: {kinds: [Pod]}",
            "{clusterRoles: [cluster-admin]}",
            1,
        ),
    ] {
        let folder = Folder::with(&[
            ("p/policy.yaml", &rules(matched, excluded)),
            ("object.yaml", POD),
        ]);
        let output = folder.run("check object.yaml --policies p");
        let said = format!("{matched} {excluded} {}{}", output.out, output.err);
        assert_eq!(output.code, Some(code), "{said}");
        assert_eq!(output.out.contains("no host network"), code == 1, "{said}");
    }
}

#[test]
fn a_rule_about_pods_rejects_their_controllers() {
    let rules = rules("resources: {kinds: [Pod]}", "");
    let spec = "{hostNetwork: true, containers: [{name: c, image: i}]}";
    let deployment = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d}}\n\
         spec: {{selector: {{}}, template: {{spec: {spec}}}}}\n"
    );
    let cron_job = format!(
        "apiVersion: batch/v1\nkind: CronJob\nmetadata: {{name: d}}\n\
         spec: {{schedule: x, jobTemplate: {{spec: {{template: {{spec: {spec}}}}}}}}}\n"
    );
    for object in [&deployment, &cron_job] {
        let folder = Folder::with(&[("p/policy.yaml", &rules), ("object.yaml", object)]);
        let output = folder.run("check object.yaml --policies p");
        assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
        assert!(output.out.contains("no host network"), "{}", output.out);
    }
}

#[test]
fn what_is_not_evaluated_is_warned_of_by_lint_and_rejects() {
    let rego = TEMPLATE.split("    code:").next().unwrap().to_owned() + "    rego: package x\n";
    let kinds = "{kinds: [{apiGroups: [''], kinds: [Pod]}]}";
    let folder = Folder::with(&[
        ("p/template.yaml", &rego),
        ("p/constraint.yaml", &constraint(kinds)),
        ("object.yaml", POD),
    ]);
    let output = folder.run("lint p");
    assert_eq!(output.code, Some(1), "{}", output.out);
    assert!(
        output.out.contains("Rego is not evaluated"),
        "{}",
        output.out
    );
    let output = folder.run("check object.yaml --policies p");
    assert_eq!(output.code, Some(1), "{}{}", output.out, output.err);
    let said = "the template is written in Rego, which is not evaluated here";
    assert!(output.out.contains(said), "{}", output.out);
}
