//! Whether a policy or binding applies to a request.
//!
//! Semantics: apiserver `plugin/policy/matching/matching.go` and
//! `plugin/webhook/predicates/{rules,namespace,object}`.

use crate::admission::review::AdmissionRequest;
use crate::json::Json;
use crate::policy::compile::CompiledPolicy;
use crate::policy::model::{
    Binding, LabelOperator, LabelSelector, MatchPolicy, MatchResources, NamedRule, Scope,
};
use crate::policy::set::{BoundPolicy, Certainty, PolicySet};

use super::activation::{Document, NAME_LABEL};
use super::cluster::ClusterView;

/// Returns the policies of whose rules one matches by everything that can be seen without parsing
/// the object.
pub(super) fn candidates<'s>(
    set: &'s PolicySet,
    request: &'s AdmissionRequest<'_>,
) -> impl Iterator<Item = &'s BoundPolicy> {
    let target = Target {
        group: &request.resource.group,
        version: &request.resource.version,
        resource: &request.resource.resource,
        sub_resource: &request.sub_resource,
        operation: request.operation.as_str(),
        name: &request.name,
        is_namespaced: !request.namespace.is_empty(),
    };
    let candidates = match request.sub_resource.is_empty() {
        true => set.candidates(target.group, target.resource, request.operation),
        false => {
            let path = format!("{}/{}", target.resource, target.sub_resource);
            set.candidates(target.group, &path, request.operation)
        }
    };
    let matching = candidates.filter(move |candidate| {
        let constraints = candidate.bound.policy.policy.match_constraints.as_ref();
        candidate.certainty == Certainty::Certain
            || constraints.is_some_and(|constraints| {
                let mut rules = constraints.resource_rules.iter();
                rules.any(|rule| target.matches(rule, constraints.match_policy))
            })
    });
    matching.map(|candidate| candidate.bound)
}

/// What rules are compared with.
struct Target<'t> {
    group: &'t str,
    version: &'t str,
    resource: &'t str,
    sub_resource: &'t str,
    operation: &'static str,
    name: &'t str,
    is_namespaced: bool,
}

impl<'t> Target<'t> {
    fn of(document: &'t Document<'_>) -> Self {
        Target {
            group: &document.resource.group,
            version: &document.resource.version,
            resource: &document.resource.resource,
            sub_resource: document.sub_resource,
            operation: document.operation.as_str(),
            name: document.name,
            is_namespaced: !document.namespace.is_empty(),
        }
    }

    /// Says whether a rule is about the request.
    ///
    /// Under `Equivalent` any version of the resource is: a policy is not to be passed by asking for
    /// another version. The API server converts the object to the version of the webhook's rules;
    /// what comes in another one is evaluated as it is. Exclusions are taken by their version, so
    /// that they never exclude more than they say.
    fn matches(&self, rule: &NamedRule, match_policy: MatchPolicy) -> bool {
        let matches_version = || match match_policy {
            MatchPolicy::Equivalent => true,
            MatchPolicy::Exact => rule
                .api_versions
                .iter()
                .any(|version| matches(version, self.version)),
        };
        self.matches_scope(rule.scope)
            && rule
                .operations
                .iter()
                .any(|operation| matches(operation, self.operation))
            && rule
                .api_groups
                .iter()
                .any(|group| matches(group, self.group))
            && matches_version()
            && rule
                .resources
                .iter()
                .any(|resource| self.matches_resource(resource))
            && (rule.resource_names.is_empty()
                || rule.resource_names.iter().any(|name| name == self.name))
    }

    /// A Namespace is cluster-scoped, although its requests name a namespace: its own.
    fn matches_scope(&self, scope: Scope) -> bool {
        let is_namespace = self.group.is_empty() && self.resource == "namespaces";
        match scope {
            Scope::All => true,
            Scope::Namespaced => self.is_namespaced && !is_namespace,
            Scope::Cluster => !self.is_namespaced || is_namespace,
        }
    }

    fn matches_resource(&self, pattern: &str) -> bool {
        let (resource, sub_resource) = pattern.split_once('/').unwrap_or((pattern, ""));
        matches(resource, self.resource) && matches(sub_resource, self.sub_resource)
    }
}

fn matches(pattern: &str, value: &str) -> bool {
    pattern == "*" || pattern == value
}

/// Says whether a policy's constraints match; its rules for the resource are known to.
pub(super) fn policy_matches(
    policy: &CompiledPolicy,
    document: &Document<'_>,
    cluster: &dyn ClusterView,
) -> bool {
    policy
        .policy
        .match_constraints
        .as_ref()
        .is_some_and(|constraints| {
            selectors_match(constraints, document, cluster) && !is_excluded(constraints, document)
        })
}

/// Says whether a binding's own constraints match; without rules it takes every resource.
pub(super) fn binding_matches(
    binding: &Binding,
    document: &Document<'_>,
    cluster: &dyn ClusterView,
) -> bool {
    binding.match_resources.as_ref().is_none_or(|constraints| {
        let target = Target::of(document);
        let rules = &constraints.resource_rules;
        (rules.is_empty()
            || rules
                .iter()
                .any(|rule| target.matches(rule, constraints.match_policy)))
            && selectors_match(constraints, document, cluster)
            && !is_excluded(constraints, document)
    })
}

fn is_excluded(constraints: &MatchResources, document: &Document<'_>) -> bool {
    let excludes = &constraints.exclude_resource_rules;
    if excludes.is_empty() {
        return false;
    }
    let target = Target::of(document);
    excludes
        .iter()
        .any(|rule| target.matches(rule, MatchPolicy::Exact))
}

fn selectors_match(
    constraints: &MatchResources,
    document: &Document<'_>,
    cluster: &dyn ClusterView,
) -> bool {
    namespace_matches(&constraints.namespace_selector, document, cluster)
        && object_matches(&constraints.object_selector, document)
}

/// Cluster-scoped objects match every namespace selector; a Namespace is matched by its own labels.
fn namespace_matches(
    selector: &LabelSelector,
    document: &Document<'_>,
    cluster: &dyn ClusterView,
) -> bool {
    if selector.selects_all() || (document.namespace.is_empty() && !document.is_namespace()) {
        return true;
    }
    if document.is_namespace() {
        return match document.object.is_null() {
            true => selects(selector, document.old_object),
            false => selects(selector, document.object),
        };
    }
    match cluster.namespace(document.namespace) {
        Some(namespace) => selector.selects(|label| {
            let labels = namespace.pointer("/metadata/labels")?;
            labels.get(label)?.as_str()
        }),
        None => selector.selects(|label| (label == NAME_LABEL).then_some(document.namespace)),
    }
}

/// The object as it would be, or as it is: one of them is enough.
fn object_matches(selector: &LabelSelector, document: &Document<'_>) -> bool {
    selector.selects_all()
        || [document.object, document.old_object]
            .into_iter()
            .any(|object| !object.is_null() && selects(selector, object))
}

fn selects(selector: &LabelSelector, object: Json<'_>) -> bool {
    let labels = object.at(&["metadata", "labels"]).unwrap_or(Json::Null);
    selector.selects(|label| labels.get(label).and_then(Json::as_str))
}

impl LabelSelector {
    /// Says whether every object is selected.
    pub fn selects_all(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }

    /// Says whether an object with these labels is selected (apimachinery `pkg/labels`).
    pub fn selects<'l>(&self, label: impl Fn(&str) -> Option<&'l str>) -> bool {
        let labels_match = self
            .match_labels
            .iter()
            .all(|(key, value)| label(key) == Some(value.as_str()));
        labels_match
            && self.match_expressions.iter().all(|requirement| {
                let value = label(&requirement.key);
                let is_listed =
                    value.is_some_and(|value| requirement.values.iter().any(|it| it == value));
                match requirement.operator {
                    LabelOperator::In => is_listed,
                    LabelOperator::NotIn => !is_listed,
                    LabelOperator::Exists => value.is_some(),
                    LabelOperator::DoesNotExist => value.is_none(),
                }
            })
    }
}
