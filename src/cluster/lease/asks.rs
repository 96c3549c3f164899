//! What replicas that do not hold a Lease ask of the one that does, in annotations of its record.
//!
//! Whoever asks writes over the version that was read and changes nothing else. The holder takes what was
//! asked with the renewal that removes it, so that nothing is kept that nobody reads; what is still wanted
//! is asked again. What a text means, and whether it is heeded, is for others to say.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

/// What the names of such annotations begin with; a part of the hash of the text follows, so that replicas
/// that ask the same ask once.
const ASKED: &str = "portcullis.dev/trust-";
/// How much may be asked in one annotation: all of an object may have 256 KiB (apimachinery
/// `pkg/api/validation/objectmeta.go`, `TotalAnnotationSizeLimitB`).
pub const MOST_OF_AN_ASK: usize = 16 * 1024;
/// How many annotations may wait to be taken; the others are asked once there is room.
const MOST_ASKS: usize = 8;

/// What this replica asks, and what it was asked; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Asks(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    own: Option<String>,
    of_others: Vec<String>,
}

type Annotations = BTreeMap<String, String>;

impl Asks {
    /// Asks the holder for something, once, in place of what it was to be asked and was not. What is too
    /// long is not asked.
    pub fn ask(&self, text: String) {
        self.state().own = (text.len() <= MOST_OF_AN_ASK).then_some(text);
    }

    /// Returns what others have asked since this replica holds the Lease, once.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.state().of_others)
    }

    /// Adds what this replica asks to what a record says; nothing, if it asks nothing, the record says so
    /// already or has no room.
    pub(super) fn added_to(&self, annotations: Option<&Annotations>) -> Option<Annotations> {
        let mut state = self.state();
        let own = state.own.clone()?;
        let key = key(&own);
        let mut annotations = annotations.cloned().unwrap_or_default();
        if annotations.contains_key(&key) {
            state.own = None;
            return None;
        }
        let waiting = annotations.keys().filter(|key| key.starts_with(ASKED));
        if waiting.count() >= MOST_ASKS {
            return None;
        }
        annotations.insert(key, own);
        Some(annotations)
    }

    /// Notes that the record says what this replica asks, or that it need not.
    pub(super) fn is_said(&self) {
        self.state().own = None;
    }

    /// Keeps what was taken out of a record for whoever heeds it.
    pub(super) fn keep(&self, asked: Vec<String>) {
        let mut state = self.state();
        let room = MOST_ASKS.saturating_sub(state.of_others.len());
        state.of_others.extend(asked.into_iter().take(room));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes what is asked out of annotations; of what is too much or too long nothing is left, either.
pub(super) fn split(annotations: &mut Option<Annotations>) -> Vec<String> {
    let mut asked = Vec::new();
    for annotations in annotations.iter_mut() {
        annotations.retain(|key, text| {
            let is_asked = key.starts_with(ASKED);
            if is_asked && asked.len() < MOST_ASKS && text.len() <= MOST_OF_AN_ASK {
                asked.push(std::mem::take(text));
            }
            !is_asked
        });
    }
    asked
}

fn key(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    let hash: String = hash.iter().take(8).map(|it| format!("{it:02x}")).collect();
    format!("{ASKED}{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotations(pairs: &[(&str, &str)]) -> Annotations {
        let pairs = pairs.iter();
        pairs
            .map(|(key, text)| ((*key).to_owned(), (*text).to_owned()))
            .collect()
    }

    #[test]
    fn what_one_replica_asks_another_takes_once() {
        let [asking, holding] = [(); 2].map(|()| Asks::default());
        let before = annotations(&[("other", "x")]);
        assert_eq!(asking.added_to(Some(&before)), None, "it asks nothing");
        asking.ask("me, too".to_owned());
        let said = asking.added_to(Some(&before)).unwrap();
        assert_eq!(asking.added_to(Some(&said)), None, "it is said already");
        assert_eq!(asking.added_to(Some(&before)), None, "it was asked");

        let mut record = Some(said);
        holding.keep(split(&mut record));
        assert_eq!(record, Some(before));
        assert_eq!(holding.take(), ["me, too"]);
        assert!(holding.take().is_empty());
    }

    #[test]
    fn nobody_asks_without_bounds() {
        let asks = Asks::default();
        asks.ask("x".repeat(MOST_OF_AN_ASK + 1));
        assert_eq!(asks.added_to(None), None, "it is too long");
        let keys: Vec<String> = (0..20).map(|at| format!("{ASKED}{at:02}")).collect();
        let pairs: Vec<(&str, &str)> = keys.iter().map(|key| (&**key, "x")).collect();
        let mut record = Some(annotations(&pairs));
        asks.ask("mine".to_owned());
        assert_eq!(asks.added_to(record.as_ref()), None, "there is no room");
        assert!(asks.added_to(None).is_some(), "it is asked later");
        let long = "x".repeat(MOST_OF_AN_ASK + 1);
        for annotations in record.iter_mut() {
            annotations.insert(format!("{ASKED}00"), long.clone());
        }
        asks.keep(split(&mut record));
        asks.keep(vec!["one more".to_owned()]);
        assert_eq!(asks.take(), ["x"; MOST_ASKS]);
        assert_eq!(record, Some(Annotations::new()), "nothing stays");
    }
}
