//! Values compared and hashed where they lie, one at a time or a column at a time.
//!
//! Law: equal values have equal hashes. NULL equals NULL, NaN equals NaN, −0 equals 0, also inside
//! of arrays (S8).

use std::hash::BuildHasher;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::datatypes::*;
use foldhash::fast::RandomState;

/// What NULL adds to a hash.
const NULL: u64 = 0x9e37_79b9_7f4a_7c15;

pub(super) fn one_f32(value: f32) -> f32 {
    if value.is_nan() { f32::NAN } else { value + 0.0 }
}

pub(super) fn one_f64(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value + 0.0 } // −0 + 0 is 0
}

/// Calls `$with!(type, how its value is made comparable)` for a fixed-width type.
macro_rules! of_fixed_width {
    ($ty:expr, $with:ident, $other:expr) => {
        match $ty {
            DataType::Int16 => $with!(Int16Type, |v| v),
            DataType::Int32 => $with!(Int32Type, |v| v),
            DataType::Int64 => $with!(Int64Type, |v| v),
            DataType::UInt32 => $with!(UInt32Type, |v| v),
            DataType::Float32 => $with!(Float32Type, |v| one_f32(v).to_bits()),
            DataType::Float64 => $with!(Float64Type, |v| one_f64(v).to_bits()),
            DataType::Decimal128(..) => $with!(Decimal128Type, |v| v),
            DataType::Date32 => $with!(Date32Type, |v| v),
            DataType::Time64(TimeUnit::Microsecond) => $with!(Time64MicrosecondType, |v| v),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                $with!(TimestampMicrosecondType, |v| v)
            }
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                $with!(IntervalMonthDayNanoType, |v| v)
            }
            other => $other(other),
        }
    };
}

/// Whether value `i` of `a` equals value `j` of `b`, a column of the same type.
pub(super) fn equal(a: &ArrayRef, i: usize, b: &ArrayRef, j: usize) -> bool {
    if a.is_null(i) || b.is_null(j) {
        return a.is_null(i) && b.is_null(j);
    }
    macro_rules! equal_fixed {
        ($ty:ty, $word:expr) => {{
            let word: fn(<$ty as ArrowPrimitiveType>::Native) -> _ = $word;
            word(a.as_primitive::<$ty>().value(i)) == word(b.as_primitive::<$ty>().value(j))
        }};
    }
    let other = |ty: &DataType| match ty {
        DataType::Null => true,
        DataType::Boolean => a.as_boolean().value(i) == b.as_boolean().value(j),
        DataType::Utf8 => a.as_string::<i32>().value(i) == b.as_string::<i32>().value(j),
        DataType::LargeUtf8 => a.as_string::<i64>().value(i) == b.as_string::<i64>().value(j),
        DataType::Binary => a.as_binary::<i32>().value(i) == b.as_binary::<i32>().value(j),
        DataType::FixedSizeBinary(_) => {
            a.as_fixed_size_binary().value(i) == b.as_fixed_size_binary().value(j)
        }
        DataType::List(_) => {
            let (a, b) = (a.as_list::<i32>().value(i), b.as_list::<i32>().value(j));
            a.len() == b.len() && (0..a.len()).all(|item| equal(&a, item, &b, item))
        }
        _ => a.slice(i, 1).as_ref() == b.slice(j, 1).as_ref(), // no column of a table
    };
    of_fixed_width!(a.data_type(), equal_fixed, other)
}

/// The same bit for bit: −0 is not 0.
pub(crate) fn identical(a: &ArrayRef, i: usize, b: &ArrayRef, j: usize) -> bool {
    if !equal(a, i, b, j) {
        return false;
    }
    if a.is_null(i) {
        return true;
    }
    macro_rules! same_bits {
        ($ty:ty) => {{
            let bits = |array: &ArrayRef, at| array.as_primitive::<$ty>().value(at).to_bits();
            bits(a, i) == bits(b, j)
        }};
    }
    match a.data_type() {
        DataType::Float32 => same_bits!(Float32Type),
        DataType::Float64 => same_bits!(Float64Type),
        DataType::List(_) => {
            let (a, b) = (a.as_list::<i32>().value(i), b.as_list::<i32>().value(j));
            (0..a.len()).all(|item| identical(&a, item, &b, item))
        }
        _ => true,
    }
}

/// Whether [`hash_into`] tells values of this type apart.
pub(crate) fn is_hashed(ty: &DataType) -> bool {
    macro_rules! known {
        ($ty:ty, $word:expr) => {{
            let _: fn(<$ty as ArrowPrimitiveType>::Native) -> _ = $word;
            true
        }};
    }
    let other = |ty: &DataType| match ty {
        DataType::List(item) => is_hashed(item.data_type()),
        DataType::Boolean | DataType::Utf8 | DataType::LargeUtf8 => true,
        DataType::Binary | DataType::FixedSizeBinary(_) => true,
        _ => false,
    };
    of_fixed_width!(ty, known, other)
}

/// Mixes the values of a column into one hash for each row.
pub(crate) fn hash_into(column: &ArrayRef, hasher: &RandomState, hashes: &mut [u64]) {
    macro_rules! hash_each {
        ($column:expr, $value:expr) => {{
            let column = $column;
            for (row, hash) in hashes.iter_mut().enumerate() {
                *hash = match column.is_valid(row) {
                    true => hasher.hash_one((*hash, $value(column.value(row)))),
                    false => hasher.hash_one((*hash, NULL)),
                };
            }
        }};
    }
    macro_rules! hash_fixed {
        ($ty:ty, $word:expr) => {{
            let word: fn(<$ty as ArrowPrimitiveType>::Native) -> _ = $word;
            hash_each!(column.as_primitive::<$ty>(), word)
        }};
    }
    let mut other = |ty: &DataType| match ty {
        DataType::Null => {}
        DataType::Boolean => hash_each!(column.as_boolean(), u64::from),
        DataType::Utf8 => hash_each!(column.as_string::<i32>(), str::as_bytes),
        DataType::LargeUtf8 => hash_each!(column.as_string::<i64>(), str::as_bytes),
        DataType::Binary => hash_each!(column.as_binary::<i32>(), |v: &[u8]| hasher.hash_one(v)),
        DataType::FixedSizeBinary(_) => {
            hash_each!(column.as_fixed_size_binary(), |v: &[u8]| hasher.hash_one(v))
        }
        DataType::List(_) => hash_each!(column.as_list::<i32>(), |items: ArrayRef| {
            let mut hashes = vec![0; items.len()];
            hash_into(&items, hasher, &mut hashes);
            hasher.hash_one(hashes)
        }),
        _ => {} // no column of a table; it is compared all the same
    };
    of_fixed_width!(column.data_type(), hash_fixed, other)
}
