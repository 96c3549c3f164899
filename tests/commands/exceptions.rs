//! PolicyExceptions in every command: those that decide apply them, the others say what becomes of them.

use serde_json::{Value, json};

use super::{Folder, REPLICAS, deployment};

const EXCEPTION: &str = "apiVersion: portcullis.dev/v1alpha1
kind: PolicyException
metadata: {name: legacy}
spec:
  policies: [replicas]
  match: {names: [web]}
  reason: it cannot be scaled
  owner: team-web
  expires: 2026-12-31
";

const JUNE: &str = "--now 2026-06-01";

fn folder(exception: &str) -> Folder {
    let folder = Folder::with(&[("d.yaml", &deployment("web", 1))]);
    folder.write("p/replicas.cel", REPLICAS.as_bytes());
    folder.write("e/legacy.yaml", exception.as_bytes());
    folder
}

#[test]
fn what_is_excused_is_a_note_and_no_violation() {
    let folder = folder(EXCEPTION);
    let line = format!("check d.yaml --policies p --exceptions e {JUNE}");
    let output = folder.run(&line);
    assert_eq!(output.code, Some(0), "{output:?}");
    insta::assert_snapshot!(output.out, @r"
    note[replicas]: web runs 1 (excused by `legacy` until 2026-12-31)
      --> d.yaml:6:13
       |
     6 |   replicas: 1
       |             ^
       |
      ::: p/replicas.cel:10:1
       |
    10 | object == null || object.spec.replicas >= settings.floor
       | -------------------------------------------------------- the rule
       |
      ::: e/legacy.yaml:3:18
       |
     3 | metadata: {name: legacy}
       |                  ------ the exception
       |
       = object: Deployment default/web
       = help: it cannot be scaled (team-web)
    ");
    assert_eq!(
        output.summary(),
        "1 object checked, 0 violations, 1 excused"
    );
    // Beside the policies it is the same.
    folder.write("p/legacy.yaml", EXCEPTION.as_bytes());
    let beside = folder.run(&format!("check d.yaml --policies p {JUNE}"));
    assert_eq!(beside.out, output.out.replace("e/legacy", "p/legacy"));
}

#[test]
fn an_exception_that_does_not_fit_leaves_the_violation() {
    let limited = EXCEPTION.replace("legacy}", "legacy, namespace: prod}");
    let cases = [
        (EXCEPTION.to_owned(), JUNE, 0, "", "1 excused"),
        (
            EXCEPTION.to_owned(),
            "--now 2027-06-01",
            1,
            "expired",
            "1 violation",
        ),
        (
            EXCEPTION.to_owned(),
            "--now 2026-12-20",
            0,
            "expires-soon",
            "1 excused",
        ),
        (
            EXCEPTION.to_owned(),
            "--now 2026-12-20 --expires-within 3",
            0,
            "",
            "1 excused",
        ),
        (
            EXCEPTION.replace("[web]", "[other]"),
            JUNE,
            1,
            "unused",
            "1 violation",
        ),
        (limited.clone(), JUNE, 1, "unused", "1 violation"),
        (
            limited,
            "--now 2026-06-01 --policy-namespace prod",
            0,
            "",
            "1 excused",
        ),
    ];
    for (exception, args, code, finding, summary) in cases {
        let folder = folder(&exception);
        let output = folder.run(&format!("check d.yaml --policies p --exceptions e {args}"));
        assert_eq!(output.code, Some(code), "{args}\n{exception}\n{output:?}");
        assert!(
            output.summary().ends_with(summary),
            "{args}\n{exception}\n{output:?}"
        );
        let codes = output.out.split("[exception/").skip(1);
        let codes: Vec<&str> = codes.filter_map(|it| it.split(']').next()).collect();
        assert_eq!(codes.concat(), finding, "{args}\n{exception}\n{output:?}");
    }
    let folder = folder(&EXCEPTION.replace("owner", "ownr"));
    let output = folder.run("check d.yaml --policies p --exceptions e");
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.out.contains("did you mean `owner`?"), "{output:?}");
}

/// The findings with a code of exceptions.
fn about_exceptions(shown: &str) -> String {
    let findings = shown.trim_end().split("\n\n");
    let about = findings.filter(|it| it.contains("[exception/"));
    about.collect::<Vec<_>>().join("\n\n")
}

#[test]
fn findings_about_exceptions_have_a_code_and_a_place() {
    let folder = folder(
        &EXCEPTION
            .replace("[web]", "[other]")
            .replace("[replicas]", "[replica]"),
    );
    let output = folder.run("check d.yaml --policies p --exceptions e --now 2026-12-20");
    insta::assert_snapshot!(about_exceptions(&output.out), @r"
    warning[exception/unused]: the exception `legacy` was not needed
     --> e/legacy.yaml:3:18
      |
    3 | metadata: {name: legacy}
      |                  ^^^^^^
      |
      = help: no object of this run violates its policies where it fits; remove it if there are no others

    warning[exception/unknown-policy]: there is no policy `replica`
     --> e/legacy.yaml:5:14
      |
    5 |   policies: [replica]
      |              ^^^^^^^
      |
      = help: did you mean `replicas`?

    warning[exception/expires-soon]: the exception `legacy` expires in 12 days: 2026-12-31
     --> e/legacy.yaml:9:12
      |
    9 |   expires: 2026-12-31
      |            ^^^^^^^^^^
      |
      = help: what it excuses will be rejected then; ask team-web, who answers for it
    ");
    let output = folder.run("lint p --exceptions e --now 2027-01-01");
    insta::assert_snapshot!(about_exceptions(&output.out), @r"
    warning[exception/unknown-policy]: there is no policy `replica`
     --> e/legacy.yaml:5:14
      |
    5 |   policies: [replica]
      |              ^^^^^^^
      |
      = help: did you mean `replicas`?

    warning[exception/expired]: the exception `legacy` expired: 2026-12-31
     --> e/legacy.yaml:9:12
      |
    9 |   expires: 2026-12-31
      |            ^^^^^^^^^^
      |
      = help: it excuses nothing any more; remove it, or have it granted anew
    ");
    assert_eq!(output.code, Some(1));
}

const TESTS: &str = "now: 2026-06-01
base: {apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 1}}
cases:
  - name: it is excused
    exceptions:
      metadata: {name: legacy}
      spec: {policies: [replicas], reason: old, owner: me, expires: 2026-12-31, match: {names: [web]}}
    expect: {excused: legacy}
  - name: it is not, once the exception has ended
    now: 2027-01-01
    exceptions:
      metadata: {name: legacy}
      spec: {policies: [replicas], reason: old, owner: me, expires: 2026-12-31, match: {names: [web]}}
    expect: {deny: web runs 1}
  - name: nobody excuses it
    expect: {deny: web runs 1}
";

#[test]
fn a_case_has_exceptions_and_a_time() {
    let folder = Folder::with(&[
        ("p/replicas.cel", REPLICAS),
        ("p/replicas.test.yaml", TESTS),
    ]);
    let output = folder.run("test p");
    assert_eq!(output.code, Some(0), "{output:?}");
    for (from, to, code, expected) in [
        ("{excused: legacy}", "admit", 1, "excused: legacy"),
        ("{excused: legacy}", "{excused: other}", 1, "excused: other"),
        (
            "now: 2026-06-01\n",
            "",
            2,
            "exceptions need a time, because they end",
        ),
        ("now: 2026-06-01\n", "now: today\n", 2, "`today` is no time"),
        ("owner: me", "ownr: me", 2, "unknown key `ownr`"),
        (
            "match: {names: [web]}",
            "match: {condition: 'x'}",
            1,
            "undeclared reference to `x`",
        ),
        (
            "match: {names: [web]}",
            "match: {condition: object.x == 1}",
            1,
            "no such key: x",
        ),
    ] {
        folder.write(
            "p/replicas.test.yaml",
            TESTS.replacen(from, to, 1).as_bytes(),
        );
        let output = folder.run("test p");
        assert_eq!(output.code, Some(code), "{to}: {output:?}");
        assert!(output.out.contains(expected), "{to}: {output:?}");
    }
}

#[test]
fn a_policy_is_explained_with_who_is_excused() {
    let folder = folder(EXCEPTION);
    let output = folder.run("explain replicas --policies p --exceptions e");
    let expected = "excuses   `legacy` until 2026-12-31: it cannot be scaled (team-web)";
    assert!(output.out.contains(expected), "{output:?}");
    let code = folder.run("explain exception/unused");
    assert!(code.out.contains("was not needed"), "{code:?}");
}

/// Gives three replicas, if it is switched on.
const SCALED: &str = "// ---
// name: scaled
// match: {resources: [apps/v1/deployments]}
// ---

// @patch
object.spec.replicas < 3 ? [JSONPatch{op: 'add', path: '/spec/replicas', value: 3}] : []
";

/// A policy that denies and one that changes, and an exception from both.
fn folder_with_mutation() -> Folder {
    let folder = folder(&EXCEPTION.replace("[replicas]", "[replicas, scaled]"));
    folder.write("p/scaled.cel", SCALED.as_bytes());
    folder
}

#[test]
fn every_command_that_decides_applies_exceptions_and_none_without_them() {
    let text = deployment("web", 1);
    for (line, with, without) in [
        (
            "check d.yaml",
            (0, "excused by `legacy`"),
            (1, "error[replicas]"),
        ),
        (
            "check d.yaml --mode audit",
            (0, "excused by `legacy`"),
            (0, "warning[replicas]"),
        ),
        (
            "check --old d.yaml d.yaml",
            (0, "excused by `legacy`"),
            (1, "error[replicas]"),
        ),
        (
            "check d.yaml --fix --mutate scaled",
            (0, "replicas: 1"),
            (0, "replicas: 3"),
        ),
        (
            "check d.yaml --diff --mutate scaled",
            (0, ""),
            (0, "+  replicas: 3"),
        ),
        ("check d.yaml -i --mutate scaled", (0, ""), (0, "")),
        (
            "explain scaled --object d.yaml",
            (
                0,
                "Deployment default/web: not changed, excused by `legacy` until 2026-12-31: it cannot be scaled (team-web)",
            ),
            (0, "replicas: 3"),
        ),
    ] {
        let folder = folder_with_mutation();
        let run = |args: &str| folder.run(&format!("{line} --policies p {args}"));
        let output = run(&format!("--exceptions e {JUNE}"));
        assert_eq!(output.code, Some(with.0), "{line}: {output:?}");
        assert!(output.out.contains(with.1), "{line}: {output:?}");
        let after = std::fs::read_to_string(folder.path().join("d.yaml")).unwrap();
        assert_eq!(after, text, "{line}");
        // After its end it is as if there were none.
        for args in ["", "--exceptions e --now 2027-01-01"] {
            folder.write("d.yaml", text.as_bytes());
            let output = run(args);
            assert_eq!(output.code, Some(without.0), "{line} {args}: {output:?}");
            assert!(output.out.contains(without.1), "{line} {args}: {output:?}");
        }
    }
}

#[test]
fn a_mutation_that_is_excused_is_a_note_and_its_exception_is_needed() {
    let folder = folder_with_mutation();
    let fix = format!("check d.yaml --policies p --exceptions e --diff --mutate scaled {JUNE}");
    let output = folder.run(&fix);
    assert_eq!(
        (output.code, output.out.as_str()),
        (Some(0), ""),
        "{output:?}"
    );
    for words in [
        "note[scaled]: it is not changed (excused by `legacy` until 2026-12-31)",
        "note[replicas]: web runs 1 (excused by `legacy` until 2026-12-31)",
        "1 object checked, 0 violations, 2 excused",
    ] {
        assert!(output.err.contains(words), "{words}: {output:?}");
    }
    assert!(!output.err.contains("exception/unused"), "{output:?}");

    // One from the mutation alone is needed, too, and nothing is known of it while mutations are not run.
    folder.write(
        "e/legacy.yaml",
        EXCEPTION.replace("[replicas]", "[scaled]").as_bytes(),
    );
    let output = folder.run(&fix);
    assert!(
        output.err.contains("it is not changed (excused"),
        "{output:?}"
    );
    assert!(!output.err.contains("exception/unused"), "{output:?}");
    let output = folder.run(&format!("check d.yaml --policies p --exceptions e {JUNE}"));
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(!output.out.contains("exception/unused"), "{output:?}");

    // What nothing needs is said.
    let other = EXCEPTION
        .replace("[replicas]", "[scaled]")
        .replace("[web]", "[other]");
    folder.write("e/legacy.yaml", other.as_bytes());
    let output = folder.run(&fix);
    assert!(output.out.contains("+  replicas: 3"), "{output:?}");
    assert!(
        output
            .err
            .contains("warning[exception/unused]: the exception `legacy` was not needed"),
        "{output:?}"
    );
}

#[test]
fn a_case_of_jsonl_has_its_own_exceptions_and_time() {
    let meta = |name: &str| json!({"name": name});
    let case = json!({
        "id": 1,
        "policies": [{
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": meta("replicas"),
            "spec": {
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"],
                }]},
                "validations": [{"expression": "object.spec.replicas >= 3"}],
            },
        }],
        "bindings": [{
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": meta("b"), "spec": {"policyName": "replicas", "validationActions": ["Deny"]},
        }],
        "exceptions": [{
            "apiVersion": "portcullis.dev/v1alpha1", "kind": "PolicyException",
            "metadata": {"name": "legacy", "namespace": "team"},
            "spec": {
                "policies": ["replicas"], "match": {"names": ["web"]}, "reason": "old", "owner": "me",
                "expires": "2026-12-31",
            },
        }],
        "now": "2026-06-01",
        "policyNamespace": "team",
        "request": {
            "kind": {"group": "apps", "version": "v1", "kind": "Deployment"},
            "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
            "name": "web", "namespace": "prod", "operation": "CREATE", "userInfo": {"username": "jane"},
        },
        "object": {
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "prod"}, "spec": {"replicas": 1},
        },
    });
    let with = |key: &str, value: Value| {
        let mut case = case.clone();
        case[key] = value;
        case
    };
    for (case, allowed, excused) in [
        (case.clone(), json!(true), json!(["team/legacy"])),
        (with("now", json!("2027-01-01")), json!(false), json!([])),
        // Of another namespace than the operator's it reaches its own.
        (
            with("policyNamespace", Value::Null),
            json!(false),
            json!([]),
        ),
        (with("exceptions", json!([])), json!(false), json!([])),
    ] {
        let output = Folder::with(&[]).run_with("check --jsonl", &case.to_string());
        let answer: Value = serde_json::from_str(&output.out).unwrap();
        assert_eq!(
            (&answer["allowed"], &answer["excused"]),
            (&allowed, &excused),
            "{output:?}"
        );
    }
    for (case, problem) in [
        (
            with("now", Value::Null),
            "`exceptions` need a time, because they end",
        ),
        (with("now", json!("soon")), "`now`: `soon` is no time"),
    ] {
        let output = Folder::with(&[]).run_with("check --jsonl", &case.to_string());
        assert!(
            output.code == Some(2) && output.out.contains(problem),
            "{output:?}"
        );
    }
}

#[test]
fn what_is_excused_is_suppressed_in_sarif_and_skipped_in_junit() {
    let folder = folder(&EXCEPTION.replace("owner:", "ticket: OPS-7\n  owner:"));
    folder.write("other.yaml", deployment("other", 1).as_bytes());
    let run = |format: &str| {
        folder.run(&format!(
            "check d.yaml other.yaml --policies p --exceptions e {JUNE} --format {format}"
        ))
    };
    let log: Value = serde_json::from_str(&run("sarif").out).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    let suppressed: Vec<_> = results
        .iter()
        .map(|it| (&it["level"], &it["suppressions"]))
        .collect();
    let suppression = json!([{
        "kind": "external", "status": "accepted", "justification": "it cannot be scaled",
        "properties": {
            "exception": "legacy", "owner": "team-web", "ticket": "OPS-7", "expires": "2026-12-31",
        },
    }]);
    // Every result of a run says whether it is suppressed, if one does.
    assert_eq!(
        suppressed,
        [
            (&json!("note"), &suppression),
            (&json!("error"), &json!([]))
        ]
    );

    let found: Value = serde_json::from_str(&run("json").out).unwrap();
    assert_eq!(found[0]["excused"]["ticket"], "OPS-7");
    assert_eq!(found[1]["excused"], Value::Null);

    let cases = run("junit").out;
    let skipped = "<skipped message=\"excused by `legacy` until 2026-12-31: it cannot be scaled (team-web)\"/>";
    assert!(cases.contains(skipped), "{cases}");
    assert!(
        cases.contains("tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"1\""),
        "{cases}"
    );
    // Without exceptions nothing is said of suppressions.
    let output = folder.run("check d.yaml --policies p --format sarif");
    assert!(!output.out.contains("suppressions"), "{output:?}");
}

#[test]
fn tests_apply_the_exceptions_that_lie_with_the_policies() {
    let tests = "policies: ['*.cel', legacy.yaml]
now: 2026-06-01
base: {apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 1}}
cases:
  - {name: it is excused, expect: {excused: legacy}}
  - {name: it is not any more, now: 2027-01-01, expect: {deny: web runs 1}}
";
    let folder = Folder::with(&[
        ("p/replicas.cel", REPLICAS),
        ("p/legacy.yaml", EXCEPTION),
        ("p/replicas.test.yaml", tests),
    ]);
    let output = folder.run("test p/replicas.test.yaml");
    assert_eq!(output.code, Some(0), "{output:?}");
}

#[test]
fn an_audit_of_decision_logs_takes_nothing_that_it_would_not_use() {
    let folder = folder(EXCEPTION);
    folder.write("log.jsonl", b"\n");
    for args in [
        "--exceptions e",
        "--exception-namespaces team",
        "--policy-namespace team",
        "--policies p",
        "--now 2026-06-01",
        "--profile strict",
    ] {
        let output = folder.run(&format!("audit --decisions log.jsonl {args}"));
        assert_eq!(output.code, Some(2), "{args}: {output:?}");
        assert!(
            output.err.contains("cannot be used with"),
            "{args}: {output:?}"
        );
    }
}
