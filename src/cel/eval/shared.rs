//! Results that many policies share in one request: those of programs that read nothing but what is
//! the same for all of them.

use std::cell::Cell;

use bumpalo::Bump;

use crate::cel::error::FaultKind;
use crate::cel::plan::Program;

use super::Outcome;

/// Results by program, in the arena of the request.
#[derive(Debug)]
pub struct Shared<'a> {
    arena: &'a Bump,
    /// Chains of results by a hash of the program's address.
    chains: &'a [Cell<Option<&'a Known<'a>>>],
}

#[derive(Debug)]
struct Known<'a> {
    program: &'a Program,
    outcome: Outcome<'a>,
    next: Option<&'a Known<'a>>,
}

/// A power of two; a request that is matched by more programs than this has some in each chain.
const CHAINS_LOG2: u32 = 7;

impl<'a> Shared<'a> {
    /// Starts with no results.
    pub fn new_in(arena: &'a Bump) -> Self {
        let empty = (0..1 << CHAINS_LOG2).map(|_| Cell::new(None));
        Shared {
            arena,
            chains: arena.alloc_slice_fill_iter(empty),
        }
    }

    /// Returns what a program gives and costs, evaluating it at its first use only.
    ///
    /// What another evaluation at another time might not give is not kept.
    pub fn outcome(
        &self,
        program: &'a Program,
        evaluate: impl FnOnce() -> Outcome<'a>,
    ) -> Outcome<'a> {
        let Some(chain) = self.chains.get(position(program)) else {
            return evaluate();
        };
        let mut next = chain.get();
        while let Some(known) = next {
            if std::ptr::eq(known.program, program) {
                return known.outcome;
            }
            next = known.next;
        }
        let outcome = evaluate();
        let is_passing = |kind: &FaultKind<'_>| {
            matches!(
                kind,
                FaultKind::DeadlineExceeded | FaultKind::MemoryExceeded
            )
        };
        if !outcome.value.is_err_and(|fault| is_passing(&fault.kind)) {
            chain.set(Some(self.arena.alloc(Known {
                program,
                outcome,
                next: chain.get(),
            })));
        }
        outcome
    }
}

/// The chain of a program: the upper bits of its address times the golden ratio.
fn position(program: &Program) -> usize {
    let address = std::ptr::from_ref(program).addr() as u64;
    let hash = address.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(hash >> (u64::BITS - CHAINS_LOG2)).unwrap_or_default()
}
