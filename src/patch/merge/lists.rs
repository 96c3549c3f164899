//! Merging sets and keyed lists (structured-merge-diff `typed/merge.go`, `visitListItems`).

use rustc_hash::FxHashMap;
use serde_json::Value;

use super::atoms::{ListAtom, Types};
use super::given::Configuration;
use super::key::Key;
use super::{atoms::Relationship, merge_value};

/// Puts the items of a configuration into a list.
///
/// Items of the same key are merged. The order of the configuration is kept, and items that only the
/// list has stay before the item of both that followed them; those of the configuration alone come
/// after what the list has before them.
pub(super) fn merge(
    types: Types<'_>,
    list: &ListAtom<'_>,
    items: &mut Vec<Value>,
    given: &[Configuration],
) {
    let places = places(list.relationship, items, given);
    let mut merge = Merge {
        types,
        list,
        live: items.drain(..).map(Some).collect(),
        given,
        merged: vec![false; given.len()],
        places,
        next_shared: 0,
        out: Vec::new(),
    };
    merge.run();
    *items = merge.out;
}

/// Where the items of one side are on the other.
struct Places {
    /// For each item of the list, the one of the configuration.
    given: Vec<Option<usize>>,
    /// For each item of the configuration, the one of the list.
    live: Vec<Live>,
    /// The items of the configuration that the list has, too.
    shared: Vec<usize>,
}

/// Which item of the list has a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Live {
    None,
    One(usize),
    /// Several: they are replaced, not merged.
    Many,
}

fn places(relationship: Relationship<'_>, items: &[Value], given: &[Configuration]) -> Places {
    let mut by_key = FxHashMap::default();
    for (at, item) in given.iter().enumerate() {
        // What has no key was refused before.
        if let Ok(key) = Key::of(relationship, item) {
            by_key.insert(key, at);
        }
    }
    let mut live = vec![Live::None; given.len()];
    let given = items.iter().enumerate().map(|(at, item)| {
        let key = Key::of(relationship, item).ok()?;
        let place = *by_key.get(&key)?;
        if let Some(live) = live.get_mut(place) {
            *live = match live {
                Live::None => Live::One(at),
                Live::One(_) | Live::Many => Live::Many,
            };
        }
        Some(place)
    });
    let given = given.collect();
    let shared = live.iter().enumerate();
    let shared = shared.filter(|(_, live)| **live != Live::None);
    Places {
        given,
        shared: shared.map(|(at, _)| at).collect(),
        live,
    }
}

struct Merge<'m> {
    types: Types<'m>,
    list: &'m ListAtom<'m>,
    /// The items of the list that are not taken.
    live: Vec<Option<Value>>,
    given: &'m [Configuration],
    /// Which items of the configuration are in the result.
    merged: Vec<bool>,
    places: Places,
    /// The position in `places.shared` of the shared item that comes next.
    next_shared: usize,
    out: Vec<Value>,
}

impl Merge<'_> {
    /// Upstream's loop, step by step: each turn moves on in one of the lists.
    fn run(&mut self) {
        let (mut left, mut right) = (0, 0);
        while left < self.live.len() || right < self.given.len() {
            let place = self.places.given.get(left).copied();
            if let Some(Some(place)) = place
                && right < self.given.len()
            {
                if place == right {
                    self.take_given(right);
                    self.next_shared += 1;
                    (left, right) = (left + 1, right + 1);
                    continue;
                }
                let next = self.places.shared.get(self.next_shared);
                if next.is_some_and(|next| *next != place) {
                    // A shared item, but not the one of this round.
                    left += 1;
                    continue;
                }
            }
            match place {
                Some(None) => {
                    self.out
                        .extend(self.live.get_mut(left).and_then(Option::take));
                    left += 1;
                    continue;
                }
                Some(Some(place)) if self.is_merged(place) || right >= self.given.len() => {
                    left += 1
                }
                _ => {}
            }
            if right < self.given.len() {
                self.take_given(right);
                if self.places.shared.get(self.next_shared) == Some(&right) {
                    self.next_shared += 1;
                }
                right += 1;
            }
        }
    }

    fn is_merged(&self, given: usize) -> bool {
        self.merged.get(given).copied().unwrap_or(true)
    }

    fn take_given(&mut self, at: usize) {
        if let Some(merged) = self.merged.get_mut(at) {
            *merged = true;
        }
        let Some(given) = self.given.get(at) else {
            return;
        };
        let live = match self.places.live.get(at) {
            Some(Live::One(live)) => self.live.get_mut(*live).and_then(Option::take),
            _ => None,
        };
        self.out.push(match live {
            Some(mut live) => {
                merge_value(self.types, self.list.items, &mut live, given);
                live
            }
            None => given.to_value(),
        });
    }
}
