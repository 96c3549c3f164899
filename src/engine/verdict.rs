//! What the engine decided about a request, and why.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cel::value::quote::quote;
use crate::policy::compile::CompiledPolicy;
use crate::policy::model::{Binding, FailurePolicy, PolicyKind, Reason, ValidationAction};

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
    /// What is to be done; never empty.
    pub actions: Vec<ValidationAction>,
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

/// What one evaluation of a policy gives.
#[derive(Debug, Default)]
pub(super) struct Evaluated {
    pub(super) findings: Vec<Finding>,
    pub(super) annotations: Vec<(String, String)>,
    /// Errors of audit annotations; they deny whatever the binding's actions are.
    pub(super) annotation_errors: Vec<String>,
    pub(super) cost: u64,
}

/// A violation or an error, before a binding says what becomes of it.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) validation: Option<usize>,
    pub(super) outcome: Outcome,
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
                actions: binding.validation_actions.clone(),
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
        for message in &evaluated.annotation_errors {
            self.decisions.push(Decision {
                policy: Arc::clone(policy),
                binding: Some(binding.name.clone()),
                validation: None,
                outcome: Outcome::Error,
                actions: vec![ValidationAction::Deny],
                message: message.clone(),
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

    /// Returns the denial's text as the API server words it, without the object it names first
    /// (apiserver `plugin/policy/validating/dispatcher.go`, `Dispatch`; of a mutating policy
    /// `plugin/policy/generic/policy_dispatcher.go`, `PolicyError`).
    pub fn upstream_message(&self) -> String {
        let policy = &self.policy.policy.name;
        if self.policy.policy.kind == PolicyKind::Mutating {
            let message = &self.message;
            return match &self.binding {
                Some(binding) => {
                    format!("policy '{policy}' with binding '{binding}' denied request: {message}")
                }
                None => format!("policy {} denied request: {message}", quote(policy)),
            };
        }
        match &self.binding {
            Some(binding) => format!(
                "ValidatingAdmissionPolicy '{policy}' with binding '{binding}' denied request: {}",
                self.message
            ),
            None => {
                format!(
                    "ValidatingAdmissionPolicy '{policy}' denied request: {}",
                    self.message
                )
            }
        }
    }

    /// The decision for a policy or binding that cannot be used: a denial, or nothing under a
    /// policy that fails open.
    pub(super) fn configuration_error(
        policy: &Arc<CompiledPolicy>,
        binding: Option<&Binding>,
        problem: &str,
    ) -> Option<Decision> {
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
            actions: vec![ValidationAction::Deny],
            message: format!("failed to configure {what}: {problem}"),
            reason: match policy.policy.kind {
                PolicyKind::Validating => Reason::Invalid,
                PolicyKind::Mutating => Reason::Forbidden,
            },
        })
    }
}
