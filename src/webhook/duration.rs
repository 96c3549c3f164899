//! Durations as Go writes them (`5s`, `1m30s`, `1.5h`), which is how API servers send `?timeout=`.

use std::time::Duration;

/// Why a text is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// There is nothing, or no number where one should be.
    #[error("a duration is a number and a unit, as `5s` or `1m30s`")]
    NotANumber,
    /// A number has no unit, or one that is not known.
    #[error("a duration needs a unit after each number: `ns`, `us`, `ms`, `s`, `m` or `h`")]
    NoUnit,
    /// It is below zero.
    #[error("a duration cannot be negative here")]
    Negative,
    /// It does not fit.
    #[error("the duration is too long")]
    TooLong,
}

/// Reads what Go's `time.ParseDuration` reads, except that negative durations are errors.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let unsigned = match text.strip_prefix('-') {
        Some("0") => "0",
        Some(_) => return Err(DurationError::Negative),
        None => text.strip_prefix('+').unwrap_or(text),
    };
    if unsigned == "0" {
        return Ok(Duration::ZERO);
    }
    if unsigned.is_empty() {
        return Err(DurationError::NotANumber);
    }
    let mut total = Duration::ZERO;
    let mut rest = unsigned;
    while !rest.is_empty() {
        let (part, after) = component(rest)?;
        total = total.checked_add(part).ok_or(DurationError::TooLong)?;
        rest = after;
    }
    Ok(total)
}

/// Reads one number with its unit, and returns what follows.
fn component(text: &str) -> Result<(Duration, &str), DurationError> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => digits(rest),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(DurationError::NotANumber);
    }
    let unit_length = rest
        .find(|c: char| c == '.' || c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_length);
    let nanoseconds = nanoseconds_in(unit).ok_or(DurationError::NoUnit)?;
    let whole: u64 = match whole {
        "" => 0,
        digits => digits.parse().map_err(|_| DurationError::TooLong)?,
    };
    let whole = whole
        .checked_mul(nanoseconds)
        .ok_or(DurationError::TooLong)?;
    Ok((
        Duration::from_nanos(whole).saturating_add(part_of(fraction, nanoseconds)),
        rest,
    ))
}

/// Returns `0.fraction` of a unit; what is below a nanosecond is dropped, as Go does.
fn part_of(fraction: &str, nanoseconds: u64) -> Duration {
    // A unit has at most 3.6e12 nanoseconds, so that further digits add nothing.
    let digits = fraction
        .bytes()
        .take(13)
        .map(|byte| u128::from(byte - b'0'));
    let (numerator, denominator) = digits.fold((0, 1), |(numerator, denominator), digit| {
        (numerator * 10 + digit, denominator * 10)
    });
    let part = numerator * u128::from(nanoseconds) / denominator;
    Duration::from_nanos(u64::try_from(part).unwrap_or(u64::MAX))
}

fn digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

fn nanoseconds_in(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        // Both signs for micro: U+00B5 and U+03BC.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_go_reads_them() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("-0", 0),
            ("5s", 5_000_000_000),
            ("+5s", 5_000_000_000),
            ("10s", 10_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("100ms", 100_000_000),
            ("3us", 3_000),
            ("3\u{b5}s", 3_000),
            ("7ns", 7),
            ("0.3333333333333333333h", 1_199_999_999_999),
            ("2562047h", 2_562_047 * 3_600_000_000_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanoseconds)), "{text}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for (text, error) in [
            ("", DurationError::NotANumber),
            ("+", DurationError::NotANumber),
            (".s", DurationError::NotANumber),
            ("s", DurationError::NotANumber),
            ("5", DurationError::NoUnit),
            ("5 s", DurationError::NoUnit),
            ("5d", DurationError::NoUnit),
            ("5sx3m", DurationError::NoUnit),
            ("-5s", DurationError::Negative),
            ("99999999999999999999s", DurationError::TooLong),
            ("9999999999h", DurationError::TooLong),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }
}
