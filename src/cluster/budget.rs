//! How much memory all caches together may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that caches share.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    used: AtomicUsize,
}

impl Budget {
    /// Makes a budget of so many bytes.
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Budget {
            limit,
            used: AtomicUsize::new(0),
        })
    }

    /// Returns how many there are.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }
}

/// What one cache takes of a budget; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Charge {
    /// Begins with nothing.
    pub(super) fn new(budget: &Arc<Budget>) -> Self {
        Charge {
            budget: Arc::clone(budget),
            bytes: 0,
        }
    }

    /// Takes so many bytes instead of those it has; says whether there are so many, else it keeps what
    /// it has.
    pub(super) fn resize(&mut self, bytes: usize) -> bool {
        let Charge { budget, bytes: own } = self;
        let changed = budget
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                let used = used.saturating_sub(*own).saturating_add(bytes);
                (bytes <= *own || used <= budget.limit).then_some(used)
            });
        if changed.is_ok() {
            *own = bytes;
        }
        changed.is_ok()
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.resize(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_share_what_there_is_and_give_it_back() {
        let budget = Budget::new(100);
        let mut first = Charge::new(&budget);
        let mut second = Charge::new(&budget);
        assert!(first.resize(60));
        assert!(second.resize(40));
        assert!(!second.resize(41), "more than there is");
        assert!(!first.resize(usize::MAX), "more than there could be");
        assert!(first.resize(10));
        assert!(second.resize(90), "what the first gave back");
        drop(second);
        assert!(first.resize(100));
        drop(first);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
