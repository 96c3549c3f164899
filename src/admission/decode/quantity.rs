//! The canonical form of quantities: `1000m` is `1`, `1024Mi` is `1Gi`, and 0.5 is `500m`.

use serde_json::Value;

/// Brings a quantity, text or number, into its canonical form; null is zero, and what is no
/// quantity is left alone.
pub(super) fn normalize(value: &mut Value) {
    let text = match &*value {
        Value::Null => "0".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return,
    };
    if let Some(canonical) = canonical(&text) {
        *value = Value::String(canonical);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Decimal,
    Binary,
    Exponent,
}

/// Decimal suffixes and their exponents.
const DECIMAL: [(&str, i32); 10] = [
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];

/// Binary suffixes, in order of the power of 1,024.
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// Returns the canonical form of a quantity, rounded up to thousandths as resources are.
///
/// `None` if it is no quantity or its thousandths do not fit 127 bits. Semantics: apimachinery
/// `pkg/api/resource/quantity.go`, `ParseQuantity` and `CanonicalizeBytes`.
fn canonical(text: &str) -> Option<String> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = rest
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(rest.len());
    let (number, suffix) = rest.split_at_checked(end)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let digits: i128 = format!("0{whole}{fraction}").parse().ok()?;
    let scale = u32::try_from(fraction.len()).ok()?;
    let (format, milli) = match BINARY.iter().skip(1).position(|binary| *binary == suffix) {
        Some(at) => {
            let factor = 1024_i128.checked_pow(u32::try_from(at).ok()? + 1)?;
            let scaled = digits.checked_mul(factor)?.checked_mul(1000)?;
            (Format::Binary, divide_up(scaled, scale)?)
        }
        None => {
            let (format, exponent) = decimal_exponent(suffix)?;
            let power = exponent + 3;
            let up = u32::try_from(power.max(0)).ok()?;
            let down = u32::try_from((-power).max(0)).ok()?;
            let scaled = digits.checked_mul(10_i128.checked_pow(up)?)?;
            (format, divide_up(scaled, scale + down)?)
        }
    };
    Some(print(format, sign, milli))
}

fn decimal_exponent(suffix: &str) -> Option<(Format, i32)> {
    if let Some((_, exponent)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some((Format::Decimal, *exponent));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    Some((Format::Exponent, exponent)).filter(|_| (-30..=30).contains(&exponent))
}

fn divide_up(number: i128, power_of_ten: u32) -> Option<i128> {
    let divisor = 10_i128.checked_pow(power_of_ten)?;
    number.checked_add(divisor - 1)?.checked_div(divisor)
}

fn print(format: Format, sign: i128, milli: i128) -> String {
    if milli == 0 {
        return "0".to_owned();
    }
    if format == Format::Binary && milli % 1000 == 0 && milli / 1000 >= 1024 {
        let (mut number, mut power) = (milli / 1000, 0);
        while number % 1024 == 0 && power + 1 < BINARY.len() {
            number /= 1024;
            power += 1;
        }
        return format!("{}{}", sign * number, BINARY.get(power).unwrap_or(&""));
    }
    let (mut number, mut exponent) = (milli, -3);
    while number % 1000 == 0 && exponent < 18 {
        number /= 1000;
        exponent += 3;
    }
    let number = sign * number;
    if format == Format::Exponent && exponent != 0 {
        return format!("{number}e{exponent}");
    }
    let suffix = DECIMAL.iter().find(|(_, power)| *power == exponent);
    format!("{number}{}", suffix.map_or("", |(suffix, _)| suffix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn quantities_take_their_canonical_form() {
        for (value, expected) in [
            (json!(null), "0"),
            (json!(1), "1"),
            (json!(0.5), "500m"),
            (json!(1024), "1024"),
            (json!("0.0001"), "1m"),
            (json!("1000m"), "1"),
            (json!("1500m"), "1500m"),
            (json!("-0.5"), "-500m"),
            (json!("1024Mi"), "1Gi"),
            (json!("1.5Gi"), "1536Mi"),
            (json!("1000Ki"), "1000Ki"),
            (json!("0.5Ki"), "512"),
            (json!("1000000"), "1M"),
            (json!("2e3"), "2e3"),
            (json!("0"), "0"),
            (json!("0Gi"), "0"),
        ] {
            let mut got = value.clone();
            normalize(&mut got);
            assert_eq!(got, json!(expected), "{value}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_left_alone() {
        for value in [
            json!("lots"),
            json!("1.2.3"),
            json!(""),
            json!("."),
            json!("1e99"),
            json!("1 Gi"),
            json!([]),
        ] {
            let mut got = value.clone();
            normalize(&mut got);
            assert_eq!(got, value);
        }
    }
}
