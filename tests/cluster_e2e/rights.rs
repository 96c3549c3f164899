//! The roles that `manifests` prints are what `serve` and `audit` need, to the verb: nothing more is granted,
//! and nothing is refused, in the whole life of two replicas, and whatever is chosen besides.

use hyper::Method;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DeleteParams, ListParams};
use portcullis::audit::report::Api as Reports;
use portcullis::cluster::exceptions;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::audit;
use super::follows::definition;
use super::manages::{NAMES, World, manifests, named};
use super::published::serves_mutations;
use super::support::client::{Serves, ask};
use super::support::eventually;
use super::support::rights::{account, granted, have_a_controller_told, in_force, live};
use super::{apply, namespace, policy, settings};

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

    // Policies change, in files and in ConfigMaps.
    for replica in &world.replicas {
        std::fs::write(replica.policy("names.cel"), NAMES).unwrap();
    }
    // In the policy namespace nobody is asked about ConfigMaps.
    let forbidden = named("v1", "ConfigMap", Some("default"));
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

/// What scans find: of namespaces, and of the cluster as a whole.
const FOUND: [(&str, &str); 2] = [
    (
        "names.cel",
        "// ---
// name: names
// match: {resources: [v1/configmaps]}
// ---

// @require it is not called `bad`, and its namespace is open
object.metadata.name != 'bad' && namespaceObject.metadata.name != 'closed'
",
    ),
    (
        "limits.cel",
        "// ---
// name: limits
// scope: cluster
// reads: [v1/LimitRange]
// ---

// @require there is a LimitRange
cluster.list('v1', 'LimitRange', '').size() > 0
",
    ),
];

const BAD: &str = "bad";

fn bad() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": BAD, "namespace": "prod"},
    })
}

/// What mends the cluster as a whole.
fn limits() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": {"name": "limits", "namespace": "prod"},
        "spec": {"limits": []},
    })
}

/// The definitions of both kinds of reports of an API.
fn of_reports(api: Reports) -> [Value; 2] {
    let (group, version) = api.api_version().split_once('/').unwrap();
    [true, false].map(|it| audit::definition(group, version, api.kind(it), it))
}

/// How many reports there are, of namespaces and of the rest; `None` while they are not served.
async fn count(world: &World, api: Reports) -> Option<[usize; 2]> {
    let (group, version) = api.api_version().split_once('/').unwrap();
    let of_namespaces = audit::reports(&world.admin, (group, version, api.kind(true))).await?;
    let others = audit::reports(&world.admin, (group, version, api.kind(false))).await?;
    Some([of_namespaces.len(), others.len()])
}

async fn until_there_are(world: &World, api: Reports, expected: [usize; 2]) {
    eventually(&format!("{expected:?} reports"), || async {
        let counted = count(world, api).await;
        (counted == Some(expected)).then_some(())
    })
    .await;
}

async fn mend(world: &World) {
    let api: Api<k8s_openapi::api::core::v1::ConfigMap> =
        Api::namespaced(world.admin.clone(), "prod");
    api.delete(BAD, &DeleteParams::default()).await.unwrap();
    apply(&world.admin, &limits()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn nor_is_any_with_scans_events_and_exceptions() {
    let place = ["--service", "policy/portcullis"];
    let chosen = ["--exception-namespaces", "prod", "--events", "--audit"];
    let place = [&place[..], &chosen].concat();
    for reports in [
        None,
        Some(Reports::OpenReports),
        Some(Reports::PolicyReports),
    ] {
        let name = reports.map_or("none", Reports::group);
        let objects = manifests(&FOUND, &[&place[..], &["--reports", name]].concat());
        // The cluster has both.
        let definitions = Reports::ALL.map(of_reports).into_iter().flatten();
        let all: Vec<Value> = objects.iter().cloned().chain(definitions).collect();
        let mut world = World::start_with(&all).await;
        for api in Reports::ALL {
            until_there_are(&world, api, [0, 0]).await;
        }
        let (user, rights) = (account("policy", "portcullis"), granted(&objects));
        in_force(&world.admin, &user, &rights).await;
        let life = async |world: &mut World| scanning_life(world, reports, &user).await;
        live(&mut world, |it| &it.server, (&*user, &rights), life).await;
    }
}

async fn scanning_life(world: &mut World, reports: Option<Reports>, user: &str) {
    for object in [namespace("closed", "test"), bad()] {
        apply(&world.admin, &object).await;
    }
    let launch = world.launch(&FOUND, "portcullis");
    let launch = launch
        .args(["--exception-namespaces", "prod"])
        .env("PORTCULLIS_CERTS_LIFETIME", "24s")
        .env("PORTCULLIS_EVENTS", "true")
        .env("PORTCULLIS_AUDIT_INTERVAL", "1s")
        .env(
            "PORTCULLIS_AUDIT_REPORTS",
            reports.map_or("none", Reports::group),
        );
    world.add(launch).await;
    let secret = world.secret().await.data.unwrap();
    let called = ("localhost", &*secret["ca.crt"].0);
    let replica = &world.replicas[0];
    let denied = (("configmaps", "ConfigMap"), "closed");
    have_a_controller_told((replica, &world.server), called, denied, user).await;
    match reports {
        None => {
            eventually("a scan has ended", || async {
                let page = ask(replica.admin, Method::GET, "/metrics").await;
                let series = "portcullis_audits_total{reason=\"ok\"}";
                page.text().contains(series).then_some(())
            })
            .await;
        }
        Some(api) => {
            until_there_are(world, api, [1, 1]).await;
            mend(world).await;
            until_there_are(world, api, [0, 0]).await;
        }
    }
    for api in Reports::ALL {
        assert_eq!(count(world, api).await, Some([0, 0]), "{}", api.group());
    }
    eventually("the next certificate", || async {
        let now = world.secret().await.data.unwrap();
        (now["ca.crt"] != secret["ca.crt"]).then_some(())
    })
    .await;
    world.replicas.remove(0).stop().await;
}

/// What asks for everything that a command can list.
const READS: &str = "// ---
// name: reads
// match: {resources: [v1/services, example.org/v1/shares]}
// reads: [apps/v1/Deployment, v1/Namespace]
// ---

// @require there is no Deployment
cluster.list('apps/v1', 'Deployment', '').size() == 0
";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn nor_is_any_of_the_command_audit() {
    let with_params = with_params();
    let files = [
        FOUND[0],
        FOUND[1],
        ("reads.cel", READS),
        // About who creates something nothing can be said, but what it reads is listed.
        ("params.yaml", &*with_params),
    ];
    for reports in [
        None,
        Some(Reports::OpenReports),
        Some(Reports::PolicyReports),
    ] {
        let name = reports.map_or("none", Reports::group);
        let place = ["--for", "audit", "--namespace", "policy"];
        let place = [&place[..], &["--name", "portcullis", "--reports", name]].concat();
        let objects = manifests(&files, &[&place[..], &EXCUSING].concat());
        let definitions = Reports::ALL.map(of_reports).into_iter().flatten();
        let all = objects.iter().cloned().chain(definitions);
        let all = all.chain(exceptions::definition());
        let all: Vec<Value> = all.chain([shares()]).collect();
        let mut world = World::start_with(&all).await;
        for api in Reports::ALL {
            until_there_are(&world, api, [0, 0]).await;
        }
        apply(&world.admin, &bad()).await;
        let (user, rights) = (account("policy", "portcullis"), granted(&objects));
        in_force(&world.admin, &user, &rights).await;
        let life = async |world: &mut World| commands(world, &files, reports).await;
        live(&mut world, |it| &it.server, (&*user, &rights), life).await;
    }
}

/// Where exceptions are.
const EXCUSING: [&str; 4] = [
    "--policy-namespace",
    "policy",
    "--exception-namespaces",
    "prod",
];

fn shares() -> Value {
    let text = definition().to_string();
    let text = text.replace("Limit", "Share").replace("limits", "shares");
    serde_json::from_str(&text).unwrap()
}

/// Audits a cluster in which something is wrong, and the same when it is mended.
async fn commands(world: &World, files: &[(&str, &str)], reports: Option<Reports>) {
    let kubeconfig = world.server.kubeconfig("portcullis");
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let report = reports.map(|api| format!("--report={}", api.group()));
    let args = report.iter().map(String::as_str).chain(EXCUSING);
    let args: Vec<&str> = args.collect();
    for (code, count_of) in [(1, [1, 1]), (0, [0, 0])] {
        let output = audit::audit(&kubeconfig, folder.path(), &args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        for api in Reports::ALL {
            let expected = match reports == Some(api) {
                true => count_of,
                false => [0, 0],
            };
            assert_eq!(count(world, api).await, Some(expected), "{}", api.group());
        }
        if code == 1 {
            mend(world).await;
            // What cannot be scanned is reported, too.
            std::fs::remove_file(folder.path().join("params.yaml")).unwrap();
        }
    }
}
