//! What the engine decided about a request, and why.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cel::value::quote::quote;
use crate::policy::compile::CompiledPolicy;
use crate::policy::exceptions::CompiledException;
use crate::policy::model::{
    Audience, Binding, FailurePolicy, Form, PolicyKind, Reason, ValidationAction,
};
use crate::policy::set::BoundPolicy;

use super::secrecy::Secrecy;

/// Everything the policies say about a request.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Violations and errors that have a consequence, in order of policy, binding and validation.
    pub decisions: Vec<Decision>,
    /// Audit annotations of the policies: (`policy/key`, value).
    pub audit_annotations: Vec<(String, String)>,
    /// How many policies matched the request.
    pub matched: usize,
    /// CEL cost units spent.
    pub cost: u64,
    /// Whether what is said of the request may hold values of Secrets, whatever the policy.
    pub secrecy: Secrecy,
    /// What exceptions have taken back, in order of policy.
    pub excused: Vec<Excused>,
    /// Exceptions that would have been asked for, and failed.
    pub unapplied: Vec<Unapplied>,
}

/// What an exception has taken back of a policy.
#[derive(Debug, Clone)]
pub struct Excused {
    /// The exception.
    pub exception: Arc<CompiledException>,
    /// The policy.
    pub policy: Arc<CompiledPolicy>,
    /// What the policy says all the same; of a mutating policy that was not run nothing.
    pub decisions: Vec<Decision>,
}

impl Excused {
    fn is_of(&self, exception: &Arc<CompiledException>, policy: &Arc<CompiledPolicy>) -> bool {
        Arc::ptr_eq(&self.policy, policy) && Arc::ptr_eq(&self.exception, exception)
    }
}

/// An exception that could not be applied, and excused nothing.
#[derive(Debug, Clone)]
pub struct Unapplied {
    /// The exception.
    pub exception: Arc<CompiledException>,
    /// Which error.
    pub error: ErrorKind,
    /// Why, in words that may quote the object.
    pub message: String,
}

/// A violation, or an error under a policy that fails closed.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The policy.
    pub policy: Arc<CompiledPolicy>,
    /// The binding; `None` if the policy itself is at fault.
    pub binding: Option<String>,
    /// The position of the validation, from 0; `None` if it is not about one.
    pub validation: Option<usize>,
    /// Whether it is a violation or an error.
    pub outcome: Outcome,
    /// Which error, if it is one.
    pub error: Option<ErrorKind>,
    /// What is to be done; never empty.
    pub actions: Vec<ValidationAction>,
    /// Who is told of what is only recorded.
    pub audience: Audience,
    /// One line for people.
    pub message: String,
    /// The machine-readable reason.
    pub reason: Reason,
}

/// What a decision is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A validation does not hold.
    Violation,
    /// An expression could not be evaluated, or the policy or binding could not be used.
    Error,
}

/// Which error it is, as upstream counts them (apiserver
/// `pkg/admission/plugin/policy/validating/metrics/errors.go`, `ErrorType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// An expression does not compile.
    Compilation,
    /// The cost budget is spent.
    OutOfBudget,
    /// Any other.
    Invalid,
}

/// An error on its way to a decision.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub(super) kind: ErrorKind,
    pub(super) message: String,
}

impl From<String> for Problem {
    fn from(message: String) -> Self {
        let kind = ErrorKind::Invalid;
        Problem { kind, message }
    }
}

/// What one evaluation of a policy gives.
#[derive(Debug, Default)]
pub(super) struct Evaluated {
    pub(super) findings: Vec<Finding>,
    pub(super) annotations: Vec<(String, String)>,
    /// Errors of audit annotations; they deny whatever the binding's actions are.
    pub(super) annotation_errors: Vec<Problem>,
    /// An error that the failure policy passes over.
    pub(super) ignored: Option<ErrorKind>,
    /// Whether the conditions held.
    pub(super) applied: bool,
    pub(super) cost: u64,
}

/// A violation or an error, before a binding says what becomes of it.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) validation: Option<usize>,
    pub(super) outcome: Outcome,
    pub(super) error: Option<ErrorKind>,
    pub(super) message: String,
    pub(super) reason: Reason,
}

/// The audit annotations of one policy, collected over its bindings.
#[derive(Debug, Default)]
pub(super) struct Annotations {
    values: BTreeMap<String, Vec<String>>,
}

impl Verdict {
    /// Says whether the request is rejected.
    pub fn is_denied(&self) -> bool {
        self.decisions.iter().any(Decision::is_denial)
    }

    /// Adds what other policies say of the same request, in order of policy.
    pub(super) fn join(&mut self, other: Verdict) {
        self.decisions.extend(other.decisions);
        self.decisions
            .sort_by(|a, b| a.policy.policy.name.cmp(&b.policy.policy.name));
        self.audit_annotations.extend(other.audit_annotations);
        self.audit_annotations.sort();
        self.matched += other.matched;
        self.cost = self.cost.saturating_add(other.cost);
        self.excused.extend(other.excused);
        self.excused
            .sort_by(|a, b| a.policy.policy.name.cmp(&b.policy.policy.name));
        self.unapplied.extend(other.unapplied);
    }

    /// Keeps what an exception has taken back of a policy.
    pub(super) fn excuse(
        &mut self,
        exception: &Arc<CompiledException>,
        policy: &Arc<CompiledPolicy>,
        decision: Option<Decision>,
    ) {
        let mut known = self.excused.iter_mut();
        match known.find(|it| it.is_of(exception, policy)) {
            Some(known) => known.decisions.extend(decision),
            None => self.excused.push(Excused {
                exception: Arc::clone(exception),
                policy: Arc::clone(policy),
                decisions: decision.into_iter().collect(),
            }),
        }
    }

    /// Adds what an evaluation for a binding gave.
    pub(super) fn add(
        &mut self,
        policy: &Arc<CompiledPolicy>,
        binding: &Binding,
        evaluated: &Evaluated,
        annotations: &mut Annotations,
    ) {
        self.cost = self.cost.saturating_add(evaluated.cost);
        for finding in &evaluated.findings {
            if binding.validation_actions.is_empty() {
                continue;
            }
            self.decisions.push(Decision {
                policy: Arc::clone(policy),
                binding: Some(binding.name.clone()),
                validation: finding.validation,
                outcome: finding.outcome,
                error: finding.error,
                actions: binding.validation_actions.clone(),
                audience: binding.audience(),
                message: finding.message.clone(),
                reason: finding.reason,
            });
        }
        for (key, value) in &evaluated.annotations {
            let values = annotations.values.entry(key.clone()).or_default();
            if !values.contains(value) {
                values.push(value.clone());
            }
        }
        for problem in &evaluated.annotation_errors {
            self.decisions.push(Decision {
                policy: Arc::clone(policy),
                binding: Some(binding.name.clone()),
                validation: None,
                outcome: Outcome::Error,
                error: Some(problem.kind),
                actions: fault_actions(policy, std::slice::from_ref(&binding)),
                audience: binding.audience(),
                message: problem.message.clone(),
                reason: Reason::Invalid,
            });
        }
    }

    /// Adds a policy's audit annotations; several values of one key are joined.
    pub(super) fn publish(&mut self, policy: &str, annotations: Annotations) {
        for (key, values) in annotations.values {
            self.audit_annotations
                .push((format!("{policy}/{key}"), values.join(", ")));
        }
    }
}

impl Decision {
    /// Says whether the decision rejects the request.
    pub fn is_denial(&self) -> bool {
        self.actions.contains(&ValidationAction::Deny)
    }

    /// Says whether it is on trial, and the caller is to be told what would be.
    pub(super) fn is_told_as_trial(&self) -> bool {
        self.audience == Audience::Callers
            && !self.is_denial()
            && !self.actions.contains(&ValidationAction::Warn)
    }

    /// Returns the denial's text as the API server words it, without the object it names first
    /// (apiserver `plugin/policy/validating/dispatcher.go`, `Dispatch`; of a mutating policy
    /// `plugin/policy/generic/policy_dispatcher.go`, `PolicyError`).
    pub fn upstream_message(&self) -> String {
        self.upstream_wording(&self.message)
    }

    /// Returns the denial's text with another message.
    pub fn upstream_wording(&self, message: &str) -> String {
        let policy = &self.policy.policy.name;
        if self.policy.policy.kind == PolicyKind::Mutating {
            return match &self.binding {
                Some(binding) => {
                    format!("policy '{policy}' with binding '{binding}' denied request: {message}")
                }
                None => format!("policy {} denied request: {message}", quote(policy)),
            };
        }
        match &self.binding {
            Some(binding) => format!(
                "ValidatingAdmissionPolicy '{policy}' with binding '{binding}' denied request: {message}"
            ),
            None => format!("ValidatingAdmissionPolicy '{policy}' denied request: {message}"),
        }
    }

    /// The decision for a policy or binding that cannot be used: a denial, or nothing under a
    /// policy that fails open.
    pub(super) fn configuration_error(
        bound: &BoundPolicy,
        binding: Option<&Binding>,
        problem: &str,
    ) -> Option<Decision> {
        let policy = &bound.policy;
        if policy.failure_policy() == FailurePolicy::Ignore {
            return None;
        }
        let what = if binding.is_some() {
            "binding"
        } else {
            "policy"
        };
        Some(Decision {
            policy: Arc::clone(policy),
            binding: binding.map(|binding| binding.name.clone()),
            validation: None,
            outcome: Outcome::Error,
            error: Some(ErrorKind::Invalid),
            actions: match binding {
                Some(binding) => fault_actions(policy, &[binding]),
                None => fault_actions(policy, &bound.bindings),
            },
            audience: match (binding, bound.bindings.first()) {
                (Some(binding), _) => binding.audience(),
                (None, first) => first.map_or(Audience::Operators, |first| first.audience()),
            },
            message: format!("failed to configure {what}: {problem}"),
            reason: match policy.policy.kind {
                PolicyKind::Validating => Reason::Invalid,
                PolicyKind::Mutating => Reason::Forbidden,
            },
        })
    }
}

/// What an error that upstream denies for, whatever the actions of the bindings, leads to.
///
/// DIVERGES: a `.cel` file whose action is `audit` is on trial, and rejects nothing on that way either.
pub(super) fn fault_actions(
    policy: &CompiledPolicy,
    bindings: &[impl Borrow<Binding>],
) -> Vec<ValidationAction> {
    let mut on_trial = bindings.iter().map(|binding| binding.borrow());
    match bindings.first().map(Borrow::borrow) {
        Some(first)
            if policy.policy.origin.form == Form::Cel && on_trial.all(Binding::is_audited) =>
        {
            first.validation_actions.clone()
        }
        _ => vec![ValidationAction::Deny],
    }
}
