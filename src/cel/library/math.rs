//! Arithmetic beyond the operators: cel-go's `ext/math.go` (version 2), an extension of Kubernetes'
//! language.
//!
//! `math.greatest` and `math.least` are macros (`macros.rs`); `math.@max` and `math.@min` are what
//! they stand for. No call has a cost of its own upstream, so each costs one.

use std::cmp::Ordering;

use super::super::error::Result;
use super::super::function::{Body, Call, Function, Overload, cost};
use super::super::types::Type;
use super::super::value::{List, Value};
use super::standard::identity;
use super::{global, no_such_overload};

/// The functions of this library.
pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "math.@max",
        doc: "Returns the greatest of some numbers.",
        overloads: &[
            of("math_@max_double", &[Type::Double], Type::Double, identity),
            of("math_@max_int", &[Type::Int], Type::Int, identity),
            of("math_@max_uint", &[Type::Uint], Type::Uint, identity),
            of("math_@max_double_double", DOUBLES, Type::Double, max),
            of("math_@max_int_int", INTS, Type::Int, max),
            of("math_@max_uint_uint", UINTS, Type::Uint, max),
            of(
                "math_@max_int_uint",
                &[Type::Int, Type::Uint],
                Type::Dyn,
                max,
            ),
            of(
                "math_@max_int_double",
                &[Type::Int, Type::Double],
                Type::Dyn,
                max,
            ),
            of(
                "math_@max_double_int",
                &[Type::Double, Type::Int],
                Type::Dyn,
                max,
            ),
            of(
                "math_@max_double_uint",
                &[Type::Double, Type::Uint],
                Type::Dyn,
                max,
            ),
            of(
                "math_@max_uint_int",
                &[Type::Uint, Type::Int],
                Type::Dyn,
                max,
            ),
            of(
                "math_@max_uint_double",
                &[Type::Uint, Type::Double],
                Type::Dyn,
                max,
            ),
            of(
                "math_@max_list_double",
                &[Type::List(&Type::Double)],
                Type::Double,
                max_of,
            ),
            of(
                "math_@max_list_int",
                &[Type::List(&Type::Int)],
                Type::Int,
                max_of,
            ),
            of(
                "math_@max_list_uint",
                &[Type::List(&Type::Uint)],
                Type::Uint,
                max_of,
            ),
        ],
        examples: &[
            ("math.greatest(1, 2)", "2"),
            ("math.greatest(-42.0, -21.5, -100.0)", "-21.5"),
            (
                "math.greatest(dyn('a'))",
                "error: no such overload: math.@max(string)",
            ),
        ],
    },
    Function {
        name: "math.@min",
        doc: "Returns the least of some numbers.",
        overloads: &[
            of("math_@min_double", &[Type::Double], Type::Double, identity),
            of("math_@min_int", &[Type::Int], Type::Int, identity),
            of("math_@min_uint", &[Type::Uint], Type::Uint, identity),
            of("math_@min_double_double", DOUBLES, Type::Double, min),
            of("math_@min_int_int", INTS, Type::Int, min),
            of("math_@min_uint_uint", UINTS, Type::Uint, min),
            of(
                "math_@min_int_uint",
                &[Type::Int, Type::Uint],
                Type::Dyn,
                min,
            ),
            of(
                "math_@min_int_double",
                &[Type::Int, Type::Double],
                Type::Dyn,
                min,
            ),
            of(
                "math_@min_double_int",
                &[Type::Double, Type::Int],
                Type::Dyn,
                min,
            ),
            of(
                "math_@min_double_uint",
                &[Type::Double, Type::Uint],
                Type::Dyn,
                min,
            ),
            of(
                "math_@min_uint_int",
                &[Type::Uint, Type::Int],
                Type::Dyn,
                min,
            ),
            of(
                "math_@min_uint_double",
                &[Type::Uint, Type::Double],
                Type::Dyn,
                min,
            ),
            of(
                "math_@min_list_double",
                &[Type::List(&Type::Double)],
                Type::Double,
                min_of,
            ),
            of(
                "math_@min_list_int",
                &[Type::List(&Type::Int)],
                Type::Int,
                min_of,
            ),
            of(
                "math_@min_list_uint",
                &[Type::List(&Type::Uint)],
                Type::Uint,
                min_of,
            ),
        ],
        examples: &[
            ("math.least(1, -2.5)", "-2.5"),
            ("math.least([3u, 2u])", "2u"),
            (
                "math.least(dyn([]))",
                "error: math.@min(list) argument must not be empty",
            ),
        ],
    },
    Function {
        name: "math.ceil",
        doc: "Returns the least whole number that is not below a double.",
        overloads: &[of("math_ceil_double", &[Type::Double], Type::Double, ceil)],
        examples: &[("math.ceil(1.2)", "2.0"), ("math.ceil(-1.2)", "-1.0")],
    },
    Function {
        name: "math.floor",
        doc: "Returns the greatest whole number that is not above a double.",
        overloads: &[of(
            "math_floor_double",
            &[Type::Double],
            Type::Double,
            floor,
        )],
        examples: &[("math.floor(1.2)", "1.0"), ("math.floor(-1.2)", "-2.0")],
    },
    Function {
        name: "math.round",
        doc: "Returns the whole number nearest to a double; of two the one farther from zero.",
        overloads: &[of(
            "math_round_double",
            &[Type::Double],
            Type::Double,
            round,
        )],
        examples: &[
            ("math.round(1.2)", "1.0"),
            ("math.round(1.5)", "2.0"),
            ("math.round(-1.5)", "-2.0"),
        ],
    },
    Function {
        name: "math.trunc",
        doc: "Returns a double without its fraction.",
        overloads: &[of(
            "math_trunc_double",
            &[Type::Double],
            Type::Double,
            trunc,
        )],
        examples: &[("math.trunc(1.3)", "1.0"), ("math.trunc(-1.3)", "-1.0")],
    },
    Function {
        name: "math.abs",
        doc: "Returns a number without its sign.",
        overloads: &[
            of("math_abs_double", &[Type::Double], Type::Double, abs),
            of("math_abs_int", &[Type::Int], Type::Int, abs),
            of("math_abs_uint", &[Type::Uint], Type::Uint, identity),
        ],
        examples: &[
            ("math.abs(-1)", "1"),
            ("math.abs(-1.5)", "1.5"),
            ("math.abs(-9223372036854775808)", "error: integer overflow"),
        ],
    },
    Function {
        name: "math.sign",
        doc: "Returns -1, 0 or 1, as a number is negative, zero or positive.",
        overloads: &[
            of("math_sign_double", &[Type::Double], Type::Double, sign),
            of("math_sign_int", &[Type::Int], Type::Int, sign),
            of("math_sign_uint", &[Type::Uint], Type::Uint, sign),
        ],
        examples: &[
            ("math.sign(-42)", "-1"),
            ("math.sign(0.0)", "0.0"),
            ("math.sign(42u)", "1u"),
        ],
    },
    Function {
        name: "math.isInf",
        doc: "Says whether a double is infinite.",
        overloads: &[of("math_isInf_double", &[Type::Double], Type::Bool, is_inf)],
        examples: &[
            ("math.isInf(1.0 / 0.0)", "true"),
            ("math.isInf(1.2)", "false"),
        ],
    },
    Function {
        name: "math.isNaN",
        doc: "Says whether a double is not a number.",
        overloads: &[of("math_isNaN_double", &[Type::Double], Type::Bool, is_nan)],
        examples: &[
            ("math.isNaN(0.0 / 0.0)", "true"),
            ("math.isNaN(1.2)", "false"),
        ],
    },
    Function {
        name: "math.isFinite",
        doc: "Says whether a double is a number and not infinite.",
        overloads: &[of(
            "math_isFinite_double",
            &[Type::Double],
            Type::Bool,
            is_finite,
        )],
        examples: &[
            ("math.isFinite(0.0 / 0.0)", "false"),
            ("math.isFinite(1.2)", "true"),
        ],
    },
    Function {
        name: "math.sqrt",
        doc: "Returns the square root of a number; of a negative one, what is not a number.",
        overloads: &[
            of("math_sqrt_double", &[Type::Double], Type::Double, sqrt),
            of("math_sqrt_int", &[Type::Int], Type::Double, sqrt),
            of("math_sqrt_uint", &[Type::Uint], Type::Double, sqrt),
        ],
        examples: &[
            ("math.sqrt(81)", "9.0"),
            ("math.sqrt(985.25)", "31.388692231439016"),
            ("math.isNaN(math.sqrt(-15))", "true"),
        ],
    },
    Function {
        name: "math.bitAnd",
        doc: "Returns the bits that two integers both have.",
        overloads: &[
            of("math_bitAnd_int_int", INTS, Type::Int, bit_and),
            of("math_bitAnd_uint_uint", UINTS, Type::Uint, bit_and),
        ],
        examples: &[("math.bitAnd(3u, 2u)", "2u"), ("math.bitAnd(-3, -5)", "-7")],
    },
    Function {
        name: "math.bitOr",
        doc: "Returns the bits that any of two integers has.",
        overloads: &[
            of("math_bitOr_int_int", INTS, Type::Int, bit_or),
            of("math_bitOr_uint_uint", UINTS, Type::Uint, bit_or),
        ],
        examples: &[("math.bitOr(1u, 2u)", "3u"), ("math.bitOr(-2, -4)", "-2")],
    },
    Function {
        name: "math.bitXor",
        doc: "Returns the bits that one of two integers has and the other has not.",
        overloads: &[
            of("math_bitXor_int_int", INTS, Type::Int, bit_xor),
            of("math_bitXor_uint_uint", UINTS, Type::Uint, bit_xor),
        ],
        examples: &[("math.bitXor(3u, 5u)", "6u"), ("math.bitXor(1, 3)", "2")],
    },
    Function {
        name: "math.bitNot",
        doc: "Returns the bits that an integer has not.",
        overloads: &[
            of("math_bitNot_int_int", &[Type::Int], Type::Int, bit_not),
            of("math_bitNot_uint_uint", &[Type::Uint], Type::Uint, bit_not),
        ],
        examples: &[
            ("math.bitNot(1)", "-2"),
            ("math.bitNot(0u)", "18446744073709551615u"),
        ],
    },
    Function {
        name: "math.bitShiftLeft",
        doc: "Returns an integer with its bits moved to the left; zero if by 64 or more.",
        overloads: &[
            of("math_bitShiftLeft_int_int", INTS, Type::Int, shift_left),
            of(
                "math_bitShiftLeft_uint_int",
                &[Type::Uint, Type::Int],
                Type::Uint,
                shift_left,
            ),
        ],
        examples: &[
            ("math.bitShiftLeft(1, 2)", "4"),
            ("math.bitShiftLeft(1u, 200)", "0u"),
            (
                "math.bitShiftLeft(1, -1)",
                "error: math.bitShiftLeft() negative offset: -1",
            ),
        ],
    },
    Function {
        name: "math.bitShiftRight",
        doc: "Returns an integer with its bits moved to the right, zeros moved in; zero if by 64 or \
              more.",
        overloads: &[
            of("math_bitShiftRight_int_int", INTS, Type::Int, shift_right),
            of(
                "math_bitShiftRight_uint_int",
                &[Type::Uint, Type::Int],
                Type::Uint,
                shift_right,
            ),
        ],
        examples: &[
            ("math.bitShiftRight(1024, 2)", "256"),
            ("math.bitShiftRight(-1, 63)", "1"),
            (
                "math.bitShiftRight(1u, -1)",
                "error: math.bitShiftRight() negative offset: -1",
            ),
        ],
    },
];

const DOUBLES: &[Type] = &[Type::Double, Type::Double];
const INTS: &[Type] = &[Type::Int, Type::Int];
const UINTS: &[Type] = &[Type::Uint, Type::Uint];

/// Declares an overload of this library.
const fn of(id: &'static str, params: &'static [Type], result: Type, body: Body) -> Overload {
    global(id, params, result, body, cost::one).extension()
}

fn max<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    pair(call, arguments, Ordering::Less)
}

fn min<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    pair(call, arguments, Ordering::Greater)
}

fn max_of<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    extreme(call, arguments, Ordering::Less)
}

fn min_of<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    extreme(call, arguments, Ordering::Greater)
}

/// The name of the function that replaces a number by one that it compares to as `replaced`.
fn name_of(replaced: Ordering) -> &'static str {
    match replaced {
        Ordering::Less => "math.@max",
        _ => "math.@min",
    }
}

fn pair<'a>(call: &Call<'a>, arguments: &[Value<'a>], replaced: Ordering) -> Result<'a> {
    let [first, second] = arguments else {
        return no_such_overload(call);
    };
    match first.compare_numbers(second) {
        Some(ordering) if ordering == replaced => Ok(*second),
        Some(_) => Ok(*first),
        None => {
            let message = format!("NaN values cannot be ordered: {}", name_of(replaced));
            Err(call.fault(&message))
        }
    }
}

/// The greatest or least item of a list. What cannot be compared is no overload, NaN too: upstream
/// loses the first error in the next comparison or in the type of the result.
fn extreme<'a>(call: &Call<'a>, arguments: &[Value<'a>], replaced: Ordering) -> Result<'a> {
    let [Value::List(list)] = arguments else {
        return no_such_overload(call);
    };
    let name = name_of(replaced);
    let Some(mut found) = list.get(0) else {
        return Err(call.fault(&format!("{name}(list) argument must not be empty")));
    };
    call.step(cost::size(&Value::List(*list)))?;
    for item in rest(list) {
        match found.compare_numbers(&item) {
            Some(ordering) if ordering == replaced => found = item,
            Some(_) => {}
            None => return Err(call.fault(&format!("no such overload: {name}"))),
        }
    }
    Ok(found)
}

fn rest<'a>(list: &List<'a>) -> impl Iterator<Item = Value<'a>> + use<'a> {
    list.iter().skip(1)
}

fn ceil<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    rounded(call, arguments, f64::ceil)
}

fn floor<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    rounded(call, arguments, f64::floor)
}

fn round<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    rounded(call, arguments, f64::round)
}

fn trunc<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    rounded(call, arguments, f64::trunc)
}

fn rounded<'a>(call: &Call<'a>, arguments: &[Value<'a>], round: fn(f64) -> f64) -> Result<'a> {
    match arguments {
        [Value::Double(value)] => Ok(Value::Double(round(*value))),
        _ => no_such_overload(call),
    }
}

fn abs<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::Double(value)] => Ok(Value::Double(value.abs())),
        [Value::Int(value)] => match value.checked_abs() {
            Some(value) => Ok(Value::Int(value)),
            None => Err(call.fault("integer overflow")),
        },
        _ => no_such_overload(call),
    }
}

fn sign<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::Double(value)] if value.is_nan() => Ok(Value::Double(*value)),
        [Value::Double(0.0)] => Ok(Value::Double(0.0)),
        [Value::Double(value)] => Ok(Value::Double(value.signum())),
        [Value::Int(value)] => Ok(Value::Int(value.signum())),
        [Value::Uint(value)] => Ok(Value::Uint((*value).min(1))),
        _ => no_such_overload(call),
    }
}

fn is_inf<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    asked(call, arguments, f64::is_infinite)
}

fn is_nan<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    asked(call, arguments, f64::is_nan)
}

fn is_finite<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    asked(call, arguments, f64::is_finite)
}

fn asked<'a>(call: &Call<'a>, arguments: &[Value<'a>], ask: fn(f64) -> bool) -> Result<'a> {
    match arguments {
        [Value::Double(value)] => Ok(Value::Bool(ask(*value))),
        _ => no_such_overload(call),
    }
}

fn sqrt<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let value = match arguments {
        [Value::Double(value)] => *value,
        [Value::Int(value)] => *value as f64,
        [Value::Uint(value)] => *value as f64,
        _ => return no_such_overload(call),
    };
    Ok(Value::Double(value.sqrt()))
}

fn bit_and<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    bits(call, arguments, |a, b| a & b)
}

fn bit_or<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    bits(call, arguments, |a, b| a | b)
}

fn bit_xor<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    bits(call, arguments, |a, b| a ^ b)
}

fn bits<'a>(call: &Call<'a>, arguments: &[Value<'a>], combine: fn(u64, u64) -> u64) -> Result<'a> {
    match arguments {
        [Value::Int(a), Value::Int(b)] => {
            let bits = combine(a.cast_unsigned(), b.cast_unsigned());
            Ok(Value::Int(bits.cast_signed()))
        }
        [Value::Uint(a), Value::Uint(b)] => Ok(Value::Uint(combine(*a, *b))),
        _ => no_such_overload(call),
    }
}

fn bit_not<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::Int(value)] => Ok(Value::Int(!value)),
        [Value::Uint(value)] => Ok(Value::Uint(!value)),
        _ => no_such_overload(call),
    }
}

fn shift_left<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    shifted(call, arguments, ("math.bitShiftLeft()", u64::checked_shl))
}

fn shift_right<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    shifted(call, arguments, ("math.bitShiftRight()", u64::checked_shr))
}

/// Moves bits; `None` if by 64 or more.
type Shift = fn(u64, u32) -> Option<u64>;

fn shifted<'a>(
    call: &Call<'a>,
    arguments: &[Value<'a>],
    (name, shift): (&str, Shift),
) -> Result<'a> {
    let (bits, by) = match arguments {
        [Value::Int(value), Value::Int(by)] => (value.cast_unsigned(), *by),
        [Value::Uint(value), Value::Int(by)] => (*value, *by),
        _ => return no_such_overload(call),
    };
    if by < 0 {
        return Err(call.fault(&format!("{name} negative offset: {by}")));
    }
    let moved = u32::try_from(by).ok().and_then(|by| shift(bits, by));
    let moved = moved.unwrap_or_default();
    Ok(match arguments.first() {
        Some(Value::Int(_)) => Value::Int(moved.cast_signed()),
        _ => Value::Uint(moved),
    })
}
