//! Keys of columns of a fixed width: the bytes of Arrow's row format, all of one length.
//!
//! Law      byte for byte what `arrow::row` writes for ascending order with NULLs first, so that
//!          its parser reads them back
//!
//! Written column by column into places that are known beforehand: no lengths, no offsets.

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type,
    Int32Type, Int64Type, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, UInt32Type,
};

/// Stands before a value; before the zeros of a NULL stands 0.
const VALID: u8 = 1;

/// How many bytes a value of this type takes, if all of them take as many.
pub(super) fn width(ty: &DataType) -> Option<usize> {
    let value = match ty {
        DataType::Boolean => 1,
        DataType::Int16 => 2,
        DataType::Int32 | DataType::UInt32 | DataType::Date32 | DataType::Float32 => 4,
        DataType::Int64 | DataType::Float64 => 8,
        DataType::Time64(TimeUnit::Microsecond) => 8,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 8,
        DataType::Decimal128(..) => 16,
        _ => return None,
    };
    Some(1 + value)
}

/// The keys of `columns` one after the other, `rows` of `stride` bytes.
pub(super) fn encode(columns: &[ArrayRef], rows: usize, stride: usize) -> Vec<u8> {
    let mut bytes = vec![0; rows * stride];
    let mut at = 0;
    for column in columns {
        let width = width(column.data_type()).expect("the codec asked before");
        write_column(column, &mut bytes, stride, at);
        at += width;
    }
    bytes
}

fn write_column(column: &ArrayRef, bytes: &mut [u8], stride: usize, at: usize) {
    macro_rules! write {
        ($ty:ty, $flip:expr) => {
            write_values(column.as_primitive::<$ty>(), bytes, stride, at, $flip)
        };
    }
    match column.data_type() {
        DataType::Boolean => {
            let values = column.as_boolean();
            for (row, place) in bytes.chunks_exact_mut(stride).enumerate() {
                if values.is_valid(row) {
                    place[at..at + 2].copy_from_slice(&[VALID, u8::from(values.value(row))]);
                }
            }
        }
        DataType::Int16 => write!(Int16Type, |v: i16| (v ^ i16::MIN).to_be_bytes()),
        DataType::Int32 => write!(Int32Type, |v: i32| (v ^ i32::MIN).to_be_bytes()),
        DataType::Date32 => write!(Date32Type, |v: i32| (v ^ i32::MIN).to_be_bytes()),
        DataType::UInt32 => write!(UInt32Type, |v: u32| v.to_be_bytes()),
        DataType::Int64 => write!(Int64Type, |v: i64| (v ^ i64::MIN).to_be_bytes()),
        DataType::Time64(_) => {
            write!(Time64MicrosecondType, |v: i64| (v ^ i64::MIN).to_be_bytes())
        }
        DataType::Timestamp(..) => {
            write!(TimestampMicrosecondType, |v: i64| (v ^ i64::MIN).to_be_bytes())
        }
        DataType::Decimal128(..) => {
            write!(Decimal128Type, |v: i128| (v ^ i128::MIN).to_be_bytes())
        }
        DataType::Float32 => write!(Float32Type, |v: f32| {
            let bits = v.to_bits() as i32;
            (bits ^ ((bits >> 31) as u32 >> 1) as i32 ^ i32::MIN).to_be_bytes()
        }),
        DataType::Float64 => write!(Float64Type, |v: f64| {
            let bits = v.to_bits() as i64;
            (bits ^ ((bits >> 63) as u64 >> 1) as i64 ^ i64::MIN).to_be_bytes()
        }),
        other => unreachable!("{other} has no fixed width"),
    }
}

fn write_values<T: ArrowPrimitiveType, const N: usize>(
    column: &PrimitiveArray<T>,
    bytes: &mut [u8],
    stride: usize,
    at: usize,
    encoded: impl Fn(T::Native) -> [u8; N],
) {
    let places = bytes.chunks_exact_mut(stride).zip(column.values());
    let put = |place: &mut [u8], value: T::Native| {
        let place = &mut place[at..at + N + 1];
        place[0] = VALID;
        place[1..].copy_from_slice(&encoded(value));
    };
    match column.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => places.for_each(|(place, &value)| put(place, value)),
        Some(nulls) => {
            let valid = places.zip(nulls).filter(|(_, valid)| *valid);
            valid.for_each(|((place, &value), _)| put(place, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::*;
    use arrow::row::{RowConverter, SortField};

    use super::*;

    #[test]
    fn bytes_are_those_of_the_row_format() {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true)])),
            Arc::new(Int16Array::from(vec![Some(i16::MIN), Some(-1), None, Some(7)])),
            Arc::new(Int32Array::from(vec![0, i32::MAX, -5, 1])),
            Arc::new(Date32Array::from(vec![Some(-1), None, None, Some(20_000)])),
            Arc::new(UInt32Array::from(vec![0, u32::MAX, 5, 1])),
            Arc::new(Int64Array::from(vec![Some(i64::MAX), Some(-2), None, Some(1)])),
            Arc::new(Time64MicrosecondArray::from(vec![1, 2, 3, 4])),
            Arc::new(TimestampMicrosecondArray::from(vec![Some(1), Some(-2), None, Some(4)])),
            Arc::new(Float32Array::from(vec![Some(-1.5), Some(0.0), None, Some(f32::NAN)])),
            Arc::new(Float64Array::from(vec![-1.5, 0.0, f64::INFINITY, f64::NAN])),
            Arc::new(Decimal128Array::from(vec![Some(-(1 << 80)), None, Some(1), Some(0)])),
        ];
        for from in [0, 1] {
            let columns: Vec<ArrayRef> =
                columns.iter().map(|column| column.slice(from, 3)).collect();
            let fields = columns.iter().map(|c| SortField::new(c.data_type().clone()));
            let converter = RowConverter::new(fields.collect()).expect("known types");
            let rows = converter.convert_columns(&columns).expect("columns of those types");
            let stride = columns.iter().map(|c| width(c.data_type()).expect("fixed")).sum();
            let bytes = encode(&columns, 3, stride);
            for (row, place) in rows.iter().zip(bytes.chunks_exact(stride)) {
                assert_eq!(row.data(), place);
            }
        }
    }
}
