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
        ("tomorrow", 2),
    ] {
        let said = folder.run(&format!("audit --decisions a.jsonl --since {since}"));
        assert_eq!(said.code, Some(code), "{since}: {said:?}");
    }
    let now = log("2999-01-01T00:00:00Z");
    for since in ["90m", "24h", "7d"] {
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
