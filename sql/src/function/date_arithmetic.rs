//! Arithmetic on dates, times and intervals where DataFusion's result has another type or value.
//!
//! Law: date - date is whole days, date ± integer a date, timestamp - timestamp an interval of
//! days and time, interval times a number spills months into days and days into time, as Postgres
//! does. Adding an interval goes months first, then days, then time.

use std::cmp::Ordering;

use arrow::datatypes::IntervalMonthDayNano;
use datafusion::logical_expr::ScalarUDF;

use crate::error::SqlError;
use crate::text_io::datetime::calendar::{DAY, HOUR, add_months};
use crate::text_io::interval;

use super::body::{
    Bool, Date, Float8, Int4, Interval, Num, Numeric, Text, Time, Timestamp, Timestamptz, fn1, fn2,
};
use super::scalar::Scalar;

pub fn functions() -> Vec<ScalarUDF> {
    let mut all = dates();
    all.extend(times());
    all.extend(intervals());
    all
}

fn dates() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("date_mi").overload(fn2::<Date, Date, Int4>(|a, b| Ok(a - b))).udf(),
        Scalar::new("date_pl_int")
            .overload(fn2::<Date, Int4, Date>(|date, days| {
                date.checked_add(days).ok_or_else(date_out_of_range)
            }))
            .udf(),
        Scalar::new("date_mi_int")
            .overload(fn2::<Date, Int4, Date>(|date, days| {
                date.checked_sub(days).ok_or_else(date_out_of_range)
            }))
            .udf(),
        Scalar::new("timestamp_mi")
            .overload(fn2::<Timestamp, Timestamp, Interval>(subtract))
            .overload(fn2::<Timestamptz, Timestamptz, Interval>(subtract))
            .udf(),
        Scalar::new("timestamp_pl_interval")
            .overload(fn2::<Timestamp, Interval, Timestamp>(|t, i| add(t, i, 1)))
            .overload(fn2::<Timestamptz, Interval, Timestamptz>(|t, i| add(t, i, 1)))
            .udf(),
        Scalar::new("timestamp_mi_interval")
            .overload(fn2::<Timestamp, Interval, Timestamp>(|t, i| add(t, i, -1)))
            .overload(fn2::<Timestamptz, Interval, Timestamptz>(|t, i| add(t, i, -1)))
            .udf(),
        Scalar::new("interval_pl_timestamp")
            .overload(fn2::<Interval, Timestamp, Timestamp>(|i, t| add(t, i, 1)))
            .overload(fn2::<Interval, Timestamptz, Timestamptz>(|i, t| add(t, i, 1)))
            .udf(),
        Scalar::new("int_pl_date")
            .overload(fn2::<Int4, Date, Date>(|days, date| {
                date.checked_add(days).ok_or_else(date_out_of_range)
            }))
            .udf(),
        Scalar::new("date_pl_interval")
            .overload(fn2::<Date, Interval, Timestamp>(|date, i| add(midnight(date)?, i, 1)))
            .udf(),
        Scalar::new("interval_pl_date")
            .overload(fn2::<Interval, Date, Timestamp>(|i, date| add(midnight(date)?, i, 1)))
            .udf(),
        Scalar::new("date_mi_interval")
            .overload(fn2::<Date, Interval, Timestamp>(|date, i| add(midnight(date)?, i, -1)))
            .udf(),
        Scalar::new("datetime_pl")
            .overload(fn2::<Date, Time, Timestamp>(|date, time| Ok(midnight(date)? + time)))
            .udf(),
        Scalar::new("timedate_pl")
            .overload(fn2::<Time, Date, Timestamp>(|time, date| Ok(midnight(date)? + time)))
            .udf(),
    ]
}

fn times() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("time_mi_time")
            .overload(fn2::<Time, Time, Interval>(|a, b| made(0, 0, a - b)))
            .udf(),
        Scalar::new("interval_pl_time")
            .overload(fn2::<Interval, Time, Time>(|span, time| {
                Ok((time + interval::micros(span)).rem_euclid(DAY))
            }))
            .udf(),
        Scalar::new("time_pl_interval")
            .overload(fn2::<Time, Interval, Time>(|time, span| {
                Ok((time + interval::micros(span)).rem_euclid(DAY))
            }))
            .udf(),
        Scalar::new("time_mi_interval")
            .overload(fn2::<Time, Interval, Time>(|time, span| {
                Ok((time - interval::micros(span)).rem_euclid(DAY))
            }))
            .udf(),
    ]
}

fn intervals() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("interval_pl")
            .overload(fn2::<Interval, Interval, Interval>(|a, b| combine(a, b, 1)))
            .udf(),
        Scalar::new("interval_mi")
            .overload(fn2::<Interval, Interval, Interval>(|a, b| combine(a, b, -1)))
            .udf(),
        Scalar::new("interval_um")
            .overload(fn1::<Interval, Interval>(|a| {
                combine(IntervalMonthDayNano::new(0, 0, 0), a, -1)
            }))
            .udf(),
        Scalar::new("interval_mul")
            .overload(fn2::<Interval, Float8, Interval>(multiply))
            .overload(fn2::<Float8, Interval, Interval>(|by, span| multiply(span, by)))
            .udf(),
        Scalar::new("interval_div").overload(fn2::<Interval, Float8, Interval>(divide)).udf(),
        Scalar::new("interval_cut").overload(fn2::<Interval, Text, Interval>(cut)).udf(),
        Scalar::new("interval_round").overload(fn2::<Interval, Int4, Interval>(rounded)).udf(),
        Scalar::new("interval_span")
            .overload(
                fn1::<Interval, Numeric>(|span| Ok(Num { value: interval::span(span), scale: 0 }))
                    .returns_type(arrow::datatypes::DataType::Decimal128(38, 0)),
            )
            .udf(),
        Scalar::new("justify_hours").overload(fn1::<Interval, Interval>(justify_hours)).udf(),
        Scalar::new("justify_days").overload(fn1::<Interval, Interval>(justify_days)).udf(),
        Scalar::new("justify_interval").overload(fn1::<Interval, Interval>(justify)).udf(),
        compare("interval_eq", Ordering::is_eq),
        compare("interval_ne", Ordering::is_ne),
        compare("interval_lt", Ordering::is_lt),
        compare("interval_le", Ordering::is_le),
        compare("interval_gt", Ordering::is_gt),
        compare("interval_ge", Ordering::is_ge),
    ]
}

/// An interval without what is finer than a field, as `interval day` keeps it.
fn cut(mut interval: IntervalMonthDayNano, field: &str) -> Result<IntervalMonthDayNano, SqlError> {
    const MINUTE_NS: i64 = 60_000_000_000;
    let unit = match field {
        "year" | "month" => {
            if field == "year" {
                interval.months -= interval.months % 12;
            }
            interval.days = 0;
            i64::MAX
        }
        "day" => i64::MAX,
        "hour" => 60 * MINUTE_NS,
        "minute" => MINUTE_NS,
        _ => 1,
    };
    interval.nanoseconds -= interval.nanoseconds % unit;
    Ok(interval)
}

/// An interval whose seconds have so many digits after the point, rounded half away from zero.
fn rounded(
    mut interval: IntervalMonthDayNano,
    digits: i32,
) -> Result<IntervalMonthDayNano, SqlError> {
    let unit = 10i64.pow(9 - digits.clamp(0, 6).unsigned_abs());
    let half = if interval.nanoseconds < 0 { -unit / 2 } else { unit / 2 };
    let sum = interval.nanoseconds.checked_add(half);
    let sum = sum.ok_or_else(|| SqlError::new("22008", "interval out of range"))?;
    interval.nanoseconds = sum - sum % unit;
    Ok(interval)
}

/// Intervals compare by their whole length, a month being 30 days.
fn compare(name: &'static str, holds: fn(Ordering) -> bool) -> ScalarUDF {
    let body = move |a, b| Ok(holds(interval::span(a).cmp(&interval::span(b))));
    Scalar::new(name).overload(fn2::<Interval, Interval, Bool>(body)).udf()
}

fn midnight(date: i32) -> Result<i64, SqlError> {
    i64::from(date)
        .checked_mul(DAY)
        .filter(|micros| micros.checked_add(DAY).is_some())
        .ok_or_else(|| SqlError::new("22008", "date out of range for timestamp"))
}

fn date_out_of_range() -> SqlError {
    SqlError::new("22008", "date out of range")
}

/// 22008.
pub fn timestamp_out_of_range() -> SqlError {
    SqlError::new("22008", "timestamp out of range")
}

fn made(months: i64, days: i64, micros: i64) -> Result<IntervalMonthDayNano, SqlError> {
    interval::make(months, days, micros)
        .ok_or_else(|| SqlError::new("22008", "interval out of range"))
}

/// The time between, in days and time.
fn subtract(a: i64, b: i64) -> Result<IntervalMonthDayNano, SqlError> {
    let micros = a.checked_sub(b).ok_or_else(|| SqlError::new("22008", "interval out of range"))?;
    made(0, micros / DAY, micros % DAY)
}

/// `time` plus (or, with -1, minus) an interval.
pub fn add(time: i64, span: IntervalMonthDayNano, sign: i64) -> Result<i64, SqlError> {
    let mut days = time.div_euclid(DAY);
    let rest = time.rem_euclid(DAY);
    if span.months != 0 {
        days = add_months(days, sign * i64::from(span.months));
    }
    (days + sign * i64::from(span.days))
        .checked_mul(DAY)
        .and_then(|micros| micros.checked_add(rest))
        .and_then(|micros| micros.checked_add(sign * interval::micros(span)))
        .ok_or_else(timestamp_out_of_range)
}

fn combine(
    a: IntervalMonthDayNano,
    b: IntervalMonthDayNano,
    sign: i64,
) -> Result<IntervalMonthDayNano, SqlError> {
    let months = i64::from(a.months) + sign * i64::from(b.months);
    let days = i64::from(a.days) + sign * i64::from(b.days);
    let micros = interval::micros(a)
        .checked_add(sign * interval::micros(b))
        .ok_or_else(|| SqlError::new("22008", "interval out of range"))?;
    made(months, days, micros)
}

/// Fractions of months become days of a thirtieth, fractions of days become time.
fn multiply(span: IntervalMonthDayNano, by: f64) -> Result<IntervalMonthDayNano, SqlError> {
    scale(span, |part| part * by)
}

fn divide(span: IntervalMonthDayNano, by: f64) -> Result<IntervalMonthDayNano, SqlError> {
    if by == 0.0 {
        return Err(SqlError::new("22012", "division by zero"));
    }
    scale(span, |part| part / by)
}

fn scale(
    span: IntervalMonthDayNano,
    by: impl Fn(f64) -> f64,
) -> Result<IntervalMonthDayNano, SqlError> {
    // Postgres' interval_mul: seconds are rounded to a microsecond before they count as a day.
    let round = |seconds: f64| (seconds * 1e6).round_ties_even() / 1e6;
    let months = by(f64::from(span.months));
    let days = by(f64::from(span.days));
    let month_days = round((months - months.trunc()) * 30.0);
    let mut seconds = round((days - days.trunc() + month_days - month_days.trunc()) * 86_400.0);
    let mut whole_days = days.trunc() + month_days.trunc();
    if seconds.abs() >= 86_400.0 {
        whole_days += (seconds / 86_400.0).trunc();
        seconds -= (seconds / 86_400.0).trunc() * 86_400.0;
    }
    let micros = by(interval::micros(span) as f64) + seconds * 1e6;
    let fits = |value: f64| (value.abs() < 9.2e18).then_some(value as i64);
    match (fits(months.trunc()), fits(whole_days), fits(micros.round_ties_even())) {
        (Some(months), Some(days), Some(micros)) => made(months, days, micros),
        _ => Err(SqlError::new("22008", "interval out of range")),
    }
}

fn justify_hours(span: IntervalMonthDayNano) -> Result<IntervalMonthDayNano, SqlError> {
    let micros = interval::micros(span);
    let (days, rest) = level(i64::from(span.days) + micros / DAY, micros % DAY, DAY);
    made(span.months.into(), days, rest)
}

fn justify_days(span: IntervalMonthDayNano) -> Result<IntervalMonthDayNano, SqlError> {
    let days = i64::from(span.days);
    let (months, days) = level(i64::from(span.months) + days / 30, days % 30, 30);
    made(months, days, interval::micros(span))
}

fn justify(span: IntervalMonthDayNano) -> Result<IntervalMonthDayNano, SqlError> {
    let hours = justify_hours(span)?;
    let days = justify_days(hours)?;
    let micros = interval::micros(days);
    // All parts of one sign.
    let (mut months, mut whole_days, mut rest) =
        (i64::from(days.months), i64::from(days.days), micros);
    if months > 0 && (whole_days < 0 || (whole_days == 0 && rest < 0)) {
        (months, whole_days) = (months - 1, whole_days + 30);
    } else if months < 0 && (whole_days > 0 || (whole_days == 0 && rest > 0)) {
        (months, whole_days) = (months + 1, whole_days - 30);
    }
    (whole_days, rest) = level(whole_days, rest, 24 * HOUR);
    made(months, whole_days, rest)
}

/// Brings two parts to one sign.
fn level(large: i64, small: i64, unit: i64) -> (i64, i64) {
    if large > 0 && small < 0 {
        (large - 1, small + unit)
    } else if large < 0 && small > 0 {
        (large + 1, small - unit)
    } else {
        (large, small)
    }
}
