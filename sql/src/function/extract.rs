//! `EXTRACT(field FROM x)` and `date_part('field', x)`.
//!
//! Law: EXTRACT gives numeric, with the digits after the point that Postgres shows for the field (6
//! for seconds and epochs, 3 for milliseconds, none for the others); date_part gives double
//! precision. An unknown field is 22023, one that the type has not 0A000.

use arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ScalarUDF;

use crate::error::SqlError;
use crate::text_io::datetime::calendar::{
    Civil, DAY, HOUR, JULIAN_EPOCH, MINUTE, SECOND, civil, days_from_civil, iso_week, weekday,
};
use crate::text_io::{interval, numeric};

use super::body::{
    Date, Float8, Interval, Num, Numeric, Ret, Text, Time, Timestamp, Timestamptz, fn2,
};
use super::scalar::{Overload, Scalar};

/// What can be extracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Microseconds,
    Milliseconds,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    Dow,
    IsoDow,
    Doy,
    IsoYear,
    Julian,
    Epoch,
    Timezone,
    TimezoneHour,
    TimezoneMinute,
}

impl Field {
    /// By any of the names Postgres takes.
    pub fn named(name: &str) -> Option<Field> {
        Some(match name.trim().to_ascii_lowercase().as_str() {
            "microsecond" | "microseconds" | "us" | "usec" | "usecs" => Field::Microseconds,
            "millisecond" | "milliseconds" | "ms" | "msec" | "msecs" => Field::Milliseconds,
            "second" | "seconds" | "s" | "sec" | "secs" => Field::Second,
            "minute" | "minutes" | "m" | "min" | "mins" => Field::Minute,
            "hour" | "hours" | "h" | "hr" | "hrs" => Field::Hour,
            "day" | "days" | "d" => Field::Day,
            "week" | "weeks" | "w" => Field::Week,
            "month" | "months" | "mon" | "mons" => Field::Month,
            "quarter" | "qtr" => Field::Quarter,
            "year" | "years" | "y" | "yr" | "yrs" => Field::Year,
            "decade" | "decades" | "dec" | "decs" => Field::Decade,
            "century" | "centuries" | "c" | "cent" => Field::Century,
            "millennium" | "millennia" | "mil" | "mils" => Field::Millennium,
            "dow" => Field::Dow,
            "isodow" => Field::IsoDow,
            "doy" => Field::Doy,
            "isoyear" => Field::IsoYear,
            "julian" => Field::Julian,
            "epoch" => Field::Epoch,
            "timezone" => Field::Timezone,
            "timezone_h" | "timezone_hour" => Field::TimezoneHour,
            "timezone_m" | "timezone_minute" => Field::TimezoneMinute,
            _ => return None,
        })
    }

    /// Digits after the point.
    fn scale(self) -> i8 {
        match self {
            Field::Second | Field::Epoch => 6,
            Field::Milliseconds => 3,
            Field::Julian => numeric::SCALE_UNCONSTRAINED,
            _ => 0,
        }
    }
}

pub fn functions() -> Vec<ScalarUDF> {
    let mut extract = Scalar::new("extract");
    for overload in numerics() {
        extract = extract.overload(overload);
    }
    let part = Scalar::new("date_part")
        .alias("datepart")
        .overload(fn2::<Text, Date, Float8>(|f, x| float(of_date(f, x))))
        .overload(fn2::<Text, Time, Float8>(|f, x| float(of_time(f, x))))
        .overload(fn2::<Text, Timestamp, Float8>(|f, x| float(of_timestamp(f, x, false))))
        .overload(fn2::<Text, Timestamptz, Float8>(|f, x| float(of_timestamp(f, x, true))))
        .overload(fn2::<Text, Interval, Float8>(|f, x| float(of_interval(f, x))));
    vec![extract.udf(), part.udf()]
}

fn numerics() -> [Overload; 5] {
    [
        fn2::<Text, Date, Numeric>(of_date).returns(result),
        fn2::<Text, Time, Numeric>(of_time).returns(result),
        fn2::<Text, Timestamp, Numeric>(|f, x| of_timestamp(f, x, false)).returns(result),
        fn2::<Text, Timestamptz, Numeric>(|f, x| of_timestamp(f, x, true)).returns(result),
        fn2::<Text, Interval, Numeric>(of_interval).returns(result),
    ]
}

/// The scale is the field's, which is a constant.
fn result(types: &[DataType], constants: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    let name = match constants.first() {
        Some(Some(ScalarValue::Utf8(Some(name)))) => name.as_str(),
        _ => return Ok(Numeric::TY.data_type()),
    };
    let field = field(name, &super::type_name(&types[1]))?;
    let whole = matches!(types[1], DataType::Date32) && field == Field::Epoch;
    Ok(DataType::Decimal128(38, if whole { 0 } else { field.scale() }))
}

fn field(name: &str, ty: &str) -> Result<Field, SqlError> {
    Field::named(name).ok_or_else(|| {
        let name = name.to_lowercase();
        SqlError::new("22023", format!("unit \"{name}\" not recognized for type {ty}"))
    })
}

fn unsupported(name: &str, ty: &str) -> SqlError {
    let name = name.to_lowercase();
    SqlError::new("0A000", format!("unit \"{name}\" not supported for type {ty}"))
}

fn float(value: Result<Num, SqlError>) -> Result<f64, SqlError> {
    value.map(|n| numeric::to_float8(n.value, n.scale))
}

fn whole(value: i64) -> Num {
    Num { value: value.into(), scale: 0 }
}

fn scaled(value: impl Into<i128>, scale: i8) -> Num {
    Num { value: value.into(), scale }
}

fn of_date(name: &str, days: i32) -> Result<Num, SqlError> {
    let field = field(name, "date")?;
    let clock = matches!(
        field,
        Field::Microseconds
            | Field::Milliseconds
            | Field::Second
            | Field::Minute
            | Field::Hour
            | Field::Timezone
            | Field::TimezoneHour
            | Field::TimezoneMinute
    );
    if clock {
        return Err(unsupported(name, "date"));
    }
    match field {
        Field::Julian => Ok(whole(i64::from(days) + JULIAN_EPOCH)),
        Field::Epoch => Ok(whole(i64::from(days) * (DAY / SECOND))),
        field => Ok(of_civil(field, &civil(i64::from(days) * DAY))),
    }
}

fn of_time(name: &str, micros: i64) -> Result<Num, SqlError> {
    let ty = "time without time zone";
    let field = field(name, ty)?;
    match field {
        Field::Microseconds | Field::Milliseconds | Field::Second | Field::Minute | Field::Hour => {
            Ok(of_clock(field, micros))
        }
        Field::Epoch => Ok(scaled(micros, 6)),
        _ => Err(unsupported(name, ty)),
    }
}

fn of_timestamp(name: &str, micros: i64, zoned: bool) -> Result<Num, SqlError> {
    let with = if zoned { "with" } else { "without" };
    let field = field(name, &format!("timestamp {with} time zone"))?;
    match field {
        Field::Timezone | Field::TimezoneHour | Field::TimezoneMinute if zoned => Ok(whole(0)),
        Field::Timezone | Field::TimezoneHour | Field::TimezoneMinute => {
            Err(unsupported(name, "timestamp without time zone"))
        }
        Field::Epoch => Ok(scaled(micros, 6)),
        Field::Julian => {
            let days = micros.div_euclid(DAY) + JULIAN_EPOCH;
            let unit = numeric::power_of_ten(15).expect("fits");
            let part = numeric::divide_round(i128::from(micros.rem_euclid(DAY)) * unit, DAY.into());
            Ok(scaled(i128::from(days) * unit + part, 15))
        }
        Field::Microseconds | Field::Milliseconds | Field::Second | Field::Minute | Field::Hour => {
            Ok(of_clock(field, micros.rem_euclid(DAY)))
        }
        field => Ok(of_civil(field, &civil(micros))),
    }
}

fn of_clock(field: Field, micros: i64) -> Num {
    match field {
        Field::Microseconds => whole(micros % MINUTE),
        Field::Milliseconds => scaled(micros % MINUTE, 3),
        Field::Second => scaled(micros % MINUTE, 6),
        Field::Minute => whole(micros / MINUTE % 60),
        _ => whole(micros / HOUR),
    }
}

fn of_civil(field: Field, at: &Civil) -> Num {
    // There is no year 0 in what people count.
    let counted = if at.year > 0 { at.year } else { at.year - 1 };
    let era = |years: i64| match counted > 0 {
        true => (counted + years - 1) / years,
        false => -((years - 1 - counted) / years),
    };
    whole(match field {
        Field::Day => at.day,
        Field::Month => at.month,
        Field::Quarter => (at.month - 1) / 3 + 1,
        Field::Year => counted,
        Field::Decade => at.year.div_euclid(10),
        Field::Century => era(100),
        Field::Millennium => era(1_000),
        Field::Dow => weekday(at.days),
        Field::IsoDow => (weekday(at.days) + 6) % 7 + 1,
        Field::Doy => at.days - days_from_civil(at.year, 1, 1) + 1,
        Field::Week => iso_week(at.days).1,
        Field::IsoYear => match iso_week(at.days).0 {
            year if year > 0 => year,
            year => year - 1,
        },
        _ => 0,
    })
}

fn of_interval(name: &str, span: IntervalMonthDayNano) -> Result<Num, SqlError> {
    let field = field(name, "interval")?;
    let micros = interval::micros(span);
    let months = i64::from(span.months);
    Ok(match field {
        Field::Hour => whole(micros / HOUR),
        Field::Microseconds | Field::Milliseconds | Field::Second | Field::Minute => {
            of_clock(field, micros)
        }
        Field::Day => whole(span.days.into()),
        Field::Month => whole(months % 12),
        Field::Quarter => whole(months % 12 / 3 + 1),
        Field::Year => whole(months / 12),
        Field::Decade => whole(months / 120),
        Field::Century => whole(months / 1_200),
        Field::Millennium => whole(months / 12_000),
        Field::Epoch => {
            // A year counts 365.25 days, a month of it 30 days.
            let days = i128::from(months / 12) * 1_461 * 6
                + i128::from(months % 12) * 30 * 24
                + i128::from(span.days) * 24;
            let hours = i128::from(HOUR);
            scaled(days * hours + i128::from(micros), 6)
        }
        _ => return Err(unsupported(name, "interval")),
    })
}
