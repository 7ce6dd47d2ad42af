//! Filling a table from its log, quickly: rows are gathered into full chunks whatever the size of
//! the commits they came in, and the index is built once, at the end.
//!
//! Law: afterwards the relation is as if every write had been made by [`Writer::write`], with the
//! same row ids, and rows that ended by the end of the load are in the past. No one reads
//! meanwhile.

use std::sync::Arc;
use std::time::Duration;

use super::chunk::{Begins, Chunk, merge};
use super::keyed::AddedKey;
use super::relation::{Relation, locate};
use super::widen::AddedColumn;
use super::writer::{CHUNK_ROWS, Writer};
use crate::log::{EncodedRows, ReplayLoad, RowsBuilder};
use crate::time::{RowId, Timestamp};

/// What is gathered into one chunk at most, about, in bytes.
const PENDING_BYTES: usize = 16 * 1024 * 1024;

/// Room that is made before more is gathered: a batch's offsets of four bytes must not overflow.
const BATCH_BYTES_MAX: usize = 1 << 30;

/// A table being loaded.
#[derive(Debug)]
pub struct Loader {
    writer: Writer,
    /// Rows that are in no chunk yet, and when they begin and end.
    pending: RowsBuilder,
    begins: Vec<u64>,
    ends: Vec<u64>,
    /// The time of the last write.
    time: Timestamp,
}

impl Loader {
    /// For a relation that nothing was written to.
    pub fn new(writer: Writer) -> Result<Loader, String> {
        let pending = RowsBuilder::new(&writer.relation.schema())?;
        let (begins, ends) = (vec![], vec![]);
        Ok(Loader { writer, pending, begins, ends, time: Timestamp::MIN })
    }

    /// Goes on with a column more.
    pub fn widen(&mut self, column: &AddedColumn) -> Result<(), String> {
        self.flush()?;
        self.writer = self.writer.widened(column);
        self.pending = RowsBuilder::new(&self.writer.relation.schema())?;
        Ok(())
    }

    /// Goes on with a key, which was checked when it was added.
    pub fn key(&mut self, key: &AddedKey) -> Result<(), String> {
        self.flush()?;
        self.writer = self.writer.to_be_keyed(&key.columns, self.time);
        Ok(())
    }

    pub fn relation(&self) -> &Arc<Relation> {
        self.writer.relation()
    }

    /// Rows go so long after they arrived.
    pub fn limit_lives(&mut self, ttl: Option<Duration>) {
        self.writer.limit_lives(ttl);
    }

    /// Rows begin at `time`, under the ids from `first` on.
    pub fn insert(
        &mut self,
        time: Timestamp,
        first: RowId,
        rows: EncodedRows<'_>,
    ) -> Result<(), String> {
        self.time = time;
        let before = self.writer.next + self.begins.len() as u64;
        self.read(first, rows, |begins, more| begins.resize(begins.len() + more, time.0))?;
        if self.writer.next + self.begins.len() as u64 > before {
            self.relation().close_past();
        }
        Ok(())
    }

    /// What a load at `time` did (S20).
    pub fn load(&mut self, time: Timestamp, load: ReplayLoad<'_>) -> Result<(), String> {
        self.time = time;
        let mut times = load.begins.iter();
        let first = load.first;
        self.read(first, load.rows, |begins, more| begins.extend(times.by_ref().take(more)))?;
        self.writer.loaded_until = load.until;
        for (id, end) in load.ended.iter().zip(load.ends.iter()) {
            if !self.end(Timestamp(end), RowId(id)) {
                return Err(format!("row {id} is replaced and was not there"));
            }
        }
        self.relation().rewritten(time);
        self.ended(load.ended.count());
        Ok(())
    }

    /// Reads rows with the ids from `first` on; `begin` says when the next ones begin.
    fn read(
        &mut self,
        first: RowId,
        mut rows: EncodedRows<'_>,
        mut begin: impl FnMut(&mut Vec<u64>, usize),
    ) -> Result<(), String> {
        let mut id = first.0;
        loop {
            let bytes = self.pending.bytes();
            let full = self.begins.len() >= CHUNK_ROWS || bytes >= PENDING_BYTES;
            if full || bytes + rows.bytes() > BATCH_BYTES_MAX {
                self.flush()?;
            }
            let next = self.writer.next + self.begins.len() as u64;
            let Some(more) = rows.read_next(&mut self.pending)? else { return Ok(()) };
            if id != next {
                return Err(format!("rows go on at {id}, not at {next}"));
            }
            id += more as u64;
            begin(&mut self.begins, more);
            self.ends.resize(self.ends.len() + more, u64::MAX);
            if self.begins.len() != self.ends.len() {
                return Err("there is not a time for each row".into());
            }
        }
    }

    /// Rows that are there end at `time`.
    pub fn delete(&mut self, time: Timestamp, ids: &[RowId]) -> Result<(), String> {
        self.time = time;
        for &id in ids {
            if !self.end(time, id) {
                return Err(format!("row {} is deleted and was not there", id.0));
            }
        }
        if !ids.is_empty() {
            self.relation().close_past();
        }
        self.ended(ids.len());
        Ok(())
    }

    /// So many rows have ended: now and then they move into the past.
    fn ended(&mut self, rows: usize) {
        self.writer.ended += rows;
        if self.writer.ended > CHUNK_ROWS {
            self.writer.compact(self.time);
        }
    }

    /// Everything is loaded: builds the index and returns the writer to go on with.
    pub fn finish(mut self) -> Result<Writer, String> {
        self.flush()?;
        self.writer.ended = usize::MAX;
        self.writer.maintain_all(self.time);
        self.writer.index_all();
        Ok(self.writer)
    }

    /// Ends a row, in a chunk or on its way into one; says whether it was there.
    fn end(&mut self, time: Timestamp, id: RowId) -> bool {
        if let Some(place) = id.0.checked_sub(self.writer.next) {
            let live = self.ends.get_mut(place as usize).filter(|end| **end == u64::MAX);
            return live.map(|end| *end = time.0).is_some();
        }
        let state = self.writer.relation.shards[self.writer.shard].read();
        match locate(&state.chunks, id.0) {
            Some((chunk, row)) if chunk.is_live(row) => {
                chunk.set_end(row, time);
                true
            }
            _ => false,
        }
    }

    /// Makes a chunk of what is pending.
    fn flush(&mut self) -> Result<(), String> {
        let first = self.writer.next;
        self.writer.next += self.begins.len() as u64;
        let batch = self.pending.finish()?;
        let begins = std::mem::take(&mut self.begins);
        let ends = std::mem::take(&mut self.ends);
        if begins.is_empty() {
            return Ok(());
        }
        self.relation().rows_from(begins[0]);
        let chunk = Chunk::new(batch, first, Begins::Each(begins.into()));
        let mut ended = false;
        for (row, &end) in ends.iter().enumerate().filter(|(_, end)| **end != u64::MAX) {
            chunk.set_end(row, Timestamp(end));
            ended = true;
        }
        let (mut chunk, mut leaving) = (Some(chunk), None);
        if let Some(all) = chunk.take_if(|_| ended).map(|chunk| [Arc::new(chunk)]) {
            leaving = self.writer.leaving(&all, self.time);
            chunk = merge(&all, self.time);
        }
        let mut state = self.writer.relation.shards[self.writer.shard].write();
        Arc::make_mut(&mut state.chunks).extend(chunk.map(Arc::new));
        state.past.push(leaving);
        state.settled = state.settled.max(self.time.0);
        drop(state);
        self.writer.maintain_past(self.time);
        Ok(())
    }
}
