//! Values known when an expression is planned.

use rustc_hash::FxHashSet;

use crate::cel::ast::Literal;
use crate::cel::value::{Duration, Timestamp, Value};

use super::{Node, Operation};

/// A value known when the expression is planned.
#[derive(Debug, Clone)]
pub(in crate::cel) enum Constant {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Box<str>),
    Bytes(Box<[u8]>),
    Duration(Duration),
    Timestamp(Timestamp),
    Type(&'static str),
}

/// The members of a list of constants, for `in`.
#[derive(Debug, Default)]
pub(in crate::cel) struct ConstantSet {
    pub(in crate::cel) strings: FxHashSet<Box<str>>,
    pub(in crate::cel) others: Vec<Constant>,
}

impl Constant {
    /// Returns the value; strings are borrowed from the program.
    #[inline]
    pub(in crate::cel) fn value(&self) -> Value<'_> {
        match self {
            Constant::Null => Value::Null,
            Constant::Bool(value) => Value::Bool(*value),
            Constant::Int(value) => Value::Int(*value),
            Constant::Uint(value) => Value::Uint(*value),
            Constant::Double(value) => Value::Double(*value),
            Constant::String(value) => Value::String(value),
            Constant::Bytes(value) => Value::Bytes(value),
            Constant::Duration(value) => Value::Duration(*value),
            Constant::Timestamp(value) => Value::Timestamp(*value),
            Constant::Type(name) => Value::Type(name),
        }
    }

    /// The constant of a value that is a scalar and no object of a library.
    pub(in crate::cel) fn of(value: &Value<'_>) -> Option<Constant> {
        Some(match value {
            Value::Null => Constant::Null,
            Value::Bool(value) => Constant::Bool(*value),
            Value::Int(value) => Constant::Int(*value),
            Value::Uint(value) => Constant::Uint(*value),
            Value::Double(value) => Constant::Double(*value),
            Value::String(value) => Constant::String((*value).into()),
            Value::Bytes(value) => Constant::Bytes((*value).into()),
            Value::Duration(value) => Constant::Duration(*value),
            Value::Timestamp(value) => Constant::Timestamp(*value),
            _ => return None,
        })
    }

    /// The value of a literal.
    pub(in crate::cel) fn literal(literal: &Literal) -> Self {
        match literal {
            Literal::Null => Constant::Null,
            Literal::Bool(value) => Constant::Bool(*value),
            Literal::Int(value) => Constant::Int(*value),
            Literal::Uint(value) => Constant::Uint(*value),
            Literal::Double(value) => Constant::Double(*value),
            Literal::String(value) => Constant::String(value.as_str().into()),
            Literal::Bytes(value) => Constant::Bytes(value.as_slice().into()),
        }
    }
}

impl ConstantSet {
    /// Says whether it has no members.
    pub(in crate::cel) fn is_empty(&self) -> bool {
        self.strings.is_empty() && self.others.is_empty()
    }

    /// The members of a list of scalars; `None` for anything else.
    pub(in crate::cel) fn of(list: &Node) -> Option<Self> {
        let Operation::List(items) = &list.operation else {
            return None;
        };
        let mut set = ConstantSet::default();
        for (item, _) in items {
            match &item.operation {
                Operation::Constant(Constant::String(text)) => {
                    set.strings.insert(text.clone());
                }
                Operation::Constant(
                    Constant::Bytes(_)
                    | Constant::Null
                    | Constant::Type(_)
                    | Constant::Duration(_)
                    | Constant::Timestamp(_),
                ) => return None,
                Operation::Constant(other) => set.others.push(other.clone()),
                _ => return None,
            }
        }
        Some(set)
    }

    pub(in crate::cel) fn contains(&self, value: &Value<'_>) -> bool {
        match value {
            Value::String(text) => self.strings.contains(*text),
            other => self.others.iter().any(|member| member.is(other)),
        }
    }
}

impl Constant {
    /// Says whether it is a value as members of constant lists are: of doubles only those that an integer
    /// can be, and only for that one integer.
    ///
    /// Semantics: cel-go `interpreter/planner.go`, `maybeOptimizeSetMembership`, and
    /// `common/types/overflow.go`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::float_cmp,
        reason = "the ranges are looked at before, and only what is the same number counts"
    )]
    fn is(&self, value: &Value<'_>) -> bool {
        const INT_END: f64 = 9_223_372_036_854_775_808.0;
        const UINT_END: f64 = 18_446_744_073_709_551_616.0;
        match (self, value) {
            (Constant::Double(member), Value::Int(value)) => {
                member.abs() < INT_END && member.trunc() == *member && *member as i64 == *value
            }
            (Constant::Double(member), Value::Uint(value)) => {
                let is_uint = *member >= 0.0 && *member < UINT_END;
                is_uint && member.trunc() == *member && *member as u64 == *value
            }
            _ => self.value().equals(value),
        }
    }
}
