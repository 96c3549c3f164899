//! The Lease by which one replica of several is known to be the one that writes.
//!
//! As client-go elects leaders (`tools/leaderelection/leaderelection.go`): clocks are not compared, each
//! replica measures how long it has seen the same record; and every write names the version it was made
//! of, so that of two that try at once one fails. A holder that cannot renew stops to be one before
//! others may take over.
//!
//! The record also carries a note, from one holder to the next ([`Note`]), and what replicas that do not
//! hold it ask of the holder ([`Asks`]).

mod asks;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, Error};
use tokio::sync::watch;

use super::ObjectName;
use super::connect::described;
pub use asks::{Asks, MOST_OF_AN_ASK};

/// How long others wait for a holder that is gone; these are the values of Kubernetes' own controllers
/// (component-base `config/v1alpha1/defaults.go`).
const DURATION: Duration = Duration::from_secs(15);
/// How long others wait at most, whatever is written in the Lease: who is gone cannot say that it was a
/// mistake.
const LONGEST: Duration = Duration::from_secs(60);
/// How long a holder is one after it last said so. What it has begun to write by then has ended before
/// others take over: [`REQUEST`] is no longer than the difference.
const HELD: Duration = Duration::from_secs(10);
/// How often the Lease is renewed, or looked at.
const RETRY: Duration = Duration::from_secs(2);
/// How often a record is read again that another replica has changed meanwhile: those that ask something
/// write it, too.
const MOST_TRIES: usize = 4;
/// How long one request may take.
pub const REQUEST: Duration = Duration::from_secs(5);

/// Who may write, as far as this replica knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It was not asked yet.
    Unasked,
    /// This replica, until then.
    Holder {
        /// When that ends, unless it is renewed.
        until: Instant,
    },
    /// Another one.
    Other(String),
    /// Nobody knows, and why.
    Unknown(String),
}

impl Standing {
    /// Says whether this replica may begin to write.
    pub fn is_holder(&self) -> bool {
        matches!(self, Standing::Holder { until } if Instant::now() < *until)
    }
}

/// The annotation with the note.
pub const NOTE: &str = "portcullis.dev/scan";
/// A note that is longer is none: every renewal writes it again.
const MOST_OF_A_NOTE: usize = 2048;

/// What a holder wants the next one to know; clones share it.
///
/// It is written with the renewals, and so only by the holder, over the version that was read, and within
/// `RETRY` of being said. Whoever takes the Lease over finds what the holder before has left.
#[derive(Debug, Clone, Default)]
pub struct Note(Arc<Mutex<Option<String>>>);

impl Note {
    /// Returns what is noted.
    pub fn get(&self) -> Option<String> {
        self.text().clone()
    }

    /// Notes something in place of what was, or nothing.
    pub fn set(&self, text: Option<String>) {
        *self.text() = text.filter(|it| it.len() <= MOST_OF_A_NOTE);
    }

    fn text(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what a record says.
    fn take(&self, lease: &Lease) {
        let annotations = lease.metadata.annotations.as_ref();
        self.set(annotations.and_then(|it| it.get(NOTE)).cloned());
    }

    /// Has a record say it.
    fn leave(&self, annotations: Option<BTreeMap<String, String>>) -> BTreeMap<String, String> {
        let mut annotations = annotations.unwrap_or_default();
        match self.get() {
            Some(text) => annotations.insert(NOTE.to_owned(), text),
            None => annotations.remove(NOTE),
        };
        annotations
    }
}

/// What the record carries besides who holds it.
#[derive(Debug, Clone, Default)]
pub struct Words {
    /// From one holder to the next.
    pub note: Note,
    /// From the other replicas to the holder.
    pub asks: Asks,
}

/// A candidate for a Lease.
pub struct Candidate {
    api: Api<Lease>,
    name: ObjectName,
    identity: String,
    words: Words,
    /// Who was seen to hold it last, as it says itself, and since when. What others have it carry is no sign
    /// of the holder's life.
    seen: Option<(LeaseSpec, Instant)>,
}

impl Candidate {
    /// Makes a candidate; its identity must be no other's, nor its own of before.
    pub fn new(client: Client, name: ObjectName, identity: String, words: Words) -> Self {
        Candidate {
            api: Api::namespaced(client, &name.namespace),
            name,
            identity,
            words,
            seen: None,
        }
    }

    /// Tries to hold the Lease, for good, and says how it stands.
    pub async fn run(&mut self, standing: &watch::Sender<Standing>) {
        loop {
            let begun = Instant::now();
            let tried = tokio::time::timeout(REQUEST, self.try_once(begun)).await;
            let outcome =
                tried.unwrap_or_else(|_| Err("the API server does not answer".to_owned()));
            let next = match outcome {
                Ok(next) => next,
                // Whoever held it may go on for the rest of the time.
                Err(problem) => match &*standing.borrow() {
                    held if held.is_holder() => held.clone(),
                    _ => Standing::Unknown(problem),
                },
            };
            standing.send_if_modified(|current| {
                announce(current, &next);
                let is_new = *current != next;
                *current = next;
                is_new
            });
            tokio::time::sleep(RETRY.saturating_sub(begun.elapsed())).await;
        }
    }

    /// Gives the Lease up, so that nobody has to wait for its end.
    pub async fn release(&mut self) {
        let released = async {
            let mut tried = 1;
            loop {
                let mut lease = self.api.get(&self.name.name).await?;
                let spec = lease.spec.get_or_insert_default();
                if spec.holder_identity.as_ref() != Some(&self.identity) {
                    return Ok(());
                }
                spec.holder_identity = None;
                let annotations = lease.metadata.annotations.take();
                lease.metadata.annotations = Some(self.words.note.leave(annotations));
                match self.replace(&lease).await {
                    Err(Error::Api(status)) if status.code == 409 && tried < MOST_TRIES => {
                        tried += 1;
                    }
                    written => return written.map(drop),
                }
            }
        };
        match tokio::time::timeout(REQUEST, released).await {
            Ok(Ok(())) => {}
            Ok(Err(problem)) => {
                tracing::debug!("the lease is not given up: {}", described(&problem))
            }
            Err(_) => tracing::debug!("the lease is not given up in time"),
        }
    }

    async fn try_once(&mut self, begun: Instant) -> Result<Standing, String> {
        for _ in 0..MOST_TRIES {
            if let Some(standing) = self.try_with_this_version(begun).await? {
                return Ok(standing);
            }
        }
        Err("others write it all the time".to_owned())
    }

    /// Does what is to be done with the record as it is read; nothing comes of it if another one was faster.
    async fn try_with_this_version(&mut self, begun: Instant) -> Result<Option<Standing>, String> {
        let lease = match self.api.get_opt(&self.name.name).await {
            Ok(lease) => lease,
            Err(problem) => return Err(described(&problem)),
        };
        let mut asked = Vec::new();
        let written = match lease {
            None => {
                let lease = self.lease(Lease::default(), 0);
                self.api.create(&PostParams::default(), &lease).await
            }
            Some(mut lease) => {
                if let Some(holder) = self.other_holder(&lease, begun) {
                    return self.ask(lease, holder).await;
                }
                let spec = lease.spec.clone().unwrap_or_default();
                let transitions = spec.lease_transitions.unwrap_or_default();
                let is_mine = spec.holder_identity.as_ref() == Some(&self.identity);
                let transitions = transitions.saturating_add(i32::from(!is_mine));
                if !is_mine {
                    self.words.note.take(&lease);
                }
                asked = asks::split(&mut lease.metadata.annotations);
                self.replace(&self.lease(lease, transitions)).await
            }
        };
        match written {
            Ok(_) => {
                // It need not ask itself.
                self.words.asks.is_said();
                self.words.asks.keep(asked);
                Ok(Some(Standing::Holder {
                    until: begun + HELD,
                }))
            }
            Err(Error::Api(status)) if status.code == 409 => Ok(None),
            Err(problem) => Err(described(&problem)),
        }
    }

    /// Has the record of another holder say what this replica asks, if it asks something.
    async fn ask(&self, mut lease: Lease, holder: String) -> Result<Option<Standing>, String> {
        let asks = &self.words.asks;
        let annotations = lease.metadata.annotations.as_ref();
        if let Some(annotations) = asks.added_to(annotations) {
            lease.metadata.annotations = Some(annotations);
            match self.replace(&lease).await {
                Ok(_) => {}
                Err(Error::Api(status)) if status.code == 409 => return Ok(None),
                Err(problem) => return Err(described(&problem)),
            }
            asks.is_said();
        }
        Ok(Some(Standing::Other(holder)))
    }

    /// Returns who holds the Lease, if it is another one whose time is not over.
    fn other_holder(&mut self, lease: &Lease, now: Instant) -> Option<String> {
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.filter(|it| !it.is_empty())?;
        if holder == self.identity {
            return None;
        }
        let seconds = spec.lease_duration_seconds;
        let record = LeaseSpec {
            holder_identity: Some(holder.clone()),
            ..spec
        };
        let since = match &self.seen {
            Some((seen, since)) if *seen == record => *since,
            _ => {
                self.seen = Some((record, now));
                now
            }
        };
        (now < since + honoured(seconds)).then_some(holder)
    }

    fn lease(&self, lease: Lease, transitions: i32) -> Lease {
        let spec = lease.spec.unwrap_or_default();
        let now = MicroTime(Timestamp::now());
        let is_mine = spec.holder_identity.as_ref() == Some(&self.identity);
        Lease {
            metadata: ObjectMeta {
                name: Some(self.name.name.clone()),
                annotations: Some(self.words.note.leave(lease.metadata.annotations)),
                ..lease.metadata
            },
            spec: Some(LeaseSpec {
                acquire_time: match is_mine {
                    true => spec.acquire_time,
                    false => Some(now.clone()),
                },
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                lease_transitions: Some(transitions),
                renew_time: Some(now),
                ..spec
            }),
        }
    }

    /// Writes over the version that was read, and no other.
    async fn replace(&self, lease: &Lease) -> Result<Lease, Error> {
        let parameters = PostParams::default();
        self.api.replace(&self.name.name, &parameters, lease).await
    }
}

/// How long others wait for a holder that has asked for so many seconds.
fn honoured(seconds: Option<i32>) -> Duration {
    let seconds = seconds.and_then(|it| u64::try_from(it).ok());
    seconds.map_or(DURATION, Duration::from_secs).min(LONGEST)
}

/// Logs what has changed for whoever reads logs.
fn announce(before: &Standing, after: &Standing) {
    match (before, after) {
        (Standing::Holder { .. }, Standing::Holder { .. }) => {}
        (_, Standing::Holder { .. }) => tracing::info!("this replica holds the lease"),
        (Standing::Holder { .. }, _) => tracing::warn!("this replica holds the lease no longer"),
        (before, Standing::Unknown(problem)) if before != after => {
            tracing::error!(problem, "the lease is not known");
        }
        (Standing::Unknown(_), Standing::Other(holder)) => {
            tracing::info!(holder, "another replica holds the lease");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_waited_for_longer_than_a_minute() {
        for (asked, waited) in [
            (None, 15),
            (Some(5), 5),
            (Some(-1), 15),
            (Some(i32::MAX), 60),
        ] {
            assert_eq!(honoured(asked), Duration::from_secs(waited), "{asked:?}");
        }
    }

    fn annotated(annotations: &[(&str, &str)]) -> Lease {
        let pairs = annotations.iter();
        let annotations = pairs.map(|(key, text)| ((*key).to_owned(), (*text).to_owned()));
        let mut lease = Lease::default();
        lease.metadata.annotations = Some(annotations.collect());
        lease
    }

    #[test]
    fn a_note_goes_from_one_holder_to_the_next_and_others_annotations_stay() {
        let note = Note::default();
        note.take(&annotated(&[("other", "x"), (NOTE, "so far")]));
        assert_eq!(note.get().as_deref(), Some("so far"));
        note.set(Some("further".to_owned()));
        let lease = annotated(&[("other", "x"), (NOTE, "so far")]);
        let left = note.leave(lease.metadata.annotations);
        assert_eq!((&*left["other"], &*left[NOTE]), ("x", "further"));
        note.set(None);
        assert_eq!(note.leave(Some(left)).len(), 1);
    }

    #[test]
    fn a_note_that_is_too_long_is_none() {
        let note = Note::default();
        note.set(Some("x".repeat(MOST_OF_A_NOTE + 1)));
        assert_eq!(note.get(), None);
    }
}
