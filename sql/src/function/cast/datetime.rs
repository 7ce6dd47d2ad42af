//! Casts between dates and times, in UTC.

use std::sync::Arc;

use arrow::array::cast::AsArray;
use arrow::array::{
    ArrayRef, Date32Array, IntervalMonthDayNanoArray, Time64MicrosecondArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType,
};

use crate::error::SqlError;
use crate::text_io::datetime::calendar::DAY;
use crate::text_io::interval;

use super::no_cast;

/// Whether Postgres has the cast.
pub fn exists(from: &DataType, to: &DataType) -> bool {
    use DataType::{Date32, Interval, Time64, Timestamp};
    matches!(
        (from, to),
        (Date32 | Timestamp(..), Date32 | Timestamp(..))
            | (Timestamp(..), Time64(_))
            | (Time64(_), Interval(_))
            | (Interval(_), Time64(_) | Interval(_))
            | (DataType::Duration(_), Interval(_))
    )
}

pub fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, SqlError> {
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    match (array.data_type(), to) {
        (DataType::Timestamp(unit, _), _) if *unit != TimeUnit::Microsecond => {
            cast(&arrow::compute::cast(array, &micros)?, to)
        }
        (DataType::Timestamp(..), DataType::Timestamp(TimeUnit::Microsecond, _)) => {
            let values = array.as_primitive::<TimestampMicrosecondType>().clone();
            Ok(Arc::new(values.with_data_type(to.clone())))
        }
        (DataType::Timestamp(..), DataType::Date32) => {
            let values = array.as_primitive::<TimestampMicrosecondType>();
            let days: Date32Array = values.unary(|micros| micros.div_euclid(DAY) as i32);
            Ok(Arc::new(days))
        }
        (DataType::Timestamp(..), DataType::Time64(_)) => {
            let values = array.as_primitive::<TimestampMicrosecondType>();
            let times: Time64MicrosecondArray = values.unary(|micros| micros.rem_euclid(DAY));
            Ok(Arc::new(times))
        }
        (DataType::Date32, DataType::Timestamp(TimeUnit::Microsecond, _)) => {
            let values = array.as_primitive::<arrow::datatypes::Date32Type>();
            let out_of_range = || SqlError::new("22008", "date out of range for timestamp");
            let micros: TimestampMicrosecondArray = values
                .try_unary(|days| i64::from(days).checked_mul(DAY).ok_or_else(out_of_range))?;
            Ok(Arc::new(micros.with_data_type(to.clone())))
        }
        (DataType::Time64(_), DataType::Interval(IntervalUnit::MonthDayNano)) => {
            let values = array.as_primitive::<Time64MicrosecondType>();
            let intervals: IntervalMonthDayNanoArray =
                values.unary(|micros| interval::make(0, 0, micros).expect("a day of time fits"));
            Ok(Arc::new(intervals))
        }
        (DataType::Interval(IntervalUnit::MonthDayNano), DataType::Time64(_)) => {
            let values = array.as_primitive::<IntervalMonthDayNanoType>();
            let times: Time64MicrosecondArray =
                values.unary(|value| interval::micros(value).rem_euclid(DAY));
            Ok(Arc::new(times))
        }
        (DataType::Duration(_), DataType::Interval(IntervalUnit::MonthDayNano))
        | (DataType::Interval(_), DataType::Interval(IntervalUnit::MonthDayNano)) => {
            Ok(arrow::compute::cast(array, to)?)
        }
        (from, _) => Err(no_cast(from, to)),
    }
}
