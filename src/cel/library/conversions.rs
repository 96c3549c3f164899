//! Conversions between the standard types: cel-go `common/stdlib/standard.go` and the
//! `ConvertToType` methods of `common/types`.

use std::fmt;

use bumpalo::collections::String as ArenaString;

use super::super::error::Result;
use super::super::function::{Call, Function, cost};
use super::super::types::Type;
use super::super::value::number::{format_double, parse_double};
use super::super::value::time::TimestampError;
use super::super::value::{Duration, Timestamp, Value};
use super::standard::identity;
use super::{cidr, global, ip, no_such_overload, static_cost};

/// 2^63 as a double; every double below it and above -2^63 is an int.
const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
/// 2^64 as a double.
const TWO_TO_64: f64 = 18_446_744_073_709_551_616.0;

/// The functions.
pub static FUNCTIONS: &[Function] = &[
    Function {
        name: "bool",
        doc: "Converts a value to a bool; `1`, `t`, `T`, `true`, `TRUE`, `True` and their opposites are read.",
        overloads: &[
            global(
                "bool_to_bool",
                &[Type::Bool],
                Type::Bool,
                identity,
                cost::one,
            ),
            global(
                "string_to_bool",
                &[Type::String],
                Type::Bool,
                to_bool,
                cost::one,
            ),
        ],
        examples: &[
            ("bool('True')", "true"),
            ("bool('f')", "false"),
            (
                "bool('yes')",
                "error: type conversion error from 'string' to 'bool'",
            ),
        ],
    },
    Function {
        name: "bytes",
        doc: "Converts a value to bytes; strings are written in UTF-8.",
        overloads: &[
            global(
                "bytes_to_bytes",
                &[Type::Bytes],
                Type::Bytes,
                identity,
                cost::one,
            ),
            global(
                "string_to_bytes",
                &[Type::String],
                Type::Bytes,
                to_bytes,
                cost::traverse_first,
            )
            .estimated(static_cost::string_to_bytes),
        ],
        examples: &[("bytes('é') == b'\\303\\251'", "true")],
    },
    Function {
        name: "double",
        doc: "Converts a value to a double; strings as Go's `strconv.ParseFloat` reads them.",
        overloads: &[
            global(
                "double_to_double",
                &[Type::Double],
                Type::Double,
                identity,
                cost::one,
            ),
            global(
                "int64_to_double",
                &[Type::Int],
                Type::Double,
                to_double,
                cost::one,
            ),
            global(
                "string_to_double",
                &[Type::String],
                Type::Double,
                to_double,
                cost::one,
            ),
            global(
                "uint64_to_double",
                &[Type::Uint],
                Type::Double,
                to_double,
                cost::one,
            ),
        ],
        examples: &[
            ("double('1.23')", "1.23"),
            ("double(123u)", "123.0"),
            ("double('0x1p-2')", "0.25"),
            (
                "double('1e400')",
                "error: type conversion error from 'string' to 'double'",
            ),
        ],
    },
    Function {
        name: "duration",
        doc: "Converts a value to a duration; strings as Go's `time.ParseDuration` reads them.",
        overloads: &[
            global(
                "duration_to_duration",
                &[Type::Duration],
                Type::Duration,
                identity,
                cost::one,
            ),
            global(
                "int64_to_duration",
                &[Type::Int],
                Type::Duration,
                to_duration,
                cost::one,
            ),
            global(
                "string_to_duration",
                &[Type::String],
                Type::Duration,
                to_duration,
                cost::one,
            ),
        ],
        examples: &[
            ("duration('1h2m3s') == duration('3723s')", "true"),
            (
                "duration(dyn('1d'))",
                "error: type conversion error from 'string' to 'google.protobuf.Duration'",
            ),
        ],
    },
    Function {
        name: "int",
        doc: "Converts a value to an int: doubles toward zero, timestamps to seconds since the epoch, durations to nanoseconds.",
        overloads: &[
            global(
                "int64_to_int64",
                &[Type::Int],
                Type::Int,
                identity,
                cost::one,
            ),
            global(
                "double_to_int64",
                &[Type::Double],
                Type::Int,
                to_int,
                cost::one,
            ),
            global(
                "duration_to_int64",
                &[Type::Duration],
                Type::Int,
                to_int,
                cost::one,
            ),
            global(
                "string_to_int64",
                &[Type::String],
                Type::Int,
                to_int,
                cost::one,
            ),
            global(
                "timestamp_to_int64",
                &[Type::Timestamp],
                Type::Int,
                to_int,
                cost::one,
            ),
            global(
                "uint64_to_int64",
                &[Type::Uint],
                Type::Int,
                to_int,
                cost::one,
            ),
        ],
        examples: &[
            ("int('-456')", "-456"),
            ("int(123.9)", "123"),
            ("int(duration('1s'))", "1000000000"),
            ("int(timestamp('1970-01-01T00:00:01Z'))", "1"),
            ("int(9.3e18)", "error: integer overflow"),
            (
                "int('1.5')",
                "error: type conversion error from 'string' to 'int'",
            ),
        ],
    },
    Function {
        name: "string",
        doc: "Converts a value to a string.",
        overloads: &[
            global(
                "string_to_string",
                &[Type::String],
                Type::String,
                identity,
                cost::one,
            ),
            global(
                "bool_to_string",
                &[Type::Bool],
                Type::String,
                to_string,
                cost::one,
            ),
            global(
                "bytes_to_string",
                &[Type::Bytes],
                Type::String,
                to_string,
                cost::traverse_first,
            )
            .estimated(static_cost::bytes_to_string),
            global(
                "double_to_string",
                &[Type::Double],
                Type::String,
                to_string,
                cost::one,
            ),
            global(
                "duration_to_string",
                &[Type::Duration],
                Type::String,
                to_string,
                cost::one,
            ),
            global(
                "int64_to_string",
                &[Type::Int],
                Type::String,
                to_string,
                cost::one,
            ),
            global(
                "timestamp_to_string",
                &[Type::Timestamp],
                Type::String,
                to_string,
                cost::one,
            ),
            global(
                "uint64_to_string",
                &[Type::Uint],
                Type::String,
                to_string,
                cost::one,
            ),
            global(
                "ip_to_string",
                &[ip::IP],
                Type::String,
                to_string,
                cost::one,
            )
            .since(30),
            global(
                "cidr_to_string",
                &[cidr::CIDR],
                Type::String,
                to_string,
                cost::one,
            )
            .since(30),
        ],
        examples: &[
            ("string(-1.23e4)", "'-12300'"),
            ("string(1000000.0)", "'1e+06'"),
            ("string(duration('1h30m'))", "'5400s'"),
            (
                "string(timestamp('2024-01-01T00:00:00+02:00'))",
                "'2024-01-01T00:00:00+02:00'",
            ),
            ("string(ip('::0001'))", "'::1'"),
            (
                "string(b'\\377')",
                "error: invalid UTF-8 in bytes, cannot convert to string",
            ),
        ],
    },
    Function {
        name: "timestamp",
        doc: "Converts a value to a timestamp: RFC 3339 or seconds since the epoch, in the years 1 to 9999.",
        overloads: &[
            global(
                "timestamp_to_timestamp",
                &[Type::Timestamp],
                Type::Timestamp,
                identity,
                cost::one,
            ),
            global(
                "int64_to_timestamp",
                &[Type::Int],
                Type::Timestamp,
                to_timestamp,
                cost::one,
            ),
            global(
                "string_to_timestamp",
                &[Type::String],
                Type::Timestamp,
                to_timestamp,
                cost::one,
            ),
        ],
        examples: &[
            ("timestamp(1) == timestamp('1970-01-01T00:00:01Z')", "true"),
            ("timestamp(dyn(253402300800))", "error: timestamp overflow"),
        ],
    },
    Function {
        name: "uint",
        doc: "Converts a value to a uint: doubles toward zero.",
        overloads: &[
            global(
                "uint64_to_uint64",
                &[Type::Uint],
                Type::Uint,
                identity,
                cost::one,
            ),
            global(
                "double_to_uint64",
                &[Type::Double],
                Type::Uint,
                to_uint,
                cost::one,
            ),
            global(
                "int64_to_uint64",
                &[Type::Int],
                Type::Uint,
                to_uint,
                cost::one,
            ),
            global(
                "string_to_uint64",
                &[Type::String],
                Type::Uint,
                to_uint,
                cost::one,
            ),
        ],
        examples: &[
            ("uint('123')", "123u"),
            ("uint(123.9)", "123u"),
            ("uint(-1)", "error: unsigned integer overflow"),
            (
                "uint('+1')",
                "error: type conversion error from 'string' to 'uint'",
            ),
        ],
    },
];

fn to_bool<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::String("1" | "t" | "T" | "true" | "TRUE" | "True")] => Ok(Value::Bool(true)),
        [Value::String("0" | "f" | "F" | "false" | "FALSE" | "False")] => Ok(Value::Bool(false)),
        [value] => not_convertible(call, value, &Type::Bool),
        _ => no_such_overload(call),
    }
}

fn to_bytes<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::String(text)] => Ok(Value::Bytes(text.as_bytes())),
        _ => no_such_overload(call),
    }
}

fn to_double<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::Int(value)] => Ok(Value::Double(*value as f64)),
        [Value::Uint(value)] => Ok(Value::Double(*value as f64)),
        [value @ Value::String(text)] => match parse_double(text) {
            Some(double) => Ok(Value::Double(double)),
            None => not_convertible(call, value, &Type::Double),
        },
        _ => no_such_overload(call),
    }
}

fn to_duration<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [value @ Value::String(text)] => match Duration::parse(text) {
            Some(duration) => Ok(Value::Duration(duration)),
            None => not_convertible(call, value, &Type::Duration),
        },
        // Declared and always an error: cel-go has no conversion behind the overload.
        [value @ Value::Int(_)] => not_convertible(call, value, &Type::Duration),
        _ => no_such_overload(call),
    }
}

fn to_int<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let overflow = || Err(call.fault("integer overflow"));
    match arguments {
        [Value::Double(value)] if *value > -TWO_TO_63 && *value < TWO_TO_63 => {
            Ok(Value::Int(*value as i64))
        }
        [Value::Double(_)] => overflow(),
        [Value::Uint(value)] => {
            i64::try_from(*value).map_or_else(|_| overflow(), |value| Ok(Value::Int(value)))
        }
        [Value::Duration(duration)] => Ok(Value::Int(duration.nanos)),
        [Value::Timestamp(timestamp)] => Ok(Value::Int(timestamp.seconds)),
        [value @ Value::String(text)] => match text.parse() {
            Ok(int) => Ok(Value::Int(int)),
            Err(_) => not_convertible(call, value, &Type::Int),
        },
        _ => no_such_overload(call),
    }
}

fn to_uint<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let overflow = || Err(call.fault("unsigned integer overflow"));
    match arguments {
        [Value::Double(value)] if *value >= 0.0 && *value < TWO_TO_64 => {
            Ok(Value::Uint(*value as u64))
        }
        [Value::Double(_)] => overflow(),
        [Value::Int(value)] => {
            u64::try_from(*value).map_or_else(|_| overflow(), |value| Ok(Value::Uint(value)))
        }
        [value @ Value::String(text)] => {
            // Rust reads a plus sign here, Go does not.
            match text.parse() {
                Ok(uint) if !text.starts_with('+') => Ok(Value::Uint(uint)),
                _ => not_convertible(call, value, &Type::Uint),
            }
        }
        _ => no_such_overload(call),
    }
}

fn to_string<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::Bool(value)] => Ok(Value::String(if *value { "true" } else { "false" })),
        [Value::Bytes(bytes)] => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Value::String(text)),
            Err(_) => Err(call.fault("invalid UTF-8 in bytes, cannot convert to string")),
        },
        [Value::Double(value)] => Ok(print(call, format_double(*value))),
        [Value::Duration(value)] => Ok(print(call, value)),
        [Value::Int(value)] => Ok(print(call, value)),
        [Value::Timestamp(value)] => Ok(print(call, value)),
        [Value::Uint(value)] => Ok(print(call, value)),
        [Value::Ip(value)] => Ok(print(call, value)),
        [Value::Cidr(value)] => Ok(print(call, value)),
        _ => no_such_overload(call),
    }
}

fn to_timestamp<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let overflow = || Err(call.fault("timestamp overflow"));
    match arguments {
        [Value::Int(seconds)] => match Timestamp::from_seconds(*seconds) {
            Some(timestamp) => Ok(Value::Timestamp(timestamp)),
            None => overflow(),
        },
        [value @ Value::String(text)] => match Timestamp::parse(text) {
            Ok(timestamp) => Ok(Value::Timestamp(timestamp)),
            Err(TimestampError::Range) => overflow(),
            Err(TimestampError::Syntax) => not_convertible(call, value, &Type::Timestamp),
        },
        _ => no_such_overload(call),
    }
}

/// Prints a value into the arena.
pub(super) fn print<'a>(call: &Call<'a>, value: impl fmt::Display) -> Value<'a> {
    let mut text = ArenaString::new_in(call.arena);
    // Writing to an arena's string cannot fail.
    let _ = fmt::Write::write_fmt(&mut text, format_args!("{value}"));
    Value::String(text.into_bump_str())
}

fn not_convertible<'a>(call: &Call<'a>, value: &Value<'a>, to: &Type) -> Result<'a> {
    let from = value.type_name();
    Err(call.fault(&format!("type conversion error from '{from}' to '{to}'")))
}
