//! What the policies of one set have in common: programs, names, regular expressions.
//!
//! Policies written from one template say the same things about different resources. An expression
//! that says the same is compiled once, kept once, and for one request evaluated once.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::cel::plan::Program;
use crate::cel::plan::pool::Pool;
use crate::cel::types::Inferred;
use crate::policy::compile::Portability;
use crate::policy::model::{Form, PodMatching, Policy, PolicyScope};

/// What was compiled so far.
#[derive(Debug, Default)]
pub(super) struct Common {
    pub(super) pool: Pool,
    programs: FxHashMap<(Scope, Box<str>), Compiled>,
}

/// What a policy declares that decides what an expression means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    is_cel: bool,
    has_params: bool,
    has_pod: bool,
    has_request: bool,
}

/// A program with what is known of it.
#[derive(Debug, Clone)]
pub(super) struct Compiled {
    pub(super) program: Arc<Program>,
    pub(super) result: Inferred,
    pub(super) portability: Portability,
}

/// Words of expressions that mean what the policy alone says: its variables, the kinds it looks up,
/// the messages it makes, whom it may ask.
const OWN: [&str; 5] = ["variables", "cluster", "authorizer", "Object", "JSONPatch"];

impl Scope {
    /// What the conditions of exceptions have, which share nothing with policies.
    pub(super) fn of_exceptions() -> Self {
        Scope {
            is_cel: false,
            has_params: false,
            has_pod: false,
            has_request: true,
        }
    }

    pub(super) fn of(policy: &Policy) -> Self {
        Scope {
            is_cel: policy.origin.form == Form::Cel,
            has_params: policy.param_kind.is_some(),
            has_pod: policy.pods == PodMatching::PodTemplates,
            has_request: policy.scope == PolicyScope::Request,
        }
    }
}

impl Common {
    /// Returns what an expression was compiled to for another policy.
    pub(super) fn known(&self, scope: Scope, text: &str) -> Option<Compiled> {
        match is_common(text) {
            true => self.programs.get(&(scope, text.into())).cloned(),
            false => None,
        }
    }

    /// Keeps what an expression was compiled to.
    pub(super) fn keep(&mut self, scope: Scope, text: &str, compiled: &Compiled) {
        if is_common(text) {
            let key = (scope, text.into());
            self.programs.insert(key, compiled.clone());
        }
    }
}

/// Says whether an expression means the same in every policy of a scope.
fn is_common(text: &str) -> bool {
    !OWN.iter().any(|word| text.contains(word))
}
