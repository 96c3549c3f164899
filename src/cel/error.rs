//! Why an expression has no value.

use std::fmt;

use super::value::Value;

/// The fault of an evaluation; a pointer into the arena, so that results stay small.
pub type Error<'a> = &'a Fault<'a>;

/// What evaluation gives.
pub type Result<'a, T = Value<'a>> = std::result::Result<T, Error<'a>>;

/// A fault, with the node that raised it.
#[derive(Debug, Clone, Copy)]
pub struct Fault<'a> {
    /// What went wrong.
    pub kind: FaultKind<'a>,
    /// The node of the syntax tree; `u32::MAX` until the evaluator fills it in.
    pub node: u32,
}

/// What went wrong.
#[derive(Debug, Clone, Copy)]
pub enum FaultKind<'a> {
    /// A map has no such key, or something that is no map was selected from.
    NoSuchKey(Value<'a>),
    /// A list has no such index.
    IndexOutOfBounds(Value<'a>),
    /// No overload takes arguments of these types.
    NoSuchOverload,
    /// A function refused its arguments, with its message.
    Message(&'a str),
    /// The expression cost more than its budget; never absorbed.
    CostExceeded,
    /// The request's time is up; never absorbed.
    DeadlineExceeded,
    /// Kubernetes' evaluator would break here, and refuse the whole expression; never absorbed.
    Internal,
    /// The expression made more than its budget of bytes; never absorbed.
    MemoryExceeded,
}

impl Fault<'_> {
    /// Says whether the fault ends the whole evaluation: `&&`, `||` and the macros do not absorb it.
    pub fn is_fatal(&self) -> bool {
        matches!(
            self.kind,
            FaultKind::CostExceeded
                | FaultKind::DeadlineExceeded
                | FaultKind::MemoryExceeded
                | FaultKind::Internal
        )
    }
}

/// The text is cel-go's, where it has one.
impl fmt::Display for Fault<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            FaultKind::NoSuchKey(key) => write!(formatter, "no such key: {}", Plain(key)),
            FaultKind::IndexOutOfBounds(index) => {
                write!(formatter, "index out of bounds: {}", Plain(index))
            }
            FaultKind::NoSuchOverload => formatter.write_str("no such overload"),
            FaultKind::Message(message) => formatter.write_str(message),
            FaultKind::CostExceeded => {
                formatter.write_str("operation cancelled: actual cost limit exceeded")
            }
            FaultKind::Internal => {
                formatter.write_str("internal error: argument of an unexpected type")
            }
            FaultKind::DeadlineExceeded => formatter.write_str("operation interrupted: deadline"),
            FaultKind::MemoryExceeded => {
                formatter.write_str("operation cancelled: memory limit exceeded")
            }
        }
    }
}

/// A value as Go's `%v` shows it in an error.
pub(super) struct Plain<'a>(pub(super) Value<'a>);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Null => formatter.write_str("null"),
            Value::Bool(value) => write!(formatter, "{value}"),
            Value::Int(value) => write!(formatter, "{value}"),
            Value::Uint(value) => write!(formatter, "{value}"),
            Value::Double(value) => write!(formatter, "{value}"),
            Value::String(value) => formatter.write_str(value),
            other => formatter.write_str(other.type_name()),
        }
    }
}
