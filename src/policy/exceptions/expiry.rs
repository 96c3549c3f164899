//! When an exception ends.

use std::fmt;

use crate::cel::value::Timestamp;
use crate::cel::value::time::is_date;

const SECONDS_PER_DAY: i64 = 86_400;

/// The moment from which an exception excuses nothing.
#[derive(Debug, Clone)]
pub struct Expiry {
    at: Timestamp,
    text: String,
}

impl Expiry {
    /// Reads a date, through whose last moment in UTC the exception is in force, or a time as in
    /// RFC 3339, at which it ends.
    pub fn parse(text: &str) -> Option<Self> {
        let at = match is_date(text) {
            true => {
                let midnight = Timestamp::parse(&format!("{text}T00:00:00Z")).ok()?;
                Timestamp::from_seconds(midnight.seconds + SECONDS_PER_DAY)?
            }
            false => Timestamp::parse(text).ok()?,
        };
        let text = text.to_owned();
        Some(Expiry { at, text })
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
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "tomorrow",
            "2026-13-01",
            "2026-02-30",
            "2026-1-1",
            "9999-12-31",
            "30d",
        ] {
            assert!(Expiry::parse(text).is_none(), "{text}");
        }
    }
}
