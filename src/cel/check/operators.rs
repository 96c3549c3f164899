//! The signatures of the operators, and what a call of each costs (cel-go `common/stdlib`,
//! `interpreter/runtimecost.go`).

use crate::cel::ast::operator;
use crate::cel::types::Type;

/// One signature of an operator.
#[derive(Debug, Clone, Copy)]
pub(in crate::cel) struct Signature {
    pub(in crate::cel) params: &'static [Type],
    pub(in crate::cel) result: Type,
    pub(in crate::cel) cost: OperatorCost,
}

/// What applying an operator costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OperatorCost {
    /// One.
    #[default]
    One,
    /// A traversal of the shorter operand.
    Shorter,
    /// A traversal of both operands.
    Both,
    /// The size of the second operand.
    SecondSize,
}

const A: Type = Type::Param("A");
const B: Type = Type::Param("B");
const LIST_A: Type = Type::List(&A);
const MAP_A_B: Type = Type::Map(&A, &B);
const OPTIONAL_A: Type = Type::Optional(&A);

const fn one(params: &'static [Type], result: Type) -> Signature {
    Signature {
        params,
        result,
        cost: OperatorCost::One,
    }
}

const fn costing(params: &'static [Type], result: Type, cost: OperatorCost) -> Signature {
    Signature {
        params,
        result,
        cost,
    }
}

static ORDER: [Signature; 14] = [
    one(&[Type::Bool, Type::Bool], Type::Bool),
    one(&[Type::Int, Type::Int], Type::Bool),
    one(&[Type::Int, Type::Double], Type::Bool),
    one(&[Type::Int, Type::Uint], Type::Bool),
    one(&[Type::Uint, Type::Uint], Type::Bool),
    one(&[Type::Uint, Type::Double], Type::Bool),
    one(&[Type::Uint, Type::Int], Type::Bool),
    one(&[Type::Double, Type::Double], Type::Bool),
    one(&[Type::Double, Type::Int], Type::Bool),
    one(&[Type::Double, Type::Uint], Type::Bool),
    costing(
        &[Type::String, Type::String],
        Type::Bool,
        OperatorCost::Shorter,
    ),
    costing(
        &[Type::Bytes, Type::Bytes],
        Type::Bool,
        OperatorCost::Shorter,
    ),
    one(&[Type::Timestamp, Type::Timestamp], Type::Bool),
    one(&[Type::Duration, Type::Duration], Type::Bool),
];

static EQUALITY: [Signature; 1] = [costing(&[A, A], Type::Bool, OperatorCost::Shorter)];

static LOGIC: [Signature; 1] = [one(&[Type::Bool, Type::Bool], Type::Bool)];

static NOT: [Signature; 1] = [one(&[Type::Bool], Type::Bool)];

static NEGATE: [Signature; 2] = [
    one(&[Type::Double], Type::Double),
    one(&[Type::Int], Type::Int),
];

static CONDITIONAL: [Signature; 1] = [one(&[Type::Bool, A, A], A)];

static ADD: [Signature; 9] = [
    costing(&[Type::Bytes, Type::Bytes], Type::Bytes, OperatorCost::Both),
    one(&[Type::Double, Type::Double], Type::Double),
    one(&[Type::Duration, Type::Duration], Type::Duration),
    one(&[Type::Duration, Type::Timestamp], Type::Timestamp),
    one(&[Type::Timestamp, Type::Duration], Type::Timestamp),
    one(&[Type::Int, Type::Int], Type::Int),
    one(&[LIST_A, LIST_A], LIST_A),
    costing(
        &[Type::String, Type::String],
        Type::String,
        OperatorCost::Both,
    ),
    one(&[Type::Uint, Type::Uint], Type::Uint),
];

static SUBTRACT: [Signature; 6] = [
    one(&[Type::Double, Type::Double], Type::Double),
    one(&[Type::Duration, Type::Duration], Type::Duration),
    one(&[Type::Int, Type::Int], Type::Int),
    one(&[Type::Timestamp, Type::Duration], Type::Timestamp),
    one(&[Type::Timestamp, Type::Timestamp], Type::Duration),
    one(&[Type::Uint, Type::Uint], Type::Uint),
];

static MULTIPLY: [Signature; 3] = [
    one(&[Type::Double, Type::Double], Type::Double),
    one(&[Type::Int, Type::Int], Type::Int),
    one(&[Type::Uint, Type::Uint], Type::Uint),
];

static MODULO: [Signature; 2] = [
    one(&[Type::Int, Type::Int], Type::Int),
    one(&[Type::Uint, Type::Uint], Type::Uint),
];

static IN: [Signature; 2] = [
    costing(&[A, LIST_A], Type::Bool, OperatorCost::SecondSize),
    one(&[A, MAP_A_B], Type::Bool),
];

static INDEX: [Signature; 4] = [
    one(&[LIST_A, Type::Int], A),
    one(&[MAP_A_B, A], B),
    one(&[Type::Optional(&LIST_A), Type::Int], OPTIONAL_A),
    one(&[Type::Optional(&MAP_A_B), A], Type::Optional(&B)),
];

static OPT_INDEX: [Signature; 4] = [
    one(&[LIST_A, Type::Int], OPTIONAL_A),
    one(&[Type::Optional(&LIST_A), Type::Int], OPTIONAL_A),
    one(&[MAP_A_B, A], Type::Optional(&B)),
    one(&[Type::Optional(&MAP_A_B), A], Type::Optional(&B)),
];

/// Returns the signatures of an operator, in cel-go's order.
pub(in crate::cel) fn signatures(name: &str) -> &'static [Signature] {
    match name {
        operator::AND | operator::OR => &LOGIC,
        operator::NOT => &NOT,
        operator::NEGATE => &NEGATE,
        operator::CONDITIONAL => &CONDITIONAL,
        operator::EQUALS | operator::NOT_EQUALS => &EQUALITY,
        operator::LESS | operator::LESS_EQUALS | operator::GREATER | operator::GREATER_EQUALS => {
            &ORDER
        }
        operator::ADD => &ADD,
        operator::SUBTRACT => &SUBTRACT,
        operator::MULTIPLY | operator::DIVIDE => &MULTIPLY,
        operator::MODULO => &MODULO,
        operator::IN => &IN,
        operator::INDEX => &INDEX,
        operator::OPT_INDEX => &OPT_INDEX,
        _ => &[],
    }
}

/// Returns an operator as it is written, for messages.
pub(super) fn written(name: &str) -> String {
    match name {
        operator::INDEX => "[]".to_owned(),
        operator::OPT_INDEX => "[?]".to_owned(),
        operator::CONDITIONAL => "?:".to_owned(),
        operator::IN => "in".to_owned(),
        other => other.replace('_', ""),
    }
}
