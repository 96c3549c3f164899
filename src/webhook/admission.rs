//! The seam between the server and what decides: reviews in, verdicts out.

use std::time::Instant;

use crate::policy::model::FailurePolicy;
use crate::telemetry::traces::Trace;

/// Decides reviews. The server calls it from many threads at once.
pub trait Admission: Send + Sync + 'static {
    /// What is learnt for one review between two attempts to decide it.
    type Inquiry: Default + Send;

    /// Decides the AdmissionReview in `body` and returns the AdmissionReview of the response as
    /// JSON.
    ///
    /// CPU work, synchronous; called under a permit, and waits for nothing. What is not decided at the
    /// deadline nobody waits for any more. A panic is caught, counted, and answered 500.
    ///
    /// # Errors
    /// The review is not decided: for good, or until something is learnt.
    fn review(
        &self,
        endpoint: Endpoint,
        body: &[u8],
        attempt: Attempt<'_, Self::Inquiry>,
    ) -> Result<Vec<u8>, Undecided>;

    /// Learns what the last attempt could not do without, or that it cannot be learnt before `deadline`.
    fn inquire(
        &self,
        inquiry: &mut Self::Inquiry,
        deadline: Instant,
    ) -> impl Future<Output = ()> + Send;

    /// Describes what is served, for `/policies`.
    fn policies(&self) -> serde_json::Value;

    /// Names the conditions under which reviews are decided rightly, each with a word about it
    /// when it holds (may be empty) or why it does not.
    fn readiness(&self) -> Vec<Check>;
}

/// One attempt to decide a review.
#[derive(Debug)]
pub struct Attempt<'r, I> {
    /// When the answer must be on its way.
    pub deadline: Instant,
    /// Where it is said what is done on the way, if the review is traced.
    pub trace: Option<&'r mut Trace>,
    /// What was learnt, and where it is noted what is to be.
    pub inquiry: &'r mut I,
}

/// Why an attempt ends without a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undecided {
    /// There will be none.
    Refused(Refusal),
    /// There is something to be learnt before.
    Open,
}

impl From<Refusal> for Undecided {
    fn from(refusal: Refusal) -> Self {
        Undecided::Refused(refusal)
    }
}

/// A named condition of readiness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The name in `/readyz?verbose`.
    pub name: String,
    /// A word about it, or why it does not hold.
    pub outcome: Result<String, String>,
}

impl Check {
    /// Names the outcome of a condition.
    pub fn new(name: impl Into<String>, outcome: Result<String, String>) -> Self {
        Check {
            name: name.into(),
            outcome,
        }
    }
}

/// What a caller asks for, by the path it calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether policies validate or mutate.
    pub phase: Phase,
    /// Which policies are asked: those with this failure policy; those that only record are asked under
    /// `Ignore`, whatever theirs is.
    pub failure_policy: FailurePolicy,
}

/// Whether policies validate or mutate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Policies admit, warn or deny; the answer holds no patch.
    Validate,
    /// Policies change the object; the answer may hold a patch.
    Mutate,
}

impl Endpoint {
    /// Every endpoint the server has.
    pub const ALL: [Endpoint; 4] = [
        Endpoint::new(Phase::Validate, FailurePolicy::Fail),
        Endpoint::new(Phase::Validate, FailurePolicy::Ignore),
        Endpoint::new(Phase::Mutate, FailurePolicy::Fail),
        Endpoint::new(Phase::Mutate, FailurePolicy::Ignore),
    ];

    const fn new(phase: Phase, failure_policy: FailurePolicy) -> Self {
        Endpoint {
            phase,
            failure_policy,
        }
    }

    /// Returns the path it is called by.
    pub const fn path(self) -> &'static str {
        match (self.phase, self.failure_policy) {
            (Phase::Validate, FailurePolicy::Fail) => "/validate",
            (Phase::Validate, FailurePolicy::Ignore) => "/validate/ignore",
            (Phase::Mutate, FailurePolicy::Fail) => "/mutate",
            (Phase::Mutate, FailurePolicy::Ignore) => "/mutate/ignore",
        }
    }

    /// Returns its name in metrics: the path without the leading slash.
    pub const fn name(self) -> &'static str {
        match (self.phase, self.failure_policy) {
            (Phase::Validate, FailurePolicy::Fail) => "validate",
            (Phase::Validate, FailurePolicy::Ignore) => "validate/ignore",
            (Phase::Mutate, FailurePolicy::Fail) => "mutate",
            (Phase::Mutate, FailurePolicy::Ignore) => "mutate/ignore",
        }
    }
}

/// Why a review was not decided: a fault of the caller's or of ours, never a verdict.
///
/// The API server treats any of these as a failed call, to which the webhook's own
/// `failurePolicy` applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The reason of the `Status` body (`metav1.StatusReason`): `BadRequest`.
    pub reason: &'static str,
    /// What went wrong, without any part of an object.
    pub message: String,
}
