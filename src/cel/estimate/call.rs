//! What the static cost of a function may look at, and the cost of most of them.

use crate::cel::ast::Literal;
use crate::cel::types::{Inferred, Type};

use super::Sizes;
use super::range::{CostEstimate, SizeEstimate};

/// The static cost of a call, from what is known of its arguments without evaluating them; the
/// receiver of a member is the first. The costs of the arguments themselves are not part of it.
pub type StaticCost = fn(&[Argument<'_>]) -> CallEstimate;

/// What a call costs, and how large its result is.
#[derive(Debug, Clone, Copy)]
pub struct CallEstimate {
    /// The cost.
    pub cost: CostEstimate,
    /// The size of the result; `None` leaves it to the type.
    pub size: Option<SizeEstimate>,
}

impl CallEstimate {
    /// A call that costs this, and says nothing of its result.
    pub fn of(cost: CostEstimate) -> Self {
        CallEstimate { cost, size: None }
    }

    /// The same with the size of the result.
    #[must_use]
    pub fn giving(self, size: SizeEstimate) -> Self {
        CallEstimate {
            size: Some(size),
            ..self
        }
    }
}

/// An argument before the evaluation.
#[derive(Debug)]
pub struct Argument<'e> {
    /// Its type.
    pub inferred: &'e Inferred,
    /// Its size, unknown if need be.
    pub size: SizeEstimate,
    /// The constant it is.
    pub literal: Option<&'e Literal>,
    pub(super) path: &'e str,
    pub(super) sizes: &'e dyn Sizes,
}

impl Argument<'_> {
    /// Returns the type and the size of the items; `None` if this is not known to be a list.
    pub fn items(&self) -> Option<(&Inferred, SizeEstimate)> {
        let Inferred::List(item) = self.inferred else {
            return None;
        };
        let path = match self.path {
            "" => String::new(),
            path => format!("{path}.@items"),
        };
        let size = self.sizes.size(&path, item);
        Some((item, size.unwrap_or(SizeEstimate::UNKNOWN)))
    }

    /// Says whether this is known to be text or bytes, or null or that: a wrapper has the kind of
    /// what it wraps (cel-go `common/types/types.go`, `NewNullableType`).
    pub fn is_text(inferred: &Inferred) -> bool {
        matches!(
            inferred,
            Inferred::Simple(Type::String | Type::Bytes)
                | Inferred::Wrapper(Type::String | Type::Bytes)
        )
    }
}

/// The size of an argument; unknown if there is none.
pub fn size_at(arguments: &[Argument<'_>], at: usize) -> SizeEstimate {
    arguments
        .get(at)
        .map_or(SizeEstimate::UNKNOWN, |argument| argument.size)
}

/// One unit.
pub fn one(_: &[Argument<'_>]) -> CallEstimate {
    CallEstimate::of(CostEstimate::fixed(1))
}
