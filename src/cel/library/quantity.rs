//! Kubernetes' quantities: apiserver `pkg/cel/library/quantity.go`.

use super::super::error::Result;
use super::super::function::{Call, Function, cost};
use super::super::types::Type;
use super::super::value::Value;
use super::super::value::quantity::{Quantity, QuantityError};
use super::{global, member, no_such_overload, static_cost};

/// The type of quantities.
pub(super) const QUANTITY: Type = Type::Opaque("kubernetes.Quantity");

/// Kubernetes has quantities since 1.28.
pub(super) const SINCE: u8 = 28;

/// The functions; comparisons are declared with those of versions.
pub static FUNCTIONS: &[Function] = &[
    Function {
        name: "quantity",
        doc: "Reads a quantity.",
        overloads: &[global(
            "string_to_quantity",
            &[Type::String],
            QUANTITY,
            quantity,
            cost::traverse_first,
        )
        .estimated(static_cost::traverse_first)
        .since(SINCE)],
        examples: &[
            ("quantity('1.5G') == quantity('1500M')", "true"),
            (
                "quantity('200K')",
                "error: unable to parse quantity's suffix",
            ),
            (
                "quantity('Three')",
                "error: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
            ),
        ],
    },
    Function {
        name: "isQuantity",
        doc: "Says whether a string is a quantity.",
        overloads: &[global(
            "is_quantity_string",
            &[Type::String],
            Type::Bool,
            is_quantity,
            cost::traverse_first,
        )
        .estimated(static_cost::traverse_first)
        .since(SINCE)],
        examples: &[
            ("isQuantity('1.3Gi')", "true"),
            ("isQuantity('1,3G')", "false"),
        ],
    },
    Function {
        name: "sign",
        doc: "Returns 1 for a positive quantity, -1 for a negative one and 0 for zero.",
        overloads: &[global("quantity_sign", &[QUANTITY], Type::Int, sign, cost::one).since(SINCE)],
        examples: &[("sign(quantity('-1k'))", "-1")],
    },
    Function {
        name: "asApproximateFloat",
        doc: "Returns a quantity as the nearest double.",
        overloads: &[member(
            "quantity_get_float",
            &[QUANTITY],
            Type::Double,
            as_double,
            cost::one,
        )
        .since(SINCE)],
        examples: &[("quantity('1500m').asApproximateFloat()", "1.5")],
    },
    Function {
        name: "asInteger",
        doc: "Returns a quantity as an int; one written with a fraction is none, even `1.0`.",
        overloads: &[member(
            "quantity_get_int",
            &[QUANTITY],
            Type::Int,
            as_integer,
            cost::one,
        )
        .since(SINCE)],
        examples: &[
            ("quantity('50k').asInteger()", "50000"),
            (
                "quantity('1.0').asInteger()",
                "error: cannot convert value to integer",
            ),
        ],
    },
    Function {
        name: "isInteger",
        doc: "Says whether `asInteger` would succeed.",
        overloads: &[member(
            "quantity_is_integer",
            &[QUANTITY],
            Type::Bool,
            is_integer,
            cost::one,
        )
        .since(SINCE)],
        examples: &[
            ("quantity('50k').isInteger()", "true"),
            ("quantity('1000m').isInteger()", "false"),
        ],
    },
    Function {
        name: "add",
        doc: "Returns the sum of a quantity and another one or an int.",
        overloads: &[
            member(
                "quantity_add",
                &[QUANTITY, QUANTITY],
                QUANTITY,
                add,
                cost::one,
            )
            .since(SINCE),
            member(
                "quantity_add_int",
                &[QUANTITY, Type::Int],
                QUANTITY,
                add,
                cost::one,
            )
            .since(SINCE),
        ],
        examples: &[
            (
                "quantity('50k').add(quantity('20k')) == quantity('70k')",
                "true",
            ),
            ("quantity('50k').add(20) == quantity('50020')", "true"),
        ],
    },
    Function {
        name: "sub",
        doc: "Returns the difference of a quantity and another one or an int.",
        overloads: &[
            member(
                "quantity_sub",
                &[QUANTITY, QUANTITY],
                QUANTITY,
                sub,
                cost::one,
            )
            .since(SINCE),
            member(
                "quantity_sub_int",
                &[QUANTITY, Type::Int],
                QUANTITY,
                sub,
                cost::one,
            )
            .since(SINCE),
        ],
        examples: &[("quantity('50k').sub(20000) == quantity('30k')", "true")],
    },
];

fn quantity<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::String(text)] => match Quantity::parse(text) {
            Ok(quantity) => Ok(Value::Quantity(call.arena.alloc(quantity))),
            Err(error) => Err(call.fault(&error.to_string())),
        },
        _ => no_such_overload(call),
    }
}

fn is_quantity<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        // DIVERGES: what `quantity` finds too large is a quantity all the same (`large-quantity`).
        [Value::String(text)] => Ok(Value::Bool(matches!(
            Quantity::parse(text),
            Ok(_) | Err(QuantityError::TooLarge)
        ))),
        _ => no_such_overload(call),
    }
}

fn sign<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::Quantity(quantity)] => Ok(Value::Int(quantity.sign())),
        _ => no_such_overload(call),
    }
}

fn as_double<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::Quantity(quantity)] => Ok(Value::Double(quantity.as_double())),
        _ => no_such_overload(call),
    }
}

fn as_integer<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::Quantity(quantity)] => match quantity.as_integer() {
            Some(int) => Ok(Value::Int(int)),
            None => Err(call.fault("cannot convert value to integer")),
        },
        _ => no_such_overload(call),
    }
}

fn is_integer<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::Quantity(quantity)] => Ok(Value::Bool(quantity.as_integer().is_some())),
        _ => no_such_overload(call),
    }
}

fn add<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    combine(call, arguments, Quantity::checked_add)
}

fn sub<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    combine(call, arguments, Quantity::checked_sub)
}

fn combine<'a>(
    call: &Call<'a>,
    arguments: &[Value<'a>],
    operation: fn(Quantity<'a>, Quantity<'a>) -> Option<Quantity<'a>>,
) -> Result<'a> {
    let (a, b) = match arguments {
        [Value::Quantity(a), Value::Quantity(b)] => (**a, **b),
        [Value::Quantity(a), Value::Int(b)] => (**a, Quantity::from(*b)),
        _ => return no_such_overload(call),
    };
    match operation(a, b) {
        Some(quantity) => Ok(Value::Quantity(call.arena.alloc(quantity))),
        None => Err(call.fault("quantity is too large")),
    }
}
