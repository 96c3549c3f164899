//! An admission that does what the review tells it to.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use portcullis::webhook::admission::{Admission, Check, Endpoint, Refusal};
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
    fn review(
        &self,
        endpoint: Endpoint,
        body: &[u8],
        deadline: Instant,
    ) -> Result<Vec<u8>, Refusal> {
        let Ok(review) = serde_json::from_slice::<Value>(body) else {
            return Err(Refusal {
                status: 400,
                reason: "BadRequest",
                message: "the body is not JSON".to_owned(),
            });
        };
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
            "left_ms": millis(deadline.saturating_duration_since(Instant::now())),
        });
        Ok(serde_json::to_vec(&answer).unwrap())
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
