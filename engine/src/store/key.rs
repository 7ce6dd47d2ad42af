//! Keys as words: what an index compares instead of rows.
//!
//! Law: equal keys have equal words. NULL equals NULL, NaN equals NaN, −0 equals 0 (S8). If the
//! encoding is *exact*, different keys have different words too: that is so for no column and for
//! one column of at most eight fixed bytes, whose word is its value. Otherwise a word is a hash of
//! the key in Arrow's row format and [`Keys::same`] decides.

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, Float64Array, GenericListArray, RecordBatch,
};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, SchemaRef,
    Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, UInt32Type,
};
use arrow::row::{RowConverter, Rows, SortField};
use foldhash::fast::RandomState;

/// How the keys of some columns are made into words.
#[derive(Debug)]
pub(super) struct KeyEncoder {
    columns: Vec<usize>,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// No columns: all keys are equal.
    Unit,
    Fixed(DataType),
    Hashed(Box<RowConverter>, RandomState),
}

/// The keys of some rows. A word of `None` is the one key NULL of an exact encoding.
#[derive(Debug)]
pub(super) struct Keys {
    words: Vec<Option<u64>>,
    rows: Option<Rows>,
}

impl KeyEncoder {
    /// For keys made of `columns` of rows of `schema`, in that order.
    pub fn new(schema: &SchemaRef, columns: &[usize]) -> KeyEncoder {
        let types = columns.iter().map(|&column| schema.field(column).data_type());
        let types: Vec<DataType> = types.cloned().collect();
        let form = match &types[..] {
            [] => Form::Unit,
            [one] if is_fixed(one) => Form::Fixed(one.clone()),
            _ => {
                let fields = types.into_iter().map(SortField::new).collect();
                let converter = RowConverter::new(fields).expect("every column type has an order");
                Form::Hashed(Box::new(converter), RandomState::default())
            }
        };
        KeyEncoder { columns: columns.to_vec(), form }
    }

    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// Whether different keys have different words.
    pub fn is_exact(&self) -> bool {
        !matches!(self.form, Form::Hashed(..))
    }

    /// The keys of the rows of a batch with the encoder's schema.
    pub fn keys_of(&self, batch: &RecordBatch) -> Keys {
        let columns: Vec<ArrayRef> =
            self.columns.iter().map(|&column| Arc::clone(batch.column(column))).collect();
        self.keys(&columns, batch.num_rows())
    }

    /// The keys in `columns`, which are those of the encoder, in its order, `rows` long.
    pub fn keys(&self, columns: &[ArrayRef], rows: usize) -> Keys {
        match &self.form {
            Form::Unit => Keys { words: vec![Some(0); rows], rows: None },
            Form::Fixed(ty) => Keys { words: fixed_words(ty, &columns[0]), rows: None },
            Form::Hashed(converter, hasher) => {
                let columns: Vec<ArrayRef> = columns.iter().map(one_zero_one_nan).collect();
                let rows = converter.convert_columns(&columns).expect("columns of the key's types");
                let words = rows.iter().map(|row| Some(hasher.hash_one(row.data()))).collect();
                Keys { words, rows: Some(rows) }
            }
        }
    }
}

impl Keys {
    pub fn len(&self) -> usize {
        self.words.len()
    }

    pub fn word(&self, row: usize) -> Option<u64> {
        self.words[row]
    }

    /// Whether two keys of one encoder are equal.
    pub fn same(&self, row: usize, other: &Keys, other_row: usize) -> bool {
        self.words[row] == other.words[other_row]
            && match (&self.rows, &other.rows) {
                (Some(mine), Some(theirs)) => mine.row(row) == theirs.row(other_row),
                _ => true,
            }
    }

    /// The key as bytes, where words are hashes.
    pub fn bytes(&self, row: usize) -> Option<&[u8]> {
        self.rows.as_ref().map(|rows| rows.row(row).data())
    }
}

fn is_fixed(ty: &DataType) -> bool {
    use DataType::*;
    match ty {
        Boolean | Int16 | Int32 | Int64 | UInt32 | Float32 | Float64 | Date32 => true,
        Time64(unit) | Timestamp(unit, _) => *unit == TimeUnit::Microsecond,
        _ => false,
    }
}

fn fixed_words(ty: &DataType, column: &ArrayRef) -> Vec<Option<u64>> {
    macro_rules! words {
        ($ty:ty, $word:expr) => {{
            let column = column.as_primitive::<$ty>();
            match column.null_count() {
                0 => column.values().iter().map(|&value| Some($word(value))).collect(),
                _ => column.iter().map(|value| value.map($word)).collect(),
            }
        }};
    }
    match ty {
        DataType::Boolean => column.as_boolean().iter().map(|v| v.map(u64::from)).collect(),
        DataType::Int16 => words!(Int16Type, |v: i16| v as u64),
        DataType::Int32 => words!(Int32Type, |v: i32| v as u64),
        DataType::Int64 => words!(Int64Type, |v: i64| v as u64),
        DataType::UInt32 => words!(UInt32Type, u64::from),
        DataType::Date32 => words!(Date32Type, |v: i32| v as u64),
        DataType::Time64(_) => words!(Time64MicrosecondType, |v: i64| v as u64),
        DataType::Timestamp(..) => words!(TimestampMicrosecondType, |v: i64| v as u64),
        DataType::Float32 => words!(Float32Type, |v| u64::from(one_f32(v).to_bits())),
        DataType::Float64 => words!(Float64Type, |v| one_f64(v).to_bits()),
        other => unreachable!("{other} is not of a fixed form"),
    }
}

fn one_f32(value: f32) -> f32 {
    if value.is_nan() { f32::NAN } else { value + 0.0 }
}

fn one_f64(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value + 0.0 } // −0 + 0 is 0
}

/// The same values with one zero and one NaN, also inside of arrays; others as they are.
pub(super) fn one_zero_one_nan(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float32 => {
            let column: Float32Array = column.as_primitive::<Float32Type>().unary(one_f32);
            Arc::new(column)
        }
        DataType::Float64 => {
            let column: Float64Array = column.as_primitive::<Float64Type>().unary(one_f64);
            Arc::new(column)
        }
        DataType::List(field) if has_floats(field.data_type()) => {
            let list = column.as_list::<i32>();
            let values = one_zero_one_nan(list.values());
            let offsets = list.offsets().clone();
            let list = GenericListArray::new(field.clone(), offsets, values, list.nulls().cloned());
            Arc::new(list)
        }
        _ => Arc::clone(column),
    }
}

fn has_floats(ty: &DataType) -> bool {
    match ty {
        DataType::Float32 | DataType::Float64 => true,
        DataType::List(field) => has_floats(field.data_type()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::{Field, Schema};

    use super::*;

    fn keys(columns: Vec<ArrayRef>) -> Keys {
        let fields = columns.iter().map(|c| Field::new("c", c.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let all: Vec<usize> = (0..columns.len()).collect();
        let rows = columns[0].len();
        KeyEncoder::new(&schema, &all).keys(&columns, rows)
    }

    #[test]
    fn zeros_nans_and_nulls_are_one_each() {
        let nan = f64::from_bits(f64::NAN.to_bits() | 1);
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![
            Some(0.0),
            Some(-0.0),
            Some(f64::NAN),
            Some(nan),
            Some(-f64::NAN),
            None,
            None,
        ]));
        let text: ArrayRef = Arc::new(StringArray::from(vec!["x"; 7]));
        for keys in [keys(vec![Arc::clone(&floats)]), keys(vec![floats, text])] {
            for (a, b, same) in [(0, 1, true), (2, 3, true), (2, 4, true), (5, 6, true)]
                .into_iter()
                .chain([(0, 2, false), (0, 5, false), (2, 5, false)])
            {
                assert_eq!(keys.same(a, &keys, b), same, "{a} and {b}");
            }
        }
    }

    #[test]
    fn words_of_one_narrow_column_are_its_values() {
        let keys = keys(vec![Arc::new(Int64Array::from(vec![Some(-1), None, Some(7)]))]);
        assert_eq!(keys.words, [Some(u64::MAX), None, Some(7)]);
    }
}
