//! What may be kept of a decision: the one place that keeps values of Secrets out of records.
//!
//! Whoever asks is told everything, as upstream tells it: the denial and the warnings are the policy's
//! words about an object that the caller has sent. A warning that something would be denied holds what is
//! recorded, so that trying a policy out shows no values to anybody. What is recorded is
//! read by others: the decision log, reports, Events, the annotations `validation_failure`, `excused`,
//! `patch` and `refusal`. There, about Secrets, of policies that read Secrets and of those whose parameters
//! are Secrets, a text that was computed is replaced by what the policy's own text says: an expression may
//! have put a value into it.
//!
//! DIVERGES: upstream's `validation_failure` holds the computed message (apiserver
//! `plugin/policy/validating/dispatcher.go`, `publishValidationFailureAnnotation`). The annotations that a
//! policy itself makes (`auditAnnotations`) are what its author wants to have recorded, and stay.

use std::borrow::Cow;

use crate::admission::review::AdmissionRequest;
use crate::policy::compile::CompiledPolicy;

use super::verdict::{Decision, ErrorKind, Outcome};

/// Whether a text may hold values of Secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Secrecy {
    /// It may not: it is recorded as it is.
    #[default]
    Open,
    /// It may: what was computed is not recorded.
    Secret,
}

impl Secrecy {
    /// Returns that of what is said about a request, whatever the policy.
    pub fn about(request: &AdmissionRequest<'_>) -> Self {
        match request.is_about_secrets() {
            true => Secrecy::Secret,
            false => Secrecy::Open,
        }
    }

    /// Returns that of what a policy says there.
    #[must_use]
    pub fn said_by(self, policy: &CompiledPolicy) -> Self {
        match sees_secrets(policy) {
            true => Secrecy::Secret,
            false => self,
        }
    }

    /// Returns the message of a decision about something of this secrecy, as it may be recorded.
    pub fn message(self, decision: &Decision) -> Cow<'_, str> {
        // That the budget is spent is said in words of ours.
        let is_ours = decision.error == Some(ErrorKind::OutOfBudget);
        match self.said_by(&decision.policy) {
            Secrecy::Open => Cow::Borrowed(&decision.message),
            Secrecy::Secret if is_ours => Cow::Borrowed(&decision.message),
            Secrecy::Secret => as_written(decision),
        }
    }
}

/// What the policy's text alone says of a decision.
fn as_written(decision: &Decision) -> Cow<'_, str> {
    let validations = &decision.policy.validations;
    let validation = decision.validation.and_then(|at| validations.get(at));
    match (decision.outcome, validation) {
        (Outcome::Violation, Some(validation)) => match validation.message.as_deref() {
            Some(message) => message.into(),
            None => format!("failed expression: {}", validation.expression.text.trim()).into(),
        },
        (Outcome::Violation, None) => "a validation does not hold".into(),
        (Outcome::Error, Some(validation)) => {
            format!("error in expression: {}", validation.expression.text.trim()).into()
        }
        (Outcome::Error, None) => "the policy could not be evaluated".into(),
    }
}

/// Says whether a policy may see Secrets besides the object that it is asked about.
fn sees_secrets(policy: &CompiledPolicy) -> bool {
    let is_secret = |api_version: &str, kind: &str| api_version == "v1" && kind == "Secret";
    let policy = &policy.policy;
    let mut reads = policy.reads.iter();
    let param = policy.param_kind.as_ref();
    reads.any(|it| is_secret(&it.api_version, &it.kind))
        || param.is_some_and(|it| is_secret(&it.api_version, &it.kind))
}
