//! How large a compiled expression becomes, about.

use regex_syntax::hir::{Class, Hir, HirKind};

/// Returns about how many states the automaton of an expression has.
///
/// Recursive: an expression is at most 1,000 deep ([`super::translate`]).
pub(super) fn states(expression: &Hir) -> u64 {
    match expression.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => count(literal.0.len()),
        HirKind::Class(Class::Unicode(class)) => {
            // A range of wide characters is several sequences of bytes.
            count(class.ranges().len()).saturating_mul(4)
        }
        HirKind::Class(Class::Bytes(class)) => count(class.ranges().len()),
        HirKind::Capture(capture) => states(&capture.sub).saturating_add(2),
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(1);
            states(&repetition.sub).saturating_mul(u64::from(times))
        }
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts
            .iter()
            .map(states)
            .fold(1, |sum: u64, part| sum.saturating_add(part)),
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
