//! What the program says where nobody listens, and what it says to nobody.

use std::fs;
use std::time::Duration;

use hyper::Method;
use serde_json::Value;
use tokio::time::timeout;

use crate::support::client::ask;
use crate::support::eventually;
use crate::support::process::{Launch, Process, respond};
use crate::{creation, denial};

const NAMED: &str = "// ---
// match: {resources: [apps/v1/deployments]}
// ---
// @require it is not called legacy
object == null || object.metadata.name != 'legacy'
";

const CHANGE: &str = "// ---
// mutate: true
// ACTION
// match: {resources: [apps/v1/deployments]}
// ---
// @patch
[JSONPatch{op: 'add', path: '/metadata/labels', value: {'a': 'b'}}]
";

fn exception(policies: &str, condition: &str) -> String {
    format!(
        "apiVersion: portcullis.dev/v1alpha1\nkind: PolicyException\n\
         metadata: {{name: known, namespace: shop}}\n\
         spec: {{policies: {policies}, match: {{{condition}}}, reason: old, owner: team, expires: \
         2999-12-31}}\n"
    )
}

async fn lines(server: &Process, result: &str) -> u64 {
    let page = ask(server.admin, Method::GET, "/metrics").await;
    let series = format!("portcullis_log_lines_total{{result=\"{result}\"}} ");
    let mut lines = page.text().lines();
    let count = lines.find_map(|line| line.strip_prefix(&series));
    count.expect("lines are counted").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_stops_nothing() {
    let mut server = Launch::new()
        .policies(&[("named.cel", NAMED)])
        .args(["--log-level", "trace"])
        .unheard()
        .start()
        .await;
    let lost = async {
        while lines(&server, "dropped").await == 0 {
            for _ in 0..20 {
                let response = server.review(&creation("legacy")).await;
                assert!(denial(&response).contains("it is not called legacy"));
            }
        }
    };
    let soon = Duration::from_secs(120);
    timeout(soon, lost).await.expect("each review is answered");
    server.signal("-INT");
    assert_eq!(server.ended().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exception_that_fails_is_named_once_and_nothing_of_the_object_is() {
    let condition = "condition: 'ip(object.metadata.name).family() == 4'";
    let server = Launch::new()
        .policies(&[
            ("named.cel", NAMED),
            ("e.yaml", &exception("[named]", condition)),
        ])
        .start()
        .await;
    for _ in 0..30 {
        let response = server.review(&creation("legacy")).await;
        assert_eq!(response["allowed"], false, "{response}");
    }
    let log = eventually("it is logged", || async {
        let log = server.log();
        log.contains("an exception failed").then_some(log)
    })
    .await;
    assert!(log.contains("shop/known"), "{log}");
    assert!(log.contains("invalid_error"), "{log}");
    assert!(!log.contains("legacy"), "{log}");
    let said = log.matches("an exception failed").count();
    assert_eq!(said, 1, "{log}");
    server.stop().await;
}

fn records(server: &Process) -> Vec<Value> {
    let path = server.folder().join("decisions.jsonl");
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter(|it| it.ends_with('\n'));
    whole.map(|it| serde_json::from_str(it).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_excused_is_logged_under_its_whole_name_and_as_what_it_was() {
    for (mode, action, enforcement) in [
        ("enforce", "", "enforce"),
        ("enforce", "action: audit", "audit"),
        ("audit", "", "audit"),
    ] {
        let change = CHANGE.replace("ACTION", action);
        let server = Launch::new()
            .policies(&[
                ("named.cel", NAMED),
                ("change.cel", &change),
                ("e.yaml", &exception("[named, change]", "")),
            ])
            .args(["--mode", mode, "--decision-log", "decisions.jsonl"])
            .start()
            .await;
        let mut client = server.client().await;
        // What is on trial is asked for where nothing is refused for want of an answer.
        for path in ["/mutate", "/mutate/ignore", "/validate"] {
            let response = respond(&mut client, path, &creation("legacy")).await;
            assert_eq!(response["allowed"], true, "{response}");
        }
        let records = eventually("both are logged", || async {
            let records = records(&server);
            (records.len() >= 2).then_some(records)
        })
        .await;
        let change = records.iter().find(|it| it["policy"] == "change").unwrap();
        assert_eq!(change["enforcement"], enforcement, "{mode} {action}");
        for record in records {
            assert_eq!(record["exception"], "shop/known", "{record}");
            assert_eq!(record["wouldBe"], "allow", "{record}");
        }
        server.stop().await;
    }
}
