//! One policy, evaluated with one parameter: conditions, validations, messages, annotations.
//!
//! Semantics: apiserver `plugin/policy/validating/validator.go`, `Validate`. The budget of
//! 10,000,000 is for validations and messages together, and anew for annotations.

use bumpalo::Bump;
use bumpalo::collections::Vec as ArenaVec;

use crate::admission::resources::split;
use crate::cel::error::{Fault, FaultKind};
use crate::cel::eval::shared::Shared;
use crate::cel::eval::{Inputs, Limits, Outcome as Evaluation, Unobserved, Variable, evaluate};
use crate::cel::value::Value;
use crate::json::{self, Json};
use crate::policy::compile::{CompiledPolicy, Expression, Validation};
use crate::policy::model::{FailurePolicy, ParamObject, PodMatching, Reason};

use super::activation::{Document, Phase};
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

/// What is evaluated, on what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) policy: &'a CompiledPolicy,
    pub(super) arena: &'a Bump,
    pub(super) document: &'a Document<'a>,
    /// Whether the policy may be evaluated again, with other parameters.
    pub(super) is_repeated: bool,
}

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
        observer,
        cost: 0,
    };
    let mut evaluated = Evaluated::default();
    match run.conditions_hold() {
        Ok(true) => {
            run.observer.applies(policy);
            let inputs = run.activation(Phase::Decisions);
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

/// A parameter as expressions read it.
fn read<'a>(arena: &'a Bump, param: &ParamObject, options: Options<'_>) -> Json<'a> {
    let object = json::from_value(arena, &param.object);
    let (group, version) = split(&param.kind.api_version);
    let numbers = options.resources.numbers(group, version, &param.kind.kind);
    numbers.map_or(object, |numbers| numbers.apply(arena, object))
}

/// The values expressions read, and what others that read the same gave.
#[derive(Clone, Copy)]
struct Activation<'a> {
    inputs: &'a Inputs<'a>,
    shared: &'a Shared<'a>,
}

struct Run<'a, 'o> {
    policy: &'a CompiledPolicy,
    arena: &'a Bump,
    subject: Subject<'a>,
    params: Option<Json<'a>>,
    options: Options<'a>,
    observer: &'o mut dyn Observer,
    cost: u64,
}

impl<'a> Run<'a, '_> {
    /// What expressions read in a phase; of policies without anything of their own made only once.
    fn activation(&self, phase: Phase) -> Activation<'a> {
        let document = self.subject.document;
        let values = document.phase(phase);
        let shared = values
            .shared
            .get_or_init(|| self.arena.alloc(Shared::new_in(self.arena)));
        let policy = &self.policy.policy;
        let is_plain = self.params.is_none()
            && policy.variables.is_empty()
            && policy.settings.is_empty()
            && policy.pods == PodMatching::Object;
        let inputs = match is_plain {
            true => values.plain.get_or_init(|| self.inputs(phase, shared)),
            false => self.inputs(phase, shared),
        };
        Activation { inputs, shared }
    }

    fn inputs(&self, phase: Phase, shared: &'a Shared<'a>) -> &'a Inputs<'a> {
        let document = self.subject.document;
        let namespace = match phase {
            Phase::Conditions => Json::Null,
            Phase::Decisions => document.namespace_object(self.arena, self.options.cluster),
        };
        let params = self.params.unwrap_or(Json::Null);
        let slots = document.slots(self.arena, self.policy, params, namespace);
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
                    Ok(program) if self.is_shared(variable) => {
                        Variable::new(name, program).sharing(shared)
                    }
                    Ok(program) => Variable::new(name, program),
                    Err(problem) => {
                        let kind = FaultKind::Message(self.arena.alloc_str(problem));
                        Variable::failed(name, self.arena.alloc(Fault { kind, node: 0 }))
                    }
                });
        let variables = ArenaVec::from_iter_in(variables, self.arena);
        self.arena.alloc(Inputs {
            slots,
            variables: variables.into_bump_slice(),
            lookup: Some(self.options.cluster.as_lookup()),
            authorizer: self.options.authorizer,
        })
    }

    /// Says whether an expression may be evaluated again for the same request, to the same value.
    fn is_shared(&self, expression: &Expression) -> bool {
        (self.subject.is_repeated || expression.is_common()) && expression.is_of_the_request()
    }

    /// Evaluates one expression within a budget. The inner error is the expression's.
    fn expression(
        &mut self,
        expression: &'a Expression,
        Activation { inputs, shared }: Activation<'a>,
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
        let evaluate = || evaluate(program, inputs, self.arena, limits, &mut Unobserved);
        let Evaluation { value, cost } = match self.is_shared(expression) {
            true => shared.outcome(program, evaluate),
            false => evaluate(),
        };
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
    fn conditions_hold(&mut self) -> Result<bool, String> {
        if self.policy.match_conditions.is_empty() {
            return Ok(true);
        }
        let inputs = self.activation(Phase::Conditions);
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

    fn validations(&mut self, inputs: Activation<'a>) -> Result<Vec<Finding>, OutOfBudget> {
        let policy = self.policy;
        let mut budget = COST_BUDGET;
        let mut results = ArenaVec::with_capacity_in(policy.validations.len(), self.arena);
        for validation in &policy.validations {
            results.push(self.expression(&validation.expression, inputs, &mut budget)?);
        }
        let mut messages = ArenaVec::with_capacity_in(policy.validations.len(), self.arena);
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

    fn annotations(&mut self, inputs: Activation<'a>, evaluated: &mut Evaluated) {
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
