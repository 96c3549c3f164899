//! When an exception ends.

use std::fmt;

use crate::cel::value::Timestamp;
use crate::cel::value::time::{TimestampError, is_date};

const SECONDS_PER_DAY: i64 = 86_400;
/// `2026-12-31`
const DATE_BYTES: usize = 10;

/// The moment from which an exception excuses nothing.
#[derive(Debug, Clone)]
pub struct Expiry {
    at: Timestamp,
    text: String,
}

/// Why a text says no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpiryError {
    /// It is neither a date nor a time.
    Malformed,
    /// It looks like a date, and there is no such day.
    NoSuchDay,
    /// It begins with a date, and there is no such time of the day, or no time zone.
    NoSuchTime,
    /// After it there is no time that could be reached.
    TooLate,
}

impl ExpiryError {
    /// Says what is wrong with `text`, and what to do.
    pub fn explained(self, text: &str) -> (String, &'static str) {
        match self {
            ExpiryError::Malformed => (
                format!("`{text}` is no date"),
                "write a date, the last day in UTC, `2026-12-31`, or a time, `2026-12-31T12:00:00Z`",
            ),
            ExpiryError::NoSuchDay => (
                format!("`{text}` is no date: the calendar has no such day"),
                "write the last day in UTC, `2026-12-31`",
            ),
            ExpiryError::NoSuchTime => (
                format!("`{text}` is no time"),
                "write `T`, hours to 23, minutes and seconds, and `Z` or an offset: \
                 `2026-12-31T12:00:00Z`, `2026-12-31T12:00:00+01:00`",
            ),
            ExpiryError::TooLate => (
                format!("`{text}` is too late for an end"),
                "every exception ends, by 9999-12-30; what is to be excused for ever is better left \
                 out of the policy",
            ),
        }
    }
}

impl Expiry {
    /// Reads a date, through whose last moment in UTC the exception is in force, or a time as in
    /// RFC 3339, at which it ends.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, ExpiryError> {
        let (date, time) = text
            .split_at_checked(DATE_BYTES)
            .filter(|(date, _)| looks_like_date(date))
            .ok_or(ExpiryError::Malformed)?;
        if !is_date(date) {
            return Err(ExpiryError::NoSuchDay);
        }
        let midnight = || Timestamp::parse(&format!("{date}T00:00:00Z"));
        let at = match time.chars().next() {
            None => midnight().map(|it| it.seconds + SECONDS_PER_DAY),
            Some('T') => {
                let at = Timestamp::parse(text);
                return match at {
                    Ok(at) => Ok(Expiry::at_time(at, text)),
                    Err(TimestampError::Syntax) => Err(ExpiryError::NoSuchTime),
                    Err(TimestampError::Range) => Err(out_of_range(date)),
                };
            }
            Some(_) => return Err(ExpiryError::Malformed),
        };
        let at = at.ok().and_then(Timestamp::from_seconds);
        match at {
            Some(at) => Ok(Expiry::at_time(at, text)),
            None => Err(out_of_range(date)),
        }
    }

    fn at_time(at: Timestamp, text: &str) -> Self {
        let text = text.to_owned();
        Expiry { at, text }
    }

    /// Says whether it is reached.
    pub fn is_over(&self, now: Timestamp) -> bool {
        (now.seconds, now.nanos) >= (self.at.seconds, self.at.nanos)
    }

    /// Returns the whole days that are left; `None` if it is reached.
    pub fn days_left(&self, now: Timestamp) -> Option<i64> {
        let seconds = self.at.seconds.saturating_sub(now.seconds);
        (!self.is_over(now)).then_some(seconds / SECONDS_PER_DAY)
    }

    /// Returns the moment.
    pub fn at(&self) -> Timestamp {
        self.at
    }
}

/// What lies beyond the years that there are: the years 1 to 9999.
fn out_of_range(date: &str) -> ExpiryError {
    match date < "0002" {
        true => ExpiryError::NoSuchDay,
        false => ExpiryError::TooLate,
    }
}

fn looks_like_date(text: &str) -> bool {
    let mut bytes = text.bytes().enumerate();
    bytes.all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    })
}

/// As it was written.
impl fmt::Display for Expiry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_over_when_the_day_is() {
        let expiry = Expiry::parse("2026-02-28").unwrap();
        for (now, left) in [
            ("2026-02-28T23:59:59Z", Some(0)),
            ("2026-02-28T23:59:59.999999999Z", Some(0)),
            ("2026-03-01T00:00:00Z", None),
            ("2026-02-28T20:00:00-05:00", None),
            ("2026-02-14T00:00:00Z", Some(15)),
        ] {
            let now = Timestamp::parse(now).unwrap();
            assert_eq!(expiry.days_left(now), left, "{now}");
        }
        let expiry = Expiry::parse("2026-02-28T12:00:00+01:00").unwrap();
        assert!(!expiry.is_over(Timestamp::parse("2026-02-28T10:59:59Z").unwrap()));
        assert!(expiry.is_over(Timestamp::parse("2026-02-28T11:00:00Z").unwrap()));
    }

    #[test]
    fn what_is_no_time_is_refused_and_why() {
        for (text, expected) in [
            ("", ExpiryError::Malformed),
            ("tomorrow", ExpiryError::Malformed),
            ("2026-1-1", ExpiryError::Malformed),
            ("30d", ExpiryError::Malformed),
            ("2026-12-31 12:00:00Z", ExpiryError::Malformed),
            ("2026-12-31é", ExpiryError::Malformed),
            ("2026-12-3é", ExpiryError::Malformed),
            ("2026-13-01", ExpiryError::NoSuchDay),
            ("2026-02-30", ExpiryError::NoSuchDay),
            ("2027-02-29", ExpiryError::NoSuchDay),
            ("2027-02-29T12:00:00Z", ExpiryError::NoSuchDay),
            ("0000-01-01", ExpiryError::NoSuchDay),
            ("2026-12-31T", ExpiryError::NoSuchTime),
            ("2026-12-31T12:00:00", ExpiryError::NoSuchTime),
            ("2026-12-31T24:00:00Z", ExpiryError::NoSuchTime),
            ("2026-12-31T12:60:00Z", ExpiryError::NoSuchTime),
            ("9999-12-31", ExpiryError::TooLate),
            ("9999-12-31T23:59:59-01:00", ExpiryError::TooLate),
        ] {
            assert_eq!(Expiry::parse(text).err(), Some(expected), "{text}");
            let (message, help) = expected.explained(text);
            assert!(message.starts_with(&format!("`{text}` is ")), "{message}");
            assert!(!help.is_empty());
        }
        for text in ["9999-12-30", "2028-02-29", "2026-12-31T12:00:00.5+01:00"] {
            assert!(Expiry::parse(text).is_ok(), "{text}");
        }
    }
}
