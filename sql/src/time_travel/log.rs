//! `changes('x' [, from [, to]])` and `history('x' [, from [, to]])`: what a relation went through.
//!
//! Law      `changes`: its rows with `_time` and `_diff`, from < `_time` ≤ to, the net of each
//!          row and time; without `from`, first what was there at the oldest readable time.
//!          `history`: its rows with `valid_from` and `valid_to`, half-open, one for each unit of
//!          multiplicity; those that cover t are exactly the relation at t, for every t of the
//!          range. A row that is there at `from` begins then; one that is there at `to` is open
//!          (S17)
//! Errors   0A000 for a view that cannot be replayed
//!
//! A table's log, and the stored changes of a materialized view as far as they reach, are read; any
//! other view is replayed over its tables, each stretch of time by the version in force in it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::row::{OwnedRow, RowConverter, SortField};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use tidemark_engine::replay::{History, Watch, replay};
use tidemark_engine::{CollectionId, Engine, Plan, ReadGuard, Relation, Spans, Timestamp, Updates};

use super::What;
use crate::by_operators::with_types;
use crate::time_join::{Whole, WholeExec};

/// See the module.
#[derive(Debug, Clone)]
pub struct Log {
    pub what: What,
    /// Holds the time from which on it is told, so that all of it stays readable.
    pub from: Arc<ReadGuard>,
    /// Whether what is there at `from` counts as a change at `from`.
    pub with_first: bool,
    pub to: Timestamp,
    pub source: Source,
    pub label: String,
    /// The relation's columns, and the two of the log.
    pub schema: SchemaRef,
}

#[derive(Debug, Clone)]
pub enum Source {
    Stored(Arc<Relation>),
    /// In order of time; together they are all of the range.
    Replayed(Arc<Vec<Stretch>>, Tables),
}

/// A stretch of time in which the definition is one and the same.
#[derive(Debug)]
pub struct Stretch {
    pub from: Timestamp,
    pub to: Timestamp,
    pub plan: Plan,
    /// The plan's columns that are the view's.
    pub columns: Vec<usize>,
}

/// The tables' past.
#[derive(Clone)]
pub struct Tables(pub Arc<Engine>);

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tables")
    }
}

impl History for Tables {
    fn spans(&self, table: CollectionId, from: Timestamp, to: Timestamp) -> Vec<Spans> {
        self.0.relation(table).map(|table| table.spans(from, to)).unwrap_or_default()
    }
}

#[async_trait]
impl TableProvider for Log {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => Arc::clone(&self.schema),
        };
        let step = Step { log: self.clone(), columns: projection.cloned(), schema };
        Ok(Arc::new(WholeExec::new(Arc::new(step), vec![])))
    }
}

#[derive(Debug)]
struct Step {
    log: Log,
    /// Of the log's columns.
    columns: Option<Vec<usize>>,
    schema: SchemaRef,
}

impl Whole for Step {
    fn label(&self) -> String {
        self.log.label.clone()
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn run(&self, _: Vec<RecordBatch>, cancelled: &AtomicBool) -> Result<RecordBatch> {
        let log = &self.log;
        let updates = log.updates(cancelled)?;
        let rows = match log.what {
            What::History => history(&updates)?,
            What::State | What::Changes => {
                changes(&updates, |time| log.with_first || time > log.from.at.0)?
            }
        };
        let names = log.schema.fields().iter().map(|field| field.name());
        let rows = RecordBatch::try_from_iter(names.zip(rows))?;
        match &self.columns {
            Some(columns) => with_types(&rows.project(columns)?, &self.schema),
            None => with_types(&rows, &self.schema),
        }
    }
}

impl Log {
    /// What is there at `from`, as changes at `from`, and the changes up to `to`, in order of time.
    fn updates(&self, cancelled: &AtomicBool) -> Result<Updates> {
        match &self.source {
            Source::Stored(relation) => {
                let schema = relation.schema();
                let from = self.from.at;
                let first = relation.scan(from).into_iter();
                let first = first.map(|rows| Updates::at(rows.batch, from.0, 1));
                let after = relation.changes(from, self.to);
                Ok(Updates::concat(&schema, first.chain([after]).collect()))
            }
            Source::Replayed(stretches, tables) => replayed(stretches, tables, cancelled),
        }
    }
}

fn replayed(stretches: &[Stretch], tables: &Tables, cancelled: &AtomicBool) -> Result<Updates> {
    let Some(first) = stretches.first() else { return Ok(Updates::default()) };
    let schema = project(Updates::empty(first.plan.schema()), &first.columns)?.schema();
    let cancelled = || cancelled.load(Ordering::Relaxed);
    let (mut all, mut before): (Vec<Updates>, Vec<Updates>) = (Vec::new(), Vec::new());
    for stretch in stretches {
        let mut found = Vec::new();
        let watch = Watch::cancelled_by(&cancelled);
        replay(&stretch.plan, tables, stretch.from, stretch.to, watch, &mut |updates| {
            found.push(updates);
        })
        .map_err(|error| DataFusionError::External(Box::new(error)))?;
        let mut own = Vec::with_capacity(found.len());
        for updates in found {
            let updates = project(updates, &stretch.columns)?;
            own.push(updates.with_data(with_types(&updates.data, &schema)?));
        }
        // What the version before gave last goes as this one comes.
        all.extend(before.iter().map(|updates| {
            let diffs: Vec<i64> = updates.diffs.iter().map(|diff| -diff).collect();
            Updates::new(updates.data.clone(), vec![stretch.from.0; updates.len()], diffs)
        }));
        all.extend(own.iter().cloned());
        before = own;
    }
    Ok(Updates::concat(&schema, all).consolidated())
}

fn project(updates: Updates, columns: &[usize]) -> Result<Updates> {
    Ok(updates.with_data(updates.data.project(columns)?))
}

fn changes(updates: &Updates, counts: impl Fn(u64) -> bool) -> Result<Vec<ArrayRef>> {
    let kept = (0..updates.len()).filter(|&row| counts(updates.times[row]));
    let kept: Vec<u64> = kept.map(|row| row as u64).collect();
    let rows = take_record_batch(&updates.data, &UInt64Array::from(kept.clone()))?;
    let times = kept.iter().map(|&row| Some(updates.times[row as usize]));
    let diffs = kept.iter().map(|&row| updates.diffs[row as usize]);
    let diffs: ArrayRef = Arc::new(Int64Array::from_iter_values(diffs));
    Ok(rows.columns().iter().cloned().chain([timestamps(times), diffs]).collect())
}

fn history(updates: &Updates) -> Result<Vec<ArrayRef>> {
    let types = updates.data.schema();
    let types = types.fields().iter().map(|field| SortField::new(field.data_type().clone()));
    let converter = RowConverter::new(types.collect())?;
    let rows = converter.convert_columns(updates.data.columns())?;
    let mut open: HashMap<OwnedRow, VecDeque<usize>> = HashMap::new();
    // Row of the updates, its begin, its end.
    let mut spans: Vec<(u64, u64, Option<u64>)> = Vec::new();
    for (row, (&time, &diff)) in updates.times.iter().zip(updates.diffs.iter()).enumerate() {
        let there = open.entry(rows.row(row).owned()).or_default();
        for _ in 0..diff.unsigned_abs() {
            if diff > 0 {
                there.push_back(spans.len());
                spans.push((row as u64, time, None));
            } else if let Some(span) = there.pop_front() {
                spans[span].2 = Some(time);
            }
        }
    }
    let places: Vec<u64> = spans.iter().map(|(row, ..)| *row).collect();
    let rows = take_record_batch(&updates.data, &UInt64Array::from(places))?;
    let begins = timestamps(spans.iter().map(|(_, begin, _)| Some(*begin)));
    let ends = timestamps(spans.iter().map(|(.., end)| *end));
    Ok(rows.columns().iter().cloned().chain([begins, ends]).collect())
}

fn timestamps(times: impl Iterator<Item = Option<u64>>) -> ArrayRef {
    let times: TimestampMicrosecondArray = times.map(|time| time.map(|time| time as i64)).collect();
    Arc::new(times.with_timezone("+00:00"))
}
