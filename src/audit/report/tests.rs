//! Reports of a bounded size that change only where something else is found.

use std::sync::Arc;

use super::*;
use crate::audit::finding::{KindName, Limits, Object};
use crate::audit::plan::Listing;
use crate::audit::served::Served;
use crate::cel::version::KubernetesVersion;
use crate::policy::exceptions::CompiledException;
use crate::policy::set::PolicySet;
use crate::sources;
use crate::text::Source;

/// An exception from the policy.
fn exception() -> Arc<CompiledException> {
    let text = "apiVersion: portcullis.dev/v1alpha1\nkind: PolicyException\nmetadata: {name: known}\nspec: \
                {policies: [names], reason: old, owner: team, ticket: OPS-1, expires: 2999-12-31}\n";
    let (documents, _) = sources::documents(&[Source::new("e.yaml", text)]);
    let version = KubernetesVersion::default();
    let set = PolicySet::build(documents, version, &PolicySet::default(), |_| false).set;
    Arc::clone(&set.exceptions().all()[0])
}

fn findings(names: impl Iterator<Item = String>) -> Findings {
    let text = "// ---\n// name: names\n// severity: high\n// category: style\n// match: {resources: [v1/configmaps]}\n// ---\n// @require a\ntrue\n";
    let (documents, _) = sources::documents(&[Source::new("p.cel", text)]);
    let version = KubernetesVersion::default();
    let set = PolicySet::build(documents, version, &PolicySet::default(), |_| false).set;
    let kind = Arc::new(KindName {
        api_version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
    });
    let mut findings = Findings::new(Limits::default());
    for name in names {
        findings.add(Finding {
            policy: Arc::clone(&set.policies()[0]),
            rule: Some(0),
            result: Rating::Fail,
            message: format!("`{name}` is not called as it should be").into(),
            object: Some(Object {
                kind: Arc::clone(&kind),
                namespace: "shop".into(),
                name: name.into(),
                uid: "9a5d0f2e-7c1b-4c55-9d4e-0a4c1d2b3e4f".into(),
            }),
        });
    }
    findings
}

/// Lays out what was found of ConfigMaps.
fn laid<'f>(findings: &'f Findings, plan: &'f Plan, api: Api) -> Vec<Draft<'f>> {
    let served = Served {
        group: String::new(),
        resource: "configmaps".to_owned(),
        kind: "ConfigMap".to_owned(),
        is_namespaced: true,
        versions: vec!["v1".to_owned()],
    };
    let listing = Listing {
        served,
        version: "v1".to_owned(),
    };
    let mut left = MOST_BYTES_OF_ALL;
    let mut laying = Laying {
        api,
        installation: "portcullis",
        left: &mut left,
    };
    let units = match plan.left_out.is_empty() {
        true => vec![Unit::Kind(&listing)],
        false => vec![Unit::Cluster, Unit::Kind(&listing)],
    };
    let nothing: &'static Findings = Box::leak(Box::default());
    let of = |unit: &Unit<'_>| match unit {
        Unit::Cluster => nothing,
        Unit::Kind(_) => findings,
    };
    let units = units.into_iter();
    let drafts = units.flat_map(|it| drafts(it, of(&it), plan, &mut laying));
    drafts.collect()
}

fn numbered(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|at| format!("object-{at:05}"))
}

#[test]
fn ten_thousand_findings_are_reports_of_bounded_size() {
    let findings = findings(numbered(10_000));
    let plan = Plan::default();
    for api in [Api::OpenReports, Api::PolicyReports] {
        let drafts = laid(&findings, &plan, api);
        let sizes: Vec<usize> = drafts
            .iter()
            .map(|draft| draft.report(api, &Known::default(), 1).to_string().len())
            .collect();
        let (most, all) = (*sizes.iter().max().unwrap(), sizes.iter().sum::<usize>());
        assert!(most <= MOST_BYTES, "{most}");
        assert!(all < 5_000_000, "{all}");
        assert_eq!(drafts.iter().map(Draft::len).sum::<usize>(), 10_000);
        println!(
            "{api:?}: {} reports, {most} bytes at most, {all} in all",
            drafts.len()
        );
    }
}

#[test]
fn another_finding_changes_one_report_and_no_other_time() {
    let plan = Plan::default();
    let api = Api::OpenReports;
    let before = findings(numbered(3_000));
    let after = findings(numbered(2_999).chain(["another".to_owned()]));
    let (before, after) = (laid(&before, &plan, api), laid(&after, &plan, api));
    assert_eq!(before.len(), after.len());
    let changed: Vec<_> = before
        .iter()
        .zip(&after)
        .filter(|(before, after)| before.checksum(api) != after.checksum(api))
        .collect();
    assert!((1..=2).contains(&changed.len()), "{}", changed.len());
    let (old, new) = changed[0];
    let known = Known::of(&old.report(api, &Known::default(), 100));
    let report = new.report(api, &known, 200);
    let results = report["results"].as_array().unwrap();
    let at = |seconds: i64| {
        results
            .iter()
            .filter(move |it| it["timestamp"]["seconds"] == seconds)
            .count()
    };
    assert!(at(200) <= 1 && at(100) + at(200) == results.len());
}

#[test]
fn a_report_is_of_the_published_form() {
    let findings = findings(["a".to_owned()].into_iter());
    let mut plan = Plan::default();
    plan.left_out.push(LeftOut {
        policy: "users".to_owned(),
        validations: vec![],
        reason: "reads `request.userInfo`".to_owned(),
    });
    let drafts = laid(&findings, &plan, Api::OpenReports);
    let reports: Vec<Value> = drafts
        .iter()
        .map(|it| it.report(Api::OpenReports, &Known::default(), 1_700_000_000))
        .collect();
    insta::assert_json_snapshot!(reports);
}

#[test]
fn what_is_found_beyond_the_limits_is_counted_in_the_first_report() {
    let mut found = Findings::new(Limits {
        of_namespace: 2,
        of_all: 2,
    });
    for finding in findings(numbered(5)).kept() {
        found.add(finding.clone());
    }
    let plan = Plan::default();
    let drafts = laid(&found, &plan, Api::PolicyReports);
    let report = drafts[0].report(Api::PolicyReports, &Known::default(), 1);
    assert_eq!(report["metadata"]["annotations"][OMITTED], r#"{"names":3}"#);
    assert_eq!(report["kind"], "PolicyReport");
    assert_eq!(report["results"][0]["source"], "portcullis");
}

#[test]
fn installations_have_no_name_in_common() {
    let long = "x".repeat(244);
    for (installation, kind, expected) in [
        (
            "portcullis",
            "deployments.apps",
            "portcullis.deployments.apps-00",
        ),
        ("gate.first", "pods", "gate-first-"),
        (&long, "pods", "xxxxxxxxxx"),
    ] {
        let name = name(installation, &label(kind), 0);
        assert!(name.starts_with(expected), "{name}");
        assert!(name.len() < 150, "{name}");
        let (_, rest) = name.split_once('.').unwrap();
        assert_eq!(rest, format!("{kind}-00"));
    }
    assert!(label(&long).len() <= LONGEST_VALUE);
    assert_ne!(label(&long), label(&"x".repeat(245)));
}

#[test]
fn what_is_excused_is_skipped_and_never_in_the_place_of_a_failure() {
    let exception = exception();
    let excuse = |into: &mut Findings, count| {
        for finding in findings(numbered(count)).kept() {
            into.excuse(Excused {
                finding: finding.clone(),
                exception: Arc::clone(&exception),
            });
        }
    };
    let mut found = findings(["a".to_owned()].into_iter());
    excuse(&mut found, 1);
    let (plan, api) = (Plan::default(), Api::OpenReports);
    let drafts = laid(&found, &plan, api);
    let report = drafts[0].report(api, &Known::default(), 1);
    assert_eq!(
        (&report["summary"]["fail"], &report["summary"]["skip"]),
        (&json!(1), &json!(1))
    );
    let skipped = &report["results"][1];
    assert_eq!(skipped["result"], "skip");
    assert_eq!(
        skipped["message"],
        "`object-00000` is not called as it should be"
    );
    let properties = json!({
        "exception": "known", "reason": "old", "owner": "team", "ticket": "OPS-1",
        "expires": "2999-12-31",
    });
    assert_eq!(skipped["properties"], properties);
    assert_eq!(found.counts().all(), 1);

    let mut found = Findings::new(Limits {
        of_namespace: 400,
        of_all: 400,
    });
    excuse(&mut found, 500);
    let failing = findings(numbered(400));
    failing.kept().for_each(|it| found.add(it.clone()));
    let drafts = laid(&found, &plan, api);
    let all: Vec<Value> = drafts
        .iter()
        .map(|it| it.report(api, &Known::default(), 1))
        .collect();
    let sum = |word: &str| -> u64 {
        all.iter()
            .filter_map(|it| it["summary"][word].as_u64())
            .sum()
    };
    assert_eq!((sum("fail"), sum("skip")), (400, 100));
    assert_eq!(all[0]["metadata"]["annotations"][EXCUSED_OMITTED], "400");
}
