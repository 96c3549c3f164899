//! Which policies may match a request, without a look at the policies.

use rustc_hash::FxHashMap;

use crate::admission::resources::shared_with;
use crate::admission::review::Operation;
use crate::policy::model::{MatchResources, NamedRule, Scope};

use super::BoundPolicy;

/// Positions of policies by the resources their rules name.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Rules that name a group and a resource: by group, then by `resource` or
    /// `resource/subresource`.
    exact: FxHashMap<String, FxHashMap<String, Vec<Entry>>>,
    /// Rules with a wildcard, to be looked at for every request.
    wild: Vec<Entry>,
    /// The versions that rules name.
    versions: Vec<String>,
}

/// The position of a policy, with what its rules say of a resource.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) at: usize,
    rules: Rules,
}

/// What the rules of a policy for one resource say.
#[derive(Debug, Clone, Copy)]
enum Rules {
    /// They match these operations, a bit for each, in this version, and nothing else is asked for.
    Operations(u8, Version),
    /// More than that.
    More,
}

/// The version that a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Any,
    /// The one at this position of [`Index::versions`].
    Only(usize),
}

/// Whether a policy's rules match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// They do.
    Certain,
    /// That takes a look at them.
    Possible,
}

impl Entry {
    /// The entry of a policy whose rules are to be looked at.
    fn looked_at(self) -> Entry {
        Entry {
            rules: Rules::More,
            ..self
        }
    }

    /// Says whether the rules match an operation in a version; `None` if they do not.
    pub(super) fn matches(self, operation: Operation, version: Named) -> Option<Certainty> {
        match self.rules {
            Rules::Operations(operations, _) if operations & bit(operation) == 0 => None,
            Rules::Operations(_, Version::Any) => Some(Certainty::Certain),
            Rules::Operations(_, Version::Only(at)) if Some(at) == version.0 => {
                Some(Certainty::Certain)
            }
            Rules::Operations(..) | Rules::More => Some(Certainty::Possible),
        }
    }
}

/// A version as the index knows it, if a rule names it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named(Option<usize>);

fn bit(operation: Operation) -> u8 {
    match operation {
        Operation::Create => 1,
        Operation::Update => 2,
        Operation::Delete => 4,
        Operation::Connect => 8,
    }
}

impl Rules {
    /// What a rule says of a resource that it names.
    fn of(rule: &NamedRule, versions: &mut Vec<String>) -> Self {
        if rule.scope != Scope::All || !rule.resource_names.is_empty() {
            return Rules::More;
        }
        let version = match rule.api_versions.as_slice() {
            [any] if any == "*" => Version::Any,
            [only] => Version::Only(named(versions, only)),
            _ => return Rules::More,
        };
        let matching = Operation::ALL.into_iter().filter(|operation| {
            let mut named = rule.operations.iter();
            named.any(|name| name == "*" || name == operation.as_str())
        });
        let operations = matching.map(bit).fold(0, |all, bit| all | bit);
        Rules::Operations(operations, version)
    }

    fn or(self, other: Rules) -> Self {
        match (self, other) {
            (Rules::Operations(a, one), Rules::Operations(b, other)) if one == other => {
                Rules::Operations(a | b, one)
            }
            _ => Rules::More,
        }
    }
}

/// Returns the position of a version, which is added if need be.
fn named(versions: &mut Vec<String>, version: &str) -> usize {
    let known = versions.iter().position(|known| known == version);
    known.unwrap_or_else(|| {
        versions.push(version.to_owned());
        versions.len() - 1
    })
}

impl Index {
    pub(super) fn of(policies: &[BoundPolicy]) -> Self {
        let mut index = Index::default();
        for (at, bound) in policies.iter().enumerate() {
            let Some(constraints) = &bound.policy.policy.match_constraints else {
                continue;
            };
            match resources(constraints, &mut index.versions) {
                Some(resources) => {
                    for (group, resource, rules) in resources {
                        index.add(group, resource, Entry { at, rules });
                    }
                }
                None => index.wild.push(Entry {
                    at,
                    rules: Rules::More,
                }),
            }
        }
        index
    }

    /// Adds an entry behind those of the policies before.
    fn add(&mut self, group: &str, resource: &str, entry: Entry) {
        let of_group = self.exact.entry(group.to_owned()).or_default();
        let entries = of_group.entry(resource.to_owned()).or_default();
        match entries.last_mut() {
            Some(last) if last.at == entry.at => last.rules = last.rules.or(entry.rules),
            _ => entries.push(entry),
        }
    }

    /// Returns the entries of the policies whose rules may match a resource, in order of position.
    pub(super) fn entries<'i>(
        &'i self,
        group: &str,
        resource: &str,
    ) -> impl Iterator<Item = Entry> + use<'i> {
        let exact = |group: &str| {
            let of_group = self.exact.get(group);
            of_group
                .and_then(|resources| resources.get(resource))
                .map_or(&[] as &[Entry], Vec::as_slice)
        };
        let other = match shared_with(group, resource) {
            Some(other) => exact(other),
            None => &[],
        };
        let other = other.iter().copied().map(Entry::looked_at);
        merge(
            merge(exact(group).iter().copied(), self.wild.iter().copied()),
            other,
        )
    }

    /// Returns a version as entries are compared with it.
    pub(super) fn version(&self, version: &str) -> Named {
        Named(self.versions.iter().position(|known| known == version))
    }
}

/// The resources that rules name, each with what its rule says; `None` if one of them is a pattern.
fn resources<'c>(
    constraints: &'c MatchResources,
    versions: &mut Vec<String>,
) -> Option<Vec<(&'c str, &'c str, Rules)>> {
    let mut resources = Vec::new();
    for rule in &constraints.resource_rules {
        let rules = Rules::of(rule, versions);
        for group in &rule.api_groups {
            for resource in &rule.resources {
                if group == "*" || resource.contains('*') {
                    return None;
                }
                resources.push((group.as_str(), resource.as_str(), rules));
            }
        }
    }
    Some(resources)
}

/// Merges two lists in order of position; what is in both comes from the first.
fn merge(
    a: impl Iterator<Item = Entry>,
    b: impl Iterator<Item = Entry>,
) -> impl Iterator<Item = Entry> {
    let (mut a, mut b) = (a.peekable(), b.peekable());
    std::iter::from_fn(move || match (a.peek(), b.peek()) {
        (Some(left), Some(right)) if left.at > right.at => b.next(),
        (Some(left), Some(right)) => {
            if left.at == right.at {
                b.next();
            }
            a.next()
        }
        (Some(_), None) => a.next(),
        (None, _) => b.next(),
    })
}
