//! The rights that the chart gives are those that `manifests` prints for the configuration that the chart
//! renders, and those that the program uses: to the verb, for whatever is chosen.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, SystemTime};

use hyper::Method;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use portcullis::audit::report::Api as Reports;
use portcullis::certs::authority;
use portcullis::certs::issue::issue;
use portcullis::cluster::exceptions;
use portcullis::webhook::tls;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::cluster::{World, apply, make_namespace};
use super::defaults;
use super::helm::{CLUSTER_NAME, NAMESPACE, RELEASE, objects};
use super::rendered::configuration;
use super::support::client::ask;
use super::support::eventually;
use super::support::process::{Launch, Process};
use super::support::rights::{Right, account, granted, have_a_controller_told, in_force, live};
use super::{documents, only};

/// ConfigMaps need a namespace that is open, and somebody who may read Secrets.
const MINE: &str = "// ---
// name: mine
// match: {resources: [v1/configmaps]}
// ---

// @require the user may read Secrets, and it is open
authorizer.group('').resource('secrets').namespace(request.namespace).check('get').allowed()
  && namespaceObject.metadata.name != 'closed'
";

/// What a scan finds.
const NAMES: &str = "// ---
// name: names
// match: {resources: [v1/configmaps]}
// ---

// @require it is not called `bad`
object.metadata.name != 'bad'
";

/// What reads what nothing else reads, and matches what nothing else matches.
const OWN: &str = "// ---
// name: own
// match: {resources: [v1/serviceaccounts]}
// reads: [v1/Secret]
// ---

// @require there is a Secret, and the user may read it
cluster.list('v1', 'Secret', request.namespace).size() > 0
  && authorizer.group('').resource('secrets').check('get').allowed()
";

/// The arguments of the program behind the configuration, as the Deployment has them.
fn arguments(objects: &[Value]) -> Vec<String> {
    let container = &only(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    let arguments: Vec<String> = serde_json::from_value(container["args"].clone()).unwrap();
    let [serve, config, _, others @ ..] = &arguments[..] else {
        panic!("{arguments:?}");
    };
    assert_eq!([serve, config], ["serve", "--config"]);
    others.to_vec()
}

/// What `manifests` prints for the configuration that was rendered.
fn needed(objects: &[Value]) -> BTreeSet<Right> {
    let folder = configuration(objects);
    let mut arguments = arguments(objects);
    if arguments.is_empty() {
        // Somebody else registers the webhooks.
        authority::ensure(folder.path(), SystemTime::now(), &tls::provider()).unwrap();
        let service = format!("{NAMESPACE}/{RELEASE}");
        let others = ["--service", &service, "--name", CLUSTER_NAME];
        let others = others.into_iter().chain(["--ca", "ca.crt"]);
        arguments = others.map(str::to_owned).collect();
    }
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .current_dir(folder.path())
        .args(["manifests", "--config", "portcullis.yaml"])
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    granted(&documents(&String::from_utf8(output.stdout).unwrap()))
}

#[test]
#[ignore = "needs helm; tests/chart/build"]
fn the_roles_of_the_chart_are_those_of_the_program() {
    const CERT_MANAGER: &str = "certificates.mode=certManager";
    const MOUNTED: &str = "certificates.mode=mounted,certificates.mounted.secretName=a";
    const EVERYTHING: &str = "policies.namespace=policies,policies.cluster=labelled,events=true,\
                              policies.exceptionNamespaces={policies,team},audit.interval=1h";
    let own = format!("policies.files={}", json!({"own.cel": OWN}));
    let reads = r#"rbac.extraReads=[{"apiGroup":"","resources":["secrets"]}]"#;
    let none: [&str; 0] = [];
    let all = |set: &str| -> Vec<String> {
        let own = ["--set-json", &own, "--set-json", reads];
        let set = format!("{EVERYTHING},rbac.authorizer=true,{set}");
        own.into_iter()
            .map(str::to_owned)
            .chain(["--set".to_owned(), set])
            .collect()
    };
    let one = |set: &str| vec!["--set".to_owned(), set.to_owned()];
    let by_chart = format!("{CERT_MANAGER},webhooks.registration=chart");
    let rows = [
        none.map(str::to_owned).to_vec(),
        one(CERT_MANAGER),
        one(MOUNTED),
        one(&by_chart),
        one("policies.namespace=policies"),
        one("policies.cluster=labelled"),
        one("policies.namespace=default,policies.cluster=labelled"),
        one("policies.exceptionNamespaces={team,other}"),
        one("policies.namespace=team,policies.exceptionNamespaces={team}"),
        one("events=true"),
        one("events=true,mode=audit"),
        one("audit.interval=1h"),
        one("audit.interval=1h,audit.reports=openreports.io"),
        one("audit.interval=1h,audit.reports=wgpolicyk8s.io"),
        one("audit.interval=1h,audit.reports=none"),
        one("audit.reports=wgpolicyk8s.io"),
        all("audit.reports=wgpolicyk8s.io"),
        all(&format!("{MOUNTED},mode=audit")),
        all(&format!("{by_chart},audit.interval=")),
    ];
    for row in rows {
        let row: Vec<&str> = row.iter().map(String::as_str).collect();
        let rendered = objects("default", &row);
        let mut needed = needed(&rendered);
        // The Secret comes with the chart.
        needed.remove(&Right {
            verb: "create".to_owned(),
            group: String::new(),
            resource: "secrets".to_owned(),
            namespace: NAMESPACE.to_owned(),
            name: String::new(),
        });
        assert_eq!(granted(&rendered), needed, "{row:?}");
    }
}

/// Where the certificate of a replica is from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Certificate {
    Own,
    Mounted,
    OfCertManager,
}

/// What is chosen, and what the cluster has.
struct Choice {
    set: &'static str,
    certificate: Certificate,
    served: &'static [Reports],
    /// Where reports are to be.
    reports: Option<Reports>,
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs helm and kube-apiserver; tests/chart/build, tests/kube-apiserver/build"]
async fn every_right_of_the_chart_is_used_and_none_is_missing() {
    let choice = Choice {
        set: "certificates.mode=self,audit.interval=1s",
        certificate: Certificate::Own,
        served: &[Reports::PolicyReports],
        reports: Some(Reports::PolicyReports),
    };
    choice.is_used_up().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs helm and kube-apiserver; tests/chart/build, tests/kube-apiserver/build"]
async fn nor_is_any_where_the_certificate_is_mounted() {
    let choice = Choice {
        set: "certificates.mode=mounted,certificates.mounted.secretName=a,audit.interval=1s",
        certificate: Certificate::Mounted,
        served: &Reports::ALL,
        reports: Some(Reports::OpenReports),
    };
    choice.is_used_up().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs helm and kube-apiserver; tests/chart/build, tests/kube-apiserver/build"]
async fn nor_is_any_where_the_chart_registers_the_webhooks() {
    let choice = Choice {
        set: "certificates.mode=certManager,webhooks.registration=chart",
        certificate: Certificate::OfCertManager,
        served: &[],
        reports: None,
    };
    choice.is_used_up().await;
}

impl Choice {
    /// Installs the chart so, beside all else that can be chosen, and has the program use it.
    async fn is_used_up(&self) {
        let mut world = World::start().await;
        self.prepare(&world).await;
        let set = "policies.namespace=policies,policies.cluster=labelled,rbac.authorizer=true,\
                   events=true,policies.exceptionNamespaces={policies,team}";
        let set = format!("{set},{}", self.set);
        let set = ["--set", &set];
        let installed = match self.certificate {
            // Without cert-manager in the cluster nothing of it can be installed.
            Certificate::OfCertManager => {
                make_namespace(&world.admin, NAMESPACE).await;
                let rendered = objects("default", &set);
                let is_role = |it: &&Value| it["apiVersion"] == "rbac.authorization.k8s.io/v1";
                let roles = rendered.iter().filter(is_role).cloned();
                for object in roles.chain(exceptions::definition()) {
                    apply(&world.admin, &object).await.unwrap();
                }
                rendered
            }
            Certificate::Own | Certificate::Mounted => {
                let install = ["install", RELEASE, "portcullis", "--create-namespace"];
                world.helm(&[&install[..], &set].concat()).await;
                documents(&world.helm(&["get", "manifest", RELEASE]).await.out)
            }
        };
        let rights = granted(&installed);
        let user = account(NAMESPACE, RELEASE);
        in_force(&world.admin, &user, &rights).await;
        let rights = (&*user, &rights);
        let begin = async |world: &mut World| self.first_days(world, &installed).await;
        let program = live(&mut world, |it| &it.server, rights, begin).await;
        program.stop().await;
    }

    async fn prepare(&self, world: &World) {
        for definition in defaults::definitions() {
            apply(&world.admin, &definition).await.unwrap();
        }
        for api in self.served {
            for definition in defaults::of_reports(*api) {
                apply(&world.admin, &definition).await.unwrap();
            }
            eventually("reports are served", || async {
                let served = world
                    .admin
                    .list_api_group_resources(api.api_version())
                    .await;
                served.ok().filter(|it| it.resources.len() == 2)
            })
            .await;
        }
        for namespace in ["policies", "team", "closed"] {
            make_namespace(&world.admin, namespace).await;
        }
        let labels = json!({"portcullis.dev/policy": ""});
        let objects = [
            json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "mine", "namespace": "policies", "labels": labels},
                "data": {"mine.cel": MINE, "names.cel": NAMES},
            }),
            json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "bad", "namespace": "team"},
            }),
        ];
        for object in objects.iter().chain(&broken()) {
            apply(&world.admin, object).await.unwrap();
        }
    }

    async fn first_days(&self, world: &World, installed: &[Value]) -> Process {
        let certs = TempDir::new().unwrap();
        let name = format!("{RELEASE}.{NAMESPACE}.svc");
        let mut launch = world.launch_as(installed);
        let arguments = arguments(installed);
        launch = launch.args(arguments.iter().map(String::as_str));
        if self.certificate != Certificate::Own {
            launch = mounted(launch, &certs, &name);
        }
        let program = launch.start().await;
        if self.certificate != Certificate::OfCertManager {
            world.lead_to(&program).await;
        }
        eventually("the policy is in force", || async {
            let policies = program.policies().await.to_string();
            policies.contains("configmap/policies/mine").then_some(())
        })
        .await;
        let secrets: Api<Secret> = Api::namespaced(world.admin.clone(), NAMESPACE);
        let authorities = eventually("there is a certificate", || async {
            let authorities = match self.certificate {
                Certificate::Own => {
                    let data = secrets.get("portcullis-certs").await.unwrap().data?;
                    data.get("ca.crt")?.clone()
                }
                Certificate::Mounted | Certificate::OfCertManager => {
                    ByteString(std::fs::read(certs.path().join("ca.crt")).unwrap())
                }
            };
            let ready = ask(program.admin, Method::GET, "/readyz").await;
            (ready.status == 200).then_some(authorities.0)
        })
        .await;
        let about = ("configmaps", "ConfigMap");
        let called = (&*name, &*authorities);
        let user = account(NAMESPACE, RELEASE);
        let told = (&program, &world.server);
        have_a_controller_told(told, called, (about, "closed"), &user).await;
        if let Some(api) = self.reports {
            keeps_reports(&world.admin, &program, api).await;
        }
        program
    }
}

fn mounted(launch: Launch, certs: &TempDir, name: &str) -> Launch {
    let hour = Duration::from_secs(3600);
    let issued = issue(&[name.to_owned()], SystemTime::now(), hour).unwrap();
    for (file, text) in [
        ("tls.crt", issued.certificate),
        ("tls.key", issued.key),
        ("ca.crt", issued.authority),
    ] {
        std::fs::write(certs.path().join(file), text).unwrap();
    }
    launch.certs(certs.path())
}

/// What authors are told of: a ConfigMap without a policy, and a policy of the name of a built-in one.
fn broken() -> [Value; 2] {
    let labels = json!({"portcullis.dev/policy": ""});
    [
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "broken", "namespace": "policies", "labels": labels},
            "data": {"policy": "true"},
        }),
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": "meshery-replicas", "labels": labels},
            "spec": {
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE"],
                    "resources": ["endpoints"],
                }]},
                "validations": [{"expression": "true"}],
            },
        }),
    ]
}

/// Waits until reports are written, and those removed that are not to be.
async fn keeps_reports(admin: &Client, program: &Process, reports: Reports) {
    eventually("a scan has ended", || async {
        let page = ask(program.admin, Method::GET, "/metrics").await;
        let log = program.log();
        assert!(!log.contains("cannot be scanned"), "{log}");
        let series = "portcullis_audits_total{reason=\"ok\"}";
        page.text().contains(series).then_some(())
    })
    .await;
    let (group, version) = reports.api_version().split_once('/').unwrap();
    for is_namespaced in [true, false] {
        let kind = GroupVersionKind::gvk(group, version, reports.kind(is_namespaced));
        let resource = ApiResource::from_gvk_with_plural(&kind, reports.plural(is_namespaced));
        let api: Api<DynamicObject> = Api::all_with(admin.clone(), &resource);
        let first = eventually("there is a report", || async {
            let found = api.list(&ListParams::default()).await.unwrap();
            found.items.into_iter().next()
        })
        .await;
        // One of the server's own that nothing is said in any more.
        let mut old = first;
        let name = format!("{}-old", old.metadata.name.unwrap());
        let of = std::mem::take(&mut old.metadata.namespace);
        old.metadata.name = Some(name.clone());
        old.metadata.resource_version = None;
        old.metadata.uid = None;
        old.metadata.managed_fields = None;
        let place: Api<DynamicObject> = match &of {
            Some(namespace) => Api::namespaced_with(admin.clone(), namespace, &resource),
            None => Api::all_with(admin.clone(), &resource),
        };
        place.create(&PostParams::default(), &old).await.unwrap();
        eventually("it is removed", || async {
            place.get_opt(&name).await.unwrap().is_none().then_some(())
        })
        .await;
    }
}
