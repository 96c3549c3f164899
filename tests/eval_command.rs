//! `portcullis eval`, run as a program: what it prints, where, and how it exits.

#![cfg(feature = "shell")]
#![expect(
    clippy::unwrap_used,
    reason = "a test stops at what it does not expect; clippy knows that of test functions only"
)]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// Runs the program; gives its exit code, standard output and standard error as one text.
fn transcript(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .arg("eval")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let mut text = format!("exit {}\n", output.status.code().unwrap());
    for (name, bytes) in [("out", &output.stdout), ("err", &output.stderr)] {
        for line in String::from_utf8(bytes.clone()).unwrap().lines() {
            writeln!(text, "{name}: {line}").unwrap();
        }
    }
    text
}

#[test]
fn a_value_is_printed_with_type_and_cost() {
    insta::assert_snapshot!(transcript(&["quantity('1.5Gi').isGreaterThan(quantity('1G'))"], ""), @r#"
    exit 0
    out: value  true
    out: type   bool
    out: cost   3 (estimated 3)
    "#);
}

#[test]
fn a_failed_evaluation_underlines_what_failed_and_exits_with_one() {
    insta::assert_snapshot!(transcript(&["[1, 2].map(x, m[string(x)])", "--vars", "{\"m\": {\"1\": 0}}"], ""), @r#"
    exit 1
    out: type   list(dyn)
    out: cost   33 (estimated 53)
    err: error[cel/eval]: no such key: 2
    err:  --> <expression>:1:15
    err:   |
    err: 1 | [1, 2].map(x, m[string(x)])
    err:   |               ^^^^^^^^^^^^
    err:   |
    "#);
}

#[test]
fn an_expression_that_does_not_compile_exits_with_two() {
    insta::assert_snapshot!(transcript(&["objct.spec > 1 && object.spec", "--vars", "{\"object\": {}}"], ""), @r#"
    exit 2
    err: error[cel/compile]: undeclared reference to `objct`
    err:  --> <expression>:1:1
    err:   |
    err: 1 | objct.spec > 1 && object.spec
    err:   | ^^^^^
    err:   |
    err:   = help: did you mean `object`?
    "#);
}

#[test]
fn a_variable_of_policies_that_is_not_given_says_how_to_give_it() {
    insta::assert_snapshot!(transcript(&["namespaceObject.metadata.name"], ""), @r#"
    exit 2
    err: error[cel/compile]: undeclared reference to `namespaceObject`
    err:  --> <expression>:1:1
    err:   |
    err: 1 | namespaceObject.metadata.name
    err:   | ^^^^^^^^^^^^^^^
    err:   |
    err:   = help: give its value with `--namespace-object FILE`
    "#);
}

#[test]
fn a_trace_shows_every_part() {
    insta::assert_snapshot!(transcript(&["items.all(i, i.size > 1 && i.name != '')", "--trace", "--vars", "{\"items\": [{\"size\": 3, \"name\": \"a\"}, {\"size\": 1}]}"], ""), @r#"
    exit 0
    out: value  false
    out: type   bool
    out: cost   16 (estimated 2 or more: how much it reads is not known)
    out: 
    out: items.all(i, i.size > 1 && i.name != '')  false
    out: └─ i = item 2 of 2                        {"size": 1}
    out:    └─ i.size > 1 && i.name != ''          false
    out:       ├─ i.size > 1                       false
    out:       │  └─ i.size                        1
    out:       └─ i.name != ''                     not evaluated
    "#);
}

#[test]
fn a_long_value_has_lines_for_its_items() {
    insta::assert_snapshot!(transcript(&["object", "--object", "-"], "kind: Deployment\nmetadata: {name: a-deployment-with-a-name-that-is-long, namespace: of-a-namespace}\nspec:\n  replicas: 3\n  ratio: 1.0\n"), @r#"
    exit 0
    out: value  {
    out:   "kind": "Deployment",
    out:   "metadata": {
    out:     "name": "a-deployment-with-a-name-that-is-long",
    out:     "namespace": "of-a-namespace"
    out:   },
    out:   "spec": {
    out:     "replicas": 3,
    out:     "ratio": 1
    out:   }
    out: }
    out: type   dyn
    out: cost   1 (estimated 1)
    "#);
}

#[test]
fn an_extension_is_noted_and_refused_where_it_must_be_portable() {
    let expression = "cel.bind(x, 1, x + x)";
    insta::assert_snapshot!(transcript(&[expression], ""), @r#"
    exit 0
    out: value  2
    out: type   int
    out: cost   3 (estimated 13)
    err: note[cel/extension]: Kubernetes does not have this function
    err:  --> <expression>:1:1
    err:   |
    err: 1 | cel.bind(x, 1, x + x)
    err:   | ^^^^^^^^^^^^^^^^^^^^^
    err:   |
    err:   = help: a policy that uses it cannot be exported; --portable refuses it
    "#);
    insta::assert_snapshot!(transcript(&[expression, "--portable"], ""), @r#"
    exit 2
    err: error[cel/compile]: `cel.bind` is not part of Kubernetes' language
    err:  --> <expression>:1:1
    err:   |
    err: 1 | cel.bind(x, 1, x + x)
    err:   | ^^^^^^^^^^^^^^^^^^^^^
    err:   |
    err:   = help: write the policy as a `.cel` file to use extensions
    "#);
}

#[test]
fn an_expression_may_come_from_standard_input() {
    insta::assert_snapshot!(transcript(&["-"], "1 +\n  1\n"), @r#"
    exit 0
    out: value  2
    out: type   int
    out: cost   1 (estimated 1)
    "#);
}

#[test]
fn an_answer_may_be_a_line_of_json() {
    insta::assert_snapshot!(transcript(&["[1.0, 2u]", "--format", "json", "--vars", "{}"], ""), @r#"
    exit 2
    out: {"error":"expected type `double` but found `uint`","messages":["expected type `double` but found `uint`"],"phase":"compile"}
    "#);
    insta::assert_snapshot!(transcript(&["[dyn(1.0), dyn(2u)]", "--format", "json"], ""), @r#"
    exit 0
    out: {"cost":0,"estimate":{"max":12,"min":12},"staticType":"list(dyn)","type":"list","typed":{"list":[{"double":"1"},{"uint":"2"}]},"value":[1,2]}
    "#);
}

#[test]
fn values_come_from_files_and_reviews() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let review = write(
        "review.json",
        r#"{"kind": "AdmissionReview", "request": {"uid": "1", "operation": "UPDATE",
            "object": {"a": 2}, "oldObject": {"a": 1}}}"#,
    );
    let params = write("params.yaml", "limit: 1\n");
    let namespace = write("namespace.yaml", "metadata: {name: prod}\n");
    let expression = "[object.a, oldObject.a, params.limit, request, namespaceObject.metadata]";
    let files = [
        "--request",
        &review,
        "--params",
        &params,
        "--namespace-object",
        &namespace,
    ];
    insta::assert_snapshot!(transcript(&[&[expression], &files[..]].concat(), ""), @r#"
    exit 0
    out: value  [2, 1, 1, {"operation": "UPDATE"}, {"name": "prod"}]
    out: type   list(dyn)
    out: cost   19 (estimated 15)
    "#);
}

#[test]
fn unusable_values_exit_with_two() {
    for (arguments, expect) in [
        (&["a", "--vars", "{"][..], "<vars>"),
        (
            &["a", "--vars", "{a: 1}\n---\n{b: 1}"],
            "more than one document",
        ),
        (&["a", "--vars", "/nowhere/vars.json"], "no such file"),
        (&["object", "--object", "-"], "`<stdin>` is empty"),
        (
            &["object", "--object", "-", "--vars", "{\"object\": 1}"],
            "`<stdin>` is empty",
        ),
        (
            &["a", "--params", "/dev/null", "--jsonl"],
            "cannot be used with",
        ),
    ] {
        let transcript = transcript(arguments, "");
        assert!(
            transcript.starts_with("exit 2\n"),
            "{arguments:?}: {transcript}"
        );
        assert!(transcript.contains(expect), "{arguments:?}: {transcript}");
    }
    let twice = transcript(
        &["object", "--object", "-", "--vars", "{\"object\": 1}"],
        "a: 1",
    );
    assert!(
        twice.contains("the variable `object` is given twice"),
        "{twice}"
    );
}

#[test]
fn what_the_version_lacks_is_refused_with_the_version_that_has_it() {
    let expression = "semver('1.0.0').major()";
    insta::assert_snapshot!(transcript(&[expression, "--kubernetes-version", "1.31"], ""), @r#"
    exit 2
    err: error[cel/compile]: `semver` is in Kubernetes since 1.33; checked for 1.31
    err:  --> <expression>:1:1
    err:   |
    err: 1 | semver('1.0.0').major()
    err:   | ^^^^^^
    err:   |
    err:   = help: an older API server refuses it; check for 1.33 if every cluster has at least that
    "#);
    insta::assert_snapshot!(transcript(&[expression, "--kubernetes-version", "1.33"], ""), @r#"
    exit 0
    out: value  1
    out: type   int
    out: cost   2 (estimated 2)
    "#);
    insta::assert_snapshot!(transcript(&[expression, "--kubernetes-version", "1.29"], ""), @r#"
    exit 2
    err: error: invalid value '1.29' for '--kubernetes-version <VERSION>': Kubernetes `1.29` is not known; known are 1.30, 1.31, 1.32, 1.33, 1.34, 1.35, 1.36
    err: 
    err: For more information, try '--help'.
    "#);
}

/// What Kubernetes' own packages answer for the same rows, but for the words of an error.
#[test]
fn rows_are_answered_in_order_whatever_is_wrong_with_them() {
    let rows = r#"
{"id": 1, "expr": "object.spec.replicas > 2", "vars": {"object": {"spec": {"replicas": 3}}}}
{"id": {"a": [1, null]}, "expr": "x + 1.0", "vars": {"x": 1.0}}

{"id": "c", "expr": "1 +"}
{"id": "d", "expr": "object.metadata.name", "env": "admission"}
{"id": "e", "expr": "request.operation == 'CREATE' && extra == 1", "env": "admission", "vars": {"request": {"operation": "CREATE"}, "extra": 1}}
{"id": "f", "expr": "int('a')"}
{"id": "g", "expr": "'a'.matches('(')"}
{"id": "h", "expr": "request.operatoin", "env": "admission"}
nonsense
{"id": "i", "expr": "1", "env": "moon"}
{"id": "j", "expr": "1", "vars": [1]}
[1].map(x, {'a': optional.of(x)})
{"expr": "[{'b': dyn(b'a'), 'a': dyn(type(1))}]"}
"#;
    insta::assert_snapshot!(transcript(&["--jsonl"], rows), @r#"
    exit 0
    out: {"cost":4,"estimate":{"max":2,"min":2},"id":1,"staticType":"bool","type":"bool","typed":{"bool":true},"value":true}
    out: {"cost":2,"estimate":{"max":2,"min":2},"id":{"a": [1, null]},"staticType":"double","type":"double","typed":{"double":"2"},"value":2}
    out: {"error":"expression ends where more is expected","id":"c","messages":["expression ends where more is expected"],"phase":"compile"}
    out: {"cost":2,"error":"no such key: metadata","estimate":{"max":1,"min":1},"id":"d","phase":"eval","staticType":"dyn"}
    out: {"cost":5,"estimate":{"max":5,"min":3},"id":"e","staticType":"bool","type":"bool","typed":{"bool":true},"value":true}
    out: {"error":"type conversion error from 'string' to 'int'","id":"f","phase":"program","staticType":"int"}
    out: {"error":"invalid regular expression: error parsing regexp: missing closing ): `(`","id":"g","messages":["invalid regular expression: error parsing regexp: missing closing ): `(`"],"phase":"compile"}
    out: {"error":"undefined field `operatoin` of kubernetes.AdmissionRequest","id":"h","messages":["undefined field `operatoin` of kubernetes.AdmissionRequest"],"phase":"compile"}
    out: {"error":"bad input: expected ident at line 1 column 2","phase":"input"}
    out: {"error":"unknown env \"moon\"","id":"i","phase":"input"}
    out: {"error":"bad vars: no object","id":"j","phase":"input"}
    out: {"error":"bad input: trailing characters at line 1 column 4","phase":"input"}
    out: {"cost":0,"estimate":{"max":43,"min":43},"staticType":"list(map(string, dyn))","type":"list","typed":{"list":[{"map":[[{"string":"a"},{"type":"int"}],[{"string":"b"},{"bytes":"YQ=="}]]}]},"value":[{"a":"int","b":"YQ=="}]}
    "#);
}

/// What is declared and has no value is an error of the evaluation, as where it was recorded.
#[test]
fn a_row_may_name_what_it_gives_no_value_for() {
    for (row, phase, error) in [
        (
            r#"{"expr": "authorizer.group('') != null", "env": "admission"}"#,
            "eval",
            "no such attribute(s): authorizer",
        ),
        (
            r#"{"expr": "namespaceObject.metadata.name", "vars": {"object": {}}}"#,
            "eval",
            "no such attribute(s): namespaceObject",
        ),
        (
            r#"{"expr": "namespaceObject.metadata.name", "vars": {"object": {}}, "env": "dyn"}"#,
            "compile",
            "undeclared reference to `namespaceObject`",
        ),
    ] {
        let output = transcript(&["--jsonl"], row);
        let answer = format!("\"error\":\"{error}\"");
        assert!(output.contains(&answer), "{row}: {output}");
        let phase = format!("\"phase\":\"{phase}\"");
        assert!(output.contains(&phase), "{row}: {output}");
    }
}
