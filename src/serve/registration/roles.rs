//! What the server may do in the cluster: what its policies read, what it asks, and what it writes.
//!
//! [`Settings::of`] is the only place that knows which settings of the configuration take rights; it
//! names every one of them, so that a further setting does not compile before it was thought of.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::super::config::{Certificates, ClusterChoice, ClusterPolicies, Config, Mode};
use super::{labels, with};
use crate::admission::resources::{Provenance, Resources};
use crate::audit;
use crate::audit::report::Api;
use crate::cluster::ObjectName;
use crate::policy::exceptions;
use crate::policy::model::{ParamKind, PolicyScope};
use crate::policy::set::PolicySet;
use crate::serve::herald::CLUSTER_NAMESPACE;
use crate::serve::policies::kinds;
use crate::suite::run::mention;

/// What labelled policies and what binds them are.
const POLICY_RESOURCES: [&str; 4] = [
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
];

/// Who writes webhook configurations and certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Management<'c> {
    /// The server itself, where they are made by somebody else and filled in by it. Its certificate is in
    /// this Secret; without one somebody else makes that.
    Own(Option<&'c ObjectName>),
    /// Somebody else alone.
    Others,
}

/// Scans of what the cluster has, in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scans {
    /// Where their reports are written to, if they are.
    pub reports: Option<Api>,
}

/// What of the configuration takes rights.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'c> {
    /// The name of the installation, of its account and of what is made for it.
    pub name: &'c str,
    /// Where the server runs, and its account is. Without it nothing is bound.
    pub own: Option<&'c str>,
    /// Whether it has to do with the cluster at all.
    pub cluster: ClusterChoice,
    /// Who writes webhook configurations and certificates.
    pub management: Management<'c>,
    /// Where ConfigMaps hold policies, too, and exceptions reach every namespace.
    pub policies: Option<&'c str>,
    /// Whether labelled policies of the cluster are policies here.
    pub cluster_policies: ClusterPolicies,
    /// Where exceptions reach their own namespace.
    pub exceptions: &'c [String],
    /// Whether controllers of what is denied are told by Events.
    pub events: bool,
    /// Whether what the cluster has is scanned.
    pub scans: Option<Scans>,
}

impl<'c> Settings<'c> {
    /// Returns what a server with this configuration does.
    pub fn of(config: &'c Config) -> Self {
        let Config {
            name,
            service,
            url,
            certs,
            cluster,
            policy_namespace,
            cluster_policies,
            exception_namespaces,
            mode,
            events,
            audit_interval,
            audit_reports,
            // Where the server runs is known from these.
            namespace: _,
            certs_secret: _,
            // What is said of policies, of which the set is made.
            policies: _,
            overrides: _,
            kubernetes_version: _,
            // What API servers are told of it.
            excluded_namespaces: _,
            webhook_timeout_seconds: _,
            // Nothing in the cluster has to do with these.
            listen: _,
            admin_listen: _,
            certs_lifetime: _,
            audit_warnings: _,
            exceptions: _,
            kubeconfig: _,
            log: _,
            cache_bytes: _,
            decision_log: _,
            traces_endpoint: _,
            limits: _,
            shutdown: _,
        } = config;
        let own = config.own_namespace();
        let is_registered = (service.is_some() || url.is_some()) && own.is_some();
        Settings {
            name,
            own,
            cluster: *cluster,
            management: match (is_registered, certs) {
                (false, _) => Management::Others,
                (true, Certificates::Secret(secret)) => Management::Own(Some(secret)),
                (true, _) => Management::Own(None),
            },
            policies: policy_namespace.as_deref(),
            cluster_policies: *cluster_policies,
            exceptions: exception_namespaces,
            // In audit mode nothing is denied.
            events: *events && *mode == Mode::Enforce,
            scans: (!audit_interval.is_zero()).then_some(Scans {
                reports: *audit_reports,
            }),
        }
    }
}

/// What the roles of a set of policies are.
#[derive(Debug)]
pub struct Roles {
    /// Roles with their bindings.
    pub objects: Vec<Value>,
    /// Kinds whose plural is a guess, because they are not Kubernetes' own.
    pub guessed: BTreeSet<ParamKind>,
}

/// Returns roles that allow what a server does for these policies, verb for verb, bound to an account
/// of the namespace it runs in. Roles and account have the name of the installation.
pub fn roles(set: &PolicySet, settings: &Settings<'_>) -> Roles {
    let Settings { name, own, .. } = *settings;
    let mut granted = Granted {
        objects: Vec::new(),
        account: own.map(|own| (name, own)),
    };
    let mut guessed = BTreeSet::new();
    if settings.cluster == ClusterChoice::None {
        return Roles {
            objects: granted.objects,
            guessed,
        };
    }
    let known = known(set);
    let mut rules = reading(set, (&known, &mut guessed));
    rules.extend(writing(settings));
    granted.add((name, None), rules);
    if let Management::Own(secret) = settings.management {
        let mut by_namespace: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        if let Some(secret) = secret {
            let rules = by_namespace.entry(&secret.namespace).or_default();
            rules.extend(secret_rules(&secret.name));
        }
        if let Some(own) = own {
            let rules = by_namespace.entry(own).or_default();
            rules.extend(lease_rules(name));
        }
        for (namespace, rules) in by_namespace {
            granted.add((name, Some(namespace)), rules);
        }
    }
    let labelled = settings.cluster_policies == ClusterPolicies::Labelled;
    let told = labelled.then_some(CLUSTER_NAMESPACE);
    // One role, where both are in one namespace.
    for namespace in BTreeSet::from_iter(settings.policies.into_iter().chain(told)) {
        let mut rules = Vec::new();
        if settings.policies == Some(namespace) {
            rules.push(rule("", &["configmaps"], &["list", "watch"]));
            rules.push(excusing());
        }
        rules.push(rule("events.k8s.io", &["events"], &["create"]));
        granted.add((&format!("{name}-policies"), Some(namespace)), rules);
    }
    for namespace in BTreeSet::from_iter(settings.exceptions) {
        if settings.policies != Some(namespace) {
            let role = format!("{name}-exceptions");
            granted.add((&role, Some(namespace)), vec![excusing()]);
        }
    }
    if let Some(scans) = settings.scans {
        let mut rules = listing(scanned(
            set,
            &[PolicyScope::Cluster],
            (&known, &mut guessed),
        ));
        rules.extend(scans.reports.map(reporting));
        granted.add((&format!("{name}-audit"), None), rules);
    }
    Roles {
        objects: granted.objects,
        guessed,
    }
}

/// What `portcullis audit` is given that takes rights.
#[derive(Debug, Clone, Copy)]
pub struct Command<'c> {
    /// The name of the roles, and of the account that they are bound to.
    pub name: &'c str,
    /// Where that account is. Without it nothing is bound.
    pub namespace: Option<&'c str>,
    /// Where exceptions reach every namespace.
    pub policies: Option<&'c str>,
    /// Where exceptions reach their own namespace.
    pub exceptions: &'c [String],
    /// Where reports are written to, if they are.
    pub reports: Option<Api>,
}

/// Returns roles that allow `portcullis audit` with these policies.
pub fn command_roles(set: &PolicySet, command: &Command<'_>) -> Roles {
    let Command { name, .. } = *command;
    let mut granted = Granted {
        objects: Vec::new(),
        account: command.namespace.map(|namespace| (name, namespace)),
    };
    let mut guessed = BTreeSet::new();
    let scopes = [PolicyScope::Request, PolicyScope::Cluster];
    let mut resources = scanned(set, &scopes, (&known(set), &mut guessed));
    for (group, resource) in [
        ("", "namespaces"),
        ("apiextensions.k8s.io", "customresourcedefinitions"),
    ] {
        insert(&mut resources, group, resource);
    }
    let mut rules = listing(resources);
    rules.extend(command.reports.map(reporting));
    granted.add((name, None), rules);
    let excusing = command.exceptions.iter().map(String::as_str);
    for namespace in BTreeSet::from_iter(excusing.chain(command.policies)) {
        let rules = vec![rule(exceptions::GROUP, &["policyexceptions"], &["list"])];
        granted.add((&format!("{name}-exceptions"), Some(namespace)), rules);
    }
    Roles {
        objects: granted.objects,
        guessed,
    }
}

/// Returns what scans in the background list for these policies, by group.
pub fn listed_by_scans(set: &PolicySet) -> BTreeMap<String, BTreeSet<String>> {
    let scopes = [PolicyScope::Cluster];
    scanned(set, &scopes, (&known(set), &mut BTreeSet::new()))
}

/// Roles with their bindings to an account, if there is one.
struct Granted<'a> {
    objects: Vec<Value>,
    account: Option<(&'a str, &'a str)>,
}

impl Granted<'_> {
    /// Adds a Role of a namespace, or a ClusterRole.
    fn add(&mut self, name: (&str, Option<&str>), rules: Vec<Value>) {
        let kind = match name.1 {
            Some(_) => "Role",
            None => "ClusterRole",
        };
        self.objects.push(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": kind,
            "metadata": metadata(name),
            "rules": rules,
        }));
        if let Some((account, namespace)) = self.account {
            self.objects.push(json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": format!("{kind}Binding"),
                "metadata": metadata(name),
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name.0},
                "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
            }));
        }
    }
}

/// Rules for what policies read.
fn reading(
    set: &PolicySet,
    (known, guessed): (&Resources, &mut BTreeSet<ParamKind>),
) -> Vec<Value> {
    let mut by_group = named(kinds(set), (known, guessed));
    // Namespaces are followed for selectors and expressions, whatever policies read.
    if let Some(core) = by_group.get_mut("") {
        core.remove("namespaces");
    }
    let mut rules = vec![
        rule("", &["namespaces"], &["list", "watch"]),
        // What custom kinds look like.
        rule(
            "apiextensions.k8s.io",
            &["customresourcedefinitions"],
            &["list", "watch"],
        ),
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
        rules.push(rule(
            "authorization.k8s.io",
            &["subjectaccessreviews"],
            &["create"],
        ));
    }
    rules
}

/// Rules for what the server does in the whole cluster besides.
fn writing(settings: &Settings<'_>) -> Vec<Value> {
    let mut rules = Vec::new();
    let group = "admissionregistration.k8s.io";
    if matches!(settings.management, Management::Own(_)) {
        let configurations = [
            "mutatingwebhookconfigurations",
            "validatingwebhookconfigurations",
        ];
        // Whether a webhook is in force already, and what API servers trust that call it.
        let written = rule(group, &configurations, &["get", "patch"]);
        rules.push(of(written, settings.name));
    }
    if settings.cluster_policies == ClusterPolicies::Labelled {
        rules.push(rule(group, &POLICY_RESOURCES, &["list", "watch"]));
    }
    if settings.events {
        // On the controllers of what is denied, wherever they are.
        rules.push(rule("events.k8s.io", &["events"], &["create", "patch"]));
    }
    rules
}

/// What is known of resources: Kubernetes' own, and those that the policies match by their name.
fn known(set: &PolicySet) -> Resources {
    let mut known = Resources::default();
    mention(&mut known, set);
    known
}

/// The resources of kinds, by group.
fn named(
    kinds: BTreeSet<ParamKind>,
    (known, guessed): (&Resources, &mut BTreeSet<ParamKind>),
) -> BTreeMap<String, BTreeSet<String>> {
    let mut by_group = BTreeMap::new();
    for kind in kinds {
        let resource = known.by_kind(&kind.api_version, &kind.kind);
        insert(&mut by_group, &resource.group, &resource.resource);
        // Of what a policy names the scope alone is a guess, and rights have none.
        if resource.provenance == Provenance::Guessed {
            guessed.insert(kind);
        }
    }
    by_group
}

fn insert(by_group: &mut BTreeMap<String, BTreeSet<String>>, group: &str, resource: &str) {
    let resources = by_group.entry(group.to_owned()).or_default();
    if !resources.contains("*") {
        resources.insert(resource.to_owned());
    }
}

/// What a scan lists: what policies match when it is created, and what those of these scopes read.
fn scanned(
    set: &PolicySet,
    scopes: &[PolicyScope],
    known: (&Resources, &mut BTreeSet<ParamKind>),
) -> BTreeMap<String, BTreeSet<String>> {
    let mut by_group = audit::plan::resources(set);
    for (group, resources) in named(audit::view::kinds(set, scopes), known) {
        for resource in resources {
            insert(&mut by_group, &group, &resource);
        }
    }
    by_group
}

fn listing(by_group: BTreeMap<String, BTreeSet<String>>) -> Vec<Value> {
    let rules = by_group.into_iter().map(|(group, resources)| {
        json!({"apiGroups": [group], "resources": resources, "verbs": ["list"]})
    });
    rules.collect()
}

/// The rule for reports. Applying one that is not there creates it, which takes both verbs (apiserver
/// `pkg/endpoints/handlers/patch.go`, `withAuthorization`).
fn reporting(api: Api) -> Value {
    let resources = [api.plural(false), api.plural(true)];
    rule(
        api.group(),
        &resources,
        &["create", "delete", "list", "patch"],
    )
}

/// The rule for exceptions of one namespace.
fn excusing() -> Value {
    rule(exceptions::GROUP, &["policyexceptions"], &["list", "watch"])
}

/// Rules for the Secret. Who makes an object has no name to be held to.
fn secret_rules(name: &str) -> [Value; 2] {
    let kept = rule("", &["secrets"], &["list", "update", "watch"]);
    [rule("", &["secrets"], &["create"]), of(kept, name)]
}

/// Rules for the Lease.
fn lease_rules(name: &str) -> [Value; 2] {
    let (group, leases) = ("coordination.k8s.io", &["leases"]);
    let kept = rule(group, leases, &["get", "update"]);
    [rule(group, leases, &["create"]), of(kept, name)]
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

/// A rule about one object alone.
fn of(rule: Value, name: &str) -> Value {
    with(rule, "resourceNames", json!([name]))
}

fn metadata((name, namespace): (&str, Option<&str>)) -> Value {
    let metadata = json!({"name": name, "labels": labels()});
    match namespace {
        Some(namespace) => with(metadata, "namespace", json!(namespace)),
        None => metadata,
    }
}
