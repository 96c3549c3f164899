//! Kubernetes quantities: `1Gi`, `100m`, `1e3`.
//!
//! Two representations, as upstream, because they can be told apart: only a quantity that is held
//! as a small integer is an integer to `isInteger`. Semantics: apimachinery
//! `pkg/api/resource/quantity.go` and `amount.go`.
// DIVERGES: quantities of more than 512 bits are errors; upstream has no bound and allocates what
// `1e2000000000` asks for.

use std::cmp::Ordering;
use std::fmt;

use super::wide::Wide;

/// The smallest unit is 10^-9 (`Nano`).
const NANO_SCALE: i32 = -9;
/// Digits that fit a small quantity (`maxInt64Factors`).
const MAX_DIGITS: i32 = 18;

/// A Kubernetes quantity, exact.
#[derive(Debug, Clone, Copy)]
pub struct Quantity<'t> {
    amount: Amount,
    format: Format,
    /// How it was written, where upstream takes that for its canonical form; what is computed has a
    /// form of its own.
    written: Option<&'t str>,
}

#[derive(Debug, Clone, Copy)]
enum Amount {
    /// What upstream holds without a big integer.
    Small(Small),
    /// `±magnitude * 10^scale`
    Large(Decimal),
}

/// `value * 10^scale`
#[derive(Debug, Clone, Copy)]
struct Small {
    value: i64,
    scale: i32,
}

#[derive(Debug, Clone, Copy)]
struct Decimal {
    negative: bool,
    magnitude: Wide,
    scale: i32,
}

/// The family of suffixes a quantity was written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    DecimalExponent,
    BinarySi,
    DecimalSi,
}

/// Why a text is not a quantity; the messages are apimachinery's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not of the form of a quantity.
    #[error(
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )]
    Form,
    /// The number is none.
    #[error("unable to parse numeric part of quantity")]
    Number,
    /// No such suffix.
    #[error("unable to parse quantity's suffix")]
    Suffix,
    /// Larger than 512 bits.
    #[error("quantity is too large")]
    TooLarge,
}

/// A suffix: a power of two or of ten.
enum Unit {
    Binary(u32),
    Decimal(i32),
}

impl From<i64> for Quantity<'_> {
    fn from(value: i64) -> Self {
        Quantity {
            amount: Amount::Small(Small { value, scale: 0 }),
            format: Format::DecimalExponent,
            written: None,
        }
    }
}

impl<'t> Quantity<'t> {
    /// Reads a quantity (`ParseQuantity`): fractions beyond 10^-9 are rounded away from zero, binary
    /// ones are capped at 2^63-1.
    pub fn parse(text: &'t str) -> Result<Self, QuantityError> {
        let parts = Parts::split(text)?;
        let (unit, format) = unit(parts.suffix).ok_or(QuantityError::Suffix)?;
        match parts.small(&unit) {
            Some(amount) => Ok(Quantity {
                amount,
                format,
                written: parts.seems_canonical(&unit).then_some(text),
            }),
            None => parts.large(&unit, format),
        }
    }

    /// Returns -1, 0 or 1.
    pub fn sign(self) -> i64 {
        match self.amount {
            Amount::Small(Small { value, .. }) => value.signum(),
            Amount::Large(decimal) if decimal.magnitude.is_zero() => 0,
            Amount::Large(decimal) if decimal.negative => -1,
            Amount::Large(_) => 1,
        }
    }

    /// Returns the integer, if the quantity is held as one and it fits (`AsInt64`). `1.0` and
    /// `1000m` are not.
    pub fn as_integer(self) -> Option<i64> {
        match self.amount {
            Amount::Small(Small { value: 0, scale }) if scale >= 0 => Some(0),
            Amount::Small(Small { value, scale }) => times_power_of_ten(value, scale),
            Amount::Large(_) => None,
        }
    }

    /// Returns the quantity as a double (`AsApproximateFloat64`).
    pub fn as_double(self) -> f64 {
        let (base, scale) = match self.amount {
            Amount::Small(Small { value, scale }) => (value as f64, scale),
            Amount::Large(decimal) => {
                let base = decimal.magnitude.to_f64();
                (if decimal.negative { -base } else { base }, decimal.scale)
            }
        };
        match scale {
            0 => base,
            _ => base * power_of_ten(scale),
        }
    }

    /// Returns the sum; `None` if it needs more than 512 bits.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let amount = match (self.amount, other.amount) {
            (Amount::Small(a), Amount::Small(b)) => a.checked_add(b).map(Amount::Small),
            _ => None,
        };
        self.combined(other, amount, other.decimal())
    }

    /// Returns the difference; `None` if it needs more than 512 bits.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        let amount = match (self.amount, other.amount) {
            (Amount::Small(a), Amount::Small(b)) => {
                // Upstream negates with wrap-around, too (`int64Amount.Sub`).
                let value = b.value.wrapping_neg();
                a.checked_add(Small { value, ..b }).map(Amount::Small)
            }
            _ => None,
        };
        let subtrahend = other.decimal();
        let negated = Decimal {
            negative: !subtrahend.negative,
            ..subtrahend
        };
        self.combined(other, amount, negated)
    }

    /// Makes the result of adding `addend`, which is `other` or its negation, unless it was computed
    /// in small integers.
    fn combined(self, other: Self, computed: Option<Amount>, addend: Decimal) -> Option<Self> {
        let format = if self.sign() == 0 {
            other.format
        } else {
            self.format
        };
        let amount = match computed {
            Some(amount) => amount,
            None => Amount::Large(self.decimal().checked_add(addend)?),
        };
        Some(Quantity {
            amount,
            format,
            written: None,
        })
    }

    fn decimal(self) -> Decimal {
        match self.amount {
            Amount::Small(Small { value, scale }) => Decimal {
                negative: value < 0,
                magnitude: Wide::from(value.unsigned_abs()),
                scale,
            },
            Amount::Large(decimal) => decimal,
        }
    }
}

impl Small {
    /// Returns the sum, unless it needs a big integer (`int64Amount.Add`).
    fn checked_add(self, other: Small) -> Option<Small> {
        if other.value == 0 {
            return Some(self);
        }
        if self.value == 0 {
            return Some(other);
        }
        let scale = self.scale.min(other.scale);
        let a = times_power_of_ten(self.value, self.scale - scale)?;
        let b = times_power_of_ten(other.value, other.scale - scale)?;
        let value = a.checked_add(b)?;
        Some(Small { value, scale })
    }
}

impl Decimal {
    /// Returns the magnitude in units of 10^scale, unless that overflows.
    fn at_scale(self, scale: i32) -> Option<Wide> {
        let power = u32::try_from(self.scale.checked_sub(scale)?).ok()?;
        self.magnitude.times_power_of_ten(power)
    }

    fn checked_add(self, other: Decimal) -> Option<Decimal> {
        let scale = self.scale.min(other.scale);
        let (a, b) = (self.at_scale(scale)?, other.at_scale(scale)?);
        let (negative, magnitude) = if self.negative == other.negative {
            (self.negative, a.checked_add(b)?)
        } else {
            (
                if a < b { other.negative } else { self.negative },
                a.distance(b),
            )
        };
        Some(Decimal {
            negative,
            magnitude,
            scale,
        })
    }

    fn compare(self, other: Decimal) -> Ordering {
        let scale = self.scale.min(other.scale);
        let magnitudes = match (self.at_scale(scale), other.at_scale(scale)) {
            (Some(a), Some(b)) => a.cmp(&b),
            // One of them only fits in larger units: it is the larger one.
            (None, _) => Ordering::Greater,
            (_, None) => Ordering::Less,
        };
        if self.negative {
            magnitudes.reverse()
        } else {
            magnitudes
        }
    }
}

impl Ord for Quantity<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.amount, other.amount) {
            (Amount::Small(a), Amount::Small(b)) if a.scale == b.scale => a.value.cmp(&b.value),
            _ => self
                .sign()
                .cmp(&other.sign())
                .then_with(|| self.decimal().compare(other.decimal())),
        }
    }
}

impl PartialOrd for Quantity<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Quantity<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Quantity<'_> {}

/// Prints the canonical form (`CanonicalizeBytes`).
impl fmt::Display for Quantity<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(written) = self.written {
            return formatter.write_str(written);
        }
        let decimal = self.decimal();
        if decimal.magnitude.is_zero() {
            return formatter.write_str("0");
        }
        if self.sign() < 0 {
            formatter.write_str("-")?;
        }
        let (mut number, mut scale) = (decimal.magnitude, decimal.scale);
        while let (quotient, 0) = number.divided(10) {
            (number, scale) = (quotient, scale + 1);
        }
        if self.format == Format::BinarySi
            && let Some(mut number) = u32::try_from(scale)
                .ok()
                .and_then(|power| number.times_power_of_ten(power))
                .filter(|number| *number >= Wide::from(1024))
        {
            let mut power = 0;
            while let (quotient, 0) = number.divided(1024) {
                (number, power) = (quotient, power + 1);
            }
            let suffix = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].get(power);
            return write!(formatter, "{number}{}", suffix.copied().unwrap_or_default());
        }
        while scale % 3 != 0 {
            let Some(larger) = number.scaled(10, 0) else {
                break;
            };
            (number, scale) = (larger, scale - 1);
        }
        write!(formatter, "{number}")?;
        match (self.format, scale) {
            (_, 0) => Ok(()),
            (Format::DecimalExponent, _) => write!(formatter, "e{scale}"),
            (_, -9) => formatter.write_str("n"),
            (_, -6) => formatter.write_str("u"),
            (_, -3) => formatter.write_str("m"),
            (_, 3) => formatter.write_str("k"),
            (_, 6) => formatter.write_str("M"),
            (_, 9) => formatter.write_str("G"),
            (_, 12) => formatter.write_str("T"),
            (_, 15) => formatter.write_str("P"),
            (_, 18) => formatter.write_str("E"),
            // Upstream has no suffix for it and prints none.
            _ => Ok(()),
        }
    }
}

/// A quantity taken apart (`parseQuantityString`).
struct Parts<'t> {
    negative: bool,
    /// Digits before the point without leading zeros; `0` if there are none.
    whole: &'t str,
    fraction: &'t str,
    has_digits: bool,
    suffix: &'t str,
}

impl<'t> Parts<'t> {
    fn split(text: &'t str) -> Result<Parts<'t>, QuantityError> {
        if text.is_empty() {
            return Err(QuantityError::Form);
        }
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let stripped = unsigned.trim_start_matches('0');
        let (digits, rest) = leading_digits(stripped);
        let (fraction, suffix) = match rest.strip_prefix('.') {
            Some(rest) => leading_digits(rest),
            None => ("", rest),
        };
        let exponent = suffix.trim_start_matches(|letter| "eEinumkKMGTP".contains(letter));
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if !exponent.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(QuantityError::Form);
        }
        Ok(Parts {
            negative: text.starts_with('-'),
            whole: if digits.is_empty() { "0" } else { digits },
            fraction,
            has_digits: stripped.len() < unsigned.len() || !digits.is_empty(),
            suffix,
        })
    }

    fn digits(&self) -> impl DoubleEndedIterator<Item = u8> {
        self.whole.bytes().chain(self.fraction.bytes())
    }

    /// Returns the quantity as a small integer if upstream takes its fast path.
    fn small(&self, unit: &Unit) -> Option<Amount> {
        let whole_length = i32::try_from(self.whole.len()).ok()?;
        let fraction_length = i32::try_from(self.fraction.len()).ok()?;
        let (mantissa, scale, spare_digits) = match *unit {
            Unit::Decimal(exponent) => (1, exponent, MAX_DIGITS - whole_length - fraction_length),
            Unit::Binary(_) if fraction_length > 0 => return None,
            // 2^20 has about six digits: three in ten bits, rounded down, and one to be sure.
            Unit::Binary(exponent) => {
                let factor_digits = i32::try_from(exponent * 3 / 10).ok()?;
                (1i64 << exponent, 0, 15 - whole_length - factor_digits - 1)
            }
        };
        let scale = scale.wrapping_sub(fraction_length);
        if spare_digits < 0 || scale < NANO_SCALE {
            return None;
        }
        let value = self
            .digits()
            .try_fold(0i64, |number, digit| {
                number.checked_mul(10)?.checked_add(i64::from(digit - b'0'))
            })?
            .checked_mul(mantissa)?;
        // A scale whose decimal form does not fit is left to the bounded path.
        if value != 0 && scale > MAX_DECIMAL_SCALE {
            return None;
        }
        let value = if self.negative { -value } else { value };
        Some(Amount::Small(Small {
            value,
            scale: scale.min(MAX_DECIMAL_SCALE),
        }))
    }

    /// Says whether upstream keeps a small quantity as it was written (`ParseQuantity`): its digits look
    /// canonical, whatever sign, leading zeros or final point they have.
    fn seems_canonical(&self, unit: &Unit) -> bool {
        match *unit {
            Unit::Binary(_) => {
                let last = self.whole.len().saturating_sub(3);
                let last = self
                    .whole
                    .get(last..)
                    .and_then(|digits| digits.parse::<u32>().ok());
                // A thousand is divided by eight.
                last.is_some_and(|last| last % 8 != 0)
            }
            Unit::Decimal(exponent) => {
                let fraction_length = i32::try_from(self.fraction.len()).unwrap_or(i32::MAX);
                let is_multiple = exponent.wrapping_sub(fraction_length) % 3 == 0;
                let is_short = !self.digits().rev().take(3).eq([b'0'; 3]);
                is_multiple && is_short && !self.whole.starts_with('0')
            }
        }
    }

    /// Returns the quantity as a decimal in billionths.
    fn large(&self, unit: &Unit, format: Format) -> Result<Quantity<'t>, QuantityError> {
        if !self.has_digits && self.fraction.is_empty() {
            return Err(QuantityError::Number);
        }
        let (exponent, shift) = match *unit {
            Unit::Decimal(exponent) => (exponent, 0),
            Unit::Binary(exponent) => (0, exponent),
        };
        let fraction_length = i64::try_from(self.fraction.len()).unwrap_or(i64::MAX);
        let power = i64::from(exponent) - fraction_length - i64::from(NANO_SCALE);
        let nanos = nanos(self.digits(), power, shift);
        let cap = Wide::from(i64::MAX.unsigned_abs());
        let capped = format == Format::BinarySi
            && nanos
                .is_none_or(|nanos| cap.scaled(1_000_000_000, 0).is_some_and(|cap| nanos > cap));
        let (magnitude, scale) = if capped {
            (cap, 0)
        } else {
            (nanos.ok_or(QuantityError::TooLarge)?, NANO_SCALE)
        };
        let below_one =
            scale == NANO_SCALE && !magnitude.is_zero() && magnitude < Wide::from(1_000_000_000);
        Ok(Quantity {
            amount: Amount::Large(Decimal {
                negative: self.negative,
                magnitude,
                scale,
            }),
            format: match format {
                Format::BinarySi if below_one => Format::DecimalSi,
                format => format,
            },
            written: None,
        })
    }
}

/// A small quantity of this scale still has a decimal: 2^63 * 10^(120 + 9) is below 2^512.
const MAX_DECIMAL_SCALE: i32 = 120;

/// Digits of a binary quantity that are looked at: with 2^60 they fit 512 bits. Beyond it a binary
/// quantity has long been capped, and a fraction of so many digits is rounded up as if it ended.
const MAX_BINARY_DIGITS: i64 = 130;

/// Returns `digits * 10^power * 2^shift`, rounded up; `None` if it overflows.
fn nanos(digits: impl Iterator<Item = u8>, power: i64, shift: u32) -> Option<Wide> {
    let digits = digits
        .skip_while(|digit| *digit == b'0')
        .collect::<Vec<_>>();
    let length = i64::try_from(digits.len()).ok()?;
    let kept_length = match shift {
        // What comes after the last whole billionth only rounds up.
        0 => length.saturating_add(power.min(0)).max(0),
        _ => MAX_BINARY_DIGITS,
    };
    let kept = digits.get(..usize::try_from(kept_length.min(length)).ok()?)?;
    let dropped = digits.get(kept.len()..)?;
    let sticky = dropped.iter().any(|digit| *digit != b'0');
    let number = kept.iter().try_fold(Wide::from(0), |number, digit| {
        number.scaled(10, u64::from(digit - b'0'))
    })?;
    if number.is_zero() {
        return Some(Wide::from(u64::from(sticky)));
    }
    let shifted = number.scaled(1 << shift, 0)?;
    let power = power.saturating_add(i64::try_from(dropped.len()).ok()?);
    if let Ok(power) = u32::try_from(power) {
        return shifted.times_power_of_ten(power.min(1_000));
    }
    let (mut quotient, mut inexact) = (shifted, sticky);
    for _ in 0..power.unsigned_abs().min(1_000) {
        let (next, rest) = quotient.divided(10);
        (quotient, inexact) = (next, inexact || rest != 0);
    }
    quotient.checked_add(Wide::from(u64::from(inexact)))
}

fn leading_digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// Reads a suffix (`suffixHandler.interpret`).
fn unit(suffix: &str) -> Option<(Unit, Format)> {
    let decimal = |exponent| Some((Unit::Decimal(exponent), Format::DecimalSi));
    let binary = |exponent| Some((Unit::Binary(exponent), Format::BinarySi));
    match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let exponent: i64 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            // Upstream cuts the exponent to 32 bits.
            Some((Unit::Decimal(exponent as i32), Format::DecimalExponent))
        }
    }
}

/// Returns `value * 10^power` if the power is not negative and the product fits.
fn times_power_of_ten(value: i64, power: i32) -> Option<i64> {
    value.checked_mul(10i64.checked_pow(u32::try_from(power).ok()?)?)
}

/// Returns a power of ten as Go's `math.Pow10` rounds it: the product of two table entries.
fn power_of_ten(power: i32) -> f64 {
    if power < -323 {
        return 0.0;
    }
    if power > 308 {
        return f64::INFINITY;
    }
    let entry = |power: i32| format!("1e{power}").parse::<f64>().unwrap_or(f64::NAN);
    if power >= 0 {
        entry(power / 32 * 32) * entry(power % 32)
    } else {
        entry(power / 32 * 32) / entry(-power % 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_canonical_keeps_its_spelling() {
        for (text, printed) in [
            ("+1", "+1"),
            ("007", "007"),
            ("1.Ki", "1.Ki"),
            ("1E3", "1E3"),
            ("+8Ki", "8Ki"),
            ("+1000", "1k"),
            ("00", "0"),
            (".5", "500m"),
            ("1e2", "100"),
        ] {
            let printed = printed.to_owned();
            assert_eq!(
                Quantity::parse(text).unwrap().to_string(),
                printed,
                "{text}"
            );
        }
    }

    #[test]
    fn quantities_read_as_upstream() {
        for (text, canonical, integer) in [
            ("0", "0", Some(0)),
            ("1", "1", Some(1)),
            ("-", "0", Some(0)),
            ("+", "0", Some(0)),
            (".", "0", Some(0)),
            ("1.", "1", Some(1)),
            (".5", "500m", None),
            ("1.0", "1", None),
            ("1000m", "1", None),
            ("0.0000000001", "1n", None),
            ("-0.0000000001", "-1n", None),
            ("1e-2000000000", "1e-9", None),
            ("1.5Gi", "1536Mi", None),
            ("Mi", "0", Some(0)),
            (".5Ei", "512Pi", None),
            ("1024Mi", "1Gi", Some(1 << 30)),
            ("-1Ki", "-1Ki", Some(-1024)),
            ("1023Ki", "1023Ki", Some(1023 << 10)),
            ("0.5Ki", "512", None),
            ("0.0001Ki", "102400u", None),
            ("1Ei", "1Ei", None),
            ("1Ti", "1Ti", Some(1 << 40)),
            ("8Ei", "9223372036854775807", None),
            (
                "999999999999999999999999999999Ki",
                "9223372036854775807",
                None,
            ),
            ("1E", "1E", Some(1_000_000_000_000_000_000)),
            ("10E", "10E", None),
            ("1e3", "1e3", Some(1000)),
            ("1E4", "10e3", Some(10_000)),
            ("1e4294967296", "1", Some(1)),
            ("12345678901234567890", "12345678901234567890", None),
            ("1e100", "10e99", None),
            ("0e500", "0", Some(0)),
            ("100k", "100k", Some(100_000)),
        ] {
            let quantity = Quantity::parse(text).unwrap();
            let computed = Quantity {
                written: None,
                ..quantity
            };
            assert_eq!(computed.to_string(), canonical, "{text}");
            assert_eq!(quantity.as_integer(), integer, "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused_with_upstreams_reason() {
        for (text, expect) in [
            ("", QuantityError::Form),
            ("1,3G", QuantityError::Form),
            ("1..", QuantityError::Form),
            ("1 ", QuantityError::Form),
            ("Three", QuantityError::Form),
            ("Pi", QuantityError::Number),
            ("1.5.5", QuantityError::Form),
            ("200K", QuantityError::Suffix),
            ("1e", QuantityError::Suffix),
            ("1k5", QuantityError::Suffix),
            ("1eE5", QuantityError::Suffix),
            (".Ei", QuantityError::Number),
            ("1e1000000000", QuantityError::TooLarge),
        ] {
            assert_eq!(Quantity::parse(text).unwrap_err(), expect, "{text}");
        }
    }

    #[test]
    fn arithmetic_and_order_are_exact() {
        let quantity = |text| Quantity::parse(text).unwrap();
        let sum = |a, b| quantity(a).checked_add(quantity(b)).unwrap().to_string();
        let difference = |a, b| quantity(a).checked_sub(quantity(b)).unwrap().to_string();
        assert_eq!(sum("1Gi", "1"), "1073741825");
        assert_eq!(sum("100m", "1"), "1100m");
        assert_eq!(sum("0", "1Gi"), "1Gi");
        assert_eq!(sum("1e3", "1"), "1001");
        assert_eq!(sum("1.5Gi", "1n"), "1610612736000000001n");
        assert_eq!(sum("9223372036854775807", "1"), "9223372036854775808");
        assert_eq!(difference("0.1", "1"), "-900m");
        assert_eq!(difference("1", "1"), "0");
        assert_eq!(difference("1n", "1E"), "-999999999999999999999999999n");
        let least = Quantity::from(i64::MIN);
        assert_eq!(
            quantity("-1").checked_sub(least).unwrap().to_string(),
            "9223372036854775807"
        );
        for (a, b, order) in [
            ("200M", "0.2G", Ordering::Equal),
            ("50M", "50Mi", Ordering::Less),
            ("1e100", "1n", Ordering::Greater),
            ("-1e100", "1n", Ordering::Less),
            ("-2", "-1", Ordering::Less),
            ("1.5Gi", "1536Mi", Ordering::Equal),
            ("-", "0", Ordering::Equal),
        ] {
            assert_eq!(quantity(a).cmp(&quantity(b)), order, "{a} {b}");
        }
    }

    #[test]
    fn doubles_are_those_of_upstream() {
        for (text, expect) in [
            ("0.1", 0.1),
            ("1.5Gi", 1_610_612_736.0),
            ("100m", 0.1),
            ("1e30", 1e30),
            ("-1k", -1000.0),
        ] {
            assert_eq!(Quantity::parse(text).unwrap().as_double(), expect, "{text}");
        }
    }
}
