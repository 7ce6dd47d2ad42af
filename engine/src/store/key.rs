//! Keys as words: what an index compares instead of rows.
//!
//! Law: equal keys have equal words. NULL equals NULL, NaN equals NaN, −0 equals 0 (S8). If the
//! encoding is *exact*, different keys have different words too: that is so for no column and for
//! one column of at most eight fixed bytes, whose word is its value. Otherwise a word is a hash of
//! the key and [`Keys::is_that_of`] decides.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, SchemaRef,
    Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, UInt32Type,
};
use foldhash::fast::RandomState;

use super::value::{equal, hash_into, one_f32, one_f64};

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
    Hashed(RandomState),
}

/// The keys of some rows. A word of `None` is the one key NULL of an exact encoding.
#[derive(Debug)]
pub(super) struct Keys {
    words: Vec<Option<u64>>,
    /// Where words are hashes: what they are hashes of.
    columns: Option<Vec<ArrayRef>>,
}

impl KeyEncoder {
    /// For keys made of `columns` of rows of `schema`, in that order.
    pub fn new(schema: &SchemaRef, columns: &[usize]) -> KeyEncoder {
        let types = columns.iter().map(|&column| schema.field(column).data_type());
        let types: Vec<DataType> = types.cloned().collect();
        let form = match &types[..] {
            [] => Form::Unit,
            [one] if is_fixed(one) => Form::Fixed(one.clone()),
            _ => Form::Hashed(RandomState::default()),
        };
        KeyEncoder { columns: columns.to_vec(), form }
    }

    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// Whether different keys have different words.
    pub fn is_exact(&self) -> bool {
        !matches!(self.form, Form::Hashed(_))
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
            Form::Unit => Keys { words: vec![Some(0); rows], columns: None },
            Form::Fixed(ty) => Keys { words: fixed_words(ty, &columns[0]), columns: None },
            Form::Hashed(hasher) => {
                let mut hashes = vec![0; rows];
                columns.iter().for_each(|column| hash_into(column, hasher, &mut hashes));
                let words = hashes.into_iter().map(Some).collect();
                Keys { words, columns: Some(columns.to_vec()) }
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
            && match (&self.columns, &other.columns) {
                (Some(a), Some(b)) => a.iter().zip(b).all(|(a, b)| equal(a, row, b, other_row)),
                _ => true,
            }
    }

    /// Whether the key is that of row `place` of `batch`, which has the same word. `columns` are
    /// the encoder's.
    pub fn is_that_of(
        &self,
        row: usize,
        columns: &[usize],
        batch: &RecordBatch,
        place: usize,
    ) -> bool {
        let keys = self.columns.iter().flatten();
        keys.zip(columns).all(|(key, &column)| equal(key, row, batch.column(column), place))
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

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int64Array, ListArray, StringArray};
    use arrow::buffer::OffsetBuffer;
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
        let offsets = OffsetBuffer::new((0..=7).collect());
        let item = Arc::new(Field::new("item", DataType::Float64, true));
        let lists: ArrayRef = Arc::new(ListArray::new(item, offsets, Arc::clone(&floats), None));
        let all = [vec![Arc::clone(&floats)], vec![floats, text], vec![lists]];
        for keys in all.map(keys) {
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
