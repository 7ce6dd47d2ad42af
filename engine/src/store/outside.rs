//! The rows of a source: kept outside, read again whenever they are asked for.
//!
//! Law      at t the relation has the rows at the offsets that were committed at times ≤ t, each
//!          since the commit that took in its offset; none of them ever ends
//! State    one span for each commit that took in offsets
//! Cost     a read makes all of its rows anew, a chunk at a time
//!
//! Row ids count the relation's rows from 0.

use std::sync::{Arc, RwLock};

use arrow::array::RecordBatch;

use super::chunk::{Begins, Chunk};
use super::relation::Relation;
use super::writer::CHUNK_ROWS;
use crate::connector::OutsideLog;
use crate::time::Timestamp;

/// A relation of a log, as far as it has been taken in.
#[derive(Debug)]
pub struct Outside {
    log: Arc<dyn OutsideLog>,
    relation: usize,
    /// In order of time, and of offsets.
    spans: RwLock<Vec<Span>>,
}

/// The entries from the end of the span before, up to this offset, are there from this time on.
#[derive(Clone, Copy, Debug)]
struct Span {
    time: u64,
    until: u64,
}

impl Outside {
    /// Nothing of it yet.
    pub fn new(log: Arc<dyn OutsideLog>, relation: usize) -> Outside {
        Outside { log, relation, spans: RwLock::default() }
    }

    /// Entries up to the offset `until` are there from `time` on.
    pub fn take_in(&self, time: Timestamp, until: u64) {
        let mut spans = self.spans.write().expect("nothing panics while holding it");
        match spans.last_mut().filter(|last| last.time == time.0) {
            Some(last) => last.until = until,
            None => spans.push(Span { time: time.0, until }),
        }
    }

    /// How many rows there are at `at`.
    pub fn count(&self, at: Timestamp) -> usize {
        self.log.rows_before(self.relation, self.until(at)) as usize
    }

    /// The offset behind what was there at `at`.
    fn until(&self, at: Timestamp) -> u64 {
        let spans = self.spans.read().expect("nothing panics while holding it");
        let later = spans.partition_point(|span| span.time <= at.0);
        later.checked_sub(1).map_or(0, |last| spans[last].until)
    }

    /// The rows at offsets [from, to), which are all there.
    fn chunk(&self, from: u64, to: u64) -> Option<Chunk> {
        let first = self.log.rows_before(self.relation, from);
        let batch = self.log.read(self.relation, from, to);
        if batch.num_rows() == 0 {
            return None;
        }
        let mut begins = Vec::with_capacity(batch.num_rows());
        let spans = self.spans.read().expect("nothing panics while holding it");
        for span in &spans[spans.partition_point(|span| span.until <= from)..] {
            let rows = self.log.rows_before(self.relation, span.until.min(to)) - first;
            begins.resize(rows as usize, span.time);
            if span.until >= to {
                break;
            }
        }
        drop(spans);
        assert_eq!(begins.len(), batch.num_rows(), "only what was taken in is read");
        Some(Chunk::new(batch, first, Begins::Each(begins.into())))
    }
}

/// Chunks of a relation, kept or made as they are asked for.
pub(super) enum Chunks {
    Kept(std::vec::IntoIter<Arc<Chunk>>),
    Outside { outside: Arc<Outside>, next: u64, until: u64 },
}

impl Iterator for Chunks {
    type Item = Arc<Chunk>;

    fn next(&mut self) -> Option<Arc<Chunk>> {
        match self {
            Chunks::Kept(chunks) => chunks.next(),
            Chunks::Outside { outside, next, until } => {
                while *next < *until {
                    let (from, to) = (*next, (*next + CHUNK_ROWS as u64).min(*until));
                    *next = to;
                    if let Some(chunk) = outside.chunk(from, to) {
                        return Some(Arc::new(chunk));
                    }
                }
                None
            }
        }
    }
}

impl Relation {
    /// From now on its rows are those of an outside log. For one that nothing was written to.
    pub(crate) fn read_outside(&self, outside: Outside) {
        self.close_past();
        self.outside.set(Arc::new(outside)).expect("it is said once");
    }

    /// Offsets up to `until` are there from `time` on; as with every write, no one reads there yet.
    pub(crate) fn take_in(&self, time: Timestamp, until: u64) {
        let outside = self.outside.get().expect("a relation of a source");
        outside.take_in(time, until);
        self.tell_written(time);
    }

    /// Where the rows are that are there at some time of [from, to].
    pub(super) fn chunks_over(&self, from: Timestamp, to: Timestamp) -> Chunks {
        match self.outside.get() {
            Some(outside) => {
                let until = outside.until(to);
                Chunks::Outside { outside: Arc::clone(outside), next: 0, until }
            }
            None => Chunks::Kept(self.kept_over(from, to).into_iter()),
        }
    }

    /// One of `of` shares of the rows at `at`, so that not all make all of them; `None` for a
    /// relation whose rows are kept. With the time of arrival as the last column, or without.
    pub(crate) fn scan_share(
        &self,
        at: Timestamp,
        arrived_at: bool,
        share: usize,
        of: usize,
    ) -> Option<Vec<RecordBatch>> {
        let outside = self.outside.get()?;
        let until = outside.until(at);
        let step = CHUNK_ROWS as u64;
        let starts = (0..until).step_by(CHUNK_ROWS).skip(share).step_by(of);
        let chunks = starts.filter_map(|from| outside.chunk(from, until.min(from + step)));
        let rows = chunks.map(|chunk| match arrived_at {
            true => self.arrived(chunk.batch.clone(), chunk.begins_at(at)),
            false => chunk.batch,
        });
        Some(rows.collect())
    }

    /// Where the rows are that begin or end after `after` and up to `to`.
    pub(super) fn chunks_changed(&self, after: Timestamp, to: Timestamp) -> Chunks {
        match self.outside.get() {
            Some(outside) => {
                let (next, until) = (outside.until(after), outside.until(to));
                Chunks::Outside { outside: Arc::clone(outside), next, until }
            }
            None => self.chunks_over(after, to),
        }
    }
}
