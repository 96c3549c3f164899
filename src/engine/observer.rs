//! What the engine tells whoever watches it decide: a test, an explanation.

use crate::policy::compile::CompiledPolicy;

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
