//! Alerts and the dashboard: that they are PromQL, ask for metrics that there are, and fire when they
//! should.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use hyper::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::helm::{objects, program};
use super::rendered::serve;
use super::support::client::ask;
use super::{only, path};

/// The groups of the rules that are rendered, without annotations, which are for people.
fn groups() -> Value {
    let objects = objects("everything", &[]);
    let mut groups = only(&objects, "PrometheusRule")["spec"]["groups"].clone();
    for rule in groups[0]["rules"].as_array_mut().unwrap() {
        let annotations = rule.as_object_mut().unwrap().remove("annotations");
        let summary = annotations.unwrap()["summary"].as_str().unwrap().to_owned();
        assert!(summary.ends_with('.'), "{summary}");
    }
    groups
}

/// The panels that ask something, with what they ask.
pub(super) fn questions() -> Vec<(String, String)> {
    let objects = objects("everything", &[]);
    let maps = objects.iter().filter(|it| it["kind"] == "ConfigMap");
    let text = maps.filter_map(|it| it["data"]["portcullis.json"].as_str());
    let text: Vec<&str> = text.collect();
    assert_eq!(text.len(), 1, "dashboards");
    let dashboard: Value = serde_json::from_str(text[0]).unwrap();
    let mut ids = BTreeSet::new();
    let mut questions = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["description"].is_string(), "{title}");
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            questions.push((title.to_owned(), expression.to_owned()));
        }
    }
    questions
}

/// What Grafana fills in.
pub(super) fn filled(expression: &str) -> String {
    let filled = expression
        .replace("$__rate_interval", "5m")
        .replace("$namespace", "portcullis-system")
        .replace("$service", "portcullis-metrics");
    assert!(!filled.contains('$'), "{filled}");
    filled
}

pub(super) fn promtool(folder: &Path, arguments: [&str; 3]) {
    let mut command = Command::new(program("promtool"));
    let said = command
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&said.stdout), text(&said.stderr));
    assert!(said.status.success(), "{arguments:?}: {out}{err}");
}

#[test]
#[ignore = "needs helm and promtool; tests/chart/build"]
fn every_alert_fires_when_it_should_and_not_otherwise() {
    let groups = groups();
    let folder = TempDir::new().unwrap();
    let rules = json!({"groups": groups}).to_string();
    fs::write(folder.path().join("rules.yaml"), rules).unwrap();
    let tests = fs::read_to_string(path("tests/chart/alerts.yaml")).unwrap();
    fs::write(folder.path().join("tests.yaml"), &tests).unwrap();
    promtool(folder.path(), ["check", "rules", "rules.yaml"]);
    promtool(folder.path(), ["test", "rules", "tests.yaml"]);

    let mut tried: BTreeMap<&str, BTreeSet<bool>> = BTreeMap::new();
    let tests = &super::documents(&tests)[0]["tests"];
    let tests: Vec<&Value> = tests
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|test| test["alert_rule_test"].as_array().unwrap())
        .collect();
    for test in tests {
        let fires = test["exp_alerts"]
            .as_array()
            .is_some_and(|it| !it.is_empty());
        let alert = test["alertname"].as_str().unwrap();
        tried.entry(alert).or_default().insert(fires);
    }
    for rule in groups[0]["rules"].as_array().unwrap() {
        let alert = rule["alert"].as_str().unwrap();
        let ways = tried.remove(alert).unwrap_or_default();
        assert_eq!(ways, BTreeSet::from([false, true]), "{alert}");
    }
    assert!(tried.is_empty(), "{tried:?}");
}

#[test]
#[ignore = "needs helm and promtool; tests/chart/build"]
fn every_panel_asks_in_promql() {
    let questions = questions();
    assert!(questions.len() > 20, "{}", questions.len());
    let rules = questions.iter().enumerate().map(|(at, (_, expression))| {
        json!({"record": format!("panel:question:{at}"), "expr": filled(expression)})
    });
    let rules: Vec<Value> = rules.collect();
    let folder = TempDir::new().unwrap();
    let groups = json!({"groups": [{"name": "panels", "rules": rules}]});
    fs::write(folder.path().join("rules.yaml"), groups.to_string()).unwrap();
    promtool(folder.path(), ["check", "rules", "rules.yaml"]);
}

/// Metrics that there are in a cluster alone, the first after a scan; `tests/cluster_e2e/scans.rs` and
/// `events.rs` see them.
const IN_A_CLUSTER: [&str; 2] = ["portcullis_audit_violations", "portcullis_events_total"];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs helm; tests/chart/build"]
async fn alerts_and_panels_ask_for_metrics_that_there_are() {
    let program = serve("everything").await;
    // Times have no series before the first review.
    let review = fs::read(path("tests/data/review.json")).unwrap();
    program
        .review(&serde_json::from_slice(&review).unwrap())
        .await;
    let page = ask(program.admin, Method::GET, "/metrics").await;
    let groups = groups();
    let rules = groups[0]["rules"].as_array().unwrap().iter();
    let alerts = rules.map(|rule| {
        let text = |key: &str| rule[key].as_str().unwrap().to_owned();
        (text("alert"), text("expr"))
    });
    let mut asked = BTreeSet::new();
    for (title, expression) in alerts.chain(questions()) {
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let metrics = words.filter(|word| word.starts_with("portcullis_"));
        for metric in metrics.filter(|it| !IN_A_CLUSTER.contains(it)) {
            let endings = ["_bucket", "_count", "_sum", "_total", "_info"];
            let family = endings.iter().find_map(|it| metric.strip_suffix(it));
            let header = format!("# TYPE {} ", family.unwrap_or(metric));
            let text = page.text();
            assert!(text.contains(&header), "{title}: {metric}:\n{text}");
            asked.insert(metric.to_owned());
        }
    }
    assert!(asked.len() >= 15, "{asked:?}");
    program.stop().await;
}
