//! `generate_series`: its rows as one array, which the rewrite pass takes apart.
//!
//! Law: from the start by steps up to and including the stop; none when the stop lies the other
//! way; a step of nothing is 22023. Bounded by the size of an array (54000).

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{
    Array, ArrayBuilder, ArrayRef, ArrowPrimitiveType, AsArray, ListArray, PrimitiveBuilder,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{
    DataType, Decimal128Type, Field, Int32Type, Int64Type, IntervalMonthDayNano,
    IntervalMonthDayNanoType, TimestampMicrosecondType,
};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ScalarUDF;

use crate::error::SqlError;
use crate::text_io::numeric::rescale;

use super::numeric_arithmetic::common;
use super::scalar::{Call, Overload, Scalar, Ty, columns, list};

/// Most rows of one call.
const ROWS_MAX: usize = 100_000_000;

pub fn functions() -> Vec<ScalarUDF> {
    let mut series = Scalar::new("generate_series");
    for (ty, body) in [
        (Ty::Int4, whole::<Int32Type> as Body),
        (Ty::Int8, whole::<Int64Type> as Body),
        (Ty::Numeric, numerics as Body),
    ] {
        series = series.overload(overload(&[ty, ty], body)).overload(overload(&[ty; 3], body));
    }
    for ty in [Ty::Timestamptz, Ty::Timestamp] {
        series = series.overload(overload(&[ty, ty, Ty::Interval], instants));
    }
    vec![series.udf()]
}

type Body = fn(&Call<'_>) -> Result<ArrayRef, SqlError>;

fn overload(args: &[Ty], body: Body) -> Overload {
    columns(args, element_type, body)
}

/// A list of the arguments' type; of numerics that which holds the digits of all.
fn element_type(
    types: &[DataType],
    constants: &[Option<&ScalarValue>],
) -> Result<DataType, SqlError> {
    let mut element = types[0].clone();
    if matches!(element, DataType::Decimal128(..)) {
        for ty in &types[1..] {
            element = common(&[element, ty.clone()], constants)?;
        }
    }
    Ok(list(element))
}

fn no_step() -> SqlError {
    SqlError::new("22023", "step size cannot equal zero")
}

/// Arrays of the values that `series` gives for each row.
fn lists<T: ArrowPrimitiveType>(
    call: &Call<'_>,
    mut series: impl FnMut(
        usize,
        &mut dyn FnMut(T::Native) -> Result<(), SqlError>,
    ) -> Result<(), SqlError>,
) -> Result<ArrayRef, SqlError> {
    let DataType::List(field) = call.returns else {
        return Err(SqlError::internal("a series is a list"));
    };
    let mut values = PrimitiveBuilder::<T>::new().with_data_type(field.data_type().clone());
    let mut lengths = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let before = values.len();
        if call.args.iter().all(|arg| arg.is_valid(row)) {
            series(row, &mut |value| {
                if values.len() >= ROWS_MAX {
                    return Err(SqlError::new("54000", "generate_series has too many rows"));
                }
                values.append_value(value);
                Ok(())
            })?;
        }
        lengths.push(values.len() - before);
    }
    let field = Arc::new(Field::new("item", field.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(field, offsets, Arc::new(values.finish()), None)?))
}

/// Counts in 128 bits, which no step leaves unseen.
fn count<N: TryFrom<i128>>(
    (start, stop, step): (i128, i128, i128),
    push: &mut dyn FnMut(N) -> Result<(), SqlError>,
) -> Result<(), SqlError> {
    if step == 0 {
        return Err(no_step());
    }
    let mut at = start;
    while if step > 0 { at <= stop } else { at >= stop } {
        let value = N::try_from(at).map_err(|_| SqlError::internal("within its bounds"))?;
        push(value)?;
        match at.checked_add(step) {
            Some(next) => at = next,
            None => break,
        }
    }
    Ok(())
}

fn whole<T>(call: &Call<'_>) -> Result<ArrayRef, SqlError>
where
    T: ArrowPrimitiveType,
    T::Native: Into<i128> + TryFrom<i128>,
{
    let at = |arg: usize, row: usize| call.args[arg].as_primitive::<T>().value(row).into();
    lists::<T>(call, |row, push| {
        let step = if call.args.len() > 2 { at(2, row) } else { 1 };
        count((at(0, row), at(1, row), step), push)
    })
}

fn numerics(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let DataType::List(field) = call.returns else {
        return Err(SqlError::internal("a series is a list"));
    };
    let DataType::Decimal128(_, scale) = *field.data_type() else {
        return Err(SqlError::internal("a series of numerics has numerics"));
    };
    let scaled = |value: i128, from: i8| {
        let error = || SqlError::new("22003", "value overflows numeric format");
        rescale(value, from, scale).ok_or_else(error)
    };
    let at = |arg: usize, row: usize| {
        let from = match call.args[arg].data_type() {
            DataType::Decimal128(_, from) => *from,
            _ => 0,
        };
        scaled(call.args[arg].as_primitive::<Decimal128Type>().value(row), from)
    };
    lists::<Decimal128Type>(call, |row, push| {
        let step = if call.args.len() > 2 { at(2, row)? } else { scaled(1, 0)? };
        count((at(0, row)?, at(1, row)?, step), push)
    })
}

fn instants(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let utc: Tz = "+00:00".parse().expect("this is an offset");
    let instant = |arg: usize, row: usize| {
        call.args[arg].as_primitive::<TimestampMicrosecondType>().value(row)
    };
    let steps = call.args[2].as_primitive::<IntervalMonthDayNanoType>();
    lists::<TimestampMicrosecondType>(call, |row, push| {
        let (mut at, stop, step) = (instant(0, row), instant(1, row), steps.value(row));
        let ahead = direction(step);
        if ahead == 0 {
            return Err(no_step());
        }
        if step.months == 0 && step.days == 0 && step.nanoseconds % 1000 == 0 {
            return micros((at, stop, step.nanoseconds / 1000), push);
        }
        while if ahead > 0 { at <= stop } else { at >= stop } {
            push(at)?;
            match TimestampMicrosecondType::add_month_day_nano(at, step, utc) {
                Some(next) => at = next,
                None => return Err(SqlError::new("22008", "timestamp out of range")),
            }
        }
        Ok(())
    })
}

/// Instants by steps of time alone.
fn micros(
    (mut at, stop, step): (i64, i64, i64),
    push: &mut dyn FnMut(i64) -> Result<(), SqlError>,
) -> Result<(), SqlError> {
    while if step > 0 { at <= stop } else { at >= stop } {
        push(at)?;
        let next = at.checked_add(step);
        at = next.ok_or_else(|| SqlError::new("22008", "timestamp out of range"))?;
    }
    Ok(())
}

/// The sign of an interval, its months taken as 30 days and its days as 24 hours.
fn direction(step: IntervalMonthDayNano) -> i128 {
    const DAY_NS: i128 = 86_400_000_000_000;
    let days = i128::from(step.months) * 30 + i128::from(step.days);
    (days * DAY_NS + i128::from(step.nanoseconds)).signum()
}
