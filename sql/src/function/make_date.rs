//! Dates and times made of numbers: `make_date`, `make_time`, `make_timestamp[tz]`,
//! `make_interval`, `timezone` (AT TIME ZONE).

use arrow::datatypes::IntervalMonthDayNano;
use datafusion::logical_expr::ScalarUDF;

use crate::error::SqlError;
use crate::text_io::datetime::calendar::{
    DAY, HOUR, MINUTE, SECOND, days_from_civil, days_in_month,
};
use crate::text_io::{Zone, interval};

use super::body::{
    Arg, Date, Float8, Int4, Interval, Text, Time, Timestamp, Timestamptz, fn2, fn3, fn6, fn7,
};
use super::date_arithmetic::timestamp_out_of_range;
use super::scalar::{Call, Overload, Returns, Scalar};

pub fn functions() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("make_date").overload(fn3::<Int4, Int4, Int4, Date>(make_date)).udf(),
        Scalar::new("make_time").overload(fn3::<Int4, Int4, Float8, Time>(make_time)).udf(),
        Scalar::new("make_timestamp")
            .overload(fn6::<Int4, Int4, Int4, Int4, Int4, Float8, Timestamp>(make_timestamp))
            .udf(),
        Scalar::new("make_timestamptz")
            .overload(fn6::<Int4, Int4, Int4, Int4, Int4, Float8, Timestamptz>(make_timestamp))
            .overload(fn7::<Int4, Int4, Int4, Int4, Int4, Float8, Text, Timestamptz>(
                |y, mo, d, h, mi, s, zone| {
                    let local = make_timestamp(y, mo, d, h, mi, s)?;
                    named(zone)?.to_utc(local).ok_or_else(timestamp_out_of_range)
                },
            ))
            .udf(),
        make_interval(),
        Scalar::new("timezone")
            .overload(fn2::<Text, Timestamp, Timestamptz>(|zone, local| {
                named(zone)?.to_utc(local).ok_or_else(timestamp_out_of_range)
            }))
            .overload(fn2::<Text, Timestamptz, Timestamp>(|zone, utc| {
                named(zone)?.to_local(utc).ok_or_else(timestamp_out_of_range)
            }))
            .overload(fn2::<Interval, Timestamp, Timestamptz>(|east, local| {
                local.checked_sub(interval::micros(east)).ok_or_else(timestamp_out_of_range)
            }))
            .overload(fn2::<Interval, Timestamptz, Timestamp>(|east, utc| {
                utc.checked_add(interval::micros(east)).ok_or_else(timestamp_out_of_range)
            }))
            .udf(),
    ]
}

fn named(zone: &str) -> Result<Zone, SqlError> {
    Zone::named(zone.trim())
        .ok_or_else(|| SqlError::new("22023", format!("time zone \"{zone}\" not recognized")))
}

fn make_date(year: i32, month: i32, day: i32) -> Result<i32, SqlError> {
    let (shown, y, m, d) = (year, i64::from(year), i64::from(month), i64::from(day));
    // A negative year is BC.
    let y = if y < 0 { y + 1 } else { y };
    let exists = year != 0 && (1..=12).contains(&m) && d >= 1 && d <= days_in_month(y, m);
    let days = exists.then(|| days_from_civil(y, m, d)).and_then(|days| i32::try_from(days).ok());
    days.ok_or_else(|| {
        let date = format!("{shown}-{month:02}-{day:02}");
        SqlError::new("22008", format!("date field value out of range: {date}"))
    })
}

fn make_time(hour: i32, minute: i32, second: f64) -> Result<i64, SqlError> {
    let micros = (second * 1e6).round_ties_even();
    let total = i64::from(hour) * HOUR + i64::from(minute) * MINUTE + micros as i64;
    let valid = (0..=24).contains(&hour)
        && (0..60).contains(&minute)
        && (0.0..=60.0 * SECOND as f64).contains(&micros)
        && total <= DAY;
    if valid {
        return Ok(total);
    }
    let whole = second.trunc();
    let shown = if whole == second { format!("{whole:02}") } else { format!("{second}") };
    let message = format!("time field value out of range: {hour}:{minute:02}:{shown}");
    Err(SqlError::new("22008", message))
}

fn make_timestamp(
    year: i32,
    month: i32,
    day: i32,
    hour: i32,
    minute: i32,
    second: f64,
) -> Result<i64, SqlError> {
    let days = make_date(year, month, day)?;
    let time = make_time(hour, minute, second)?;
    i64::from(days)
        .checked_mul(DAY)
        .and_then(|micros| micros.checked_add(time))
        .ok_or_else(timestamp_out_of_range)
}

/// Years, months, weeks, days, hours, minutes, seconds; those left out are 0.
fn make_interval() -> ScalarUDF {
    let mut function = Scalar::new("make_interval");
    for count in 1..=7 {
        let mut args = vec![Int4::TY; count.min(6)];
        if count == 7 {
            args.push(Float8::TY);
        }
        function = function.overload(Overload {
            args,
            variadic: false,
            returns: Returns::Is(Interval::TY.data_type()),
            strict: true,
            body: std::sync::Arc::new(intervals),
        });
    }
    function.udf()
}

fn intervals(call: &Call<'_>) -> Result<arrow::array::ArrayRef, SqlError> {
    let mut builder = arrow::array::IntervalMonthDayNanoBuilder::with_capacity(call.rows);
    for row in 0..call.rows {
        if call.args.iter().any(|arg| arg.is_null(row)) {
            builder.append_null();
            continue;
        }
        let part = |i: usize| {
            call.args.get(i).map_or(0, |array| i64::from(Int4::item(&Int4::reader(array), row)))
        };
        let seconds =
            call.args.get(6).map_or(0.0, |array| Float8::item(&Float8::reader(array), row));
        builder.append_value(sum(part, seconds)?);
    }
    Ok(std::sync::Arc::new(builder.finish()))
}

fn sum(part: impl Fn(usize) -> i64, seconds: f64) -> Result<IntervalMonthDayNano, SqlError> {
    let months = part(0) * 12 + part(1);
    let days = part(2) * 7 + part(3);
    let micros = (seconds * 1e6).round_ties_even();
    let total = (micros.abs() < 9e18)
        .then_some(part(4) * HOUR + part(5) * MINUTE)
        .and_then(|time| time.checked_add(micros as i64));
    total
        .and_then(|micros| interval::make(months, days, micros))
        .ok_or_else(|| SqlError::new("22008", "interval out of range"))
}
