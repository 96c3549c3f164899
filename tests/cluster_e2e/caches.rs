//! How much of the cluster is kept, and what becomes of what does not fit.

use hyper::Method;
use serde_json::{Value, json};

use super::support::client::ask;
use super::support::eventually;
use super::support::process::Launch;
use super::{ALONE, ApiServer, World, apply, namespace, settings};

const ONE: (&str, &str, &str) = ("admin", "prod", "web-1");

/// A policy about service accounts that decides by ConfigMaps.
fn reading(expression: &str) -> String {
    format!(
        "// ---\n// name: accounts\n// match: {{resources: [v1/serviceaccounts]}}\n\
         // reads: [v1/ConfigMap]\n// ---\n\n// @require the ConfigMaps say so\n{expression}\n"
    )
}

async fn page(world: &World) -> String {
    let answer = ask(world.program.admin, Method::GET, "/metrics").await;
    answer.text().to_owned()
}

/// The value of a gauge about ConfigMaps.
fn of_maps(page: &str, name: &str) -> f64 {
    let series = format!("portcullis_{name}{{api_version=\"v1\",kind=\"ConfigMap\"}} ");
    let value = page.lines().find_map(|line| line.strip_prefix(&series));
    let value = value.unwrap_or_else(|| panic!("no {name} in\n{page}"));
    value.parse().unwrap()
}

/// A ConfigMap as large as many are.
fn large(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "prod", "labels": {"allow": "yes"}},
        "data": {"prefix": "web-", "rest": "x".repeat(50_000)},
    })
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn what_policies_read_is_kept_and_nothing_else() {
    let labels = "cluster.list('v1', 'ConfigMap', 'prod').exists(it, \
                  it.metadata.?labels[?'allow'].orValue('') == 'yes')";
    let objects = [namespace("prod", "prod"), large("one"), large("two")];
    let world = World::start(&[("accounts.cel", &reading(labels))], &objects).await;
    // Nothing but metadata has been sent.
    world.until(ONE, "").await;
    let known = page(&world).await;
    assert!(of_maps(&known, "cache_objects") >= 2.0, "{known}");
    assert!(of_maps(&known, "cache_bytes") < 2000.0, "{known}");
    assert!(of_maps(&known, "cache_synced") == 1.0, "{known}");

    // A policy that reads more comes into force with what it reads: no request is refused for it.
    let text = reading(
        "cluster.get('v1', 'ConfigMap', 'prod', 'one').?data.?prefix.orValue('') == 'api-'",
    );
    std::fs::write(world.program.policy("accounts.cel"), text).unwrap();
    eventually("the other policy", || async {
        let said = world.create(ONE.0, ONE.1, ONE.2).await;
        assert!(!said.contains("not known"), "{said}");
        said.contains("the ConfigMaps say so").then_some(())
    })
    .await;
    let mut other = large("one");
    other["data"]["prefix"] = json!("api-");
    apply(&world.admin, &other).await;
    world.until(ONE, "").await;
    let known = page(&world).await;
    assert!(of_maps(&known, "cache_bytes") < 2000.0, "{known}");

    // What an expression may tell anything about is whole.
    let text = reading("cluster.list('v1', 'ConfigMap', 'prod') != []");
    std::fs::write(world.program.policy("accounts.cel"), text).unwrap();
    eventually("everything is kept", || async {
        (of_maps(&page(&world).await, "cache_bytes") > 100_000.0).then_some(())
    })
    .await;
    world.until(ONE, "").await;
    world.program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kube-apiserver; tests/kube-apiserver/build"]
async fn what_does_not_fit_is_refused_to_who_needs_it_and_to_nobody_else() {
    let alone = ALONE.lock().await;
    let server = ApiServer::start().await;
    let admin = server.client("admin").await;
    for object in [
        namespace("prod", "prod"),
        settings("prod", "web-"),
        large("one"),
    ] {
        apply(&admin, &object).await;
    }
    let text = reading("cluster.list('v1', 'ConfigMap', request.namespace) != []");
    let pods = "// ---\n// match: {resources: [v1/pods]}\n// ---\n// @require x\ntrue\n";
    let kubeconfig = server.kubeconfig("admin");
    let launch = Launch::new().policies(&[("accounts.cel", &text), ("pods.cel", pods)]);
    std::fs::write(
        launch.folder().join("limits.yaml"),
        "limits: {cache: 40KiB}",
    )
    .unwrap();
    let program = launch
        .args(["--kubeconfig", kubeconfig.to_str().unwrap()])
        .args(["--config", "limits.yaml"])
        .args(["--decision-log", "decisions.jsonl"])
        .start()
        .await;
    let world = World {
        server,
        admin,
        program,
        _alone: alone,
    };
    // It is ready: no replica could take more.
    world.ready().await;
    let readyz = world.program.readyz().await;
    assert!(
        readyz.contains("v1/ConfigMap takes more than is left of the 40960 bytes"),
        "{readyz}"
    );
    apply(&world.admin, &world.configuration()).await;
    world.until(ONE, "limits.cache").await;
    let known = page(&world).await;
    assert!(of_maps(&known, "cache_excess") == 1.0, "{known}");
    // What was answered is that it is not known: nothing was admitted or denied.
    assert!(
        known.contains("endpoint=\"validate\",code=\"5xx\""),
        "{known}"
    );
    let counted: Vec<&str> = known
        .lines()
        .filter(|it| it.contains("policy=\"accounts\"") && it.contains("enforcement_action="))
        .filter(|it| !it.ends_with(" 0") && !it.ends_with(" 0.0"))
        .collect();
    assert!(counted.is_empty(), "{counted:?}");
    let log = world.program.folder().join("decisions.jsonl");
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "");
    assert!(of_maps(&known, "cache_synced") == 0.0, "{known}");
    assert!(
        known.contains("portcullis_cache_limit_bytes 40960.0"),
        "{known}"
    );
    // Policies that do not need it decide; this one lets go of it.
    let text = reading("cluster.list('v1', 'ConfigMap', request.namespace).size() > 0");
    std::fs::write(world.program.policy("accounts.cel"), text).unwrap();
    world.until(ONE, "").await;
    let known = page(&world).await;
    let admitted = |line: &str| {
        line.contains("policy=\"accounts\"") && line.contains("enforcement_action=\"allow\"")
    };
    assert!(known.lines().any(admitted), "{known}");
    world.program.stop().await;
}
