//! One policy, evaluated with one parameter: conditions, validations, messages, annotations.
//!
//! Semantics: apiserver `plugin/policy/validating/validator.go`, `Validate`. The budget of
//! 10,000,000 is for validations and messages together, and anew for annotations.

use bumpalo::Bump;

use crate::cel::error::{Fault, FaultKind};
use crate::cel::eval::{Inputs, Limits, Outcome as Evaluation, Unobserved, Variable, evaluate};
use crate::cel::value::Value;
use crate::json::{self, Json};
use crate::policy::compile::{CompiledPolicy, Expression, Validation};
use crate::policy::model::{FailurePolicy, ParamObject, Reason};

use super::activation::Document;
use super::observer::{Held, Observer};
use super::verdict::{Evaluated, Finding, Outcome};
use super::{Options, Watch};

/// apiserver `pkg/apis/cel/config.go`, `RuntimeCELCostBudget`.
const COST_BUDGET: u64 = 10_000_000;

/// apiserver `pkg/apis/cel/config.go`, `RuntimeCELCostBudgetMatchConditions`.
const MATCH_CONDITIONS_BUDGET: u64 = 2_500_000;

/// apiserver `pkg/apis/cel/config.go`, `MaxEvaluatedMessageExpressionSizeBytes`.
const MAX_MESSAGE_BYTES: usize = 5 * 1024;

/// apiserver `plugin/policy/validating/dispatcher.go`, `maxAuditAnnotationValueLength`.
const MAX_ANNOTATION_BYTES: usize = 10 * 1024;

const OUT_OF_BUDGET: &str = "validation failed due to running out of cost budget, no further \
                             validation rules will be run";

/// The budget is spent; what remains is not evaluated.
struct OutOfBudget;

/// Evaluates a policy; what holds leaves no trace in the result.
pub(super) fn validate<'a>(
    policy: &'a CompiledPolicy,
    (arena, document): (&'a Bump, &'a Document<'a>),
    param: Option<&ParamObject>,
    Watch { options, observer }: Watch<'a, '_>,
) -> Evaluated {
    let params = param.map_or(Json::Null, |param| json::from_value(arena, &param.object));
    let mut run = Run {
        policy,
        arena,
        options,
        observer,
        cost: 0,
    };
    let mut evaluated = Evaluated::default();
    // Conditions see no namespaceObject.
    let before = run.inputs(document.slots(arena, policy, params, Json::Null));
    match run.conditions_hold(before) {
        Ok(true) => {
            run.observer.applies(policy);
            let namespace = document.namespace_object(arena, options.cluster);
            let inputs = run.inputs(document.slots(arena, policy, params, namespace));
            match run.validations(inputs) {
                Ok(findings) => evaluated.findings = findings,
                Err(OutOfBudget) => evaluated.findings = run.error(None, OUT_OF_BUDGET.to_owned()),
            }
            run.annotations(inputs, &mut evaluated);
        }
        Ok(false) => {}
        Err(message) => evaluated.findings = run.error(None, message),
    }
    evaluated.cost = run.cost;
    evaluated
}

struct Run<'a, 'o> {
    policy: &'a CompiledPolicy,
    arena: &'a Bump,
    options: Options<'a>,
    observer: &'o mut dyn Observer,
    cost: u64,
}

impl<'a> Run<'a, '_> {
    fn inputs(&self, slots: &'a [Value<'a>]) -> &'a Inputs<'a> {
        let names = self
            .policy
            .policy
            .variables
            .iter()
            .map(|variable| variable.name.as_str());
        let variables =
            names
                .zip(&self.policy.variables)
                .map(|(name, variable)| match &variable.program {
                    Ok(program) => Variable::new(name, program),
                    Err(problem) => {
                        let kind = FaultKind::Message(self.arena.alloc_str(problem));
                        Variable::failed(name, self.arena.alloc(Fault { kind, node: 0 }))
                    }
                });
        let variables = bumpalo::collections::Vec::from_iter_in(variables, self.arena);
        self.arena.alloc(Inputs {
            slots,
            variables: variables.into_bump_slice(),
            lookup: Some(self.options.cluster.as_lookup()),
            authorizer: self.options.authorizer,
        })
    }

    /// Evaluates one expression within a budget. The inner error is the expression's.
    fn expression(
        &mut self,
        expression: &'a Expression,
        inputs: &'a Inputs<'a>,
        budget: &mut u64,
    ) -> Result<Result<Value<'a>, String>, OutOfBudget> {
        let program = match &expression.program {
            Ok(program) => program,
            Err(problem) => return Ok(Err(format!("compilation error: {problem}"))),
        };
        let limits = Limits {
            is_expired: self.options.is_expired,
            ..Limits::default()
        };
        let Evaluation { value, cost } =
            evaluate(program, inputs, self.arena, limits, &mut Unobserved);
        self.cost = self.cost.saturating_add(cost);
        *budget = budget.checked_sub(cost).ok_or(OutOfBudget)?;
        Ok(value.map_err(|fault| {
            format!(
                "expression '{}' resulted in error: {fault}",
                expression.text
            )
        }))
    }

    /// One condition that does not hold decides, whatever errors the others have.
    fn conditions_hold(&mut self, inputs: &'a Inputs<'a>) -> Result<bool, String> {
        let mut budget = MATCH_CONDITIONS_BUDGET;
        let mut errors = Vec::new();
        for condition in &self.policy.match_conditions {
            match self.expression(&condition.expression, inputs, &mut budget) {
                Ok(Ok(Value::Bool(false))) => return Ok(false),
                Ok(Ok(_)) => {}
                Ok(Err(message)) => errors.push(message),
                Err(OutOfBudget) => {
                    errors = vec![OUT_OF_BUDGET.to_owned()];
                    break;
                }
            }
        }
        match (errors.as_slice(), self.policy.failure_policy()) {
            ([], _) => Ok(true),
            (_, FailurePolicy::Ignore) => {
                errors
                    .iter()
                    .for_each(|message| self.observer.failed(self.policy, message));
                Ok(false)
            }
            ([only], FailurePolicy::Fail) => Err(only.clone()),
            (several, FailurePolicy::Fail) => Err(format!("[{}]", several.join(", "))),
        }
    }

    fn validations(&mut self, inputs: &'a Inputs<'a>) -> Result<Vec<Finding>, OutOfBudget> {
        let policy = self.policy;
        let mut budget = COST_BUDGET;
        let mut results = Vec::with_capacity(policy.validations.len());
        for validation in &policy.validations {
            results.push(self.expression(&validation.expression, inputs, &mut budget)?);
        }
        let mut messages = Vec::with_capacity(policy.validations.len());
        let mut is_exhausted = false;
        for validation in &policy.validations {
            messages.push(match &validation.message_expression {
                Some(expression) if !is_exhausted => {
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
                Err(message) => findings.extend(self.error(Some(at), message)),
                Ok(_) if is_exhausted => {
                    let message = format!("failed messageExpression: {OUT_OF_BUDGET}");
                    findings.extend(self.error(Some(at), message));
                }
                Ok(Value::Bool(true)) => self.observer.validated(policy, at, Held::Yes),
                Ok(_) => {
                    self.observer.validated(policy, at, Held::No);
                    findings.push(Finding {
                        validation: Some(at),
                        outcome: Outcome::Violation,
                        message: wording(validation, message),
                        reason: validation.reason,
                    });
                }
            }
        }
        Ok(findings)
    }

    fn annotations(&mut self, inputs: &'a Inputs<'a>, evaluated: &mut Evaluated) {
        let policy = self.policy;
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
                    evaluated.annotation_errors.push(message);
                }
                Ok(Err(message)) => {
                    self.observer.failed(policy, &message);
                    if policy.failure_policy() == FailurePolicy::Fail {
                        evaluated.annotation_errors.push(message);
                    }
                }
                Err(OutOfBudget) => {
                    evaluated.findings = self.error(None, OUT_OF_BUDGET.to_owned());
                    evaluated.annotations.clear();
                    evaluated.annotation_errors.clear();
                    return;
                }
            }
        }
    }

    /// The finding for an error: none under a policy that fails open.
    fn error(&mut self, validation: Option<usize>, message: String) -> Vec<Finding> {
        self.observer.failed(self.policy, &message);
        match self.policy.failure_policy() {
            FailurePolicy::Ignore => Vec::new(),
            FailurePolicy::Fail => vec![Finding {
                validation,
                outcome: Outcome::Error,
                message,
                reason: Reason::Invalid,
            }],
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
