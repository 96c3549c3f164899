//! The webhook configurations for a set of policies: no wider than those need, and never in the way of
//! what keeps a cluster alive.
//!
//! Everything here is computed; nothing is sent. What is computed is looked at once more before it is
//! used ([`guards::holes`]), whoever made it.

pub mod drift;
pub mod guards;
pub mod probe;
pub mod roles;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use k8s_openapi::ByteString;
use serde_json::{Map, Value, json};

use super::config::Mode;
use crate::cluster::ObjectName;
use crate::diagnostics::Diagnostic;
use crate::policy::model::{FailurePolicy, NamedRule, Policy, PolicyKind, ReinvocationPolicy};
use crate::policy::set::{BoundPolicy, PolicySet};
use crate::webhook::admission::{Endpoint, Phase};
use rules::Rule;

/// The name of an installation, unless it is given another: of both configurations, of the Lease of the
/// replica that writes them, and of its roles.
pub const NAME: &str = "portcullis";

/// Returns the Secret with the certificate of a Service, unless another one is named: it is beside it.
pub fn certs_secret(service: &ObjectName) -> ObjectName {
    ObjectName {
        namespace: service.namespace.clone(),
        name: format!("{}-certs", service.name),
    }
}

/// How long an API server waits for an answer, unless it is told otherwise: Kubernetes' own default
/// (`SetDefaults_ValidatingWebhook`, kubernetes `pkg/apis/admissionregistration/v1/defaults.go`).
pub const TIMEOUT_SECONDS: u8 = 10;
/// The longest that it may be told to wait (`validateWebhook`, kubernetes
/// `pkg/apis/admissionregistration/validation/validation.go`).
pub const LONGEST_TIMEOUT_SECONDS: u8 = 30;
/// The label by which every Namespace is known; the API server sets it and lets nobody change it
/// (kubernetes `pkg/apis/core/v1/defaults.go`, `SetDefaults_Namespace`).
const NAMESPACE_LABEL: &str = "kubernetes.io/metadata.name";
/// Where the cluster runs what it needs to run.
const SYSTEM_NAMESPACE: &str = "kube-system";

/// How API servers reach the webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// By a Service, on its port 443.
    Service(ObjectName),
    /// By an address outside the cluster's network, as `https://host:8443`, without a path.
    Url(String),
}

/// What the configurations say beside the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The name of the installation, which no other in the cluster may have: each would write its own
    /// rules over those of the other.
    pub name: String,
    /// The namespace that the webhook runs in, which it is never called for.
    pub namespace: Option<String>,
    /// How it is reached.
    pub target: Target,
    /// Whether violations reject. In audit mode a webhook that does not answer must not either.
    pub mode: Mode,
    /// The namespace whose ConfigMaps hold policies, which the webhook is never called for: a policy
    /// about them could otherwise never be taken back.
    pub policy_namespace: Option<String>,
    /// The namespaces, besides its own, where the server has roles.
    pub role_namespaces: BTreeSet<String>,
    /// The namespaces that the webhook is never called for besides `kube-system` and its own.
    pub excluded_namespaces: BTreeSet<String>,
    /// How long an API server waits for an answer.
    pub timeout_seconds: u8,
}

impl Place {
    /// Returns the namespaces that the webhook is never called for.
    fn excluded(&self) -> BTreeSet<&str> {
        let mut excluded = excluded_namespaces(self.namespace.as_deref());
        excluded.extend(self.excluded_namespaces.iter().map(String::as_str));
        excluded
    }

    /// Returns the names by which API servers call: hosts and addresses. The first is the one that they
    /// use (apiserver `pkg/util/webhook/client.go`, `HookClient`: `<name>.<namespace>.svc`).
    pub fn names(&self) -> Vec<String> {
        match &self.target {
            Target::Service(ObjectName { namespace, name }) => vec![
                format!("{name}.{namespace}.svc"),
                format!("{name}.{namespace}.svc.cluster.local"),
                format!("{name}.{namespace}"),
            ],
            Target::Url(url) => {
                let host = url.trim_start_matches("https://");
                let end = host.rfind(':').filter(|at| !host[*at..].contains(']'));
                let host = end.map_or(host, |at| &host[..at]);
                vec![host.trim_matches(['[', ']']).to_owned()]
            }
        }
    }
}

/// What the policies in force ask to be called for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demand {
    entries: Vec<Entry>,
    /// Resources that policies name and are never called for, each with its policy.
    pub unreachable: Vec<Unreachable>,
}

/// A resource that a policy names and the webhook is never called for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unreachable {
    /// The policy.
    pub policy: String,
    /// `resource` or `resource.group`.
    pub resource: String,
}

/// What one webhook is called for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    endpoint: Endpoint,
    rules: Vec<Rule>,
    reinvocation_policy: ReinvocationPolicy,
}

impl Demand {
    /// Collects the rules of all policies in force: one entry for each endpoint that has any.
    ///
    /// What else limits a policy (exclusions, selectors, names, its bindings) is not looked at: a
    /// request that comes in vain is admitted at once.
    pub fn of(set: &PolicySet) -> Self {
        let mut demand = Demand::default();
        let mut unreachable = BTreeSet::new();
        for endpoint in Endpoint::ALL {
            let bound = match endpoint.phase {
                Phase::Validate => set.validating(),
                Phase::Mutate => set.mutating(),
            };
            let policies: Vec<&Policy> = asked_by(bound, endpoint.failure_policy).collect();
            let mut rules = rules::union(policies.iter().flat_map(|policy| resource_rules(policy)));
            if endpoint.phase == Phase::Mutate {
                rules = rules::without_deletions(rules);
            }
            for policy in &policies {
                for resource in resource_rules(policy).flat_map(guards::guarded_names) {
                    unreachable.insert(Unreachable {
                        policy: policy.name.clone(),
                        resource,
                    });
                }
            }
            if rules.is_empty() {
                continue;
            }
            let is_repeated = policies
                .iter()
                .any(|policy| policy.reinvocation_policy == ReinvocationPolicy::IfNeeded);
            demand.entries.push(Entry {
                endpoint,
                rules,
                reinvocation_policy: match is_repeated {
                    true => ReinvocationPolicy::IfNeeded,
                    false => ReinvocationPolicy::Never,
                },
            });
        }
        demand.unreachable = unreachable.into_iter().collect();
        demand
    }

    /// Warns of what policies name and are never called for.
    pub fn findings(&self) -> Vec<Diagnostic> {
        let finding = |it: &Unreachable| {
            let message = format!(
                "`{}` is never asked about `{}`, which it names",
                it.policy, it.resource
            );
            let help = "what keeps a cluster alive does not wait for a webhook; a policy inside the API \
                        server can decide it (`portcullis export`)";
            Diagnostic::warning("registration/never-called", message).help(help)
        };
        self.unreachable.iter().map(finding).collect()
    }

    /// Returns the ValidatingWebhookConfiguration and the MutatingWebhookConfiguration; the API server
    /// calls neither when nothing asks for it.
    ///
    /// `authorities` are the PEM certificates that the API server is to trust; without them the field
    /// is left to whoever fills it in.
    pub fn configurations(&self, place: &Place, authorities: Option<&str>) -> [Value; 2] {
        [PolicyKind::Validating, PolicyKind::Mutating].map(|kind| {
            let (phase, word) = match kind {
                PolicyKind::Validating => (Phase::Validate, "ValidatingWebhookConfiguration"),
                PolicyKind::Mutating => (Phase::Mutate, "MutatingWebhookConfiguration"),
            };
            let entries = self.entries.iter();
            let webhooks: Vec<Value> = entries
                .filter(|entry| entry.endpoint.phase == phase)
                .map(|entry| entry.webhook(place, authorities))
                .collect();
            with(
                empty_configuration(word, &place.name),
                "webhooks",
                json!(webhooks),
            )
        })
    }
}

/// Returns both configurations without a webhook, for the server of that name to fill in.
pub fn empty_configurations(name: &str) -> [Value; 2] {
    [
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
    ]
    .map(|kind| empty_configuration(kind, name))
}

fn empty_configuration(kind: &str, name: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name, "labels": labels()},
    })
}

/// Returns the name of a configuration.
pub(super) fn configured_name(configuration: &Value) -> &str {
    let name = configuration.pointer("/metadata/name");
    name.and_then(Value::as_str).unwrap_or_default()
}

/// Adds a field to an object.
fn with(mut object: Value, key: &str, value: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(key.to_owned(), value);
    }
    object
}

/// The labels of everything that is written to the cluster.
pub(super) fn labels() -> Value {
    json!({
        "app.kubernetes.io/name": "portcullis",
        "app.kubernetes.io/managed-by": "portcullis",
    })
}

fn asked_by(bound: &[BoundPolicy], asked: FailurePolicy) -> impl Iterator<Item = &Policy> {
    let asked = bound.iter().filter(move |it| it.unanswered() == asked);
    asked.map(|it| &it.policy.policy)
}

fn resource_rules(policy: &Policy) -> impl Iterator<Item = &NamedRule> {
    let constraints = policy.match_constraints.iter();
    constraints.flat_map(|it| &it.resource_rules)
}

impl Entry {
    fn webhook(&self, place: &Place, authorities: Option<&str>) -> Value {
        let mut webhook = Map::new();
        let mut set = |key: &str, value: Value| webhook.insert(key.to_owned(), value);
        set("name", json!(webhook_name(self.endpoint)));
        set("admissionReviewVersions", json!(["v1"]));
        set(
            "clientConfig",
            client_config(self.endpoint.path(), place, authorities),
        );
        let failure_policy = match (self.endpoint.failure_policy, place.mode) {
            (FailurePolicy::Fail, Mode::Enforce) => "Fail",
            (FailurePolicy::Ignore, _) | (_, Mode::Audit) => "Ignore",
        };
        set("failurePolicy", json!(failure_policy));
        set("matchPolicy", json!("Equivalent"));
        set("sideEffects", json!("None"));
        set("timeoutSeconds", json!(place.timeout_seconds));
        if self.endpoint.phase == Phase::Mutate {
            let word = match self.reinvocation_policy {
                ReinvocationPolicy::Never => "Never",
                ReinvocationPolicy::IfNeeded => "IfNeeded",
            };
            set("reinvocationPolicy", json!(word));
        }
        set("rules", self.rules.iter().map(Rule::to_json).collect());
        set(
            "namespaceSelector",
            json!({"matchExpressions": [
                {"key": NAMESPACE_LABEL, "operator": "NotIn", "values": place.excluded()},
            ]}),
        );
        // Said so that one that somebody else has set is not kept.
        set("objectSelector", json!({}));
        set("matchConditions", guards::conditions(place));
        Value::Object(webhook)
    }
}

/// Kubernetes asks for at least three segments.
fn webhook_name(endpoint: Endpoint) -> String {
    format!("{}.portcullis.dev", endpoint.name().replace('/', "-"))
}

fn client_config(path: &str, place: &Place, authorities: Option<&str>) -> Value {
    let config = match &place.target {
        Target::Service(ObjectName { namespace, name }) => json!({
            "service": {"namespace": namespace, "name": name, "path": path, "port": 443},
        }),
        Target::Url(url) => json!({"url": format!("{}{path}", url.trim_end_matches('/'))}),
    };
    match authorities {
        Some(authorities) => {
            let encoded = ByteString(authorities.as_bytes().to_vec());
            with(config, "caBundle", json!(encoded))
        }
        None => config,
    }
}

/// The namespaces that no webhook is ever called for.
fn excluded_namespaces(own: Option<&str>) -> BTreeSet<&str> {
    own.into_iter().chain([SYSTEM_NAMESPACE]).collect()
}
