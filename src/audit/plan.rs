//! What a scan looks at, and what it cannot: by the policies alone, before anything is listed.
//!
//! An object that exists is looked at as if it were created now. Who created it, what it was before, and
//! what was asked of it since nobody knows: an expression that reads that cannot be judged. Of a policy
//! that reads it in some of its validations, the others are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::served::{Discovery, Served};
use crate::admission::review::Operation;
use crate::cel::ast::{Ast, Expr, Literal, NodeId, operator};
use crate::cel::parse;
use crate::policy::compile::CompiledPolicy;
use crate::policy::model::{MatchPolicy, MatchResources, Mutation, NamedRule, PolicyKind, Scope};
use crate::policy::set::{BoundPolicy, PolicySet};

/// Groups of which nothing is ever looked at: what tells of other objects, changes all the time and is
/// gone soon, and the reports themselves.
const NEVER: [&str; 4] = [
    "coordination.k8s.io",
    "events.k8s.io",
    "openreports.io",
    "wgpolicyk8s.io",
];
/// The same in the core group.
const NEVER_CORE: [&str; 1] = ["events"];

/// What a scan does.
#[derive(Debug, Default)]
pub struct Plan {
    /// The kinds to list, in order of group and resource.
    pub listings: Vec<Listing>,
    /// What cannot be scanned, in order of policy.
    pub left_out: Vec<LeftOut>,
    /// How many policies are about kinds that the cluster does not have.
    pub without_kind: usize,
    /// Policies whose decisions count.
    judged: FxHashSet<(PolicyKind, String)>,
    /// Validations whose decisions do not.
    blind: FxHashSet<(String, usize)>,
}

/// A kind to list.
#[derive(Debug, Clone)]
pub struct Listing {
    /// The resource.
    pub served: Served,
    /// In which of its versions it is read: the one that most policies name.
    pub version: String,
}

/// A policy, or a part of it, that cannot be scanned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    /// Its name.
    pub policy: String,
    /// The positions of its validations that are left out, from 1; empty if it is the whole policy.
    pub validations: Vec<usize>,
    /// Why.
    pub reason: String,
}

/// What is to be looked at, if it is not everything.
#[derive(Debug, Clone, Default)]
pub struct Only {
    /// Names of policies; empty for all.
    pub policies: Vec<String>,
    /// Names of resources (`deployments.apps`, `pods`) or kinds; empty for all.
    pub kinds: Vec<String>,
}

impl Only {
    fn takes_policy(&self, name: &str) -> bool {
        self.policies.is_empty() || self.policies.iter().any(|it| it == name)
    }

    fn takes_kind(&self, served: &Served) -> bool {
        let is_asked = |name: &String| {
            *name == served.resource
                || *name == served.name()
                || name.eq_ignore_ascii_case(&served.kind)
        };
        self.kinds.is_empty() || self.kinds.iter().any(is_asked)
    }
}

impl Plan {
    /// Plans a scan for the policies in force.
    pub fn of(set: &PolicySet, discovery: &Discovery, only: &Only) -> Self {
        let mut plan = Plan::default();
        plan.judge(set, only);
        let in_force: Vec<&BoundPolicy> = set
            .validating()
            .iter()
            .chain(set.mutating())
            .filter(|bound| plan.is_judged(&bound.policy))
            .collect();
        let mut with_kind: FxHashSet<(PolicyKind, &str)> = FxHashSet::default();
        for served in discovery
            .resources
            .iter()
            .filter(|it| !is_never(&it.group, &it.resource))
        {
            let about: Vec<(&BoundPolicy, BTreeSet<&str>)> = in_force
                .iter()
                .map(|bound| (*bound, versions(bound, served)))
                .filter(|(_, versions)| !versions.is_empty())
                .collect();
            with_kind.extend(about.iter().map(|(bound, _)| key(&bound.policy)));
            if about.is_empty() || !only.takes_kind(served) {
                continue;
            }
            let version = best_version(served, &about);
            plan.note_other_versions(&about, served, &version);
            plan.listings.push(Listing {
                served: served.clone(),
                version,
            });
        }
        let is_without = |bound: &&&BoundPolicy| !with_kind.contains(&key(&bound.policy));
        plan.without_kind = in_force.iter().filter(is_without).count();
        plan.listings.sort_by(|a, b| {
            (&a.served.group, &a.served.resource).cmp(&(&b.served.group, &b.served.resource))
        });
        plan.left_out.sort();
        plan.left_out.dedup();
        plan
    }

    /// Says whether a decision of a policy counts, about one of its validations or not.
    pub fn counts(&self, policy: &CompiledPolicy, validation: Option<usize>) -> bool {
        let name = &policy.policy.name;
        self.is_judged(policy)
            && validation.is_none_or(|at| !self.blind.contains(&(name.clone(), at)))
    }

    /// Leaves out the policies that read a kind which cannot be read, for a reason.
    pub fn leave_out_readers(&mut self, set: &PolicySet, api_version: &str, kind: &str, why: &str) {
        for compiled in set.policies() {
            let policy = &compiled.policy;
            let reads = policy
                .reads
                .iter()
                .any(|it| it.api_version == api_version && it.kind == kind);
            let params = policy.param_kind.as_ref();
            let takes = params.is_some_and(|it| it.api_version == api_version && it.kind == kind);
            if (reads || takes) && self.judged.remove(&(policy.kind, policy.name.clone())) {
                self.leave_out(
                    compiled,
                    format!("reads {api_version}/{kind}, which cannot be listed: {why}"),
                );
            }
        }
        self.left_out.sort();
    }

    fn is_judged(&self, policy: &CompiledPolicy) -> bool {
        let read = &policy.policy;
        self.judged.contains(&(read.kind, read.name.clone()))
    }

    /// Decides which policies count, and says why others do not.
    fn judge(&mut self, set: &PolicySet, only: &Only) {
        let about_requests = set.validating().iter().chain(set.mutating());
        for bound in about_requests.chain(set.about_cluster()) {
            let policy = &bound.policy;
            if !only.takes_policy(&policy.policy.name) {
                continue;
            }
            let is_about_cluster = policy.policy.match_constraints.is_none();
            let why_not = match faulty(policy) {
                None if is_about_cluster => None,
                None => never_created(policy).or_else(|| self.unseen(policy)),
                why => why,
            };
            match why_not {
                Some(reason) => self.leave_out(policy, reason),
                None => {
                    let key = (policy.policy.kind, policy.policy.name.clone());
                    self.judged.insert(key);
                }
            }
        }
    }

    fn leave_out(&mut self, policy: &CompiledPolicy, reason: String) {
        self.left_out.push(LeftOut {
            policy: policy.policy.name.clone(),
            validations: Vec::new(),
            reason,
        });
    }

    /// Says why nothing of a policy can be judged; what is true of some validations is noted.
    fn unseen(&mut self, compiled: &CompiledPolicy) -> Option<String> {
        let policy = &compiled.policy;
        let variables = Variables::of(compiled);
        let conditions = policy.match_conditions.iter();
        let mutations = policy.mutations.iter().map(|mutation| match mutation {
            Mutation::JsonPatch(it) | Mutation::ApplyConfiguration(it) => it,
        });
        let mut all = conditions.map(|it| &it.expression).chain(mutations);
        if let Some(unseen) = all.find_map(|it| variables.unseen(&it.text)) {
            return Some(unseen.to_owned());
        }
        let of_validation = |(at, it): (usize, &crate::policy::model::Validation)| {
            Some((at, variables.unseen(&it.expression.text)?))
        };
        let blind: Vec<(usize, &'static str)> = policy
            .validations
            .iter()
            .enumerate()
            .filter_map(of_validation)
            .collect();
        let (_, first) = *blind.first()?;
        if blind.len() == policy.validations.len() {
            return Some(first.to_owned());
        }
        for (at, reason) in blind {
            self.blind.insert((policy.name.clone(), at));
            self.left_out.push(LeftOut {
                policy: policy.name.clone(),
                validations: vec![at + 1],
                reason: reason.to_owned(),
            });
        }
        None
    }

    /// Names policies that look at other versions than the one that is read, and at no other.
    fn note_other_versions(
        &mut self,
        about: &[(&BoundPolicy, BTreeSet<&str>)],
        served: &Served,
        version: &str,
    ) {
        for (bound, versions) in about {
            let constraints = bound.policy.policy.match_constraints.as_ref();
            let is_exact = constraints.is_some_and(|it| it.match_policy == MatchPolicy::Exact);
            if is_exact && !versions.contains(version) {
                let reason = format!(
                    "matches {} in exactly another version than {version}, which it is read in",
                    served.name()
                );
                self.leave_out(&bound.policy, reason);
            }
        }
    }
}

/// Returns the resources that policies in force match when they are created, by group, without asking a
/// cluster; `*` stands for all. It is what a scan lists.
pub fn resources(set: &PolicySet) -> BTreeMap<String, BTreeSet<String>> {
    let mut plan = Plan::default();
    plan.judge(set, &Only::default());
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for bound in set.validating().iter().chain(set.mutating()) {
        let constraints = bound.policy.policy.match_constraints.as_ref();
        let Some(constraints) = constraints.filter(|_| plan.is_judged(&bound.policy)) else {
            continue;
        };
        for rule in constraints.resource_rules.iter().filter(|it| creates(it)) {
            for group in &rule.api_groups {
                for resource in rule.resources.iter().filter_map(|it| whole(it)) {
                    if !is_never(group, resource) {
                        let of_group = found.entry(group.clone()).or_default();
                        of_group.insert(resource.to_owned());
                    }
                }
            }
        }
    }
    for resources in found.values_mut() {
        if resources.contains("*") {
            resources.retain(|it| it == "*");
        }
    }
    found
}

fn key(policy: &Arc<CompiledPolicy>) -> (PolicyKind, &str) {
    (policy.policy.kind, policy.policy.name.as_str())
}

/// Says whether objects of a resource are never looked at.
fn is_never(group: &str, resource: &str) -> bool {
    NEVER.contains(&group) || (group.is_empty() && NEVER_CORE.contains(&resource))
}

fn faulty(policy: &CompiledPolicy) -> Option<String> {
    policy
        .is_faulty()
        .then(|| "is faulty and cannot be evaluated".to_owned())
}

/// Says why no creation of an object is matched.
fn never_created(policy: &CompiledPolicy) -> Option<String> {
    let constraints = policy.policy.match_constraints.as_ref();
    let rules = constraints.map_or(&[] as &[NamedRule], |it| &it.resource_rules);
    if rules
        .iter()
        .any(|rule| creates(rule) && rule.resources.iter().any(|it| whole(it).is_some()))
    {
        let is_looked_at = |rule: &NamedRule| {
            rule.api_groups.iter().any(|group| {
                let mut resources = rule.resources.iter().filter_map(|it| whole(it));
                resources.any(|resource| !is_never(group, resource))
            })
        };
        let looked_at = rules.iter().any(|rule| creates(rule) && is_looked_at(rule));
        return (!looked_at)
            .then(|| "matches only events, leases or reports, which are not looked at".to_owned());
    }
    if rules.iter().any(creates) {
        return Some("matches subresources only".to_owned());
    }
    let operations: BTreeSet<&str> = rules
        .iter()
        .flat_map(|rule| rule.operations.iter().map(String::as_str))
        .collect();
    let operations: Vec<&str> = operations.into_iter().collect();
    Some(match operations.is_empty() {
        true => "matches nothing".to_owned(),
        false => format!("matches {} only", operations.join(" and ")),
    })
}

fn creates(rule: &NamedRule) -> bool {
    let create = Operation::Create.as_str();
    rule.operations.iter().any(|it| it == "*" || it == create)
}

/// Returns the resource of a pattern that matches it itself, and not only its subresources.
fn whole(pattern: &str) -> Option<&str> {
    match pattern.split_once('/') {
        None => Some(pattern),
        Some((resource, "*")) => Some(resource),
        Some(_) => None,
    }
}

/// Returns the versions of a resource that a policy, or with it a binding, names.
fn versions<'s>(bound: &BoundPolicy, served: &'s Served) -> BTreeSet<&'s str> {
    let Some(constraints) = &bound.policy.policy.match_constraints else {
        return BTreeSet::new();
    };
    let is_bound = |resources: &Option<MatchResources>| {
        resources.as_ref().is_none_or(|it| {
            let rules = &it.resource_rules;
            let is_met = rules.is_empty() || !named(rules, served).is_empty();
            is_met && !is_excluded(it, served)
        })
    };
    let is_in_force = bound
        .bindings
        .iter()
        .any(|it| is_bound(&it.match_resources));
    if !is_in_force || is_excluded(constraints, served) {
        return BTreeSet::new();
    }
    named(&constraints.resource_rules, served)
}

fn named<'s>(rules: &[NamedRule], served: &'s Served) -> BTreeSet<&'s str> {
    let rules = rules.iter().filter(|rule| is_about(rule, served));
    let versions = rules.flat_map(|rule| {
        let is_named = |version: &&String| {
            let mut named = rule.api_versions.iter();
            named.any(|it| it == "*" || it == *version)
        };
        served.versions.iter().filter(is_named)
    });
    versions.map(String::as_str).collect()
}

/// Says whether every version is excluded, whatever the objects are called.
fn is_excluded(constraints: &MatchResources, served: &Served) -> bool {
    let rules = constraints.exclude_resource_rules.iter();
    let whole: Vec<NamedRule> = rules
        .filter(|it| it.resource_names.is_empty())
        .cloned()
        .collect();
    let excluded = named(&whole, served);
    match constraints.match_policy {
        MatchPolicy::Exact => excluded.len() == served.versions.len(),
        MatchPolicy::Equivalent => !excluded.is_empty(),
    }
}

/// Says whether a rule matches the creation of an object, its version aside.
fn is_about(rule: &NamedRule, served: &Served) -> bool {
    let is_namespace = served.group.is_empty() && served.resource == "namespaces";
    let matches_scope = match rule.scope {
        Scope::All => true,
        Scope::Namespaced => served.is_namespaced && !is_namespace,
        Scope::Cluster => !served.is_namespaced || is_namespace,
    };
    matches_scope
        && creates(rule)
        && rule
            .api_groups
            .iter()
            .any(|it| it == "*" || *it == served.group)
        && rule
            .resources
            .iter()
            .filter_map(|it| whole(it))
            .any(|it| it == "*" || it == served.resource)
}

/// The version that most policies name; of several the one that the API server prefers.
fn best_version(served: &Served, about: &[(&BoundPolicy, BTreeSet<&str>)]) -> String {
    let count = |version: &String| {
        let naming = about
            .iter()
            .filter(|(_, named)| named.contains(version.as_str()));
        naming.count()
    };
    let mut best = None;
    for version in &served.versions {
        let count = count(version);
        if best.is_none_or(|(most, _)| count > most) {
            best = Some((count, version));
        }
    }
    best.map(|(_, version)| version.clone()).unwrap_or_default()
}

/// What the variables of a policy read that a scan does not know.
struct Variables<'p> {
    unseen: FxHashMap<&'p str, &'static str>,
}

impl<'p> Variables<'p> {
    fn of(compiled: &'p CompiledPolicy) -> Self {
        let mut variables = Variables {
            unseen: FxHashMap::default(),
        };
        // Each reads those before it.
        for variable in &compiled.policy.variables {
            if let Some(reason) = variables.unseen(&variable.expression.text) {
                variables.unseen.insert(&variable.name, reason);
            }
        }
        variables
    }

    /// Says what an expression reads that a scan does not know.
    fn unseen(&self, text: &str) -> Option<&'static str> {
        // What does not parse is faulty, and said elsewhere.
        let ast = parse::parse(text).ok()?;
        let mut selected: FxHashSet<NodeId> = FxHashSet::default();
        for node in ast.nodes() {
            let Some((operand, field)) = field(&ast, &node.expr) else {
                continue;
            };
            match ident(&ast, operand) {
                Some("request") => {
                    selected.insert(operand);
                    match field {
                        "userInfo" => {
                            return Some(
                                "reads `request.userInfo`: who created an object is not known",
                            );
                        }
                        "options" => {
                            return Some(
                                "reads `request.options`: how an object was created is not known",
                            );
                        }
                        _ => {}
                    }
                }
                Some("variables") => {
                    if let Some(reason) = self.unseen.get(field) {
                        return Some(reason);
                    }
                }
                _ => {}
            }
        }
        (0_u32..)
            .zip(ast.nodes())
            .find_map(|(at, node)| match &node.expr {
                Expr::Ident(name) => match name.trim_start_matches('.') {
                    "oldObject" => {
                        Some("reads `oldObject`: what an object was before is not known")
                    }
                    "authorizer" => Some("reads `authorizer`: who created an object is not known"),
                    "request" if !selected.contains(&NodeId(at)) => {
                        Some("reads `request` as a whole: who created an object is not known")
                    }
                    _ => None,
                },
                _ => None,
            })
    }
}

/// Returns the operand and the name of a field that is selected, in whatever way.
fn field<'a>(ast: &'a Ast, expr: &'a Expr) -> Option<(NodeId, &'a str)> {
    match expr {
        Expr::Select(select) | Expr::Has(select) | Expr::OptSelect(select) => {
            Some((select.operand, &select.field))
        }
        Expr::Call(call)
            if matches!(
                call.function.as_str(),
                operator::INDEX | operator::OPT_INDEX
            ) =>
        {
            match call.arguments.as_slice() {
                [operand, index] => match ast.expr(*index) {
                    Expr::Literal(Literal::String(name)) => Some((*operand, name)),
                    _ => None,
                },
                _ => None,
            }
        }
        _ => None,
    }
}

fn ident(ast: &Ast, node: NodeId) -> Option<&str> {
    match ast.expr(node) {
        Expr::Ident(name) => Some(name.trim_start_matches('.')),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
