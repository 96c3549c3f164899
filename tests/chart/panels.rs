//! What the dashboard shows of a server that had something to tell of everything.
//!
//! Its page of metrics is read twice, and Prometheus' own evaluation asks each panel's question of what
//! changed between. So a panel that asks for labels that no series has is found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use hyper::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::cluster::{World, apply, make_namespace};
use super::helm::NAMESPACE;
use super::monitoring::{filled, promtool, questions};
use super::support::client::{Client, ask};
use super::support::eventually;
use super::support::process::{Launch, Process, respond};

/// One policy for each thing that there is to be told.
const POLICIES: [(&str, &str); 7] = [
    ("denies", "// @require no\nfalse\n"),
    ("tries", "// action: audit\n// @require no\nfalse\n"),
    (
        "changes",
        "// action: audit\n// mutate: true\n// @patch\n[JSONPatch{op: 'add', path: '/data', value: {'a': 'b'}}]\n",
    ),
    ("warns", "// action: warn\n// @require no\nfalse\n"),
    ("fails", "// @require a key\nobject.data.key == 'a'\n"),
    ("excused", "// @require no\nfalse\n"),
    (
        "reads",
        "// reads: [v1/LimitRange]\n// @require nothing\ncluster.list('v1', 'LimitRange', '').size() >= 0\n",
    ),
];

const EXCEPTION: &str = "apiVersion: portcullis.dev/v1alpha1
kind: PolicyException
metadata: {name: leave}
spec:
  policies: [excused]
  match: {resources: [v1/configmaps]}
  reason: it is told of
  owner: ann
  expires: 2100-01-01
";

/// Panels that are empty while all is well: what they compare with nothing is looked at instead.
const EMPTY_WHEN_WELL: [&str; 1] = ["Stale"];

async fn start(world: &World, mode: &str) -> Process {
    let policies: Vec<(String, String)> = POLICIES
        .iter()
        .map(|(name, text)| {
            let sections = text.find("// @").unwrap();
            let (front_matter, sections) = text.split_at(sections);
            let text = format!(
                "// ---\n// match: {{resources: [v1/configmaps]}}\n{front_matter}// ---\n{sections}"
            );
            (format!("{name}.cel"), text)
        })
        .chain([("leave.yaml".to_owned(), EXCEPTION.to_owned())])
        .collect();
    let policies: Vec<(&str, &str)> = policies.iter().map(|(a, b)| (&**a, &**b)).collect();
    let kubeconfig = world.server.kubeconfig("admin");
    Launch::new()
        .policies(&policies)
        .args(["--kubeconfig", kubeconfig.to_str().unwrap()])
        .args(["--mode", mode, "--decision-log", "decisions.jsonl"])
        // Nobody listens there.
        .args(["--traces-endpoint", "http://127.0.0.1:9"])
        .env("PORTCULLIS_EVENTS", "true")
        .env("PORTCULLIS_AUDIT_INTERVAL", "1s")
        .start()
        .await
}

/// Has everything happen once.
async fn traffic(client: &mut Client) {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u", "operation": "CREATE", "name": "some", "namespace": "shop",
            "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
            "resource": {"group": "", "version": "v1", "resource": "configmaps"},
            "userInfo": {"username": "ann"}, "dryRun": false,
            "object": config_map(),
        },
    });
    for path in ["/validate", "/validate/ignore", "/mutate/ignore"] {
        respond(client, path, &review).await;
    }
}

fn config_map() -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "some", "namespace": "shop"},
    })
}

async fn page(program: &Process) -> String {
    let page = ask(program.admin, Method::GET, "/metrics").await;
    page.text().to_owned()
}

/// The series of a page with the labels that Prometheus gives them.
fn scraped(page: &str) -> BTreeMap<String, String> {
    let target = format!("namespace=\"{NAMESPACE}\",service=\"portcullis-metrics\",pod=\"a\"");
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let mut series: BTreeMap<String, String> = lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = format!(",{}", labels.strip_suffix('}').unwrap());
            let labels = labels.replace(",namespace=\"", ",exported_namespace=\"");
            let labels = labels.trim_end_matches(',');
            (format!("{name}{{{target}{labels}}}"), value.to_owned())
        })
        .collect();
    series.insert(format!("up{{{target}}}"), "1".to_owned());
    series
}

/// Series that were those of the first page for six minutes, and then those of the second.
fn input(first: &str, second: &str) -> Vec<Value> {
    let (first, second) = (scraped(first), scraped(second));
    let names: BTreeSet<&String> = first.keys().chain(second.keys()).collect();
    let input = names.into_iter().map(|name| {
        let mut values = String::new();
        for page in [&first, &second] {
            for _ in 0..6 {
                let value = page.get(name).map_or("_", String::as_str);
                write!(values, "{value} ").unwrap();
            }
        }
        json!({"series": name, "values": values.trim_end()})
    });
    input.collect()
}

/// Returns the page of a server in a mode after each of two rounds.
async fn rounds(world: &World, mode: &str) -> (String, String) {
    let program = start(world, mode).await;
    eventually("the program is ready", || async {
        let answer = ask(program.admin, Method::GET, "/readyz").await;
        (answer.status == 200).then_some(())
    })
    .await;
    let mut client = program.client().await;
    traffic(&mut client).await;
    let first = eventually("the cluster is scanned", || async {
        let page = page(&program).await;
        page.contains("portcullis_audit_violations{")
            .then_some(page)
    })
    .await;
    traffic(&mut client).await;
    let second = page(&program).await;
    program.stop().await;
    (first, second)
}

/// Asks how many series each question has, some time after the second round.
fn answered((first, second): &(String, String), questions: &[(String, String, usize)]) {
    let questions = questions.iter().map(|(title, expression, expected)| {
        // The title is in what promtool says of an answer that is another.
        json!({
            "expr": format!("label_replace(count({expression}), 'panel', '{title}', '', '')"),
            "eval_time": "8m",
            "exp_samples": [{"labels": format!("{{panel=\"{title}\"}}"), "value": expected}],
        })
    });
    let tests = json!({
        "evaluation_interval": "1m",
        "tests": [{
            "interval": "1m",
            "input_series": input(first, second),
            "promql_expr_test": questions.collect::<Vec<Value>>(),
        }],
    });
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("tests.yaml"), tests.to_string()).unwrap();
    promtool(folder.path(), ["test", "rules", "tests.yaml"]);
}

/// The policies that a panel shows in a mode.
const SHOWN: [(&str, &str, &str, usize); 5] = [
    ("enforce", "Denials", "denies", 1),
    ("enforce", "Would be denied", "tries", 1),
    ("enforce", "Would be changed", "changes", 1),
    ("audit", "Would be denied", "denies|tries|fails", 3),
    ("audit", "Would be changed", "changes", 1),
];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs helm, promtool and kube-apiserver; tests/chart/build, tests/kube-apiserver/build"]
async fn every_panel_shows_something_of_a_server_that_has_something_to_tell() {
    let world = World::start().await;
    make_namespace(&world.admin, "shop").await;
    apply(&world.admin, &config_map()).await.unwrap();
    let all: Vec<(String, String)> = questions()
        .into_iter()
        .map(|(title, expression)| {
            let expression = match EMPTY_WHEN_WELL.contains(&&*title) {
                true => expression.trim_end_matches(" > 0").to_owned(),
                false => expression,
            };
            (title, filled(&expression))
        })
        .collect();
    for mode in ["enforce", "audit"] {
        let pages = rounds(&world, mode).await;
        let mut asked = Vec::new();
        for (_, title, policies, count) in SHOWN.iter().filter(|it| it.0 == mode) {
            let panels: Vec<_> = all.iter().filter(|it| it.0 == *title).collect();
            assert_eq!(panels.len(), 1, "{title}");
            let expression = &panels[0].1;
            asked.push((format!("{title} in all"), expression.clone(), *count));
            // Of a policy that is none of these nothing is left.
            let of_these =
                expression.replace("{namespace=", &format!("{{policy=~'{policies}',namespace="));
            asked.push((format!("{title} of these"), of_these, *count));
        }
        if mode == "enforce" {
            let something = |(title, expression): &(String, String)| {
                (title.clone(), format!("count({expression}) > 0"), 1)
            };
            asked.extend(all.iter().map(something));
        }
        answered(&pages, &asked);
    }
}
