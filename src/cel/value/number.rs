//! Reading and printing doubles as Go's `strconv` does.

use std::fmt::Write as _;

/// Prints a double as `strconv.FormatFloat(value, 'g', -1, 64)`: the shortest digits that read back,
/// with an exponent if that is below -4 or above 5.
pub fn format_double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let shortest = format!("{value:e}");
    let Some((digits, exponent)) = shortest.split_once('e') else {
        return shortest;
    };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..6).contains(&exponent) {
        return format!("{value}");
    }
    let digits = &even_digits(value, digits);
    let sign = if exponent < 0 { '-' } else { '+' };
    let mut text = String::with_capacity(digits.len() + 4);
    text.push_str(digits);
    // Writing to a String cannot fail.
    let _ = write!(text, "e{sign}{:02}", exponent.unsigned_abs());
    text
}

/// Of two shortest texts that are equally near, Go takes the one with the even last digit, Rust the
/// larger one.
fn even_digits(value: f64, digits: &str) -> String {
    let larger = || {
        let last = digits.chars().next_back()?;
        let even = char::from_digit(last.to_digit(10)?.checked_sub(1)?, 10)?;
        let is_odd = matches!(last, '1' | '3' | '5' | '7' | '9');
        let front = digits.strip_suffix(last).filter(|_| is_odd)?;
        // Halfway: exactly the even digit and a five behind it.
        let decimals = digits.split_once('.')?.1.len();
        let exact = format!("{value:.*e}", decimals + HALFWAY_DIGITS);
        let halfway = format!("{front}{even}5{:0<1$}e", "", HALFWAY_DIGITS - 1);
        exact
            .starts_with(&halfway)
            .then(|| format!("{front}{even}"))
    };
    larger().unwrap_or_else(|| digits.to_owned())
}

/// Digits that say whether a double lies halfway: more than enough, as neighbours share no more than
/// 17 digits.
const HALFWAY_DIGITS: usize = 8;

/// Reads a double as `strconv.ParseFloat(text, 64)` does: decimal or hexadecimal, underscores only
/// between digits, `inf`, `infinity` and `nan` in any case; `None` also if the number is too large.
pub fn parse_double(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let negative = text.starts_with('-');
    if unsigned.eq_ignore_ascii_case("inf") || unsigned.eq_ignore_ascii_case("infinity") {
        return Some(if negative {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        });
    }
    if text.eq_ignore_ascii_case("nan") {
        return Some(f64::NAN);
    }
    let plain = if text.contains('_') {
        if !underscores_separate_digits(unsigned) {
            return None;
        }
        &text.replace('_', "")
    } else {
        text
    };
    let digits = plain.strip_prefix(['+', '-']).unwrap_or(plain);
    if let Some(hexadecimal) = digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        let value = parse_hexadecimal(hexadecimal)?;
        return Some(if negative { -value } else { value });
    }
    if !digits.starts_with(|first: char| first == '.' || first.is_ascii_digit()) {
        return None;
    }
    plain.parse().ok().filter(|value: &f64| value.is_finite())
}

/// Says whether each underscore stands between digits or after a base prefix (Go `strconv`,
/// `underscoreOK`).
fn underscores_separate_digits(unsigned: &str) -> bool {
    #[derive(PartialEq)]
    enum Last {
        Start,
        Digit,
        Underscore,
        Other,
    }
    let bytes = unsigned.as_bytes();
    let (rest, hexadecimal) = match bytes {
        [b'0', b'x' | b'X', rest @ ..] => (rest, true),
        [b'0', b'b' | b'B' | b'o' | b'O', rest @ ..] => (rest, false),
        _ => (bytes, false),
    };
    let mut last = if rest.len() < bytes.len() {
        Last::Digit
    } else {
        Last::Start
    };
    for byte in rest {
        if byte.is_ascii_digit() || hexadecimal && byte.is_ascii_hexdigit() {
            last = Last::Digit;
        } else if *byte == b'_' {
            if last != Last::Digit {
                return false;
            }
            last = Last::Underscore;
        } else {
            if last == Last::Underscore {
                return false;
            }
            last = Last::Other;
        }
    }
    last != Last::Underscore
}

/// Reads `1.8p-2` after its `0x`; the exponent is required.
fn parse_hexadecimal(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let (sign, digits) = match exponent.as_bytes().first()? {
        b'-' => (-1, exponent.get(1..)?),
        b'+' => (1, exponent.get(1..)?),
        _ => (1, exponent),
    };
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    // Go stops counting at 10,000: beyond it every number is zero or too large.
    let mut scale = sign * digits.parse::<i64>().unwrap_or(10_000).min(10_000);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.len() + fraction.len() == 0 {
        return None;
    }
    let mut bits: u64 = 0;
    let mut sticky = false;
    for (index, digit) in whole.bytes().chain(fraction.bytes()).enumerate() {
        let digit = u64::from(char::from(digit).to_digit(16)?);
        let in_fraction = index >= whole.len();
        if bits >> 60 == 0 {
            bits = bits << 4 | digit;
            scale -= if in_fraction { 4 } else { 0 };
        } else {
            sticky |= digit != 0;
            scale += if in_fraction { 0 } else { 4 };
        }
    }
    round_binary(bits, sticky, scale)
}

/// Returns `bits * 2^scale`, rounded to even; `None` if it is too large.
fn round_binary(bits: u64, sticky: bool, scale: i64) -> Option<f64> {
    if bits == 0 {
        return Some(0.0);
    }
    let length = 64 - i64::from(bits.leading_zeros());
    if length + scale > 1024 {
        return None;
    }
    // 53 bits are kept, fewer below the normal range.
    let keep = (length + scale + 1074).min(53);
    if keep < 0 {
        return Some(0.0);
    }
    let drop = length - keep;
    let (kept, scale) = if drop <= 0 {
        (bits, scale)
    } else {
        let wide = u128::from(bits) << 1 | u128::from(sticky);
        let half = 1u128 << drop;
        let rest = wide & (half * 2 - 1);
        let kept = u64::try_from(wide >> (drop + 1)).unwrap_or(u64::MAX);
        let up = rest > half || rest == half && kept & 1 == 1;
        (kept + u64::from(up), scale + drop)
    };
    let scale = i32::try_from(scale).ok()?;
    // Two exact steps: 2^scale alone may lie outside the range.
    let half = scale / 2;
    let value = kept as f64 * 2f64.powi(half) * 2f64.powi(scale - half);
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_print_as_in_go() {
        for (value, expect) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (123_456.0, "123456"),
            (1_000_000.0, "1e+06"),
            (1_234_567.0, "1.234567e+06"),
            (123_456_789.0, "1.23456789e+08"),
            (1e20, "1e+20"),
            (1e21, "1e+21"),
            (-1.23e4, "-12300"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e100, "1e+100"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(format_double(value), expect);
        }
    }

    #[test]
    fn doubles_read_as_in_go() {
        for (text, expect) in [
            ("1.5", Some(1.5)),
            ("+1.", Some(1.0)),
            ("-.5", Some(-0.5)),
            ("1e3", Some(1000.0)),
            ("1_0.5", Some(10.5)),
            ("0x1p-2", Some(0.25)),
            ("0x_1p-2", Some(0.25)),
            ("-0X1.8P1", Some(-3.0)),
            ("0x1.fffffffffffff8p0", Some(2.0)),
            ("0x0.00000000000008p-1022", Some(0.0)),
            ("0x0.0000000000001p-1022", Some(5e-324)),
            ("0x1p-1074", Some(5e-324)),
            ("0x1p-1076", Some(0.0)),
            ("0x1p1023", Some(8.98846567431158e307)),
            ("0x1p1024", None),
            ("1e-400", Some(0.0)),
            ("+Inf", Some(f64::INFINITY)),
            ("-infinity", Some(f64::NEG_INFINITY)),
            ("1e400", None),
            ("-nan", None),
            ("", None),
            ("+", None),
            (".", None),
            ("1e", None),
            ("1__0", None),
            ("_1", None),
            ("1_", None),
            ("1_.5", None),
            ("0x1", None),
            ("0xp1", None),
            (" 1", None),
            ("1f", None),
        ] {
            assert_eq!(parse_double(text), expect, "{text}");
        }
        assert!(parse_double("nan").is_some_and(f64::is_nan));
    }
}
