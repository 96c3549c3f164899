//! How a function is declared: once, with everything that is known of it.
//!
//! A library is a `static` slice of [`Function`]s. The checker reads the signatures, the planner
//! binds the bodies, the evaluator charges the costs, and `explain` prints the documentation; the
//! examples run as tests.

use std::cell::Cell;
use std::sync::Arc;

use crate::json::Json;

use super::error::{Error, Fault, FaultKind, Result};
use super::estimate::call::StaticCost;
use super::pattern::{self, Pattern, PatternError, Patterns};
use super::types::Type;
use super::value::access::Authorize;
use super::value::compare::{Comparison, Endless};
use super::value::{IntoValue, List, Value};
use bumpalo::Bump;

/// A function with all its overloads.
#[derive(Debug)]
pub struct Function {
    /// Its name; `strings.quote`-like names are written with their dots.
    pub name: &'static str,
    /// One sentence in the third person.
    pub doc: &'static str,
    /// The overloads; the first one that takes the arguments is called.
    pub overloads: &'static [Overload],
    /// Expressions with what they give: a literal, or `error: TEXT`.
    pub examples: &'static [(&'static str, &'static str)],
}

/// One signature of a function: the one declaration of what it takes, does and costs.
#[derive(Debug)]
pub struct Overload {
    /// cel-go's identifier of the overload.
    pub id: &'static str,
    /// Whether it is called as `f(x)` or as `x.f()`.
    pub style: Style,
    /// The parameters; for a member the receiver first.
    pub params: &'static [Type],
    /// What it gives.
    pub result: Type,
    /// What it does.
    pub body: Body,
    /// What a call costs in CEL cost units.
    pub cost: Cost,
    /// What is known of that before the call.
    pub estimate: StaticCost,
    /// Since when Kubernetes has it.
    pub since: Since,
}

impl Overload {
    /// Returns how the overload is called, with types: `string.find(string)`.
    pub fn form(&self, function: &Function) -> String {
        let show = |types: &[Type]| {
            types
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        };
        match (self.style, self.params.split_first()) {
            (Style::Member, Some((receiver, rest))) => {
                format!("`{receiver}.{}({})`", function.name, show(rest))
            }
            _ => format!("`{}({})`", function.name, show(self.params)),
        }
    }
}

/// How an overload is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `f(x)`
    Global,
    /// `x.f()`
    Member,
}

/// Since when an overload may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Since {
    /// Kubernetes 1.MINOR, as `environment/base.go` introduces it for new expressions.
    Kubernetes(u8),
    /// Not in Kubernetes: a policy that uses it is not portable.
    Extension,
}

/// The body of an overload. The arguments match the overload's parameters: their number exactly,
/// their types as far as [`accepts`] looks.
pub type Body = for<'a> fn(&Call<'a>, &[Value<'a>]) -> Result<'a>;

/// The cost of a call, from its arguments and its result (`None` if it failed).
pub type Cost = for<'a> fn(&[Value<'a>], Option<&Value<'a>>) -> u64;

/// What a body may use besides its arguments.
#[derive(Debug)]
pub struct Call<'a> {
    /// Where results live.
    pub arena: &'a Bump,
    /// How many bytes the arena may hold when the evaluation ends.
    pub memory_limit: usize,
    /// Regular expressions compiled so far.
    pub patterns: Patterns,
    /// The steps taken so far that no cost counts.
    pub steps: Cell<u64>,
    /// Other objects of the cluster, for the expressions that may look them up.
    pub lookup: Option<&'a dyn Lookup>,
    /// Who is asked what a user may do.
    pub authorizer: Option<&'a dyn Authorize>,
}

/// Answers `cluster.get` and `cluster.list` from memory.
pub trait Lookup: std::fmt::Debug {
    /// Returns an object, if it is known.
    fn get<'a>(&'a self, arena: &'a Bump, object: &ObjectName<'_>) -> Option<Json<'a>>;

    /// Returns all objects of a kind; of all namespaces if `namespace` is empty.
    fn list<'a>(
        &'a self,
        arena: &'a Bump,
        api_version: &str,
        kind: &str,
        namespace: &str,
    ) -> &'a [Json<'a>];
}

/// The name of an object of the cluster.
#[derive(Debug, Clone, Copy)]
pub struct ObjectName<'n> {
    /// `group/version`, or `version` for the core group.
    pub api_version: &'n str,
    /// The kind.
    pub kind: &'n str,
    /// The namespace; empty for cluster-scoped objects.
    pub namespace: &'n str,
    /// The name.
    pub name: &'n str,
}

/// The steps one evaluation may take that no cost counts: those of comparing what lists and maps
/// hold, of reading long texts, and of compiling regular expressions. Beyond Kubernetes, which has
/// no limit for them but the request's time. A step takes up to twenty nanoseconds; comparing the
/// largest request there is, 3 MiB, takes some million.
pub const STEP_LIMIT: u64 = 20_000_000;

impl<'a> Call<'a> {
    /// Counts steps; fails when there were too many, as if they had cost too much.
    pub fn step(&self, steps: u64) -> Result<'a, ()> {
        let taken = self.steps.get().saturating_add(steps);
        self.steps.set(taken);
        if taken > STEP_LIMIT {
            return Err(self.raise(FaultKind::CostExceeded));
        }
        Ok(())
    }

    /// Says whether two values are equal, as CEL's heterogeneous equality has it.
    pub fn equals(&self, a: &Value<'a>, b: &Value<'a>) -> Result<'a, bool> {
        self.compare(|comparison| comparison.equal(a, b))
    }

    /// Says whether some item of a list equals a value.
    pub fn contains(&self, list: &List<'a>, value: &Value<'a>) -> Result<'a, bool> {
        self.compare(|comparison| comparison.contains(list, value))
    }

    /// Compares as far as there are steps left.
    pub fn compare<R>(
        &self,
        compare: impl FnOnce(&mut Comparison) -> std::result::Result<R, Endless>,
    ) -> Result<'a, R> {
        let before = STEP_LIMIT.saturating_sub(self.steps.get());
        let mut comparison = Comparison::within(before);
        let result = compare(&mut comparison);
        self.step(before - comparison.left())?;
        result.map_err(|Endless| self.raise(FaultKind::CostExceeded))
    }

    /// Counts the steps of walking through a list with all that its items hold.
    pub fn walk(&self, list: &List<'a>) -> Result<'a, ()> {
        let parts = |value: &Value<'a>| matches!(value, Value::List(_) | Value::Map(_));
        let mut pending: Vec<Value<'a>> = list.iter().filter(parts).collect();
        while let Some(value) = pending.pop() {
            let length = match value {
                Value::List(inner) => {
                    pending.extend(inner.iter().filter(parts));
                    inner.len()
                }
                Value::Map(map) => {
                    let values = map.iter().flat_map(|(key, value)| [key, value]);
                    pending.extend(values.filter(parts));
                    map.len()
                }
                _ => 0,
            };
            self.step(u64::try_from(length).unwrap_or(u64::MAX).saturating_add(1))?;
        }
        Ok(())
    }

    /// Compiles a regular expression, or finds it among those compiled before, to search a text.
    pub fn pattern(
        &self,
        expression: &str,
        text: &str,
    ) -> Result<'a, std::result::Result<Arc<Pattern>, PatternError>> {
        let length = |text: &str| u64::try_from(text.len()).unwrap_or(u64::MAX);
        self.step(length(text).saturating_mul(length(expression)) / SEARCHED_PER_STEP)?;
        if !self.patterns.has(expression) {
            self.step(pattern::steps_to_compile(expression))?;
        }
        Ok(self.patterns.get(expression))
    }

    /// Makes a fault with a message.
    pub fn fault(&self, message: &str) -> Error<'a> {
        self.raise(FaultKind::Message(self.arena.alloc_str(message)))
    }

    /// Makes a fault.
    pub fn raise(&self, kind: FaultKind<'a>) -> Error<'a> {
        self.arena.alloc(Fault {
            kind,
            node: u32::MAX,
        })
    }

    /// Copies a result into the arena.
    pub fn give(&self, value: impl IntoValue<'a>) -> Result<'a> {
        Ok(value.into_value(self.arena))
    }

    /// Fails if another `bytes` in the arena would exceed the memory budget; to be asked before a
    /// result is built whose size grows with its arguments.
    pub fn reserve(&self, bytes: usize) -> Result<'a, ()> {
        if self.arena.allocated_bytes().saturating_add(bytes) > self.memory_limit {
            return Err(self.raise(FaultKind::MemoryExceeded));
        }
        Ok(())
    }
}

/// Bytes of a text times bytes of an expression that are searched in the time of a step.
const SEARCHED_PER_STEP: u64 = 32;

/// Says whether a parameter takes a value, by the value's outermost type and, of a list or map, by
/// that of its first item or entry (cel-go `common/types/types.go`, `defaultIsAssignableRuntimeType`).
///
/// A list of lists takes any list: only `flatten` has it for a parameter, and does without the guard
/// upstream.
pub fn accepts(param: &Type, value: &Value<'_>) -> bool {
    match param {
        Type::Dyn | Type::Param(_) => true,
        Type::Null => matches!(value, Value::Null),
        Type::Bool => matches!(value, Value::Bool(_)),
        Type::Int => matches!(value, Value::Int(_)),
        Type::Uint => matches!(value, Value::Uint(_)),
        Type::Double => matches!(value, Value::Double(_)),
        Type::String => matches!(value, Value::String(_)),
        Type::Bytes => matches!(value, Value::Bytes(_)),
        Type::Duration => matches!(value, Value::Duration(_)),
        Type::Timestamp => matches!(value, Value::Timestamp(_)),
        Type::Type => matches!(value, Value::Type(_)),
        Type::List(item) => match value {
            Value::List(list) => {
                matches!(item, Type::List(_))
                    || list.get(0).is_none_or(|first| accepts(item, &first))
            }
            _ => false,
        },
        Type::Object(_) => matches!(value, Value::Map(_)),
        Type::Map(key, item) => match value {
            Value::Map(map) => map
                .iter()
                .next()
                .is_none_or(|first| accepts(key, &first.0) && accepts(item, &first.1)),
            _ => false,
        },
        Type::Optional(_) => matches!(value, Value::Optional(_)),
        Type::Opaque(name) => value.type_name() == *name,
    }
}

/// Costs that many overloads share; the factors are cel-go's `common/cost.go`.
pub mod cost {
    use super::Value;

    /// Cost of traversing one character or byte.
    pub const TRAVERSAL: f64 = 0.1;
    /// What a cost cannot be: cel-go breaks when it counts the cost of such arguments.
    pub const BREAKS: u64 = u64::MAX;
    /// Cost of one character of a regular expression.
    pub const REGEX: f64 = 0.25;

    /// One unit.
    pub fn one(_: &[Value<'_>], _: Option<&Value<'_>>) -> u64 {
        1
    }

    /// One traversal of the first argument.
    pub fn traverse_first(arguments: &[Value<'_>], _: Option<&Value<'_>>) -> u64 {
        scaled(size_at(arguments, 0), TRAVERSAL)
    }

    /// Returns what `actualSize` of cel-go gives: characters of a string, bytes, items, entries;
    /// the size inside an optional; one for anything else.
    pub fn size(value: &Value<'_>) -> u64 {
        let size = match value {
            Value::String(text) => text.chars().count(),
            Value::Bytes(bytes) => bytes.len(),
            Value::List(list) => list.len(),
            Value::Map(map) => map.len(),
            Value::Optional(Some(inner)) => return size(inner),
            Value::Ip(address) => {
                if address.is_ipv4() {
                    4
                } else {
                    16
                }
            }
            Value::Cidr(network) => usize::from(network.bits).div_ceil(8),
            _ => 1,
        };
        u64::try_from(size).unwrap_or(u64::MAX)
    }

    /// Returns the size of an argument, one if there is none.
    pub fn size_at(arguments: &[Value<'_>], at: usize) -> u64 {
        arguments.get(at).map_or(1, size)
    }

    /// Returns `ceil(size * factor)`; for the factors in use in integers, which gives the same: a
    /// tenth as a double is too large by less than half of what a product could be rounded by.
    #[inline]
    pub fn scaled(size: u64, factor: f64) -> u64 {
        if factor == TRAVERSAL {
            return size.div_ceil(10);
        }
        if factor == REGEX {
            return size.div_ceil(4);
        }
        (size as f64 * factor).ceil() as u64
    }

    /// Returns the cost of comparing two values: a traversal of the smaller one.
    #[inline]
    pub fn comparison(left: &Value<'_>, right: &Value<'_>) -> u64 {
        if let (Value::String(left), Value::String(right)) = (left, right) {
            match left.len().min(right.len()) {
                0 => return 0,
                // As many characters at most, and at least one.
                1..=10 => return 1,
                _ => {}
            }
        }
        scaled(size(left).min(size(right)), TRAVERSAL)
    }
}
