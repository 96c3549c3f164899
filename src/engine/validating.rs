//! One policy, evaluated with one parameter: conditions, validations, messages, annotations.
//!
//! Semantics: apiserver `plugin/policy/validating/validator.go`, `Validate`. The budget of
//! 10,000,000 is for validations and messages together, and anew for annotations.

use bumpalo::collections::Vec as ArenaVec;

use crate::cel::value::Value;
use crate::policy::compile::Validation;
use crate::policy::model::{FailurePolicy, ParamObject};

use super::Watch;
use super::activation::Phase;
use super::observer::Held;
use super::run::{COST_BUDGET, OutOfBudget, Run, Subject, out_of_budget, read};
use super::verdict::{Evaluated, Finding, Outcome, Problem};

/// apiserver `pkg/apis/cel/config.go`, `MaxEvaluatedMessageExpressionSizeBytes`.
const MAX_MESSAGE_BYTES: usize = 5 * 1024;

/// apiserver `plugin/policy/validating/dispatcher.go`, `maxAuditAnnotationValueLength`.
const MAX_ANNOTATION_BYTES: usize = 10 * 1024;

/// Evaluates a policy; what holds leaves no trace in the result.
pub(super) fn validate<'a>(
    subject: Subject<'a>,
    param: Option<&ParamObject>,
    Watch { options, observer }: Watch<'a, '_>,
) -> Evaluated {
    let policy = subject.policy;
    let params = param.map(|param| read(subject.arena, param, options));
    let mut run = Run {
        policy,
        arena: subject.arena,
        subject,
        params,
        options,
        is_tracing: observer.is_tracing(),
        observer,
        cost: 0,
        ignored: None,
    };
    let mut evaluated = Evaluated::default();
    match run.conditions_hold() {
        Ok(true) => {
            run.observer.applies(policy);
            evaluated.applied = true;
            match run.validations() {
                Ok(findings) => {
                    evaluated.findings = findings;
                    run.annotations(&mut evaluated);
                }
                Err(OutOfBudget) => evaluated.findings = run.error(None, out_of_budget()),
            }
        }
        Ok(false) => {}
        Err(problem) => evaluated.findings = run.error(None, problem),
    }
    evaluated.cost = run.cost;
    evaluated.ignored = run.ignored;
    evaluated
}

impl<'a> Run<'a, '_> {
    /// Validations, then messages: whose variables are computed anew, and cost anew.
    fn validations(&mut self) -> Result<Vec<Finding>, OutOfBudget> {
        let policy = self.policy;
        let inputs = self.activation(Phase::Decisions);
        self.trace_variables(inputs);
        let mut budget = COST_BUDGET;
        let mut results = ArenaVec::with_capacity_in(policy.validations.len(), self.arena);
        for validation in &policy.validations {
            results.push(self.expression(&validation.expression, inputs, &mut budget)?);
        }
        let mut messages = ArenaVec::with_capacity_in(policy.validations.len(), self.arena);
        let mut is_exhausted = false;
        let mut inputs = None;
        for validation in &policy.validations {
            messages.push(match &validation.message_expression {
                Some(expression) if !is_exhausted => {
                    let inputs = *inputs.get_or_insert_with(|| self.activation(Phase::Messages));
                    match self.expression(expression, inputs, &mut budget) {
                        Ok(result) => result.ok(),
                        Err(OutOfBudget) => {
                            is_exhausted = true;
                            None
                        }
                    }
                }
                _ => None,
            });
        }
        let mut findings = Vec::new();
        let checked = policy
            .validations
            .iter()
            .zip(results)
            .zip(messages)
            .enumerate();
        for (at, ((validation, result), message)) in checked {
            match result {
                Err(problem) => findings.extend(self.error(Some(at), problem)),
                Ok(_) if is_exhausted => {
                    let mut problem = out_of_budget();
                    problem.message.insert_str(0, "failed messageExpression: ");
                    findings.extend(self.error(Some(at), problem));
                }
                Ok(Value::Bool(true)) => self.observer.validated(policy, at, Held::Yes),
                Ok(_) => {
                    self.observer.validated(policy, at, Held::No);
                    findings.push(Finding {
                        validation: Some(at),
                        outcome: Outcome::Violation,
                        error: None,
                        message: wording(validation, message),
                        reason: validation.reason,
                    });
                }
            }
        }
        Ok(findings)
    }

    fn annotations(&mut self, evaluated: &mut Evaluated) {
        let policy = self.policy;
        if policy.audit_annotations.is_empty() {
            return;
        }
        let inputs = self.activation(Phase::Annotations);
        let mut budget = COST_BUDGET;
        for annotation in &policy.audit_annotations {
            match self.expression(&annotation.expression, inputs, &mut budget) {
                Ok(Ok(Value::String(value))) => {
                    let value = value.trim();
                    if !value.is_empty() {
                        let end = value.floor_char_boundary(MAX_ANNOTATION_BYTES);
                        let value = value.get(..end).unwrap_or_default().to_owned();
                        evaluated.annotations.push((annotation.name.clone(), value));
                    }
                }
                Ok(Ok(Value::Null)) => {}
                Ok(Ok(other)) => {
                    let message = format!(
                        "valueExpression '{}' resulted in unsupported return type: {}. Return \
                         type must be either string or null.",
                        annotation.expression.text,
                        other.type_name()
                    );
                    self.observer.failed(policy, &message);
                    evaluated.annotation_errors.push(Problem::from(message));
                }
                Ok(Err(problem)) => {
                    self.observer.failed(policy, &problem.message);
                    match policy.failure_policy() {
                        FailurePolicy::Fail => evaluated.annotation_errors.push(problem),
                        FailurePolicy::Ignore => self.ignored = Some(problem.kind),
                    }
                }
                Err(OutOfBudget) => {
                    evaluated.findings = self.error(None, out_of_budget());
                    evaluated.annotations.clear();
                    evaluated.annotation_errors.clear();
                    return;
                }
            }
        }
    }
}

/// The message of a violation: the message expression's if it is one short line, else the static
/// one, else the expression.
fn wording(validation: &Validation, computed: Option<Value<'_>>) -> String {
    if let Some(Value::String(text)) = computed {
        let text = text.trim();
        if !text.is_empty() && text.len() <= MAX_MESSAGE_BYTES && !text.contains('\n') {
            return text.to_owned();
        }
    }
    match validation.message.as_deref().map(str::trim) {
        Some(message) if !message.is_empty() => message.to_owned(),
        _ => format!("failed expression: {}", validation.expression.text.trim()),
    }
}
