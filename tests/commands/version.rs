//! `--kubernetes-version`: what each command refuses for an older version, and how it says so.

use super::{Folder, deployment};

/// A policy that needs Kubernetes 1.33.
const RELEASE: &str = "// Releases are semantic versions.
//
// ---
// name: release
// match: {resources: [apps/v1/deployments]}
// ---

// @require a semantic version for a name
isSemver(object.metadata.name)
";

const TESTS: &str =
    "base: {apiVersion: apps/v1, kind: Deployment, metadata: {name: 1.0.0}, spec: {replicas: 3}}
cases:
  - name: a semantic version is admitted
    expect: admit
";

fn folder() -> Folder {
    Folder::with(&[
        ("p/release.cel", RELEASE),
        ("p/release.test.yaml", TESTS),
        ("d.yaml", &deployment("1.0.0", 3)),
    ])
}

#[test]
fn every_command_refuses_what_the_version_lacks_and_says_since_when_it_exists() {
    let folder = folder();
    let refusal = "`isSemver` is in Kubernetes since 1.33; checked for 1.32";
    for (line, code) in [
        ("check d.yaml --policies p", 0),
        ("check d.yaml --policies p --kubernetes-version 1.33", 0),
        ("check d.yaml --policies p --kubernetes-version 1.32", 2),
        ("test p", 0),
        ("test p --kubernetes-version 1.33", 0),
        ("test p --kubernetes-version 1.32", 2),
        ("test p --coverage --kubernetes-version 1.32", 2),
        ("eval isSemver('1.0.0')", 0),
        ("eval isSemver('1.0.0') --kubernetes-version 1.32", 2),
        (
            "eval isSemver('1.0.0') --portable --kubernetes-version 1.32",
            2,
        ),
        ("serve --policies gone --kubernetes-version 1.32", 2),
    ] {
        let output = folder.run(line);
        assert_eq!(output.code, Some(code), "{line}: {output:?}");
        let said = output.out + &output.err;
        let is_refused = code == 2 && !line.starts_with("serve");
        assert_eq!(said.contains(refusal), is_refused, "{line}: {said}");
    }
}

#[test]
fn the_built_in_policies_are_in_force_whatever_the_version() {
    let output = folder().run("check d.yaml --kubernetes-version 1.30");
    assert_eq!(output.code, Some(0), "{}", output.err);
}

#[test]
fn an_unknown_version_is_answered_with_those_there_are() {
    let folder = folder();
    for line in [
        "check d.yaml --kubernetes-version 1.29",
        "test p --kubernetes-version 1.29",
        "eval 1 --kubernetes-version 1.29",
        "eval --jsonl --kubernetes-version 1.29",
        "explain --function ip --kubernetes-version 1.29",
        "serve --kubernetes-version 1.29",
    ] {
        let output = folder.run(line);
        assert_eq!(output.code, Some(2), "{line}: {output:?}");
        let expect = "Kubernetes `1.29` is not known; known are \
                      1.30, 1.31, 1.32, 1.33, 1.34, 1.35, 1.36";
        assert!(output.err.contains(expect), "{line}: {output:?}");
    }
}

#[test]
fn a_row_and_a_case_name_their_own_version() {
    let folder = folder();
    let rows = r#"{"id": 1, "expr": "isSemver('1.0.0')"}
{"id": 2, "expr": "isSemver('1.0.0')", "version": "1.33"}
{"id": 3, "expr": "isSemver('1.0.0')", "version": "1.32"}
{"id": 4, "expr": "true", "version": "1.29"}
{"id": 5, "expr": "true", "version": 1.3}
"#;
    insta::assert_snapshot!(folder.run_with("eval --jsonl --kubernetes-version 1.31", rows).out, @r#"
    {"error":"`isSemver` is in Kubernetes since 1.33; checked for 1.31","id":1,"messages":["`isSemver` is in Kubernetes since 1.33; checked for 1.31"],"phase":"compile"}
    {"cost":1,"estimate":{"max":1,"min":1},"id":2,"staticType":"bool","type":"bool","typed":{"bool":true},"value":true}
    {"error":"`isSemver` is in Kubernetes since 1.33; checked for 1.32","id":3,"messages":["`isSemver` is in Kubernetes since 1.33; checked for 1.32"],"phase":"compile"}
    {"error":"Kubernetes `1.29` is not known; known are 1.30, 1.31, 1.32, 1.33, 1.34, 1.35, 1.36","id":4,"phase":"input"}
    {"error":"bad input: invalid type: floating point `1.3`, expected a string at line 1 column 40","phase":"input"}
    "#);
    let policy = serde_json::json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "p"},
        "spec": {
            "matchConstraints": {"resourceRules": [{
                "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"],
                "operations": ["CREATE"],
            }]},
            "validations": [{"expression": "isSemver('1.0.0')"}],
        },
    });
    let binding = serde_json::json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "b"},
        "spec": {"policyName": "p", "validationActions": ["Deny"]},
    });
    let case = |version: &str| {
        let case = serde_json::json!({
            "id": version,
            "version": version,
            "policies": [policy],
            "bindings": [binding],
            "request": {
                "uid": "1",
                "operation": "CREATE",
                "kind": {"group": "apps", "version": "v1", "kind": "Deployment"},
                "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
                "name": "d",
                "namespace": "n",
                "userInfo": {"username": "u"},
            },
            "object": {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}},
        });
        format!("{case}\n")
    };
    let cases = case("1.33") + &case("1.32") + &case("1.2");
    let answers = folder.run_with("check --jsonl", &cases).out;
    let said = answers.lines().map(|line| {
        let answer: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = ["message", "error"]
            .into_iter()
            .find_map(|key| answer.get(key)?.as_str());
        format!("{} {}", answer["allowed"], text.unwrap_or_default())
    });
    insta::assert_snapshot!(said.collect::<Vec<_>>().join("\n"), @r#"
    true 
    false deployments.apps "d" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: compilation error: `isSemver` is in Kubernetes since 1.33; checked for 1.32
    null Kubernetes `1.2` is not known; known are 1.30, 1.31, 1.32, 1.33, 1.34, 1.35, 1.36
    "#);
}

#[test]
fn a_function_is_explained_with_whether_the_version_has_it() {
    let folder = folder();
    insta::assert_snapshot!(folder.run("explain --function isSemver --kubernetes-version 1.32").out, @r#"
    isSemver

    Says whether a string is a semantic version, read tolerantly if asked to.

      isSemver(string) -> bool        Kubernetes 1.33 (1.32 lacks it); cost 1, 10, 100 at sizes 10, 100, 1000
      isSemver(string, bool) -> bool  Kubernetes 1.33 (1.32 lacks it); cost 1, 10, 100 at sizes 10, 100, 1000

    Examples
      isSemver('v1.0')
        false
      isSemver('v1.0', true)
        true
    "#);
    insta::assert_snapshot!(folder.run("explain --function existsOne --kubernetes-version 1.32").out, @r#"
    existsOne

    Says whether a condition holds for exactly one index and item of a list, or key and value of a map.

      list.existsOne(i, x, condition)       macro; Kubernetes 1.32 (1.32 has it)
      map.existsOne(key, value, condition)  macro; Kubernetes 1.32 (1.32 has it)

    Examples
      [7, 8].existsOne(i, x, x - i == 7)
        false
    "#);
    let output = folder.run("explain --functions --kubernetes-version 1.32");
    assert_eq!(output.code, Some(2), "{output:?}");
}
