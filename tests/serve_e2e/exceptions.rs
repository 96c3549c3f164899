//! PolicyExceptions in files: used, counted, followed, and over when they say so.

use std::fs;

use hyper::Method;
use serde_json::Value;

use crate::support::client::ask;
use crate::support::eventually;
use crate::support::process::{Launch, Process};
use crate::{creation, denial};

const POLICY: &str = "// ---
// match: {resources: [apps/v1/deployments], operations: ['*']}
// ---
// @require it is not called legacy
object == null || object.metadata.name != 'legacy'
";

/// Ends in this millennium; nobody needs to mend the test before that.
fn exception(spec: &str) -> String {
    format!(
        "apiVersion: portcullis.dev/v1alpha1\nkind: PolicyException\nmetadata: {{name: known}}\n\
         spec: {{policies: [named], match: {{names: [legacy]}}, reason: old, owner: team, {spec}}}\n"
    )
}

async fn until_allowed(server: &Process, is_allowed: bool) -> Value {
    eventually(&format!("allowed: {is_allowed}"), || async {
        let response = server.review(&creation("legacy")).await;
        (response["allowed"] == is_allowed).then_some(response)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exception_is_followed_counted_and_over_when_it_says_so() {
    let launch = Launch::new().policies(&[("named.cel", POLICY)]);
    let path = launch.folder().join("exceptions/known.yaml");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let log = launch.folder().join("decisions.jsonl");
    let arguments = [
        "--exceptions",
        "exceptions",
        "--decision-log",
        "decisions.jsonl",
    ];
    let server = launch.args(arguments).start().await;
    until_allowed(&server, false).await;

    fs::write(&path, exception("expires: 2999-12-31")).unwrap();
    let response = until_allowed(&server, true).await;
    let recorded = response["auditAnnotations"]["excused"].as_str().unwrap();
    let recorded: Value = serde_json::from_str(recorded).unwrap();
    assert_eq!(recorded[0]["exception"], "known", "{recorded}");
    assert_eq!(
        recorded[0]["messages"][0], "it is not called legacy",
        "{recorded}"
    );
    assert!(response["warnings"].is_null(), "{response:#}");

    let described = server.policies().await;
    let described = &described["exceptions"][0];
    assert_eq!(described["state"], "active", "{described:#}");
    assert_eq!(described["uses"], 1, "{described:#}");
    let page = ask(server.admin, Method::GET, "/metrics").await;
    for line in [
        "portcullis_exceptions{state=\"active\"} 1",
        "portcullis_exceptions{state=\"expired\"} 0",
        "portcullis_exceptions_used_total{policy=\"named\",exception=\"known\"} 1",
        "portcullis_policy_check_total{policy=\"named\",policy_binding=\"named\",kind=\"validating\",\
         error_type=\"no_error\",enforcement_action=\"allow\",enforcement=\"enforce\"} 1",
    ] {
        assert!(page.text().contains(line), "{line}\n{}", page.text());
    }

    let logged = eventually("the decision is logged", || async {
        let lines = fs::read_to_string(&log).unwrap_or_default();
        let mut lines = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        lines.rfind(|it: &Value| it["exception"] == "known")
    })
    .await;
    assert_eq!(logged["action"], "allow", "{logged:#}");
    assert_eq!(logged["wouldBe"], "allow", "{logged:#}");
    assert_eq!(logged["message"], "it is not called legacy", "{logged:#}");

    // What is broken stays as it was, and is said.
    fs::write(&path, exception("expires: soon")).unwrap();
    eventually("the fault is said", || async {
        let described = server.policies().await;
        let kept = described["exceptions"][0]["isLastGoodVersion"] == true;
        kept.then_some(())
    })
    .await;
    let ready = server.readyz().await;
    assert!(ready.contains("`soon` is no date"), "{ready}");
    until_allowed(&server, true).await;

    fs::write(&path, exception("expires: 2020-01-01")).unwrap();
    let response = until_allowed(&server, false).await;
    assert!(
        denial(&response).contains("it is not called legacy"),
        "{response:#}"
    );
    let described = server.policies().await;
    assert_eq!(described["exceptions"][0]["state"], "expired");
    // It is said after the policies are in force.
    eventually("the end of the exception is said", || async {
        let said = server.log().contains("the exception `known` expired");
        said.then_some(())
    })
    .await;

    fs::write(&path, exception("expires: 2999-12-31")).unwrap();
    until_allowed(&server, true).await;
    fs::remove_file(&path).unwrap();
    until_allowed(&server, false).await;
    server.stop().await;
}
