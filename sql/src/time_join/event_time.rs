//! A table's rows by event time: what had happened at one time, as far as it is known at another
//! (S13). The rule itself is the engine's.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use datafusion::error::Result;
use tidemark_catalog::{Catalog, ObjectId};
use tidemark_engine::replay::{EventTime, History};
use tidemark_engine::{CollectionId, Timestamp};

use super::Clock;
use super::replay::Past;
use super::whole::Whole;
use crate::context::PlanContext;
use crate::tell::Tell;
use crate::work::{Work, WorkKind};

/// The rows of a table at one time.
#[derive(Debug)]
pub struct EventTimeRows {
    past: Past,
    table: CollectionId,
    at: Timestamp,
    schema: SchemaRef,
    /// The last column is when the rows arrived.
    with_arrivals: bool,
    tell: Tell,
}

impl EventTimeRows {
    /// What had happened at `at`, as known at `known`.
    pub fn new(
        ctx: &PlanContext,
        table: CollectionId,
        (at, known): (Timestamp, Timestamp),
        schema: SchemaRef,
        with_arrivals: bool,
    ) -> Self {
        let past = Past::new(ctx, Clock::Event, known);
        EventTimeRows { past, table, at, schema, with_arrivals, tell: ctx.tell.clone() }
    }
}

impl Whole for EventTimeRows {
    fn label(&self) -> String {
        "EventTimeExec".to_owned()
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn begin(&self) -> Arc<Work> {
        let name = self.past.catalog.of_collection(ObjectId(self.table.0));
        let name = name.map_or_else(String::new, |object| object.name.clone());
        let work = self.tell.begin(WorkKind::AsOf, &name);
        work.set_times(self.at, self.at);
        work
    }

    fn run(&self, _: Vec<RecordBatch>, _: &Work) -> Result<RecordBatch> {
        let there = self.past.spans(self.table, self.at, self.at);
        let there = there.iter().map(|spans| spans.batch_for(&self.schema, self.with_arrivals));
        Ok(concat_batches(&self.schema, &there.collect::<Vec<_>>())?)
    }
}

/// How a table's rows are timed.
pub fn timing(catalog: &Catalog, table: CollectionId) -> EventTime {
    let object = catalog.get(ObjectId(table.0)).and_then(|object| object.table());
    object.map_or_else(EventTime::default, |table| EventTime {
        column: table.event_time,
        key: Some(table.primary_key.clone()).filter(|key| !key.is_empty()),
    })
}
