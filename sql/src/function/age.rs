//! `age(a, b)`: the time between, in years, months, days and time as people count it.
//!
//! Law: b plus the result is a. Borrowed days are those of the month of the earlier one, as in
//! Postgres. `age(x)` is spelled `age(current_date, x)` before it is planned.

use arrow::datatypes::IntervalMonthDayNano;
use datafusion::logical_expr::ScalarUDF;

use crate::error::SqlError;
use crate::text_io::datetime::calendar::{DAY, civil, days_in_month};
use crate::text_io::interval;

use super::body::{Bool, Date, Interval, Timestamp, Timestamptz, fn1, fn2};
use super::scalar::Scalar;

pub fn functions() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("age")
            .overload(fn2::<Timestamp, Timestamp, Interval>(age))
            .overload(fn2::<Timestamptz, Timestamptz, Interval>(age))
            .udf(),
        Scalar::new("isfinite")
            .overload(fn1::<Date, Bool>(|_| Ok(true)))
            .overload(fn1::<Timestamp, Bool>(|_| Ok(true)))
            .overload(fn1::<Timestamptz, Bool>(|_| Ok(true)))
            .overload(fn1::<Interval, Bool>(|_| Ok(true)))
            .udf(),
    ]
}

fn age(a: i64, b: i64) -> Result<IntervalMonthDayNano, SqlError> {
    let negative = a < b;
    let (late, early) = if negative { (civil(b), civil(a)) } else { (civil(a), civil(b)) };
    let mut micros = if negative {
        b.rem_euclid(DAY) - a.rem_euclid(DAY)
    } else {
        a.rem_euclid(DAY) - b.rem_euclid(DAY)
    };
    let mut days = late.day - early.day;
    let mut months = late.year * 12 + late.month - early.year * 12 - early.month;
    if micros < 0 {
        micros += DAY;
        days -= 1;
    }
    while days < 0 {
        days += days_in_month(early.year, early.month);
        months -= 1;
    }
    let sign = if negative { -1 } else { 1 };
    interval::make(sign * months, sign * days, sign * micros)
        .ok_or_else(|| SqlError::new("22008", "interval out of range"))
}
