//! Which requests were counted already, for which policy and what: of the last so many exactly.
//!
//! The records of a review are handed to the log at once, so that they lie close together, even where many
//! threads or replicas write between them. What is forgotten leaves a mark in a Bloom filter, so that a
//! request which is perhaps counted again is known to be one.

use std::collections::hash_map::{Entry, RandomState};
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;

/// So many pairs of a request and a policy are remembered: with a hundred bytes each at most, twenty megabytes.
const MOST_PAIRS: usize = 200_000;
/// Bits of the filter: eight megabytes. Ten million marks, and one new request in twenty is taken for one
/// that was forgotten.
const BITS: u64 = 1 << 26;
/// Bits of one mark.
const BITS_OF_MARK: u64 = 4;

/// The requests that were seen last.
#[derive(Debug)]
pub(super) struct Seen {
    most: usize,
    /// Nobody who writes a log can choose what is taken for the same.
    hashers: (RandomState, RandomState),
    outcomes: HashMap<u128, u8>,
    order: VecDeque<u128>,
    forgotten: Vec<u64>,
}

/// What is new about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Noted {
    /// Those outcomes that were not counted for the request and the policy, as far as is known.
    pub(super) outcomes: u8,
    /// Whether nothing was.
    pub(super) is_first: bool,
    /// Whether they perhaps were, and are forgotten.
    pub(super) may_be_forgotten: bool,
}

impl Default for Seen {
    fn default() -> Self {
        Seen::of(MOST_PAIRS)
    }
}

impl Seen {
    /// Remembers so many pairs.
    pub(super) fn of(most: usize) -> Self {
        Seen {
            most,
            hashers: Default::default(),
            outcomes: HashMap::new(),
            order: VecDeque::new(),
            forgotten: Vec::new(),
        }
    }

    /// Returns how many pairs are remembered.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Remembers outcomes, one bit each, of a request for a policy.
    pub(super) fn note(&mut self, uid: &str, policy: (&str, &str), outcomes: u8) -> Noted {
        let half = |hasher: &RandomState| u128::from(hasher.hash_one((uid, policy)));
        let key = half(&self.hashers.0) << 64 | half(&self.hashers.1);
        match self.outcomes.entry(key) {
            Entry::Occupied(mut known) => {
                let new = outcomes & !known.get();
                *known.get_mut() |= outcomes;
                Noted {
                    outcomes: new,
                    is_first: false,
                    may_be_forgotten: false,
                }
            }
            Entry::Vacant(place) => {
                place.insert(outcomes);
                self.order.push_back(key);
                let may_be_forgotten = self.is_marked(key);
                if self.order.len() > self.most {
                    self.forget_one();
                }
                Noted {
                    outcomes,
                    is_first: true,
                    may_be_forgotten,
                }
            }
        }
    }

    fn forget_one(&mut self) {
        let Some(key) = self.order.pop_front() else {
            return;
        };
        self.outcomes.remove(&key);
        if self.forgotten.is_empty() {
            let words = usize::try_from(BITS / 64).unwrap_or_default();
            self.forgotten = vec![0; words];
        }
        for (word, bit) in places(key) {
            if let Some(word) = self.forgotten.get_mut(word) {
                *word |= bit;
            }
        }
    }

    fn is_marked(&self, key: u128) -> bool {
        places(key).all(|(word, bit)| self.forgotten.get(word).is_some_and(|it| it & bit != 0))
    }
}

/// The bits of a mark: word and bit in it.
fn places(key: u128) -> impl Iterator<Item = (usize, u64)> {
    let half = |shift: u32| u64::try_from(key >> shift & u128::from(u64::MAX)).unwrap_or_default();
    // An odd step comes to every bit, as their number is a power of two.
    let (first, step) = (half(0), half(64) | 1);
    (0..BITS_OF_MARK).map(move |at| {
        let bit = first.wrapping_add(at.wrapping_mul(step)) % BITS;
        (
            usize::try_from(bit / 64).unwrap_or_default(),
            1 << (bit % 64),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: (&str, &str) = ("p", "validating");

    #[test]
    fn each_outcome_of_a_request_is_new_once_for_each_policy() {
        let mut seen = Seen::default();
        let mut note = |uid, policy, outcomes| {
            let noted = seen.note(uid, policy, outcomes);
            (noted.outcomes, noted.is_first, noted.may_be_forgotten)
        };
        assert_eq!(note("1", POLICY, 0b01), (0b01, true, false));
        assert_eq!(note("2", POLICY, 0b01), (0b01, true, false));
        assert_eq!(note("1", POLICY, 0b11), (0b10, false, false));
        assert_eq!(note("2", POLICY, 0b01), (0, false, false));
        assert_eq!(note("1", ("p", "mutating"), 0b01), (0b01, true, false));
    }

    #[test]
    fn what_was_forgotten_is_said_to_be_perhaps_counted_again() {
        let mut seen = Seen::of(1000);
        seen.note("first", POLICY, 1);
        let mut mistaken = 0;
        for at in 0..1000 {
            let noted = seen.note(&at.to_string(), POLICY, 1);
            assert!(noted.is_first);
            mistaken += u64::from(noted.may_be_forgotten);
        }
        assert_eq!(mistaken, 0);
        assert_eq!(seen.outcomes.len(), 1000);
        let again = seen.note("first", POLICY, 1);
        assert!(again.is_first && again.may_be_forgotten, "{again:?}");
    }
}
