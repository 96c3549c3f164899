//! `explain` of a policy: why it is there, where its rule comes from, and what its settings are.

use super::{Folder, REPLICAS};

/// A policy with everything that is explained.
const POLICY: &str = "// Strict meshes do not talk plain text.
//
// What is on the wire can be read by whoever is on it.
//
// ---
// name: strict
// severity: critical
// category: encryption
// source: 'A guide, its chapter on encryption'
// match:
//   resources: [nsm.nginx.com/v1alpha2/meshconfigs, v1/configmaps]
//   operations: [CREATE, UPDATE]
// namespaceSelector:
//   matchLabels: {mesh: nsm}
//   matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [kube-system]}]
// exclude:
//   resources: [v1/configmaps]
//   operations: [UPDATE]
// action: [deny, audit]
// failurePolicy: Ignore
// reads: [v1/Namespace]
// settings: {mode: strict, others: [permissive], least: 2}
// ---

// @when it is not being deleted
!has(object.metadata.deletionTimestamp)

// @require the mode is strict
object.spec.mtls.mode == settings.mode

// @patch
[JSONPatch{op: 'replace', path: '/spec/mtls/mode', value: settings.mode}]
";

#[test]
fn a_policy_is_explained_by_its_name_and_by_its_file() {
    let folder = Folder::with(&[("p/strict.cel", POLICY), ("p/replicas.cel", REPLICAS)]);
    let by_name = folder.run("explain strict --policies p");
    assert_eq!((by_name.code, by_name.err.as_str()), (Some(0), ""));
    insta::assert_snapshot!(by_name.out, @r#"
    strict

      Strict meshes do not talk plain text.

      What is on the wire can be read by whoever is on it.

      source    A guide, its chapter on encryption
      severity  critical
      category  encryption
      about     nsm.nginx.com/v1alpha2/meshconfigs, v1/configmaps (CREATE, UPDATE)
                not v1/configmaps (UPDATE)
                only namespaces with mesh=nsm and kubernetes.io/metadata.name not in (kube-system)
      when      it is not being deleted
      requires  the mode is strict
      changes   objects, once its mutation is switched on with `mutate: true`
      action    deny, audit
      on error  admits (failurePolicy: Ignore)
      reads     v1/Namespace
      settings  mode: "strict"
                others: ["permissive"]
                least: 2
      file      p/strict.cel
    "#);
    let by_file = folder.run("explain p/strict.cel");
    assert_eq!((by_file.code, &by_file.out), (Some(0), &by_name.out));
}

#[test]
fn what_a_configuration_says_of_a_policy_is_shown_beside_what_is_written() {
    let folder = Folder::with(&[("p/strict.cel", POLICY)]);
    let config = "profile: baseline\npacks: {p: {settings: {least: 3}}}\noverrides: {strict: {enabled: false, \
                  mutate: true, action: warn, settings: {mode: off-ish}}, other: {enabled: false}}\n";
    folder.write("c.yaml", config.as_bytes());
    let output = folder.run("explain strict --policies p --config c.yaml");
    assert_eq!((output.code, output.err.as_str()), (Some(0), ""));
    for line in [
        "  action    warn (as written: deny, audit)\n",
        "  changes   objects\n",
        "  settings  mode: \"off-ish\" (by default \"strict\")\n",
        "            others: [\"permissive\"]\n",
        "            least: 3 (by default 2)\n",
    ] {
        assert!(output.out.contains(line), "{line}{}", output.out);
    }
}

#[test]
fn a_built_in_policy_says_which_recommendation_it_guards() {
    let folder = Folder::with(&[]);
    for (policy, source, setting) in [
        (
            "meshery-replicas",
            "Meshery, Production Deployment Considerations: High Availability (M3, M4)",
            "minReplicas: 3",
        ),
        (
            "mtls-strict",
            "NGINX Service Mesh, Production Tuning: mTLS (N1; NSM-01)",
            "",
        ),
        (
            "cluster-nodes-apart",
            "Meshery, Production Deployment Considerations: High Availability (M1)",
            "",
        ),
    ] {
        let output = folder.run(&format!("explain {policy}"));
        assert_eq!(
            (output.code, output.err.as_str()),
            (Some(0), ""),
            "{policy}"
        );
        for line in [&format!("  source    {source}\n"), setting] {
            assert!(output.out.contains(line), "{line} in\n{}", output.out);
        }
    }
}

#[test]
fn a_name_that_is_nearly_right_is_suggested() {
    let folder = Folder::with(&[("p/strict.cel", POLICY)]);
    for (line, problem) in [
        (
            "explain strikt --policies p",
            "error: there is no policy `strikt`\nhelp: did you mean `strict`?\n",
        ),
        (
            "explain meshery-replica",
            "error: there is no policy `meshery-replica`\nhelp: did you mean `meshery-replicas`?\n",
        ),
        (
            "explain policy/unknown-kee",
            "error: there is no code `policy/unknown-kee`\nhelp: did you mean `policy/unknown-key`?\n",
        ),
    ] {
        let output = folder.run(line);
        let got = (output.code, output.out.as_str(), output.err.as_str());
        assert_eq!(got, (Some(2), "", problem), "{line}");
    }
    let code = folder.run("explain [policy/unknown-key]");
    assert_eq!(code.code, Some(0), "{code:?}");
}

#[test]
fn kubernetes_policies_are_explained_too_and_faults_are_shown() {
    let folder = Folder::with(&[(
        "vap.yaml",
        "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {name: a}\n\
         spec:\n  matchConstraints: {resourceRules: [{apiGroups: [apps], apiVersions: [v1], operations: ['*'], \
         resources: [deployments]}]}\n  validations: [{expression: 'object.spec.replicas >=\n    3'}]\n",
    )]);
    let output = folder.run("explain a --policies vap.yaml");
    assert_eq!((output.code, output.err.as_str()), (Some(0), ""));
    for line in [
        "  about     apps/v1/deployments (*)\n",
        "  requires  object.spec.replicas >= 3\n",
        "  action    none: no binding puts it in force\n",
    ] {
        assert!(output.out.contains(line), "{line}{}", output.out);
    }
    folder.write(
        "bad.cel",
        POLICY.replace("severity", "severitty").as_bytes(),
    );
    let output = folder.run("explain bad.cel");
    assert_eq!(output.code, Some(2));
    assert!(
        output.err.contains("did you mean `severity`?"),
        "{output:?}"
    );
    assert!(output.out.starts_with("strict\n"), "{output:?}");
}

/// Rules with all that an object is explained with.
const RULES: &str = "// Three of each.
//
// ---
// match: {resources: [apps/v1/deployments]}
// settings: {least: 3}
// ---

// @when it is not for a try
object.metadata.name != 'try'

// @let missing
settings.least - object.spec.replicas

// @require enough replicas
variables.missing <= 0
// @message
string(variables.missing) + ' missing'

// @require a name
object.metadata.name.size() > 0
// @message
'nobody reads this'
";

#[test]
fn a_verdict_is_explained_with_what_every_part_gives() {
    let deployment = |name: &str, replicas: u8| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec: {{replicas: {replicas}}}\n"
        )
    };
    let config_map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";
    let objects = [
        deployment("web", 1),
        deployment("try", 1),
        config_map.to_owned(),
    ];
    let folder = Folder::with(&[
        ("p/rules.cel", RULES),
        ("d.yaml", &objects.join("---\n")),
        ("good.yaml", &deployment("web", 3)),
    ]);
    let output = folder.run("explain rules --policies p --object d.yaml");
    assert_eq!((output.code, output.err.as_str()), (Some(1), ""));
    insta::assert_snapshot!(output.out, @r#"
    Deployment default/web: denied: 2 missing

    when it is not for a try
      object.metadata.name != 'try'  true
      └─ object.metadata.name        "web"

    variables.missing
      settings.least - object.spec.replicas  2
      ├─ settings.least                      3
      └─ object.spec.replicas                1

    requires enough replicas
      variables.missing <= 0  false
      └─ variables.missing    2

    requires a name
      object.metadata.name.size() > 0  true
      └─ object.metadata.name.size()   3
         └─ object.metadata.name       "web"

    message of enough replicas
      string(variables.missing) + ' missing'  "2 missing"
      └─ string(variables.missing)            "2"
         └─ variables.missing                 2

    Deployment default/try: admitted, since its conditions do not hold

    when it is not for a try
      object.metadata.name != 'try'  false
      └─ object.metadata.name        "try"

    ConfigMap default/c: the policy is not about it
    "#);
    let by_file = folder.run("explain p/rules.cel --object d.yaml");
    assert_eq!(by_file.out, output.out);
    let good = folder.run("explain rules --policies p --object good.yaml");
    assert_eq!((good.code, good.err.as_str()), (Some(0), ""));
    assert!(
        good.out.starts_with("Deployment default/web: admitted\n"),
        "{}",
        good.out
    );
    assert!(!good.out.contains("message"), "{}", good.out);
}

#[test]
fn what_no_object_can_be_explained_with_is_said() {
    let folder = Folder::with(&[("p/rules.cel", RULES)]);
    folder.write(
        "d.yaml",
        b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n",
    );
    let unbound = "apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: a}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]}
  validations: [{expression: 'true'}]
";
    folder.write("unbound.yaml", unbound.as_bytes());
    for (line, problem) in [
        (
            "explain cluster-nodes-apart --object d.yaml",
            "is about the whole cluster, not about an object",
        ),
        (
            "explain unbound.yaml --object d.yaml",
            "no binding puts the policy",
        ),
    ] {
        let output = folder.run(line);
        assert_eq!(
            (output.code, output.out.as_str()),
            (Some(2), ""),
            "{line}: {output:?}"
        );
        assert!(output.err.contains(problem), "{line}: {output:?}");
    }
}
