//! Tables by event time: what had happened at each time, as far as it is known at one moment (S13).
//!
//! Law      A row is there from its event time on; one whose event time is NULL, or whose table
//!          declares none, from its arrival on.
//!          Without a primary key: the rows that are present at the moment; what was updated or
//!          deleted never was.
//!          With one: the images that a key's row has had, in order of event time, each until the
//!          next; of equal times the one that arrived later. A DELETE ends the images that had
//!          arrived by then when it arrives, but none before its event time.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use arrow::row::{RowConverter, Rows, SortField};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use tidemark_catalog::{Catalog, ObjectId, Table};
use tidemark_engine::{Relation, Spans, Timestamp};

use crate::provider::GivenRows;

/// The rows of a table at one time, by event time.
#[derive(Debug)]
pub struct EventTimeRows {
    pub catalog: Arc<Catalog>,
    pub relation: Option<Arc<Relation>>,
    /// When it is known.
    pub known: Timestamp,
    pub at: Timestamp,
    pub schema: SchemaRef,
    /// The last column is when the rows arrived.
    pub with_arrivals: bool,
}

#[async_trait]
impl TableProvider for EventTimeRows {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let there = |relation: &Arc<Relation>| {
            let spans = spans(&self.catalog, relation, self.known, self.at, self.at);
            spans.into_iter().map(|spans| spans.batch_for(&self.schema, self.with_arrivals))
        };
        let rows: Vec<RecordBatch> = self.relation.iter().flat_map(there).collect();
        let batch = concat_batches(&self.schema, &rows)?;
        GivenRows { batch }.scan(session, projection, filters, limit).await
    }
}

/// The rows of a table that are there at some time of [from, to], by event time, as known at
/// `known`.
pub fn spans(
    catalog: &Catalog,
    relation: &Relation,
    known: Timestamp,
    from: Timestamp,
    to: Timestamp,
) -> Vec<Spans> {
    let stored = relation.spans(relation.readable_from().min(known), known);
    let Some(table) = catalog.get(ObjectId(relation.id().0)).and_then(|object| object.table())
    else {
        return stored;
    };
    let Some(schema) = stored.first().map(|spans| spans.batch.schema()) else { return vec![] };
    let batch = concat_batches(&schema, stored.iter().map(|spans| &spans.batch))
        .expect("rows of one table");
    let images = Images {
        times: Vec::new(),
        begins: stored.iter().flat_map(|spans| spans.begins.iter().copied()).collect(),
        ends: stored.iter().flat_map(|spans| spans.ends.iter().copied()).collect(),
        known: known.0,
    };
    let images = images.timed(&batch, table);
    let ends = match table.primary_key.as_slice() {
        [] => images.present(),
        key => images.succeeded(&batch, key),
    };
    let there = |&row: &usize| {
        let (begin, end) = (images.times[row], ends[row]);
        begin < end && begin <= to.0 && end > from.0
    };
    let rows: Vec<usize> = (0..ends.len()).filter(there).collect();
    let places: UInt32Array = rows.iter().map(|&row| row as u32).collect();
    let batch = take_record_batch(&batch, &places).expect("places of the batch");
    vec![Spans {
        batch,
        begins: rows.iter().map(|&row| images.times[row]).collect(),
        ends: rows.iter().map(|&row| ends[row]).collect(),
        arrivals: Some(rows.iter().map(|&row| images.begins[row]).collect()),
    }]
}

/// What rows were, each with its times in µs since the Unix epoch.
struct Images {
    /// When it happened.
    times: Vec<u64>,
    /// When it arrived, and when it ended; `u64::MAX`: not yet.
    begins: Vec<u64>,
    ends: Vec<u64>,
    known: u64,
}

impl Images {
    fn timed(mut self, batch: &RecordBatch, table: &Table) -> Self {
        self.times = self.begins.clone();
        if let Some(column) = table.event_time {
            let events = batch.column(column).as_primitive::<TimestampMicrosecondType>();
            let known = (0..events.len()).filter(|&row| events.is_valid(row));
            known.for_each(|row| self.times[row] = events.value(row).max(0) as u64);
        }
        for end in self.ends.iter_mut().filter(|end| **end > self.known) {
            *end = u64::MAX;
        }
        self
    }

    /// The ends of rows without a key: those that are not present never were.
    fn present(&self) -> Vec<u64> {
        self.ends.iter().map(|&end| if end == u64::MAX { end } else { 0 }).collect()
    }

    /// The ends of rows with a key: each image's is the next one's time.
    fn succeeded(&self, batch: &RecordBatch, key: &[usize]) -> Vec<u64> {
        let keys = keys(batch, key);
        let key = |row: usize| keys.row(row);
        let mut order: Vec<usize> = (0..self.times.len()).collect();
        order.sort_by(|&a, &b| {
            let times = (self.times[a], self.begins[a]).cmp(&(self.times[b], self.begins[b]));
            key(a).cmp(&key(b)).then(times)
        });
        let mut ends = vec![u64::MAX; order.len()];
        for of_key in order.chunk_by(|&a, &b| key(a) == key(b)) {
            // An update begins an image at the very time at which it ends another.
            let begins: HashSet<u64> = of_key.iter().map(|&row| self.begins[row]).collect();
            let ended = of_key.iter().map(|&row| self.ends[row]);
            let mut deletes: Vec<u64> =
                ended.filter(|end| *end != u64::MAX && !begins.contains(end)).collect();
            deletes.sort_unstable();
            for (place, &row) in of_key.iter().enumerate() {
                let next = of_key.get(place + 1).map_or(u64::MAX, |&next| self.times[next]);
                let deleted = deletes.iter().find(|&&delete| delete >= self.ends[row]);
                let until = deleted.map_or(u64::MAX, |&delete| delete.max(self.times[row]));
                ends[row] = next.min(until);
            }
        }
        ends
    }
}

fn keys(batch: &RecordBatch, key: &[usize]) -> Rows {
    let columns: Vec<ArrayRef> = key.iter().map(|&i| Arc::clone(batch.column(i))).collect();
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone()));
    let converter = RowConverter::new(fields.collect()).expect("keys have an order");
    converter.convert_columns(&columns).expect("columns of these types")
}
