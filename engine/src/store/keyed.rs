//! A primary key for a table that has none: the same rows, indexed by some of their columns.
//!
//! Law
//! - A key identifies at most one row at every time, of the past too: whoever reads as of then
//!   counts on it. So a key that was ever two rows' at once, or NULL, is refused.
//! - The keyed relation has the same rows under the same ids. The one without a key is written no
//!   more; who holds it reads what it was.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::row::{RowConverter, Rows, SortField};

use super::chunk::Chunk;
use super::index::Index;
use super::key::KeyEncoder;
use super::relation::{Relation, Shard, ShardState};
use super::writer::Writer;
use crate::time::{CollectionId, Timestamp};

/// Rows that are put into the index together.
const INDEX_ROWS: usize = 1 << 20;

/// What is added to a table.
#[derive(Clone, Debug)]
pub struct AddedKey {
    pub table: CollectionId,
    /// Indexes of columns.
    pub columns: Vec<usize>,
}

/// Why columns are no key of a table.
#[derive(Clone, Debug, thiserror::Error)]
pub enum KeyError {
    #[error("column {column} is NULL in a row")]
    Null { column: usize },
    /// With the columns of the key that two rows had at one time, one row.
    #[error("two rows have the same key")]
    Duplicate { key: RecordBatch, until: Timestamp },
}

/// The rows of a chunk with their keys.
struct Sorted {
    chunk: Arc<Chunk>,
    keys: Rows,
}

#[derive(Clone, Copy)]
struct Place {
    part: usize,
    row: usize,
}

impl Writer {
    /// Checks that the columns are a key at every time.
    pub fn check_key(&self, columns: &[usize]) -> Result<(), KeyError> {
        let schema = self.relation.schema();
        let fields = columns.iter().map(|&column| schema.field(column).data_type().clone());
        let converter = RowConverter::new(fields.map(SortField::new).collect());
        let converter = converter.expect("columns of a table have an order");
        let mut parts = vec![];
        let state = self.relation.shards[self.shard].read();
        let ever = state.past.over(Timestamp::MIN, Timestamp::MAX).chain(state.chunks.iter());
        for chunk in ever {
            let of_key = columns.iter().map(|&column| Arc::clone(chunk.batch.column(column)));
            let of_key: Vec<_> = of_key.collect();
            if let Some(place) = of_key.iter().position(|column| column.logical_null_count() > 0) {
                return Err(KeyError::Null { column: columns[place] });
            }
            let keys = converter.convert_columns(&of_key).expect("of the converter's types");
            parts.push(Sorted { chunk: Arc::clone(chunk), keys });
        }
        drop(state);
        let places = parts.iter().enumerate();
        // Rows that came and went at one time were never there.
        let places = places.flat_map(|(part, Sorted { chunk, .. })| {
            let there = (0..chunk.len()).filter(|&row| chunk.end(row) > chunk.begin(row));
            there.map(move |row| Place { part, row })
        });
        let mut places: Vec<Place> = places.collect();
        let begin = |at: &Place| parts[at.part].chunk.begin(at.row);
        let key = |at: &Place| parts[at.part].keys.row(at.row);
        places.sort_unstable_by(|a, b| key(a).cmp(&key(b)).then_with(|| begin(a).cmp(&begin(b))));
        let both = places.windows(2).find(|pair| {
            let end = parts[pair[0].part].chunk.end(pair[0].row);
            end > begin(&pair[1]) && key(&pair[0]) == key(&pair[1])
        });
        let Some([first, second]) = both else { return Ok(()) };
        let end = |at: &Place| parts[at.part].chunk.end(at.row);
        let until = Timestamp(end(first).min(end(second)));
        let chunk = &parts[first.part].chunk;
        let batch = chunk.batch.slice(first.row, 1);
        let key = batch.project(columns).expect("columns of the table");
        Err(KeyError::Duplicate { key, until })
    }

    /// The writer of the table with a key, to go on in this one's place from `time` on.
    pub fn keyed(&self, columns: &[usize], time: Timestamp) -> Writer {
        let writer = self.to_be_keyed(columns, time);
        writer.index_all();
        writer
    }

    /// The same with nothing in the index yet.
    pub(super) fn to_be_keyed(&self, columns: &[usize], time: Timestamp) -> Writer {
        let encoder = KeyEncoder::new(&self.relation.schema(), columns);
        let shards = self.relation.shards.iter().map(|shard| {
            let state = shard.read();
            // The index knows no row that ended before: who reads earlier looks at all of them.
            let settled = state.settled.max(time.0);
            let index = Index::default();
            Shard::new(ShardState { index, settled, ..state.widened(Arc::clone) })
        });
        let relation = Relation::keyed(&self.relation, encoder, shards.collect());
        self.in_place(Arc::new(relation))
    }

    /// Puts all live rows into the index, which is empty.
    pub(super) fn index_all(&self) {
        let Some(encoder) = &self.relation.encoder else { return };
        let ShardState { chunks, index, .. } = &mut *self.relation.shards[self.shard].write();
        index.reserve(chunks.iter().map(|chunk| chunk.len() - chunk.ended()).sum());
        let mut words = vec![];
        for chunk in chunks.iter() {
            let keys = encoder.keys_of(&chunk.batch);
            let live = (0..chunk.len()).filter(|&row| chunk.is_live(row));
            words.extend(live.map(|row| (keys.word(row), chunk.id(row))));
            if words.len() >= INDEX_ROWS {
                index.push_all(&words);
                words.clear();
            }
        }
        index.push_all(&words);
    }
}
