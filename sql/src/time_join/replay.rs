//! What a point-in-time join replays: a relation down to the tables, and their past.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::row::{RowConverter, SortField};
use datafusion::error::{DataFusionError, Result};
use tidemark_catalog::{Catalog, ObjectId};
use tidemark_engine::batch::evaluate;
use tidemark_engine::{CollectionId, Engine, Plan, Timestamp};

use crate::context::Tell;
use crate::error::SqlError;
use crate::maintain::Replayed;

/// See the module.
#[derive(Debug)]
pub struct Replay {
    /// In order of time; together they are all of it up to `at`.
    pub spans: Vec<ReplayedSpan>,
    /// Which of the keys that the plans have are looked for.
    pub keys: Vec<usize>,
    pub history: Past,
    /// The statement's time: what comes after it is the future.
    pub at: Timestamp,
    /// The relation as the query names it, and what it is.
    pub name: String,
    pub object: ObjectId,
    pub catalog: Arc<Catalog>,
    pub tell: Tell,
    /// The plan, printed.
    pub shown: String,
}

/// A stretch of time in which the relation's definition is the same.
#[derive(Debug)]
pub struct ReplayedSpan {
    /// µs since the Unix epoch: the first of its times, and the first after it.
    pub from: u64,
    pub until: u64,
    /// Or why it cannot be read at these times.
    pub planned: std::result::Result<Replayed, SqlError>,
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "replay=[{}]", self.shown)
    }
}

/// The tables' past.
#[derive(Clone)]
pub struct Past(pub Arc<Engine>);

impl fmt::Debug for Past {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Past")
    }
}

impl Past {
    fn rows(&self, plan: &Plan, id: CollectionId, at: Timestamp) -> RecordBatch {
        let schema = input_schema(plan, id);
        let rows = self.0.relation(id).map(|relation| relation.scan(at)).unwrap_or_default();
        let batches: Vec<RecordBatch> = rows.into_iter().map(|rows| rows.batch).collect();
        concat_batches(&schema, &batches).expect("a table's rows have its columns")
    }
}

fn input_schema(plan: &Plan, id: CollectionId) -> arrow::datatypes::SchemaRef {
    fn find(plan: &Plan, id: CollectionId) -> Option<arrow::datatypes::SchemaRef> {
        match plan {
            Plan::Input(input) if input.id == id => Some(Arc::clone(&input.schema)),
            plan => plan.inputs().into_iter().find_map(|input| find(input, id)),
        }
    }
    find(plan, id).expect("asked for an input of the plan")
}

/// For each request (a row of `keys`, and of `times`): the plan's rows whose `key_columns` equal
/// its key, as they stood at its time, beside the request's number. A request with a NULL meets
/// nothing. `progress` is told how much of the work is done, from 0 to 1.
pub fn point_in_time(
    plan: &Plan,
    past: &Past,
    key_columns: &[usize],
    keys: &[ArrayRef],
    times: &[Option<u64>],
    cancelled: &dyn Fn() -> bool,
    progress: &mut dyn FnMut(f64),
) -> Result<Vec<(UInt64Array, RecordBatch)>> {
    let types = keys.iter().map(|key| SortField::new(key.data_type().clone())).collect();
    let converter = RowConverter::new(types)?;
    let sought = converter.convert_columns(keys)?;
    let mut by_time: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (request, time) in times.iter().enumerate() {
        let null = keys.iter().any(|key| key.is_null(request));
        if let Some(time) = time.filter(|_| !null) {
            by_time.entry(time).or_default().push(request);
        }
    }
    let mut found = Vec::new();
    let all = by_time.len() as f64;
    for (number, (time, requests)) in by_time.into_iter().enumerate() {
        progress(number as f64 / all);
        if cancelled() {
            return Err(DataFusionError::External("cancelled".into()));
        }
        let at = Timestamp(time);
        let rows = evaluate(plan, at, &|id| past.rows(plan, id, at)).rows;
        let columns: Vec<ArrayRef> =
            key_columns.iter().map(|&column| Arc::clone(rows.column(column))).collect();
        let of_rows = match columns.is_empty() {
            true => None,
            false => Some(converter.convert_columns(&columns)?),
        };
        let (mut numbers, mut places) = (Vec::new(), Vec::new());
        for request in requests {
            for row in 0..rows.num_rows() {
                let equal = of_rows.as_ref().is_none_or(|of_rows| {
                    of_rows.row(row) == sought.row(request)
                        && columns.iter().all(|column| column.is_valid(row))
                });
                if equal {
                    numbers.push(request as u64);
                    places.push(row as u64);
                }
            }
        }
        let rows = take_record_batch(&rows, &UInt64Array::from(places))?;
        found.push((UInt64Array::from(numbers), rows));
    }
    Ok(found)
}
