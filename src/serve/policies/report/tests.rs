//! What the author of a policy is told, and where.

use super::*;
use crate::cel::version::KubernetesVersion;
use crate::sources;

/// A policy of one expression, as a document in JSON, which is YAML.
fn document(name: &str, expression: &str) -> String {
    let document = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": [{
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "operations": ["CREATE"],
                "resources": ["pods"],
            }]},
            "validations": [{"expression": "true"}, {"expression": expression}],
        },
    });
    serde_json::to_string_pretty(&document).unwrap()
}

fn carrier(namespace: Option<&str>, sources: &[Arc<Source>]) -> Arc<Carrier> {
    Arc::new(Carrier {
        api_version: "v1".to_owned(),
        kind: "Thing".to_owned(),
        namespace: namespace.map(str::to_owned),
        name: "mine".to_owned(),
        uid: "1".to_owned(),
        version: "1".to_owned(),
        sources: sources.to_vec(),
        faults: Vec::new(),
        passed_over: Vec::new(),
    })
}

/// Loads texts over what was there before.
fn load(
    texts: &[(&str, &str)],
    namespace: Option<&str>,
    before: &PolicySet,
) -> (PolicySet, Report) {
    let sources: Vec<Arc<Source>> = texts
        .iter()
        .map(|(name, text)| Source::new(*name, *text))
        .collect();
    let (documents, mut problems) = sources::documents(&sources);
    let is_faulty: Vec<String> = problems
        .iter()
        .flat_map(|it| &it.labels)
        .map(|it| it.source.name().to_owned())
        .collect();
    let version = KubernetesVersion::default();
    let built = PolicySet::build(documents, version, before, |name| {
        is_faulty.iter().any(|it| it == name)
    });
    problems.extend(built.diagnostics);
    let written = Written {
        carriers: vec![carrier(namespace, &sources)],
        sources,
        unread: Vec::new(),
    };
    let report = Report::of(written, &built.set, &problems);
    (built.set, report)
}

fn messages(report: &Report, name: &str) -> Vec<String> {
    let faults = report.faults_of(PolicyKind::Validating, name);
    let faults = faults.as_array().unwrap().iter();
    let message = |it: &Value| it["message"].as_str().unwrap().to_owned();
    faults.map(message).collect()
}

#[test]
fn a_fault_is_told_by_its_field_and_its_place_and_of_each_policy_its_own() {
    let text = format!(
        "{}\n---\n{}",
        document("good", "true"),
        document("bad", "objct.a")
    );
    let (_, report) = load(
        &[("configmap/n/mine/a.yaml", &text)],
        Some("n"),
        &PolicySet::default(),
    );
    assert_eq!(report.texts[0].standing, Standing::Failed);
    assert_eq!(report.texts[0].policies, ["bad", "good"]);
    assert!(messages(&report, "good").is_empty());
    let faults = report.faults_of(PolicyKind::Validating, "bad");
    assert_eq!(faults[0]["field"], "spec.validations[1].expression");
    assert_eq!(faults[0]["line"], 67);
    assert!(
        faults[0]["message"].as_str().unwrap().contains("objct"),
        "{faults}"
    );
    let [told] = &report.objects[0].faults[..] else {
        panic!("{:?}", report.objects)
    };
    assert!(told.starts_with("a.yaml:67:"), "{told}");
    let described = report.describe();
    assert_eq!(described[0]["object"], "Thing n/mine");
    assert_eq!(described[0]["state"], "failed");
}

#[test]
fn of_an_object_that_is_a_policy_the_field_is_told() {
    let text = document("bad", "objct.a");
    let (_, report) = load(
        &[("validatingadmissionpolicy/bad.yaml", &text)],
        None,
        &PolicySet::default(),
    );
    let [told] = &report.objects[0].faults[..] else {
        panic!("{:?}", report.objects)
    };
    assert!(
        told.starts_with("spec.validations[1].expression: "),
        "{told}"
    );
}

#[test]
fn what_was_good_before_is_told_from_what_never_was() {
    let name = "validatingadmissionpolicy/one.yaml";
    let good = document("one", "true");
    let (before, report) = load(&[(name, &good)], None, &PolicySet::default());
    assert_eq!(report.texts[0].standing, Standing::Loaded);
    assert_eq!(report.objects[0].standing, Standing::Loaded);
    for bad in [
        document("one", "objct.a"),
        good.replace("\"spec\"", "spec\""),
    ] {
        let (_, report) = load(&[(name, &bad)], None, &before);
        assert_eq!(report.texts[0].standing, Standing::LastGood, "{bad}");
        assert_eq!(report.objects[0].standing, Standing::LastGood, "{bad}");
        // Of a text that cannot be read nothing is another policy's.
        assert_eq!(messages(&report, "one").len(), report.texts[0].faults.len());
        let (_, report) = load(&[(name, &bad)], None, &PolicySet::default());
        assert_eq!(report.texts[0].standing, Standing::Failed, "{bad}");
    }
}

#[test]
fn no_more_than_a_few_faults_are_shown() {
    let many: Vec<String> = (0..9).map(|it| format!("objct{it}.a")).collect();
    let text = document("bad", &many.join(" && "));
    let (_, report) = load(&[("a.yaml", &text)], None, &PolicySet::default());
    let described = report.describe();
    assert_eq!(described[0]["faults"].as_array().unwrap().len(), MOST_SHOWN);
    assert_eq!(described[0]["faultCount"], 9);
}
