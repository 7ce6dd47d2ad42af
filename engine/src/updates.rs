//! Updates: the one thing that flows. Rows, each with the time at which it changes and by how much.
//!
//! There are no insert, delete or update kinds: an update of a row is −1 of the old and +1 of the
//! new. One batch may hold many times, in any order unless said otherwise.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{Schema, SchemaRef};

use crate::state::consolidate::consolidate;
use crate::store::ARRIVED_AT;

static EMPTY_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(Schema::empty()));

/// Rows with a time (µs since the Unix epoch) and a signed multiplicity each; three columns of one
/// length. Cloning shares the buffers.
#[derive(Clone, Debug)]
pub struct Updates {
    pub data: RecordBatch,
    pub times: ScalarBuffer<u64>,
    pub diffs: ScalarBuffer<i64>,
}

impl Updates {
    /// Puts the three columns together.
    pub fn new(
        data: RecordBatch,
        times: impl Into<ScalarBuffer<u64>>,
        diffs: impl Into<ScalarBuffer<i64>>,
    ) -> Self {
        let (times, diffs) = (times.into(), diffs.into());
        assert_eq!(data.num_rows(), times.len(), "a time for each row");
        assert_eq!(data.num_rows(), diffs.len(), "a diff for each row");
        Updates { data, times, diffs }
    }

    /// All rows of `data` at one time, with one multiplicity.
    pub fn at(data: RecordBatch, time: u64, diff: i64) -> Self {
        let rows = data.num_rows();
        Updates::new(data, vec![time; rows], vec![diff; rows])
    }

    pub fn empty(schema: SchemaRef) -> Self {
        Updates::new(RecordBatch::new_empty(schema), vec![], vec![])
    }

    pub fn len(&self) -> usize {
        self.times.len()
    }

    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    pub fn schema(&self) -> SchemaRef {
        self.data.schema()
    }

    /// Rows `offset..offset + length`, without copying.
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        Updates {
            data: self.data.slice(offset, length),
            times: self.times.slice(offset, length),
            diffs: self.diffs.slice(offset, length),
        }
    }

    /// The rows at `indices`, in that order.
    pub fn take(&self, indices: &[u32]) -> Self {
        Updates {
            data: take_rows(&self.data, indices),
            times: indices.iter().map(|&i| self.times[i as usize]).collect(),
            diffs: indices.iter().map(|&i| self.diffs[i as usize]).collect(),
        }
    }

    /// The same times and diffs beside other columns of the same rows.
    pub fn with_data(&self, data: RecordBatch) -> Self {
        Updates::new(data, self.times.clone(), self.diffs.clone())
    }

    /// The columns of `schema`, which are the first; with the rows' arrival as the last column, if
    /// it is the last of both.
    pub(crate) fn first_columns(self, schema: &SchemaRef) -> Self {
        let columns = schema.fields().len();
        if columns == self.data.num_columns() {
            return self;
        }
        let (_, mut all, rows) = self.data.into_parts();
        let arrived = schema.fields().last().filter(|field| field.name() == ARRIVED_AT);
        let arrived = arrived.and_then(|_| all.pop());
        all.truncate(columns - usize::from(arrived.is_some()));
        all.extend(arrived);
        let data = batch_of(Arc::clone(schema), all, rows);
        Updates { data, times: self.times, diffs: self.diffs }
    }

    /// One after the other; all of `parts` have the columns of `schema`.
    pub fn concat(schema: &SchemaRef, mut parts: Vec<Updates>) -> Self {
        parts.retain(|part| !part.is_empty());
        match parts.len() {
            0 => Updates::empty(Arc::clone(schema)),
            1 => parts.remove(0),
            _ => {
                let data = concat_batches(schema, parts.iter().map(|part| &part.data))
                    .expect("parts of one schema");
                let times: Vec<u64> = parts.iter().flat_map(|p| p.times.iter().copied()).collect();
                let diffs: Vec<i64> = parts.iter().flat_map(|p| p.diffs.iter().copied()).collect();
                Updates::new(data, times, diffs)
            }
        }
    }

    /// Row numbers in order of time, stable; `None` when they are in order already.
    pub fn time_order(&self) -> Option<Vec<u32>> {
        if self.times.is_sorted() {
            return None;
        }
        let mut order: Vec<u32> = (0..self.len() as u32).collect();
        order.sort_by_key(|&i| self.times[i as usize]);
        Some(order)
    }

    /// The net of each row and time, in order of time; at one time retractions first.
    pub fn consolidated(self) -> Self {
        consolidate(self)
    }

    /// The same updates in order of time.
    pub fn sorted_by_time(self) -> Self {
        match self.time_order() {
            Some(order) => self.take(&order),
            None => self,
        }
    }
}

impl Default for Updates {
    fn default() -> Self {
        Updates::empty(Arc::clone(&EMPTY_SCHEMA))
    }
}

/// The rows of `batch` at `indices`; also of a batch without columns.
pub(crate) fn take_rows(batch: &RecordBatch, indices: &[u32]) -> RecordBatch {
    let all = indices.len() == batch.num_rows();
    if all && (0..).zip(indices).all(|(row, &index)| row == index) {
        return batch.clone();
    }
    let indices = UInt32Array::from(indices.to_vec());
    let columns = batch
        .columns()
        .iter()
        .map(|column| take(column.as_ref(), &indices, None).expect("indices are in range"))
        .collect();
    batch_of(batch.schema(), columns, indices.len())
}

/// A batch of `rows` rows, which `columns` may be too few to tell.
pub(crate) fn batch_of(schema: SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> RecordBatch {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options)
        .expect("columns are of the types the plan decided")
}
