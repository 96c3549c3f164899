//! The roles that `manifests` prints are what `serve` needs, to the verb: nothing more is granted, and
//! nothing is refused, in the whole life of two replicas.

use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};

use super::follows::definition;
use super::manages::{NAMES, World, manifests, named};
use super::published::serves_mutations;
use super::support::client::Serves;
use super::support::eventually;
use super::support::rights::{account, ask_about_an_unknown_namespace, granted, in_force, live};
use super::{apply, policy, settings};

/// Service accounts need what only the cluster knows.
const ACCOUNTS: &str = "// ---
// name: room
// match: {resources: [v1/serviceaccounts]}
// reads: [apps/v1/Deployment, example.org/v1/Limit]
// ---

// @require there is room for what it would run
cluster.list('apps/v1', 'Deployment', request.namespace).size()
  <= cluster.list('example.org/v1', 'Limit', '').size()
";

/// A policy of the name of one in a file.
const NAMED_TWICE: &str = r#"{
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingAdmissionPolicy",
    "metadata": {"name": "room", "labels": {"portcullis.dev/policy": ""}},
    "spec": {"matchConstraints": {"resourceRules": [{
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["endpoints"]
    }]}}
}"#;

fn with_params() -> String {
    let spec = json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "validations": [{
            "expression": "object.metadata.name.startsWith(params.data.prefix)",
            "messageExpression": "'must start with ' + params.data.prefix",
        }, {
            "expression": "namespaceObject.metadata.name != 'closed'",
        }, {
            "expression": "authorizer.group('').resource('secrets').namespace(request.namespace)\
                           .check('get').allowed()",
        }],
    });
    let binding = json!({"paramRef": {"name": "naming", "parameterNotFoundAction": "Deny"}});
    policy(&spec, &binding)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn every_right_is_used_and_none_is_missing() {
    let with_params = with_params();
    let policies = [("room.cel", ACCOUNTS), ("params.yaml", &*with_params)];
    let (own, published) = (
        ["--service", "policy/portcullis"],
        [
            "--policy-namespace",
            "prod",
            "--cluster-policies",
            "labelled",
        ],
    );
    let objects = manifests(&policies, &[&own[..], &published[..]].concat());
    let (user, mut rights) = (account("policy", "portcullis"), granted(&objects));
    let mut world = World::start_with(&[&objects[..], &[definition()]].concat()).await;
    apply(&world.admin, &settings("prod", "web-")).await;
    in_force(&world.admin, &user, &rights).await;
    if !serves_mutations(&world.admin).await {
        rights.retain(|right| !right.resource.starts_with("mutatingadmission"));
    }

    let rights = (&*user, &rights);
    live(
        &mut world,
        |it| &it.server,
        rights,
        async |world| {
            whole_life(world, &policies, &published).await;
        },
    )
    .await;
}

async fn whole_life(world: &mut World, policies: &[(&str, &str)], args: &[&str]) {
    // They issue a certificate, elect one of them and register.
    for _ in 0..2 {
        let launch = world
            .launch(policies, "portcullis")
            .args(args.iter().copied());
        world
            .add(launch.env("PORTCULLIS_CERTS_LIFETIME", "24s"))
            .await;
    }
    let mut one = named("v1", "ServiceAccount", Some("prod"));
    world.until(&one, "must start with web-").await;
    one["metadata"]["name"] = json!("web-1");
    assert_eq!(world.create(&one).await, "");
    let first = world.secret().await.data.unwrap();
    let authorities = &first["ca.crt"].0;
    let about = ("serviceaccounts", "ServiceAccount");
    ask_about_an_unknown_namespace(&world.replicas[0], ("localhost", authorities), about).await;

    // Policies change, in files and in ConfigMaps.
    for replica in &world.replicas {
        std::fs::write(replica.policy("names.cel"), NAMES).unwrap();
    }
    let forbidden = named("v1", "ConfigMap", Some("prod"));
    world
        .until(&forbidden, "it is not called `forbidden`")
        .await;
    let published = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "published",
            "namespace": "prod",
            "labels": {"portcullis.dev/policy": ""},
        },
        "data": {"secrets.cel": NAMES.replace("configmaps", "secrets").replace("names", "secrets")},
    });
    apply(&world.admin, &published).await;
    let forbidden = named("v1", "Secret", Some("prod"));
    world
        .until(&forbidden, "it is not called `forbidden`")
        .await;

    // Their authors are told what is wrong with them: one cannot be read, one has the name of another.
    let mut broken = published;
    broken["data"]["secrets.cel"] = json!("// @require\n");
    apply(&world.admin, &broken).await;
    let mut labelled: Value = serde_json::from_str(NAMED_TWICE).unwrap();
    labelled["spec"]["validations"] = json!([{"expression": "true"}]);
    apply(&world.admin, &labelled).await;
    for namespace in ["prod", "default"] {
        let api: Api<Event> = Api::namespaced(world.admin.clone(), namespace);
        eventually(&format!("an event in `{namespace}`"), || async {
            let events = api.list(&ListParams::default()).await.unwrap();
            let ours =
                |it: &Event| it.reporting_controller.as_deref() == Some("portcullis.dev/policies");
            events.items.iter().any(ours).then_some(())
        })
        .await;
    }

    // The certificate is followed by the next.
    for key in ["ca.crt", "tls.crt"] {
        eventually(&format!("another {key}"), || async {
            let now = world.secret().await.data.unwrap();
            (now[key] != first[key]).then_some(())
        })
        .await;
    }

    // One goes, and the other goes on in its place.
    let at = world.holding().await;
    let before = world.replicas[1 - at].address();
    world.replicas.remove(at).stop().await;
    world.balance();
    assert_eq!(world.holding().await, 0);
    assert_eq!(world.replicas[0].address(), before);
    assert_eq!(world.create(&one).await, "");
    world.replicas.remove(0).stop().await;
}
