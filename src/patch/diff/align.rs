//! Which items of two lists are the same.

use std::hash::{Hash as _, Hasher as _};

use rustc_hash::FxHasher;
use serde_json::Value;

/// Lists whose changed parts have more pairs of items are compared position by position: the time is
/// that of the pairs, and lists of objects stay below 500 items.
const MAX_PAIRS: usize = 250_000;

/// How one list becomes the other, from the front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// An item of the first list stays, and becomes an item of the second one.
    Keep(usize, usize),
    /// The next item of the first list goes.
    Remove,
    /// An item of the second list comes.
    Add(usize),
}

/// How like two items are: nothing is kept for an item that is no match.
const NONE: u32 = 0;
const SAME_NAME: u32 = 3;
const EQUAL: u32 = 4;

/// Returns the steps from one list to the other. Items that are neither equal nor of one name are
/// kept, too, if there is nothing better for either: replacing is one operation less.
pub(crate) fn align(before: &[Value], after: &[Value]) -> Vec<Step> {
    let pairs = || before.iter().zip(after);
    let front = pairs().take_while(|(old, new)| old == new).count();
    let rest = before.len().min(after.len()) - front;
    let back = before.iter().rev().zip(after.iter().rev()).take(rest);
    let back = back.take_while(|(old, new)| old == new).count();
    let old = front..before.len() - back;
    let new = front..after.len() - back;
    let matches = match old.len().checked_mul(new.len()) {
        Some(pairs) if pairs <= MAX_PAIRS => matches(
            before.get(old.clone()).unwrap_or_default(),
            after.get(new.clone()).unwrap_or_default(),
        ),
        _ => Vec::new(),
    };
    let mut steps = Vec::with_capacity(before.len().max(after.len()));
    steps.extend((0..front).map(|at| Step::Keep(at, at)));
    let (mut left, mut right) = (old.start, new.start);
    let end = std::iter::once((old.len(), new.len()));
    for (next_old, next_new) in matches.into_iter().chain(end) {
        let (next_old, next_new) = (next_old + old.start, next_new + new.start);
        gap(&mut steps, left..next_old, right..next_new);
        if next_old < old.end {
            steps.push(Step::Keep(next_old, next_new));
        }
        (left, right) = (next_old + 1, next_new + 1);
    }
    steps.extend((0..back).map(|at| Step::Keep(old.end + at, new.end + at)));
    steps
}

/// The steps between two matches.
fn gap(steps: &mut Vec<Step>, old: std::ops::Range<usize>, new: std::ops::Range<usize>) {
    let kept = old.len().min(new.len());
    steps.extend(
        old.clone()
            .zip(new.clone())
            .map(|(old, new)| Step::Keep(old, new)),
    );
    steps.extend(old.skip(kept).map(|_| Step::Remove));
    steps.extend(new.skip(kept).map(Step::Add));
}

/// What an item is recognised by.
struct Item<'v> {
    hash: u64,
    name: Option<&'v Value>,
}

impl<'v> Item<'v> {
    fn of(value: &'v Value) -> Self {
        let mut hasher = FxHasher::default();
        value.hash(&mut hasher);
        Item {
            hash: hasher.finish(),
            name: [
                "name",
                "key",
                "type",
                "containerPort",
                "port",
                "mountPath",
                "ip",
                "uid",
            ]
            .into_iter()
            .find_map(|key| value.get(key)),
        }
    }

    /// Two hashes may be equal by chance; the items are then told apart when they are compared.
    fn likeness(&self, other: &Item<'_>) -> u32 {
        if self.hash == other.hash {
            return EQUAL;
        }
        match (self.name, other.name) {
            (Some(name), Some(other)) if name == other => SAME_NAME,
            _ => NONE,
        }
    }
}

/// The positions of the items that match, in order, so that they are alike as much as possible.
fn matches(before: &[Value], after: &[Value]) -> Vec<(usize, usize)> {
    let before: Vec<Item<'_>> = before.iter().map(Item::of).collect();
    let after: Vec<Item<'_>> = after.iter().map(Item::of).collect();
    if before.is_empty() || after.is_empty() {
        return Vec::new();
    }
    // `best[i][j]` is how alike the items from `i` and from `j` on can be made.
    let width = after.len() + 1;
    let mut best = vec![0_u32; width * (before.len() + 1)];
    let read = |best: &[u32], i: usize, j: usize| best.get(i * width + j).copied().unwrap_or(0);
    for (i, old) in before.iter().enumerate().rev() {
        for (j, new) in after.iter().enumerate().rev() {
            let likeness = old.likeness(new);
            let with = match likeness {
                NONE => 0,
                likeness => likeness + read(&best, i + 1, j + 1),
            };
            let without = read(&best, i + 1, j).max(read(&best, i, j + 1));
            if let Some(cell) = best.get_mut(i * width + j) {
                *cell = with.max(without);
            }
        }
    }
    let mut found = Vec::new();
    let (mut i, mut j) = (0, 0);
    while let (Some(old), Some(new)) = (before.get(i), after.get(j)) {
        let here = read(&best, i, j);
        let likeness = old.likeness(new);
        if likeness != NONE && here == likeness + read(&best, i + 1, j + 1) {
            found.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if here == read(&best, i + 1, j) {
            i += 1;
        } else {
            j += 1;
        }
    }
    found
}
