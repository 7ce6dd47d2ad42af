//! A relation: the rows of one table, or of one view's output, at every time that is still read.
//!
//! Law
//! - [`Relation::scan`], [`Relation::lookup`] and [`Relation::count`] at t give the rows with
//!   begin ≤ t < end: what was written at times ≤ t. That holds for t ≥
//!   [`Relation::readable_from`] and below the time that its writers write at. At times before
//!   [`Horizon::since`] it costs a look at the past.
//! - Readers take a lock only to copy the list of chunks or to follow an index; a writer holds it
//!   for as long as one piece of its work takes. No reader waits for another.
//!
//! It has a shard for each writer. The rows of a key may be in any of them.

use std::sync::{Arc, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard};

use arrow::array::{Array, ArrayRef, RecordBatch, UInt64Array};
use arrow::compute::interleave;
use arrow::datatypes::SchemaRef;
use tokio::sync::watch;

use super::arrived::with_arrived_at;
use super::chunk::{Chunk, Rows};
use super::horizon::Horizon;
use super::index::Index;
use super::key::{KeyEncoder, Keys};
use super::outside::Outside;
use super::past::{Limits, Past, find_ended};
use super::writer::Writer;
use crate::time::{CollectionId, RowId, Timestamp};
use crate::updates::batch_of;

/// Keys looked up under one hold of the lock.
const LOOKUP_KEYS_MAX: usize = 1024;
/// How far a chain is followed in search of rows that no one reads when another is added. An old
/// reader keeps long chains; what is further back goes when its chunk is rewritten.
const PRUNE_MAX: usize = 8;

/// See the head of this file.
#[derive(Debug)]
pub struct Relation {
    id: CollectionId,
    schema: SchemaRef,
    /// With the time of arrival.
    pub(super) arrived_schema: SchemaRef,
    /// How the key that it is indexed by is compared, if it is.
    pub(super) encoder: Option<KeyEncoder>,
    pub(super) shards: Vec<Shard>,
    pub(super) horizon: Arc<Horizon>,
    /// The time of the last write.
    written: watch::Sender<Timestamp>,
    pub(super) limits: Limits,
    /// Where its rows are, if they are not kept here.
    pub(super) outside: OnceLock<Arc<Outside>>,
}

/// The part of a relation that one writer writes.
#[derive(Debug, Default)]
pub(super) struct Shard {
    state: RwLock<ShardState>,
}

#[derive(Debug, Default)]
pub(super) struct ShardState {
    /// In order of ids; none empty.
    pub chunks: Arc<Vec<Arc<Chunk>>>,
    /// By the relation's key, if it has one.
    pub index: Index,
    pub past: Past,
    /// Reads at this time or later find all their rows in the chunks, and by the index.
    pub settled: u64,
}

/// About how many bytes a relation takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelationSize {
    /// Of the rows that are there, and of those that ended and may still be read.
    pub rows: u64,
    /// Of those that ended before.
    pub past: u64,
    pub index: u64,
}

/// A row that a lookup found: row `row` of `batch`.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// Which of the keys it has.
    pub key: usize,
    pub id: RowId,
    pub batch: RecordBatch,
    pub row: usize,
    /// The commit that it came with.
    pub begin: Timestamp,
}

impl Relation {
    /// An empty relation and its writers, `shards` of them. `key`: the columns that identify a row,
    /// which it is indexed by; no columns mean that there is at most one row.
    pub fn new(
        id: CollectionId,
        schema: SchemaRef,
        key: Option<Vec<usize>>,
        shards: usize,
        horizon: &Arc<Horizon>,
    ) -> (Arc<Relation>, Vec<Writer>) {
        let relation = Arc::new(Relation {
            id,
            encoder: key.map(|key| KeyEncoder::new(&schema, &key)),
            arrived_schema: with_arrived_at(&schema),
            schema,
            shards: (0..shards).map(|_| Shard::default()).collect(),
            horizon: Arc::clone(horizon),
            written: watch::Sender::new(Timestamp::MIN),
            limits: Limits::default(),
            outside: OnceLock::new(),
        });
        let writers = (0..shards).map(|shard| Writer::new(Arc::clone(&relation), shard)).collect();
        (relation, writers)
    }

    /// The same relation with a key, with other shards.
    pub(super) fn keyed(plain: &Relation, encoder: KeyEncoder, shards: Vec<Shard>) -> Relation {
        Relation {
            id: plain.id,
            encoder: Some(encoder),
            arrived_schema: plain.arrived_schema.clone(),
            schema: plain.schema(),
            shards,
            horizon: Arc::clone(&plain.horizon),
            written: plain.written.clone(),
            limits: plain.limits.clone(),
            outside: plain.outside.clone(),
        }
    }

    /// The same relation under a wider schema, with other shards.
    pub(super) fn widened(narrow: &Relation, schema: SchemaRef, shards: Vec<Shard>) -> Relation {
        let encoder = narrow.encoder.as_ref();
        Relation {
            id: narrow.id,
            encoder: encoder.map(|encoder| KeyEncoder::new(&schema, encoder.columns())),
            arrived_schema: with_arrived_at(&schema),
            schema,
            shards,
            horizon: Arc::clone(&narrow.horizon),
            written: narrow.written.clone(),
            limits: narrow.limits.clone(),
            outside: narrow.outside.clone(),
        }
    }

    pub fn id(&self) -> CollectionId {
        self.id
    }

    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The rows at `at`, batch by batch. Chunks all of whose rows are there are not copied.
    pub fn scan(&self, at: Timestamp) -> Vec<Rows> {
        self.chunks_over(at, at).filter_map(|chunk| chunk.rows_at(at)).collect()
    }

    /// The same of the part that one writer wrote.
    pub fn scan_shard(&self, shard: usize, at: Timestamp) -> Vec<Rows> {
        let chunks = self.shards[shard].chunks_over(at, at);
        chunks.iter().filter_map(|chunk| chunk.rows_at(at)).collect()
    }

    /// The same without ids, each batch made when it is asked for.
    pub fn batches(&self, at: Timestamp) -> impl Iterator<Item = RecordBatch> + Send + 'static {
        self.chunks_over(at, at).filter_map(move |chunk| chunk.batch_at(at))
    }

    /// How many rows there are at `at`.
    pub fn count(&self, at: Timestamp) -> usize {
        match self.outside.get() {
            Some(outside) => outside.count(at),
            None => self.kept_over(at, at).iter().map(|chunk| chunk.count(at)).sum(),
        }
    }

    /// What it takes in memory.
    pub fn size(&self) -> RelationSize {
        let mut size = RelationSize::default();
        for shard in &self.shards {
            let state = shard.read();
            size.index += state.index.bytes() as u64;
            size.past += state.past.bytes();
            let chunks = Arc::clone(&state.chunks);
            drop(state);
            size.rows += chunks.iter().map(|chunk| chunk.bytes() as u64).sum::<u64>();
        }
        size
    }

    /// The sets of columns that [`Relation::lookup`] knows an index on.
    pub fn indexed(&self) -> Vec<Vec<usize>> {
        self.encoder.iter().map(|encoder| encoder.columns().to_vec()).collect()
    }

    /// The rows at `at` whose `columns` equal one of `keys` (a column each, all of one length, of
    /// the relation's types), in order of the keys. `None` if there is no index on exactly these
    /// columns. NULL finds NULL here: a caller for whom it equals nothing leaves such keys out.
    pub fn lookup(
        &self,
        columns: &[usize],
        keys: &[ArrayRef],
        at: Timestamp,
    ) -> Option<Vec<Lookup>> {
        let encoder = self.encoder.as_ref()?;
        let keys = ordered(encoder.columns(), columns, keys)?;
        let typed = |(&column, key): (&usize, &ArrayRef)| {
            self.schema.field(column).data_type() == key.data_type()
        };
        if !encoder.columns().iter().zip(&keys).all(typed) {
            return None;
        }
        let rows = keys.first().map_or(1, |key| key.len());
        let keys = encoder.keys(&keys, rows);
        let mut found = vec![];
        for shard in &self.shards {
            for from in (0..rows).step_by(LOOKUP_KEYS_MAX) {
                let state = shard.read();
                for key in from..rows.min(from + LOOKUP_KEYS_MAX) {
                    state.find(encoder, &keys, key, at, &mut found);
                }
            }
        }
        // After the index: what has left it by now is among what has ended.
        let ended: Vec<_> = self.shards.iter().flat_map(|shard| shard.ended_over(at)).collect();
        if !ended.is_empty() {
            find_ended(ended.iter(), encoder, &keys, at, &mut found);
        }
        if self.shards.len() > 1 || !ended.is_empty() {
            found.sort_by_key(|lookup| lookup.key);
        }
        Some(found)
    }

    /// The rows that a lookup found in one batch, in its order.
    pub fn gather(&self, found: &[Lookup]) -> Rows {
        let ids = UInt64Array::from_iter_values(found.iter().map(|lookup| lookup.id.0));
        let batch = match found {
            [] => RecordBatch::new_empty(self.schema()),
            [one] => one.batch.slice(one.row, 1),
            many => {
                let batches: Vec<&RecordBatch> = many.iter().map(|lookup| &lookup.batch).collect();
                let places: Vec<(usize, usize)> =
                    many.iter().enumerate().map(|(i, lookup)| (i, lookup.row)).collect();
                interleaved(&self.schema, &batches, &places)
            }
        };
        Rows { batch, ids }
    }

    /// The time of the last write that changed rows, told at once: it may be a while until it can
    /// be read.
    pub fn written(&self) -> watch::Receiver<Timestamp> {
        self.written.subscribe()
    }

    pub(super) fn tell_written(&self, time: Timestamp) {
        self.written.send_if_modified(|last| {
            let is_later = time > *last;
            *last = time.max(*last);
            is_later
        });
    }

    /// Where the rows are, among those kept here, that are there at some time of [from, to].
    pub(super) fn kept_over(&self, from: Timestamp, to: Timestamp) -> Vec<Arc<Chunk>> {
        self.shards.iter().flat_map(|shard| shard.chunks_over(from, to)).collect()
    }
}

impl Shard {
    pub fn new(state: ShardState) -> Shard {
        Shard { state: RwLock::new(state) }
    }

    pub fn read(&self) -> RwLockReadGuard<'_, ShardState> {
        self.state.read().expect("a panic while writing ends the process")
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, ShardState> {
        self.state.write().expect("a panic while writing ends the process")
    }
}

impl Shard {
    pub fn chunks_over(&self, from: Timestamp, to: Timestamp) -> Vec<Arc<Chunk>> {
        let state = self.read();
        if from.0 >= state.settled {
            let chunks = Arc::clone(&state.chunks);
            drop(state);
            return chunks.to_vec();
        }
        state.past.over(from, to).chain(state.chunks.iter()).cloned().collect()
    }

    /// Where rows may be that are there at `at` and that the index does not know any more.
    fn ended_over(&self, at: Timestamp) -> Vec<Arc<Chunk>> {
        let state = self.read();
        if at.0 >= state.settled {
            return vec![];
        }
        let ended = state.chunks.iter().filter(|chunk| chunk.ended() > 0);
        state.past.over(at, at).chain(ended).cloned().collect()
    }
}

impl ShardState {
    /// The same with other chunks.
    pub fn widened(&self, chunk: impl Fn(&Arc<Chunk>) -> Arc<Chunk>) -> ShardState {
        ShardState {
            chunks: Arc::new(self.chunks.iter().map(&chunk).collect()),
            index: self.index.clone(),
            past: self.past.map(&chunk),
            settled: self.settled,
        }
    }

    /// The chunk and the row in it that has this id, if it has not been dropped.
    pub fn locate(&self, id: u64) -> Option<(&Arc<Chunk>, usize)> {
        locate(&self.chunks, id)
    }

    fn find(
        &self,
        encoder: &KeyEncoder,
        keys: &Keys,
        key: usize,
        at: Timestamp,
        found: &mut Vec<Lookup>,
    ) {
        for id in self.index.chain(keys.word(key)) {
            let Some((chunk, row)) = self.locate(id) else { continue };
            if chunk.is_visible(row, at) && has_key(encoder, chunk, row, keys, key) {
                let (batch, begin) = (chunk.batch.clone(), Timestamp(chunk.begin(row)));
                found.push(Lookup { key, id: RowId(id), batch, row, begin });
                return; // of the rows with one key at most one is there
            }
        }
    }
}

/// Where in a list of chunks the row with this id is.
pub(super) fn locate(chunks: &[Arc<Chunk>], id: u64) -> Option<(&Arc<Chunk>, usize)> {
    let chunk = chunks.get(chunks.partition_point(|chunk| chunk.last_id() < id))?;
    Some((chunk, chunk.position(id)?))
}

/// Puts a new row into an index, and lets go of the rows of its key that no one reads.
pub(super) fn push(
    index: &mut Index,
    chunks: &[Arc<Chunk>],
    word: Option<u64>,
    id: u64,
    since: Timestamp,
) {
    if index.push(word, id) {
        prune(index, chunks, word, PRUNE_MAX, since);
    }
}

/// Takes the rows that no one reads out of the newest `limit` of the chain of a word.
pub(super) fn prune(
    index: &mut Index,
    chunks: &[Arc<Chunk>],
    word: Option<u64>,
    limit: usize,
    since: Timestamp,
) {
    index.prune(word, limit, |id| match locate(chunks, id) {
        Some((chunk, row)) => chunk.end(row) <= since.0,
        None => true,
    });
}

/// Whether a row that has the same word as a key has the same key.
pub(super) fn has_key(
    encoder: &KeyEncoder,
    chunk: &Chunk,
    row: usize,
    keys: &Keys,
    key: usize,
) -> bool {
    encoder.is_exact() || keys.is_that_of(key, encoder.columns(), &chunk.batch, row)
}

/// One row of `batches` for each of `places`; also where there are no columns.
fn interleaved(
    schema: &SchemaRef,
    batches: &[&RecordBatch],
    places: &[(usize, usize)],
) -> RecordBatch {
    let column = |i: usize| {
        let parts: Vec<&dyn Array> = batches.iter().map(|b| b.column(i).as_ref()).collect();
        interleave(&parts, places).expect("rows of one relation, fewer than overflow an offset")
    };
    let columns = (0..schema.fields().len()).map(column).collect();
    batch_of(Arc::clone(schema), columns, places.len())
}

/// `keys` put in the order of `indexed`; `None` if `columns` are others.
fn ordered(indexed: &[usize], columns: &[usize], keys: &[ArrayRef]) -> Option<Vec<ArrayRef>> {
    if indexed.len() != columns.len() || columns.len() != keys.len() {
        return None;
    }
    let place = |column: &usize| columns.iter().position(|c| c == column);
    indexed.iter().map(|column| place(column).map(|i| Arc::clone(&keys[i]))).collect()
}
