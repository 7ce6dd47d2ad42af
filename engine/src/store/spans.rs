//! Spans: the rows of a relation with the time in which each is there, and the changes they make.
//!
//! Law
//! - [`Relation::spans`] over [from, to] gives every row that is there at some time of it, as long
//!   as from ≥ [`Relation::readable_from`] and `to` is closed.
//! - [`Relation::changes`] over (from, to] is the net of their begins and ends: added to the rows
//!   at `from`, it gives the rows at every time up to `to`.

use arrow::array::RecordBatch;
use arrow::buffer::BooleanBuffer;

use super::chunk::{Chunk, filter};
use super::relation::Relation;
use crate::state::consolidate::consolidate;
use crate::time::Timestamp;
use crate::updates::Updates;

/// Rows, each with the span of time in which it is there: begin ≤ t < end, in µs since the Unix
/// epoch; one of each for every row of the batch.
#[derive(Clone, Debug)]
pub struct Spans {
    pub batch: RecordBatch,
    pub begins: Vec<u64>,
    /// `u64::MAX` for a row that is still there.
    pub ends: Vec<u64>,
}

impl Relation {
    /// The rows that are there at some time of [from, to].
    pub fn spans(&self, from: Timestamp, to: Timestamp) -> Vec<Spans> {
        self.chunks_over(from, to).iter().filter_map(|chunk| chunk.spans(from, to)).collect()
    }

    /// The net changes with from < time ≤ to, in order of time; at one time retractions first.
    pub fn changes(&self, from: Timestamp, to: Timestamp) -> Updates {
        let within = |time: &u64| from.0 < *time && *time <= to.0;
        let mut parts = vec![];
        for spans in self.spans(from, to) {
            for (times, diff) in [(&spans.begins, 1), (&spans.ends, -1)] {
                let rows: Vec<u32> =
                    (0..times.len() as u32).filter(|&row| within(&times[row as usize])).collect();
                let all = Updates::new(spans.batch.clone(), times.clone(), vec![diff; times.len()]);
                parts.push(all.take(&rows));
            }
        }
        consolidate(Updates::concat(&self.schema(), parts))
    }
}

impl Chunk {
    /// See [`Relation::spans`]; none if there are none.
    fn spans(&self, from: Timestamp, to: Timestamp) -> Option<Spans> {
        let there = |row: usize| self.begin(row) <= to.0 && self.end(row) > from.0;
        let mask = BooleanBuffer::collect_bool(self.len(), there);
        let begins: Vec<u64> = mask.set_indices().map(|row| self.begin(row)).collect();
        let ends = mask.set_indices().map(|row| self.end(row)).collect();
        let batch = match begins.len() {
            0 => return None,
            all if all == self.len() => self.batch.clone(),
            _ => filter(&self.batch, mask),
        };
        Some(Spans { batch, begins, ends })
    }
}
