//! The static costs of functions that are more than one unit.
//!
//! Semantics: apiserver `pkg/cel/library/cost.go`, `EstimateCallCost`; for what that does not know
//! cel-go `ext/lists.go`, `ext/sets.go` and `checker/cost.go`, `functionCost`. Where upstream's sizes
//! overflow, these do too.

use crate::cel::ast::Literal;
use crate::cel::estimate::call::{Argument, CallEstimate, size_at};
use crate::cel::estimate::range::{CostEstimate, SizeEstimate};
use crate::cel::function::cost::{REGEX, TRAVERSAL};

use super::LIST_CALL;
use super::cluster::LOOKUP_COST;

/// One traversal of the first argument.
pub(super) fn traverse_first(arguments: &[Argument<'_>]) -> CallEstimate {
    CallEstimate::of(size_at(arguments, 0).scaled(TRAVERSAL))
}

/// One traversal of the first argument, whose size the result has.
pub(super) fn traverse_same_size(arguments: &[Argument<'_>]) -> CallEstimate {
    traverse_first(arguments).giving(size_at(arguments, 0))
}

/// Two traversals of the first argument.
pub(super) fn two_traversals(arguments: &[Argument<'_>]) -> CallEstimate {
    CallEstimate::of(size_at(arguments, 0).scaled(2.0 * TRAVERSAL))
}

/// One traversal of the second argument: the prefix or suffix looked for.
pub(super) fn traverse_second(arguments: &[Argument<'_>]) -> CallEstimate {
    CallEstimate::of(size_at(arguments, 1).scaled(TRAVERSAL))
}

/// A traversal of the string for each tenth of the part.
pub(super) fn contains(arguments: &[Argument<'_>]) -> CallEstimate {
    let text = size_at(arguments, 0).scaled(TRAVERSAL);
    CallEstimate::of(text.times(size_at(arguments, 1).scaled(TRAVERSAL)))
}

/// Each character against each part of the expression, of which one has four characters.
pub(super) fn matches(arguments: &[Argument<'_>]) -> CallEstimate {
    // One more than there are: an expression is compiled even for an empty text.
    let text = size_at(arguments, 0).plus(SizeEstimate::fixed(1));
    let expression = size_at(arguments, 1).scaled(REGEX);
    CallEstimate::of(text.scaled(TRAVERSAL).times(expression))
}

/// As [`matches`]; the result is at most as long as the text.
pub(super) fn find(arguments: &[Argument<'_>]) -> CallEstimate {
    let max = size_at(arguments, 0).max;
    matches(arguments).giving(SizeEstimate { min: 0, max })
}

/// What all formats' expressions are taken to cost (apiserver `pkg/cel/limits.go`,
/// `MaxNameFormatRegexSize`).
pub(super) fn validate(arguments: &[Argument<'_>]) -> CallEstimate {
    let text = size_at(arguments, 1).scaled(TRAVERSAL);
    CallEstimate::of(text.scaled(128.0 * REGEX))
}

/// One for each item, and a traversal of it if it is text; of a string one traversal.
pub(super) fn of_items(arguments: &[Argument<'_>]) -> CallEstimate {
    let size = size_at(arguments, 0);
    let items = arguments.first().and_then(Argument::items);
    CallEstimate::of(match items {
        Some((item, length)) if Argument::is_text(item) => {
            size.times(CostEstimate::fixed(1).plus(length.scaled(TRAVERSAL)))
        }
        Some(_) => size,
        None => size.scaled(TRAVERSAL),
    })
}

/// A traversal, and the making of the result.
pub(super) fn split(arguments: &[Argument<'_>]) -> CallEstimate {
    let limit = match arguments.get(2).and_then(|argument| argument.literal) {
        Some(Literal::Int(limit)) => Some(limit.cast_unsigned()),
        _ => None,
    };
    let max = limit.unwrap_or(size_at(arguments, 0).max);
    two_traversals(arguments).giving(SizeEstimate { min: 0, max })
}

/// A traversal of the result.
pub(super) fn join(arguments: &[Argument<'_>]) -> CallEstimate {
    let list = size_at(arguments, 0);
    let items = arguments.first().and_then(Argument::items);
    let mut size = items.map_or(SizeEstimate::fixed(0), |(_, length)| list.times(length));
    if let Some(separator) = arguments.get(1) {
        let separators = SizeEstimate {
            min: list.min.saturating_sub(1),
            max: list.max.saturating_sub(1),
        };
        size = size.plus(separator.size.times(separators));
    }
    CallEstimate::of(size.scaled(TRAVERSAL)).giving(size)
}

/// A traversal, and the making of the result: as many of the shortest parts as there can be, each
/// replaced by the longest replacement, and the other way round.
pub(super) fn replace(arguments: &[Argument<'_>]) -> CallEstimate {
    let (text, part) = (size_at(arguments, 0), size_at(arguments, 1));
    let replacement = size_at(arguments, 2);
    // Nothing is found before, between and after all characters.
    let everywhere = |length: u64| (length.saturating_add(1), length);
    let divided = |length: u64, by: u64| (length as f64 / by as f64).ceil() as u64;
    let (most, kept_at_most) = match part.min {
        0 => everywhere(text.max),
        shortest if replacement.max <= shortest => (0, text.max),
        shortest => (divided(text.max, shortest), 0),
    };
    let (least, kept_at_least) = match part.max {
        0 => everywhere(text.min),
        longest if longest <= replacement.min => (0, text.min),
        longest => (divided(text.min, longest), 0),
    };
    let count = SizeEstimate {
        min: least,
        max: most,
    };
    let kept = SizeEstimate {
        min: kept_at_least,
        max: kept_at_most,
    };
    two_traversals(arguments).giving(count.times(replacement).plus(kept))
}

/// A traversal; every character may be escaped, and there are two quotes.
pub(super) fn quote(arguments: &[Argument<'_>]) -> CallEstimate {
    let size = size_at(arguments, 0);
    CallEstimate::of(size.scaled(TRAVERSAL)).giving(SizeEstimate {
        min: size.min.wrapping_add(2),
        max: size.max.wrapping_mul(2).wrapping_add(2),
    })
}

/// A traversal; a character has up to four bytes.
pub(super) fn string_to_bytes(arguments: &[Argument<'_>]) -> CallEstimate {
    let size = size_at(arguments, 0);
    CallEstimate::of(size.scaled(TRAVERSAL)).giving(SizeEstimate {
        min: size.min,
        max: size.max.wrapping_mul(4),
    })
}

/// A traversal; up to four bytes make a character.
pub(super) fn bytes_to_string(arguments: &[Argument<'_>]) -> CallEstimate {
    let size = size_at(arguments, 0);
    CallEstimate::of(size.scaled(TRAVERSAL)).giving(SizeEstimate {
        min: size.min / 4,
        max: size.max,
    })
}

/// The bytes of an address.
const ADDRESS: SizeEstimate = SizeEstimate { min: 4, max: 16 };

fn of_two_addresses() -> CostEstimate {
    ADDRESS.plus(ADDRESS).scaled(TRAVERSAL)
}

/// Comparing two addresses.
pub(super) fn contains_address(_: &[Argument<'_>]) -> CallEstimate {
    CallEstimate::of(of_two_addresses())
}

/// Comparing two addresses, of which one is read first.
pub(super) fn contains_address_text(arguments: &[Argument<'_>]) -> CallEstimate {
    let read = size_at(arguments, 1).scaled(TRAVERSAL);
    CallEstimate::of(of_two_addresses().plus(read))
}

fn of_two_networks() -> CostEstimate {
    let masked = ADDRESS.scaled(TRAVERSAL).plus(CostEstimate::fixed(1));
    of_two_addresses().plus(masked)
}

/// Comparing two networks.
pub(super) fn contains_network(_: &[Argument<'_>]) -> CallEstimate {
    CallEstimate::of(of_two_networks())
}

/// Comparing two networks, of which one is read first.
pub(super) fn contains_network_text(arguments: &[Argument<'_>]) -> CallEstimate {
    let read = size_at(arguments, 1).scaled(TRAVERSAL);
    CallEstimate::of(of_two_networks().plus(read))
}

/// A call that makes a list of `size` (cel-go `ext/lists.go`, `estimateAllocatingListCall`).
fn allocating_list(factor: f64, size: SizeEstimate) -> CallEstimate {
    CallEstimate::of(size.scaled(factor).plus(CostEstimate::fixed(LIST_CALL))).giving(size)
}

/// A number an argument is known to be; `default` if it is not known.
fn number_at(arguments: &[Argument<'_>], at: usize, default: u64) -> u64 {
    match arguments.get(at).and_then(|argument| argument.literal) {
        Some(Literal::Int(number)) => u64::try_from(*number).unwrap_or(0),
        _ => default,
    }
}

/// The items that are kept.
pub(super) fn slice(arguments: &[Argument<'_>]) -> CallEstimate {
    let start = number_at(arguments, 1, 0);
    let end = number_at(arguments, 2, size_at(arguments, 0).max);
    allocating_list(1.0, SizeEstimate::fixed(end.wrapping_sub(start)))
}

/// The numbers of the range.
pub(super) fn range(arguments: &[Argument<'_>]) -> CallEstimate {
    allocating_list(1.0, SizeEstimate::fixed(number_at(arguments, 0, u64::MAX)))
}

/// All items.
pub(super) fn reverse(arguments: &[Argument<'_>]) -> CallEstimate {
    allocating_list(1.0, size_at(arguments, 0))
}

/// All items for each level.
pub(super) fn flatten(arguments: &[Argument<'_>]) -> CallEstimate {
    let levels = match arguments.len() {
        1 => 1,
        _ => number_at(arguments, 1, u64::MAX),
    };
    allocating_list(levels as f64, size_at(arguments, 0))
}

fn comparing_all(size: SizeEstimate, factor: f64) -> CallEstimate {
    allocating_list(factor, size.times(size))
}

/// Each item against each other.
pub(super) fn distinct(arguments: &[Argument<'_>]) -> CallEstimate {
    comparing_all(size_at(arguments, 0), 2.0)
}

/// Each item against each other.
pub(super) fn sort(arguments: &[Argument<'_>]) -> CallEstimate {
    comparing_all(size_at(arguments, 0), 2.0)
}

/// Each string against each other.
pub(super) fn sort_text(arguments: &[Argument<'_>]) -> CallEstimate {
    comparing_all(size_at(arguments, 0), 2.0 + TRAVERSAL)
}

/// Each key against each other.
pub(super) fn sort_by_keys(arguments: &[Argument<'_>]) -> CallEstimate {
    comparing_all(size_at(arguments, 1), 2.0)
}

/// Each key against each other, which are strings.
pub(super) fn sort_by_text_keys(arguments: &[Argument<'_>]) -> CallEstimate {
    comparing_all(size_at(arguments, 1), 2.0 + TRAVERSAL)
}

fn product(arguments: &[Argument<'_>], factor: f64) -> CallEstimate {
    let pairs = size_at(arguments, 0).times(size_at(arguments, 1));
    CallEstimate::of(pairs.scaled(factor).plus(CostEstimate::fixed(1)))
}

/// Each item of one list against each of the other.
pub(super) fn of_sets(arguments: &[Argument<'_>]) -> CallEstimate {
    product(arguments, 1.0)
}

/// Each item of one list against each of the other, both ways.
pub(super) fn of_sets_both_ways(arguments: &[Argument<'_>]) -> CallEstimate {
    product(arguments, 2.0)
}

/// Room for two checks in an expression.
pub(super) fn check(_: &[Argument<'_>]) -> CallEstimate {
    CallEstimate::of(CostEstimate::fixed(350_000))
}

/// A list, a traversal, and a list and a structure for every second character
/// (`selectorCostEstimate`).
pub(super) fn selector(arguments: &[Argument<'_>]) -> CallEstimate {
    let length = size_at(arguments, 1);
    let requirements = length.scaled(0.5).scaled(50.0);
    let read = CostEstimate::fixed(10).plus(length.scaled(TRAVERSAL));
    CallEstimate::of(read.plus(requirements))
}

/// A lookup of one object.
pub(super) fn lookup(_: &[Argument<'_>]) -> CallEstimate {
    CallEstimate::of(CostEstimate::fixed(LOOKUP_COST))
}

/// A lookup of all objects of a kind, however many there are.
pub(super) fn lookups(_: &[Argument<'_>]) -> CallEstimate {
    let cost = CostEstimate::fixed(LOOKUP_COST).plus(SizeEstimate::UNKNOWN);
    CallEstimate::of(cost).giving(SizeEstimate::UNKNOWN)
}
