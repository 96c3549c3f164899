//! What a scalar means: YAML 1.1 as go-yaml v2 reads it.
//!
//! Semantics: `go.yaml.in/yaml/v2`, `resolve.go`; keys as in `sigs.k8s.io/yaml`, `yaml.go`,
//! `convertToJSONableObject`.

use super::YamlValue;

/// The prefix that `!!` stands for.
const CORE: &str = "tag:yaml.org,2002:";

/// Returns the value of a scalar without quotes and without a tag.
pub(super) fn plain(text: &str) -> YamlValue {
    match text.as_bytes().first() {
        None => Some(YamlValue::Null),
        Some(b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~') => {
            word(text)
        }
        Some(b'.') => special_float(text).or_else(|| float(&without_separators(text)?)),
        Some(b'0'..=b'9') => number(text),
        Some(b'+' | b'-') => special_float(text).or_else(|| number(text)),
        Some(_) => None,
    }
    .unwrap_or_else(|| YamlValue::String(text.to_owned()))
}

/// Returns the value of a scalar with a tag, whatever its quotes.
///
/// A tag that is not one of YAML's own leaves a string.
pub(super) fn tagged(tag: &str, text: &str) -> Result<YamlValue, String> {
    let name = tag.strip_prefix(CORE);
    let value = match name {
        Some("str") => return Ok(YamlValue::String(text.to_owned())),
        Some("binary") => return binary(text),
        Some("bool" | "int" | "float" | "null" | "timestamp") => plain(text),
        _ => return Ok(YamlValue::String(text.to_owned())),
    };
    match (name, value) {
        (Some("float"), YamlValue::Int(int)) => Ok(YamlValue::Double(int as f64)),
        (Some("bool"), value @ YamlValue::Bool(_))
        | (Some("int"), value @ YamlValue::Int(_))
        | (Some("float"), value @ YamlValue::Double(_))
        | (Some("null"), value @ YamlValue::Null)
        | (Some("timestamp"), value @ YamlValue::String(_)) => Ok(value),
        _ => Err(format!(
            "`{text}` is not what its tag `!!{}` says",
            name.unwrap_or_default()
        )),
    }
}

/// Returns the key that JSON has for a scalar, or why there is none.
pub(super) fn key(value: &YamlValue) -> Result<String, String> {
    match value {
        YamlValue::Bool(value) => Ok(value.to_string()),
        YamlValue::Int(value) => Ok(value.to_string()),
        YamlValue::Double(value) => Ok(float_key(*value)),
        YamlValue::String(text) => Ok(text.clone()),
        YamlValue::Null => Err("a key cannot be null".to_owned()),
        YamlValue::Sequence(_) => Err("a key cannot be a list".to_owned()),
        YamlValue::Mapping(_) => Err("a key cannot be a mapping".to_owned()),
    }
}

/// Returns the integer that a double is once Go has printed it as JSON, if it is one.
pub(super) fn integral(value: f64) -> Option<i64> {
    // 2^63, the first integer that does not fit; -2^63 does.
    let limit = 9_223_372_036_854_775_808.0_f64;
    (value.fract() == 0.0 && value >= -limit && value < limit).then_some(value as i64)
}

fn word(text: &str) -> Option<YamlValue> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Some(YamlValue::Bool(true))
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Some(YamlValue::Bool(false))
        }
        "~" | "null" | "Null" | "NULL" => Some(YamlValue::Null),
        _ => None,
    }
}

fn special_float(text: &str) -> Option<YamlValue> {
    let value = match text {
        ".nan" | ".NaN" | ".NAN" => f64::NAN,
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => f64::INFINITY,
        "-.inf" | "-.Inf" | "-.INF" => f64::NEG_INFINITY,
        _ => return None,
    };
    Some(YamlValue::Double(value))
}

fn number(text: &str) -> Option<YamlValue> {
    if is_timestamp(text) {
        return None;
    }
    let digits = text.replace('_', "");
    integer(&digits).or_else(|| float(&digits))
}

/// Reads an integer as Go's `strconv.ParseInt` with base 0 does, then as its `ParseUint`.
fn integer(text: &str) -> Option<YamlValue> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let (radix, digits) = radix(unsigned);
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, radix).ok()?;
    let value = if negative { -magnitude } else { magnitude };
    if let Ok(int) = i64::try_from(value) {
        return Some(YamlValue::Int(int));
    }
    // Go keeps these as unsigned; the API server reads them from JSON as doubles.
    let signed = text.starts_with(['+', '-']);
    match u64::try_from(value) {
        Ok(large) if !signed => Some(YamlValue::Double(large as f64)),
        _ => None,
    }
}

fn radix(text: &str) -> (u32, &str) {
    let bytes = text.as_bytes();
    let marker = bytes.get(1).map(u8::to_ascii_lowercase);
    match (bytes.first(), marker) {
        (Some(b'0'), Some(b'x')) => (16, text.get(2..).unwrap_or_default()),
        (Some(b'0'), Some(b'o')) => (8, text.get(2..).unwrap_or_default()),
        (Some(b'0'), Some(b'b')) => (2, text.get(2..).unwrap_or_default()),
        (Some(b'0'), Some(_)) => (8, text.get(1..).unwrap_or_default()),
        _ => (10, text),
    }
}

/// Reads what matches `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?` and is finite.
fn float(text: &str) -> Option<YamlValue> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa_is_well_formed = match mantissa.split_once('.') {
        Some((whole, fraction)) => {
            is_number(whole) && is_number(fraction) && !(whole.is_empty() && fraction.is_empty())
        }
        None => is_number(mantissa) && !mantissa.is_empty(),
    };
    let exponent_is_well_formed = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !digits.is_empty() && is_number(digits)
    });
    if !(mantissa_is_well_formed && exponent_is_well_formed) {
        return None;
    }
    let value = text.parse::<f64>().ok()?;
    value.is_finite().then_some(YamlValue::Double(value))
}

/// Returns the text without underscores between digits; `None` if there are others.
///
/// Go's `strconv.ParseFloat` allows them there; integers and what begins with a digit or a sign
/// may have them anywhere, because go-yaml removes them first.
fn without_separators(text: &str) -> Option<String> {
    let is_digit = |part: Option<char>| part.is_some_and(|c| c.is_ascii_digit());
    let parts = text.split('_').collect::<Vec<_>>();
    let between_digits = parts.windows(2).all(|pair| {
        let before = pair.first().and_then(|part| part.chars().next_back());
        let after = pair.last().and_then(|part| part.chars().next());
        is_digit(before) && is_digit(after)
    });
    between_digits.then(|| parts.concat())
}

/// Says whether a text begins as a date does; such a text is a string, never a number.
///
/// No number has four digits and then a hyphen, so the rest need not be read.
fn is_timestamp(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    digits == 4 && text.as_bytes().get(4) == Some(&b'-')
}

/// Prints a key as Go's `strconv.FormatFloat(value, 'g', -1, 32)`.
fn float_key(value: f64) -> String {
    let value = value as f32;
    if value.is_nan() {
        return ".nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent = exponent.parse::<i32>().unwrap_or_default();
    // Go changes to an exponent there when the precision is the shortest.
    if (-4..6).contains(&exponent) {
        value.to_string()
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{mantissa}e{sign}{:02}", exponent.abs())
    }
}

/// Decodes standard base64 with padding; line breaks in it are ignored.
fn binary(text: &str) -> Result<YamlValue, String> {
    let wrong = || "the value of `!!binary` is not base64".to_owned();
    let symbols = text
        .bytes()
        .filter(|byte| !matches!(byte, b'\n' | b'\r'))
        .collect::<Vec<_>>();
    let mut bytes = Vec::with_capacity(symbols.len() / 4 * 3);
    let groups = symbols.chunks_exact(4);
    if !groups.remainder().is_empty() {
        return Err(wrong());
    }
    let last = groups.len().saturating_sub(1);
    for (at, group) in groups.enumerate() {
        let padding = group.iter().rev().take_while(|byte| **byte == b'=').count();
        if padding > 2 || (padding > 0 && at < last) {
            return Err(wrong());
        }
        let mut bits = 0_u32;
        for symbol in group.iter().take(4 - padding) {
            bits = bits << 6 | sextet(*symbol).ok_or_else(wrong)?;
        }
        bits <<= 6 * padding;
        let [_, decoded @ ..] = bits.to_be_bytes();
        bytes.extend(decoded.iter().take(3 - padding));
    }
    Ok(YamlValue::String(
        String::from_utf8_lossy(&bytes).into_owned(),
    ))
}

fn sextet(symbol: u8) -> Option<u32> {
    let value = match symbol {
        b'A'..=b'Z' => symbol - b'A',
        b'a'..=b'z' => symbol - b'a' + 26,
        b'0'..=b'9' => symbol - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}
