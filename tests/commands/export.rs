//! `export`: `.cel` policies as documents that decide the same.

use std::fs;
use std::path::Path;

use portcullis::text::{Source, yaml};
use serde_json::json;

use super::Folder;

const POLICY: &str = "// Meshery runs on several nodes.
//
// ---
// severity: high
// match: {resources: [apps/v1/deployments]}
// settings: {floor: 3}
// action: [deny, audit]
// ---
// @when it's Meshery's own
object.metadata.name == 'meshery'
// @require enough replicas
object.spec.replicas >= settings.floor
// @message
object.metadata.name + ' runs ' +
  string(object.spec.replicas) + ' replicas'
";

#[test]
fn a_policy_is_printed_with_its_binding() {
    let output = Folder::with(&[("replicas.cel", POLICY)]).run("export replicas.cel");
    insta::assert_snapshot!(output.out, @r#"
    ---
    apiVersion: admissionregistration.k8s.io/v1
    kind: ValidatingAdmissionPolicy
    metadata:
      name: replicas
      annotations:
        portcullis.dev/description: Meshery runs on several nodes.
        portcullis.dev/severity: high
    spec:
      failurePolicy: Fail
      matchConstraints:
        resourceRules:
        - apiGroups:
          - apps
          apiVersions:
          - v1
          operations:
          - CREATE
          - UPDATE
          resources:
          - deployments
      matchConditions:
      - name: its-mesherys-own
        expression: object.metadata.name == 'meshery'
      validations:
      - expression: object.spec.replicas >= 3
        message: enough replicas
        messageExpression: |-
          object.metadata.name + ' runs ' +
            string(object.spec.replicas) + ' replicas'
    ---
    apiVersion: admissionregistration.k8s.io/v1
    kind: ValidatingAdmissionPolicyBinding
    metadata:
      name: replicas
    spec:
      policyName: replicas
      validationActions:
      - Deny
      - Audit
    "#);
    assert_eq!((output.err.as_str(), output.code), ("", Some(0)));
}

#[test]
fn what_cannot_be_exported_is_named_and_the_rest_printed() {
    let extended = "// ---\n// match: {resources: [apps/v1/deployments]}\n// ---\n// @require it\ncel.bind(x, 1, x == 1)\n";
    let files = [("a.cel", extended), ("b.cel", POLICY)];
    let output = Folder::with(&files).run("export .");
    insta::assert_snapshot!(output.err, @r"
    error[cel/extension]: `cel.bind` is not part of Kubernetes' language
     --> ./a.cel:5:1
      |
    5 | cel.bind(x, 1, x == 1)
      | ^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: only Portcullis can enforce this policy
    ");
    assert!(output.out.contains("name: b\n"), "{}", output.out);
    assert!(!output.out.contains("name: a\n"), "{}", output.out);
    assert_eq!(output.code, Some(2));
}

/// Every test beside a built-in policy passes with what the policy is exported to.
#[test]
fn exported_policies_pass_the_tests_beside_their_originals() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let mut tried = 0;
    for pack in fs::read_dir(folder).unwrap() {
        for file in fs::read_dir(pack.unwrap().path()).into_iter().flatten() {
            let path = file.unwrap().path();
            let tests = path.with_extension("test.yaml");
            if path.extension().is_none_or(|end| end != "cel") || !tests.exists() {
                continue;
            }
            let exported = Folder::with(&[]).run(&format!("export {}", path.display()));
            if exported.code != Some(0) {
                assert!(exported.err.contains("cel/extension"), "{}", exported.err);
                continue;
            }
            let stem = path.file_stem().unwrap().to_str().unwrap();
            let yaml = format!("{stem}.yaml");
            let tests = tests_of_what_is_exported(&tests, &yaml);
            let tests_name = format!("{stem}.test.yaml");
            let files = [
                (yaml.as_str(), exported.out.as_str()),
                (&tests_name, &tests),
            ];
            let output = Folder::with(&files).run(&format!("test {tests_name}"));
            let passed = output.out.trim_end().ends_with(" passed, 0 failed")
                || output.out.trim_end().ends_with(" passed");
            assert!(passed, "{}\n{}", output.out, exported.out);
            tried += 1;
        }
    }
    assert!(tried >= 3, "only {tried} policies were tried");
}

/// The tests at a path, about a file with what their policy is exported to. Without cases of settings,
/// which are written out, and of mutations, which are switched off.
fn tests_of_what_is_exported(path: &Path, exported: &str) -> String {
    let source = Source::new("tests", fs::read_to_string(path).unwrap());
    let documents = yaml::parse_stream(&source).documents;
    let mut tests = documents.first().unwrap().to_json();
    let cases = tests["cases"].as_array_mut().unwrap();
    cases.retain(|case| {
        let expected = &case["expect"];
        let is_mutation = expected.get("object").is_some() || expected.get("patch").is_some();
        case.get("settings").is_none() && !is_mutation
    });
    assert!(!cases.is_empty(), "{}", path.display());
    tests["policies"] = json!([exported]);
    tests.to_string()
}

const SCALED: &str = "// ---
// name: scaled
// match: {resources: [apps/v1/deployments]}
// mutate: true
// ---

// @patch
object.spec.replicas < 3 ? [JSONPatch{op: 'add', path: '/spec/replicas', value: 3}] : []
";

#[test]
fn a_mutation_on_trial_is_refused_because_its_binding_would_make_it() {
    let trial = SCALED.replace("// mutate: true", "// mutate: true\n// action: audit");
    let config = "overrides: {scaled: {action: audit}}\n";
    let folder = Folder::with(&[
        ("trial.cel", &trial.replace("name: scaled", "name: trial")),
        ("scaled.cel", SCALED),
        ("replicas.cel", POLICY),
        ("config.yaml", config),
    ]);
    for (line, name) in [
        ("export trial.cel replicas.cel", "trial"),
        (
            "export scaled.cel replicas.cel --config config.yaml",
            "scaled",
        ),
    ] {
        let output = folder.run(line);
        assert_eq!(output.code, Some(2), "{line}: {output:?}");
        let problem = format!(
            "error[export/trial]: the mutation of `{name}` is on trial, and Kubernetes has no trial of mutations"
        );
        assert!(output.err.contains(&problem), "{line}: {output:?}");
        // The others are printed.
        assert!(!output.out.contains("Mutating"), "{line}: {output:?}");
        assert!(
            output.out.contains("ValidatingAdmissionPolicyBinding"),
            "{line}: {output:?}"
        );
    }
    let output = folder.run("export scaled.cel");
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(
        output.out.contains("MutatingAdmissionPolicyBinding"),
        "{output:?}"
    );
}
