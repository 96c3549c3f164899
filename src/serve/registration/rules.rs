//! The union of the rules of policies, as few rules as that takes, in an order that depends on nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::guards::is_guarded;
use crate::admission::review::Operation;
use crate::policy::model::{NamedRule, Scope};

/// So many combinations of group, version and resource of one rule are taken apart; more are kept
/// together, which makes the union longer than it must be and no wider.
const MOST_COMBINATIONS: usize = 1024;
/// So many comparisons are made to leave out what wider rules say too.
const MOST_COMPARISONS: usize = 1_000_000;

/// A rule of a webhook (`RuleWithOperations`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rule {
    pub(super) groups: Vec<String>,
    pub(super) versions: Vec<String>,
    pub(super) resources: Vec<String>,
    pub(super) operations: Operations,
    pub(super) scope: RuleScope,
}

type Operations = BTreeSet<&'static str>;

/// The scope as a word, so that it has an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RuleScope {
    All,
    Cluster,
    Namespaced,
}

impl From<Scope> for RuleScope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::All => RuleScope::All,
            Scope::Cluster => RuleScope::Cluster,
            Scope::Namespaced => RuleScope::Namespaced,
        }
    }
}

impl RuleScope {
    fn as_str(self) -> &'static str {
        match self {
            RuleScope::All => "*",
            RuleScope::Cluster => "Cluster",
            RuleScope::Namespaced => "Namespaced",
        }
    }
}

impl Rule {
    pub(super) fn to_json(&self) -> Value {
        let operations = match self.operations.len() == Operation::ALL.len() {
            true => vec!["*"],
            false => self.operations.iter().copied().collect(),
        };
        json!({
            "apiGroups": self.groups,
            "apiVersions": self.versions,
            "operations": operations,
            "resources": self.resources,
            "scope": self.scope.as_str(),
        })
    }
}

/// One group, version, resource and scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Atom<'a> {
    group: &'a str,
    version: &'a str,
    resource: &'a str,
    scope: RuleScope,
}

impl Atom<'_> {
    fn is_wild(&self) -> bool {
        self.group == "*"
            || self.version == "*"
            || self.resource.contains('*')
            || self.scope == RuleScope::All
    }

    /// Says whether it matches everything that the other one does.
    fn covers(&self, other: &Atom<'_>) -> bool {
        let covers = |own: &str, other: &str| own == "*" || own == other;
        let (resource, sub_resource) = split(self.resource);
        let (other_resource, other_sub_resource) = split(other.resource);
        covers(self.group, other.group)
            && covers(self.version, other.version)
            && covers(resource, other_resource)
            && covers(sub_resource, other_sub_resource)
            && (self.scope == RuleScope::All || self.scope == other.scope)
    }
}

fn split(resource: &str) -> (&str, &str) {
    resource.split_once('/').unwrap_or((resource, ""))
}

/// Returns rules for policies that change objects, which are never asked about deletions.
pub(super) fn without_deletions(mut rules: Vec<Rule>) -> Vec<Rule> {
    for rule in &mut rules {
        rule.operations.remove(Operation::Delete.as_str());
    }
    rules.retain(|rule| !rule.operations.is_empty());
    rules
}

/// Returns rules that match what any of these does, without what the webhook is never called for.
///
/// They are valid whatever the policies' are: a wildcard is alone in its list (kubernetes
/// `pkg/apis/admissionregistration/validation/validation.go`, `validateRule`), and a rule with an
/// empty list or name, which matches nothing, is left out.
pub(super) fn union<'p>(rules: impl Iterator<Item = &'p NamedRule>) -> Vec<Rule> {
    let mut atoms: BTreeMap<Atom<'p>, Operations> = BTreeMap::new();
    let mut whole = BTreeSet::new();
    for rule in rules {
        let operations = operations(rule);
        if operations.is_empty() {
            continue;
        }
        let (groups, versions) = (alone(&rule.api_groups), alone(&rule.api_versions));
        let resources: Vec<&str> = rule.resources.iter().map(String::as_str).collect();
        let resources: Vec<&str> = resources.into_iter().filter(|it| !it.is_empty()).collect();
        let versions: Vec<&str> = versions.into_iter().filter(|it| !it.is_empty()).collect();
        let combinations = groups.len().saturating_mul(versions.len());
        if combinations.saturating_mul(resources.len()) > MOST_COMBINATIONS {
            let parts = (groups, versions, resources);
            whole.extend(kept_together(parts, &operations, rule.scope.into()));
            continue;
        }
        for group in &groups {
            for resource in resources.iter().filter(|it| !is_guarded(group, it)) {
                for version in &versions {
                    let atom = Atom {
                        group,
                        version,
                        resource,
                        scope: rule.scope.into(),
                    };
                    atoms.entry(atom).or_default().extend(&operations);
                }
            }
        }
    }
    without_covered(&mut atoms);
    let mut merged = merge(atoms);
    merged.extend(whole);
    merged.sort();
    merged
}

fn operations(rule: &NamedRule) -> Operations {
    let is_named = |operation: &Operation| {
        let mut named = rule.operations.iter();
        named.any(|name| name == "*" || name == operation.as_str())
    };
    let all = Operation::ALL.into_iter();
    all.filter(is_named).map(Operation::as_str).collect()
}

/// The names in order, or the wildcard if it is among them.
fn alone(names: &[String]) -> Vec<&str> {
    if names.iter().any(|name| name == "*") {
        return vec!["*"];
    }
    let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    names.into_iter().collect()
}

/// The rules for lists that are too long to be taken apart.
fn kept_together(
    (groups, versions, resources): (Vec<&str>, Vec<&str>, Vec<&str>),
    operations: &Operations,
    scope: RuleScope,
) -> Vec<Rule> {
    let (wild, plain): (BTreeSet<&str>, BTreeSet<&str>) =
        resources.into_iter().partition(|it| it.contains('*'));
    let lists = wild.into_iter().map(|it| BTreeSet::from([it]));
    let lists = lists.chain((!plain.is_empty()).then_some(plain));
    let rule = |resources: BTreeSet<&str>| Rule {
        groups: owned(groups.iter().copied()),
        versions: owned(versions.iter().copied()),
        resources: owned(resources.into_iter()),
        operations: operations.clone(),
        scope,
    };
    lists.map(rule).collect()
}

/// Takes away what wider atoms match too.
fn without_covered(atoms: &mut BTreeMap<Atom<'_>, Operations>) {
    let wild = atoms.iter().filter(|(atom, _)| atom.is_wild());
    let wild: Vec<(Atom<'_>, Operations)> = wild.map(|(a, o)| (a.clone(), o.clone())).collect();
    if wild.len().saturating_mul(atoms.len()) > MOST_COMPARISONS {
        return;
    }
    for (wide, taken) in &wild {
        for (atom, operations) in atoms.iter_mut() {
            if atom != wide && wide.covers(atom) {
                operations.retain(|operation| !taken.contains(operation));
            }
        }
    }
    atoms.retain(|_, operations| !operations.is_empty());
}

/// Puts together what differs in its resource only, then in its group, then in its version. Each step
/// keeps what is matched as it is.
fn merge(atoms: BTreeMap<Atom<'_>, Operations>) -> Vec<Rule> {
    let rules = atoms.into_iter().map(|(atom, operations)| Rule {
        groups: owned([atom.group].into_iter()),
        versions: owned([atom.version].into_iter()),
        resources: owned([atom.resource].into_iter()),
        operations,
        scope: atom.scope,
    });
    let rules = merge_lists(rules.collect(), |rule| &mut rule.resources);
    let rules = merge_lists(rules, |rule| &mut rule.groups);
    merge_lists(rules, |rule| &mut rule.versions)
}

/// Merges rules that differ in one list only, unless a wildcard is in it.
fn merge_lists(rules: Vec<Rule>, list: fn(&mut Rule) -> &mut Vec<String>) -> Vec<Rule> {
    let mut merged: BTreeMap<Rule, BTreeSet<String>> = BTreeMap::new();
    let mut alone = Vec::new();
    for mut rule in rules {
        let names = std::mem::take(list(&mut rule));
        if names.iter().any(|name| name.contains('*')) {
            *list(&mut rule) = names;
            alone.push(rule);
        } else {
            merged.entry(rule).or_default().extend(names);
        }
    }
    let merged = merged.into_iter().map(|(mut rule, names)| {
        *list(&mut rule) = names.into_iter().collect();
        rule
    });
    merged.chain(alone).collect()
}

fn owned<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    names.map(str::to_owned).collect()
}
