//! The fields of timestamps and durations: cel-go `common/stdlib/standard.go`.

use jiff::tz::TimeZone;

use super::super::error::Result;
use super::super::function::{Call, Function, Overload, cost};
use super::super::types::Type;
use super::super::value::quote::quote;
use super::super::value::time::Civil;
use super::super::value::{Timestamp, Value};
use super::{member, no_such_overload};
use crate::cel::function::Body;

const NANOS_PER_HOUR: i64 = 3_600_000_000_000;
const NANOS_PER_MINUTE: i64 = 60_000_000_000;
const NANOS_PER_SECOND: i64 = 1_000_000_000;
const NANOS_PER_MILLISECOND: i64 = 1_000_000;

/// The functions.
pub static FUNCTIONS: &[Function] = &[
    Function {
        name: "getFullYear",
        doc: "Returns the year of a timestamp, in UTC or in a time zone.",
        overloads: &[
            of_timestamp("timestamp_to_year", full_year),
            of_timestamp_in_zone("timestamp_to_year_with_tz", full_year),
        ],
        examples: &[
            (
                "timestamp('2023-07-14T10:30:45.123Z').getFullYear()",
                "2023",
            ),
            (
                "timestamp('2023-01-01T05:30:00Z').getFullYear('-08:00')",
                "2022",
            ),
        ],
    },
    Function {
        name: "getMonth",
        doc: "Returns the month of a timestamp from 0, in UTC or in a time zone.",
        overloads: &[
            of_timestamp("timestamp_to_month", month),
            of_timestamp_in_zone("timestamp_to_month_with_tz", month),
        ],
        examples: &[
            ("timestamp('2023-07-14T10:30:45.123Z').getMonth()", "6"),
            (
                "timestamp('2023-01-01T05:30:00Z').getMonth('America/Los_Angeles')",
                "11",
            ),
        ],
    },
    Function {
        name: "getDayOfYear",
        doc: "Returns the day of the year of a timestamp from 0, in UTC or in a time zone.",
        overloads: &[
            of_timestamp("timestamp_to_day_of_year", day_of_year),
            of_timestamp_in_zone("timestamp_to_day_of_year_with_tz", day_of_year),
        ],
        examples: &[("timestamp('2023-01-02T00:00:00Z').getDayOfYear()", "1")],
    },
    Function {
        name: "getDayOfMonth",
        doc: "Returns the day of the month of a timestamp from 0, in UTC or in a time zone.",
        overloads: &[
            of_timestamp("timestamp_to_day_of_month", day_of_month),
            of_timestamp_in_zone("timestamp_to_day_of_month_with_tz", day_of_month),
        ],
        examples: &[(
            "timestamp('2023-07-14T10:30:45.123Z').getDayOfMonth()",
            "13",
        )],
    },
    Function {
        name: "getDate",
        doc: "Returns the day of the month of a timestamp from 1, in UTC or in a time zone.",
        overloads: &[
            of_timestamp("timestamp_to_day_of_month_1_based", date),
            of_timestamp_in_zone("timestamp_to_day_of_month_1_based_with_tz", date),
        ],
        examples: &[
            ("timestamp('2023-07-14T10:30:45.123Z').getDate()", "14"),
            (
                "timestamp('2023-07-14T23:30:00Z').getDate('Asia/Tokyo')",
                "15",
            ),
            (
                "timestamp('2023-07-14T23:30:00Z').getDate('Mars/Olympus')",
                "error: unknown time zone Mars/Olympus",
            ),
        ],
    },
    Function {
        name: "getDayOfWeek",
        doc: "Returns the day of the week of a timestamp, Sunday as 0, in UTC or in a time zone.",
        overloads: &[
            of_timestamp("timestamp_to_day_of_week", day_of_week),
            of_timestamp_in_zone("timestamp_to_day_of_week_with_tz", day_of_week),
        ],
        examples: &[("timestamp('2023-07-14T10:30:45.123Z').getDayOfWeek()", "5")],
    },
    Function {
        name: "getHours",
        doc: "Returns the hour of a timestamp, in UTC or in a time zone, or all hours of a duration.",
        overloads: &[
            of_timestamp("timestamp_to_hours", hours),
            of_timestamp_in_zone("timestamp_to_hours_with_tz", hours),
            of_duration("duration_to_hours", hours_of_duration),
        ],
        examples: &[
            ("timestamp('2024-07-01T10:00:00+02:00').getHours()", "8"),
            (
                "timestamp('2024-07-01T10:00:00Z').getHours('Europe/Berlin')",
                "12",
            ),
            ("timestamp('2024-07-01T10:00:00Z').getHours('-03:30')", "6"),
            ("duration('90m').getHours()", "1"),
        ],
    },
    Function {
        name: "getMinutes",
        doc: "Returns the minute of a timestamp, in UTC or in a time zone, or all minutes of a duration.",
        overloads: &[
            of_timestamp("timestamp_to_minutes", minutes),
            of_timestamp_in_zone("timestamp_to_minutes_with_tz", minutes),
            of_duration("duration_to_minutes", minutes_of_duration),
        ],
        examples: &[
            ("timestamp('2023-07-14T10:30:45.123Z').getMinutes()", "30"),
            ("duration('90m').getMinutes()", "90"),
        ],
    },
    Function {
        name: "getSeconds",
        doc: "Returns the second of a timestamp, in UTC or in a time zone, or all seconds of a duration.",
        overloads: &[
            of_timestamp("timestamp_to_seconds", seconds),
            of_timestamp_in_zone("timestamp_to_seconds_tz", seconds),
            of_duration("duration_to_seconds", seconds_of_duration),
        ],
        examples: &[
            ("timestamp('2023-07-14T10:30:45.123Z').getSeconds()", "45"),
            ("duration('1m1.5s').getSeconds()", "61"),
        ],
    },
    Function {
        name: "getMilliseconds",
        doc: "Returns the milliseconds of the second of a timestamp, in UTC or in a time zone, or all milliseconds of a duration.",
        overloads: &[
            of_timestamp("timestamp_to_milliseconds", milliseconds),
            of_timestamp_in_zone("timestamp_to_milliseconds_with_tz", milliseconds),
            of_duration("duration_to_milliseconds", milliseconds_of_duration),
        ],
        examples: &[
            (
                "timestamp('2023-07-14T10:30:45.123Z').getMilliseconds()",
                "123",
            ),
            ("duration('1.5s').getMilliseconds()", "1500"),
        ],
    },
];

const fn of_timestamp(id: &'static str, body: Body) -> Overload {
    member(id, &[Type::Timestamp], Type::Int, body, cost::one)
}

const fn of_timestamp_in_zone(id: &'static str, body: Body) -> Overload {
    member(
        id,
        &[Type::Timestamp, Type::String],
        Type::Int,
        body,
        cost::one,
    )
}

const fn of_duration(id: &'static str, body: Body) -> Overload {
    member(id, &[Type::Duration], Type::Int, body, cost::one)
}

fn full_year<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    field(call, arguments, |civil| civil.year)
}

fn month<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    field(call, arguments, |civil| civil.month - 1)
}

fn day_of_year<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    field(call, arguments, |civil| civil.day_of_year - 1)
}

fn day_of_month<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    field(call, arguments, |civil| civil.day - 1)
}

fn date<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    field(call, arguments, |civil| civil.day)
}

fn day_of_week<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    field(call, arguments, |civil| civil.weekday)
}

fn hours<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    field(call, arguments, |civil| civil.hour)
}

fn minutes<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    field(call, arguments, |civil| civil.minute)
}

fn seconds<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    field(call, arguments, |civil| civil.second)
}

/// The time zone does not change them, but it must be one.
fn milliseconds<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    field(call, arguments, |_| 0)?;
    match arguments {
        [Value::Timestamp(timestamp), ..] => Ok(Value::Int(i64::from(timestamp.nanos / 1_000_000))),
        _ => no_such_overload(call),
    }
}

fn field<'a>(call: &Call<'a>, arguments: &[Value<'a>], select: fn(Civil) -> i64) -> Result<'a> {
    let (timestamp, offset) = match arguments {
        [Value::Timestamp(timestamp)] => (timestamp, Ok(0)),
        [Value::Timestamp(timestamp), Value::String(zone)] => {
            (timestamp, offset_in(*timestamp, zone))
        }
        _ => return no_such_overload(call),
    };
    match offset {
        Ok(offset) => Ok(Value::Int(select(timestamp.civil(offset)))),
        Err(error) => Err(call.fault(&error)),
    }
}

/// Returns how many seconds east of UTC a time zone is at a time; a zone with a colon is an offset
/// of hours and minutes, which may be larger than any real one.
fn offset_in(timestamp: Timestamp, zone: &str) -> std::result::Result<i64, String> {
    let Some((hours, minutes)) = zone.split_once(':') else {
        return offset_of_name(timestamp, zone);
    };
    let number = |digits: &str| {
        digits.parse::<i64>().map_err(|error| {
            let problem = match error.kind() {
                std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
                    "value out of range"
                }
                _ => "invalid syntax",
            };
            format!("strconv.Atoi: parsing {}: {problem}", quote(digits))
        })
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let hours = hours.wrapping_mul(60);
    let offset = if zone.starts_with('-') {
        hours.wrapping_sub(minutes)
    } else {
        hours.wrapping_add(minutes)
    };
    // Wraps around as Go's nanoseconds do.
    Ok(offset.wrapping_mul(NANOS_PER_MINUTE) / NANOS_PER_SECOND)
}

/// Finds a zone of the IANA database by its exact name. `Local` is UTC: a verdict must not depend on
/// where the process runs.
fn offset_of_name(timestamp: Timestamp, name: &str) -> std::result::Result<i64, String> {
    if matches!(name, "" | "UTC" | "Local") {
        return Ok(0);
    }
    if name.contains("..") || name.starts_with(['/', '\\']) {
        return Err("time: invalid location name".to_owned());
    }
    let zone = TimeZone::get(name)
        .ok()
        // The database is searched without regard to case, Go's is a folder of files.
        .filter(|zone| zone.iana_name() == Some(name))
        .ok_or_else(|| format!("unknown time zone {name}"))?;
    let nearest = timestamp.seconds.clamp(
        jiff::Timestamp::MIN.as_second(),
        jiff::Timestamp::MAX.as_second(),
    );
    let at = jiff::Timestamp::from_second(nearest).unwrap_or_default();
    Ok(i64::from(zone.to_offset(at).seconds()))
}

fn hours_of_duration<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    whole_units(call, arguments, NANOS_PER_HOUR)
}

fn minutes_of_duration<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    whole_units(call, arguments, NANOS_PER_MINUTE)
}

fn seconds_of_duration<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    whole_units(call, arguments, NANOS_PER_SECOND)
}

fn milliseconds_of_duration<'a>(call: &Call<'a>, arguments: &[Value<'a>]) -> Result<'a> {
    match arguments {
        [Value::Duration(duration)] => Ok(Value::Int(duration.nanos / NANOS_PER_MILLISECOND)),
        _ => no_such_overload(call),
    }
}

fn whole_units<'a>(call: &Call<'a>, arguments: &[Value<'a>], unit: i64) -> Result<'a> {
    match arguments {
        [Value::Duration(duration)] => Ok(Value::Int(duration.in_units(unit) as i64)),
        _ => no_such_overload(call),
    }
}
