//! The macros over lists and maps.
//!
//! Each does in one loop what cel-go's expansion does with an accumulator (`parser/macro.go`,
//! `ext/comprehensions.go`), and charges what the nodes of that expansion cost: the constants below
//! count them.

use crate::cel::ast::{FoldKind, NodeId};
use crate::cel::error::{Error, FaultKind, Plain, Result};
use crate::cel::plan::{Fold, Variables};
use crate::cel::value::entries::{Entries, Keys};
use crate::cel::value::{List, Map, Value};

use super::{Evaluation, LIST_COST, Observer, Turn};

/// `@not_strictly_false(accu)`: the call and the accumulator.
const ALL_CONDITION: u64 = 2;
/// `@not_strictly_false(!accu)`: two calls and the accumulator.
const EXISTS_CONDITION: u64 = 3;
/// The accumulator in `accu && p`, `accu || p`, and as the result.
const ACCUMULATOR: u64 = 1;
/// `accu + 1`
const COUNT: u64 = 2;
/// `accu == 1`
const IS_ONE: u64 = 2;
/// A call: of `+` in `accu + [value]`, of `cel.@mapInsert(accu, …)`.
const CALL: u64 = 1;
/// The key in `cel.@mapInsert(accu, key, value)`.
const KEY: u64 = 1;

/// What is iterated over, item by item.
#[derive(Clone, Copy)]
enum Range<'a> {
    List(List<'a>),
    Map(Map<'a>),
}

impl<'a, O: Observer<'a>> Evaluation<'a, '_, O> {
    pub(super) fn fold(&mut self, node: NodeId, fold: &'a Fold) -> Result<'a> {
        let range = match self.eval(&fold.range)? {
            Value::List(list) => Range::List(list),
            Value::Map(map) => Range::Map(map),
            other => return Err(self.not_iterable(node, &other)),
        };
        match fold.kind {
            FoldKind::All => self.quantify(node, fold, range, Quantifier::All),
            FoldKind::Exists => self.quantify(node, fold, range, Quantifier::Exists),
            FoldKind::ExistsOne => self.exists_one(node, fold, range),
            FoldKind::Map | FoldKind::Filter => self.collect(node, fold, range),
            FoldKind::TransformMap | FoldKind::TransformMapEntry => {
                self.transform_map(node, fold, range)
            }
        }
    }

    fn not_iterable(&self, node: NodeId, value: &Value<'a>) -> Error<'a> {
        let name = match value {
            Value::Null => "types.Null",
            Value::Bool(_) => "types.Bool",
            Value::Int(_) => "types.Int",
            Value::Uint(_) => "types.Uint",
            Value::Double(_) => "types.Double",
            Value::String(_) => "types.String",
            Value::Bytes(_) => "types.Bytes",
            other => other.type_name(),
        };
        let message = format!("got '{name}', expected iterable type");
        self.raise(
            node,
            FaultKind::Message(self.call.arena.alloc_str(&message)),
        )
    }

    fn length(range: Range<'a>) -> usize {
        match range {
            Range::List(list) => list.len(),
            Range::Map(map) => map.len(),
        }
    }

    /// Sets the variables of a turn.
    fn bind(&mut self, node: NodeId, fold: &Fold, range: Range<'a>, at: usize) -> Result<'a, ()> {
        self.tick()?;
        let (first, second) = match range {
            Range::List(list) => {
                let item = list.get(at).unwrap_or(Value::Null);
                match fold.variables {
                    Variables::One => (item, Value::Null),
                    Variables::Two => (Value::Int(i64::try_from(at).unwrap_or(i64::MAX)), item),
                }
            }
            Range::Map(map) => map.entry_at(at).unwrap_or((Value::Null, Value::Null)),
        };
        self.set_local(fold.local, first);
        if fold.variables == Variables::Two {
            self.set_local(fold.local + 1, second);
        }
        self.observer.turn(
            node,
            Turn {
                at,
                of: Self::length(range),
                variables: (first, second),
            },
        );
        Ok(())
    }

    /// Evaluates the predicate of a turn; a value that is no boolean is an error.
    fn predicate(&mut self, node: NodeId, fold: &'a Fold) -> Result<'a, bool> {
        match &fold.predicate {
            None => Ok(true),
            Some(predicate) => match self.eval(predicate)? {
                Value::Bool(value) => Ok(value),
                _ => Err(self.raise(node, FaultKind::NoSuchOverload)),
            },
        }
    }

    fn quantify(
        &mut self,
        node: NodeId,
        fold: &'a Fold,
        range: Range<'a>,
        quantifier: Quantifier,
    ) -> Result<'a> {
        let (condition, decisive) = match quantifier {
            Quantifier::All => (ALL_CONDITION, false),
            Quantifier::Exists => (EXISTS_CONDITION, true),
        };
        let mut error: Option<Error<'a>> = None;
        let mut is_decided = false;
        for at in 0..Self::length(range) {
            self.bind(node, fold, range, at)?;
            if is_decided {
                self.charge_steps(condition)?;
                break;
            }
            self.charge_steps(condition + ACCUMULATOR)?;
            match self.predicate(node, fold) {
                Ok(value) => is_decided = value == decisive,
                Err(fault) if fault.is_fatal() => return Err(fault),
                Err(fault) => error = error.or(Some(fault)),
            }
        }
        self.charge(ACCUMULATOR)?;
        match error {
            _ if is_decided => Ok(Value::Bool(decisive)),
            Some(fault) => Err(fault),
            None => Ok(Value::Bool(!decisive)),
        }
    }

    fn exists_one(&mut self, node: NodeId, fold: &'a Fold, range: Range<'a>) -> Result<'a> {
        let mut error: Option<Error<'a>> = None;
        let mut count = 0_usize;
        for at in 0..Self::length(range) {
            self.bind(node, fold, range, at)?;
            match self.predicate(node, fold) {
                Ok(true) => {
                    self.charge_steps(COUNT)?;
                    count += 1;
                }
                Ok(false) => {}
                Err(fault) if fault.is_fatal() => return Err(fault),
                // A later error replaces the accumulator, and so an earlier error.
                Err(fault) => error = Some(fault),
            }
        }
        self.charge_steps(IS_ONE)?;
        match error {
            Some(fault) => Err(fault),
            None => Ok(Value::Bool(count == 1)),
        }
    }

    /// `map`, `filter` and `transformList`.
    fn collect(&mut self, node: NodeId, fold: &'a Fold, range: Range<'a>) -> Result<'a> {
        let mut items = bumpalo::collections::Vec::new_in(self.call.arena);
        // `[value]` is a constant itself if the value is one.
        let single = match &fold.transform {
            Some(transform) if transform.is_constant() => 0,
            _ => LIST_COST,
        };
        let mut error: Option<Error<'a>> = None;
        for at in 0..Self::length(range) {
            self.bind(node, fold, range, at)?;
            let item = match self.predicate(node, fold) {
                Ok(false) => continue,
                Err(fault) if fault.is_fatal() => return Err(fault),
                Err(fault) => {
                    error = Some(fault);
                    continue;
                }
                Ok(true) => {
                    self.charge(ACCUMULATOR)?;
                    match &fold.transform {
                        Some(transform) => self.eval(transform),
                        None => {
                            self.charge(ACCUMULATOR)?;
                            self.item(node, fold)
                        }
                    }
                }
            };
            self.charge(single)?;
            self.charge(CALL)?;
            match item {
                Ok(item) => items.push(item),
                Err(fault) if fault.is_fatal() => return Err(fault),
                Err(fault) => error = error.or(Some(fault)),
            }
        }
        self.charge(ACCUMULATOR)?;
        match error {
            Some(fault) => Err(fault),
            None => Ok(Value::List(List::Values(items.into_bump_slice()))),
        }
    }

    /// The variable as a path reads it.
    fn item(&self, node: NodeId, fold: &Fold) -> Result<'a> {
        match self.locals.get(fold.local) {
            Some(Value::Optional(Some(inner))) => {
                let inner = self.native(node, **inner)?;
                Ok(Value::Optional(Some(self.call.arena.alloc(inner))))
            }
            value => Ok(value.copied().unwrap_or(Value::Null)),
        }
    }

    fn transform_map(&mut self, node: NodeId, fold: &'a Fold, range: Range<'a>) -> Result<'a> {
        let mut entries: Vec<(Value<'a>, Value<'a>)> = Vec::new();
        let mut keys = Keys::default();
        let mut error: Option<Error<'a>> = None;
        for at in 0..Self::length(range) {
            self.bind(node, fold, range, at)?;
            match self.predicate(node, fold) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(fault) if fault.is_fatal() => return Err(fault),
                Err(fault) => {
                    error = Some(fault);
                    continue;
                }
            }
            self.charge(ACCUMULATOR)?;
            let is_pair = fold.kind == FoldKind::TransformMap;
            if error.is_some() && is_pair {
                // Nothing is evaluated behind the accumulator, the first of three arguments.
                continue;
            }
            if is_pair {
                self.charge(KEY)?;
            }
            let Some(transform) = &fold.transform else {
                continue;
            };
            let value = self.eval(transform);
            self.charge(CALL)?;
            let inserted = if is_pair {
                let key = self.locals.get(fold.local).copied().unwrap_or(Value::Null);
                value.map(|value| entries.push((key, value)))
            } else {
                value.and_then(|value| self.insert_all(node, (&mut entries, &mut keys), &value))
            };
            match inserted {
                Ok(()) => {}
                Err(fault) if fault.is_fatal() => return Err(fault),
                Err(fault) => error = error.or(Some(fault)),
            }
        }
        self.charge(ACCUMULATOR)?;
        match error {
            Some(fault) => Err(fault),
            None => Ok(Value::Map(Entries::new_in(self.call.arena, &entries))),
        }
    }

    fn insert_all(
        &self,
        node: NodeId,
        (entries, keys): (&mut Vec<(Value<'a>, Value<'a>)>, &mut Keys<'a>),
        value: &Value<'a>,
    ) -> Result<'a, ()> {
        let Value::Map(map) = value else {
            return Err(self.raise(node, FaultKind::NoSuchOverload));
        };
        for (key, value) in map.iter() {
            if !keys.insert(&key) {
                let message = format!("insert failed: key {} already exists", Plain(key));
                let message = self.call.arena.alloc_str(&message);
                return Err(self.raise(node, FaultKind::Message(message)));
            }
            entries.push((key, value));
        }
        Ok(())
    }
}

/// Which items must satisfy the predicate.
#[derive(Clone, Copy)]
enum Quantifier {
    All,
    Exists,
}
