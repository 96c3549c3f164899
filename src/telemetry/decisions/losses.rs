//! Says in the server's log how many decisions were dropped: when it begins, and then once a minute.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;

/// After the first that is dropped it is waited for so long, so that a number is told and not a one.
const GATHER: Duration = Duration::from_secs(1);
/// No line follows another sooner.
const PAUSE: Duration = Duration::from_secs(60);

/// What was dropped, and what was said of it.
#[derive(Debug)]
pub(super) struct Losses {
    dropped: Counter,
    said: Mutex<Said>,
    /// Where it is said.
    tell: fn(u64),
}

#[derive(Debug, Default)]
struct Said {
    /// How many were dropped when something was said last.
    count: u64,
    at: Option<Instant>,
    /// When the first was dropped of which nothing is said.
    since: Option<Instant>,
}

impl Losses {
    /// Begins to count.
    pub(super) fn new(dropped: Counter, tell: fn(u64)) -> Self {
        let said = Mutex::default();
        Losses {
            dropped,
            said,
            tell,
        }
    }

    /// Counts one; waits for nobody.
    pub(super) fn drop_one(&self) {
        self.dropped.inc();
        self.look();
    }

    /// Says what there is to say by now.
    pub(super) fn look(&self) {
        // Whoever has it says it.
        let due = match self.said.try_lock() {
            Ok(mut said) => said.due(self.dropped.get(), Instant::now()),
            Err(_) => None,
        };
        due.into_iter().for_each(self.tell);
    }

    /// Says what was not said yet.
    pub(super) fn end(&self) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = said.rest(self.dropped.get());
        drop(said);
        rest.into_iter().for_each(self.tell);
    }
}

/// Says it in the server's log.
pub(super) fn log(decisions: u64) {
    tracing::warn!(
        decisions,
        "decisions were dropped: the decision log is written too slowly"
    );
}

impl Said {
    fn due(&mut self, dropped: u64, now: Instant) -> Option<u64> {
        if dropped == self.count {
            return None;
        }
        let since = *self.since.get_or_insert(now);
        let is_early = now.duration_since(since) < GATHER;
        let is_soon = self.at.is_some_and(|at| now.duration_since(at) < PAUSE);
        if is_early || is_soon {
            return None;
        }
        self.at = Some(now);
        self.rest(dropped)
    }

    fn rest(&mut self, dropped: u64) -> Option<u64> {
        let count = dropped.saturating_sub(self.count);
        self.count = dropped;
        self.since = None;
        (count > 0).then_some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_said_once_a_minute() {
        let mut said = Said::default();
        let begun = Instant::now();
        let mut due = |seconds, dropped| said.due(dropped, begun + Duration::from_secs(seconds));
        assert_eq!(due(0, 0), None);
        assert_eq!(due(10, 1), None);
        assert_eq!(due(11, 700), Some(700));
        assert_eq!(due(12, 700), None);
        assert_eq!(due(13, 900), None);
        assert_eq!(due(70, 1000), None);
        assert_eq!(due(71, 1000), Some(300));
        assert_eq!(due(500, 1000), None);
        assert_eq!(due(500, 1001), None);
        assert_eq!(due(501, 1002), Some(2));
        assert_eq!(said.rest(1002), None);
        assert_eq!(said.rest(1005), Some(3));
    }
}
