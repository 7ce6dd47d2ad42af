//! Columns in binary format: what PostgreSQL's send functions write, big-endian throughout.
//!
//! | type | bytes |
//! |---|---|
//! | int2, int4, int8, float4, float8, oid | the value |
//! | bool | one byte, 0 or 1 |
//! | text, varchar, bytea | the bytes as they are |
//! | jsonb | version 1, then the text |
//! | date | i32 days since 2000-01-01; i32's ends are the infinities |
//! | time | i64 µs since midnight |
//! | timestamp, timestamptz | i64 µs since 2000-01-01 (UTC); i64's ends are the infinities |
//! | interval | i64 µs, i32 days, i32 months |
//! | uuid | 16 bytes |
//! | numeric | see `numeric` |
//! | arrays | i32 dimensions (0 when empty), i32 has NULLs, u32 element oid; below |
//!
//! An array with elements goes on with i32 length and i32 lower bound of its one dimension, then
//! each element as i32 length (−1: NULL) and value.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType, UInt32Type,
};
use bytes::{BufMut, BytesMut};
use tidemark_catalog::PgType;
use tidemark_sql::error::SqlError;
use tidemark_sql::text_io;

use super::description::no_type;
use super::{ColumnEncoder, Encode, numeric};

/// Days from 1970-01-01 to 2000-01-01.
pub const EPOCH_DAYS: i32 = 10_957;
/// Microseconds from 1970-01-01 to 2000-01-01.
pub const EPOCH_US: i64 = EPOCH_DAYS as i64 * 86_400_000_000;
/// The version byte of jsonb's binary format.
pub const JSONB_VERSION: u8 = 1;

/// The encoder of a column in binary format.
pub fn encoder(array: &ArrayRef) -> Result<Encode<'_>, SqlError> {
    Ok(match array.data_type() {
        // A column of nothing but NULLs: no value is ever asked for.
        DataType::Null => Box::new(|_, _| {}),
        DataType::Boolean => {
            let array = array.as_boolean();
            Box::new(move |row, out| out.put_u8(array.value(row).into()))
        }
        DataType::Int16 => primitive::<Int16Type>(array, |value, out| out.put_i16(value)),
        DataType::Int32 => primitive::<Int32Type>(array, |value, out| out.put_i32(value)),
        DataType::Int64 => primitive::<Int64Type>(array, |value, out| out.put_i64(value)),
        DataType::UInt32 => primitive::<UInt32Type>(array, |value, out| out.put_u32(value)),
        DataType::Float32 => primitive::<Float32Type>(array, |value, out| out.put_f32(value)),
        DataType::Float64 => primitive::<Float64Type>(array, |value, out| out.put_f64(value)),
        DataType::Date32 => {
            primitive::<Date32Type>(array, |days, out| out.put_i32(postgres_days(days)))
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            primitive::<Time64MicrosecondType>(array, |us, out| out.put_i64(us))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            primitive::<TimestampMicrosecondType>(array, |us, out| out.put_i64(postgres_us(us)))
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            primitive::<IntervalMonthDayNanoType>(array, |interval, out| {
                out.put_i64(interval.nanoseconds / 1000);
                out.put_i32(interval.days);
                out.put_i32(interval.months);
            })
        }
        DataType::Decimal128(precision, scale) => decimal(array, *precision, *scale),
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            Box::new(move |row, out| out.put_slice(array.value(row).as_bytes()))
        }
        DataType::LargeUtf8 => {
            let array = array.as_string::<i64>();
            Box::new(move |row, out| {
                out.put_u8(JSONB_VERSION);
                out.put_slice(array.value(row).as_bytes());
            })
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>();
            Box::new(move |row, out| out.put_slice(array.value(row)))
        }
        DataType::FixedSizeBinary(16) => {
            let array = array.as_fixed_size_binary();
            Box::new(move |row, out| out.put_slice(array.value(row)))
        }
        DataType::List(_) => list(array)?,
        DataType::Struct(_) => record(array)?,
        other => return Err(no_type(other)),
    })
}

/// Days since 2000-01-01 of days since 1970-01-01.
fn postgres_days(days: i32) -> i32 {
    match days {
        i32::MAX | i32::MIN => days,
        finite => finite.saturating_sub(EPOCH_DAYS),
    }
}

/// Microseconds since 2000-01-01 of microseconds since 1970-01-01.
fn postgres_us(us: i64) -> i64 {
    match us {
        i64::MAX | i64::MIN => us,
        finite => finite.saturating_sub(EPOCH_US),
    }
}

fn primitive<'a, T: ArrowPrimitiveType>(
    array: &'a ArrayRef,
    put: impl Fn(T::Native, &mut BytesMut) + Send + 'a,
) -> Encode<'a> {
    let array = array.as_primitive::<T>();
    Box::new(move |row, out| put(array.value(row), out))
}

/// A numeric is sent with the digits that are printed.
fn decimal(array: &ArrayRef, precision: u8, scale: i8) -> Encode<'_> {
    let array = array.as_primitive::<Decimal128Type>();
    Box::new(move |row, out| {
        let (value, scale) = text_io::numeric::printed(array.value(row), precision, scale);
        numeric::send(value, scale, out);
    })
}

/// The number of fields; of each its type and, with its length, its value.
fn record(array: &ArrayRef) -> Result<Encode<'_>, SqlError> {
    let fields = array.as_struct().columns().iter().map(|values| {
        let (ty, _) =
            PgType::from_arrow(values.data_type()).ok_or_else(|| no_type(values.data_type()))?;
        let nulls = values.logical_nulls();
        Ok((ty.oid().0, ColumnEncoder { nulls, encode: encoder(values)? }))
    });
    let mut fields = fields.collect::<Result<Vec<_>, SqlError>>()?;
    Ok(Box::new(move |row, out| {
        out.put_i32(fields.len() as i32);
        for (oid, field) in &mut fields {
            out.put_u32(*oid);
            field.encode_with_length(row, out);
        }
    }))
}

fn list(array: &ArrayRef) -> Result<Encode<'_>, SqlError> {
    let array = array.as_list::<i32>();
    let element = PgType::from_arrow(array.values().data_type());
    let element = element.filter(|(element, _)| element.array().is_some());
    let (element, _) = element.ok_or_else(|| no_type(array.data_type()))?;
    let element_oid = element.oid().0;
    let values = array.values();
    let mut elements = ColumnEncoder { nulls: values.logical_nulls(), encode: encoder(values)? };
    Ok(Box::new(move |row, out| {
        let offsets = array.value_offsets();
        let (start, end) = (offsets[row] as usize, offsets[row + 1] as usize);
        out.put_i32(i32::from(start < end));
        out.put_i32((start..end).any(|index| elements.is_null(index)).into());
        out.put_u32(element_oid);
        if start < end {
            out.put_i32((end - start) as i32);
            out.put_i32(1);
        }
        for index in start..end {
            elements.encode_with_length(index, out);
        }
    }))
}
