//! What the engine tells whoever watches it decide: a test, an explanation.

use std::sync::Arc;

use crate::cel::trace::steps::Step;
use crate::patch::json::Operation;
use crate::policy::compile::{CompiledPolicy, Expression};
use crate::policy::model::Binding;

use super::mutating::Refusal;
use super::verdict::{Decision, ErrorKind};

/// Is told what is evaluated, for each policy with each binding and parameter.
pub trait Observer {
    /// Says whether anything is made of what it is told: if not, what gives the same result is
    /// evaluated only once.
    fn is_watching(&self) -> bool {
        true
    }

    /// All match conditions hold (or there are none): the validations are evaluated next.
    fn applies(&mut self, policy: &CompiledPolicy);

    /// A validation gave a value; its position counts from 0.
    fn validated(&mut self, policy: &CompiledPolicy, validation: usize, held: Held);

    /// An expression could not be evaluated, whatever the failure policy makes of it.
    fn failed(&mut self, policy: &CompiledPolicy, message: &str);

    /// A policy is evaluated next, for a binding.
    fn begins(&mut self, _: &CompiledPolicy, _: &Binding) {}

    /// What began last has ended, or could not begin.
    fn ended(&mut self, _: Done<'_>) {}

    /// Says whether it is to be told what the parts of expressions give; asked once for each policy with each
    /// binding and parameter. Nothing is shared between expressions then.
    fn is_tracing(&self) -> bool {
        false
    }

    /// What the parts of an expression gave, if that is asked for: of match conditions, then variables, whether
    /// or not they are read, validations, messages and audit annotations.
    fn traced(&mut self, _: &CompiledPolicy, _: &Expression, _: &[Step<'_>]) {}

    /// An expression is evaluated next; not told of what gave its value before.
    fn evaluates(&mut self) {}

    /// It was, at a cost.
    fn evaluated(&mut self, _: &Expression, _cost: u64, _error: Option<ErrorKind>) {}
}

/// What evaluating a policy for a binding came to.
#[derive(Debug, Clone, Copy)]
pub struct Done<'d> {
    /// The policy.
    pub policy: &'d Arc<CompiledPolicy>,
    /// The binding; `None` if the policy itself is at fault.
    pub binding: Option<&'d Binding>,
    /// Whether its conditions held.
    pub applied: bool,
    /// The violations and errors that have a consequence, but for what exceptions take back: that is known
    /// at the end, and in `Verdict::excused`.
    pub decisions: &'d [Decision],
    /// An error that its failure policy passes over.
    pub ignored: Option<ErrorKind>,
    /// What it has changed, or would have if it is only recorded.
    pub changes: &'d [Operation],
    /// Why the request is refused on its account, whatever its failure policy.
    pub refusal: Option<&'d Refusal>,
    /// CEL cost units spent.
    pub cost: u64,
}

/// What a validation gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// It holds: as far as it goes, the request is admitted.
    Yes,
    /// It does not: a violation.
    No,
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Observer for Unwatched {
    fn is_watching(&self) -> bool {
        false
    }

    fn applies(&mut self, _: &CompiledPolicy) {}

    fn validated(&mut self, _: &CompiledPolicy, _: usize, _: Held) {}

    fn failed(&mut self, _: &CompiledPolicy, _: &str) {}
}
