//! Which reports are written, and in which order: kind by kind, as soon as one was looked at.
//!
//! Those that say something else than before are written, and no others; those that nothing is said in any
//! more go. What could not be seen as a whole keeps the reports that it has.
//!
//! INVARIANT: whenever this ends, what was said before and still holds is said, or counted as omitted. What
//! moves between the reports of a namespace moves from one with a lower number to one that is not there
//! yet, or back to the lower one. So what is not there is written first, then what is, the higher numbers
//! first, and only then something is removed; what will only be counted is counted before.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::plan::Plan;
use super::report::{CHECKSUM, Draft, Known, Laying, OMITTED, Omitted, drafts, label};
use super::scan::{Seen, Unit};
use super::served::Discovery;
use super::write::{Key, Stub, WriteError, Writer, Written};

/// What is to be in a namespace, and what is.
#[derive(Default)]
struct Place<'f> {
    drafts: Vec<Draft<'f>>,
    before: BTreeMap<Key, Stub>,
}

/// Keeps the reports of one scan.
pub struct Keeper<'k> {
    writer: Writer<'k>,
    /// The reports that there are, by the kind that they are about.
    stubs: BTreeMap<String, BTreeMap<Key, Stub>>,
    /// How many bytes are left for reports.
    left: usize,
    written: Written,
    /// The first that could not be written.
    problem: Option<WriteError>,
}

impl<'k> Keeper<'k> {
    /// Looks up the reports that there are.
    ///
    /// # Errors
    /// They cannot be listed.
    pub async fn open(writer: Writer<'k>, left: usize) -> Result<Self, WriteError> {
        let mut stubs: BTreeMap<String, BTreeMap<Key, Stub>> = BTreeMap::new();
        let keep = |kind, key, stub| drop(stubs.entry(kind).or_default().insert(key, stub));
        writer.each_stub(keep).await?;
        Ok(Keeper {
            writer,
            stubs,
            left,
            written: Written::default(),
            problem: None,
        })
    }

    /// Returns how many bytes are left for reports.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Says whether another replica is to write them.
    pub fn is_stopped(&self) -> bool {
        matches!(self.problem, Some(WriteError::Stopped))
    }

    /// Makes the reports about a unit what was seen of it, if everything was; says whether they are.
    pub async fn keep(&mut self, unit: Unit<'_>, seen: &Seen, plan: &Plan) -> bool {
        if !seen.is_whole() || self.is_stopped() {
            return false;
        }
        let mut laying = Laying {
            api: self.writer.api,
            installation: self.writer.installation,
            left: &mut self.left,
        };
        let drafts = drafts(unit, &seen.findings, plan, &mut laying);
        let before = self.stubs.remove(&label(&unit.name()));
        let made = self.make(drafts, before.unwrap_or_default()).await;
        self.note(made)
    }

    /// Removes the reports about what is not looked at any more, unless it is not known whether it is there;
    /// says what became of all.
    ///
    /// # Errors
    /// A report could not be written or removed.
    pub async fn finish(
        mut self,
        units: &[Unit<'_>],
        discovery: &Discovery,
    ) -> Result<Written, WriteError> {
        let kept: BTreeSet<String> = units.iter().map(|it| label(&it.name())).collect();
        if discovery.unknown.is_empty() {
            for (kind, stubs) in std::mem::take(&mut self.stubs) {
                if !kept.contains(&kind) {
                    let removed = self.remove(stubs).await;
                    self.note(removed);
                }
            }
        }
        match self.problem {
            Some(problem) => Err(problem),
            None => Ok(self.written),
        }
    }

    fn note(&mut self, done: Result<(), WriteError>) -> bool {
        let is_done = done.is_ok();
        self.problem = self.problem.take().or(done.err());
        is_done
    }

    /// Makes the reports about a kind these, namespace by namespace. What the API server refuses in one (it
    /// may have a quota) is written in the others.
    async fn make(
        &mut self,
        drafts: Vec<Draft<'_>>,
        before: BTreeMap<Key, Stub>,
    ) -> Result<(), WriteError> {
        let mut places: BTreeMap<String, Place<'_>> = BTreeMap::new();
        for (key, stub) in before {
            let place = places.entry(key.0.clone()).or_default();
            place.before.insert(key, stub);
        }
        for draft in drafts {
            let place = places.entry(draft.namespace.clone()).or_default();
            place.drafts.push(draft);
        }
        let mut refused = Ok(());
        for place in places.into_values() {
            match self.make_in(place).await {
                Err(problem @ WriteError::Refused { .. }) => refused = refused.and(Err(problem)),
                made => made?,
            }
        }
        refused
    }

    /// Makes the reports of a namespace these. The first problem ends it: what would come next relies on
    /// what came before.
    async fn make_in(&mut self, mut place: Place<'_>) -> Result<(), WriteError> {
        let mut changed = Vec::new();
        for draft in place.drafts {
            let key = (draft.namespace.clone(), draft.name.clone());
            let Some(stub) = place.before.remove(&key) else {
                let none = Known::default();
                self.writer.apply(&draft, &none, &mut self.written).await?;
                continue;
            };
            let checksum = draft.checksum(self.writer.api);
            match stub.checksum.is_some_and(|it| it == checksum) {
                true => self.written.unchanged += 1,
                false => changed.push((draft, key, stub.omitted)),
            }
        }
        let has_others = changed.len() + place.before.len() > 1;
        let total = |it: &Omitted| it.values().sum::<u64>();
        for (draft, key, omitted) in &changed {
            if has_others && total(&draft.omitted) > total(omitted) {
                self.announce(draft, key).await?;
            }
        }
        changed.sort_by(|a, b| b.1.cmp(&a.1));
        for (draft, key, _) in changed {
            let report = self.writer.read(&key).await?;
            let known = report.as_ref().map(Known::of).unwrap_or_default();
            self.writer.apply(&draft, &known, &mut self.written).await?;
        }
        self.remove(place.before).await
    }

    /// Has a report say how many findings will only be counted, and what it says already.
    async fn announce(&mut self, draft: &Draft<'_>, key: &Key) -> Result<(), WriteError> {
        let Some(mut report) = self.writer.read(key).await? else {
            return Ok(());
        };
        let Some(Value::Object(metadata)) = report.get_mut("metadata") else {
            return Ok(());
        };
        metadata.retain(|key, _| matches!(&**key, "name" | "namespace" | "labels"));
        let mut annotations = Map::new();
        // It is not what it is to be.
        annotations.insert(CHECKSUM.to_owned(), json!(""));
        annotations.insert(OMITTED.to_owned(), json!(json!(draft.omitted).to_string()));
        metadata.insert("annotations".to_owned(), Value::Object(annotations));
        self.writer.put(key, &report, &mut self.written).await
    }

    async fn remove(&mut self, stubs: BTreeMap<Key, Stub>) -> Result<(), WriteError> {
        for key in stubs.into_keys() {
            self.writer.remove(&key).await?;
            self.written.removed += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
