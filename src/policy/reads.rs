//! What policies read of the cluster, found in their expressions before any request comes.
//!
//! `trace` follows the objects that `cluster.get` and `cluster.list` give, and `namespaceObject`,
//! through an expression; what an expression can tell apart is kept ([`shape::Shape`]), so that an object
//! and what is kept of it give the same values, messages and costs.

pub mod shape;
mod trace;

use std::collections::BTreeMap;

use crate::policy::model::{Mutation, ParamKind, Policy, PolicyScope};
use crate::policy::set::PolicySet;
use crate::text::Fragment;
use shape::Shape;

/// What the policies of a set read of the cluster when they decide requests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reads {
    /// The kinds, with how much of their objects.
    pub kinds: BTreeMap<ParamKind, Depth>,
    /// What they read of the Namespace that a request is in; selectors read its labels besides.
    pub namespaces: Shape,
}

/// How much is read of the objects of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Depth {
    /// Everything, because policies take the objects for parameters.
    Parameters,
    /// What expressions look up.
    Parts(Shape),
}

impl Reads {
    /// Finds what a set reads; what only policies about the cluster as a whole read is not among it.
    pub fn of(set: &PolicySet) -> Self {
        let mut reads = Reads::default();
        let policies = set.policies().iter().map(|compiled| &compiled.policy);
        for policy in policies.filter(|it| it.scope == PolicyScope::Request) {
            reads.add(policy);
        }
        // Few have conditions, and fewer about namespaces: what of them is not told apart.
        let exceptions = set.exceptions().all().iter();
        let mut conditions = exceptions.filter_map(|it| it.exception.matching.condition.as_ref());
        if conditions.any(|it| reads_namespace(&it.text)) {
            reads.namespaces.add(Shape::whole());
        }
        reads
    }

    /// Adds what one policy reads.
    pub fn add(&mut self, policy: &Policy) {
        if !policy.reads.is_empty() || expressions(policy).any(|it| reads_namespace(&it.text)) {
            let found = trace::trace(policy);
            self.namespaces.add(found.namespace);
            for (kind, shape) in found.kinds {
                let depth = self.kinds.entry(kind);
                if let Depth::Parts(known) = depth.or_insert_with(|| Depth::Parts(Shape::named())) {
                    known.add(shape);
                }
            }
        }
        if let Some(kind) = &policy.param_kind {
            self.kinds.insert(kind.clone(), Depth::Parameters);
        }
    }
}

fn reads_namespace(text: &str) -> bool {
    text.contains(trace::NAMESPACE)
}

/// The expressions of a policy, but for its variables.
fn decisions(policy: &Policy) -> impl Iterator<Item = &Fragment> {
    let conditions = policy.match_conditions.iter().map(|it| &it.expression);
    let validations = policy.validations.iter();
    let validations =
        validations.flat_map(|it| [&it.expression].into_iter().chain(&it.message_expression));
    let annotations = policy.audit_annotations.iter();
    let mutations = policy.mutations.iter().map(|mutation| match mutation {
        Mutation::JsonPatch(expression) | Mutation::ApplyConfiguration(expression) => expression,
    });
    conditions
        .chain(validations)
        .chain(annotations.map(|it| &it.value_expression))
        .chain(mutations)
}

/// All expressions of a policy.
fn expressions(policy: &Policy) -> impl Iterator<Item = &Fragment> {
    let variables = policy.variables.iter().map(|it| &it.expression);
    variables.chain(decisions(policy))
}

#[cfg(test)]
mod tests;
