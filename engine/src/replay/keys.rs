//! Keys: a set of keys, numbered, and which rows of a batch have one of them.
//!
//! Law      two rows have one number iff their keys are equal: −0 is 0, every NaN is one (S8). A
//!          key with a NULL has none
//! Errors   none

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};

use crate::state::key_index::{KeyCodec, KeyIndex};

/// The number of no key.
pub(super) const NONE: u32 = u32::MAX;

/// See the head of this file.
pub(super) enum Keys {
    /// Of one integer column.
    Integers(HashMap<i64, u32, BuildHasherDefault<Mixed>>),
    Bytes(Box<(KeyCodec, KeyIndex)>),
}

/// A hash of one integer.
#[derive(Default)]
pub(super) struct Mixed(u64);

impl std::hash::Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("integers alone are hashed")
    }

    fn write_i64(&mut self, value: i64) {
        let mixed = value.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

impl Keys {
    /// The keys of all rows, and each row's number.
    pub fn new(columns: &[ArrayRef], rows: usize) -> (Keys, Vec<u32>) {
        let nulls = nulls_of(columns);
        let valid = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        if let Some(values) = integers(columns) {
            let mut numbers: HashMap<i64, u32, _> = HashMap::default();
            let number = |(row, &value): (usize, &i64)| {
                let next = numbers.len() as u32;
                if valid(row) { *numbers.entry(value).or_insert(next) } else { NONE }
            };
            let of_rows =
                values.as_primitive::<Int64Type>().values().iter().enumerate().map(number);
            let of_rows = of_rows.collect();
            return (Keys::Integers(numbers), of_rows);
        }
        let codec = KeyCodec::for_keys(columns.iter().map(|column| column.data_type().clone()));
        let encoded = codec.encode(columns, rows);
        let mut index = KeyIndex::default();
        let number = |row: usize| {
            if valid(row) { index.get_or_insert(encoded.key(row)).0 } else { NONE }
        };
        let of_rows = (0..rows).map(number).collect();
        (Keys::Bytes(Box::new((codec, index))), of_rows)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Keys::Integers(numbers) => numbers.len(),
            Keys::Bytes(keys) => keys.1.id_limit(),
        }
    }

    /// The number of each row's key, [`NONE`] where it is none of these.
    pub fn find(&self, columns: &[ArrayRef], rows: usize) -> Vec<u32> {
        let nulls = nulls_of(columns);
        let valid = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        match self {
            Keys::Integers(numbers) => {
                let values = integers(columns).expect("a column of the keys' type");
                let number = |(row, value): (usize, &i64)| match valid(row) {
                    true => numbers.get(value).copied().unwrap_or(NONE),
                    false => NONE,
                };
                values.as_primitive::<Int64Type>().values().iter().enumerate().map(number).collect()
            }
            Keys::Bytes(keys) => {
                let (codec, index) = keys.as_ref();
                let encoded = codec.encode(columns, rows);
                let number = |row: usize| match valid(row) {
                    true => index.get(encoded.key(row)).unwrap_or(NONE),
                    false => NONE,
                };
                (0..rows).map(number).collect()
            }
        }
    }
}

/// One column of integers, as long as bigint.
fn integers(columns: &[ArrayRef]) -> Option<ArrayRef> {
    match columns {
        [column] if matches!(column.data_type(), DataType::Int16 | DataType::Int32) => {
            Some(cast(column, &DataType::Int64).expect("every integer is a bigint"))
        }
        [column] if *column.data_type() == DataType::Int64 => Some(ArrayRef::clone(column)),
        _ => None,
    }
}

/// Where a column is NULL.
fn nulls_of(columns: &[ArrayRef]) -> Option<NullBuffer> {
    let nulls = columns.iter().map(|column| column.logical_nulls());
    nulls.fold(None, |all, nulls| NullBuffer::union(all.as_ref(), nulls.as_ref()))
}
