//! Evaluates programs over borrowed values, under a budget.
//!
//! Costs are counted as cel-go's `CostTracker` observes its own plan (`interpreter/runtimecost.go`):
//! one for an attribute, one for each qualifier taken, nothing for constants and conditionals, a
//! call's own cost once all its arguments have been evaluated, even when one of them failed.
//!
//! Errors of operands are absorbed where the language says so; a fault that ends the evaluation
//! (cost, deadline, memory) never is.

mod attribute;
mod fold;
mod literal;
mod operators;
pub mod shared;

use std::cell::Cell;

use bumpalo::Bump;

use super::ast::{NodeId, OptMapResult};
use super::error::{Error, Fault, FaultKind, Result};
use super::function::{self, Lookup, accepts, cost};
use super::pattern::Patterns;
use super::plan::{
    Callee, Dispatch, Node, Operation, OptMap, OptionalOr, Program, Search, SearchKind,
};
use super::value::access::Authorize;
use super::value::{List, Value};
use shared::Shared;

/// What an evaluation may spend.
#[derive(Debug, Clone, Copy)]
pub struct Limits<'a> {
    /// CEL cost units for one expression.
    pub cost: u64,
    /// Bytes that may be allocated in the arena, over what it holds at the start.
    pub memory_bytes: usize,
    /// Asked now and then; `true` ends the evaluation.
    pub is_expired: Option<&'a dyn IsExpired>,
}

/// Says whether the time of a request is up; the core has no clock of its own.
pub trait IsExpired: std::fmt::Debug {
    /// Says whether to stop.
    fn is_expired(&self) -> bool;
}

/// apiserver `pkg/apis/cel/config.go`, `PerCallLimit`.
pub const PER_CALL_LIMIT: u64 = 1_000_000;

/// Memory one expression may use. Beyond Kubernetes, which bounds only what costs count; the
/// largest request is 3 MiB, and no expression of the corpora makes a twentieth of it.
pub const MEMORY_LIMIT_BYTES: usize = 64 << 20;

impl Default for Limits<'_> {
    fn default() -> Self {
        Limits {
            cost: PER_CALL_LIMIT,
            memory_bytes: MEMORY_LIMIT_BYTES,
            is_expired: None,
        }
    }
}

/// The values a program reads.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// Values by slot.
    pub slots: &'a [Value<'a>],
    /// The policy's own variables.
    pub variables: &'a [Variable<'a>],
    /// Other objects of the cluster.
    pub lookup: Option<&'a dyn Lookup>,
    /// Who is asked what a user may do.
    pub authorizer: Option<&'a dyn Authorize>,
}

impl<'a> Inputs<'a> {
    /// Values by slot and nothing else: no variables, no cluster, nobody to ask.
    pub fn new(slots: &'a [Value<'a>]) -> Self {
        Inputs {
            slots,
            variables: &[],
            lookup: None,
            authorizer: None,
        }
    }
}

/// A variable that is computed when it is first read.
#[derive(Debug)]
pub struct Variable<'a> {
    name: &'a str,
    /// How it is computed; `Err` holds why it cannot be.
    program: std::result::Result<&'a Program, Error<'a>>,
    /// Where the result of the program may be known from another policy.
    shared: Option<&'a Shared<'a>>,
    value: Cell<Option<Result<'a>>>,
}

impl<'a> Variable<'a> {
    /// A variable not read yet.
    pub fn new(name: &'a str, program: &'a Program) -> Self {
        Variable {
            name,
            program: Ok(program),
            shared: None,
            value: Cell::new(None),
        }
    }

    /// The same variable, of which other policies have one with the same program and inputs.
    #[must_use]
    pub fn sharing(self, shared: &'a Shared<'a>) -> Self {
        Variable {
            shared: Some(shared),
            ..self
        }
    }

    /// A variable whose every reading is this fault.
    pub fn failed(name: &'a str, fault: Error<'a>) -> Self {
        Variable {
            name,
            program: Err(fault),
            shared: None,
            value: Cell::new(None),
        }
    }
}

/// The value of an expression, and what it cost.
#[derive(Debug, Clone, Copy)]
pub struct Outcome<'a> {
    /// The value, or why there is none.
    pub value: Result<'a>,
    /// CEL cost units, variables read for the first time included.
    pub cost: u64,
}

/// Is told the value of every node evaluated.
pub trait Observer<'a> {
    /// Whether it looks at anything: if not, paths are read without telling it of their steps.
    const OBSERVES: bool = true;

    /// Called after a node was evaluated, children first.
    fn observe(&mut self, node: NodeId, value: &Result<'a>);

    /// Called before each turn of a macro over a list or map; also before the one at which the macro
    /// finds that it has been decided.
    #[inline(always)]
    fn turn(&mut self, _fold: NodeId, _turn: Turn<'a>) {}
}

/// A turn of a macro.
#[derive(Debug, Clone, Copy)]
pub struct Turn<'a> {
    /// The position of the item or entry, from 0.
    pub at: usize,
    /// How many there are.
    pub of: usize,
    /// The values of the variables; the second one counts only if the macro has two.
    pub variables: (Value<'a>, Value<'a>),
}

/// Observes nothing, at no cost.
#[derive(Debug)]
pub struct Unobserved;

impl<'a> Observer<'a> for Unobserved {
    const OBSERVES: bool = false;

    #[inline(always)]
    fn observe(&mut self, _: NodeId, _: &Result<'a>) {}
}

/// Evaluates a program.
pub fn evaluate<'a, O: Observer<'a>>(
    program: &'a Program,
    inputs: &'a Inputs<'a>,
    arena: &'a Bump,
    limits: Limits<'a>,
    observer: &mut O,
) -> Outcome<'a> {
    let call = function::Call {
        arena,
        memory_limit: arena.allocated_bytes().saturating_add(limits.memory_bytes),
        patterns: Patterns::default(),
        steps: std::cell::Cell::default(),
        lookup: inputs.lookup,
        authorizer: inputs.authorizer,
    };
    let mut evaluation = Evaluation {
        inputs,
        limits,
        observer,
        spent: 0,
        reported: 0,
        ticks: 0,
        locals: arena.alloc_slice_fill_copy(program.locals, Value::Null),
        unread: &mut [],
        first_read: 0,
        aggregates: arena.alloc_slice_fill_copy(program.aggregates, None),
        call,
        halted: None,
    };
    let value = evaluation.run(program);
    let value = match (value, evaluation.halted) {
        (Ok(_), Some(fault)) => Err(fault),
        (value, _) => value,
    };
    Outcome {
        value,
        cost: evaluation.spent.saturating_add(evaluation.reported),
    }
}

/// Stack for one level of nesting; generous, for debug builds.
const STACK_PER_LEVEL_BYTES: usize = 8 << 10;

/// Nesting that every thread's stack is good for.
const SHALLOW: usize = 64;

struct Evaluation<'a, 'o, O> {
    inputs: &'a Inputs<'a>,
    limits: Limits<'a>,
    observer: &'o mut O,
    /// What this expression has cost so far.
    spent: u64,
    /// What variables cost that were read for the first time; they have a limit of their own.
    reported: u64,
    /// Steps since the deadline was asked for.
    ticks: u32,
    locals: &'a mut [Value<'a>],
    /// By local, what its first reading costs; empty until an `optMap` needs it.
    unread: &'a mut [u64],
    /// What first readings have cost so far; nothing of it is paid again.
    first_read: u64,
    aggregates: &'a mut [Option<Value<'a>>],
    call: function::Call<'a>,
    /// The fault that ended the evaluation.
    halted: Option<Error<'a>>,
}

impl<'a, O: Observer<'a>> Evaluation<'a, '_, O> {
    fn run(&mut self, program: &'a Program) -> Result<'a> {
        if program.depth <= SHALLOW {
            return self.eval(&program.root);
        }
        let stack = program.depth * STACK_PER_LEVEL_BYTES;
        stacker::maybe_grow(stack, stack * 2, || self.eval(&program.root))
    }

    fn eval(&mut self, node: &'a Node) -> Result<'a> {
        let value = match &node.operation {
            Operation::Constant(constant) => Ok(constant.value()),
            Operation::Attribute(attribute) => self.attribute(node.id, attribute),
            Operation::Binary(binary, cost, operands) => {
                let [left, right] = &**operands;
                let left = self.eval(left);
                let right = self.eval(right);
                self.binary(node.id, (*binary, *cost), (left, right))
            }
            Operation::And(operands) => self.logical(node.id, operands, false),
            Operation::Or(operands) => self.logical(node.id, operands, true),
            Operation::Not(operand) => self.not(node.id, operand),
            Operation::Negate(operand) => self.negate(node.id, operand),
            Operation::Has(attribute, place) => self.has(node.id, attribute, *place),
            Operation::Call(callee) => self.function(node.id, callee),
            Operation::Fold(fold) => self.fold(node.id, fold),
            Operation::Search(search) => self.search(node.id, search),
            Operation::InSet(needle, set) => match self.eval(needle) {
                Ok(Value::Bytes(_) | Value::Semver(_) | Value::Format(_)) => {
                    // Such values cannot be looked up in a map of Go.
                    Err(self.halt(FaultKind::Internal))
                }
                needle => needle.map(|needle| Value::Bool(set.contains(&needle))),
            },
            Operation::Aggregate(index, literal) => self.aggregate(*index, literal),
            Operation::List(items) => self.list(node.id, items),
            Operation::Map(entries) => self.map(node.id, entries),
            Operation::Message(message) => self.message(node.id, message),
            Operation::OptMap(map) => self.opt_map(node.id, map),
            Operation::OptionalOr(or, operands) => {
                let [optional, other] = &**operands;
                match (self.eval(optional), or) {
                    (Ok(Value::Optional(Some(value))), OptionalOr::Value) => Ok(*value),
                    (Ok(value @ Value::Optional(Some(_))), OptionalOr::Optional) => Ok(value),
                    (Ok(Value::Optional(None)), _) => self.eval(other),
                    // Anything else is given as it is: cel-go `cel/library.go`,
                    // `evalOptionalOrValue`. Policies of `dyn` objects rely on it.
                    (other, _) => other,
                }
            }
            Operation::Bind(local, nodes) => {
                let [value, body] = &**nodes;
                match self.eval(value) {
                    Ok(value) => {
                        self.set_local(*local, value);
                        self.eval(body)
                    }
                    Err(fault) if fault.is_fatal() => Err(fault),
                    Err(fault) => self.without_input(fault, body),
                }
            }
        };
        self.observer.observe(node.id, &value);
        value
    }

    /// Charges `units`; fails once the expression has spent more than it may. Wraps as Go does: a
    /// cost can be negative (`flatten`).
    #[inline]
    fn charge(&mut self, units: u64) -> Result<'a, ()> {
        let spent = self.spent.wrapping_add(units);
        if spent > self.limits.cost {
            return Err(self.exceeded(spent));
        }
        self.spent = spent;
        Ok(())
    }

    /// Charges `steps` of one unit each.
    #[inline]
    fn charge_steps(&mut self, steps: u64) -> Result<'a, ()> {
        let spent = self.spent.wrapping_add(steps);
        if spent > self.limits.cost {
            return Err(self.exceeded(self.limits.cost.saturating_add(1)));
        }
        self.spent = spent;
        Ok(())
    }

    /// The fault of a call whose arguments no overload takes; cel-go names most functions and types.
    #[cold]
    fn no_overload(&self, node: NodeId, callee: &Callee, values: &[Value<'a>]) -> Error<'a> {
        if let "contains" | "endsWith" | "startsWith" | "matches" = &*callee.name {
            return self.raise(node, FaultKind::NoSuchOverload);
        }
        let types: Vec<&str> = values.iter().map(Value::type_name).collect();
        let message = format!("no such overload: {}({})", callee.name, types.join(", "));
        self.raise(
            node,
            FaultKind::Message(self.call.arena.alloc_str(&message)),
        )
    }

    /// Ends the evaluation for its cost; nothing is counted after that.
    #[cold]
    fn exceeded(&mut self, spent: u64) -> Error<'a> {
        if let Some(fault) = self.halted {
            return fault;
        }
        self.spent = spent;
        self.halt(FaultKind::CostExceeded)
    }

    /// Ends the evaluation: whatever would cost something more fails in the same way.
    #[cold]
    fn halt(&mut self, kind: FaultKind<'a>) -> Error<'a> {
        let fault = self.call.raise(kind);
        self.halted = Some(fault);
        self.limits.cost = self.spent;
        fault
    }

    /// To be called at every turn of a loop: asks for the deadline and the memory now and then.
    #[inline]
    fn tick(&mut self) -> Result<'a, ()> {
        self.ticks = self.ticks.wrapping_add(1);
        if self.ticks & 0x7f != 0 {
            return Ok(());
        }
        self.call.reserve(0)?;
        match self.limits.is_expired {
            Some(deadline) if deadline.is_expired() => {
                Err(self.call.raise(FaultKind::DeadlineExceeded))
            }
            _ => Ok(()),
        }
    }

    #[cold]
    fn raise(&self, node: NodeId, kind: FaultKind<'a>) -> Error<'a> {
        self.call.arena.alloc(Fault { kind, node: node.0 })
    }

    /// Names the node of a fault that a function raised.
    #[cold]
    fn located(&self, node: NodeId, fault: Error<'a>) -> Error<'a> {
        if fault.node == u32::MAX {
            self.raise(node, fault.kind)
        } else {
            fault
        }
    }

    /// The result of a body whose bound value failed. `sortBy` reads its input twice, once as the
    /// range of the keys, and cel-go breaks counting the cost of sorting by keys that are no list.
    fn without_input(&mut self, fault: Error<'a>, body: &'a Node) -> Result<'a> {
        match &body.operation {
            Operation::Call(callee) if callee.is_sorting_by_keys() => {
                self.charge(1)?;
                self.charge(1)?;
                if callee.overloads.len() > 1 {
                    return self.charge(1).and(Err(fault));
                }
                Err(self.halt(FaultKind::Internal))
            }
            _ => Err(fault),
        }
    }

    #[inline]
    fn set_local(&mut self, at: usize, value: Value<'a>) {
        if let Some(local) = self.locals.get_mut(at) {
            *local = value;
        }
    }

    /// `&&` and `||`: `decisive` ends the evaluation, the first error is kept until then (cel-go
    /// `interpreter/interpretable.go`, `evalOr`, `evalAnd`).
    fn logical(&mut self, node: NodeId, operands: &'a [Node], decisive: bool) -> Result<'a> {
        let mut error: Option<Error<'a>> = None;
        for operand in operands {
            match self.eval(operand) {
                Ok(Value::Bool(value)) if value == decisive => return Ok(Value::Bool(decisive)),
                Ok(Value::Bool(_)) => {}
                Ok(_) => {
                    error = error.or_else(|| Some(self.raise(node, FaultKind::NoSuchOverload)));
                }
                Err(fault) if fault.is_fatal() => return Err(fault),
                Err(fault) => error = error.or(Some(fault)),
            }
        }
        match error {
            Some(fault) => Err(fault),
            None => Ok(Value::Bool(!decisive)),
        }
    }

    fn not(&mut self, node: NodeId, operand: &'a Node) -> Result<'a> {
        let operand = self.eval(operand);
        self.charge(1)?;
        match operand? {
            Value::Bool(value) => Ok(Value::Bool(!value)),
            _ => Err(self.raise(node, FaultKind::NoSuchOverload)),
        }
    }

    /// Calls a function; a failed argument is the result.
    ///
    /// cel-go evaluates both arguments of a bound call of two; of other calls none behind the first
    /// that failed, and then it counts no cost for the call (`interpreter/interpretable.go`,
    /// `evalBinary`, `evalVarArgs`).
    fn function(&mut self, node: NodeId, callee: &'a Callee) -> Result<'a> {
        let mut values = [Value::Null; MAX_ARGUMENTS];
        let Some(values) = values.get_mut(..callee.arguments.len()) else {
            return Err(self.raise(node, FaultKind::NoSuchOverload));
        };
        let is_sequential = callee.arguments.len() > 2
            || matches!(callee.dispatch, Dispatch::Open | Dispatch::Variadic);
        let last = callee.arguments.len().saturating_sub(1);
        let mut failed = None;
        let mut is_long = false;
        for (at, (value, argument)) in values.iter_mut().zip(&callee.arguments).enumerate() {
            match self.eval(argument) {
                Ok(argument) => {
                    is_long |= self.read(&argument)?;
                    *value = argument;
                }
                Err(fault) if is_sequential && at < last => return Err(fault),
                Err(fault) => failed = failed.or(Some(fault)),
            }
        }
        let values = &*values;
        if is_long && failed.is_none() {
            self.afford((callee.cost)(values, None))?;
        }
        let fitting = || {
            callee.overloads.iter().find(|overload| {
                let mut pairs = overload.params.iter().zip(values);
                callee.dispatch == Dispatch::Singleton
                    || pairs.all(|(param, value)| accepts(param, value))
            })
        };
        let result = match failed.map_or_else(|| Ok(fitting()), Err) {
            Err(fault) => Err(fault),
            Ok(Some(overload)) => (overload.body)(&self.call, values),
            Ok(None) => Err(self.no_overload(node, callee, values)),
        };
        let units = (callee.cost)(values, result.as_ref().ok());
        if units == cost::BREAKS {
            return Err(self.halt(FaultKind::Internal));
        }
        self.charge(units)?;
        result.map_err(|fault| self.located(node, fault))
    }

    /// Counts the steps of reading a long text, which most calls do and few have a cost for; says
    /// whether it is one.
    #[inline]
    fn read(&mut self, argument: &Value<'a>) -> Result<'a, bool> {
        match argument {
            Value::String(text) if text.len() >= LONG_TEXT_BYTES => {
                let steps = u64::try_from(text.len() / BYTES_PER_STEP).unwrap_or(u64::MAX);
                self.call.step(steps)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Fails as [`Self::charge`] will after the call: a search that costs too much is not begun.
    fn afford(&mut self, units: u64) -> Result<'a, ()> {
        let spent = self.spent.wrapping_add(units);
        if units != cost::BREAKS && spent > self.limits.cost {
            return Err(self.exceeded(spent));
        }
        Ok(())
    }

    /// A search for a literal expression. cel-go replaces the call: what fails before its last
    /// argument costs nothing, and any value that is a string in Go is searched (`interpreter/
    /// optimizations.go`; apiserver `pkg/cel/library/regex.go`, `FindRegexOptimization`).
    fn search(&mut self, node: NodeId, search: &'a Search) -> Result<'a> {
        let text = self.eval(&search.text)?;
        let limit = match &search.kind {
            SearchKind::FindAll(Some(limit)) => Some(self.eval(limit)),
            _ => None,
        };
        let units = match search.factor {
            Some(factor) => {
                let size = match (&search.kind, &text) {
                    // apiserver knows no size of an optional (`cost.go`, `actualSize`).
                    (SearchKind::Find | SearchKind::FindAll(_), Value::Optional(_)) => 1,
                    _ => cost::size(&text),
                };
                let size = size.saturating_add(1);
                cost::scaled(size, cost::TRAVERSAL).saturating_mul(factor)
            }
            None => 1,
        };
        self.charge(units)?;
        let limit = match limit.transpose()?.map(opened) {
            None => usize::MAX,
            Some(Value::Int(limit)) => usize::try_from(limit).unwrap_or(usize::MAX),
            Some(_) => return Err(self.raise(node, FaultKind::NoSuchOverload)),
        };
        let Value::String(text) = opened(text) else {
            return Err(self.raise(node, FaultKind::NoSuchOverload));
        };
        match search.kind {
            SearchKind::Matches => Ok(Value::Bool(search.pattern.is_match(text))),
            SearchKind::Find => Ok(Value::String(search.pattern.find(text).unwrap_or_default())),
            SearchKind::FindAll(_) => {
                let mut found = bumpalo::collections::Vec::new_in(self.call.arena);
                let matches = search.pattern.find_all(text).take(limit);
                found.extend(matches.map(Value::String));
                self.call.reserve(0)?;
                Ok(Value::List(List::Values(found.into_bump_slice())))
            }
        }
    }

    /// A list or map of constants: made at its first use, at no cost.
    fn aggregate(&mut self, index: usize, literal: &'a Node) -> Result<'a> {
        if let Some(Some(value)) = self.aggregates.get(index) {
            return Ok(*value);
        }
        let spent = self.spent;
        let value = self.eval(literal);
        self.spent = spent;
        if let (Ok(value), Some(known)) = (value, self.aggregates.get_mut(index)) {
            *known = Some(value);
        }
        value
    }

    /// `target.hasValue() ? optional.of(body(target.value())) : optional.none()`: cel-go's expansion
    /// evaluates the target once more when the variable is first read (`cel/library.go`, `optMap`;
    /// `interpreter/interpretable.go`, `folder.ResolveName`).
    fn opt_map(&mut self, node: NodeId, map: &'a OptMap) -> Result<'a> {
        let (before, read_before) = (self.spent, self.first_read);
        let target = self.eval(&map.target);
        let read = self.first_read.wrapping_sub(read_before);
        let target_cost = self.spent.wrapping_sub(before).wrapping_sub(read);
        self.charge(1)?;
        match target? {
            Value::Optional(None) => {
                self.charge(1)?;
                Ok(Value::Optional(None))
            }
            Value::Optional(Some(value)) => {
                self.set_local(map.local, *value);
                if self.unread.is_empty() {
                    let locals = self.locals.len();
                    self.unread = self.call.arena.alloc_slice_fill_copy(locals, 0);
                }
                if let Some(unread) = self.unread.get_mut(map.local) {
                    *unread = target_cost.saturating_add(1);
                }
                let body = self.eval(&map.body);
                if let Some(0) = self.unread.get(map.local) {
                    // Whoever evaluates this once more pays for its variable once more.
                    let read = target_cost.saturating_add(1);
                    self.first_read = self.first_read.wrapping_sub(read);
                }
                let value = match (map.result, body) {
                    (OptMapResult::Value, body) => {
                        self.charge(1)?;
                        body?
                    }
                    (OptMapResult::Optional, Ok(Value::Optional(Some(value)))) => *value,
                    (OptMapResult::Optional, body) => return body,
                };
                // The optional is a branch of a conditional, and that begins a path.
                let value = self.native(node, value)?;
                Ok(Value::Optional(Some(self.call.arena.alloc(value))))
            }
            _ => Err(self.raise(node, FaultKind::NoSuchOverload)),
        }
    }
}

/// What a value is in Go: an optional is what it holds, a type its name.
fn opened<'a>(value: Value<'a>) -> Value<'a> {
    match value {
        Value::Type(name) => Value::String(name),
        Value::Optional(Some(inner)) => opened(*inner),
        value => value,
    }
}

/// No function takes more arguments than this; one that did would have no overload.
const MAX_ARGUMENTS: usize = 4;

/// A shorter text takes less time to read than the call itself.
const LONG_TEXT_BYTES: usize = 4096;

/// Bytes of a text that are read in the time of a step (`function::STEP_LIMIT`).
const BYTES_PER_STEP: usize = 256;

/// cel-go `common/cost.go`, `ListCreateBaseCost`.
const LIST_COST: u64 = 10;

/// cel-go `common/cost.go`, `StructCreateBaseCost`.
const MESSAGE_COST: u64 = 40;

/// cel-go `common/cost.go`, `MapCreateBaseCost`.
const MAP_COST: u64 = 30;
