//! `date_trunc`, `date_bin`, `tumble_start` and `hop_start`.
//!
//! Law: truncation is to the start of the field in UTC (or in the zone named), weeks begin on
//! Monday; date_bin counts whole strides from its origin, downwards. A time is in at most
//! [`WINDOWS_MAX`] windows of a hop (22023).

use arrow::datatypes::IntervalMonthDayNano;
use datafusion::logical_expr::ScalarUDF;

use crate::error::SqlError;
use crate::text_io::datetime::calendar::{
    DAY, HOUR, MINUTE, SECOND, civil, days_from_civil, iso_week, iso_week_start,
};
use crate::text_io::{Zone, interval};

use super::body::{Interval, Text, Timestamp, Timestamptz, fn2, fn3};
use super::extract::Field;
use super::scalar::Scalar;

/// Most windows that one row may be in.
const WINDOWS_MAX: i64 = 100_000;

pub fn functions() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("date_trunc")
            .alias("datetrunc")
            .overload(fn2::<Text, Timestamp, Timestamp>(|f, t| {
                trunc(f, t, "timestamp without time zone")
            }))
            .overload(fn2::<Text, Timestamptz, Timestamptz>(|f, t| {
                trunc(f, t, "timestamp with time zone")
            }))
            .overload(fn3::<Text, Timestamptz, Text, Timestamptz>(trunc_in_zone))
            .overload(fn2::<Text, Interval, Interval>(trunc_interval))
            .udf(),
        Scalar::new("date_bin")
            .overload(fn3::<Interval, Timestamp, Timestamp, Timestamp>(bin))
            .overload(fn3::<Interval, Timestamptz, Timestamptz, Timestamptz>(bin))
            .udf(),
        // The window of `FROM tumble(…)` that holds a time: whole strides since the epoch.
        Scalar::new("tumble_start")
            .overload(fn2::<Interval, Timestamp, Timestamp>(|size, t| bin(size, t, 0)))
            .overload(fn2::<Interval, Timestamptz, Timestamptz>(|size, t| bin(size, t, 0)))
            .udf(),
        // The first window of `FROM hop(…)` that holds a time and begins after another.
        Scalar::new("hop_start")
            .overload(fn3::<Interval, Timestamp, Timestamp, Timestamp>(hop_start))
            .overload(fn3::<Interval, Timestamptz, Timestamptz, Timestamptz>(hop_start))
            .udf(),
    ]
}

fn field(name: &str, ty: &str) -> Result<Field, SqlError> {
    Field::named(name).ok_or_else(|| {
        let message = format!("unit \"{}\" not recognized for type {ty}", name.to_lowercase());
        SqlError::new("22023", message)
    })
}

/// The first year of a period of `years` that begin with years 1, 1 + years, …
fn period_start(year: i64, years: i64) -> i64 {
    (year - 1).div_euclid(years) * years + 1
}

fn trunc(name: &str, micros: i64, ty: &str) -> Result<i64, SqlError> {
    let unit = |unit: i64| micros.div_euclid(unit) * unit;
    let at = civil(micros);
    let day = |year: i64, month: i64| days_from_civil(year, month, 1) * DAY;
    Ok(match field(name, ty)? {
        Field::Microseconds => micros,
        Field::Milliseconds => unit(1_000),
        Field::Second => unit(SECOND),
        Field::Minute => unit(MINUTE),
        Field::Hour => unit(HOUR),
        Field::Day => unit(DAY),
        Field::Week => {
            let (year, week) = iso_week(at.days);
            iso_week_start(year, week) * DAY
        }
        Field::Month => day(at.year, at.month),
        Field::Quarter => day(at.year, (at.month - 1) / 3 * 3 + 1),
        Field::Year => day(at.year, 1),
        Field::Decade => day(at.year.div_euclid(10) * 10, 1),
        Field::Century => day(period_start(at.year, 100), 1),
        Field::Millennium => day(period_start(at.year, 1_000), 1),
        _ => {
            let message = format!("unit \"{}\" not supported for type {ty}", name.to_lowercase());
            return Err(SqlError::new("0A000", message));
        }
    })
}

fn trunc_in_zone(name: &str, micros: i64, zone: &str) -> Result<i64, SqlError> {
    let unknown = || SqlError::new("22023", format!("time zone \"{zone}\" not recognized"));
    let zone = Zone::named(zone).ok_or_else(unknown)?;
    let local = zone.to_local(micros).ok_or_else(super::date_arithmetic::timestamp_out_of_range)?;
    let truncated = trunc(name, local, "timestamp with time zone")?;
    zone.to_utc(truncated).ok_or_else(super::date_arithmetic::timestamp_out_of_range)
}

fn trunc_interval(
    name: &str,
    span: IntervalMonthDayNano,
) -> Result<IntervalMonthDayNano, SqlError> {
    let micros = interval::micros(span);
    let (months, days) = (span.months, span.days);
    let made = |months: i32, days: i32, micros: i64| {
        interval::make(months.into(), days.into(), micros).expect("nearer to zero than a valid one")
    };
    let years = |years: i32| made(months / (12 * years) * (12 * years), 0, 0);
    Ok(match field(name, "interval")? {
        Field::Microseconds => span,
        Field::Milliseconds => made(months, days, micros / 1_000 * 1_000),
        Field::Second => made(months, days, micros / SECOND * SECOND),
        Field::Minute => made(months, days, micros / MINUTE * MINUTE),
        Field::Hour => made(months, days, micros / HOUR * HOUR),
        Field::Day => made(months, days, 0),
        Field::Month => made(months, 0, 0),
        Field::Quarter => made(months / 3 * 3, 0, 0),
        Field::Year => years(1),
        Field::Decade => years(10),
        Field::Century => years(100),
        Field::Millennium => years(1_000),
        _ => {
            let name = name.to_lowercase();
            let message = format!("unit \"{name}\" not supported for type interval");
            return Err(SqlError::new("0A000", message));
        }
    })
}

fn bin(stride: IntervalMonthDayNano, at: i64, origin: i64) -> Result<i64, SqlError> {
    if stride.months != 0 {
        let message = "timestamps cannot be binned into intervals containing months or years";
        return Err(SqlError::new("0A000", message));
    }
    let micros = i64::try_from(interval::span(stride))
        .map_err(|_| SqlError::new("22008", "interval out of range"))?;
    if micros <= 0 {
        return Err(SqlError::new("22008", "stride must be greater than zero"));
    }
    let since =
        at.checked_sub(origin).ok_or_else(|| SqlError::new("22008", "interval out of range"))?;
    Ok(origin + since.div_euclid(micros) * micros)
}

/// The first multiple of the slide after `after`: a window for each from there to `at`.
fn hop_start(slide: IntervalMonthDayNano, after: i64, at: i64) -> Result<i64, SqlError> {
    let before = bin(slide, after, 0)?;
    let step = interval::span(slide);
    let span = i128::from(bin(slide, at, 0)?) - i128::from(before);
    if span / step > i128::from(WINDOWS_MAX) {
        let windows = span / step;
        let message = format!("a row is in {windows} windows of hop, the limit is {WINDOWS_MAX}");
        return Err(
            SqlError::new("22023", message).with_hint("use a longer slide or a shorter size")
        );
    }
    i64::try_from(i128::from(before) + step)
        .map_err(|_| super::date_arithmetic::timestamp_out_of_range())
}
