//! Which policies may match a request, without a look at the policies.

use rustc_hash::FxHashMap;

use crate::admission::review::Operation;
use crate::policy::model::{MatchPolicy, MatchResources, NamedRule, Scope};

use super::BoundPolicy;

/// Positions of policies by the resources their rules name.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Rules that name a group and a resource: by group, then by `resource` or
    /// `resource/subresource`.
    exact: FxHashMap<String, FxHashMap<String, Vec<Entry>>>,
    /// Rules with a wildcard, to be looked at for every request.
    wild: Vec<Entry>,
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
    /// They match these operations, a bit for each, and nothing else is asked for.
    Operations(u8),
    /// More than that.
    More,
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
    /// Says whether the rules match an operation; `None` if they do not.
    pub(super) fn matches(self, operation: Operation) -> Option<Certainty> {
        match self.rules {
            Rules::Operations(operations) => {
                (operations & bit(operation) != 0).then_some(Certainty::Certain)
            }
            Rules::More => Some(Certainty::Possible),
        }
    }
}

fn bit(operation: Operation) -> u8 {
    match operation {
        Operation::Create => 1,
        Operation::Update => 2,
        Operation::Delete => 4,
        Operation::Connect => 8,
    }
}

impl Rules {
    /// What a rule says of a resource that it names. Versions do not matter for equivalent ones.
    fn of(rule: &NamedRule, match_policy: MatchPolicy) -> Self {
        let asks_for_more = match_policy == MatchPolicy::Exact
            || rule.scope != Scope::All
            || !rule.resource_names.is_empty();
        if asks_for_more {
            return Rules::More;
        }
        let matching = Operation::ALL.into_iter().filter(|operation| {
            let mut named = rule.operations.iter();
            named.any(|name| name == "*" || name == operation.as_str())
        });
        Rules::Operations(matching.map(bit).fold(0, |all, bit| all | bit))
    }

    fn or(self, other: Rules) -> Self {
        match (self, other) {
            (Rules::Operations(a), Rules::Operations(b)) => Rules::Operations(a | b),
            _ => Rules::More,
        }
    }
}

impl Index {
    pub(super) fn of(policies: &[BoundPolicy]) -> Self {
        let mut index = Index::default();
        for (at, bound) in policies.iter().enumerate() {
            let Some(constraints) = &bound.policy.policy.match_constraints else {
                continue;
            };
            match resources(constraints) {
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
        let of_group = self.exact.get(group);
        let exact = of_group
            .and_then(|resources| resources.get(resource))
            .map_or(&[] as &[Entry], Vec::as_slice);
        merge(exact, &self.wild)
    }
}

/// The resources that rules name, each with what its rule says; `None` if one of them is a pattern.
fn resources(constraints: &MatchResources) -> Option<Vec<(&str, &str, Rules)>> {
    let mut resources = Vec::new();
    for rule in &constraints.resource_rules {
        let rules = Rules::of(rule, constraints.match_policy);
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

/// Merges two lists in order of position, without common positions.
fn merge<'i>(a: &'i [Entry], b: &'i [Entry]) -> impl Iterator<Item = Entry> + use<'i> {
    let (mut a, mut b) = (a.iter().copied().peekable(), b.iter().copied().peekable());
    std::iter::from_fn(move || match (a.peek(), b.peek()) {
        (Some(left), Some(right)) if left.at > right.at => b.next(),
        (Some(_), _) => a.next(),
        (None, _) => b.next(),
    })
}
