//! When rows arrived: the begin of each row's present image as a column beside its own (S18).
//!
//! Law: an update of a row renews its time; under a read at t it is that of the image then in
//! force; a retraction carries the time of the image that goes. The column stands last.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::chunk::{Chunk, Rows, Selection};
use super::relation::{Lookup, Relation};
use crate::time::Timestamp;
use crate::updates::batch_of;

/// The column's name.
pub const ARRIVED_AT: &str = "_arrived_at";

/// `schema` with the time of arrival as its last column: a timestamp in UTC, never NULL.
pub fn with_arrived_at(schema: &Schema) -> SchemaRef {
    let ty = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
    let own = Arc::new(Field::new(ARRIVED_AT, ty, false));
    let fields: Vec<_> = schema.fields().iter().cloned().chain([own]).collect();
    Arc::new(Schema::new(fields))
}

/// `schema` with what versions have behind it: when each began, and when it ended or NULL.
pub fn with_versions(schema: &Schema) -> SchemaRef {
    let schema = with_arrived_at(schema);
    let begun = schema.field(schema.fields().len() - 1);
    let ended = Arc::new(begun.clone().with_name("_ended_at").with_nullable(true));
    let fields: Vec<_> = schema.fields().iter().cloned().chain([ended]).collect();
    Arc::new(Schema::new(fields))
}

/// Times of arrival as such a column.
pub fn arrival_column(times: Vec<u64>) -> ArrayRef {
    // The numbers are the same: no time is beyond 2^63 µs.
    let rows = times.len();
    let values = ScalarBuffer::new(ScalarBuffer::from(times).into_inner(), 0, rows);
    Arc::new(TimestampMicrosecondArray::new(values, None).with_timezone("+00:00"))
}

impl Relation {
    /// The columns of [`Relation::scan_arrived`].
    pub fn arrived_schema(&self) -> SchemaRef {
        Arc::clone(&self.arrived_schema)
    }

    /// [`Relation::scan`] with the time of arrival as the last column.
    pub fn scan_arrived(&self, at: Timestamp) -> Vec<Rows> {
        let chunks = self.chunks_over(at, at);
        let rows = chunks.filter_map(|chunk| {
            let Rows { batch, ids } = chunk.rows_at(at)?;
            Some(Rows { batch: self.arrived(batch, chunk.begins_at(at)), ids })
        });
        rows.collect()
    }

    /// [`Relation::batches`] with the time of arrival as the last column.
    pub fn batches_arrived(
        self: &Arc<Self>,
        at: Timestamp,
    ) -> impl Iterator<Item = RecordBatch> + Send + 'static {
        let relation = Arc::clone(self);
        self.chunks_over(at, at).filter_map(move |chunk| {
            let batch = chunk.batch_at(at)?;
            Some(relation.arrived(batch, chunk.begins_at(at)))
        })
    }

    /// [`Relation::gather`] with the time of arrival as the last column.
    pub fn gather_arrived(&self, found: &[Lookup]) -> Rows {
        let Rows { batch, ids } = self.gather(found);
        let begins = found.iter().map(|lookup| lookup.begin.0).collect();
        Rows { batch: self.arrived(batch, begins), ids }
    }

    /// Rows with the times at which they begin.
    pub(crate) fn arrived(&self, batch: RecordBatch, begins: Vec<u64>) -> RecordBatch {
        let (_, mut columns, rows) = batch.into_parts();
        columns.push(arrival_column(begins));
        batch_of(self.arrived_schema(), columns, rows)
    }
}

impl Chunk {
    /// When the rows that are there at `at` begin.
    pub(super) fn begins_at(&self, at: Timestamp) -> Vec<u64> {
        match self.select(at) {
            Selection::All => (0..self.len()).map(|row| self.begin(row)).collect(),
            Selection::None => vec![],
            Selection::Some(mask) => mask.set_indices().map(|row| self.begin(row)).collect(),
        }
    }
}
