//! The most frequent of many texts, in memory that does not grow with them.
//!
//! So many texts have a counter. One that has none takes over the smallest, and begins where that stood
//! ("space-saving", Metwally, Agrawal and El Abbadi 2005): whatever order they come in, a text that is more
//! than one in [`MOST_COUNTERS`] has a counter at the end, and how much of its count may be another's is known.

use std::cmp::Reverse;

use serde::{Serialize, Serializer};

use super::shortened;

/// How many texts have a counter; what makes up two in a hundred is never missed.
const MOST_COUNTERS: usize = 64;
/// Longest text that is kept, in bytes: what agrees in so much of it is counted together. The name of an
/// object with those of its resource and namespace fits, and so do those of service accounts.
const LONGEST: usize = 384;
/// How many are shown.
const MOST_SHOWN: usize = 5;

/// Texts with how often each occurs.
#[derive(Debug, Default)]
pub(super) struct Top {
    counters: Vec<Counter>,
    all: u64,
}

#[derive(Debug)]
struct Counter {
    name: Box<str>,
    count: u64,
    /// How much of the count may be that of others.
    over: u64,
}

/// A text that is among the most frequent.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Named<'t> {
    pub(super) name: &'t str,
    /// How often it occurs at least.
    pub(super) count: u64,
    /// How often it occurs at most, unless that is the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) at_most: Option<u64>,
}

impl Top {
    /// Counts a text.
    pub(super) fn count(&mut self, name: &str) {
        self.all += 1;
        let name = shortened(name, LONGEST);
        if let Some(counter) = self.counters.iter_mut().find(|it| *it.name == *name) {
            counter.count += 1;
            return;
        }
        let name = name.into();
        if self.counters.len() < MOST_COUNTERS {
            let (count, over) = (1, 0);
            self.counters.push(Counter { name, count, over });
        } else if let Some(least) = self.counters.iter_mut().min_by_key(|it| it.count) {
            let over = least.count;
            let count = over + 1;
            *least = Counter { name, count, over };
        }
    }

    /// Returns the most frequent, those first.
    pub(super) fn shown(&self) -> Vec<Named<'_>> {
        let named = |it: &'_ Counter| (it.count - it.over, it.count);
        let mut all: Vec<Named<'_>> = self
            .counters
            .iter()
            .map(|it| (it, named(it)))
            .map(|(it, (count, at_most))| Named {
                name: &it.name,
                count,
                at_most: (at_most > count).then_some(at_most),
            })
            .collect();
        all.sort_by_key(|it| (Reverse(it.count), it.name));
        all.truncate(MOST_SHOWN);
        all
    }

    /// Returns how many occurrences are those of texts that are not shown.
    pub(super) fn others(&self) -> u64 {
        self.all - self.shown().iter().map(|it| it.count).sum::<u64>()
    }
}

impl Serialize for Top {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, count: u64, at_most: Option<u64>) -> Named<'_> {
        Named {
            name,
            count,
            at_most,
        }
    }

    #[test]
    fn few_texts_are_counted_exactly() {
        let mut top = Top::default();
        for name in ["b", "a", "c", "a", "b", "a", "d", "e", "f"] {
            top.count(name);
        }
        let expected = [("a", 3), ("b", 2), ("c", 1), ("d", 1), ("e", 1)];
        let expected = expected.map(|(name, count)| named(name, count, None));
        assert_eq!(top.shown(), expected);
        assert_eq!(top.others(), 1);
    }

    #[test]
    fn whoever_is_frequent_is_found_wherever_in_the_log() {
        let once: Vec<String> = (0..5000).map(|at| format!("once-{at}")).collect();
        let often = || std::iter::repeat_n("often", 500);
        let singles = || once.iter().map(String::as_str);
        let mixed = singles().zip(often().cycle()).enumerate();
        let mixed = mixed.map(|(at, (one, often))| if at % 10 == 0 { often } else { one });
        let orders: [Vec<&str>; 3] = [
            singles().chain(often()).collect(),
            often().chain(singles()).collect(),
            mixed.collect(),
        ];
        for (at, order) in orders.iter().enumerate() {
            let mut top = Top::default();
            for name in order {
                top.count(name);
            }
            assert!(top.counters.len() <= MOST_COUNTERS);
            let shown = top.shown();
            assert_eq!(shown[0].name, "often", "{at}: {shown:?}");
            let most = shown[0].at_most.unwrap_or(shown[0].count);
            assert!(shown[0].count <= 500 && most >= 500, "{at}: {shown:?}");
            assert!(shown[0].count >= 400, "{at}: {shown:?}");
            let told: u64 = shown.iter().map(|it| it.count).sum();
            assert_eq!(told + top.others(), order.len() as u64);
        }
    }

    #[test]
    fn a_text_is_kept_in_part() {
        let mut top = Top::default();
        top.count(&"é".repeat(LONGEST));
        top.count(&format!("{}!", "é".repeat(LONGEST)));
        let shown = top.shown();
        assert_eq!(shown.len(), 1);
        assert!(shown[0].name.len() <= LONGEST + '…'.len_utf8());
        assert!(shown[0].name.ends_with('…'));
    }
}
