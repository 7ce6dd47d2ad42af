//! Writing a table: deletes by row id and inserts, checked as a whole before anything is changed.
//!
//! Law
//! - A [`Prepared`] write applies without failing, if nothing was applied to the table in between.
//! - Of the rows with one primary key at most one is there at any time. A write deletes first, so a
//!   key may go and come back in one write.
//! - Times do not fall from one write to the next, and no reader reads at the time of a write or
//!   later until the write is done.
//!
//! How a view's output is written stands in `view.rs`; how chunks are kept few, in `compact.rs`.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::chunk::{Begins, Chunk};
use super::key::Keys;
use super::relation::{Relation, ShardState, has_key, locate, push};
use super::ttl::Ttl;
use super::view::Content;
use crate::time::{CollectionId, RowId, Timestamp};
use crate::updates::take_rows;

/// Rows in a chunk that is not merged with others any more, at most; twice that in rare cases.
pub(super) const CHUNK_ROWS: usize = 64 * 1024;

/// The one who may write a shard of a relation.
#[derive(Debug)]
pub struct Writer {
    pub(super) relation: Arc<Relation>,
    pub(super) shard: usize,
    /// The id of the next row.
    pub(super) next: u64,
    /// For a view without a key, once it has seen a retraction.
    pub(super) content: Option<Content>,
    /// Rows ended since chunks were last looked at for dead ones.
    pub(super) ended: usize,
    /// When the last loaded row arrived.
    pub(super) loaded_until: u64,
    /// When rows go by themselves, if they do.
    pub(super) ttl: Option<Ttl>,
}

/// What changes in one table: `delete` first, then `insert`, in the table's columns.
#[derive(Clone, Debug)]
pub struct TableWrite {
    pub table: CollectionId,
    pub delete: Vec<RowId>,
    pub insert: RecordBatch,
}

/// Why a write cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The key of this row of the insert is that of another row.
    #[error("the primary key of row {row} is there already")]
    Duplicate { row: usize },
    #[error("row {} is not there, or deleted twice", .id.0)]
    NotThere { id: RowId },
    #[error("the rows do not fit the table: {0}")]
    Columns(String),
}

/// A checked write, not yet applied.
#[derive(Debug)]
pub struct Prepared {
    /// Rising.
    delete: Vec<u64>,
    insert: RecordBatch,
    keys: Option<Keys>,
}

/// What a write did.
#[derive(Clone, Debug)]
pub struct Written {
    /// Rising.
    pub deleted_ids: Vec<RowId>,
    /// The rows of these ids, in that order, in as many batches as chunks they were in.
    pub deleted: Vec<RecordBatch>,
    /// When each of them began.
    pub deleted_begins: Vec<u64>,
    /// The id of the first inserted row; the others follow.
    pub first: RowId,
    pub inserted: RecordBatch,
}

impl Writer {
    pub(super) fn new(relation: Arc<Relation>, shard: usize) -> Writer {
        let next = (shard as u64) << 48;
        Writer { relation, shard, next, content: None, ended: 0, loaded_until: 0, ttl: None }
    }

    pub fn relation(&self) -> &Arc<Relation> {
        &self.relation
    }

    /// Checks a write against the rows that are there now.
    pub fn prepare(&self, delete: &[RowId], insert: RecordBatch) -> Result<Prepared, WriteError> {
        let insert = self.conform(insert)?;
        let mut delete: Vec<u64> = delete.iter().map(|id| id.0).collect();
        delete.sort_unstable();
        if let Some(twice) = delete.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(WriteError::NotThere { id: RowId(twice[0]) });
        }
        let state = self.relation.shards[self.shard].read();
        for &id in &delete {
            if !state.locate(id).is_some_and(|(chunk, row)| chunk.is_live(row)) {
                return Err(WriteError::NotThere { id: RowId(id) });
            }
        }
        drop(state);
        let keys = self.relation.encoder.as_ref().map(|encoder| encoder.keys_of(&insert));
        if let Some(keys) = &keys {
            self.check_keys(keys, &delete)?;
        }
        Ok(Prepared { delete, insert, keys })
    }

    /// Applies a prepared write, the last one prepared, at `time`.
    pub fn write(&mut self, time: Timestamp, prepared: Prepared) -> Written {
        self.maintain();
        let Prepared { delete, insert, keys } = prepared;
        let changes = !delete.is_empty() || insert.num_rows() > 0;
        if changes {
            self.relation.close_past();
        }
        let (deleted, deleted_begins) = self.delete(time, &delete);
        let first = RowId(self.next);
        self.append(&insert, Begins::One(time.0), keys.as_ref());
        let deleted_ids: Vec<RowId> = delete.into_iter().map(RowId).collect();
        if changes {
            self.relation.tell_written(time);
        }
        Written { deleted_ids, deleted, deleted_begins, first, inserted: insert }
    }

    /// The batch under the relation's own schema.
    pub(super) fn conform(&self, batch: RecordBatch) -> Result<RecordBatch, WriteError> {
        let schema = self.relation.schema();
        if Arc::ptr_eq(&schema, batch.schema_ref()) {
            return Ok(batch);
        }
        let (_, columns, rows) = batch.into_parts();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(schema, columns, &options)
            .map_err(|error| WriteError::Columns(error.to_string()))
    }

    /// Refuses keys that are there and not in `delete`, or twice among themselves.
    fn check_keys(&self, keys: &Keys, delete: &[u64]) -> Result<(), WriteError> {
        let encoder = self.relation.encoder.as_ref().expect("keys are made by it");
        let state = self.relation.shards[self.shard].read();
        for row in 0..keys.len() {
            for id in state.index.chain(keys.word(row)) {
                let Some((chunk, place)) = state.locate(id) else { continue };
                if !has_key(encoder, chunk, place, keys, row) {
                    continue;
                }
                if chunk.is_live(place) && delete.binary_search(&id).is_err() {
                    return Err(WriteError::Duplicate { row });
                }
                break; // of the rows with one key only the newest can be there
            }
        }
        drop(state);
        match (keys.len() > 1).then(|| twice(keys)).flatten() {
            Some(row) => Err(WriteError::Duplicate { row }),
            None => Ok(()),
        }
    }

    /// Ends live rows, given in rising order, and returns them and when each began.
    fn delete(&mut self, time: Timestamp, ids: &[u64]) -> (Vec<RecordBatch>, Vec<u64>) {
        let state = self.relation.shards[self.shard].read();
        let mut rest = ids;
        while let Some(&id) = rest.first() {
            let (chunk, _) = locate(&state.chunks, id).expect("the write was prepared");
            let here = rest.partition_point(|&id| id <= chunk.last_id());
            for &id in &rest[..here] {
                let row = chunk.position(id).expect("the write was prepared");
                chunk.set_end(row, time);
            }
            rest = &rest[here..];
        }
        drop(state);
        self.ended += ids.len();
        self.rows_of(ids)
    }

    /// The rows of these ids, which are rising and in chunks, and when each began.
    pub(super) fn rows_of(&self, ids: &[u64]) -> (Vec<RecordBatch>, Vec<u64>) {
        let (mut batches, mut begins) = (vec![], vec![]);
        let state = self.relation.shards[self.shard].read();
        let mut rest = ids;
        while let Some(&id) = rest.first() {
            let (chunk, _) = locate(&state.chunks, id).expect("it is in a chunk");
            let here = rest.partition_point(|&id| id <= chunk.last_id());
            let place = |id: &u64| chunk.position(*id).expect("it is in a chunk") as u32;
            let rows: Vec<u32> = rest[..here].iter().map(place).collect();
            begins.extend(rows.iter().map(|&row| chunk.begin(row as usize)));
            batches.push(match &rows[..] {
                [one] => chunk.batch.slice(*one as usize, 1),
                all if all.len() == chunk.len() => chunk.batch.clone(),
                many => take_rows(&chunk.batch, many),
            });
            rest = &rest[here..];
        }
        (batches, begins)
    }

    /// How many bytes rows take at most: no more than all rows of their chunks do.
    pub fn bytes_at_most(&self, ids: &[RowId]) -> usize {
        let mut ids: Vec<u64> = ids.iter().map(|id| id.0).collect();
        ids.sort_unstable();
        let state = self.relation.shards[self.shard].read();
        let columns = self.relation.schema().fields().len();
        let mut bytes = 16 * columns * ids.len();
        let mut rest = &ids[..];
        while let Some(&id) = rest.first() {
            let chunk = state.chunks.get(state.chunks.partition_point(|c| c.last_id() < id));
            let Some(chunk) = chunk else { break };
            bytes += chunk.payload_bytes();
            rest = &rest[rest.partition_point(|&id| id <= chunk.last_id())..];
        }
        bytes
    }

    /// The id that the next row gets.
    pub fn next_id(&self) -> RowId {
        RowId(self.next)
    }

    /// Adds rows under the next ids; with `keys`, also to the relation's index.
    pub(super) fn append(&mut self, batch: &RecordBatch, begins: Begins, keys: Option<&Keys>) {
        let since = self.relation.horizon.since();
        if batch.num_rows() > 0 {
            self.relation.rows_from(match &begins {
                Begins::One(begin) => *begin,
                Begins::Each(each) => each[0],
            });
        }
        for from in (0..batch.num_rows()).step_by(CHUNK_ROWS) {
            let rows = CHUNK_ROWS.min(batch.num_rows() - from);
            let whole = rows == batch.num_rows();
            let piece = if whole { batch.clone() } else { batch.slice(from, rows) };
            let begins = match &begins {
                Begins::One(begin) => Begins::One(*begin),
                Begins::Each(each) => Begins::Each(each.slice(from, rows)),
            };
            let first = self.next;
            let chunk = Arc::new(Chunk::new(piece, first, begins));
            self.next += rows as u64;
            let mut state = self.relation.shards[self.shard].write();
            Arc::make_mut(&mut state.chunks).push(chunk);
            let ShardState { chunks, index, settled, .. } = &mut *state;
            if let Some(keys) = keys {
                *settled = (*settled).max(since.0);
                for row in 0..rows {
                    push(index, chunks, keys.word(from + row), first + row as u64, since);
                }
            }
        }
    }
}

/// The first row whose key an earlier row of the same batch has.
fn twice(keys: &Keys) -> Option<usize> {
    let hash = |row: usize| mix(keys.word(row));
    let mut seen: HashTable<usize> = HashTable::with_capacity(keys.len());
    (0..keys.len()).find(|&row| {
        match seen.entry(hash(row), |&other| keys.same(row, keys, other), |&other| hash(other)) {
            Entry::Occupied(_) => true,
            Entry::Vacant(free) => {
                free.insert(row);
                false
            }
        }
    })
}

/// Spreads a word, which may be a value as it is, over the bits of a hash.
fn mix(word: Option<u64>) -> u64 {
    let mixed = u128::from(word.unwrap_or(1) ^ 0x9e37_79b9_7f4a_7c15) * 0xf135_7aea_2e62_a9c5;
    (mixed as u64) ^ (mixed >> 64) as u64
}
