//! Time to live: the rows of a table go by themselves, each so long after it arrived (S21).
//!
//! Law: a row that arrived at t is deleted by a commit at exactly t + ttl, if it is still there
//! then. Until that commit is made no one reads at its time (see [`crate::time::Clock::set_due`]).
//! Rows are added in order of arrival, so those due first stand first.

use std::time::Duration;

use super::chunk::Chunk;
use super::writer::Writer;
use crate::time::{RowId, Timestamp};

/// When the rows of a shard go.
#[derive(Debug)]
pub(super) struct Ttl {
    /// How long rows live, in µs.
    length: u64,
    /// Rows with lower ids have ended.
    oldest: u64,
}

impl Ttl {
    pub fn new(length: u64) -> Ttl {
        Ttl { length, oldest: 0 }
    }

    /// When a row goes that began at `begin`.
    pub fn end(&self, begin: u64) -> u64 {
        begin.saturating_add(self.length)
    }
}

impl Writer {
    /// Rows go so long after they arrived; `None`: they stay.
    pub(crate) fn limit_lives(&mut self, ttl: Option<Duration>) {
        let micros = |ttl: Duration| u64::try_from(ttl.as_micros()).unwrap_or(u64::MAX);
        self.ttl = ttl.map(|ttl| Ttl::new(micros(ttl).max(1)));
    }

    pub(crate) fn is_limited(&self) -> bool {
        self.ttl.is_some()
    }

    /// When the first row is due to go, if rows do.
    pub(crate) fn next_due(&mut self) -> Option<Timestamp> {
        let ttl = self.ttl.as_ref()?;
        let mut first = None;
        self.each_live(|chunk, row| {
            first = Some((chunk.id(row), ttl.end(chunk.begin(row))));
            false
        });
        let next = self.next;
        let ttl = self.ttl.as_mut().expect("it was there");
        ttl.oldest = first.map_or(next, |(id, _)| id);
        first.map(|(_, end)| Timestamp(end))
    }

    /// The rows that are due at `time` or before.
    pub(crate) fn due(&self, time: Timestamp) -> Vec<RowId> {
        let mut ids = vec![];
        if let Some(ttl) = &self.ttl {
            self.each_live(|chunk, row| {
                let is_due = ttl.end(chunk.begin(row)) <= time.0;
                ids.extend(is_due.then(|| RowId(chunk.id(row))));
                is_due
            });
        }
        ids
    }

    /// Ends the rows that were due before `now`, each when it was due, while rows are loaded whose
    /// time was over when they came.
    pub(super) fn end_due(&self, now: Timestamp, ended: &mut Vec<u64>, ends: &mut Vec<u64>) {
        if let Some(ttl) = &self.ttl {
            self.each_live(|chunk, row| {
                let end = ttl.end(chunk.begin(row));
                if end > now.0 {
                    return false;
                }
                chunk.set_end(row, Timestamp(end));
                ended.push(chunk.id(row));
                ends.push(end);
                true
            });
        }
    }

    /// Calls `each` for the live rows in order, until it says no.
    fn each_live(&self, mut each: impl FnMut(&Chunk, usize) -> bool) {
        let oldest = self.ttl.as_ref().map_or(0, |ttl| ttl.oldest);
        let state = self.relation.shards[self.shard].read();
        let from = state.chunks.partition_point(|chunk| chunk.last_id() < oldest);
        for chunk in &state.chunks[from..] {
            for row in (0..chunk.len()).filter(|&row| chunk.is_live(row)) {
                if !each(chunk, row) {
                    return;
                }
            }
        }
    }
}
