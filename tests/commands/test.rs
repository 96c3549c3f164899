//! `test`: which tests are run, how they are shown, and how it ends.

use super::{Folder, REPLICAS};

const TESTS: &str =
    "base: {apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 3}}
cases:
  - name: three replicas are admitted
    expect: admit
  - name: one replica is denied
    set: {spec.replicas: 1}
    expect: {deny: web runs 1}
";

#[test]
fn tests_that_pass_end_with_0() {
    let folder = Folder::with(&[
        ("policies/replicas.cel", REPLICAS),
        ("policies/replicas.test.yaml", TESTS),
    ]);
    for line in [
        "test",
        "test policies",
        "test policies/replicas.cel",
        "test policies/replicas.test.yaml",
        "test policies policies/replicas.cel --coverage",
    ] {
        let output = folder.run(line);
        assert_eq!(output.code, Some(0), "{line}: {output:?}");
        assert!(
            output
                .out
                .starts_with("policies/replicas.test.yaml: 2 passed\n"),
            "{line}: {output:?}"
        );
        assert_eq!(
            output.err, "2 cases in 1 file: 2 passed, 0 failed\n",
            "{line}"
        );
    }
}

#[test]
fn a_failed_case_shows_what_was_expected_and_got() {
    let tests = TESTS.replace("web runs 1", "web runs 2");
    let folder = Folder::with(&[
        ("p/replicas.cel", REPLICAS),
        ("p/replicas.test.yaml", &tests),
    ]);
    let output = folder.run("test p");
    assert_eq!(output.code, Some(1));
    insta::assert_snapshot!(output.out, @r#"
    failed: one replica is denied
      --> p/replicas.test.yaml:5:11
      (- expected, + got)
      - deny: web runs 2
      + deny: web runs 1

    p/replicas.test.yaml: 1 passed, 1 failed
    "#);
    let coloured = folder.run("test p --color always").out;
    assert!(
        coloured.contains("\u{1b}[1;32m  - deny: web runs 2\u{1b}[0m"),
        "{coloured}"
    );
}

#[test]
fn an_object_that_matches_nothing_fails_its_case() {
    let tests = TESTS.replace(
        "{apiVersion: apps/v1, kind: Deployment",
        "{apiVersion: v1, kind: Pod",
    );
    let folder = Folder::with(&[
        ("p/replicas.cel", REPLICAS),
        ("p/replicas.test.yaml", &tests),
    ]);
    let output = folder.run("test p");
    assert_eq!(output.code, Some(1));
    let found = output
        .out
        .matches("+ skip: no policy applies to the request")
        .count();
    assert_eq!(found, 2, "{output:?}");
}

#[test]
fn coverage_fails_what_was_never_seen_and_what_has_no_tests() {
    let good_only = TESTS.split("  - name: one replica").next().unwrap();
    let untested = REPLICAS.replace("name: replicas", "name: untested");
    let folder = Folder::with(&[
        ("p/replicas.cel", REPLICAS),
        ("p/replicas.test.yaml", good_only),
        ("p/untested.cel", &untested),
    ]);
    assert_eq!(
        folder.run("test p").code,
        Some(0),
        "without --coverage nothing is asked"
    );
    let output = folder.run("test p --coverage");
    assert_eq!(output.code, Some(1));
    insta::assert_snapshot!(output.out, @r#"
    p/replicas.test.yaml: 1 passed

    POLICY    ADMITS  DENIES  VALIDATION
    replicas       1       0  at least three replicas  never denies
    untested       0       0  at least three replicas  no tests
    "#);
    let junit = folder.run("test p --coverage --format junit").out;
    insta::assert_snapshot!(junit, @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites tests="3" failures="2" errors="0" skipped="0" time="0.000">
      <testsuite name="p/replicas.test.yaml" tests="1" failures="0" errors="0" skipped="0" time="0.000">
        <testcase name="three replicas are admitted" classname="p/replicas.test.yaml"/>
      </testsuite>
      <testsuite name="coverage" tests="2" failures="2" errors="0" skipped="0" time="0.000">
        <testcase name="replicas: at least three replicas" classname="p/replicas.cel">
          <failure message="never denies" type="coverage">p/replicas.cel: 1 cases admit and 0 deny by this validation
    </failure>
        </testcase>
        <testcase name="untested: at least three replicas" classname="p/untested.cel">
          <failure message="no tests" type="coverage">p/untested.cel: 0 cases admit and 0 deny by this validation
    </failure>
        </testcase>
      </testsuite>
    </testsuites>
    "#);
}

#[test]
fn a_file_of_tests_that_is_wrong_ends_with_2_and_the_rest_is_run() {
    let tests = format!("{TESTS}  - name: typo\n    expct: admit\n");
    let folder = Folder::with(&[
        ("p/replicas.cel", REPLICAS),
        ("p/replicas.test.yaml", &tests),
        ("p/alone.test.yaml", TESTS),
    ]);
    let output = folder.run("test p");
    assert_eq!(output.code, Some(2));
    insta::assert_snapshot!(output.out, @r#"
    error[test/no-policy]: there is no policy beside `p/alone.test.yaml`
     |
     = help: it is about `alone.cel`; name others with `policies: [FILE]`

    error[test/required]: a case has no `expect`
     --> p/replicas.test.yaml:8:11
      |
    8 |   - name: typo
      |           ^^^^
      |
      = help: say what is to happen: `expect: admit`, `expect: {deny: MESSAGE}`

    error[test/unknown-key]: unknown key `expct`
     --> p/replicas.test.yaml:9:5
      |
    9 |     expct: admit
      |     ^^^^^
      |
      = help: did you mean `expect`?

    p/replicas.test.yaml: 2 passed
    "#);
    assert_eq!(output.err, "2 cases in 1 file: 2 passed, 0 failed\n");
}

#[test]
fn a_policy_that_does_not_compile_ends_with_2() {
    let policy = REPLICAS.replace("object == null", "objekt == null");
    let folder = Folder::with(&[("p/replicas.cel", &policy), ("p/replicas.test.yaml", TESTS)]);
    let output = folder.run("test p");
    assert_eq!(output.code, Some(2));
    assert!(
        output.out.contains("undeclared reference to `objekt`"),
        "{output:?}"
    );
}

#[test]
fn no_tests_are_no_success() {
    let folder = Folder::with(&[("p/readme.txt", "")]);
    for (line, problem) in [
        (
            "test",
            "error[file/unreadable]: `policies` cannot be read: there is no such file or folder",
        ),
        ("test p", "error[file/empty]: there are no tests in `p`"),
        ("test gone", "error[file/unreadable]: `gone` cannot be read"),
    ] {
        let output = folder.run(line);
        assert_eq!(output.code, Some(2), "{line}: {output:?}");
        assert!(output.out.contains(problem), "{line}: {output:?}");
    }
}

/// A policy that looks at nothing but the cluster.
const NODES: &str = "// Replicas need several nodes.
//
// ---
// name: nodes
// scope: cluster
// action: [audit]
// reads: [v1/Node]
// settings: {floor: 2}
// ---

// @require there are enough nodes
size(cluster.list('v1', 'Node', '')) >= settings.floor
// @message
'there are ' + string(size(cluster.list('v1', 'Node', ''))) + ' nodes'
";

#[test]
fn a_policy_about_the_cluster_is_tested_without_an_object() {
    let tests = "cases:
  - name: two nodes are enough
    cluster: [{apiVersion: v1, kind: Node, metadata: {name: a}}, {apiVersion: v1, kind: Node, metadata: {name: b}}]
    expect: admit
  - name: one is recorded
    cluster: [{apiVersion: v1, kind: Node, metadata: {name: a}}]
    expect: {audit: there are 1 nodes}
  - name: one is enough for small ones
    settings: {floor: 0}
    expect: admit
";
    let folder = Folder::with(&[("p/nodes.cel", NODES), ("p/nodes.test.yaml", tests)]);
    let output = folder.run("test p --coverage");
    assert_eq!(output.code, Some(0), "{output:?}");
    insta::assert_snapshot!(output.out, @r#"
    p/nodes.test.yaml: 3 passed

    POLICY  ADMITS  DENIES  VALIDATION
    nodes        2       1  there are enough nodes
    "#);
    let wrong = tests
        .replace("audit: there", "deny: there")
        .replace("{floor: 0}", "{flor: 0}");
    let with_objects = format!(
        "{wrong}  - name: an object\n    object: {{apiVersion: v1, kind: Node, metadata: {{name: a}}}}\n    expect: admit\n  - name: a change\n    expect: {{patch: []}}\n"
    );
    folder.write("p/nodes.test.yaml", with_objects.as_bytes());
    folder.write("p/replicas.cel", REPLICAS.as_bytes());
    folder.write(
        "p/replicas.test.yaml",
        b"cases: [{name: nothing, expect: admit}]\n",
    );
    let output = folder.run("test p");
    assert_eq!(output.code, Some(2), "{output:?}");
    insta::assert_snapshot!(output.out, @r#"
    error[test/required]: the policy has `scope: cluster`, and is not about an object or a request
      --> p/nodes.test.yaml:11:11
       |
    11 |   - name: an object
       |           ^^^^^^^^^
       |
       = help: leave out `base`; such a case has `cluster`, `settings` and `expect` only

    error[test/required]: there is no object to test with
     --> p/replicas.test.yaml:1:16
      |
    1 | cases: [{name: nothing, expect: admit}]
      |                ^^^^^^^
      |
      = help: give the file a `base`, or the case an `object`; only policies with `scope: cluster` have none

    failed: one is recorded
      --> p/nodes.test.yaml:5:11
      (- expected, + got)
      - deny: there are 1 nodes
      + audit: there are 1 nodes

    not run: one is enough for small ones
    error[test/unknown-key]: the policy has no setting `flor`
     --> p/nodes.test.yaml:9:16
      |
    9 |     settings: {flor: 0}
      |                ^^^^
      |
      = help: did you mean `floor`?

    not run: a change
    error[test/required]: the case cannot be run: a policy with `scope: cluster` changes no object
      --> p/nodes.test.yaml:14:11
       |
    14 |   - name: a change
       |           ^^^^^^^^
       |

    p/nodes.test.yaml: 1 passed, 3 failed
    p/replicas.test.yaml: 0 passed
    "#);
}

#[test]
fn a_file_of_tests_may_name_its_policies() {
    let policy = "apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: replicas}
spec:
  matchConstraints:
    resourceRules:
    - {apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments]}
  validations:
  - {expression: object.spec.replicas >= 3, message: web runs 1}
";
    let binding = "apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: replicas}
spec: {policyName: replicas, validationActions: [Deny]}
";
    let tests = format!("policies: [policy.yaml, ../binding.yaml]\n{TESTS}");
    let folder = Folder::with(&[
        ("p/policy.yaml", policy),
        ("binding.yaml", binding),
        ("p/all.test.yaml", &tests),
    ]);
    let output = folder.run("test p --coverage");
    assert_eq!(output.code, Some(0), "{output:?}");
    let tests = tests.replace("binding.yaml", "bindings.yaml");
    folder.write("p/all.test.yaml", tests.as_bytes());
    let output = folder.run("test p");
    assert_eq!(output.code, Some(2));
    assert!(
        output
            .out
            .contains("error[test/no-policy]: there is no file `p/../bindings.yaml`"),
        "{output:?}"
    );
}

#[test]
fn a_file_of_tests_may_be_about_a_whole_folder() {
    let other = REPLICAS
        .replace("name: replicas", "name: other")
        .replace("at least three", "no fewer than three");
    let tests = TESTS.replace("deny: web runs 1", "deny: [web runs 1, web runs 1]");
    let folder = Folder::with(&[
        ("p/replicas.cel", REPLICAS),
        ("p/below/other.cel", &other),
        ("p/below/note.txt", ""),
        ("p/below/other.test.yaml", TESTS),
    ]);
    for (policies, lines) in [
        ("['.']", ["test p", "test ./p", "test ."]),
        (
            "['*.cel', below]",
            ["test p", "test p/all.test.yaml", "test ."],
        ),
        (
            "['repl?cas.*', below/*.cel, replicas.cel]",
            ["test p", "test p", "test ."],
        ),
    ] {
        folder.write("p/p/x", b"");
        folder.write(
            "p/all.test.yaml",
            format!("policies: {policies}\n{tests}").as_bytes(),
        );
        for line in lines {
            let output = folder.run(&format!("{line} --coverage"));
            assert_eq!(output.code, Some(0), "{policies} {line}: {output:?}");
            assert!(
                output.out.contains("p/all.test.yaml: 2 passed"),
                "{policies} {line}: {output:?}"
            );
        }
    }
    for (policies, problem) in [
        ("none", "there is no file `p/none`"),
        ("'*.yaml'", "there is no policy with a name like `*.yaml`"),
        ("none/*.cel", "there is no file `p/none/*.cel`"),
        ("p", "there are no policies in `p`"),
    ] {
        folder.write(
            "p/all.test.yaml",
            format!("policies: {policies}\n{tests}").as_bytes(),
        );
        let output = folder.run("test p");
        assert_eq!(output.code, Some(2), "{policies}: {output:?}");
        let problem = format!("error[test/no-policy]: {problem}\n --> p/all.test.yaml:1:11");
        assert!(output.out.contains(&problem), "{policies}: {output:?}");
    }
}

#[test]
fn the_tests_of_the_built_in_policies_pass_and_cover_them() {
    let policies = concat!(env!("CARGO_MANIFEST_DIR"), "/policies");
    let output = Folder::with(&[]).run(&format!("test {policies} --coverage"));
    assert_eq!(output.code, Some(0), "{}", output.out);
}
