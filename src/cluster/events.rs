//! Events on what would have made a denied object: the ReplicaSet whose Pod is denied.
//!
//! Who asks why there are no pods looks there. A denial is noted on the request path, as far as there is
//! room ([`Events::denied`]), and written by a task: one Event for each owner and set of policies, which
//! counts what follows; never more than some a second. What cannot be noted or written is counted.
//! Requests with `dryRun` leave nothing behind.

mod denied;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, Error};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::connect::described;
use crate::admission::review::AdmissionRequest;
use crate::engine::mutating::Refusal;
use crate::engine::verdict::Verdict;
use crate::telemetry::logs::seldom::Seldom;
use denied::Denied;

/// What names the program in Events (`reportingController`).
const CONTROLLER: &str = "portcullis.dev/portcullis";
/// How many denials wait to be written.
const QUEUE: usize = 256;
/// How many Events are remembered; beyond that the oldest are begun anew.
const REMEMBERED: usize = 1024;
/// How long an Event counts what follows: the API server keeps Events for an hour after they were last
/// written.
const WINDOW: Duration = Duration::from_secs(30 * 60);
/// How often one Event is written at most.
const PAUSE: Duration = Duration::from_secs(10);
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(5);
/// How many requests may follow each other at once, and how long until there may be one more: as
/// client-go's own recorder allows one object (`tools/events/event_broadcaster.go` has no limit,
/// `tools/record/events_cache.go` a burst of 25).
const BURST: u32 = 25;
const REFILL: Duration = Duration::from_millis(200);

/// Notes denials to be written; dropping it ends the writing.
#[derive(Debug)]
pub struct Events {
    sender: mpsc::Sender<Denied>,
    results: Results,
    task: JoinHandle<()>,
}

/// The label of what became of a denial.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

/// Counts what became of denials; clones share their values.
#[derive(Debug, Clone, Default)]
struct Results(Family<ResultLabel, Counter>);

impl Results {
    fn count(&self, result: &'static str) {
        self.0.get_or_create(&ResultLabel { result }).inc();
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Events {
    /// Begins to write Events, of an instance of this name. Must be called within a runtime.
    pub fn start(client: Client, instance: String, registry: &mut Registry) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let results = Results::default();
        for result in ["written", "joined", "dropped", "failed"] {
            drop(results.0.get_or_create(&ResultLabel { result }));
        }
        registry.register(
            "events",
            "Denials of objects with an owner, by what became of the Event about them",
            results.0.clone(),
        );
        let writer = Writer {
            client,
            instance,
            started: Timestamp::now(),
            known: HashMap::new(),
            bucket: Bucket::new(Instant::now()),
            results: results.clone(),
            seldom: Seldom::default(),
        };
        Events {
            sender,
            task: Handle::current().spawn(writer.run(receiver)),
            results,
        }
    }

    /// Notes that a request is rejected, if it is about an object that something else makes. Does not
    /// wait: what there is no room for is dropped and counted.
    pub fn denied(
        &self,
        request: &AdmissionRequest<'_>,
        verdict: &Verdict,
        refusal: Option<&Refusal>,
    ) {
        if let Some(denied) = Denied::of(request, verdict, refusal)
            && self.sender.try_send(denied).is_err()
        {
            self.results.count("dropped");
        }
    }
}

/// Allows some requests at once, and then some a second.
#[derive(Debug)]
struct Bucket {
    left: u32,
    filled: Instant,
}

impl Bucket {
    fn new(now: Instant) -> Self {
        Bucket {
            left: BURST,
            filled: now,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled);
        let refilled = u32::try_from(passed.as_millis() / REFILL.as_millis()).unwrap_or(BURST);
        if refilled > 0 {
            self.left = self.left.saturating_add(refilled).min(BURST);
            self.filled = now;
        }
        let is_left = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_left
    }
}

/// An Event that was written.
#[derive(Debug, Clone)]
struct Known {
    name: String,
    begun: Instant,
    written: Instant,
    count: i32,
}

struct Writer {
    client: Client,
    instance: String,
    started: Timestamp,
    known: HashMap<denied::Key, Known>,
    bucket: Bucket,
    results: Results,
    /// When it was logged that they cannot be written.
    seldom: Seldom,
}

impl Writer {
    async fn run(mut self, mut denials: mpsc::Receiver<Denied>) {
        while let Some(denied) = denials.recv().await {
            let result = self.note(denied, Instant::now()).await;
            self.results.count(result);
        }
    }

    /// Writes an Event about a denial, or counts it in one there is; says what became of it.
    async fn note(&mut self, denied: Denied, now: Instant) -> &'static str {
        let key = denied.key();
        let known = self.known.get_mut(&key);
        if let Some(known) = known.filter(|it| now - it.begun < WINDOW) {
            known.count = known.count.saturating_add(1);
            if now - known.written < PAUSE {
                return "joined";
            }
            if !self.bucket.take(now) {
                return "dropped";
            }
            known.written = now;
            let (name, count) = (known.name.clone(), known.count);
            let patched = self.patch(&denied, &name, count).await;
            return self.outcome(&key, patched);
        }
        if !self.bucket.take(now) {
            return "dropped";
        }
        self.make_room(now);
        let name = denied.event_name(&format!("{}{}", self.instance, self.started));
        let known = Known {
            name: name.clone(),
            begun: now,
            written: now,
            count: 1,
        };
        self.known.insert(key.clone(), known);
        let created = self.create(&denied, name).await;
        self.outcome(&key, created)
    }

    fn outcome(&mut self, key: &denied::Key, outcome: Result<(), String>) -> &'static str {
        match outcome {
            Ok(()) => "written",
            Err(problem) => {
                if let Some(more) = self.seldom.is_due("", Instant::now()) {
                    tracing::warn!(more, "an Event cannot be written: {problem}");
                }
                self.known.remove(key);
                "failed"
            }
        }
    }

    fn make_room(&mut self, now: Instant) {
        if self.known.len() < REMEMBERED {
            return;
        }
        self.known.retain(|_, known| now - known.begun < WINDOW);
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
    }

    async fn create(&self, denied: &Denied, name: String) -> Result<(), String> {
        let owner = &denied.owner;
        let event = Event {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(denied.namespace.clone()),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(Timestamp::now())),
            type_: Some("Warning".to_owned()),
            reason: Some("PolicyDenied".to_owned()),
            action: Some("Create".to_owned()),
            note: Some(denied.note.clone()),
            regarding: Some(ObjectReference {
                api_version: Some(owner.api_version.clone()),
                kind: Some(owner.kind.clone()),
                name: Some(owner.name.clone()),
                namespace: Some(denied.namespace.clone()),
                uid: Some(owner.uid.clone()),
                ..ObjectReference::default()
            }),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        };
        let api: Api<Event> = Api::namespaced(self.client.clone(), &denied.namespace);
        let parameters = PostParams::default();
        match within(api.create(&parameters, &event)).await {
            // It has outlived what is remembered of it.
            Err(Error::Api(status)) if status.code == 409 => self.patch(denied, &name, 2).await,
            outcome => outcome.map(drop).map_err(|problem| described(&problem)),
        }
    }

    async fn patch(&self, denied: &Denied, name: &str, count: i32) -> Result<(), String> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &denied.namespace);
        let last = MicroTime(Timestamp::now());
        // An Event is changed in nothing but its series (kubernetes
        // `pkg/apis/core/validation/events.go`, `ValidateEventUpdate`).
        let patch = json!({"series": {"count": count.max(2), "lastObservedTime": last}});
        let patch = Patch::Merge(&patch);
        let parameters = PatchParams::default();
        let patched = within(api.patch(name, &parameters, &patch)).await;
        patched.map(drop).map_err(|problem| described(&problem))
    }
}

/// Waits for a request no longer than one may take.
async fn within<T>(request: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match tokio::time::timeout(REQUEST, request).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err(Error::Service(Box::from("no answer in time"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_written_at_once_and_then_some_a_second() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        let taken = (0..100).filter(|_| bucket.take(start)).count();
        assert_eq!(taken, 25);
        let later = start + Duration::from_secs(1);
        let taken = (0..100).filter(|_| bucket.take(later)).count();
        assert_eq!(taken, 5);
        let much_later = start + Duration::from_secs(1_000_000);
        let taken = (0..100).filter(|_| bucket.take(much_later)).count();
        assert_eq!(taken, 25);
    }
}
