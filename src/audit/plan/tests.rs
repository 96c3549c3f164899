//! What is looked at, and what is not, each with its reason.

use super::*;
use crate::cel::version::KubernetesVersion;
use crate::sources;
use crate::text::Source;

fn set(policies: &[(&str, &str)]) -> PolicySet {
    let sources: Vec<_> = policies
        .iter()
        .map(|(name, text)| Source::new(format!("{name}.cel"), *text))
        .collect();
    let (documents, problems) = sources::documents(&sources);
    assert!(problems.is_empty(), "{problems:?}");
    let version = KubernetesVersion::default();
    PolicySet::build(documents, version, &PolicySet::default(), |_| false).set
}

fn policy(front: &str, body: &str) -> String {
    format!("// ---\n// {front}\n// ---\n{body}\n")
}

fn served(group: &str, resource: &str, kind: &str, versions: &[&str]) -> Served {
    Served {
        group: group.to_owned(),
        resource: resource.to_owned(),
        kind: kind.to_owned(),
        is_namespaced: kind != "Namespace",
        versions: versions.iter().map(|it| (*it).to_owned()).collect(),
    }
}

fn discovery() -> Discovery {
    Discovery {
        resources: vec![
            served("", "configmaps", "ConfigMap", &["v1"]),
            served("", "events", "Event", &["v1"]),
            served("", "namespaces", "Namespace", &["v1"]),
            served("apps", "deployments", "Deployment", &["v1"]),
            served(
                "autoscaling",
                "horizontalpodautoscalers",
                "HorizontalPodAutoscaler",
                &["v2", "v1"],
            ),
            served("coordination.k8s.io", "leases", "Lease", &["v1"]),
            served("openreports.io", "reports", "Report", &["v1alpha1"]),
        ],
        unknown: Vec::new(),
    }
}

fn listed(plan: &Plan) -> Vec<String> {
    let listings = plan.listings.iter();
    listings
        .map(|it| format!("{} {}", it.served.name(), it.version))
        .collect()
}

#[test]
fn kinds_follow_from_rules_and_wildcards_are_resolved() {
    let whole = policy("match: {resources: ['*/*/*']}", "// @require a\ntrue");
    let plan = Plan::of(&set(&[("whole", &whole)]), &discovery(), &Only::default());
    assert_eq!(
        listed(&plan),
        [
            "configmaps v1",
            "namespaces v1",
            "deployments.apps v1",
            "horizontalpodautoscalers.autoscaling v2",
        ],
        "events, leases and reports are never looked at"
    );
    let old = policy(
        "match: {resources: [autoscaling/v1/horizontalpodautoscalers, apps/v1/deployments/scale]}",
        "// @require a\ntrue",
    );
    let plan = Plan::of(&set(&[("old", &old)]), &discovery(), &Only::default());
    assert_eq!(listed(&plan), ["horizontalpodautoscalers.autoscaling v1"]);
    let only = Only {
        kinds: vec!["deployment".to_owned()],
        ..Only::default()
    };
    let plan = Plan::of(&set(&[("whole", &whole)]), &discovery(), &only);
    assert_eq!(listed(&plan), ["deployments.apps v1"]);
}

#[test]
fn what_cannot_be_known_of_an_object_cannot_be_judged() {
    let deployments = "match: {resources: [apps/v1/deployments]}";
    for (name, front, body, reason) in [
        (
            "user",
            deployments,
            "// @require a\nrequest.userInfo.username == 'a'",
            "reads `request.userInfo`",
        ),
        (
            "has",
            deployments,
            "// @require a\nhas(request.userInfo.uid)",
            "reads `request.userInfo`",
        ),
        (
            "old",
            deployments,
            "// @require a\noldObject == null",
            "reads `oldObject`",
        ),
        (
            "asks",
            deployments,
            "// @require a\nauthorizer.path('/x').check('get').allowed()",
            "reads `authorizer`",
        ),
        (
            "options",
            deployments,
            "// @require a\nrequest.options != null",
            "reads `request.options`",
        ),
        (
            "all",
            deployments,
            "// @require a\n[request].size() == 1",
            "reads `request` as a whole",
        ),
        (
            "variable",
            deployments,
            "// @let who\nrequest.userInfo.username\n// @let it\nvariables.who\n// @require a\nvariables.it == 'a'",
            "reads `request.userInfo`",
        ),
        (
            "condition",
            deployments,
            "// @when a\nrequest.userInfo.username == 'a'\n// @require a\ntrue",
            "reads `request.userInfo`",
        ),
        (
            "updates",
            "match: {resources: [apps/v1/deployments], operations: [UPDATE, DELETE]}",
            "// @require a\ntrue",
            "matches DELETE and UPDATE only",
        ),
        (
            "scale",
            "match: {resources: [apps/v1/deployments/scale]}",
            "// @require a\ntrue",
            "matches subresources only",
        ),
        (
            "events",
            "match: {resources: [v1/events]}",
            "// @require a\ntrue",
            "matches only events",
        ),
    ] {
        let text = policy(front, body);
        let plan = Plan::of(&set(&[(name, &text)]), &discovery(), &Only::default());
        assert_eq!(listed(&plan), [] as [&str; 0], "{name}");
        assert_eq!(plan.left_out.len(), 1, "{name}: {:?}", plan.left_out);
        let left = &plan.left_out[0];
        assert!(left.reason.starts_with(reason), "{name}: {}", left.reason);
        assert!(left.validations.is_empty(), "{name}");
    }
}

#[test]
fn a_policy_is_left_out_in_part_where_others_of_its_validations_can_be_judged() {
    let text = policy(
        "match: {resources: [apps/v1/deployments]}",
        "// @require a\nrequest.operation != 'x'\n// @require b\noldObject == null || true",
    );
    let set = set(&[("part", &text)]);
    let plan = Plan::of(&set, &discovery(), &Only::default());
    assert_eq!(listed(&plan), ["deployments.apps v1"]);
    assert_eq!(plan.left_out.first().unwrap().validations, [2]);
    let policy = set.policies().first().unwrap();
    assert!(plan.counts(policy, Some(0)) && plan.counts(policy, None));
    assert!(!plan.counts(policy, Some(1)));
}

#[test]
fn the_resources_of_a_role_are_those_that_are_listed() {
    let policies = [
        (
            "a",
            policy(
                "match: {resources: [apps/v1/deployments, apps/v1/deployments/scale, v1/events]}",
                "// @require a\ntrue",
            ),
        ),
        (
            "b",
            policy("match: {resources: ['batch/*/*']}", "// @require a\ntrue"),
        ),
        (
            "c",
            policy(
                "match: {resources: [v1/pods], operations: [DELETE]}",
                "// @require a\ntrue",
            ),
        ),
        (
            "d",
            policy(
                "match: {resources: [v1/secrets]}",
                "// @require a\noldObject == null",
            ),
        ),
    ];
    let policies: Vec<(&str, &str)> = policies
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    let found = resources(&set(&policies));
    let found: Vec<(String, Vec<String>)> = found
        .into_iter()
        .map(|(group, resources)| (group, resources.into_iter().collect()))
        .collect();
    assert_eq!(
        found,
        [
            ("apps".to_owned(), vec!["deployments".to_owned()]),
            ("batch".to_owned(), vec!["*".to_owned()]),
        ]
    );
}
