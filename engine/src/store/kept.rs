//! The rows of a view's output as checkpoints keep them.
//!
//! Law: the rows of a shard at a time are those that came up to it, less those that went. A row
//! keeps its id; none is given out twice.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, UInt64Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, UInt64Type};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;

use super::chunk::Chunk;
use super::relation::Relation;
use super::writer::{CHUNK_ROWS, Writer};
use crate::time::Timestamp;
use crate::updates::{Updates, batch_of, take_rows};

/// Rows that are written together.
const BLOCK_ROWS: usize = CHUNK_ROWS;
const ID: &str = "_id";

/// Rows with their ids.
pub(crate) struct KeptRows {
    batch: RecordBatch,
    ids: Vec<u64>,
}

impl KeptRows {
    /// The families of a view's output: rows that came, ids of rows that went, the next id.
    pub const CAME: u32 = 0;
    pub const GONE: u32 = 1;
    pub const NEXT: u32 = 2;

    fn encode(&self) -> Result<Vec<u8>, ArrowError> {
        let (schema, mut columns, rows) = self.batch.clone().into_parts();
        columns.push(Arc::new(UInt64Array::from(self.ids.clone())) as ArrayRef);
        let id = Arc::new(Field::new(ID, DataType::UInt64, false));
        let fields: Vec<_> = schema.fields().iter().cloned().chain([id]).collect();
        let batch = batch_of(Arc::new(Schema::new(fields)), columns, rows);
        let mut writer = StreamWriter::try_new(Vec::new(), batch.schema_ref())?;
        writer.write(&batch)?;
        writer.into_inner()
    }

    /// Rows that came, but for those that are `gone`; `None` if the bytes are not such.
    pub fn came(bytes: &[u8], gone: &HashSet<u64>) -> Option<KeptRows> {
        let mut reader = StreamReader::try_new(bytes, None).ok()?;
        let mut batch = reader.next()?.ok()?;
        let last = batch.num_columns().checked_sub(1)?;
        let mut ids = batch.column(last).as_primitive_opt::<UInt64Type>()?.clone();
        if !gone.is_empty() {
            let there: BooleanArray =
                ids.values().iter().map(|id| !gone.contains(id)).collect::<Vec<_>>().into();
            batch = filter_record_batch(&batch, &there).ok()?;
            ids = batch.column(last).as_primitive::<UInt64Type>().clone();
        }
        batch.remove_column(last);
        Some(KeptRows { batch, ids: ids.values().to_vec() })
    }

    /// Ids of rows that went.
    pub fn gone(bytes: &[u8]) -> Option<impl Iterator<Item = u64> + '_> {
        let (ids, rest) = bytes.as_chunks::<8>();
        rest.is_empty().then(|| ids.iter().map(|id| u64::from_le_bytes(*id)))
    }
}

impl Relation {
    /// How many parts it has, one for each writer.
    pub(crate) fn shard_count(&self) -> usize {
        self.shards.len()
    }

    /// What the rows of a shard at `at` are, or what has come and gone since `since`; family, bytes
    /// and how many rows, block by block. Both times are held.
    pub(crate) fn keep<E: From<ArrowError>>(
        &self,
        shard: usize,
        since: Option<Timestamp>,
        at: Timestamp,
        mut each: impl FnMut(u32, Vec<u8>, u64) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut next = (shard as u64) << 48;
        for chunk in self.shards[shard].chunks_over(since.unwrap_or(at), at) {
            next = next.max(chunk.last_id() + 1);
            if since.is_some_and(|since| chunk.is_settled(since)) {
                continue;
            }
            let there = |row: usize| chunk.is_visible(row, at);
            let was = |row: usize| since.is_some_and(|since| chunk.is_visible(row, since));
            let all = 0..chunk.len();
            let went = all.clone().filter(|&row| was(row) && !there(row));
            let went: Vec<u8> = went.flat_map(|row| chunk.id(row).to_le_bytes()).collect();
            if !went.is_empty() {
                let rows = went.len() as u64 / 8;
                each(KeptRows::GONE, went, rows)?;
            }
            let came: Vec<u32> =
                all.filter(|&row| there(row) && !was(row)).map(|row| row as u32).collect();
            for rows in came.chunks(BLOCK_ROWS) {
                let batch = take_rows(&chunk.batch, rows);
                let ids = rows.iter().map(|&row| chunk.id(row as usize)).collect();
                let bytes = KeptRows { batch, ids }.encode()?;
                each(KeptRows::CAME, bytes, rows.len() as u64)?;
            }
        }
        each(KeptRows::NEXT, next.to_le_bytes().to_vec(), 0)
    }

    /// Whether its changes after `from` and up to `to` are known, and all that has changed since.
    pub(crate) fn is_as_of(&self, from: Timestamp, to: Timestamp) -> bool {
        self.last_rewritten() <= from && self.readable_from_at(to) <= from
    }

    /// The changes of a shard with from < time ≤ to.
    pub(crate) fn changes_of_shard(&self, shard: usize, from: Timestamp, to: Timestamp) -> Updates {
        let chunks = self.shards[shard].chunks_over(from, to);
        let parts = chunks.iter().flat_map(|chunk| chunk.changes(&chunk.batch, from, to));
        Updates::concat(&self.schema(), parts.collect())
    }

    /// The changes with from < time ≤ to, with the time of arrival as their last column.
    pub(crate) fn changes_arrived(&self, from: Timestamp, to: Timestamp) -> Updates {
        let chunks = self.chunks_changed(from, to).filter(|chunk| !chunk.is_settled(from));
        let parts = chunks.flat_map(|chunk| {
            let begins = (0..chunk.len()).map(|row| chunk.begin(row)).collect();
            chunk.changes(&self.arrived(chunk.batch.clone(), begins), from, to)
        });
        Updates::concat(&self.arrived_schema(), parts.collect())
    }
}

impl Writer {
    /// Puts rows back under their ids, as there since `since`; `None` if they are no rows of this
    /// relation. Nothing was written yet, and what comes has higher ids.
    pub(crate) fn restore(&mut self, rows: KeptRows, since: Timestamp) -> Option<()> {
        let KeptRows { batch, ids } = rows;
        let batch = self.conform(batch).ok()?;
        let Some(&last) = ids.last() else { return Some(()) };
        let rising = ids.is_sorted_by(|a, b| a < b) && ids[0] >= self.next;
        if !rising || ids.len() != batch.num_rows() {
            return None;
        }
        self.next = last + 1;
        self.relation.rows_from(since.0);
        let (begins, ends) = (vec![since.0; ids.len()], vec![u64::MAX; ids.len()]);
        let chunk = Chunk::of(batch, ids, begins, ends);
        let mut state = self.relation.shards[self.shard].write();
        Arc::make_mut(&mut state.chunks).push(Arc::new(chunk));
        Some(())
    }

    /// All rows are back.
    pub(crate) fn restored(&mut self, next: u64) {
        self.next = self.next.max(next);
        self.index_all();
    }
}
