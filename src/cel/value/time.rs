//! Durations and timestamps: reading, printing, arithmetic and calendar fields, as Go has them.

use std::fmt;

use super::{Duration, Timestamp};

/// `0001-01-01T00:00:00Z` (cel-go `common/types/timestamp.go`, `minUnixTime`).
const MIN_SECONDS: i64 = -62_135_596_800;
/// `9999-12-31T23:59:59Z` (cel-go `common/types/timestamp.go`, `maxUnixTime`).
const MAX_SECONDS: i64 = 253_402_300_799;
const NANOS_PER_SECOND: i64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Why a text or number is not a timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampError {
    /// Not RFC 3339.
    Syntax,
    /// Outside the years 1 to 9999.
    Range,
}

/// The calendar fields of a timestamp in some time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    /// The year.
    pub year: i64,
    /// The month, 1 to 12.
    pub month: i64,
    /// The day of the month, 1 to 31.
    pub day: i64,
    /// The day of the week, 0 is Sunday.
    pub weekday: i64,
    /// The day of the year, from 1.
    pub day_of_year: i64,
    /// The hour, 0 to 23.
    pub hour: i64,
    /// The minute, 0 to 59.
    pub minute: i64,
    /// The second, 0 to 59.
    pub second: i64,
}

impl Duration {
    /// Reads a duration as Go's `time.ParseDuration` does: `1h30m`, `-1.5s`, `100us`, `0`.
    pub fn parse(text: &str) -> Option<Duration> {
        let (negative, mut rest) = match text.as_bytes().first()? {
            b'-' => (true, text.get(1..)?),
            b'+' => (false, text.get(1..)?),
            _ => (false, text),
        };
        if rest == "0" {
            return Some(Duration { nanos: 0 });
        }
        if rest.is_empty() {
            return None;
        }
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let (amount, tail) = term(rest)?;
            total = total.checked_add(amount).filter(|sum| *sum <= 1 << 63)?;
            rest = tail;
        }
        let nanos = match negative {
            true => 0i64.checked_sub_unsigned(total)?,
            false => i64::try_from(total).ok()?,
        };
        Some(Duration { nanos })
    }

    /// Returns the sum, unless it overflows.
    pub fn checked_add(self, other: Duration) -> Option<Duration> {
        let nanos = self.nanos.checked_add(other.nanos)?;
        Some(Duration { nanos })
    }

    /// Returns the difference, unless it overflows.
    pub fn checked_sub(self, other: Duration) -> Option<Duration> {
        let nanos = self.nanos.checked_sub(other.nanos)?;
        Some(Duration { nanos })
    }

    /// Returns the duration with the other sign, unless it overflows.
    pub fn checked_neg(self) -> Option<Duration> {
        let nanos = self.nanos.checked_neg()?;
        Some(Duration { nanos })
    }

    /// Returns the duration in units of `unit` nanoseconds, rounded as Go's `Hours`, `Minutes` and
    /// `Seconds` round: whole units and the rest are added as doubles.
    pub fn in_units(self, unit: i64) -> f64 {
        let whole = self.nanos.checked_div(unit).unwrap_or_default();
        let rest = self.nanos.checked_rem(unit).unwrap_or_default();
        whole as f64 + rest as f64 / unit as f64
    }
}

/// Reads one number with its unit; gives nanoseconds and what follows.
fn term(text: &str) -> Option<(u64, &str)> {
    let (mut whole, after_whole, whole_digits) = leading_integer(text)?;
    let (fraction, scale, rest, fraction_digits) = match after_whole.strip_prefix('.') {
        Some(tail) => leading_fraction(tail),
        None => (0, 1.0, after_whole, 0),
    };
    if whole_digits + fraction_digits == 0 {
        return None;
    }
    let end = rest
        .find(|letter: char| letter == '.' || letter.is_ascii_digit())
        .unwrap_or(rest.len());
    let (name, rest) = rest.split_at_checked(end)?;
    let unit: u64 = match name {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    whole = whole.checked_mul(unit).filter(|nanos| *nanos <= 1 << 63)?;
    if fraction > 0 {
        whole = whole.checked_add((fraction as f64 * (unit as f64 / scale)) as u64)?;
    }
    (whole <= 1 << 63).then_some((whole, rest))
}

/// Reads digits up to 2^63; gives the number, what follows, and how many digits there were.
fn leading_integer(text: &str) -> Option<(u64, &str, usize)> {
    let digits = digits_at_start(text);
    let mut number: u64 = 0;
    for digit in digits.bytes() {
        number = number
            .checked_mul(10)?
            .checked_add(u64::from(digit - b'0'))
            .filter(|number| *number <= 1 << 63)?;
    }
    Some((number, text.get(digits.len()..)?, digits.len()))
}

/// Reads the digits of a fraction; those that do not fit are dropped.
fn leading_fraction(text: &str) -> (u64, f64, &str, usize) {
    let digits = digits_at_start(text);
    let (mut number, mut scale) = (0i64, 1.0);
    for digit in digits.bytes() {
        let next = number
            .checked_mul(10)
            .and_then(|number| number.checked_add(i64::from(digit - b'0')));
        let Some(next) = next else { break };
        number = next;
        scale *= 10.0;
    }
    let rest = text.get(digits.len()..).unwrap_or_default();
    (number.unsigned_abs(), scale, rest, digits.len())
}

fn digits_at_start(text: &str) -> &str {
    let end = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// Prints seconds and `s`, as `string(duration)` does.
impl fmt::Display for Duration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}s", self.in_units(NANOS_PER_SECOND))
    }
}

impl Timestamp {
    /// `0001-01-01T00:00:00Z`, Go's zero time.
    pub const FIRST: Timestamp = Timestamp {
        seconds: MIN_SECONDS,
        nanos: 0,
        offset_seconds: 0,
    };

    /// Makes the timestamp of some seconds after the Unix epoch, if it lies in the years 1 to 9999.
    pub fn from_seconds(seconds: i64) -> Option<Timestamp> {
        (MIN_SECONDS..=MAX_SECONDS)
            .contains(&seconds)
            .then_some(Timestamp {
                seconds,
                nanos: 0,
                offset_seconds: 0,
            })
    }

    /// Reads RFC 3339 as Go's `time.Parse` does: a comma may introduce the fraction, the hour may
    /// have one digit, and fractions are cut after nine digits.
    pub fn parse(text: &str) -> Result<Timestamp, TimestampError> {
        let parsed = parse_fields(text.as_bytes()).ok_or(TimestampError::Syntax)?;
        match Timestamp::from_seconds(parsed.seconds) {
            Some(_) => Ok(parsed),
            None => Err(TimestampError::Range),
        }
    }

    /// Returns the timestamp a duration later, if it lies in the years 1 to 9999.
    pub fn checked_add(self, duration: Duration) -> Option<Timestamp> {
        let nanos = i64::from(self.nanos) + duration.nanos % NANOS_PER_SECOND;
        let seconds = self
            .seconds
            .checked_add(duration.nanos / NANOS_PER_SECOND)?
            .checked_add(nanos.div_euclid(NANOS_PER_SECOND))?;
        Timestamp::from_seconds(seconds)?;
        Some(Timestamp {
            seconds,
            nanos: u32::try_from(nanos.rem_euclid(NANOS_PER_SECOND)).ok()?,
            offset_seconds: self.offset_seconds,
        })
    }

    /// Returns the timestamp a duration earlier, if it lies in the years 1 to 9999.
    pub fn checked_sub(self, duration: Duration) -> Option<Timestamp> {
        self.checked_add(duration.checked_neg()?)
    }

    /// Returns the time from `earlier` to this, unless it overflows (292 years).
    pub fn checked_since(self, earlier: Timestamp) -> Option<Duration> {
        let nanos = self
            .seconds
            .checked_sub(earlier.seconds)?
            .checked_mul(NANOS_PER_SECOND)?
            .checked_add(i64::from(self.nanos) - i64::from(earlier.nanos))?;
        Some(Duration { nanos })
    }

    /// Returns the calendar fields some seconds east of UTC.
    ///
    /// Any second has some: a message can hold those that nothing else makes.
    pub fn civil(self, offset_seconds: i64) -> Civil {
        let (days, second_of_day) = days_and_seconds(self.seconds, offset_seconds);
        let (year, month, day) = date_of_days(days);
        Civil {
            year,
            month,
            day,
            weekday: (days + 4).rem_euclid(7),
            day_of_year: days - days_of_date(year, 1, 1) + 1,
            hour: second_of_day / 3600,
            minute: second_of_day / 60 % 60,
            second: second_of_day % 60,
        }
    }
}

/// Prints RFC 3339 in the offset the timestamp was written with, as `string(timestamp)` does.
impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.civil(i64::from(self.offset_seconds));
        write!(
            formatter,
            "{}{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
            if at.year < 0 { "-" } else { "" },
            at.year.unsigned_abs(),
            at.month,
            at.day,
            at.hour,
            at.minute,
            at.second
        )?;
        if self.nanos != 0 {
            let digits = format!("{:09}", self.nanos);
            write!(formatter, ".{}", digits.trim_end_matches('0'))?;
        }
        if self.offset_seconds == 0 {
            return formatter.write_str("Z");
        }
        let minutes = self.offset_seconds.abs() / 60;
        let sign = if self.offset_seconds < 0 { '-' } else { '+' };
        write!(formatter, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

/// Says whether a text is a date: `2024-02-29`.
pub fn is_date(text: &str) -> bool {
    let mut at = Scanner {
        rest: text.as_bytes(),
    };
    at.date().is_some() && at.rest.is_empty()
}

/// Reads the fields; what they give may lie outside the range of timestamps.
fn parse_fields(text: &[u8]) -> Option<Timestamp> {
    let mut at = Scanner { rest: text };
    let days = at.date()?;
    at.expect(b'T')?;
    let hour = at.hour().filter(|hour| *hour < 24)?;
    at.expect(b':')?;
    let minute = at.digits(2).filter(|minute| *minute < 60)?;
    at.expect(b':')?;
    let second = at.digits(2).filter(|second| *second < 60)?;
    let nanos = at.fraction()?;
    let offset = at.offset()?;
    if !at.rest.is_empty() {
        return None;
    }
    let seconds = days * SECONDS_PER_DAY + (hour * 60 + minute) * 60 + second - offset;
    Some(Timestamp {
        seconds,
        nanos,
        offset_seconds: i32::try_from(offset).ok()?,
    })
}

struct Scanner<'t> {
    rest: &'t [u8],
}

impl Scanner<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn expect(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    fn digit(&mut self) -> Option<i64> {
        let digit = self.next().filter(u8::is_ascii_digit)?;
        Some(i64::from(digit - b'0'))
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        (0..count).try_fold(0, |number, _| Some(number * 10 + self.digit()?))
    }

    /// Reads a date; gives the days since the Unix epoch.
    fn date(&mut self) -> Option<i64> {
        let year = self.digits(4)?;
        self.expect(b'-')?;
        let month = self.digits(2).filter(|month| (1..=12).contains(month))?;
        self.expect(b'-')?;
        let day = self.digits(2)?;
        let exists = (1..=days_in_month(year, month)).contains(&day);
        exists.then_some(days_of_date(year, month, day))
    }

    /// Go's layout reads an hour of one digit, too (`time/format.go`, `stdHour`).
    fn hour(&mut self) -> Option<i64> {
        let first = self.digit()?;
        match self.rest.first() {
            Some(second) if second.is_ascii_digit() => Some(first * 10 + self.digit()?),
            _ => Some(first),
        }
    }

    /// Reads a fraction if there is one, to nanoseconds.
    fn fraction(&mut self) -> Option<u32> {
        match self.rest {
            [b'.' | b',', first, ..] if first.is_ascii_digit() => {}
            _ => return Some(0),
        }
        self.next()?;
        let (mut nanos, mut unit) = (0, 100_000_000);
        while self.rest.first().is_some_and(u8::is_ascii_digit) {
            nanos += self.digit()? * unit;
            unit /= 10;
        }
        u32::try_from(nanos).ok()
    }

    /// Reads `Z` or an offset; Go allows 24 hours and 60 minutes there.
    fn offset(&mut self) -> Option<i64> {
        let sign = match self.next()? {
            b'Z' => return Some(0),
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let hours = self.digits(2).filter(|hours| *hours <= 24)?;
        self.expect(b':')?;
        let minutes = self.digits(2).filter(|minutes| *minutes <= 60)?;
        Some(sign * (hours * 60 + minutes) * 60)
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Returns the days from the Unix epoch to a date of the proleptic Gregorian calendar, counting
/// years from March so that the leap day comes last (Hinnant, `days_from_civil`).
fn days_of_date(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Days from the first one that Go can count from to the epoch (`time/time.go`, `unixToAbsolute`).
const DAYS_BEFORE_EPOCH: i64 = 106_751_991_073_400;

/// The day from the epoch and the second of it; what is before the first day Go can count from is
/// after the last one.
fn days_and_seconds(seconds: i64, offset_seconds: i64) -> (i64, i64) {
    let before = i128::from(DAYS_BEFORE_EPOCH) * i128::from(SECONDS_PER_DAY);
    let seconds = i128::from(seconds) + i128::from(offset_seconds) + before;
    let seconds = seconds.rem_euclid(1 << u64::BITS);
    let days = seconds / i128::from(SECONDS_PER_DAY) - i128::from(DAYS_BEFORE_EPOCH);
    let second = seconds % i128::from(SECONDS_PER_DAY);
    (
        i64::try_from(days).unwrap_or_default(),
        i64::try_from(second).unwrap_or_default(),
    )
}

/// Returns year, month and day of a number of days after the Unix epoch.
fn date_of_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_as_in_go() {
        for (text, expect) in [
            ("1h30m", Some("5400s")),
            ("-1.5h", Some("-5400s")),
            ("+1m1ns", Some("60.000000001s")),
            ("100us", Some("0.0001s")),
            ("1\u{b5}s2\u{3bc}s", Some("0.000003s")),
            ("0", Some("0s")),
            ("-0", Some("0s")),
            (".5s", Some("0.5s")),
            ("1.s", Some("1s")),
            ("9223372036854775807ns", Some("9223372036.854776s")),
            ("-9223372036854775808ns", Some("-9223372036.854776s")),
            ("9223372036854775808ns", None),
            ("2562048h", None),
            ("3000000h", None),
            ("", None),
            ("-", None),
            ("1", None),
            ("s", None),
            (".s", None),
            ("1d", None),
            ("1 s", None),
            ("--1s", None),
        ] {
            let got = Duration::parse(text).map(|duration| duration.to_string());
            assert_eq!(got.as_deref(), expect, "{text}");
        }
    }

    #[test]
    fn timestamps_read_and_print_as_in_go() {
        for (text, expect) in [
            ("2024-02-29T12:34:56Z", Ok("2024-02-29T12:34:56Z")),
            ("2024-01-01T00:00:00.120Z", Ok("2024-01-01T00:00:00.12Z")),
            (
                "2024-01-01T5:00:00,5+01:00",
                Ok("2024-01-01T05:00:00.5+01:00"),
            ),
            ("2024-01-01T00:00:00-00:00", Ok("2024-01-01T00:00:00Z")),
            ("2024-01-01T00:00:00+24:00", Ok("2024-01-01T00:00:00+24:00")),
            (
                "2024-01-01T00:00:00.1234567899Z",
                Ok("2024-01-01T00:00:00.123456789Z"),
            ),
            ("0001-01-01T00:00:00Z", Ok("0001-01-01T00:00:00Z")),
            ("9999-12-31T23:59:59.999Z", Ok("9999-12-31T23:59:59.999Z")),
            ("0001-01-01T00:00:00+01:00", Err(TimestampError::Range)),
            ("0000-12-31T23:59:59Z", Err(TimestampError::Range)),
            ("9999-12-31T23:59:59-00:01", Err(TimestampError::Range)),
            ("2023-02-29T00:00:00Z", Err(TimestampError::Syntax)),
            ("2024-01-01 00:00:00Z", Err(TimestampError::Syntax)),
            ("2024-01-01T00:00:60Z", Err(TimestampError::Syntax)),
            ("2024-01-01T24:00:00Z", Err(TimestampError::Syntax)),
            ("2024-01-01t00:00:00Z", Err(TimestampError::Syntax)),
            ("2024-01-01T00:00:00z", Err(TimestampError::Syntax)),
            ("2024-01-01T00:00:00", Err(TimestampError::Syntax)),
            ("2024-01-01T00:00:00.Z", Err(TimestampError::Syntax)),
            ("2024-1-01T00:00:00Z", Err(TimestampError::Syntax)),
            ("2024-01-01T00:00:00+0100", Err(TimestampError::Syntax)),
            ("2024-01-01T00:00:00Z ", Err(TimestampError::Syntax)),
            ("", Err(TimestampError::Syntax)),
        ] {
            let got = Timestamp::parse(text).map(|timestamp| timestamp.to_string());
            assert_eq!(got.as_deref(), expect.as_ref().map(|text| *text), "{text}");
        }
    }

    #[test]
    fn timestamp_arithmetic_stays_in_range() {
        let at = |text| Timestamp::parse(text).unwrap();
        let span = |text| Duration::parse(text).unwrap();
        let sum = at("2024-02-28T23:59:59.5Z")
            .checked_add(span("500ms"))
            .unwrap();
        assert_eq!(sum.to_string(), "2024-02-29T00:00:00Z");
        let difference = at("1970-01-01T00:00:00.25+02:00")
            .checked_sub(span("1.5s"))
            .unwrap();
        assert_eq!(difference.to_string(), "1969-12-31T23:59:58.75+02:00");
        assert_eq!(at("9999-12-31T23:59:59Z").checked_add(span("1s")), None);
        assert_eq!(at("0001-01-01T00:00:00Z").checked_sub(span("1ns")), None);
        let since = at("2024-01-01T00:00:00Z").checked_since(at("2023-12-31T23:59:59.9Z"));
        assert_eq!(since, Some(Duration { nanos: 100_000_000 }));
        assert_eq!(
            at("9999-01-01T00:00:00Z").checked_since(at("0001-01-01T00:00:00Z")),
            None
        );
        let most_negative = Duration { nanos: i64::MIN };
        assert_eq!(most_negative.checked_neg(), None);
        assert_eq!(at("2024-01-01T00:00:00Z").checked_sub(most_negative), None);
    }

    #[test]
    fn every_day_of_eight_centuries_has_its_date() {
        let mut expect = (1_599, 12, 31);
        for days in days_of_date(1_600, 1, 1)..days_of_date(2_400, 1, 1) {
            expect = match expect {
                (year, 12, 31) => (year + 1, 1, 1),
                (year, month, day) if day == days_in_month(year, month) => (year, month + 1, 1),
                (year, month, day) => (year, month, day + 1),
            };
            assert_eq!(date_of_days(days), expect);
            assert_eq!(days_of_date(expect.0, expect.1, expect.2), days);
        }
    }
}
