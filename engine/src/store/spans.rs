//! Spans: the rows of a relation with the time in which each is there, and the changes they make.
//!
//! Law
//! - [`Relation::spans`] over [from, to] gives every row that is there at some time of it, as long
//!   as from ≥ [`Relation::readable_from`] and `to` is closed.
//! - [`Relation::changes`] over (from, to] is the net of their begins and ends: added to the rows
//!   at `from`, it gives the rows at every time up to `to`.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::SchemaRef;

use super::arrived::arrival_column;
use super::chunk::{Chunk, filter};
use super::relation::Relation;
use crate::plan::InputPlan;
use crate::state::consolidate::consolidate;
use crate::time::Timestamp;
use crate::updates::{Updates, batch_of, take_rows};

/// Rows, each with the span of time in which it is there: begin ≤ t < end, in µs since the Unix
/// epoch; one of each for every row of the batch.
#[derive(Clone, Debug)]
pub struct Spans {
    pub batch: RecordBatch,
    pub begins: Vec<u64>,
    /// `u64::MAX` for a row that is still there.
    pub ends: Vec<u64>,
    /// When they arrived, where they do not begin then (S13).
    pub arrivals: Option<Vec<u64>>,
}

impl Spans {
    /// The rows with the columns of an input: the first ones, and the time of arrival if it has
    /// that.
    pub fn batch_for(&self, schema: &SchemaRef, arrived_at: bool) -> RecordBatch {
        let own = schema.fields().len() - usize::from(arrived_at);
        if !arrived_at && own == self.batch.num_columns() {
            return self.batch.clone();
        }
        let mut columns = self.batch.columns()[..own].to_vec();
        if arrived_at {
            let arrivals = self.arrivals.as_ref().unwrap_or(&self.begins);
            columns.push(arrival_column(arrivals.clone()));
        }
        batch_of(SchemaRef::clone(schema), columns, self.batch.num_rows())
    }
}

impl Spans {
    /// With the columns of an input.
    pub(crate) fn for_input(self, input: &InputPlan) -> Spans {
        Spans { batch: self.batch_for(&input.schema, input.arrived_at), ..self }
    }

    /// As versions up to `to`: each row as it is while it is there, and from its end on as it is
    /// since, if that is known by then.
    pub(crate) fn versions(&self, schema: &SchemaRef, to: Timestamp) -> [Spans; 2] {
        let ended = |&row: &u32| self.ends[row as usize] <= to.0;
        let ended: Vec<u32> = (0..self.ends.len() as u32).filter(ended).collect();
        let open = Spans {
            batch: self.version_rows(schema, &self.batch, &self.begins, None),
            begins: self.begins.clone(),
            ends: self.ends.clone(),
            arrivals: None,
        };
        let at = |times: &[u64]| ended.iter().map(|&row| times[row as usize]).collect();
        let (begins, ends): (Vec<u64>, Vec<u64>) = (at(&self.begins), at(&self.ends));
        let rows = take_rows(&self.batch, &ended);
        let closed = Spans {
            batch: self.version_rows(schema, &rows, &begins, Some(&ends)),
            begins: ends,
            ends: vec![u64::MAX; ended.len()],
            arrivals: None,
        };
        [open, closed]
    }

    fn version_rows(
        &self,
        schema: &SchemaRef,
        batch: &RecordBatch,
        begins: &[u64],
        ends: Option<&[u64]>,
    ) -> RecordBatch {
        let (own, rows) = (schema.fields().len() - 2, batch.num_rows());
        let mut columns = batch.columns()[..own].to_vec();
        columns.push(arrival_column(begins.to_vec()));
        columns.push(match ends {
            Some(ends) => arrival_column(ends.to_vec()),
            None => new_null_array(schema.field(own + 1).data_type(), rows),
        });
        batch_of(SchemaRef::clone(schema), columns, rows)
    }
}

/// A table's changes, with the time of arrival as their last column, as those of its versions: what
/// goes is there from now on as what ended now.
pub(crate) fn changes_of_versions(changes: &Updates, schema: &SchemaRef) -> Updates {
    let own = schema.fields().len() - 2;
    let gone: Vec<u32> =
        (0..changes.len() as u32).filter(|&row| changes.diffs[row as usize] < 0).collect();
    let part = |changes: &Updates, ends: ArrayRef| {
        let mut columns = changes.data.columns()[..own].to_vec();
        columns.push(Arc::clone(changes.data.columns().last().expect("the time of arrival")));
        columns.push(ends);
        changes.with_data(batch_of(SchemaRef::clone(schema), columns, changes.len()))
    };
    let never = new_null_array(schema.field(own + 1).data_type(), changes.len());
    let ended = changes.take(&gone);
    let ended = Updates {
        diffs: ended.diffs.iter().map(|diff| -diff).collect(),
        ..part(&ended, arrival_column(ended.times.to_vec()))
    };
    Updates::concat(schema, vec![part(changes, never), ended])
}

impl Relation {
    /// The rows that are there at some time of [from, to].
    pub fn spans(&self, from: Timestamp, to: Timestamp) -> Vec<Spans> {
        self.chunks_over(from, to).filter_map(|chunk| chunk.spans(from, to)).collect()
    }

    /// Shows the rows that begin or end with from < time ≤ to, part by part, as long as `see` wants
    /// more.
    pub fn changed(&self, from: Timestamp, to: Timestamp, see: &mut dyn FnMut(Spans) -> bool) {
        let mut parts = self.chunks_changed(from, to).filter_map(|chunk| chunk.changed(from, to));
        while parts.next().is_some_and(&mut *see) {}
    }

    /// The net changes with from < time ≤ to, in order of time; at one time retractions first.
    pub fn changes(&self, from: Timestamp, to: Timestamp) -> Updates {
        let chunks = self.chunks_changed(from, to);
        let parts = chunks.flat_map(|chunk| chunk.changes(&chunk.batch, from, to)).collect();
        consolidate(Updates::concat(&self.schema(), parts))
    }

    /// The net changes at `at`, where the rows of `next` take the place of this relation's.
    pub fn replaced_by(&self, next: &Relation, at: Timestamp) -> Updates {
        let before = self.batches(Timestamp(at.0.saturating_sub(1)));
        let before = before.map(|batch| Updates::at(batch, at.0, -1));
        let after = next.batches(at).map(|batch| {
            let columns = batch.columns().to_vec();
            let batch = batch_of(self.schema(), columns, batch.num_rows());
            Updates::at(batch, at.0, 1)
        });
        consolidate(Updates::concat(&self.schema(), before.chain(after).collect()))
    }
}

impl Chunk {
    /// The rows of `batch`, which are its own, that begin after `from` and up to `to`, and those
    /// that end then.
    pub fn changes(&self, batch: &RecordBatch, from: Timestamp, to: Timestamp) -> Vec<Updates> {
        if self.is_settled(from) {
            return vec![];
        }
        let within = |time: u64| from.0 < time && time <= to.0;
        let rows = 0..self.len();
        let part = |time: &dyn Fn(usize) -> u64, diff: i64| {
            let rows: Vec<u32> =
                rows.clone().filter(|&row| within(time(row))).map(|row| row as u32).collect();
            let times: Vec<u64> = rows.iter().map(|&row| time(row as usize)).collect();
            let diffs = vec![diff; rows.len()];
            Updates::new(take_rows(batch, &rows), times, diffs)
        };
        vec![part(&|row| self.begin(row), 1), part(&|row| self.end(row), -1)]
    }

    /// See [`Relation::changed`]; none if there are none.
    fn changed(&self, from: Timestamp, to: Timestamp) -> Option<Spans> {
        let within = |time: u64| from.0 < time && time <= to.0;
        if self.is_settled(from) || self.begin(0) > to.0 {
            return None;
        }
        self.spans_of(|row| {
            let (begin, end) = (self.begin(row), self.end(row));
            begin < end && (within(begin) || within(end))
        })
    }

    /// Whether nothing of it begins or ends after `time`, as far as that is known at a glance.
    pub fn is_settled(&self, time: Timestamp) -> bool {
        // Rows stand in the order in which they began.
        self.begin(self.len() - 1) <= time.0 && self.ended() == 0
    }

    /// See [`Relation::spans`]; none if there are none.
    fn spans(&self, from: Timestamp, to: Timestamp) -> Option<Spans> {
        let there = |row: usize| {
            let begin = self.begin(row);
            begin <= to.0 && self.end(row) > from.0.max(begin)
        };
        self.spans_of(there)
    }

    fn spans_of(&self, there: impl Fn(usize) -> bool) -> Option<Spans> {
        let mask = BooleanBuffer::collect_bool(self.len(), there);
        let begins: Vec<u64> = mask.set_indices().map(|row| self.begin(row)).collect();
        let ends = mask.set_indices().map(|row| self.end(row)).collect();
        let batch = match begins.len() {
            0 => return None,
            all if all == self.len() => self.batch.clone(),
            _ => filter(&self.batch, mask),
        };
        Some(Spans { batch, begins, ends, arrivals: None })
    }
}
