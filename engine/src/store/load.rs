//! Filling a table from its log, quickly: rows are gathered into full chunks whatever the size of
//! the commits they came in, and the index is built once, at the end.
//!
//! Law: afterwards the relation is as if every write had been made by [`Writer::write`], with the
//! same row ids, and rows that ended by the end of the load are in the past. No one reads
//! meanwhile.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::buffer::BooleanBuffer;
use arrow::compute::concat_batches;

use super::chunk::{Begins, Chunk, filter, merge};
use super::keyed::AddedKey;
use super::relation::{Relation, locate};
use super::widen::AddedColumn;
use super::writer::{CHUNK_ROWS, Writer};
use crate::log::sealed::Changes;
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
    /// Rows that are in no chunk yet, those in `batches` after the others, and when they begin and
    /// end.
    pending: RowsBuilder,
    batches: Vec<RecordBatch>,
    begins: Vec<u64>,
    ends: Vec<u64>,
    /// The time of the last write.
    time: Timestamp,
}

impl Loader {
    /// For a relation that nothing was written to.
    pub fn new(writer: Writer) -> Result<Loader, String> {
        let pending = RowsBuilder::new(&writer.relation.schema())?;
        let (batches, begins, ends) = (vec![], vec![], vec![]);
        Ok(Loader { writer, pending, batches, begins, ends, time: Timestamp::MIN })
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

    /// What sealed files say happened, in their order. What came and went at `loaded` or before it
    /// did so by loads.
    pub fn replay(&mut self, changes: &Changes, loaded: Timestamp) -> Result<(), String> {
        let Changes { times, diffs, ids, rows } = changes;
        let came = BooleanBuffer::collect_bool(diffs.len(), |row| diffs[row] > 0);
        let (count, last) = (came.count_set_bits(), times.last().copied().unwrap_or(0));
        let full = self.begins.len() + count > CHUNK_ROWS;
        if full || self.pending_bytes() + rows.get_array_memory_size() >= PENDING_BYTES {
            self.flush()?;
        }
        let next = self.writer.next + self.begins.len() as u64;
        for (row, next) in came.set_indices().zip(next..) {
            if ids[row] != next {
                return Err(format!("rows go on at {}, not at {next}", ids[row]));
            }
            self.begins.push(times[row]);
        }
        self.ends.resize(self.begins.len(), u64::MAX);
        if count == rows.num_rows() {
            self.batches.push(rows.clone());
        } else if count > 0 {
            self.batches.push(filter(rows, came.clone()));
        }
        self.time = self.time.max(Timestamp(last).max(loaded));
        if last > loaded.0 {
            self.relation().close_past();
        }
        let went = (0..diffs.len()).filter(|&row| !came.value(row));
        for row in went {
            if !self.end(Timestamp(times[row]), RowId(ids[row])) {
                return Err(format!("row {} went and was not there", ids[row]));
            }
        }
        self.ended(diffs.len() - count);
        Ok(())
    }

    fn pending_bytes(&self) -> usize {
        let batches = self.batches.iter().map(RecordBatch::get_array_memory_size);
        self.pending.bytes() + batches.sum::<usize>()
    }

    /// Reads rows with the ids from `first` on; `begin` says when the next ones begin.
    fn read(
        &mut self,
        first: RowId,
        mut rows: EncodedRows<'_>,
        mut begin: impl FnMut(&mut Vec<u64>, usize),
    ) -> Result<(), String> {
        let mut id = first.0;
        if !self.batches.is_empty() {
            self.flush()?;
        }
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
        let batch = self.finish_pending()?;
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

    fn finish_pending(&mut self) -> Result<RecordBatch, String> {
        let first = self.pending.finish()?;
        let mut batches = std::mem::take(&mut self.batches);
        match &mut batches[..] {
            [] => Ok(first),
            [one] if first.num_rows() == 0 => Ok(one.clone()),
            _ => {
                let all = [&first].into_iter().chain(&batches);
                concat_batches(&first.schema(), all).map_err(|error| error.to_string())
            }
        }
    }
}
