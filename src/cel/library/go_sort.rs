//! Sorts as Go's `sort.Slice` does, down to where it leaves items that are equal.
//!
//! `sortBy` is not stable in Kubernetes: of more than twelve items, those with equal keys change
//! places, and always in the same way. A policy that takes the first of them must take the one that
//! Kubernetes takes, so the steps of the pattern-defeating quicksort are those of Go's
//! `sort/zsortfunc.go`, in its order.

use std::ops::Range;

/// Sorts items by a strict order, which need not be total: numbers that are none order nothing.
pub(super) fn sort<T>(items: &mut [T], is_less: impl Fn(&T, &T) -> bool) {
    let limit = usize::BITS - items.len().leading_zeros();
    let whole = 0..items.len();
    Sorter { items, is_less }.quicksort(whole, limit);
}

/// Up to this length insertion is faster.
const INSERTION: usize = 12;

/// From this length on a pivot is the median of three medians.
const NINTHER: usize = 50;

/// Below this length nothing is shifted to repair an order.
const SHIFTING: usize = 50;

/// Pairs out of order that are repaired before giving up.
const REPAIRS: usize = 5;

/// What the choice of a pivot showed of the order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hint {
    Unknown,
    Increasing,
    Decreasing,
}

struct Sorter<'s, T, F> {
    items: &'s mut [T],
    is_less: F,
}

impl<T, F: Fn(&T, &T) -> bool> Sorter<'_, T, F> {
    fn less(&self, a: usize, b: usize) -> bool {
        match (self.items.get(a), self.items.get(b)) {
            (Some(a), Some(b)) => (self.is_less)(a, b),
            _ => false,
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        if a.max(b) < self.items.len() {
            self.items.swap(a, b);
        }
    }

    /// `limit` is how many bad pivots may still be chosen; each costs one, so that the depth of the
    /// recursion is that of the halves.
    fn quicksort(&mut self, mut range: Range<usize>, mut limit: u32) {
        let mut was_balanced = true;
        let mut was_partitioned = true;
        loop {
            let length = range.len();
            if length <= INSERTION {
                return self.insertion(range);
            }
            if limit == 0 {
                return self.heapsort(range);
            }
            if !was_balanced {
                self.scatter(&range);
                limit -= 1;
            }
            let (mut pivot, mut hint) = self.choose_pivot(&range);
            if hint == Hint::Decreasing {
                if let Some(part) = self.items.get_mut(range.clone()) {
                    part.reverse();
                }
                pivot = (range.end - 1) - (pivot - range.start);
                hint = Hint::Increasing;
            }
            let seems_sorted = was_balanced && was_partitioned && hint == Hint::Increasing;
            if seems_sorted && self.repair(&range) {
                return;
            }
            if range.start > 0 && !self.less(range.start - 1, pivot) {
                range.start = self.partition_equal(&range, pivot);
                continue;
            }
            let (middle, was_already) = self.partition(&range, pivot);
            was_partitioned = was_already;
            let (left, right) = (middle - range.start, range.end - middle);
            was_balanced = left.min(right) >= length / 8;
            if left < right {
                self.quicksort(range.start..middle, limit);
                range.start = middle + 1;
            } else {
                self.quicksort(middle + 1..range.end, limit);
                range.end = middle;
            }
        }
    }

    fn insertion(&mut self, range: Range<usize>) {
        for next in range.start + 1..range.end {
            let mut at = next;
            while at > range.start && self.less(at, at - 1) {
                self.swap(at, at - 1);
                at -= 1;
            }
        }
    }

    fn heapsort(&mut self, range: Range<usize>) {
        let length = range.len();
        for root in (0..length.div_ceil(2)).rev() {
            self.sift_down(root, length, range.start);
        }
        for last in (0..length).rev() {
            self.swap(range.start, range.start + last);
            self.sift_down(0, last, range.start);
        }
    }

    fn sift_down(&mut self, mut root: usize, length: usize, first: usize) {
        loop {
            let mut child = 2 * root + 1;
            if child >= length {
                return;
            }
            if child + 1 < length && self.less(first + child, first + child + 1) {
                child += 1;
            }
            if !self.less(first + root, first + child) {
                return;
            }
            self.swap(first + root, first + child);
            root = child;
        }
    }

    /// Moves what is less than the pivot before it; returns where the pivot is then, and whether
    /// nothing had to be moved.
    fn partition(&mut self, range: &Range<usize>, pivot: usize) -> (usize, bool) {
        let first = range.start;
        self.swap(first, pivot);
        let (mut low, mut high) = (first + 1, range.end - 1);
        let mut was_already = true;
        loop {
            while low <= high && self.less(low, first) {
                low += 1;
            }
            while low <= high && !self.less(high, first) {
                high -= 1;
            }
            if low > high {
                break;
            }
            self.swap(low, high);
            was_already = false;
            low += 1;
            high -= 1;
        }
        self.swap(high, first);
        (high, was_already)
    }

    /// Moves what equals the pivot before what is greater, where nothing is less; returns where the
    /// greater ones begin.
    fn partition_equal(&mut self, range: &Range<usize>, pivot: usize) -> usize {
        let first = range.start;
        self.swap(first, pivot);
        let (mut low, mut high) = (first + 1, range.end - 1);
        loop {
            while low <= high && !self.less(first, low) {
                low += 1;
            }
            while low <= high && self.less(first, high) {
                high -= 1;
            }
            if low > high {
                return low;
            }
            self.swap(low, high);
            low += 1;
            high -= 1;
        }
    }

    /// Repairs an order with few faults; says whether it is one then.
    fn repair(&mut self, range: &Range<usize>) -> bool {
        let mut at = range.start + 1;
        for _ in 0..REPAIRS {
            while at < range.end && !self.less(at, at - 1) {
                at += 1;
            }
            if at == range.end {
                return true;
            }
            if range.len() < SHIFTING {
                return false;
            }
            self.swap(at, at - 1);
            if at - range.start >= 2 {
                self.shift((1..at).rev());
            }
            if range.end - at >= 2 {
                self.shift(at + 1..range.end);
            }
        }
        false
    }

    /// Swaps each with the one before it as long as they are out of order.
    fn shift(&mut self, positions: impl Iterator<Item = usize>) {
        for at in positions {
            if !self.less(at, at - 1) {
                return;
            }
            self.swap(at, at - 1);
        }
    }

    /// Breaks up a pattern that makes pivots bad: three items in the middle change places with
    /// others, chosen by a generator that the length seeds.
    fn scatter(&mut self, range: &Range<usize>) {
        let length = range.len();
        let mut random = u64::try_from(length).unwrap_or_default();
        let mask = (1u64 << (usize::BITS - length.leading_zeros())) - 1;
        let middle = range.start + (length / 4) * 2;
        for at in middle - 1..=middle + 1 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let other = usize::try_from(random & mask).unwrap_or_default();
            let other = if other >= length {
                other - length
            } else {
                other
            };
            self.swap(at, range.start + other);
        }
    }

    fn choose_pivot(&self, range: &Range<usize>) -> (usize, Hint) {
        let mut swaps = 0;
        let quarter = range.len() / 4;
        let mut candidates = [1, 2, 3].map(|which| range.start + quarter * which);
        if range.len() >= NINTHER {
            for candidate in &mut candidates {
                let near = [*candidate - 1, *candidate, *candidate + 1];
                *candidate = self.median(near, &mut swaps);
            }
        }
        let pivot = self.median(candidates, &mut swaps);
        let hint = match swaps {
            0 => Hint::Increasing,
            // Four medians, each of them in descending order.
            12 => Hint::Decreasing,
            _ => Hint::Unknown,
        };
        (pivot, hint)
    }

    fn median(&self, [a, b, c]: [usize; 3], swaps: &mut u32) -> usize {
        let mut order = |a: usize, b: usize| match self.less(b, a) {
            true => {
                *swaps += 1;
                (b, a)
            }
            false => (a, b),
        };
        let (a, b) = order(a, b);
        let (b, _) = order(b, c);
        order(a, b).1
    }
}

#[cfg(test)]
mod tests {
    use super::sort;

    /// A list of `length` numbers without an order, each with a key below `keys`.
    fn scrambled(length: u64, keys: u64) -> Vec<(u64, u64)> {
        (0..length)
            .map(|at| (at.wrapping_mul(2_654_435_761) % 1009 % keys, at))
            .collect()
    }

    #[test]
    fn every_list_is_in_order_and_keeps_its_items() {
        for length in [0, 1, 2, 12, 13, 49, 50, 51, 200, 1000] {
            for keys in [1, 2, 3, 7, 1000] {
                for order in [1, -1, 0] {
                    let mut items = scrambled(length, keys);
                    match order {
                        1 => items.sort_unstable(),
                        -1 => items.sort_unstable_by(|a, b| b.cmp(a)),
                        _ => {}
                    }
                    sort(&mut items, |a, b| a.0 < b.0);
                    assert!(
                        items.is_sorted_by_key(|item| item.0),
                        "{length} {keys} {order}"
                    );
                    let mut positions: Vec<u64> = items.iter().map(|item| item.1).collect();
                    positions.sort_unstable();
                    assert_eq!(positions, (0..length).collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn what_orders_nothing_ends_too() {
        let mut items = [f64::NAN, 3.0, f64::NAN, 1.0, 2.0].repeat(40);
        sort(&mut items, |a, b| a < b);
        assert_eq!(items.len(), 200);
    }
}
