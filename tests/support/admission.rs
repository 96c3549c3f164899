//! An admission that does what the review tells it to.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use portcullis::webhook::admission::{Admission, Attempt, Check, Endpoint, Refusal, Undecided};
use serde_json::{Value, json};

use super::BOUND;

/// Answers reviews of the form `{"uid": …, "do": …}` with the uid and what it saw.
#[derive(Debug, Default)]
pub(crate) struct Scripted {
    /// Raised by reloads; part of every answer.
    pub(crate) generation: AtomicU64,
    /// How many reviews were decided.
    pub(crate) decided: AtomicUsize,
    /// How many reviews are being decided.
    pub(crate) deciding: AtomicUsize,
    /// How many reviews have something to learn.
    pub(crate) inquiring: AtomicUsize,
    held: Mutex<bool>,
    released: Condvar,
}

impl Scripted {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Scripted::default())
    }

    /// Makes reviews that say `wait` wait until [`Scripted::release`].
    pub(crate) fn hold(&self) {
        *self.held.lock().unwrap() = true;
    }

    pub(crate) fn release(&self) {
        *self.held.lock().unwrap() = false;
        self.released.notify_all();
    }
}

impl Admission for Scripted {
    /// What was learnt: how often this was asked for.
    type Inquiry = u64;

    fn review(
        &self,
        endpoint: Endpoint,
        body: &[u8],
        attempt: Attempt<'_, u64>,
    ) -> Result<Vec<u8>, Undecided> {
        let deadline = attempt.deadline;
        let Ok(review) = serde_json::from_slice::<Value>(body) else {
            return Err(Undecided::Refused(Refusal {
                status: 400,
                reason: "BadRequest",
                message: "the body is not JSON".to_owned(),
            }));
        };
        if *attempt.inquiry < review["ask"].as_u64().unwrap_or_default() {
            return Err(Undecided::Open);
        }
        self.deciding.fetch_add(1, Ordering::SeqCst);
        match review["do"].as_str() {
            Some("panic") => panic!("a secret of the object"),
            Some("wait") => {
                // The server takes reviews that follow quick ones for quick.
                tokio::task::block_in_place(|| {
                    let held = self.held.lock().unwrap();
                    let wait = self.released.wait_timeout_while(held, BOUND, |held| *held);
                    assert!(!wait.unwrap().1.timed_out(), "nobody released the review");
                });
            }
            _ => {}
        }
        self.deciding.fetch_sub(1, Ordering::SeqCst);
        self.decided.fetch_add(1, Ordering::SeqCst);
        let answer = json!({
            "uid": review["uid"],
            "path": endpoint.path(),
            "bytes": body.len(),
            "generation": self.generation.load(Ordering::SeqCst),
            "learnt": *attempt.inquiry,
            "left_ms": millis(deadline.saturating_duration_since(Instant::now())),
        });
        Ok(serde_json::to_vec(&answer).unwrap())
    }

    /// Learns one thing at a time, and nothing while it is held back.
    async fn inquire(&self, inquiry: &mut u64, deadline: Instant) {
        self.inquiring.fetch_add(1, Ordering::SeqCst);
        while *self.held.lock().unwrap() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.inquiring.fetch_sub(1, Ordering::SeqCst);
        *inquiry += 1;
    }

    fn policies(&self) -> Value {
        json!({"generation": self.generation.load(Ordering::SeqCst)})
    }

    fn readiness(&self) -> Vec<Check> {
        vec![Check::new("policies", Ok("3 policies".to_owned()))]
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap()
}
