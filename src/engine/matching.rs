//! Whether a policy or binding applies to a request.
//!
//! Semantics: apiserver `plugin/policy/matching/matching.go` and
//! `plugin/webhook/predicates/{rules,namespace,object}`.

use std::borrow::Cow;
use std::cell::OnceCell;

use crate::admission::resources::Resources;
use crate::admission::review::{AdmissionRequest, Operation};
use crate::json::Json;
use crate::policy::compile::CompiledPolicy;
use crate::policy::model::{
    Binding, LabelOperator, LabelSelector, MatchPolicy, MatchResources, NamedRule, PolicyKind,
    Scope,
};
use crate::policy::set::{Asked, BoundPolicy, Certainty, PolicySet};

use super::activation::{Document, NAME_LABEL};
use super::cluster::ClusterView;

/// Returns the policies of whose rules one matches by everything that can be seen without parsing
/// the object, each with the version of it that the rule is about.
pub(super) fn candidates<'s>(
    set: &'s PolicySet,
    kind: PolicyKind,
    target: &'s Target<'_>,
) -> impl Iterator<Item = (&'s BoundPolicy, As)> {
    let path = match target.sub_resource.is_empty() {
        true => Cow::Borrowed(target.resource),
        false => Cow::Owned(format!("{}/{}", target.resource, target.sub_resource)),
    };
    let asked = Asked {
        group: target.group,
        version: target.version,
        resource: &path,
        operation: target.operation,
    };
    let candidates = set.candidates(kind, asked);
    candidates.filter_map(move |candidate| {
        if candidate.certainty == Certainty::Certain {
            return Some((candidate.bound, As::Sent));
        }
        let constraints = candidate.bound.policy.policy.match_constraints.as_ref()?;
        let version = target.matching(&constraints.resource_rules, constraints.match_policy)?;
        Some((candidate.bound, version))
    })
}

/// In which version an object is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum As {
    /// In the one that the client has sent.
    Sent,
    /// In the one that is at hand, because others are not known.
    Given,
    /// In another one: group and version.
    Version(String, String),
}

/// What rules are compared with: the resource as the client has addressed it, whatever the API server
/// has made of the object for the rules of the webhook.
pub(super) struct Target<'t> {
    group: &'t str,
    version: &'t str,
    resource: &'t str,
    sub_resource: &'t str,
    operation: Operation,
    name: &'t str,
    is_namespaced: bool,
    resources: &'t Resources,
    /// Group and version of what is the same in storage.
    equivalents: OnceCell<Vec<(String, String)>>,
}

impl<'t> Target<'t> {
    /// Returns what the rules of policies are compared with.
    pub(super) fn of(request: &'t AdmissionRequest<'_>, resources: &'t Resources) -> Self {
        let sent = request.request_resource.as_ref();
        let resource = sent.unwrap_or(&request.resource);
        Target {
            group: &resource.group,
            version: &resource.version,
            resource: &resource.resource,
            sub_resource: &request.sub_resource,
            operation: request.operation,
            name: &request.name,
            is_namespaced: !request.namespace.is_empty(),
            resources,
            equivalents: OnceCell::new(),
        }
    }

    /// Returns the version of the object that the first matching rule is about.
    ///
    /// Under `Equivalent` a rule about another version of the resource matches too (apiserver
    /// `plugin/policy/matching/matching.go`, `matchesResourceRules`). Where the versions of a resource
    /// are not known, any is taken for one: a policy is not to be passed by asking for another
    /// version.
    pub(super) fn matching(&self, rules: &[NamedRule], match_policy: MatchPolicy) -> Option<As> {
        let fits = |rule: &NamedRule, group: &str, version: &str| {
            rule.api_groups.iter().any(|it| matches(it, group))
                && rule.api_versions.iter().any(|it| matches(it, version))
        };
        let may_fit = || rules.iter().filter(|rule| self.fits_otherwise(rule));
        if may_fit().any(|rule| fits(rule, self.group, self.version)) {
            return Some(As::Sent);
        }
        if match_policy == MatchPolicy::Exact || may_fit().next().is_none() {
            return None;
        }
        let equivalents = self
            .equivalents
            .get_or_init(|| self.resources.equivalents(self.group, self.resource));
        let is_own =
            |(group, version): &&(String, String)| group == self.group && version == self.version;
        if !equivalents.iter().any(|it| is_own(&it)) {
            let mut of_group = may_fit();
            let fits = |rule: &NamedRule| rule.api_groups.iter().any(|it| matches(it, self.group));
            return of_group.any(fits).then_some(As::Given);
        }
        may_fit().find_map(|rule| {
            let mut others = equivalents.iter().filter(|it| !is_own(it));
            let (group, version) = others.find(|(group, version)| fits(rule, group, version))?;
            Some(As::Version(group.clone(), version.clone()))
        })
    }

    /// Returns the name that the request gives, which may be none.
    pub(super) fn name(&self) -> &'t str {
        self.name
    }

    /// Says whether a rule is about the request in everything but group and version.
    fn fits_otherwise(&self, rule: &NamedRule) -> bool {
        self.matches_scope(rule.scope)
            && rule
                .operations
                .iter()
                .any(|operation| matches(operation, self.operation.as_str()))
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
    target: &Target<'_>,
    document: &Document<'_>,
    cluster: &dyn ClusterView,
) -> bool {
    policy
        .policy
        .match_constraints
        .as_ref()
        .is_some_and(|constraints| {
            selectors_match(constraints, document, cluster) && !is_excluded(constraints, target)
        })
}

/// Says whether a binding's own constraints match; without rules it takes every resource.
pub(super) fn binding_matches(
    binding: &Binding,
    target: &Target<'_>,
    document: &Document<'_>,
    cluster: &dyn ClusterView,
) -> bool {
    binding.match_resources.as_ref().is_none_or(|constraints| {
        let rules = &constraints.resource_rules;
        (rules.is_empty() || target.matching(rules, constraints.match_policy).is_some())
            && selectors_match(constraints, document, cluster)
            && !is_excluded(constraints, target)
    })
}

/// Exclusions are taken by what they say if versions are not known: they never exclude more.
fn is_excluded(constraints: &MatchResources, target: &Target<'_>) -> bool {
    let excludes = &constraints.exclude_resource_rules;
    let excluded = target.matching(excludes, constraints.match_policy);
    excluded.is_some_and(|version| version != As::Given)
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

pub(super) fn selects(selector: &LabelSelector, object: Json<'_>) -> bool {
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
