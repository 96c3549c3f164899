//! What helm makes of the chart, without a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::time::SystemTime;

use portcullis::certs::authority;
use portcullis::serve::config::{Flags, resolve};
use portcullis::text::Source;
use portcullis::webhook::tls;
use serde_json::Value;
use tempfile::TempDir;

use super::helm::{self, VALUES, helm, objects, template, try_release, try_template};
use super::support::process::{Launch, Process};
use super::{path, title};

#[test]
#[ignore = "needs helm; tests/chart/build"]
fn helm_finds_nothing_to_complain_of() {
    for name in VALUES {
        let values = helm::values(name);
        let said = helm([
            "lint",
            "--strict",
            "portcullis",
            "--values",
            values.to_str().unwrap(),
        ]);
        assert!(said.is_success, "{name}: {}{}", said.out, said.err);
    }
}

#[test]
#[ignore = "needs helm; tests/chart/build"]
fn what_may_only_record_is_asked_about_where_it_is_decided() {
    let registered = "webhooks.registration=chart,certificates.mode=certManager";
    let ignored = |set: &str| {
        let rendered = objects("default", &["--set", registered, "--set", set]);
        let configuration = super::only(&rendered, "ValidatingWebhookConfiguration");
        let webhooks = configuration["webhooks"].as_array().unwrap().clone();
        let (fail, ignore): (Vec<Value>, Vec<Value>) = webhooks
            .into_iter()
            .partition(|it| it["failurePolicy"] == "Fail");
        assert_eq!(fail.len(), 1, "{set}");
        let ignore = ignore.first().map(|it| {
            assert_eq!(it["rules"], fail[0]["rules"], "{set}");
            it["clientConfig"]["service"]["path"].clone()
        });
        ignore.is_some_and(|path| path == "/validate/ignore")
    };
    for (set, expected) in [
        ("profile=production", false),
        ("profile=strict", false),
        ("profile=baseline", true),
        ("policies.packs.kuma.action=audit", true),
        ("policies.packs.kuma.action=warn", false),
        ("policies.packs.kuma.profile=baseline", true),
        ("policies.overrides.meshery-replicas.action=audit", true),
        ("policies.overrides.meshery-replicas.enabled=false", false),
    ] {
        assert_eq!(ignored(set), expected, "{set}");
    }
}

#[test]
#[ignore = "needs helm; tests/chart/build"]
fn what_is_excluded_is_so_whoever_registers() {
    let set = "webhooks.excludedNamespaces={calico-system},webhooks.timeoutSeconds=3";
    let by_server = objects("default", &["--set", set]);
    let configuration = by_server.iter().find(|it| it["kind"] == "ConfigMap");
    let text = &configuration.unwrap()["data"]["portcullis.yaml"];
    let written = "webhooks:\n  excludedNamespaces: [\"calico-system\"]\n  timeoutSeconds: 3\n";
    assert!(text.as_str().unwrap().contains(written), "{text}");
    let set = format!("{set},certificates.mode=certManager,webhooks.registration=chart");
    let by_chart = objects("default", &["--set", &set]);
    let is_configuration = |it: &&Value| it["kind"] == "ValidatingWebhookConfiguration";
    let webhook = &by_chart.iter().find(is_configuration).unwrap()["webhooks"][0];
    assert_eq!(webhook["timeoutSeconds"], 3);
    let excluded = &webhook["namespaceSelector"]["matchExpressions"][0]["values"];
    assert!(excluded.to_string().contains("calico-system"), "{excluded}");
}

#[test]
#[ignore = "needs helm; tests/chart/build"]
fn what_the_chart_registers_locks_nobody_out() {
    let published = "policies.namespace=rules,policies.cluster=labelled,\
                     policies.exceptionNamespaces={team,rules}";
    for (values, set) in [
        ("everything", "replicas=3"),
        ("everything", published),
        (
            "mounted",
            "webhooks.registration=chart,certificates.mounted.caBundle=LS0t",
        ),
    ] {
        let folder = TempDir::new().unwrap();
        fs::write(
            folder.path().join("chart.yaml"),
            template(values, &["--set", set]),
        )
        .unwrap();
        let linted = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["lint", "chart.yaml"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&linted.stderr).into_owned();
        let said = said + &String::from_utf8_lossy(&linted.stdout);
        assert!(!said.contains("registration/lock-out"), "{values}: {said}");
        let counted = said.contains("2 webhook configurations") || values == "mounted";
        assert!(counted && said.contains("webhook configuration"), "{said}");
    }
}

#[test]
#[ignore = "needs helm; tests/chart/build"]
fn what_is_rendered_is_as_recorded() {
    insta::assert_snapshot!("default", template("default", &[]));
    insta::assert_snapshot!("everything", template("everything", &[]));
    insta::assert_snapshot!("mounted", template("mounted", &[]));
    let file = ["--show-only", "templates/configmap.yaml"];
    insta::assert_snapshot!("published", template("published", &file));
}

#[test]
#[ignore = "needs helm; tests/chart/build"]
fn what_cannot_be_meant_is_refused() {
    let rows: [(&[&str], &str); 51] = [
        (&["audit.interval=often"], "/audit/interval"),
        (&["audit.interval=0h0m"], "/audit/interval"),
        (&["audit.reports=kyverno"], "/audit/reports"),
        (
            &[
                "audit.interval=1h",
                "certificates.mode=certManager",
                "webhooks.registration=chart",
            ],
            "audit.interval: scans need webhooks.registration=server",
        ),
        (&["mode=dryrun"], "/mode"),
        (&["profile=lax"], "/profile"),
        (&["replicas=0"], "/replicas"),
        (
            &["replica=3"],
            "additional properties 'replica' not allowed",
        ),
        (&["image.repository="], "/image/repository"),
        (&["image.tag=latest"], "/image/tag"),
        (&["image.digest=sha256:12"], "/image/digest"),
        (&["certificates.mode=none"], "/certificates/mode"),
        (
            &["disruptionBudget.maxUnavailable=0"],
            "/disruptionBudget/maxUnavailable",
        ),
        (
            &["disruptionBudget.maxUnavailable=100%"],
            "/disruptionBudget/maxUnavailable",
        ),
        (&["webhooks.timeoutSeconds=31"], "/webhooks/timeoutSeconds"),
        (
            &["webhooks.excludedNamespaces={a.b}"],
            "/webhooks/excludedNamespaces",
        ),
        (
            &["webhooks.excludeNamespaces={a}"],
            "additional properties 'excludeNamespaces' not allowed",
        ),
        (
            &[
                "webhooks.ignore[0].apiGroups={apps}",
                "webhooks.ignore[0].apiVersions={v1}",
                "webhooks.ignore[0].resources={deployments}",
                "webhooks.ignore[0].operations={CREATE}",
            ],
            "/webhooks/ignore",
        ),
        (
            &[
                "webhooks.mutating.fail[0].apiGroups={apps}",
                "webhooks.mutating.fail[0].apiVersions={v1}",
                "webhooks.mutating.fail[0].resources={deployments}",
                "webhooks.mutating.fail[0].operations={CREATE}",
            ],
            "/webhooks/mutating/fail",
        ),
        (
            &["policies.overrides.mtls-strict.mutate=often"],
            "/policies/overrides/mtls-strict/mutate",
        ),
        (
            &["policies.packs.kuma.profile=lax"],
            "/policies/packs/kuma/profile",
        ),
        (
            &["policies.files.readme=text"],
            "invalid propertyName 'readme'",
        ),
        (&["limits.bodys=1MiB"], "/limits"),
        (&["limits.body=abc"], "/limits/body"),
        (&["limits.cache=0"], "/limits/cache"),
        (
            &["limits.body=512MiB"],
            "limits.body: one review may be larger",
        ),
        (
            &["limits.bodies=8388608"],
            "limits.body: one review may be larger",
        ),
        (&["limits.connections=ten"], "/limits/connections"),
        (&["limits.streams=0"], "/limits/streams"),
        (&["limits.idle=0s"], "/limits/idle"),
        (&["limits.handshake=5"], "/limits/handshake"),
        (&["limits.timeout=31s"], "/limits/timeout"),
        (&["log.level=nonsense"], "/log/level"),
        (&["log.level=info\\,portcullis=loud"], "/log/level"),
        (&["audit.interval=0s"], "/audit/interval"),
        (&["monitoring.interval=0s"], "/monitoring/interval"),
        (&["traces.endpoint=http://a b"], "/traces/endpoint"),
        (&["fullnameOverride=1a"], "/fullnameOverride"),
        (&["image.repository=portcullis:1"], "/image/repository"),
        (
            &[r"podLabels.app\.kubernetes\.io/name=mine"],
            "invalid propertyName 'app.kubernetes.io/name'",
        ),
        (&["podLabels.team=a b"], "/podLabels/team"),
        (
            &[r"monitoring.labels.helm\.sh/chart=mine"],
            "invalid propertyName 'helm.sh/chart'",
        ),
        (
            &["podAnnotations.checksum/configuration=1"],
            "invalid propertyName 'checksum/configuration'",
        ),
        (
            &[
                "certificates.mode=certManager",
                "certificates.certManager.renewBefore=2160h0m",
            ],
            "certificates.certManager.renewBefore: a certificate is renewed before it ends",
        ),
        (
            &[
                "certificates.mode=certManager",
                "certificates.certManager.renewBefore=4m59s",
            ],
            "certificates.certManager.renewBefore: cert-manager takes five minutes",
        ),
        (
            &[
                "certificates.mode=certManager",
                "certificates.certManager.duration=59m",
            ],
            "certificates.certManager.duration: cert-manager issues for an hour",
        ),
        (
            &["policies.builtIn=false"],
            "there is nothing in files or configMaps",
        ),
        (
            &[
                "certificates.mode=mounted",
                "certificates.mounted.caBundle=LS0t",
            ],
            "certificates.mounted.secretName",
        ),
        (
            &[
                "certificates.mode=mounted",
                "certificates.mounted.secretName=a",
                "webhooks.registration=chart",
            ],
            "certificates.mounted.caBundle",
        ),
        (&["webhooks.registration=none"], "/webhooks/registration"),
        (
            &["webhooks.registration=chart"],
            "with certificates.mode=self the server registers itself",
        ),
    ];
    for (values, expected) in rows {
        let set: Vec<&str> = values.iter().flat_map(|value| ["--set", value]).collect();
        let said = try_template("default", &set);
        assert!(!said.is_success, "{values:?} was taken");
        assert!(said.err.contains(expected), "{values:?}: {}", said.err);
    }
}

#[test]
#[ignore = "needs helm; tests/chart/build"]
fn what_the_program_takes_is_not_refused() {
    for set in [
        "log.level=off",
        r"log.level=info\,portcullis::serve=debug\,h2[stream{id=1}]=trace",
        "limits.body=8388608,limits.bodies=64 MiB,limits.cache=1GiB",
        "limits.timeout=1.5s,limits.idle=1h30m,limits.headers=500ms",
        "limits.connections=2048,limits.streams=1,limits.concurrency=2",
        "audit.interval=1h30m",
        "traces.endpoint=https://[::1]:4318/v1/traces",
        "image.repository=localhost:5000/team/portcullis",
        "podLabels.team=a_b.c,podLabels.on=",
    ] {
        let rendered = objects("default", &["--set", set]);
        let folder = configuration(&rendered);
        let file = folder.path().join("portcullis.yaml");
        let text = fs::read_to_string(&file).unwrap();
        let source = Source::new(file.to_str().unwrap(), text);
        let (_, findings) = resolve(&Flags::new(), [], Some(&source));
        assert!(findings.is_empty(), "{set}: {findings:?}");
    }
}

#[test]
#[ignore = "needs helm; tests/chart/build"]
fn names_that_yaml_takes_for_something_else_are_names() {
    let odd = ["n", "on", "null", "true", "123", "1e3", "0x1f"];
    for (at, name) in odd.into_iter().enumerate() {
        let other = odd[(at + 1) % odd.len()];
        let sets = format!("policies.namespace={other},policies.exceptionNamespaces={{{name}}}");
        let more = format!(
            "serviceAccount.name={name},priorityClassName={name},policies.configMaps={{{name}}},\
             certificates.certManager.issuerRef.name={name},podLabels.of={name}"
        );
        for values in VALUES {
            let set = ["--set-string", &sets, "--set-string", &more];
            let said = try_release((name, other), values, &set);
            assert!(said.is_success, "{name} {values}: {}", said.err);
            for object in super::documents(&said.out) {
                let metadata = &object["metadata"];
                assert!(metadata["name"].is_string(), "{name} {values}: {object}");
                assert_ne!(
                    metadata.get("namespace"),
                    Some(&Value::Null),
                    "{name} {values}: {object}"
                );
                let of_names = strings_of(&object, &NAMED);
                assert!(!of_names.is_empty(), "{object}");
                for value in of_names {
                    assert!(value.is_string(), "{name} {values}: {value} in {object}");
                }
                let release = &metadata["labels"]["app.kubernetes.io/instance"];
                assert_eq!(release, name, "{values}");
                if object["kind"] == "Service" {
                    let service = metadata["name"].as_str().unwrap();
                    assert!(
                        service.starts_with(|c: char| c.is_ascii_lowercase()),
                        "a Service may not be called {service}"
                    );
                }
            }
        }
    }
}

/// Keys whose values are names, or say whose something is.
const NAMED: [&str; 9] = [
    "name",
    "namespace",
    "secretName",
    "serviceAccountName",
    "priorityClassName",
    "app.kubernetes.io/instance",
    "commonName",
    "of",
    "caBundle",
];

/// The values of these keys wherever they are.
fn strings_of<'v>(value: &'v Value, keys: &[&str]) -> Vec<&'v Value> {
    match value {
        Value::Object(entries) => {
            let found = entries.iter().flat_map(|(key, value)| {
                let below = strings_of(value, keys);
                let own = keys.contains(&key.as_str()).then_some(value);
                own.into_iter().chain(below)
            });
            found.collect()
        }
        Value::Array(items) => items.iter().flat_map(|it| strings_of(it, keys)).collect(),
        _ => Vec::new(),
    }
}

#[test]
#[ignore = "needs helm; tests/chart/build"]
fn an_older_cluster_is_refused() {
    let said = try_template("default", &["--kube-version", "1.29.9"]);
    assert!(said.err.contains(">=1.30.0-0"), "{}", said.err);
}

#[test]
#[ignore = "needs helm; tests/chart/build"]
fn long_names_are_cut() {
    let release = "a".repeat(53);
    let arguments = [
        "template",
        &release,
        "portcullis",
        "--namespace",
        &"n".repeat(63),
    ];
    let said = helm(arguments.into_iter().chain(["--kube-version", "1.36.0"]));
    assert!(said.is_success, "{}", said.err);
    for object in super::documents(&said.out) {
        let name = object["metadata"]["name"].as_str().unwrap();
        // What is the cluster's has the namespace in its name.
        let is_namespaced = object["metadata"]["namespace"].is_string();
        let most = if is_namespaced { 63 } else { 253 };
        assert!(name.len() <= most, "{}", title(&object));
        let labels = object["metadata"]["labels"].as_object().unwrap();
        assert!(
            labels.values().all(|it| it.as_str().unwrap().len() <= 63),
            "{labels:?}"
        );
    }
}

#[test]
#[ignore = "needs helm; tests/chart/build"]
fn releases_have_nothing_in_common() {
    let releases = [
        ("portcullis", "portcullis-system"),
        ("portcullis", "other"),
        ("portcullis-system-portcullis", "other"),
        ("gate", "portcullis-system"),
        ("gate", "other"),
    ];
    for mode in ["self", "certManager"] {
        let set = format!("certificates.mode={mode},monitoring.enabled=true");
        let mut owners = BTreeMap::new();
        for release in releases {
            let said = try_release(release, "default", &["--set", &set]);
            assert!(said.is_success, "{}", said.err);
            for object in super::documents(&said.out) {
                let namespace = object["metadata"]["namespace"].as_str();
                let identity = (title(&object), namespace.map(str::to_owned));
                let other = owners.insert(identity, release);
                assert!(
                    other.is_none(),
                    "{}: {release:?} and {other:?}",
                    title(&object)
                );
            }
        }
    }
}

#[test]
#[ignore = "needs helm; tests/chart/build"]
fn the_manifests_of_cert_manager_say_what_the_chart_says() {
    let rendered = objects("default", &["--set", "certificates.mode=certManager"]);
    let text = fs::read_to_string(path("certs/cert-manager.yaml")).unwrap();
    // Labels, and what is said of names, are the chart's own.
    let without_labels = |object: &Value| {
        let mut object = object.clone();
        object["metadata"].as_object_mut().unwrap().remove("labels");
        object
    };
    let written: Vec<_> = super::documents(&text).iter().map(without_labels).collect();
    let of_cert_manager = rendered.iter().filter(|object| {
        let version = object["apiVersion"].as_str().unwrap();
        version.starts_with("cert-manager.io/")
    });
    // helm sorts them by kind.
    let mut rendered: Vec<_> = of_cert_manager.map(without_labels).collect();
    let place = |object: &Value| {
        written
            .iter()
            .position(|other| title(other) == title(object))
    };
    rendered.sort_by_key(place);
    assert_eq!(rendered, written);
}

/// Starts the program with the configuration that the chart renders, as in its container.
pub(super) async fn serve(values: &str) -> Process {
    let folder = configuration(&objects(values, &[]));
    let certs = folder.path().join("certs");
    authority::ensure(&certs, SystemTime::now(), &tls::provider()).unwrap();
    let launch = Launch::in_folder(folder).certs(&certs);
    launch
        .args(["--config", "portcullis.yaml", "--cluster", "none"])
        .start()
        .await
}

/// Writes the configuration that was rendered, and its policies, into a folder as they are in a container.
pub(super) fn configuration(objects: &[Value]) -> TempDir {
    let maps = objects
        .iter()
        .filter(|object| object["kind"] == "ConfigMap");
    let maps: Vec<&Value> = maps.collect();
    let text = maps
        .iter()
        .find_map(|map| map["data"]["portcullis.yaml"].as_str());
    let folder = TempDir::new().unwrap();
    let root = folder.path().to_str().unwrap();
    for name in ["portcullis-policies", "others", "gate-rules"] {
        fs::create_dir_all(folder.path().join("policies").join(name)).unwrap();
    }
    // Those that the chart does not make.
    let about = "// ---\n// match: {resources: [v1/pods]}\n// ---\n\n// @require nothing\ntrue\n";
    for name in ["others", "gate-rules"] {
        fs::write(
            folder.path().join("policies").join(name).join("mine.cel"),
            about,
        )
        .unwrap();
    }
    for map in maps
        .iter()
        .filter(|map| map["data"].get("portcullis.yaml").is_none())
        // The dashboard is for Grafana.
        .filter(|map| map["data"].get("portcullis.json").is_none())
    {
        let inside = folder
            .path()
            .join("policies")
            .join(map["metadata"]["name"].as_str().unwrap());
        fs::create_dir_all(&inside).unwrap();
        for (name, text) in map["data"].as_object().unwrap() {
            fs::write(inside.join(name), text.as_str().unwrap()).unwrap();
        }
    }
    let built_in = path("policies");
    let text = text.unwrap();
    let text = text.replace("/usr/share/portcullis/policies", built_in.to_str().unwrap());
    fs::write(
        folder.path().join("portcullis.yaml"),
        text.replace("/etc/portcullis", root),
    )
    .unwrap();
    folder
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs helm; tests/chart/build"]
async fn the_program_takes_the_configuration_that_is_rendered() {
    for (values, mode, own) in [
        ("default", "enforce", vec![]),
        ("everything", "audit", vec!["mine", "owners"]),
        ("mounted", "enforce", vec!["mine"]),
    ] {
        let program = serve(values).await;
        let policies = program.policies().await;
        assert_eq!(policies["mode"], mode, "{values}");
        assert_eq!(policies["problems"], serde_json::json!([]), "{values}");
        let names: BTreeSet<&str> = policies["policies"]
            .as_array()
            .unwrap()
            .iter()
            .map(|policy| policy["name"].as_str().unwrap())
            .collect();
        assert_eq!(
            names.contains("meshery-replicas"),
            values != "mounted",
            "{names:?}"
        );
        for name in own {
            assert!(names.contains(name), "{values}: {names:?}");
        }
        program.stop().await;
    }
}
