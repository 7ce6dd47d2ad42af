//! Trailer: what the calls of a window ask of single rows while they look for others.
//!
//! Beside it stand the measures of rows: of a running extremum the order in which rows are looked
//! for, as bytes.
//!
//! A row in order carries, in bytes of a fixed width, where its RANGE frames begin and end (as keys
//! that compare with the order column's), its numbers (the offset of lag and lead, the n of
//! nth_value and ntile) and which values don't count (NULLs with IGNORE NULLS, what FILTER drops).
//! All of them are functions of the row, computed once, for a batch at a time.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use arrow::row::RowConverter;

use super::range::RangeEdge;
use crate::aggregate::{Extreme, columns_at};
use crate::plan::SortKey;
use crate::state::key_index::normalize_floats;
use crate::state::sorted_rows::{Extras, Measured, sort_field};

/// How NULL is written where a number is.
const NULL: i64 = i64::MIN;

/// What stands in the trailer, and where.
#[derive(Default)]
pub(super) struct Trailer {
    slots: Vec<(usize, Slot)>,
    bytes: usize,
    measures: Vec<Measure>,
}

/// What rows are measured by: the order of an extremum.
pub(super) struct Measure {
    pub extreme: Extreme,
    pub arguments: Vec<usize>,
    pub filter: Option<usize>,
}

enum Slot {
    Edge {
        key: SortKey,
        converter: RowConverter,
        edge: RangeEdge,
    },
    Number(usize),
    IsNull(usize),
    /// Whether a row counts nowhere: FILTER drops it, or this column is NULL.
    IsOut {
        filter: Option<usize>,
        argument: Option<usize>,
    },
}

impl Trailer {
    /// The width of a row's.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Room for an edge of the order column `key`; gives its place.
    pub fn edge(&mut self, schema: &SchemaRef, key: SortKey, edge: RangeEdge) -> usize {
        let data_type = schema.field(key.column).data_type();
        let converter = RowConverter::new(vec![sort_field(data_type, &key)]);
        let converter = converter.expect("every SQL type has a row format");
        let null = converter.convert_columns(&[new_null_array(data_type, 1)]);
        let bytes = null.expect("a column of the type").row(0).data().len();
        self.room(bytes, Slot::Edge { key, converter, edge })
    }

    /// Room for the number in `column`.
    pub fn number(&mut self, column: usize) -> usize {
        self.room(size_of::<i64>(), Slot::Number(column))
    }

    /// Room for whether `column` is NULL.
    pub fn is_null(&mut self, column: usize) -> usize {
        self.room(1, Slot::IsNull(column))
    }

    /// Room for whether a row is dropped by `filter` or has NULL in `argument`.
    pub fn is_out(&mut self, filter: Option<usize>, argument: Option<usize>) -> usize {
        self.room(1, Slot::IsOut { filter, argument })
    }

    /// One more measure; gives its number.
    pub fn measure(&mut self, measure: Measure) -> usize {
        self.measures.push(measure);
        self.measures.len() - 1
    }

    /// How many measures a row has.
    pub fn measures(&self) -> usize {
        self.measures.len()
    }

    fn room(&mut self, bytes: usize, slot: Slot) -> usize {
        let place = self.bytes;
        self.slots.push((place, slot));
        self.bytes += bytes;
        place
    }

    /// The measures and trailers of a batch's rows.
    pub fn encode(&self, batch: &RecordBatch) -> Extras {
        let measures = self.measures.iter().map(|measure| measure.of(batch)).collect();
        Extras { measures, trailers: self.trailers(batch) }
    }

    fn trailers(&self, batch: &RecordBatch) -> Vec<u8> {
        let mut trailers = vec![0; self.bytes * batch.num_rows()];
        for (place, slot) in &self.slots {
            let mut put = |row: usize, bytes: &[u8]| {
                trailers[row * self.bytes + place..][..bytes.len()].copy_from_slice(bytes);
            };
            match slot {
                Slot::Edge { key, converter, edge } => {
                    let values = normalize_floats(batch.column(key.column));
                    let edges = normalize_floats(&edge.of(&values));
                    let keys = converter.convert_columns(&[edges]).expect("of the column's type");
                    keys.iter().enumerate().for_each(|(row, key)| put(row, key.data()));
                }
                Slot::Number(column) => {
                    let numbers = bigints(batch.column(*column));
                    let numbers = numbers.as_primitive::<Int64Type>().iter().enumerate();
                    numbers.for_each(|(row, n)| put(row, &n.unwrap_or(NULL).to_le_bytes()));
                }
                Slot::IsNull(column) => {
                    let nulls = batch.column(*column).logical_nulls();
                    let is_null = |row| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
                    (0..batch.num_rows()).for_each(|row| put(row, &[is_null(row).into()]));
                }
                Slot::IsOut { filter, argument } => {
                    let counts = counting(batch, *filter);
                    let nulls = argument.and_then(|column| batch.column(column).logical_nulls());
                    let is_null = |row| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
                    let is_out = |row: usize| !counts[row] || is_null(row);
                    (0..batch.num_rows()).for_each(|row| put(row, &[is_out(row).into()]));
                }
            }
        }
        trailers
    }
}

impl Measure {
    fn of(&self, batch: &RecordBatch) -> Measured {
        let (bytes, mut counts) = self.extreme.measure(&columns_at(batch, &self.arguments));
        let passed = counting(batch, self.filter);
        counts.iter_mut().zip(passed).for_each(|(counts, passed)| *counts &= passed);
        Measured { bytes, counts }
    }
}

/// Which rows FILTER lets pass.
fn counting(batch: &RecordBatch, filter: Option<usize>) -> Vec<bool> {
    match filter {
        None => vec![true; batch.num_rows()],
        Some(column) => {
            let filter = batch.column(column).as_boolean();
            filter.iter().map(|passes| passes == Some(true)).collect()
        }
    }
}

fn bigints(column: &ArrayRef) -> ArrayRef {
    cast(column, &DataType::Int64).expect("the plan gives whole numbers")
}

/// The number at `place` of a row's trailer.
pub(super) fn number(trailer: &[u8], place: usize) -> Option<i64> {
    let bytes = trailer[place..place + size_of::<i64>()].try_into().expect("eight bytes");
    Some(i64::from_le_bytes(bytes)).filter(|&number| number != NULL)
}

/// Whether the trailer says at `place` that the value is NULL, or doesn't count.
pub(super) fn is_null(trailer: &[u8], place: usize) -> bool {
    trailer[place] != 0
}
