//! What the server may do in the cluster: what its policies read, what it asks, and what it writes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::super::config::ClusterPolicies;
use super::{labels, with};
use crate::admission::resources::{Resources, split};
use crate::audit;
use crate::audit::report::Api;
use crate::policy::exceptions;
use crate::policy::model::{ParamKind, PolicyScope};
use crate::policy::set::PolicySet;
use crate::serve::herald::CLUSTER_NAMESPACE;
use crate::serve::policies::kinds;

/// What labelled policies and what binds them are.
const POLICY_RESOURCES: [&str; 4] = [
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
];

/// Who writes webhook configurations and certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Management<'n> {
    /// The server itself, where they are made by somebody else and filled in by it. Its certificate is in
    /// this Secret, beside the Lease; without one somebody else makes that.
    Own(Option<&'n str>),
    /// Somebody else alone.
    Others,
}

/// What the roles of a set of policies are.
#[derive(Debug)]
pub struct Roles {
    /// Roles with their bindings.
    pub objects: Vec<Value>,
    /// Kinds whose plural is a guess, because they are not Kubernetes' own.
    pub guessed: Vec<ParamKind>,
}

/// The namespaces that roles are about, and where policies are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Namespaces<'n> {
    /// Where the server runs; its account is there.
    pub own: Option<&'n str>,
    /// Where ConfigMaps hold policies, too, and exceptions reach every namespace.
    pub policies: Option<&'n str>,
    /// Whether labelled policies of the cluster are policies here.
    pub cluster_policies: ClusterPolicies,
    /// Where exceptions reach their own namespace.
    pub exceptions: &'n [String],
}

/// Returns roles that allow what the server does for these policies, verb for verb, bound to an account
/// of the namespace it runs in; without a namespace nothing is bound. Roles and account have the name of
/// the installation.
pub fn roles(
    set: &PolicySet,
    name: &str,
    namespaces: Namespaces<'_>,
    management: Management<'_>,
) -> Roles {
    let (mut rules, guessed) = reading(set);
    if let Management::Own(_) = management {
        rules.push(json!({
            "apiGroups": ["admissionregistration.k8s.io"],
            "resources": ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"],
            "resourceNames": [name],
            "verbs": ["patch"],
        }));
    }
    let is_labelled = namespaces.cluster_policies == ClusterPolicies::Labelled;
    if is_labelled {
        rules.push(json!({
            "apiGroups": ["admissionregistration.k8s.io"],
            "resources": POLICY_RESOURCES,
            "verbs": ["list", "watch"],
        }));
    }
    let mut objects = vec![role("ClusterRole", (name, None), rules)];
    if let Some(own) = namespaces.own {
        let account = (name, own);
        objects.push(binding("ClusterRole", (name, None), account));
        if let Management::Own(secret) = management {
            let rules = own_objects(name, secret);
            objects.push(role("Role", (name, Some(own)), rules));
            objects.push(binding("Role", (name, Some(own)), account));
        }
        let labelled = is_labelled.then_some(CLUSTER_NAMESPACE);
        // One role, where both are in one namespace.
        for namespace in BTreeSet::from_iter(namespaces.policies.into_iter().chain(labelled)) {
            let read =
                json!({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch"]});
            let tell = json!({
                "apiGroups": ["events.k8s.io"],
                "resources": ["events"],
                "verbs": ["create"],
            });
            let read = match namespaces.policies == Some(namespace) {
                true => vec![read, excusing()],
                false => Vec::new(),
            };
            let name = format!("{name}-policies");
            let name = (&*name, Some(namespace));
            objects.push(role("Role", name, read.into_iter().chain([tell]).collect()));
            objects.push(binding("Role", name, account));
        }
        for namespace in namespaces.exceptions {
            let name = format!("{name}-exceptions");
            let name = (&*name, Some(namespace.as_str()));
            objects.push(role("Role", name, vec![excusing()]));
            objects.push(binding("Role", name, account));
        }
    }
    Roles { objects, guessed }
}

/// Returns a role that allows background scans for these policies, beside [`roles`], and its binding: to
/// list what they match when it is created and what those about the cluster read, and to keep reports.
pub fn audit_roles(set: &PolicySet, name: &str, own_namespace: Option<&str>) -> Vec<Value> {
    let mut by_group = audit::plan::resources(set);
    for kind in audit::view::kinds(set, &[PolicyScope::Cluster]) {
        let resource = Resources::built_in().by_kind(&kind.api_version, &kind.kind);
        let resources = by_group.entry(resource.group).or_default();
        if !resources.contains("*") {
            resources.insert(resource.resource);
        }
    }
    let listed = by_group.into_iter();
    let mut rules: Vec<Value> = listed
        .map(|(group, resources)| {
            json!({"apiGroups": [group], "resources": resources, "verbs": ["list"]})
        })
        .collect();
    for api in [Api::OpenReports, Api::PolicyReports] {
        let (group, _) = split(api.api_version());
        rules.push(json!({
            "apiGroups": [group],
            "resources": [api.plural(false), api.plural(true)],
            // Applying what is not there creates it.
            "verbs": ["create", "delete", "list", "patch"],
        }));
    }
    let role_name = format!("{name}-audit");
    let mut objects = vec![role("ClusterRole", (&role_name, None), rules)];
    objects
        .extend(own_namespace.map(|own| binding("ClusterRole", (&role_name, None), (name, own))));
    objects
}

/// The rule for exceptions of one namespace.
fn excusing() -> Value {
    json!({
        "apiGroups": [exceptions::GROUP],
        "resources": ["policyexceptions"],
        "verbs": ["list", "watch"],
    })
}

/// Rules for what policies read, and the kinds that had to be guessed.
fn reading(set: &PolicySet) -> (Vec<Value>, Vec<ParamKind>) {
    let mut guessed = Vec::new();
    let mut by_group: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for kind in kinds(set) {
        let resource = Resources::built_in().by_kind(&kind.api_version, &kind.kind);
        if resource.provenance.is_guess() {
            guessed.push(kind);
        }
        let resources = by_group.entry(resource.group).or_default();
        resources.insert(resource.resource);
    }
    // Namespaces are followed for selectors and expressions; one too new to be known is asked for.
    if let Some(core) = by_group.get_mut("") {
        core.remove("namespaces");
    }
    let mut rules = vec![
        json!({
            "apiGroups": [""],
            "resources": ["namespaces"],
            "verbs": ["get", "list", "watch"],
        }),
        // What custom kinds look like.
        json!({
            "apiGroups": ["apiextensions.k8s.io"],
            "resources": ["customresourcedefinitions"],
            "verbs": ["list", "watch"],
        }),
    ];
    let read = by_group
        .into_iter()
        .filter(|(_, resources)| !resources.is_empty());
    rules.extend(read.map(|(group, resources)| {
        json!({"apiGroups": [group], "resources": resources, "verbs": ["list", "watch"]})
    }));
    let about_requests = set.policies().iter();
    let mut about_requests = about_requests.filter(|it| it.policy.scope == PolicyScope::Request);
    if about_requests.any(|policy| policy.asks_authorizer()) {
        rules.push(json!({
            "apiGroups": ["authorization.k8s.io"],
            "resources": ["subjectaccessreviews"],
            "verbs": ["create"],
        }));
    }
    (rules, guessed)
}

/// Rules for the Lease and the Secret. Who makes an object has no name to be held to.
fn own_objects(lease: &str, secret: Option<&str>) -> Vec<Value> {
    let rule = |group: &str, resource: &str, verbs: &[&str]| json!({"apiGroups": [group], "resources": [resource], "verbs": verbs});
    let named = |rule: Value, name: &str| with(rule, "resourceNames", json!([name]));
    let (secrets, leases) = (("", "secrets"), ("coordination.k8s.io", "leases"));
    let mut rules = Vec::new();
    if let Some(secret) = secret {
        rules.push(rule(secrets.0, secrets.1, &["create"]));
        let kept = rule(secrets.0, secrets.1, &["list", "update", "watch"]);
        rules.push(named(kept, secret));
    }
    rules.push(rule(leases.0, leases.1, &["create"]));
    rules.push(named(rule(leases.0, leases.1, &["get", "update"]), lease));
    rules
}

fn metadata((name, namespace): (&str, Option<&str>)) -> Value {
    let metadata = json!({"name": name, "labels": labels()});
    match namespace {
        Some(namespace) => with(metadata, "namespace", json!(namespace)),
        None => metadata,
    }
}

fn role(kind: &str, name: (&str, Option<&str>), rules: Vec<Value>) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": metadata(name),
        "rules": rules,
    })
}

fn binding(role: &str, name: (&str, Option<&str>), account: (&str, &str)) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": format!("{role}Binding"),
        "metadata": metadata(name),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": name.0},
        "subjects": [{"kind": "ServiceAccount", "name": account.0, "namespace": account.1}],
    })
}
