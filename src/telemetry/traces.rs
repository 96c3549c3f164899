//! Traces of reviews, as spans that are sent to an OTLP endpoint: a review, its policies, their
//! expressions, under the span of the API server that called.
//!
//! A review is traced if the `traceparent` of its request says that the API server's trace is sampled,
//! and then alone. Spans are timed into a list of the review's own and handed to a queue that never
//! waits; one task sends them. Names of policies and texts of expressions are in them, and what the
//! request is about, but nothing of an object, and no value.
//!
//! The encoding is the few messages of OTLP that are needed, written by hand: the SDK of OpenTelemetry
//! would bring a second `rand`, `rand_core` and `getrandom` into the program.

mod context;
pub mod export;
mod otlp;

use std::borrow::Cow;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;

use crate::admission::review::AdmissionRequest;
pub use context::Parent;

/// Most spans of one review; expressions beyond are counted with it.
const MOST_SPANS: usize = 512;
/// Most spans that wait to be sent, of all reviews; about three megabytes.
const MOST_WAITING: usize = 8_192;
/// Longest text of an attribute, in bytes.
const MAX_TEXT: usize = 256;
/// How many attributes are said of a review, of a policy and of an expression.
const OF_REVIEW: usize = 10;
const OF_POLICY: usize = 5;
const OF_EXPRESSION: usize = 3;

/// What an attribute says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Attribute {
    Text(String),
    Word(&'static str),
    Number(u64),
    Flag(bool),
}

/// Something that took time.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) trace_id: [u8; 16],
    pub(crate) id: [u8; 8],
    pub(crate) parent: [u8; 8],
    pub(crate) name: Cow<'static, str>,
    pub(crate) is_server: bool,
    /// Since the Unix epoch.
    pub(crate) begin: Duration,
    pub(crate) end: Duration,
    pub(crate) attributes: Vec<(&'static str, Attribute)>,
    pub(crate) has_failed: bool,
    /// Spans below it that were not kept.
    pub(crate) left_out: u32,
}

/// Makes traces; clones share the queue.
#[derive(Debug, Clone)]
pub struct Tracer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: mpsc::Sender<Vec<Span>>,
    waiting: Arc<AtomicUsize>,
    dropped: Counter,
    seed: std::hash::RandomState,
    spans: AtomicU64,
}

/// The trace of one review, until it is [finished](Trace::finish); dropped, nothing is sent.
#[derive(Debug)]
pub struct Trace {
    tracer: Tracer,
    trace_id: [u8; 16],
    epoch: (Instant, Duration),
    spans: Vec<Span>,
    /// The positions of the policy and the expression whose turn it is.
    policy: Option<usize>,
    expression: Option<Instant>,
}

impl Tracer {
    fn new(queue: mpsc::Sender<Vec<Span>>, waiting: Arc<AtomicUsize>, dropped: Counter) -> Self {
        Tracer(Arc::new(Shared {
            queue,
            waiting,
            dropped,
            seed: std::hash::RandomState::new(),
            spans: AtomicU64::new(0),
        }))
    }

    /// Begins the trace of a review that arrived at `arrival`, if its caller's trace is sampled.
    pub fn begin(&self, name: &str, traceparent: Option<&[u8]>, arrival: Instant) -> Option<Trace> {
        let parent = Parent::read(traceparent?).filter(|parent| parent.is_sampled)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let begin = now.unwrap_or_default().saturating_sub(arrival.elapsed());
        let mut trace = Trace {
            tracer: self.clone(),
            trace_id: parent.trace_id,
            epoch: (arrival, begin),
            spans: Vec::with_capacity(16),
            policy: None,
            expression: None,
        };
        trace.add(name.to_owned().into(), parent.span_id, arrival, OF_REVIEW);
        if let Some(review) = trace.spans.first_mut() {
            review.is_server = true;
        }
        Some(trace)
    }

    /// Returns a number that no other span is likely to have; never zero.
    fn id(&self) -> [u8; 8] {
        let at = self.0.spans.fetch_add(1, Ordering::Relaxed);
        self.0.seed.hash_one(at).max(1).to_be_bytes()
    }
}

impl Trace {
    /// Leaves out what an attempt did that is repeated: only the time it took is in the review's span.
    pub fn begin_again(&mut self) {
        self.spans.truncate(1);
        if let Some(review) = self.spans.first_mut() {
            review.attributes.clear();
            review.left_out = 0;
        }
        (self.policy, self.expression) = (None, None);
    }

    /// Says what the review is about.
    pub fn about(&mut self, request: &AdmissionRequest<'_>) {
        let resource = &request.resource;
        let texts = [
            ("k8s.admission.uid", &*request.uid),
            ("k8s.admission.operation", request.operation.as_str()),
            ("k8s.resource.group", &*resource.group),
            ("k8s.resource.version", &*resource.version),
            ("k8s.resource.name", &*resource.resource),
            ("k8s.resource.subresource", &*request.sub_resource),
            ("k8s.namespace.name", &*request.namespace),
            ("k8s.object.name", &*request.name),
        ];
        for (name, value) in texts.into_iter().filter(|(_, value)| !value.is_empty()) {
            self.say(0, name, Attribute::Text(shortened(value)));
        }
    }

    /// Says what the review led to.
    pub fn decided(&mut self, allowed: bool) {
        self.say(0, "k8s.admission.allowed", Attribute::Flag(allowed));
    }

    pub(super) fn policy_begins(&mut self, policy: &str, binding: &str) {
        let parent = self.spans.first().map(|review| review.id);
        let at = self.add(
            format!("policy {policy}").into(),
            parent.unwrap_or_default(),
            Instant::now(),
            OF_POLICY,
        );
        self.policy = at;
        if let Some(at) = at {
            for (name, value) in [
                ("portcullis.policy", policy),
                ("portcullis.policy_binding", binding),
            ] {
                self.say(at, name, Attribute::Text(shortened(value)));
            }
        }
    }

    pub(super) fn policy_ended(&mut self, action: &'static str, cost: u64, applied: bool) {
        let end = self.since_epoch(Instant::now());
        let Some(at) = self.policy.take() else {
            return;
        };
        if let Some(span) = self.spans.get_mut(at) {
            span.end = end;
        }
        let action = Attribute::Word(action);
        self.say(at, "portcullis.enforcement_action", action);
        self.say(at, "portcullis.cel.cost", Attribute::Number(cost));
        self.say(at, "portcullis.applied", Attribute::Flag(applied));
    }

    pub(super) fn expression_begins(&mut self) {
        self.expression = Some(Instant::now());
    }

    pub(super) fn expression_ended(&mut self, text: &str, cost: u64, error_type: &'static str) {
        let now = Instant::now();
        let begin = self.expression.take().unwrap_or(now);
        let above = self.policy.or(Some(0));
        let parent = above.and_then(|at| self.spans.get(at)).map(|span| span.id);
        let parent = parent.unwrap_or_default();
        let Some(at) = self.add("expression".into(), parent, begin, OF_EXPRESSION) else {
            return;
        };
        let end = self.since_epoch(now);
        if let Some(span) = self.spans.get_mut(at) {
            span.end = end;
            span.has_failed = error_type != "no_error";
        }
        let text = Attribute::Text(shortened(text));
        self.say(at, "portcullis.cel.expression", text);
        self.say(at, "portcullis.cel.cost", Attribute::Number(cost));
        let error_type = Attribute::Word(error_type);
        self.say(at, "portcullis.error_type", error_type);
    }

    /// Ends the trace with the status of the answer, and has it sent.
    pub fn finish(mut self, status: u16) {
        let end = self.since_epoch(Instant::now());
        let status_code = Attribute::Number(u64::from(status));
        self.say(0, "http.response.status_code", status_code);
        if let Some(review) = self.spans.first_mut() {
            review.end = end;
            review.has_failed = status >= 500;
        }
        let shared = &self.tracer.0;
        let spans = self.spans;
        let count = spans.len();
        let before = shared.waiting.fetch_add(count, Ordering::Relaxed);
        if before + count > MOST_WAITING || shared.queue.try_send(spans).is_err() {
            shared.waiting.fetch_sub(count, Ordering::Relaxed);
            shared.dropped.inc_by(count as u64);
        }
    }

    /// Adds a span of so many attributes; returns its position, unless there are too many.
    fn add(
        &mut self,
        name: Cow<'static, str>,
        parent: [u8; 8],
        begin: Instant,
        attributes: usize,
    ) -> Option<usize> {
        if self.spans.len() >= MOST_SPANS {
            if let Some(review) = self.spans.first_mut() {
                review.left_out = review.left_out.saturating_add(1);
            }
            return None;
        }
        let begin = self.since_epoch(begin);
        self.spans.push(Span {
            trace_id: self.trace_id,
            id: self.tracer.id(),
            parent,
            name,
            is_server: false,
            begin,
            end: begin,
            attributes: Vec::with_capacity(attributes),
            has_failed: false,
            left_out: 0,
        });
        Some(self.spans.len() - 1)
    }

    fn say(&mut self, at: usize, name: &'static str, value: Attribute) {
        if let Some(span) = self.spans.get_mut(at) {
            span.attributes.push((name, value));
        }
    }

    fn since_epoch(&self, at: Instant) -> Duration {
        let (epoch, since) = self.epoch;
        since + at.saturating_duration_since(epoch)
    }
}

fn shortened(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_TEXT);
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
