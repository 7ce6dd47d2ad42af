//! Dates and times as text: `date`, `time`, `timestamp`, `timestamptz`, in DateStyle `ISO, MDY`.
//!
//! Law: what is printed reads back as the same value. Input takes the spellings people write
//! (ISO 8601, month names, `am`/`pm`, offsets, zone names, `epoch`, `BC`), as Postgres does.
//! `now`, `today`, `tomorrow` and `yesterday` need a clock and are refused without one.
//! Not promised: `infinity` (0A000).

pub mod calendar;
mod fields;
mod output;
pub mod zone;

pub use fields::{Fields, read};
pub use output::{format_date, format_time, format_timestamp, format_timestamptz};
pub use zone::Zone;

use crate::error::SqlError;

use super::fault;
use calendar::{DAY, HOUR, MINUTE, SECOND};

/// What text input depends on beside the text.
#[derive(Debug, Clone, Default)]
pub struct InputSettings {
    /// The zone of a `timestamptz` that names none.
    pub zone: Zone,
    /// `now()` in microseconds since 1970, for `'now'` and `'today'`; None where they are refused.
    pub now: Option<i64>,
}

/// Days since 1970-01-01.
pub fn parse_date(text: &str, input: &InputSettings) -> Result<i32, SqlError> {
    let fields = read(text, "date")?;
    let days = match fields.special_days(text, input)? {
        Some(micros) => micros.div_euclid(DAY),
        None => fields.days(text, "date")?,
    };
    i32::try_from(days).map_err(|_| fault::error("22008", format!("date out of range: \"{text}\"")))
}

/// Microseconds since midnight; `24:00:00` is one.
pub fn parse_time(text: &str, input: &InputSettings) -> Result<i64, SqlError> {
    let fields = read(text, "time")?;
    if let Some(micros) = fields.special_days(text, input)? {
        return Ok(micros.rem_euclid(DAY));
    }
    match fields.time {
        Some(_) => fields.micros_of_day(text),
        None => Err(fault::datetime_syntax("time", text)),
    }
}

/// Microseconds since 1970-01-01 00:00 of no zone; an offset in the text is read and ignored.
pub fn parse_timestamp(text: &str, input: &InputSettings) -> Result<i64, SqlError> {
    let fields = read(text, "timestamp")?;
    match fields.special_days(text, input)? {
        Some(micros) => Ok(micros),
        None => local(&fields, text, "timestamp"),
    }
}

/// Microseconds since 1970-01-01 00:00 UTC.
pub fn parse_timestamptz(text: &str, input: &InputSettings) -> Result<i64, SqlError> {
    let fields = read(text, "timestamp with time zone")?;
    if let Some(micros) = fields.special_days(text, input)? {
        return Ok(micros);
    }
    let local = local(&fields, text, "timestamp with time zone")?;
    let zone = fields.zone.as_ref().unwrap_or(&input.zone);
    zone.to_utc(local).ok_or_else(|| out_of_range(text))
}

fn local(fields: &Fields, text: &str, name: &str) -> Result<i64, SqlError> {
    let days = fields.days(text, name)?;
    let micros = fields.micros_of_day(text)?;
    days.checked_mul(DAY)
        .and_then(|midnight| midnight.checked_add(micros))
        .ok_or_else(|| out_of_range(text))
}

fn out_of_range(text: &str) -> SqlError {
    fault::error("22008", format!("timestamp out of range: \"{text}\""))
}

/// Microseconds of hours, minutes, seconds and microseconds.
pub fn micros_of(hour: i64, minute: i64, second: i64, micros: i64) -> i64 {
    hour * HOUR + minute * MINUTE + second * SECOND + micros
}
