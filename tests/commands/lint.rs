//! `lint`: what is found in policies, how it is shown, and how it ends.

use serde_json::Value;

use super::{Folder, REPLICAS};

/// A policy as Kubernetes has it, with its binding.
fn policy(rule: &str, expression: &str) -> String {
    format!(
        "apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: p
spec:
  matchConstraints:
    resourceRules:
    - {rule}
  validations:
  - expression: {expression}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: p
spec:
  policyName: p
  validationActions: [Deny]
"
    )
}

const DEPLOYMENTS: &str =
    "{apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments]}";
const THINGS: &str =
    "{apiGroups: [example.com], apiVersions: [v1], operations: [CREATE], resources: [things]}";

const CRD: &str = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Thing, plural: things}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              size: {type: integer}
";

#[test]
fn nothing_to_look_at_is_a_mistake() {
    let folder = Folder::with(&[("empty.yaml", ""), ("comments.yaml", "---\n# nothing\n")]);
    for file in ["empty.yaml", "comments.yaml"] {
        let output = folder.run(&format!("lint {file}"));
        let expected = format!("error[file/empty]: there are no policies in `{file}`");
        assert!(output.out.starts_with(&expected), "{}", output.out);
        assert_eq!(output.code, Some(2), "{file}");
    }
}

#[test]
fn a_finding_is_shown_where_it_is_written_with_what_to_do() {
    let text = policy(DEPLOYMENTS, "object.spec.replcas >= 3");
    let folder = Folder::with(&[("p.yaml", &text)]);
    let output = folder.run("lint p.yaml");
    assert_eq!(output.code, Some(1));
    insta::assert_snapshot!(output.out, @r"
    warning[lint/type]: undefined field `replcas` of DeploymentSpec, for apps/v1 Deployment
      --> p.yaml:10:29
       |
    10 |   - expression: object.spec.replcas >= 3
       |                             ^^^^^^^
       |
       = help: did you mean `replicas`?
    ");
    insta::assert_snapshot!(output.summary(), @"1 policy checked, 0 errors, 1 warning");
}

#[test]
fn the_exit_code_says_what_was_found() {
    let good = policy(DEPLOYMENTS, "object.spec.replicas >= 3");
    let wrong = policy(DEPLOYMENTS, "object.spec.replcas >= 3");
    let noted = policy(
        DEPLOYMENTS,
        "object.spec.template.spec.containers.all(c, has(c.resources.limits))",
    );
    let faulty = policy(DEPLOYMENTS, "object.spec.replicas >=");
    let undefined = policy(DEPLOYMENTS, "object.spec.replicas >= variables.floor");
    for (text, code, summary) in [
        (&good, 0, "1 policy checked, 0 errors, 0 warnings"),
        (&noted, 0, "1 policy checked, 0 errors, 0 warnings, 1 note"),
        (&wrong, 1, "1 policy checked, 0 errors, 1 warning"),
        (&faulty, 2, "1 policy checked, 1 error, 0 warnings"),
        (&undefined, 2, "1 policy checked, 1 error, 0 warnings"),
    ] {
        let output = Folder::with(&[("p.yaml", text)]).run("lint .");
        assert_eq!(
            (output.code, output.summary()),
            (Some(code), summary.to_owned()),
            "{text}"
        );
        let output = Folder::with(&[]).run_with("lint -", text);
        assert_eq!(output.code, Some(code), "{text}");
    }
    for (line, code) in [
        ("lint gone.yaml", 2),
        ("lint - --crds -", 2),
        ("lint --kubeconfig gone.yaml", 2),
        ("lint --frmat json", 2),
    ] {
        let output = Folder::with(&[]).run(line);
        assert_eq!(output.code, Some(code), "{line}");
    }
}

#[test]
fn the_built_in_policies_are_clean() {
    let output = Folder::with(&[]).run("lint");
    assert_eq!(
        (output.code, output.out.as_str()),
        (Some(0), ""),
        "{output:?}"
    );
}

#[test]
fn custom_kinds_are_known_by_their_definitions() {
    let text = policy(THINGS, "object.spec.sise > 1");
    for (files, line, expected) in [
        (&[("p.yaml", text.as_str())][..], "lint p.yaml", 0),
        (
            &[("p.yaml", &text), ("crd.yaml", CRD)],
            "lint p.yaml --crds crd.yaml",
            1,
        ),
        (
            &[("p.yaml", &text), ("crds/crd.yaml", CRD)],
            "lint p.yaml --crds crds",
            1,
        ),
        (&[("d/p.yaml", &text), ("d/crd.yaml", CRD)], "lint d", 1),
    ] {
        let output = Folder::with(files).run(line);
        assert_eq!(output.code, Some(expected), "{line}: {output:?}");
        let is_found = output.out.contains("undefined field `sise`");
        assert_eq!(is_found, expected == 1, "{line}: {output:?}");
    }
    let output = Folder::with(&[("p.yaml", &text)]).run("lint p.yaml --crds p.yaml");
    assert!(output.out.contains("manifest/no-crd"), "{output:?}");
}

#[test]
fn every_format_has_the_findings() {
    let text = policy(DEPLOYMENTS, "object.spec.replcas >= 3");
    let folder = Folder::with(&[("p.yaml", &text), ("r.cel", REPLICAS)]);
    let json: Value = serde_json::from_str(&folder.run("lint . --format json").out).unwrap();
    let codes: Vec<_> = json
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["code"].clone())
        .collect();
    assert_eq!(codes, ["lint/type", "lint/scale"]);
    let sarif: Value = serde_json::from_str(&folder.run("lint . --format sarif").out).unwrap();
    assert_eq!(sarif["runs"][0]["results"].as_array().unwrap().len(), 2);
    for (format, start) in [
        ("junit", "<?xml"),
        ("github", "::warning"),
        ("human", "warning["),
    ] {
        let output = folder.run(&format!("lint . --format {format}"));
        assert!(output.out.starts_with(start), "{format}: {}", output.out);
    }
}

#[test]
fn a_finding_is_explained_by_its_code() {
    let output = Folder::with(&[]).run("explain lint/missing-has");
    assert_eq!(output.code, Some(0));
    insta::assert_snapshot!(output.out, @r"
    lint/missing-has (warning)

    A field that objects may lack is read, and nothing makes sure that it is there.

    Why: Reading a field or a key that is missing is an error. The policy's failurePolicy decides what becomes of it: Fail rejects objects that are in order, with a message nobody understands, and Ignore lets everything through that lacks the field.

    How to fix: Ask with `has(…)` before, or give what counts for a missing field with `.?` and `orValue(…)`. Keys are asked for with `in`. A match condition that asks is enough for the whole policy.

    Example:
      object.spec.securityContext.runAsUser > 0
      has(object.spec.securityContext.runAsUser) && object.spec.securityContext.runAsUser > 0
      object.spec.?securityContext.?runAsUser.orValue(0) > 0
    ");
}

#[test]
fn a_configuration_that_could_lock_a_cluster_out_is_found_where_it_does_not_exclude() {
    let folder = Folder::with(&[("p/replicas.cel", REPLICAS)]);
    assert_eq!(folder.run("certs issue --dns a --dir c").code, Some(0));
    let line = "manifests --policies p --service policy/portcullis --ca c/tls.crt \
                --policy-namespace rules --exception-namespaces team";
    let printed = folder.run(line).out;
    folder.write("whole.yaml", printed.as_bytes());
    let output = folder.run("lint whole.yaml");
    assert_eq!(output.code, Some(0), "{}", output.err);
    assert!(
        output
            .err
            .contains("0 policies and 2 webhook configurations checked, 0 errors"),
        "{}",
        output.err
    );
    let role = "request.name in ['portcullis', ";
    assert!(
        printed.contains("request.userInfo.username != 'system:apiserver'")
            && printed.contains(role)
    );
    // One line for each hole: where it is, and what.
    for (old, new, field, words) in [
        (
            "!= 'system:apiserver'",
            "!= 'system:other'",
            "matchConditions",
            "would keep the API server from starting: the match condition `not-the-api-server` is missing",
        ),
        (
            role,
            "request.name in ['other', ",
            "matchConditions",
            "the match condition `not-its-roles` is missing",
        ),
        (
            "operator: NotIn",
            "operator: Exists",
            "namespaceSelector",
            "may be called for what is in the namespace `policy`",
        ),
    ] {
        assert!(printed.contains(old), "{old} in {printed}");
        let spoilt = printed.replace(old, new);
        folder.write("spoilt.yaml", spoilt.as_bytes());
        let output = folder.run("lint spoilt.yaml --format json");
        assert_eq!(output.code, Some(2), "{new}: {}", output.err);
        // The definition of exceptions comes before, and has such fields, too.
        let mut lines = spoilt.lines().enumerate();
        lines.find(|(_, line)| *line == "kind: ValidatingWebhookConfiguration");
        let line = lines.find_map(|(at, line)| {
            let key = line.trim_start_matches([' ', '-']);
            key.starts_with(&format!("{field}:")).then_some(at)
        });
        let human = folder.run("lint spoilt.yaml");
        let place = format!("spoilt.yaml:{}:", line.unwrap() + 1);
        let said = format!("{}{}", human.out, human.err);
        for words in ["registration/lock-out", words, &place] {
            assert!(said.contains(words), "{new}: {words} in {said}");
        }
        let name = "validate.portcullis.dev";
        assert!(output.out.contains(name), "{}", output.out);
    }
    // What others write is not understood, and not judged.
    let others = "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\n\
                  metadata: {name: other}\nwebhooks: [{name: a.example.org}]\n";
    folder.write("others.yaml", others.as_bytes());
    let output = folder.run("lint others.yaml");
    assert_eq!(output.code, Some(0), "{}", output.err);
    let said = folder.run("explain registration/lock-out");
    assert!(said.out.contains("could not be mended"), "{}", said.out);
}

#[test]
fn an_address_without_a_namespace_is_warned_of() {
    let folder = Folder::with(&[("p/replicas.cel", REPLICAS)]);
    let line = "manifests --policies p --url https://10.0.0.1:8443";
    let output = folder.run(line);
    assert_eq!(output.code, Some(0), "{}", output.err);
    assert!(
        output.err.contains("manifests/no-namespace"),
        "{}",
        output.err
    );
    let output = folder.run(&format!("{line} --namespace policy"));
    assert!(!output.err.contains("no-namespace"), "{}", output.err);
}
