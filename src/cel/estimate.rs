//! What an expression costs at least and at most, before it is evaluated.
//!
//! Kubernetes estimates the rules of custom resources so, and refuses those that may cost too much;
//! policies it refuses for no estimate: what they read is untyped and of unknown size, and their costs
//! are bounded while they run.
//!
//! Semantics: cel-go `checker/cost.go`, with the options of apiserver `pkg/cel/environment/base.go`
//! (testing for a field costs nothing) and the calls of `pkg/cel/library/cost.go`. As upstream, a
//! selection from something untyped is not counted, so that the cost may exceed the estimate.

pub mod call;
mod macros;
mod operators;
pub mod range;

use std::rc::Rc;

use super::ast::{Ast, Call, Entry, Expr, Item, Literal, NodeId, Select, operator};
use super::check::{Checked, Reference};
use super::types::{Inferred, Type};
use call::{Argument, CallEstimate};
use range::{CostEstimate, SizeEstimate};

/// Tells the sizes of what an expression reads.
pub trait Sizes: std::fmt::Debug {
    /// Returns the size of what is found by a path, if something is known of it.
    ///
    /// A path is a variable's name, and after dots the names of fields; what a list holds is
    /// `@items`, what a map holds `@keys` and `@values`. It is empty where a value is computed.
    ///
    /// Upstream keeps the paths of two variables of one macro, or of two fields of one variable, in
    /// memory they may share, so that the second can replace the first. Here they stay apart.
    fn size(&self, path: &str, of: &Inferred) -> Option<SizeEstimate>;
}

/// Knows nothing of any size.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unknown;

impl Sizes for Unknown {
    fn size(&self, _: &str, _: &Inferred) -> Option<SizeEstimate> {
        None
    }
}

/// Returns the estimate for an expression.
pub fn estimate(checked: &Checked, sizes: &dyn Sizes) -> CostEstimate {
    let mut estimator = Estimator {
        checked,
        ast: &checked.ast,
        sizes,
        scope: Vec::new(),
    };
    estimator.node(checked.ast.root()).cost
}

/// A field, an index or a name (cel-go `common/cost.go`, as the constants below).
const SELECT: CostEstimate = CostEstimate::fixed(1);
/// Making a list.
const LIST: CostEstimate = CostEstimate::fixed(10);
/// Making a map.
const MAP: CostEstimate = CostEstimate::fixed(30);
/// Making a message.
const MESSAGE: CostEstimate = CostEstimate::fixed(40);
/// Calling what costs no more than that.
const CALL: CostEstimate = CostEstimate::fixed(1);
const NOTHING: CostEstimate = CostEstimate::fixed(0);
/// The size of numbers, booleans, timestamps and durations.
const SCALAR: SizeEstimate = SizeEstimate::fixed(1);

/// What is known of a node.
#[derive(Debug, Clone)]
struct Estimated {
    cost: CostEstimate,
    /// The size of its value.
    size: Option<SizeEstimate>,
    /// The sizes of what its value holds.
    entries: Option<Entries>,
    /// Where its value comes from; empty if it is computed.
    path: Rc<str>,
}

impl Estimated {
    fn computed(cost: CostEstimate, size: Option<SizeEstimate>, entries: Option<Entries>) -> Self {
        Estimated {
            cost,
            size,
            entries,
            path: Rc::default(),
        }
    }

    fn size(&self) -> SizeEstimate {
        self.size.unwrap_or(SizeEstimate::UNKNOWN)
    }
}

/// The sizes of what a list or map holds.
#[derive(Debug, Clone, Copy)]
struct Entries {
    container: Container,
    key: SizeEstimate,
    value: SizeEstimate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    List,
    Map,
}

impl Entries {
    /// What both lie in; nothing is known if nothing is of one of them.
    fn union(first: Option<Entries>, second: Option<Entries>) -> Option<Entries> {
        let (first, second) = (first?, second?);
        Some(Entries {
            container: first.container,
            key: first.key.union(second.key),
            value: first.value.union(second.value),
        })
    }
}

/// The union of the sizes so far and that of one more.
fn join(sizes: Option<SizeEstimate>, one: &Estimated) -> Option<SizeEstimate> {
    Some(sizes.map_or(one.size(), |sizes| sizes.union(one.size())))
}

/// The variable of a macro.
#[derive(Debug)]
struct Local<'e> {
    name: &'e str,
    path: Rc<str>,
    size: Option<SizeEstimate>,
    entries: Option<Entries>,
}

struct Estimator<'e> {
    checked: &'e Checked,
    ast: &'e Ast,
    sizes: &'e dyn Sizes,
    /// The variables of the macros around, outermost first.
    scope: Vec<Local<'e>>,
}

impl<'e> Estimator<'e> {
    fn node(&mut self, id: NodeId) -> Estimated {
        let ast = self.ast;
        match ast.expr(id) {
            Expr::Literal(literal) => {
                Estimated::computed(NOTHING, Some(size_of_literal(literal)), None)
            }
            Expr::Ident(name) => {
                self.named(name.trim_start_matches('.'), &self.checked.type_of(id))
            }
            Expr::Select(select) => self.select(id, select),
            Expr::OptSelect(select) => {
                // `_?._(operand, 'field')`
                let cost = self.node(select.operand).cost.plus(CALL);
                Estimated::computed(cost, self.size_without_path(id), None)
            }
            Expr::Has(select) => {
                let cost = match self.checked.reference(id) {
                    Reference::Variable(_) => SELECT,
                    _ => self.node(select.operand).cost,
                };
                Estimated::computed(cost, self.size_without_path(id), None)
            }
            Expr::Call(call) if operator::is_operator(&call.function) => self.operator(id, call),
            Expr::Call(call) => self.call(id, call),
            Expr::List(items) => self.list(items),
            Expr::Map(entries) => self.map(entries),
            Expr::Struct(message) => {
                let fields = message
                    .fields
                    .iter()
                    .map(|field| self.node(field.value).cost);
                let cost = fields.fold(MESSAGE, CostEstimate::plus);
                Estimated::computed(cost, self.size_without_path(id), None)
            }
            Expr::Fold(fold) => self.fold(fold),
            Expr::OptMap(map) => self.opt_map(id, map),
            Expr::Bind(bind) => self.bind(bind),
        }
    }

    fn local(&self, name: &str) -> Option<&Local<'e>> {
        self.scope.iter().rev().find(|local| local.name == name)
    }

    fn named(&self, name: &str, inferred: &Inferred) -> Estimated {
        let (path, size, entries) = match self.local(name) {
            Some(local) => (Rc::clone(&local.path), local.size, local.entries),
            None => (name.into(), None, None),
        };
        Estimated {
            cost: SELECT,
            size: self.size(&path, inferred).or(size),
            entries,
            path,
        }
    }

    fn select(&mut self, id: NodeId, select: &Select) -> Estimated {
        let inferred = self.checked.type_of(id);
        let (cost, path) = match self.checked.reference(id) {
            // The checker makes it one name.
            Reference::Slot(_) | Reference::Type(_) => {
                let name = self.ast.qualified_name(id).unwrap_or_default();
                (SELECT, name.trim_start_matches('.').into())
            }
            // `variables` has a type, with the policy's variables for fields.
            Reference::Variable(_) => (
                SELECT.plus(SELECT),
                format!("variables.{}", select.field).into(),
            ),
            _ => {
                let operand = self.node(select.operand);
                let cost = match self.checked.type_of(select.operand) {
                    Inferred::Map(..)
                    | Inferred::Message(_)
                    | Inferred::Simple(Type::Object(_)) => operand.cost.plus(SELECT),
                    _ => operand.cost,
                };
                (cost, joined(&operand.path, &select.field))
            }
        };
        Estimated {
            cost,
            size: self.size(&path, &inferred),
            entries: None,
            path,
        }
    }

    fn list(&mut self, items: &[Item]) -> Estimated {
        let (mut cost, mut value) = (LIST, None);
        for item in items {
            let item = self.node(item.value);
            cost = cost.plus(item.cost);
            value = join(value, &item);
        }
        let entries = Entries {
            container: Container::List,
            key: SizeEstimate::fixed(1),
            value: value.unwrap_or_default(),
        };
        Estimated::computed(cost, Some(count(items.len())), Some(entries))
    }

    fn map(&mut self, entries: &[Entry]) -> Estimated {
        let (mut cost, mut keys, mut values) = (MAP, None, None);
        for entry in entries {
            let key = self.node(entry.key);
            keys = join(keys, &key);
            let value = self.node(entry.value);
            values = join(values, &value);
            cost = cost.plus(key.cost).plus(value.cost);
        }
        let size = count(entries.len());
        let entries = Entries {
            container: Container::Map,
            key: keys.unwrap_or_default(),
            value: values.unwrap_or_default(),
        };
        Estimated::computed(cost, Some(size), Some(entries))
    }

    fn call(&mut self, id: NodeId, call: &Call) -> Estimated {
        let Reference::Overloads(overloads) = self.checked.reference(id) else {
            return Estimated::computed(NOTHING, None, None);
        };
        // A namespace before the name is no receiver, and has no type.
        let is_member = overloads
            .first()
            .is_some_and(|overload| overload.style == super::function::Style::Member);
        let nodes: Vec<NodeId> = call
            .target
            .filter(|_| is_member)
            .into_iter()
            .chain(call.arguments.iter().copied())
            .collect();
        let estimated: Vec<Estimated> = nodes.iter().map(|node| self.node(*node)).collect();
        let sum = estimated
            .iter()
            .fold(NOTHING, |sum, argument| sum.plus(argument.cost));
        if call.function.trim_start_matches('.') == "dyn" {
            let argument = estimated.first();
            let size = argument.and_then(|argument| argument.size);
            let entries = argument.and_then(|argument| argument.entries);
            return Estimated::computed(sum.plus(CALL), size, entries);
        }
        let types: Vec<Inferred> = nodes
            .iter()
            .map(|node| self.checked.type_of(*node))
            .collect();
        let arguments: Vec<Argument<'_>> = nodes
            .iter()
            .zip(&estimated)
            .zip(&types)
            .map(|((node, estimated), inferred)| Argument {
                inferred,
                size: estimated.size(),
                literal: match self.ast.expr(*node) {
                    Expr::Literal(literal) => Some(literal),
                    _ => None,
                },
                path: &estimated.path,
                sizes: self.sizes,
            })
            .collect();
        let mut all = Overloads::default();
        for overload in overloads {
            all.add((overload.estimate)(&arguments));
            all.size = all.size.or_else(|| self.size_without_path(id));
        }
        Estimated::computed(sum.plus(all.cost()), all.size, None)
    }

    /// What is known of the size of a value that is computed: what its type says.
    fn size_without_path(&self, id: NodeId) -> Option<SizeEstimate> {
        self.size("", &self.checked.type_of(id))
    }

    fn size(&self, path: &str, inferred: &Inferred) -> Option<SizeEstimate> {
        let known = self.sizes.size(path, inferred);
        known.or_else(|| is_scalar(inferred).then_some(SCALAR))
    }
}

/// The estimate that covers those of all overloads that may be called.
#[derive(Default)]
struct Overloads {
    cost: Option<CostEstimate>,
    size: Option<SizeEstimate>,
}

impl Overloads {
    fn add(&mut self, call: CallEstimate) {
        self.cost = Some(self.cost.map_or(call.cost, |cost| cost.union(call.cost)));
        if let Some(size) = call.size {
            self.size = Some(self.size.map_or(size, |known| known.union(size)));
        }
    }

    fn cost(&self) -> CostEstimate {
        self.cost.unwrap_or_default()
    }
}

fn joined(path: &str, step: &str) -> Rc<str> {
    match path {
        "" => step.into(),
        path => format!("{path}.{step}").into(),
    }
}

fn count(length: usize) -> SizeEstimate {
    SizeEstimate::fixed(u64::try_from(length).unwrap_or(u64::MAX))
}

fn size_of_literal(literal: &Literal) -> SizeEstimate {
    match literal {
        Literal::String(text) => count(text.chars().count()),
        Literal::Bytes(bytes) => count(bytes.len()),
        _ => SCALAR,
    }
}

/// Says whether all values of a type are equally large (cel-go `checker/cost.go`, `isScalar`).
fn is_scalar(inferred: &Inferred) -> bool {
    match inferred {
        Inferred::Simple(simple) | Inferred::Wrapper(simple) => matches!(
            simple,
            Type::Bool | Type::Int | Type::Uint | Type::Double | Type::Duration | Type::Timestamp
        ),
        Inferred::Optional(inner) => is_scalar(inner),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
