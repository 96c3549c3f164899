//! Numbers and durations as Go prints them.

use crate::cel::value::Duration;

/// A finite double as `encoding/json` writes it: digits, with an exponent only below 1e-6 and from
/// 1e21 on.
pub fn json_number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        return match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                format!("{digits}e+{exponent}")
            }
            _ => text,
        };
    }
    format!("{value}")
}

/// A duration as `time.Duration.String` writes it: `1h0m0.5s`, `1.5ms`.
pub fn duration(duration: Duration) -> String {
    let nanos = duration.nanos.unsigned_abs();
    let sign = if duration.nanos < 0 { "-" } else { "" };
    let (unit, name) = match nanos {
        0 => return "0s".to_owned(),
        1..1_000 => (1, "ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    let fraction = fraction(nanos % unit, unit);
    let whole = nanos / unit;
    if unit < 1_000_000_000 || whole < 60 {
        return format!("{sign}{whole}{fraction}{name}");
    }
    let (minutes, seconds) = (whole / 60, whole % 60);
    if minutes < 60 {
        return format!("{sign}{minutes}m{seconds}{fraction}s");
    }
    let (hours, minutes) = (minutes / 60, minutes % 60);
    format!("{sign}{hours}h{minutes}m{seconds}{fraction}s")
}

/// The digits behind the point of `rest` parts of `unit`, a power of ten; nothing if there are none.
fn fraction(rest: u64, unit: u64) -> String {
    if rest == 0 {
        return String::new();
    }
    let digits = (unit + rest).to_string();
    let digits = digits.get(1..).unwrap_or_default();
    format!(".{}", digits.trim_end_matches('0'))
}
