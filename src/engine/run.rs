//! An evaluation of a policy with one parameter: what its expressions read, its conditions, its budgets.

use bumpalo::Bump;
use bumpalo::collections::Vec as ArenaVec;

use crate::admission::resources::split;
use crate::cel::error::{Fault, FaultKind};
use crate::cel::eval::shared::Shared;
use crate::cel::eval::{Inputs, Limits, Outcome as Evaluation, Unobserved, Variable, evaluate};
use crate::cel::parse;
use crate::cel::plan::Program;
use crate::cel::trace::{Recorder, steps};
use crate::cel::value::Value;
use crate::json::{self, Json};
use crate::policy::compile::{CompiledPolicy, Expression};
use crate::policy::model::{FailurePolicy, ParamObject, PodMatching, Reason};

use super::Options;
use super::activation::{Document, Phase};
use super::observer::Observer;
use super::verdict::{ErrorKind, Finding, Outcome, Problem};

/// apiserver `pkg/apis/cel/config.go`, `RuntimeCELCostBudget`.
pub(super) const COST_BUDGET: u64 = 10_000_000;

/// apiserver `pkg/apis/cel/config.go`, `RuntimeCELCostBudgetMatchConditions`.
const MATCH_CONDITIONS_BUDGET: u64 = 2_500_000;

const OUT_OF_BUDGET: &str = "validation failed due to running out of cost budget, no further \
                             validation rules will be run";

/// The budget is spent; what remains is not evaluated.
pub(super) struct OutOfBudget;

/// The error that the budget is spent.
pub(super) fn out_of_budget() -> Problem {
    Problem {
        kind: ErrorKind::OutOfBudget,
        message: OUT_OF_BUDGET.to_owned(),
    }
}

/// What is evaluated, on what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) policy: &'a CompiledPolicy,
    pub(super) arena: &'a Bump,
    pub(super) document: &'a Document<'a>,
    /// Whether the policy may be evaluated again, with other parameters.
    pub(super) is_repeated: bool,
}

/// A parameter as expressions read it.
pub(super) fn read<'a>(arena: &'a Bump, param: &ParamObject, options: Options<'_>) -> Json<'a> {
    let object = json::from_value(arena, &param.object);
    let (group, version) = split(&param.kind.api_version);
    let numbers = options.resources.numbers(group, version, &param.kind.kind);
    numbers.map_or(object, |numbers| numbers.apply(arena, object))
}

/// The values expressions read, and what others that read the same gave.
#[derive(Clone, Copy)]
pub(super) struct Activation<'a> {
    inputs: &'a Inputs<'a>,
    shared: &'a Shared<'a>,
}

pub(super) struct Run<'a, 'o> {
    pub(super) policy: &'a CompiledPolicy,
    pub(super) arena: &'a Bump,
    pub(super) subject: Subject<'a>,
    pub(super) params: Option<Json<'a>>,
    pub(super) options: Options<'a>,
    pub(super) observer: &'o mut dyn Observer,
    /// Whether the observer follows each part of an expression.
    pub(super) is_tracing: bool,
    pub(super) cost: u64,
    /// An error that the failure policy passes over.
    pub(super) ignored: Option<ErrorKind>,
}

impl<'a> Run<'a, '_> {
    /// What expressions read in a phase; of policies without anything of their own made only once.
    pub(super) fn activation(&self, phase: Phase) -> Activation<'a> {
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
            true => {
                let [plain, with_namespace] = &values.plain;
                let plain = if self.policy.reads_namespace {
                    with_namespace
                } else {
                    plain
                };
                plain.get_or_init(|| self.inputs(phase, shared))
            }
            false => self.inputs(phase, shared),
        };
        Activation { inputs, shared }
    }

    fn inputs(&self, phase: Phase, shared: &'a Shared<'a>) -> &'a Inputs<'a> {
        let document = self.subject.document;
        let namespace = match phase {
            // Who does not read it does not wait for it.
            _ if !self.policy.reads_namespace => Json::Null,
            Phase::Conditions => Json::Null,
            Phase::Decisions | Phase::Messages => {
                document.namespace_object(self.arena, self.options.cluster)
            }
            Phase::Annotations | Phase::Mutations => {
                document.whole_namespace(self.arena, self.options.cluster)
            }
        };
        let params = self.params.unwrap_or(Json::Null);
        let slots = document.slots(self.arena, self.policy, params, (phase, namespace));
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
            authorizer: self.options.authorizer.filter(|_| phase.asks_authorizer()),
        })
    }

    /// Says whether an expression may be evaluated again for the same request, to the same value.
    fn is_shared(&self, expression: &Expression) -> bool {
        (self.subject.is_repeated || expression.is_common()) && expression.is_of_the_request()
    }

    /// Evaluates one expression within a budget. The inner error is the expression's.
    pub(super) fn expression(
        &mut self,
        expression: &'a Expression,
        Activation { inputs, shared }: Activation<'a>,
        budget: &mut u64,
    ) -> Result<Result<Value<'a>, Problem>, OutOfBudget> {
        let program = match &expression.program {
            Ok(program) => program,
            Err(problem) => {
                return Ok(Err(Problem {
                    kind: ErrorKind::Compilation,
                    message: format!("compilation error: {problem}"),
                }));
            }
        };
        self.observer.evaluates();
        let limits = Limits {
            is_expired: self.options.is_expired,
            ..Limits::default()
        };
        let evaluate = || evaluate(program, inputs, self.arena, limits, &mut Unobserved);
        let Evaluation { value, cost } = match self.is_shared(expression) {
            _ if self.is_tracing => self.traced(expression, program, inputs),
            true => shared.outcome(program, evaluate),
            false => evaluate(),
        };
        let error = value.is_err().then_some(ErrorKind::Invalid);
        self.observer.evaluated(expression, cost, error);
        self.cost = self.cost.saturating_add(cost);
        *budget = budget.checked_sub(cost).ok_or(OutOfBudget)?;
        Ok(value.map_err(|fault| {
            Problem::from(format!(
                "expression '{}' resulted in error: {fault}",
                expression.text
            ))
        }))
    }

    /// Evaluates an expression and tells what its parts gave.
    fn traced(
        &mut self,
        expression: &'a Expression,
        program: &'a Program,
        inputs: &'a Inputs<'a>,
    ) -> Evaluation<'a> {
        let (arena, limits) = (self.arena, Limits::default());
        // The program was made of this text, and knows its parts by the same numbers.
        let Ok(ast) = parse::parse(&expression.text) else {
            return evaluate(program, inputs, arena, limits, &mut Unobserved);
        };
        let mut recorder = Recorder::new(&ast);
        let outcome = evaluate(program, inputs, arena, limits, &mut recorder);
        let steps = steps::steps(&ast, &recorder);
        self.observer.traced(self.policy, expression, &steps);
        outcome
    }

    /// Tells what variables give, which expressions compute by themselves, to whoever follows each part.
    pub(super) fn trace_variables(&mut self, Activation { inputs, .. }: Activation<'a>) {
        if !self.is_tracing {
            return;
        }
        for variable in &self.policy.variables {
            if let Ok(program) = &variable.program {
                self.traced(variable, program, inputs);
            }
        }
    }

    /// One condition that does not hold decides, whatever errors the others have.
    pub(super) fn conditions_hold(&mut self) -> Result<bool, Problem> {
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
                Ok(Err(problem)) => errors.push(problem),
                Err(OutOfBudget) => {
                    errors = vec![out_of_budget()];
                    break;
                }
            }
        }
        match (errors.as_slice(), self.policy.failure_policy()) {
            ([], _) => Ok(true),
            (_, FailurePolicy::Ignore) => {
                for problem in &errors {
                    self.observer.failed(self.policy, &problem.message);
                }
                self.ignored = errors.first().map(|first| first.kind);
                Ok(false)
            }
            ([first, ..], FailurePolicy::Fail) => {
                // As an aggregate of Go, which says the same once.
                let mut messages: Vec<&str> = Vec::new();
                for problem in &errors {
                    if !messages.contains(&problem.message.as_str()) {
                        messages.push(&problem.message);
                    }
                }
                let message = match messages.as_slice() {
                    [only] => (*only).to_owned(),
                    several => format!("[{}]", several.join(", ")),
                };
                Err(Problem {
                    kind: first.kind,
                    message,
                })
            }
        }
    }

    /// The finding for an error: none under a policy that fails open.
    pub(super) fn error(&mut self, validation: Option<usize>, problem: Problem) -> Vec<Finding> {
        let Problem { kind, message } = problem;
        self.observer.failed(self.policy, &message);
        match self.policy.failure_policy() {
            FailurePolicy::Ignore => {
                self.ignored = Some(kind);
                Vec::new()
            }
            FailurePolicy::Fail => vec![Finding {
                validation,
                outcome: Outcome::Error,
                error: Some(kind),
                message,
                reason: Reason::Invalid,
            }],
        }
    }
}
