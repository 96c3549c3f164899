//! `string.format`, as version 2 of the strings extension has it: cel-go `ext/formatting.go`.
//!
//! Doubles go through Go's `golang.org/x/text/message` for `en_US`: digits in groups of three, `∞`,
//! and for `%e` powers of ten written out, with the precision taken as a width.

use std::fmt::Write as _;

use super::super::error::Result;
use super::super::function::{Call, Function, cost};
use super::super::types::Type;
use super::super::value::number::format_double;
use super::super::value::quote::{quote, quote_bytes};
use super::super::value::{List, Map, Value};
use super::{member, no_such_overload, static_cost};

/// The functions.
pub static FUNCTIONS: &[Function] = &[Function {
    name: "format",
    doc: "Returns the string with its clauses (`%s %d %f %e %b %x %X %o`) replaced by the items of a list.",
    overloads: &[member(
        "string_format",
        &[Type::String, Type::List(&Type::Dyn)],
        Type::String,
        format,
        cost::traverse_first,
    )
    .estimated(static_cost::traverse_first)
    .since(29)],
    examples: &[
        (
            "'%s has %d items at %.2f'.format(['cart', 3, 1234.5])",
            "'cart has 3 items at 1,234.50'",
        ),
        (
            "'%s'.format([['a', 1.5, true]])",
            "'[\"a\", 1.500000, true]'",
        ),
        (
            "'%x %X %b %o'.format(['hi', 255, -5, 8u])",
            "'6869 FF -101 10'",
        ),
        ("'%e'.format([1500.0])", "'1.500000×10⁰³'"),
        (
            "'%d'.format([dyn('x')])",
            "error: error during formatting: decimal clause can only be used on integers, was given string",
        ),
        (
            "('%s %' + 's').format(['a'])",
            "error: index 1 out of range",
        ),
    ],
}];

/// Deepest nesting of lists and maps that is printed. Documents stay below
/// [`crate::json::MAX_DEPTH`], what expressions build around them below cel-go's limit of 250.
const MAX_DEPTH: usize = 500;

fn format<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    let [Value::String(template), Value::List(items)] = arguments else {
        return no_such_overload(call);
    };
    let mut output = Output {
        text: String::with_capacity(template.len() * 2),
        limit: call
            .memory_limit
            .saturating_sub(call.arena.allocated_bytes()),
    };
    let mut rest = *template;
    let mut next = 0;
    while let Some((before, after)) = rest.split_once('%') {
        output.text.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('%') {
            output.text.push('%');
            rest = after;
            continue;
        }
        let Some(item) = items.get(next) else {
            return Err(call.fault(&format!("index {next} out of range")));
        };
        next += 1;
        if rest.is_empty() {
            return Err(call.fault("unexpected end of string"));
        }
        let (clause, after) = match Clause::read(rest) {
            Ok(read) => read,
            Err(reason) => {
                return Err(call.fault(&format!("could not parse formatting clause: {reason}")));
            }
        };
        let written = output.clause(clause, &item);
        call.reserve(output.text.len())?;
        if let Err(reason) = written {
            return Err(call.fault(&format!("error during formatting: {reason}")));
        }
        rest = after;
    }
    output.text.push_str(rest);
    call.reserve(output.text.len())?;
    Ok(Value::String(call.arena.alloc_str(&output.text)))
}

/// What stands after a percent sign.
#[derive(Clone, Copy)]
enum Clause {
    String,
    Decimal,
    Fixed(Precision),
    Scientific(Precision),
    Binary,
    LowerHexadecimal,
    UpperHexadecimal,
    Octal,
}

type Precision = usize;

const DEFAULT_PRECISION: Precision = 6;

impl Clause {
    fn read(text: &str) -> std::result::Result<(Clause, &str), String> {
        let (precision, rest) = match text.strip_prefix('.') {
            Some(digits) => {
                let (precision, rest) = read_precision(digits)
                    .map_err(|reason| format!("error while parsing precision: {reason}"))?;
                (Some(precision), rest)
            }
            None => (None, text),
        };
        let precision = precision.unwrap_or(DEFAULT_PRECISION);
        let clause = match rest.as_bytes().first().copied().unwrap_or_default() {
            b's' => Clause::String,
            b'd' => Clause::Decimal,
            b'f' => Clause::Fixed(precision),
            b'e' => Clause::Scientific(precision),
            b'b' => Clause::Binary,
            b'x' => Clause::LowerHexadecimal,
            b'X' => Clause::UpperHexadecimal,
            b'o' => Clause::Octal,
            // Upstream shows the byte as if it were a character.
            byte => {
                let letter = char::from(byte);
                return Err(format!("unrecognized formatting clause \"{letter}\""));
            }
        };
        Ok((clause, rest.get(1..).unwrap_or_default()))
    }
}

fn read_precision(text: &str) -> std::result::Result<(Precision, &str), String> {
    let end = text
        .find(|letter: char| !letter.is_ascii_digit())
        .ok_or("could not find end of precision specifier")?;
    let (digits, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    let precision: i64 = digits.parse().map_err(|_| {
        let problem = if digits.is_empty() {
            "invalid syntax"
        } else {
            "value out of range"
        };
        let digits = quote(digits);
        format!(
            "error while converting precision to integer: strconv.Atoi: parsing {digits}: {problem}"
        )
    })?;
    Ok((usize::try_from(precision).unwrap_or(usize::MAX), rest))
}

/// Why a value cannot be printed.
type Formatted = std::result::Result<(), String>;

struct Output {
    text: String,
    /// Bytes that are left in the memory budget. Lists may hold one list many times, so that what is
    /// printed can be far larger than what is in memory.
    limit: usize,
}

impl Output {
    fn clause(&mut self, clause: Clause, value: &Value<'_>) -> Formatted {
        match clause {
            Clause::String => self.string(value, 0),
            Clause::Decimal => self.decimal(value),
            Clause::Fixed(precision) => {
                let name = "fixed-point";
                self.fixed(precision, double_of(name, value)?);
                Ok(())
            }
            Clause::Scientific(width) => {
                self.scientific(width, double_of("scientific", value)?);
                Ok(())
            }
            Clause::Binary => match value {
                Value::Bool(value) => self.integer(value, format_args!("{}", u8::from(*value))),
                Value::Int(int) => {
                    self.integer(int, format_args!("{}{:b}", minus(*int), int.unsigned_abs()))
                }
                Value::Uint(uint) => self.integer(uint, format_args!("{uint:b}")),
                _ => Err(refused(
                    "only integers and bools can be formatted as binary",
                    value,
                )),
            },
            Clause::Octal => match value {
                Value::Int(int) => {
                    self.integer(int, format_args!("{}{:o}", minus(*int), int.unsigned_abs()))
                }
                Value::Uint(uint) => self.integer(uint, format_args!("{uint:o}")),
                _ => Err(refused("octal clause can only be used on integers", value)),
            },
            Clause::LowerHexadecimal => self.hexadecimal(value, false),
            Clause::UpperHexadecimal => self.hexadecimal(value, true),
        }
    }

    /// Writes a number that is no double.
    fn integer<T>(&mut self, _: T, digits: std::fmt::Arguments<'_>) -> Formatted {
        // Writing to a String cannot fail.
        let _ = self.text.write_fmt(digits);
        Ok(())
    }

    fn hexadecimal(&mut self, value: &Value<'_>, upper: bool) -> Formatted {
        let start = self.text.len();
        match value {
            Value::String(text) => self.bytes(text.as_bytes()),
            Value::Bytes(bytes) => self.bytes(bytes),
            Value::Int(int) => {
                self.integer(int, format_args!("{}{:x}", minus(*int), int.unsigned_abs()))?;
            }
            Value::Uint(uint) => self.integer(uint, format_args!("{uint:x}"))?,
            _ => {
                let reason = "only integers, byte buffers, and strings can be formatted as hex";
                return Err(refused(reason, value));
            }
        }
        if upper && let Some(written) = self.text.get_mut(start..) {
            written.make_ascii_uppercase();
        }
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let _ = write!(self.text, "{byte:02x}");
        }
    }

    fn decimal(&mut self, value: &Value<'_>) -> Formatted {
        match value {
            Value::Int(int) => self.integer(int, format_args!("{int}")),
            Value::Uint(uint) => self.integer(uint, format_args!("{uint}")),
            _ => Err(refused(
                "decimal clause can only be used on integers",
                value,
            )),
        }
    }

    /// `%s` (`FormatString`).
    fn string(&mut self, value: &Value<'_>, depth: usize) -> Formatted {
        match value {
            Value::List(list) => return self.list(list, depth),
            Value::Map(map) => return self.map(map, depth),
            Value::Null => self.text.push_str("null"),
            Value::Bool(value) => self.text.push_str(if *value { "true" } else { "false" }),
            Value::Int(_) | Value::Uint(_) => return self.decimal(value),
            Value::Double(value) => self.text.push_str(&format_double(*value)),
            Value::String(text) => self.text.push_str(text),
            Value::Bytes(bytes) => self.text.push_str(utf8(bytes)?),
            Value::Duration(duration) => {
                let _ = write!(self.text, "{duration}");
            }
            Value::Timestamp(timestamp) => {
                let _ = write!(self.text, "{timestamp}");
            }
            Value::Type(name) => self.text.push_str(name),
            _ => {
                let reason = "string clause can only be used on strings, bools, bytes, ints, \
                    doubles, maps, lists, types, durations, and timestamps";
                return Err(refused(reason, value));
            }
        }
        Ok(())
    }

    fn list(&mut self, list: &List<'_>, depth: usize) -> Formatted {
        self.text.push('[');
        for (at, item) in list.iter().enumerate() {
            if at > 0 {
                self.text.push_str(", ");
            }
            self.nested(&item, depth)?;
        }
        self.text.push(']');
        Ok(())
    }

    /// Entries are in order of their printed keys.
    fn map(&mut self, map: &Map<'_>, depth: usize) -> Formatted {
        let mut entries = Vec::with_capacity(map.len());
        for (key, value) in map.iter() {
            let printed = match key {
                Value::String(text) => quote(text),
                Value::Bool(_) | Value::Int(_) | Value::Uint(_) => {
                    let mut printed = Output {
                        text: String::new(),
                        limit: self.limit,
                    };
                    printed.string(&key, depth)?;
                    printed.text
                }
                _ => {
                    let name = key.type_name();
                    return Err(format!("no formatting function for map key of type {name}"));
                }
            };
            entries.push((printed, value));
        }
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.text.push('{');
        for (at, (key, value)) in entries.iter().enumerate() {
            if at > 0 {
                self.text.push_str(", ");
            }
            let _ = write!(self.text, "{key}:");
            self.nested(value, depth)?;
        }
        self.text.push('}');
        Ok(())
    }

    /// Writes a value inside of a list or map, as a literal (`clauseForType`, `quoteForCEL`).
    fn nested(&mut self, value: &Value<'_>, depth: usize) -> Formatted {
        if depth >= MAX_DEPTH || self.text.len() > self.limit {
            return Err("too large to print".to_owned());
        }
        let depth = depth + 1;
        match value {
            Value::List(list) => return self.list(list, depth),
            Value::Map(map) => return self.map(map, depth),
            Value::String(text) => self.text.push_str(&quote(text)),
            Value::Bytes(bytes) => {
                let quoted = quote_bytes(utf8(bytes)?.as_bytes());
                let _ = write!(self.text, "b{quoted}");
            }
            Value::Double(double) if double.is_finite() => {
                let _ = write!(self.text, "{double:.DEFAULT_PRECISION$}");
            }
            Value::Double(double) => self.text.push_str(&quote(&format_double(*double))),
            Value::Duration(duration) => {
                let _ = write!(self.text, "duration(\"{duration}\")");
            }
            Value::Timestamp(timestamp) => {
                let _ = write!(self.text, "timestamp(\"{timestamp}\")");
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Type(_) => {
                return self.string(value, depth);
            }
            _ => return Err(format!("no formatting function for {}", value.type_name())),
        }
        Ok(())
    }

    /// `%f`: all digits of the double, rounded to even. From a precision of 256 on upstream fills up
    /// with zeros to its remainder only.
    fn fixed(&mut self, precision: Precision, value: f64) {
        // A double has no more digits than this after its point.
        const MAX_DIGITS: usize = 1_100;
        if precision / 10 > MAX_NUMBER {
            return self.text.push_str(NO_VERB);
        }
        let value = if value == 0.0 { 0.0 } else { value };
        if !value.is_finite() {
            return self.text.push_str(&special(value));
        }
        let digits = format!("{value:.*}", precision.min(MAX_DIGITS));
        let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
        let (sign, whole) = match whole.strip_prefix('-') {
            Some(whole) => ("-", whole),
            None => ("", whole),
        };
        self.text.push_str(sign);
        for (at, digit) in whole.chars().enumerate() {
            if at > 0 && (whole.len() - at).is_multiple_of(3) {
                self.text.push(',');
            }
            self.text.push(digit);
        }
        let least = precision % 256;
        let significant = fraction.trim_end_matches('0').len();
        let length = significant.max(least);
        if length > 0 {
            let shown = fraction
                .get(..length.min(fraction.len()))
                .unwrap_or_default();
            let _ = write!(self.text, ".{shown:0<length$}");
        }
    }

    /// `%e`: six digits after the point whatever the precision, which is a width upstream.
    fn scientific(&mut self, width: Precision, value: f64) {
        if width / 10 > MAX_NUMBER {
            return self.text.push_str(NO_VERB);
        }
        let value = if value == 0.0 { 0.0 } else { value };
        let shown = if value.is_finite() {
            let digits = format!("{value:.DEFAULT_PRECISION$e}");
            let (mantissa, exponent) = digits.split_once('e').unwrap_or((&digits, "0"));
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ("⁻", exponent),
                None => ("", exponent),
            };
            let exponent = format!("{exponent:0>2}")
                .chars()
                .map(superscript)
                .collect::<String>();
            format!("{mantissa}×10{sign}{exponent}")
        } else {
            special(value)
        };
        // Widths are 16 bits.
        let width = width % (1 << 16);
        let _ = write!(self.text, "{shown:>width$}");
    }
}

/// Go's parser of format strings refuses numbers beyond this (`tooLarge`), looking at all but the
/// last digit.
const MAX_NUMBER: usize = 1_000_000;
const NO_VERB: &str = "%!(NOVERB)";

fn special(value: f64) -> String {
    let text = if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "∞"
    } else {
        "-∞"
    };
    text.to_owned()
}

fn superscript(digit: char) -> char {
    match digit {
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '4' => '⁴',
        '5' => '⁵',
        '6' => '⁶',
        '7' => '⁷',
        '8' => '⁸',
        '9' => '⁹',
        _ => '⁰',
    }
}

fn minus(value: i64) -> &'static str {
    if value < 0 { "-" } else { "" }
}

fn utf8(bytes: &[u8]) -> std::result::Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| {
        "could not convert argument \"invalid UTF-8 in bytes, cannot convert to string\" to string"
            .to_owned()
    })
}

/// Returns the double to print; three strings stand for doubles.
fn double_of(clause: &str, value: &Value<'_>) -> std::result::Result<f64, String> {
    match value {
        Value::Double(double) => Ok(*double),
        Value::String("NaN") => Ok(f64::NAN),
        Value::String("Infinity") => Ok(f64::INFINITY),
        Value::String("-Infinity") => Ok(f64::NEG_INFINITY),
        _ => Err(refused(
            &format!("{clause} clause can only be used on doubles"),
            value,
        )),
    }
}

fn refused(reason: &str, value: &Value<'_>) -> String {
    format!("{reason}, was given {}", value.type_name())
}
