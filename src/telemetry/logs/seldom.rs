//! Lines that every request could cause, each once a minute.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

/// How long after a line about something there is none.
const PAUSE: Duration = Duration::from_secs(60);
/// About how many things there are lines within that time; beyond that about none.
const MOST: usize = 1000;

/// Knows about what there was a line, and when.
#[derive(Debug, Default)]
pub struct Seldom {
    said: Mutex<FxHashMap<String, Said>>,
}

#[derive(Debug)]
struct Said {
    at: Instant,
    unsaid: u64,
}

impl Seldom {
    /// Says whether there is to be a line about something; if so, how often there was none since the last.
    pub fn is_due(&self, what: &str, now: Instant) -> Option<u64> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = said.get_mut(what) {
            if now.saturating_duration_since(known.at) < PAUSE {
                known.unsaid += 1;
                return None;
            }
            known.at = now;
            return Some(std::mem::take(&mut known.unsaid));
        }
        if said.len() >= MOST {
            said.retain(|_, it| now.saturating_duration_since(it.at) < PAUSE);
        }
        if said.len() >= MOST {
            return None;
        }
        let first = Said { at: now, unsaid: 0 };
        said.insert(what.to_owned(), first);
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_line_a_minute_about_each_and_the_others_are_counted() {
        let (seldom, start) = (Seldom::default(), Instant::now());
        assert_eq!(seldom.is_due("a", start), Some(0));
        for seconds in 1..60 {
            let now = start + Duration::from_secs(seconds);
            assert_eq!(seldom.is_due("a", now), None, "{seconds}");
        }
        assert_eq!(seldom.is_due("b", start), Some(0));
        assert_eq!(seldom.is_due("a", start + PAUSE), Some(59));
        assert_eq!(seldom.is_due("a", start + PAUSE * 2), Some(0));
    }

    #[test]
    fn what_is_known_is_bounded() {
        let (seldom, start) = (Seldom::default(), Instant::now());
        let due = |now| {
            let names = (0..2 * MOST).map(|at| at.to_string());
            names.filter(|it| seldom.is_due(it, now).is_some()).count()
        };
        assert_eq!(due(start), MOST);
        assert_eq!(due(start + PAUSE), MOST, "those that are over make room");
        assert_eq!(seldom.said.lock().unwrap().len(), MOST);
    }
}
