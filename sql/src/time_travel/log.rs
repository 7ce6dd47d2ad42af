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

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::error::Result;
use tidemark_engine::replay::replay;
use tidemark_engine::{Plan, ReadGuard, Relation, Timestamp, Updates};

use super::What;
use crate::by_operators::with_types;
use crate::tell::Tell;
use crate::time_join::{Past, Whole};
use crate::work::{Work, WorkKind};

/// See the module.
#[derive(Debug)]
pub struct Log {
    pub what: What,
    /// Holds the time from which on it is told, so that all of it stays readable.
    pub from: Arc<ReadGuard>,
    /// Whether what is there at `from` counts as a change at `from`.
    pub with_first: bool,
    pub to: Timestamp,
    pub source: Source,
    pub name: String,
    pub label: String,
    /// The relation's columns, and the two of the log.
    pub schema: SchemaRef,
    pub tell: Tell,
}

#[derive(Debug)]
pub enum Source {
    Stored(Arc<Relation>),
    /// In order of time; together they are all of the range.
    Replayed(Vec<Stretch>, Past),
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

impl Whole for Log {
    fn label(&self) -> String {
        self.label.clone()
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn begin(&self) -> Arc<Work> {
        let work = self.tell.begin(WorkKind::Replay, &self.name);
        work.set_times(self.from.at, self.to);
        work
    }

    fn run(&self, _: Vec<RecordBatch>, work: &Work) -> Result<RecordBatch> {
        let updates = self.updates(work)?;
        let rows = match self.what {
            What::History => history(&updates)?,
            What::State | What::Changes => {
                changes(&updates, |time| self.with_first || time > self.from.at.0)?
            }
        };
        let names = self.schema.fields().iter().map(|field| field.name());
        with_types(&RecordBatch::try_from_iter(names.zip(rows))?, &self.schema)
    }
}

impl Log {
    /// What is there at `from`, as changes at `from`, and the changes up to `to`, in order of time.
    fn updates(&self, work: &Work) -> Result<Updates> {
        match &self.source {
            Source::Stored(relation) => {
                let schema = relation.schema();
                let from = self.from.at;
                let first = relation.scan(from).into_iter();
                let first = first.map(|rows| Updates::at(rows.batch, from.0, 1));
                let mut first = Updates::concat(&schema, first.collect());
                if self.with_first {
                    // Equal rows are stored one by one.
                    first = first.consolidated();
                }
                let after = relation.changes(from, self.to);
                Ok(Updates::concat(&schema, vec![first, after]))
            }
            Source::Replayed(stretches, past) => replayed(stretches, past, work),
        }
    }
}

fn replayed(stretches: &[Stretch], past: &Past, work: &Work) -> Result<Updates> {
    let Some(first) = stretches.first() else { return Ok(Updates::default()) };
    let schema = project(Updates::empty(first.plan.schema()), &first.columns)?.schema();
    let (mut all, mut before): (Vec<Updates>, Vec<Updates>) = (Vec::new(), Vec::new());
    for stretch in stretches {
        let mut found = Vec::new();
        replay(&stretch.plan, past, stretch.from, stretch.to, work, &mut |updates| {
            found.push(updates);
        })
        .map_err(|why| work.stopped(why))?;
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
