//! `audit --decisions`: what decision logs say.

use serde_json::{Value, json};

use crate::Folder;

fn log(time: &str) -> String {
    let record = |uid: &str, action: &str, would_be: &str| {
        json!({
            "apiVersion": "portcullis.dev/v1", "kind": "Decision", "time": time,
            "requestUid": uid, "user": "ann", "operation": "CREATE",
            "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
            "namespace": "shop", "name": "web", "policy": "replicas", "policyKind": "validating",
            "binding": "replicas", "action": action, "wouldBe": would_be, "enforcement": "audit",
            "error": "no_error", "message": "web runs 1 replicas", "aFieldOfLater": true,
        })
        .to_string()
            + "\n"
    };
    record("1", "audit", "deny") + &record("1", "audit", "deny") + &record("2", "deny", "deny")
}

#[test]
fn what_would_break_is_told_by_policy() {
    let text = log("2026-01-02T03:04:05Z");
    let folder = Folder::with(&[("a.jsonl", &text), ("b.jsonl", "\n")]);
    let said = folder.run("audit --decisions a.jsonl b.jsonl");
    assert_eq!(said.code, Some(1), "{said:?}");
    insta::assert_snapshot!(said.out, @r"
    3 decisions from 2026-01-02T03:04:05Z to 2026-01-02T03:04:05Z

    replicas (validating): requests 1 would be denied, 1 denied
      by          2  ann
      about       2  apps/v1/deployments shop/web
      why         3  web runs 1 replicas
    ");
    let said = folder.run_with("audit --decisions - --format json", &text);
    assert_eq!(said.code, Some(1), "{said:?}");
    let summary: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        summary["policies"][0]["requests"]["wouldBeDenied"], 1,
        "{summary}"
    );
    assert_eq!(
        summary["policies"][0]["users"],
        json!([{"name": "ann", "count": 2}]),
        "{summary}"
    );
}

#[test]
fn what_is_older_than_asked_for_breaks_nothing() {
    let folder = Folder::with(&[("a.jsonl", &log("2026-01-02T03:04:05Z"))]);
    for (since, code) in [
        ("2026-01-02T03:04:05Z", 1),
        ("2026-01-02T03:04:06Z", 0),
        ("2026-01-02T05:04:05+02:00", 1),
        ("2026-01-02", 1),
        ("2026-01-03", 0),
        ("2999-01-01", 2),
        ("tomorrow", 2),
    ] {
        let said = folder.run(&format!("audit --decisions a.jsonl --since {since}"));
        assert_eq!(said.code, Some(code), "{since}: {said:?}");
    }
    let now = log("2999-01-01T00:00:00Z");
    for since in ["90m", "24h", "7d", "1d12h", "1w", "2026-01-02"] {
        let said = folder.run_with(&format!("audit --decisions - --since {since}"), &now);
        assert_eq!(said.code, Some(1), "{since}: {said:?}");
    }
}

#[test]
fn what_is_no_log_is_refused() {
    let folder = Folder::with(&[("a.jsonl", "{}\nnothing\n")]);
    assert_eq!(folder.run("audit --decisions a.jsonl").code, Some(2));
    let said = folder.run("audit --decisions none.jsonl");
    assert_eq!(said.code, Some(2));
    assert!(
        said.err
            .contains("the decision log `none.jsonl` cannot be read"),
        "{said:?}"
    );
}

#[test]
fn a_log_that_ends_in_half_a_line_and_is_too_old_is_still_one() {
    let text = log("2026-01-02T03:04:05Z").repeat(300) + "{\"apiVersion\": \"portcullis.d";
    let folder = Folder::with(&[("a.jsonl", &text)]);
    let said = folder.run("audit --decisions a.jsonl --since 2026-01-03");
    assert_eq!(said.code, Some(0), "{said:?}");
    insta::assert_snapshot!(said.out, @r"
    no decisions; left out: 900 older

    1 line is no decision
    ");
    assert_eq!(said.err, "");
}

#[test]
fn only_the_policies_and_namespaces_that_are_named_count() {
    let folder = Folder::with(&[("a.jsonl", &log("2026-01-02T03:04:05Z"))]);
    for (arguments, code, said) in [
        ("--policy replicas --namespace shop", 1, ""),
        ("-n shop -n prod", 1, ""),
        ("-n prod", 0, ""),
        (
            "--policy replica",
            0,
            "note: no decision is of a policy `replica`",
        ),
    ] {
        let output = folder.run(&format!("audit --decisions a.jsonl {arguments}"));
        assert_eq!(output.code, Some(code), "{arguments}: {output:?}");
        assert!(output.err.contains(said), "{arguments}: {output:?}");
        let left_out = "left out: 3 of other policies or namespaces";
        assert_eq!(output.out.contains(left_out), code == 0, "{output:?}");
    }
    for unused in [
        "--color never",
        "--expires-within 3",
        "--policies p",
        "--kind pods",
    ] {
        let output = folder.run(&format!("audit --decisions a.jsonl {unused}"));
        assert_eq!(output.code, Some(2), "{unused}: {output:?}");
        assert!(output.err.contains("cannot be used with"), "{output:?}");
    }
}

#[test]
fn a_compressed_log_is_told_from_one_that_says_nothing() {
    let folder = Folder::with(&[]);
    folder.write("a.jsonl.gz", b"\x1f\x8b\x08\x00\x00\n\n");
    let said = folder.run("audit --decisions a.jsonl.gz");
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(
        said.err
            .contains("it is compressed: read `zcat a.jsonl.gz | portcullis"),
        "{said:?}"
    );
}
