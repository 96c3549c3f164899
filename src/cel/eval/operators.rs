//! The operators that evaluate both operands: equality, order, arithmetic, membership.
//!
//! Overflow is an error, comparisons of numbers cross types, and other mixtures have no overload
//! (cel-go `common/types/*.go`).

use std::cmp::Ordering;

use crate::cel::ast::NodeId;
use crate::cel::check::operators::OperatorCost;
use crate::cel::error::{FaultKind, Result};
use crate::cel::function::cost;
use crate::cel::plan::{Binary, Node};
use crate::cel::value::{Duration, List, Value};

use super::{Evaluation, Observer};

impl<'a, O: Observer<'a>> Evaluation<'a, '_, O> {
    /// Applies an operator to two results; costs are charged even if one of them failed.
    pub(super) fn binary(
        &mut self,
        node: NodeId,
        (binary, operator_cost): (Binary, OperatorCost),
        (left, right): (Result<'a>, Result<'a>),
    ) -> Result<'a> {
        let size = |side: &Result<'a>| side.as_ref().map_or(1, cost::size);
        let units = match operator_cost {
            // apiserver `pkg/cel/library/cost.go`, `CallCost`: equality of Kubernetes' own types.
            OperatorCost::Shorter
                if binary == Binary::Equal && left.as_ref().is_ok_and(Value::is_opaque) =>
            {
                1
            }
            OperatorCost::One => 1,
            OperatorCost::SecondSize => size(&right),
            OperatorCost::Both => {
                cost::scaled(size(&left).saturating_add(size(&right)), cost::TRAVERSAL)
            }
            OperatorCost::Shorter => match (&left, &right) {
                (Ok(left), Ok(right)) => cost::comparison(left, right),
                _ => cost::scaled(size(&left).min(size(&right)), cost::TRAVERSAL),
            },
        };
        self.charge(units)?;
        let (left, right) = (left?, right?);
        // The types of Kubernetes' libraries compare with themselves and null only.
        let is_foreign = left.is_opaque()
            && !matches!(right, Value::Null)
            && left.type_name() != right.type_name();
        let value = match binary {
            // `!=` is whatever `==` does not say is true.
            Binary::NotEqual if is_foreign => Some(Value::Bool(true)),
            Binary::Equal if is_foreign => None,
            Binary::Equal => Some(Value::Bool(self.call.equals(&left, &right)?)),
            Binary::NotEqual => Some(Value::Bool(!self.call.equals(&left, &right)?)),
            Binary::Less => return self.ordered(node, (left, right), Ordering::is_lt),
            Binary::LessEqual => return self.ordered(node, (left, right), Ordering::is_le),
            Binary::Greater => return self.ordered(node, (left, right), Ordering::is_gt),
            Binary::GreaterEqual => return self.ordered(node, (left, right), Ordering::is_ge),
            Binary::Add => return self.add(node, left, right),
            Binary::Subtract => return self.subtract(node, left, right),
            Binary::Multiply => match (left, right) {
                (Value::Int(a), Value::Int(b)) => return self.int(node, a.checked_mul(b)),
                (Value::Uint(a), Value::Uint(b)) => return self.uint(node, a.checked_mul(b)),
                (Value::Double(a), Value::Double(b)) => Some(Value::Double(a * b)),
                _ => None,
            },
            Binary::Divide => return self.divide(node, left, right),
            Binary::Modulo => return self.modulo(node, left, right),
            Binary::In => match right {
                Value::List(list) => Some(Value::Bool(self.call.contains(&list, &left)?)),
                Value::Map(map) => Some(Value::Bool(map.get(&left).is_some())),
                _ => None,
            },
        };
        value.ok_or_else(|| self.raise(node, FaultKind::NoSuchOverload))
    }

    fn ordered(
        &self,
        node: NodeId,
        (left, right): (Value<'a>, Value<'a>),
        holds: fn(Ordering) -> bool,
    ) -> Result<'a> {
        let ordering = match (left, right) {
            (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
            (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(&b)),
            (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(&b)),
            (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(&b)),
            (
                Value::Int(_) | Value::Uint(_) | Value::Double(_),
                Value::Int(_) | Value::Uint(_) | Value::Double(_),
            ) => match left.compare_numbers(&right) {
                Some(ordering) => Some(ordering),
                None => {
                    let message = "NaN values cannot be ordered";
                    return Err(self.raise(node, FaultKind::Message(message)));
                }
            },
            _ => None,
        };
        match ordering {
            Some(ordering) => Ok(Value::Bool(holds(ordering))),
            None => Err(self.raise(node, FaultKind::NoSuchOverload)),
        }
    }

    fn add(&mut self, node: NodeId, left: Value<'a>, right: Value<'a>) -> Result<'a> {
        match (left, right) {
            (Value::Int(a), Value::Int(b)) => self.int(node, a.checked_add(b)),
            (Value::Uint(a), Value::Uint(b)) => self.uint(node, a.checked_add(b)),
            (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a + b)),
            (Value::String(a), Value::String(b)) => {
                self.call.reserve(a.len() + b.len())?;
                let mut joined = bumpalo::collections::String::with_capacity_in(
                    a.len() + b.len(),
                    self.call.arena,
                );
                joined.push_str(a);
                joined.push_str(b);
                Ok(Value::String(joined.into_bump_str()))
            }
            (Value::Bytes(a), Value::Bytes(b)) => {
                self.call.reserve(a.len() + b.len())?;
                Ok(Value::Bytes(self.call.arena.alloc_slice_fill_iter(
                    (0..a.len() + b.len()).map(|at| {
                        a.get(at)
                            .or_else(|| b.get(at - a.len()))
                            .copied()
                            .unwrap_or_default()
                    }),
                )))
            }
            (Value::List(a), other @ Value::List(_)) if a.is_empty() => Ok(other),
            (whole @ Value::List(_), Value::List(b)) if b.is_empty() => Ok(whole),
            (Value::List(a), Value::List(b)) => {
                self.call
                    .reserve((a.len() + b.len()) * size_of::<Value<'a>>())?;
                let mut joined =
                    bumpalo::collections::Vec::with_capacity_in(a.len() + b.len(), self.call.arena);
                joined.extend(a.iter());
                joined.extend(b.iter());
                Ok(Value::List(List::Joined(joined.into_bump_slice())))
            }
            (Value::Duration(a), Value::Duration(b)) => {
                self.duration(node, a.nanos.checked_add(b.nanos))
            }
            (Value::Timestamp(at), Value::Duration(by))
            | (Value::Duration(by), Value::Timestamp(at)) => match at.checked_add(by) {
                Some(sum) => Ok(Value::Timestamp(sum)),
                None => Err(self.raise(node, FaultKind::Message("timestamp overflow"))),
            },
            _ => Err(self.raise(node, FaultKind::NoSuchOverload)),
        }
    }

    fn subtract(&mut self, node: NodeId, left: Value<'a>, right: Value<'a>) -> Result<'a> {
        match (left, right) {
            (Value::Int(a), Value::Int(b)) => self.int(node, a.checked_sub(b)),
            (Value::Uint(a), Value::Uint(b)) => self.uint(node, a.checked_sub(b)),
            (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a - b)),
            (Value::Duration(a), Value::Duration(b)) => {
                self.duration(node, a.nanos.checked_sub(b.nanos))
            }
            (Value::Timestamp(at), Value::Duration(by)) => {
                let earlier = by.nanos.checked_neg().map(|nanos| Duration { nanos });
                match earlier.and_then(|by| at.checked_add(by)) {
                    Some(difference) => Ok(Value::Timestamp(difference)),
                    None => Err(self.raise(node, FaultKind::Message("timestamp overflow"))),
                }
            }
            (Value::Timestamp(a), Value::Timestamp(b)) => {
                self.duration(node, a.checked_since(b).map(|since| since.nanos))
            }
            _ => Err(self.raise(node, FaultKind::NoSuchOverload)),
        }
    }

    fn divide(&mut self, node: NodeId, left: Value<'a>, right: Value<'a>) -> Result<'a> {
        match (left, right) {
            (Value::Int(_), Value::Int(0)) | (Value::Uint(_), Value::Uint(0)) => {
                Err(self.raise(node, FaultKind::Message("division by zero")))
            }
            (Value::Int(a), Value::Int(b)) => self.int(node, a.checked_div(b)),
            (Value::Uint(a), Value::Uint(b)) => self.uint(node, a.checked_div(b)),
            (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a / b)),
            _ => Err(self.raise(node, FaultKind::NoSuchOverload)),
        }
    }

    fn modulo(&mut self, node: NodeId, left: Value<'a>, right: Value<'a>) -> Result<'a> {
        match (left, right) {
            (Value::Int(_), Value::Int(0)) | (Value::Uint(_), Value::Uint(0)) => {
                Err(self.raise(node, FaultKind::Message("modulus by zero")))
            }
            (Value::Int(a), Value::Int(b)) => self.int(node, a.checked_rem(b)),
            (Value::Uint(a), Value::Uint(b)) => self.uint(node, a.checked_rem(b)),
            _ => Err(self.raise(node, FaultKind::NoSuchOverload)),
        }
    }

    pub(super) fn negate(&mut self, node: NodeId, operand: &'a Node) -> Result<'a> {
        let operand = self.eval(operand);
        self.charge(1)?;
        match operand? {
            Value::Int(value) => self.int(node, value.checked_neg()),
            Value::Double(value) => Ok(Value::Double(-value)),
            Value::Duration(value) => self.duration(node, value.nanos.checked_neg()),
            _ => Err(self.raise(node, FaultKind::NoSuchOverload)),
        }
    }

    fn int(&self, node: NodeId, value: Option<i64>) -> Result<'a> {
        match value {
            Some(value) => Ok(Value::Int(value)),
            None => Err(self.raise(node, FaultKind::Message("integer overflow"))),
        }
    }

    fn uint(&self, node: NodeId, value: Option<u64>) -> Result<'a> {
        match value {
            Some(value) => Ok(Value::Uint(value)),
            None => Err(self.raise(node, FaultKind::Message("unsigned integer overflow"))),
        }
    }

    fn duration(&self, node: NodeId, nanos: Option<i64>) -> Result<'a> {
        match nanos {
            Some(nanos) => Ok(Value::Duration(Duration { nanos })),
            None => Err(self.raise(node, FaultKind::Message("integer overflow"))),
        }
    }
}
