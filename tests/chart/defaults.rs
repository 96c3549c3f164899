//! The parts of `values.yaml` that follow from the built-in policies, and the files beside the chart.
//!
//! To make them anew, run `PORTCULLIS_RECORD=1 cargo test --test chart`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use portcullis::admission::resources::{Resources, split};
use portcullis::audit::report::Api;
use portcullis::audit::view;
use portcullis::cel::version::KubernetesVersion;
use portcullis::policy::model::{FailurePolicy, PolicyScope, Scope};
use portcullis::policy::overrides::Overrides;
use portcullis::policy::set::PolicySet;
use portcullis::serve::registration::roles::listed_by_scans;
use portcullis::sources;
use serde_json::{Value, json};

use super::{documents, path};

const VALUES: &str = "charts/portcullis/values.yaml";
const BEGIN_RULES: &str = "# BEGIN rules of the built-in policies";
const BEGIN_READS: &str = "# BEGIN what the built-in policies read";
const BEGIN_AUDIT: &str = "# BEGIN what a scan lists for the built-in policies";
/// The first and last words of a part that is made.
const END: &str = "    # END";

pub(crate) fn built_in() -> PolicySet {
    let (set, findings) = sources::load(&[], KubernetesVersion::NEWEST, &Overrides::default());
    assert!(!findings.iter().any(|it| it.is_error()), "{findings:?}");
    set
}

#[test]
fn default_rules_are_those_of_the_built_in_policies() {
    compare(BEGIN_RULES, &rules(&built_in(), FailurePolicy::Fail));
}

#[test]
fn no_built_in_policy_is_passed_over_when_it_fails() {
    // Otherwise `webhooks.ignore` needed rules, too.
    assert_eq!(rules(&built_in(), FailurePolicy::Ignore), "");
}

#[test]
fn no_built_in_policy_changes_objects_unless_told_to() {
    // Otherwise `webhooks.mutating` needed rules.
    let set = built_in();
    let mutating = set.mutating().iter();
    let on: Vec<_> = mutating
        .filter(|bound| bound.policy.policy.mutate)
        .collect();
    assert!(on.is_empty(), "{} policies", on.len());
}

#[test]
fn no_built_in_policy_is_about_what_keeps_a_cluster_running() {
    let values = values();
    for rule in values["webhooks"]["fail"].as_array().unwrap() {
        for resource in rule["resources"].as_array().unwrap() {
            let resource = resource.as_str().unwrap();
            let vital = [
                "*",
                "*/*",
                "leases",
                "nodes",
                "nodes/status",
                "events",
                "tokenreviews",
                "subjectaccessreviews",
                "endpointslices",
                "endpoints",
                "apiservices",
                "customresourcedefinitions",
            ];
            assert!(!vital.contains(&resource), "{rule}");
        }
    }
}

#[test]
fn default_rights_are_what_the_built_in_policies_read() {
    compare(BEGIN_READS, &reads(&built_in()));
}

#[test]
fn default_rights_of_scans_are_what_they_list() {
    compare(BEGIN_AUDIT, &listed(&built_in()));
}

#[test]
fn every_value_is_documented() {
    let readme = fs::read_to_string(path("charts/portcullis/README.md")).unwrap();
    let mut paths = Vec::new();
    name_values("", &values(), &mut paths);
    assert!(paths.len() > 50, "{paths:?}");
    for path in paths {
        // A value is documented by itself or with what it is part of.
        let mut named = path
            .match_indices('.')
            .map(|(at, _)| &path[..at])
            .collect::<Vec<_>>();
        named.push(&path);
        let is_named = |part: &&str| readme.contains(&format!("`{part}`"));
        assert!(named.iter().any(is_named), "{path}");
    }
}

/// The places of all values that hold no other.
fn name_values(place: &str, value: &Value, paths: &mut Vec<String>) {
    match value.as_object() {
        Some(values) if !values.is_empty() => {
            for (key, value) in values {
                let dot = if place.is_empty() { "" } else { "." };
                name_values(&format!("{place}{dot}{key}"), value, paths);
            }
        }
        _ => paths.push(place.to_owned()),
    }
}

#[test]
fn the_chart_and_the_program_have_one_version() {
    let chart = documents(&fs::read_to_string(path("charts/portcullis/Chart.yaml")).unwrap());
    assert_eq!(chart[0]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart[0]["appVersion"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_document_installs_the_same_image_in_the_same_way() {
    let read = |name: &str| fs::read_to_string(path(name)).unwrap();
    let steps = |name: &str| {
        let text = read(name);
        let blocks = text.split("```").skip(1).step_by(2);
        let mut found = blocks.filter(|it| it.contains("helm install"));
        let found = found.next().unwrap().trim_start_matches("sh\n").to_owned();
        assert!(!found.is_empty(), "{name}");
        found
    };
    let told = steps("README.md");
    assert_eq!(told, steps("charts/portcullis/README.md"));
    // What is built is what the nodes are told to pull.
    let repository = told.split_once("image.repository=").unwrap().1.trim();
    let image = format!("{repository}:{}", env!("CARGO_PKG_VERSION"));
    for step in ["docker build --tag", "docker push"] {
        assert!(told.contains(&format!("{step} {image}")), "{told}");
    }
    let dockerfile = read("Dockerfile");
    let step = format!("docker build --tag {image} .");
    assert!(dockerfile.contains(&step), "{dockerfile}");
    let chart = read("charts/portcullis/README.md");
    let is_step = |line: &&str| line.starts_with("helm ") && line.ends_with('\\');
    for step in chart.lines().filter(is_step) {
        assert!(step.contains("--namespace portcullis-system"), "{step}");
    }
}

#[test]
fn the_image_is_built_by_a_compiler_that_is_new_enough() {
    let dockerfile = fs::read_to_string(path("Dockerfile")).unwrap();
    let tag = dockerfile.split_once("FROM rust:").unwrap().1;
    let minor = |version: &str| version.split('.').nth(1).unwrap().parse::<u32>().unwrap();
    let compiler = minor(tag.split('-').next().unwrap());
    assert!(
        compiler >= minor(env!("CARGO_PKG_RUST_VERSION")),
        "{compiler}"
    );
}

#[test]
fn nothing_that_the_image_needs_is_ignored() {
    let ignored = fs::read_to_string(path(".dockerignore")).unwrap();
    // Cargo wants every target that Cargo.toml names to be there, and the program holds parts of others.
    for needed in [
        "Cargo.toml",
        "Cargo.lock",
        "LICENSE",
        "README.md",
        "benches",
        "build.rs",
        "examples",
        "policies",
        "src",
        "tests",
    ] {
        assert!(path(needed).exists(), "{needed}");
        assert!(!ignored.lines().any(|line| line == needed), "{needed}");
    }
    assert!(
        !ignored.contains(['*', '!', '/']),
        "plain names alone, as they are compared here"
    );
}

#[test]
fn the_manifests_of_cert_manager_are_those_of_the_chart() {
    let text = fs::read_to_string(path("certs/cert-manager.yaml")).unwrap();
    let kinds: Vec<_> = documents(&text).iter().map(super::title).collect();
    assert_eq!(
        kinds,
        [
            "Issuer/portcullis-self-signed",
            "Certificate/portcullis-ca",
            "Issuer/portcullis-ca",
            "Certificate/portcullis",
        ]
    );
}

pub(crate) fn values() -> Value {
    documents(&fs::read_to_string(path(VALUES)).unwrap()).remove(0)
}

/// What API servers must ask about, for the policies with this failure policy: one line for each group,
/// its versions and operations.
fn rules(set: &PolicySet, failure_policy: FailurePolicy) -> String {
    // By group, versions and resource: the operations.
    let mut operations: BTreeMap<(String, String, String), BTreeSet<&str>> = BTreeMap::new();
    for bound in set.validating() {
        let policy = &bound.policy.policy;
        if policy.failure_policy != failure_policy {
            continue;
        }
        for rule in policy
            .match_constraints
            .iter()
            .flat_map(|it| &it.resource_rules)
        {
            assert_eq!(rule.scope, Scope::All, "{}", policy.name);
            assert!(rule.resource_names.is_empty(), "{}", policy.name);
            // API servers call no webhook about these.
            let groups = rule.api_groups.iter();
            for group in groups.filter(|it| *it != "admissionregistration.k8s.io") {
                for version in &rule.api_versions {
                    for resource in &rule.resources {
                        let key = (group.clone(), version.clone(), resource.clone());
                        let known = operations.entry(key).or_default();
                        known.extend(rule.operations.iter().map(String::as_str));
                    }
                }
            }
        }
    }
    // What is asked about in every version need not be in one.
    let every = operations
        .iter()
        .filter(|((_, version, _), _)| version == "*");
    let every: BTreeMap<_, _> = every
        .map(|((group, _, resource), of)| ((group.clone(), resource.clone()), of.clone()))
        .collect();
    operations.retain(|(group, version, resource), of| {
        let wide = every.get(&(group.clone(), resource.clone()));
        version == "*" || wide.is_none_or(|wide| !of.is_subset(wide))
    });
    let mut lines: BTreeMap<(String, String, Vec<&str>), Vec<String>> = BTreeMap::new();
    for ((group, version, resource), of) in operations {
        let order = ["CREATE", "UPDATE", "DELETE", "CONNECT", "*"];
        let of = order.into_iter().filter(|it| of.contains(it)).collect();
        lines
            .entry((group, version, of))
            .or_default()
            .push(resource);
    }
    let mut text = String::new();
    for ((group, version, operations), resources) in lines {
        let _ = writeln!(
            text,
            "    - {{apiGroups: [{group:?}], apiVersions: [{version:?}], resources: [{}], operations: [{}]}}",
            quoted(&resources),
            operations.join(", ")
        );
    }
    text
}

/// The kinds that policies about requests read beside Namespaces, which the server follows anyway.
fn kinds(set: &PolicySet) -> BTreeSet<(String, String)> {
    let policies = set.policies().iter().map(|compiled| &compiled.policy);
    let policies = policies.filter(|policy| policy.scope == PolicyScope::Request);
    let kinds = policies.flat_map(|policy| {
        let read = policy.reads.iter().map(|it| (&it.api_version, &it.kind));
        read.chain(
            policy
                .param_kind
                .iter()
                .map(|it| (&it.api_version, &it.kind)),
        )
    });
    let kinds = kinds.map(|(version, kind)| (version.clone(), kind.clone()));
    kinds.filter(|(_, kind)| kind != "Namespace").collect()
}

/// What may be listed and watched for them: one line for each group.
fn reads(set: &PolicySet) -> String {
    let mut resources: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (api_version, kind) in kinds(set) {
        let group = split(&api_version).0.to_owned();
        let resource = Resources::built_in().by_kind(&api_version, &kind).resource;
        resources.entry(group).or_default().insert(resource);
    }
    lines(&resources)
}

/// What a scan may list for them, as `manifests --audit` says: one line for each group.
fn listed(set: &PolicySet) -> String {
    lines(&listed_by_scans(set))
}

/// One line for each group.
fn lines(resources: &BTreeMap<String, BTreeSet<String>>) -> String {
    let lines = resources.iter().map(|(group, resources)| {
        let resources: Vec<_> = resources.iter().cloned().collect();
        format!(
            "    - {{apiGroup: {group:?}, resources: [{}]}}\n",
            quoted(&resources)
        )
    });
    lines.collect()
}

/// Definitions of the kinds that built-in policies read or match and that no API server has by itself.
pub(crate) fn definitions() -> Vec<Value> {
    let set = built_in();
    let is_custom = |group: &str| group.contains('.') && !group.ends_with(".k8s.io");
    let mut found = BTreeMap::new();
    for kind in view::kinds(&set, &[PolicyScope::Request, PolicyScope::Cluster]) {
        let resource = Resources::built_in().by_kind(&kind.api_version, &kind.kind);
        let plural = (resource.group, resource.resource);
        found.insert(plural, (resource.version, kind.kind));
    }
    for (group, resources) in listed_by_scans(&set) {
        for resource in resources {
            // The kinds of what is only matched nobody asks for, nor for a version.
            let kind = format!("{}{}", resource[..1].to_uppercase(), &resource[1..]);
            let plural = (group.clone(), resource);
            found.entry(plural).or_insert(("v1".to_owned(), kind));
        }
    }
    let custom = found.iter().filter(|((group, _), _)| is_custom(group));
    custom
        .map(|((group, plural), (version, kind))| {
            definition((group, version), (plural, kind), "Namespaced")
        })
        .collect()
}

/// Definitions of both kinds of reports.
pub(crate) fn of_reports(api: Api) -> [Value; 2] {
    let version = split(api.api_version());
    [(true, "Namespaced"), (false, "Cluster")].map(|(is_namespaced, scope)| {
        let names = (api.plural(is_namespaced), api.kind(is_namespaced));
        definition(version, names, scope)
    })
}

fn definition((group, version): (&str, &str), (plural, kind): (&str, &str), scope: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group,
            "scope": scope,
            "names": {"kind": kind, "plural": plural},
            "versions": [{
                "name": version,
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "x-kubernetes-preserve-unknown-fields": true,
                }},
            }],
        },
    })
}

fn quoted(names: &[String]) -> String {
    // A slash or an asterisk needs quotes in YAML nowhere, but in lists it is easier to read with them.
    let plain = |name: &String| match name.contains(['/', '*']) {
        true => format!("{name:?}"),
        false => name.clone(),
    };
    names.iter().map(plain).collect::<Vec<_>>().join(", ")
}

/// Compares the part of the values that begins with these words, or makes it anew.
fn compare(begin: &str, made: &str) {
    let text = fs::read_to_string(path(VALUES)).unwrap();
    let (before, rest) = text.split_once(begin).expect(begin);
    let (line, rest) = rest.split_once('\n').unwrap();
    let (written, after) = rest.split_once(END).expect(END);
    if std::env::var_os("PORTCULLIS_RECORD").is_some() {
        let text = format!("{before}{begin}{line}\n{made}{END}{after}");
        return fs::write(path(VALUES), text).unwrap();
    }
    assert_eq!(
        written, made,
        "make it anew: PORTCULLIS_RECORD=1 cargo test --test chart"
    );
}
