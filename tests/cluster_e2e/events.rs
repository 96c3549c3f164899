//! Events on the controllers of what is denied.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Client;
use kube::api::{Api, ListParams, PostParams};
use serde_json::{Value, json};

use super::support::eventually;
use super::support::process::Launch;
use super::{ALONE, ApiServer, World, apply, namespace};

const POLICY: &str = "// ---
// name: never
// match: {resources: [v1/serviceaccounts]}
// ---

// @require no account may be made
object.metadata.namespace != 'prod'
";

/// The account of the program, and no more than it needs.
fn rights() -> [Value; 2] {
    let rule = |group: &str, resource: &str, verbs: &[&str]| json!({"apiGroups": [group], "resources": [resource], "verbs": verbs});
    [
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "portcullis"},
            "rules": [
                rule("", "namespaces", &["get", "list", "watch"]),
                rule("apiextensions.k8s.io", "customresourcedefinitions", &["list", "watch"]),
                rule("events.k8s.io", "events", &["create", "patch"]),
            ],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "portcullis"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "portcullis",
            },
            "subjects": [{
                "kind": "ServiceAccount",
                "name": "portcullis",
                "namespace": "policy",
            }],
        }),
    ]
}

/// Makes an account as a controller would, and says why it is refused.
async fn make(client: &Client, name: &str, owner: Option<&str>, dry_run: bool) -> String {
    let mut account = ServiceAccount::default();
    account.metadata.name = Some(name.to_owned());
    account.metadata.owner_references = owner.map(|owner| {
        vec![OwnerReference {
            api_version: "apps/v1".to_owned(),
            kind: "ReplicaSet".to_owned(),
            name: owner.to_owned(),
            uid: format!("uid-of-{owner}"),
            controller: Some(true),
            block_owner_deletion: None,
        }]
    });
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), "prod");
    let parameters = PostParams {
        dry_run,
        ..PostParams::default()
    };
    match api.create(&parameters, &account).await {
        Ok(_) => String::new(),
        Err(problem) => problem.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn the_controller_of_what_is_denied_is_told() {
    let alone = ALONE.lock().await;
    let server = ApiServer::start().await;
    let admin = server.client("admin").await;
    apply(&admin, &namespace("prod", "prod")).await;
    for object in rights() {
        apply(&admin, &object).await;
    }
    let kubeconfig = server.kubeconfig("portcullis");
    let program = Launch::new()
        .policies(&[("never.cel", POLICY)])
        .env("PORTCULLIS_EVENTS", "true")
        .args(["--kubeconfig", kubeconfig.to_str().unwrap()])
        .start()
        .await;
    let world = World {
        server,
        admin,
        program,
        _alone: alone,
    };
    world.ready().await;
    apply(&world.admin, &world.configuration()).await;
    let one = ("admin", "prod", "a");
    world.until(one, "no account may be made").await;
    // Neither what was only tried nor what nobody controls is told to anybody.
    assert!(
        !make(&world.admin, "tried", Some("tried"), true)
            .await
            .is_empty()
    );
    assert!(!make(&world.admin, "alone", None, false).await.is_empty());
    for owner in ["web-1", "web-2"] {
        let said = make(&world.admin, "a", Some(owner), false).await;
        assert!(said.contains("no account may be made"), "{said}");
    }
    let api: Api<Event> = Api::namespaced(world.admin.clone(), "prod");
    let all = async || {
        let found = api.list(&ListParams::default()).await.unwrap().items;
        let of_ours = found
            .into_iter()
            .filter(|it| it.reason.as_deref() == Some("PolicyDenied"));
        of_ours.collect::<Vec<_>>()
    };
    let found = eventually("both owners are told", || async {
        let found = all().await;
        (found.len() == 2).then_some(found)
    })
    .await;
    let mut owners = Vec::new();
    for event in &found {
        let regarding = event.regarding.clone().unwrap();
        assert_eq!(regarding.kind.as_deref(), Some("ReplicaSet"));
        let owner = regarding.name.unwrap();
        assert_eq!(regarding.uid, Some(format!("uid-of-{owner}")));
        owners.push(owner);
        let note = event.note.as_deref().unwrap();
        assert!(
            note.starts_with("ServiceAccount denied: ") && note.contains("no account may be made"),
            "{note}"
        );
        assert_eq!(event.type_.as_deref(), Some("Warning"));
        let controller = event.reporting_controller.as_deref();
        assert_eq!(controller, Some("portcullis.dev/portcullis"));
    }
    owners.sort();
    assert_eq!(owners, ["web-1", "web-2"]);
    // What follows is counted in the Event there is.
    let count = eventually("the Event counts", || async {
        make(&world.admin, "a", Some("web-1"), false).await;
        let found = all().await;
        assert_eq!(found.len(), 2);
        found
            .into_iter()
            .find_map(|it| it.series)
            .map(|it| it.count)
    })
    .await;
    assert!(count >= 2, "{count}");
    // The rights that it has are those that it uses.
    let user = "system:serviceaccount:policy:portcullis";
    eventually("the audit log", || async {
        let log = world.server.audit(user);
        let of_events = log
            .iter()
            .filter(|it| it["objectRef"]["resource"] == "events");
        let verbs: std::collections::BTreeSet<_> = of_events
            .map(|it| {
                assert!(it["responseStatus"]["code"].as_u64() < Some(300), "{it}");
                it["verb"].as_str().unwrap().to_owned()
            })
            .collect();
        (verbs.len() == 2).then_some(())
    })
    .await;
    world.program.stop().await;
}
