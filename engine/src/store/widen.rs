//! A column more for a table: its rows under a wider schema, all with one value in the new column.
//!
//! Law
//! - The wider relation has the same rows under the same ids with the same begins and ends, those
//!   of the past too: a table has today's columns at every time (S22).
//! - The narrower one is written no more. Who holds it reads what it was, below the time of the
//!   change; everybody else finds the wider one in [`super::Tables`].

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};

use super::chunk::Chunk;
use super::relation::{Relation, Shard};
use super::writer::Writer;
use crate::time::CollectionId;

/// What is added to a table.
#[derive(Clone, Debug)]
pub struct AddedColumn {
    pub table: CollectionId,
    pub field: FieldRef,
    /// One row: what the rows that are there have in it.
    pub default: ArrayRef,
}

impl AddedColumn {
    /// The columns of a table, with this one.
    pub(crate) fn schema(&self, narrow: &SchemaRef) -> SchemaRef {
        let fields = narrow.fields().iter().chain([&self.field]).cloned();
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// The rows with the column.
    pub(super) fn added_to(&self, batch: &RecordBatch, schema: &SchemaRef) -> RecordBatch {
        let rows = batch.num_rows();
        let first = UInt32Array::from(vec![0; rows]);
        let column = take(self.default.as_ref(), &first, None).expect("the default has a row");
        let columns = batch.columns().iter().cloned().chain([column]).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
            .expect("the default is of the column's type, and NULL only where it may be")
    }
}

impl Writer {
    /// The writer of the table with a column more, to go on in this one's place.
    pub fn widened(&self, column: &AddedColumn) -> Writer {
        let schema = column.schema(&self.relation.schema());
        let shards = self.relation.shards.iter().map(|shard| {
            let state = shard.read();
            let wide = |chunk: &Arc<Chunk>| Arc::new(chunk.with(column, &schema));
            Shard::new(state.widened(wide))
        });
        let shards = shards.collect();
        self.in_place(Arc::new(Relation::widened(&self.relation, Arc::clone(&schema), shards)))
    }

    /// Goes on with another relation of the same rows.
    pub(super) fn in_place(&self, relation: Arc<Relation>) -> Writer {
        Writer {
            relation,
            shard: self.shard,
            next: self.next,
            content: None,
            ended: self.ended,
            loaded_until: self.loaded_until,
            ttl: self.ttl.clone(),
        }
    }
}
