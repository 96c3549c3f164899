//! What has to be asked for is waited for by who needs it, and by nobody else.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::support::SOON;
use super::support::rights::creation;
use super::{World, namespace};

/// A review of an object that somebody creates who may do nothing.
fn review(resource: &str, kind: &str, namespace: &str) -> String {
    creation((resource, kind), namespace).to_string()
}

/// A policy of one expression.
fn policy(name: &str, resource: &str, expression: &str) -> String {
    format!(
        "// ---\n// name: {name}\n// match: {{resources: [v1/{resource}]}}\n// ---\n\n// @require \
         it is allowed\n{expression}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn an_api_server_that_does_not_answer_holds_up_nobody_else() {
    let asks = policy(
        "asks",
        "serviceaccounts",
        "authorizer.group('').resource('secrets').check('get').allowed()",
    );
    let reads = policy(
        "reads",
        "services",
        "namespaceObject.metadata.labels.env != 'prod'",
    );
    let plain = policy("plain", "configmaps", "object.metadata.name != 'forbidden'");
    let policies = [
        ("asks.cel", &*asks),
        ("reads.cel", &*reads),
        ("plain.cel", &*plain),
    ];
    let world = World::start(&policies, &[namespace("prod", "prod")]).await;
    world.server.freeze();

    let client = world.program.client().await;
    let post = |path: &'static str, review: String| {
        let mut client = client.share();
        tokio::spawn(async move {
            let begun = Instant::now();
            let answer = client.post(path, review).await;
            (answer, begun.elapsed())
        })
    };
    // More than there are cores.
    let asking: Vec<_> = (0..8)
        .map(|_| {
            let one = review("serviceaccounts", "ServiceAccount", "prod");
            post("/validate?timeout=8s", one)
        })
        .collect();
    let unknown = post("/validate?timeout=8s", review("services", "Service", "new"));
    tokio::time::sleep(Duration::from_millis(200)).await;
    for place in ["prod", "new"] {
        let others = post("/validate", review("configmaps", "ConfigMap", place));
        let (answer, taken) = others.await.unwrap();
        assert_eq!(answer.json()["response"]["allowed"], true);
        assert!(taken < SOON, "{place}: {taken:?}");
    }
    let (answer, taken) = unknown.await.unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(taken < SOON + Duration::from_secs(1), "{taken:?}");
    for asked in asking {
        // Who is not told is not allowed, before the API server gives up.
        let (answer, taken) = asked.await.unwrap();
        let answer: Value = answer.json();
        assert_eq!(answer["response"]["allowed"], false, "{answer}");
        assert!(taken < Duration::from_secs(8), "{taken:?}");
    }

    world.server.thaw();
    let one = ("admin", "prod", "a");
    world.until(one, "").await;
    world.program.stop().await;
}
