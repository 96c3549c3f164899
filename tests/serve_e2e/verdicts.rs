//! Every kind of request an API server asks about, admitted and denied, in both versions of HTTP.

use serde_json::{Value, json};

use crate::review;
use crate::support::client::{Client, Http};
use crate::support::process::{Launch, respond};

/// Denies everything in one namespace, and says what it sees.
const LOCKED: &str = "\
// Nothing happens in the namespace `locked`.
//
// ---
// match: {resources: ['*/*/*/*'], operations: ['*']}
// ---

// @require nothing happens in the namespace `locked`
request.namespace != 'locked'
// @reason Forbidden
// @message
request.operation + ' of ' + request.resource.resource
  + (has(request.subResource) ? '/' + request.subResource : '') + ' '
  + (has(request.name) ? request.name : object.metadata.generateName + '*')
  + (request.dryRun ? ' (dry run)' : '') + ' by ' + request.userInfo.username + ': '
  + (oldObject == null ? 'nothing' : oldObject.kind) + ' becomes '
  + (object == null ? 'nothing' : object.kind)
";

/// Records everything.
const SEEN: &str = "\
// ---
// match: {resources: ['*/*/*/*'], operations: ['*']}
// ---
// @audit seen
request.operation + ' ' + request.kind.kind
";

/// Warns about everything.
const DOUBT: &str = "\
// ---
// match: {resources: ['*/*/*/*'], operations: ['*']}
// action: warn
// ---
// @require this is certain
request.userInfo.username == 'the pope'
";

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_request_is_admitted_and_denied() {
    let server = Launch::new()
        .policies(&[
            ("doubt.cel", DOUBT),
            ("locked.cel", LOCKED),
            ("seen.cel", SEEN),
        ])
        .start()
        .await;
    let rows = [
        (
            "create",
            "CREATE Deployment",
            "CREATE of deployments web by kubernetes-admin: nothing becomes Deployment",
        ),
        (
            "update",
            "UPDATE Deployment",
            "UPDATE of deployments web by kubernetes-admin: Deployment becomes Deployment",
        ),
        (
            "delete",
            "DELETE Deployment",
            "DELETE of deployments web by kubernetes-admin: Deployment becomes nothing",
        ),
        (
            "scale",
            "UPDATE Scale",
            "UPDATE of deployments/scale web by kubernetes-admin: Scale becomes Scale",
        ),
        (
            "dry-run",
            "CREATE Deployment",
            "CREATE of deployments web (dry run) by kubernetes-admin: nothing becomes Deployment",
        ),
        (
            "connect",
            "CONNECT PodExecOptions",
            "CONNECT of pods/exec web-0 by kubernetes-admin: nothing becomes PodExecOptions",
        ),
        (
            "generate-name",
            "CREATE Deployment",
            "CREATE of deployments web-* by kubernetes-admin: nothing becomes Deployment",
        ),
    ];
    for http in Http::BOTH {
        let mut client = Client::connect(&server, http).await;
        for (name, seen, message) in rows {
            let mut review = review(name);
            let admitted = respond(&mut client, "/validate", &review).await;
            let mut expected = json!({
                "uid": review["request"]["uid"],
                "allowed": true,
                "auditAnnotations": { "seen.seen": seen },
                "warnings": ["Validation failed for ValidatingAdmissionPolicy 'doubt' with \
                              binding 'doubt': this is certain"],
            });
            assert_eq!(admitted, expected, "{name}, {http:?}");
            review["request"]["namespace"] = "locked".into();
            let denied = respond(&mut client, "/validate", &review).await;
            expected["allowed"] = false.into();
            expected["status"] = forbidden(message);
            assert_eq!(denied, expected, "{name}, {http:?}");
        }
    }
    server.stop().await;
}

fn forbidden(message: &str) -> Value {
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!(
            "ValidatingAdmissionPolicy 'locked' with binding 'locked' denied request: {message}"
        ),
        "reason": "Forbidden",
        "code": 403,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_built_in_packs_decide() {
    let server = Launch::new().start().await;
    let admitted = server.review(&review("create")).await;
    crate::assert_plainly_allowed(&admitted);
    let mut scale = review("scale");
    scale["request"]["name"] = "meshery".into();
    scale["request"]["object"]["metadata"]["name"] = "meshery".into();
    crate::assert_plainly_allowed(&server.review(&scale).await);
    scale["request"]["object"]["spec"]["replicas"] = 1.into();
    let denied = server.review(&scale).await;
    assert_eq!(
        crate::denial(&denied),
        "ValidatingAdmissionPolicy 'meshery-replicas' with binding 'meshery-replicas' denied \
         request: Scale shop/meshery has spec.replicas 1; production needs at least 3"
    );
    let denied = server.review(&review("mesh-config")).await;
    assert_eq!(
        crate::denial(&denied),
        "ValidatingAdmissionPolicy 'access-control-deny' with binding 'access-control-deny' denied \
         request: MeshConfig nginx-mesh/nginx-mesh has spec.accessControlMode allow; production \
         needs deny\n\
         ValidatingAdmissionPolicy 'mtls-strict' with binding 'mtls-strict' denied request: \
         MeshConfig nginx-mesh/nginx-mesh has spec.mtls.mode permissive; production needs strict"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reviews_of_one_connection_are_answered_side_by_side() {
    let server = Launch::new()
        .policies(&[("locked.cel", LOCKED)])
        .start()
        .await;
    let client = server.client().await;
    let mut asked = Vec::new();
    for at in 0..50 {
        let mut client = client.share();
        asked.push(tokio::spawn(async move {
            let mut review = review("create");
            review["request"]["uid"] = format!("uid-{at}").into();
            review["request"]["namespace"] = ["shop", "locked"][at % 2].into();
            let response = respond(&mut client, "/validate", &review).await;
            assert_eq!(response["allowed"], at % 2 == 0, "{at}");
        }));
    }
    for answer in asked {
        answer.await.unwrap();
    }
    server.stop().await;
}
