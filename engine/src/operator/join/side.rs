//! One side of a join: its rows by content, chained by key.
//!
//! Law: a chain holds the rows of its key that are there, each once, with its multiplicity. A row
//! leaves its chain when that falls to 0; its id and bytes stay until [`Side::release`], because
//! what the step emits may still be decoded from them.
//!
//! A row is held as the id of its key and what the key doesn't tell: the columns of the key stand
//! in the index of keys alone, but for floats, of which a key knows no −0.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;

use super::alone::Alone;
use crate::aggregate::columns_at;
use crate::checkpoint::record::{Changed, Copied, Cursor, Stored as _};
use crate::operator::StateSize;
use crate::state::key_index::{KeyCodec, Keys, comes_back, hash_bytes};
use crate::state::row_set::RowSet;
use crate::updates::{Updates, batch_of};

pub(super) const NONE: u32 = u32::MAX;

/// A row of one side: its multiplicity, and its place in the chain of its key.
#[derive(Default)]
struct Link {
    count: i64,
    previous: u32,
    next: u32,
}

/// See the module.
pub(super) struct Side {
    keys: Vec<usize>,
    /// Key columns whose NULL meets nothing.
    strict_keys: Vec<usize>,
    pub schema: SchemaRef,
    /// Where each column is.
    places: Vec<Stored>,
    /// The columns that are held with the row.
    rest: Vec<usize>,
    rest_schema: SchemaRef,
    /// Whether its rows are kept; otherwise only totals are.
    pub keep: bool,
    rows: RowSet<Link>,
    /// The bytes of a row on its way in.
    row: Vec<u8>,
    /// The first row of each key id's chain.
    heads: Vec<u32>,
    /// Unlinked in this step, released at its end.
    released: Vec<u32>,
    /// Whether `totals` are kept, because the key alone decides who has a partner.
    pub total: bool,
    /// How many rows each key id has; during a time, how many it had before.
    pub totals: Vec<i64>,
    /// Changes of totals at the time being applied.
    pub pending: Vec<(u32, i64)>,
    /// Of a side whose rows stand in the output by themselves.
    pub alone: Option<Alone>,
    /// Rows.
    pub changed: Changed,
}

/// Where a column of a row is held.
#[derive(Clone, Copy)]
enum Stored {
    /// It is the column of the key with this number.
    Key(usize),
    /// It is the column with this number of those held with the row.
    Rest(usize),
}

/// The width of a key's id, which stands before a row.
const KEY_BYTES: usize = size_of::<u32>();

/// One side's updates in order of time, encoded.
pub(super) struct SideInput {
    pub updates: Updates,
    pub keys: Keys,
    /// Rows that meet nothing.
    pub null_key: Vec<bool>,
    /// `None` where the side keeps no rows.
    pub rows: Option<Keys>,
}

impl Side {
    /// An empty side that keeps its rows and nothing else.
    pub fn new(schema: SchemaRef, keys: &[usize], null_equal: &[bool]) -> Self {
        let strict = keys.iter().zip(null_equal).filter(|(_, null_equal)| !**null_equal);
        let (mut places, mut rest) = (Vec::new(), Vec::new());
        for (column, field) in schema.fields().iter().enumerate() {
            let key = keys.iter().position(|&key| key == column);
            places.push(match key.filter(|_| comes_back(field.data_type())) {
                Some(key) => Stored::Key(key),
                None => {
                    rest.push(column);
                    Stored::Rest(rest.len() - 1)
                }
            });
        }
        let rest_schema = Arc::new(schema.project(&rest).expect("its own columns"));
        Side {
            keys: keys.to_vec(),
            strict_keys: strict.map(|(&key, _)| key).collect(),
            keep: true,
            rows: RowSet::prefixed(&rest_schema, KEY_BYTES),
            row: Vec::new(),
            schema,
            places,
            rest,
            rest_schema,
            heads: Vec::new(),
            released: Vec::new(),
            total: false,
            totals: Vec::new(),
            pending: Vec::new(),
            alone: None,
            changed: Changed::default(),
        }
    }

    /// What it keeps.
    pub fn size(&self) -> StateSize {
        let totals = self.totals.len() * size_of::<i64>() + self.heads.len() * size_of::<u32>();
        self.rows.size() + StateSize { rows: 0, bytes: totals as u64 }
    }

    pub fn encode(&self, codec: &KeyCodec, updates: Updates) -> SideInput {
        let updates = updates.sorted_by_time();
        let rows = updates.len();
        SideInput {
            keys: codec.encode(&columns_at(&updates.data, &self.keys), rows),
            null_key: null_keys(&columns_at(&updates.data, &self.strict_keys), rows),
            rows: self.keep.then(|| {
                let rest = columns_at(&updates.data, &self.rest);
                self.rows.encode(&batch_of(self.rest_schema.clone(), rest, rows))
            }),
            updates,
        }
    }

    /// Makes `key` one without rows; ids are below `keys`.
    pub fn begin_key(&mut self, key: u32, keys: usize) {
        if self.keep {
            self.heads.resize(keys, NONE);
            self.heads[key as usize] = NONE;
        }
        if self.total {
            self.totals.resize(keys, 0);
            self.totals[key as usize] = 0;
        }
    }

    pub fn has_key(&self, key: u32) -> bool {
        match self.keep {
            true => self.heads[key as usize] != NONE,
            false => self.totals[key as usize] != 0,
        }
    }

    /// Each row of `key` with its multiplicity.
    pub fn each_of_key(&self, key: u32, mut each: impl FnMut(u32, i64)) {
        let mut at = self.heads[key as usize];
        while at != NONE {
            let link = self.rows.get(at);
            each(at, link.count);
            at = link.next;
        }
    }

    /// Brings the totals up to date. Keys whose total crossed 0 go to `crossed`, sorted, once for
    /// each crossing; those that may have no rows any more to `idle`.
    pub fn settle(&mut self, crossed: &mut Vec<u32>, idle: &mut Vec<u32>) {
        for (key, diff) in self.pending.drain(..) {
            let total = &mut self.totals[key as usize];
            let before = *total > 0;
            *total += diff;
            if before != (*total > 0) {
                crossed.push(key);
            }
            if *total == 0 && !self.keep {
                idle.push(key);
            }
        }
        crossed.sort_unstable();
    }

    /// Tells every row of `key` that it has partners now, or none any more.
    pub fn change_partners_of_key(&mut self, key: u32, time: u64, matched: bool) {
        let mut alone = self.alone.take().expect("crossings are noted for sides that ask");
        self.each_of_key(key, |id, count| alone.change_of_match(id, time, count, matched));
        self.alone = Some(alone);
    }

    /// The row's id, and whether it was not there before.
    pub fn add(&mut self, key: u32, row: (u64, &[u8]), diff: i64) -> (u32, bool) {
        let link = || Link { count: 0, previous: NONE, next: NONE };
        self.row.clear();
        self.row.extend_from_slice(&key.to_le_bytes());
        self.row.extend_from_slice(row.1);
        let hash = hash_of(row.0, key);
        let (id, new) = self.rows.get_or_insert((hash, &self.row), link);
        self.changed.mark(id);
        if new {
            let head = std::mem::replace(&mut self.heads[key as usize], id);
            self.rows.get_mut(id).next = head;
            if head != NONE {
                self.rows.get_mut(head).previous = id;
            }
        }
        let link = self.rows.get_mut(id);
        link.count += diff;
        if link.count == 0 {
            self.remove(id);
        }
        (id, new)
    }

    fn remove(&mut self, id: u32) {
        let &Link { previous, next, .. } = self.rows.get(id);
        match previous {
            NONE => {
                let key = self.key_of(id) as usize;
                self.heads[key] = next;
            }
            _ => self.rows.get_mut(previous).next = next,
        }
        if next != NONE {
            self.rows.get_mut(next).previous = previous;
        }
        self.rows.unlink(id);
        self.released.push(id);
    }

    /// The multiplicity of a row that is not released.
    pub fn count(&self, row: u32) -> i64 {
        self.rows.get(row).count
    }

    /// The id of a row's key.
    pub fn key_of(&self, row: u32) -> u32 {
        u32::from_le_bytes(self.rows.prefix(row).try_into().expect("four bytes"))
    }

    /// The rows of `ids`, none of them released; `key` gives a column of their keys.
    pub fn rows_of(&self, ids: &[u32], key: impl Fn(usize) -> ArrayRef) -> RecordBatch {
        let rest = self.rows.rows(ids, &self.rest_schema);
        let columns = self.places.iter().map(|place| match place {
            Stored::Key(number) => key(*number),
            Stored::Rest(number) => rest.column(*number).clone(),
        });
        batch_of(self.schema.clone(), columns.collect(), ids.len())
    }

    /// Whether rows are held without some column of the key.
    pub fn tells_less(&self) -> bool {
        self.rest.len() < self.places.len()
    }

    /// The column of a batch that is the key's with this number.
    pub fn key_column(&self, batch: &RecordBatch, number: usize) -> ArrayRef {
        batch.column(self.keys[number]).clone()
    }

    /// Gives back the rows that the step removed, and adds their keys to `keys`.
    pub fn release(&mut self, keys: &mut Vec<u32>) {
        let released = std::mem::take(&mut self.released);
        keys.extend(released.iter().map(|&row| self.key_of(row)));
        self.rows.release(released);
    }
}

/// The hash of a row of a key, by that of the rest of its content.
fn hash_of(rest: u64, key: u32) -> u64 {
    rest ^ u64::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Rows as checkpoints keep them: the multiplicity, that of partners if it is counted, the bytes.
impl Side {
    pub fn rows_limit(&self) -> usize {
        self.rows.id_limit()
    }

    pub fn copy_row(&self, row: u32, out: &mut Vec<u8>) -> Copied {
        let Some((bytes, link)) = self.rows.linked(row) else { return Copied::Gone };
        link.count.put(out);
        if let Some(alone) = &self.alone {
            alone.partners(row).put(out);
        }
        out.extend_from_slice(bytes);
        Copied::Record
    }

    pub fn restore_row(&mut self, row: u32, record: &mut Cursor<'_>) -> Option<()> {
        let count = i64::take(record)?;
        if let Some(alone) = &mut self.alone {
            alone.restore_partners(row, i64::take(record)?);
        }
        let bytes = record.0;
        let (key, rest) = bytes.split_first_chunk::<KEY_BYTES>()?;
        let hash = hash_of(hash_bytes(rest), u32::from_le_bytes(*key));
        let link = Link { count, previous: NONE, next: NONE };
        self.rows.restore(row, (hash, bytes), link)
    }

    /// All rows are back, and ids of keys are below `keys`.
    pub fn rows_restored(&mut self, keys: usize) -> Option<()> {
        if !self.keep {
            return Some(());
        }
        self.rows.restored();
        self.heads = vec![NONE; keys];
        for row in 0..self.rows.id_limit() as u32 {
            if self.rows.linked(row).is_none() {
                continue;
            }
            let key = self.key_of(row);
            let head = self.heads.get_mut(key as usize)?;
            let next = std::mem::replace(head, row);
            self.rows.get_mut(row).next = next;
            if next != NONE {
                self.rows.get_mut(next).previous = row;
            }
        }
        Some(())
    }
}

/// Whether any of the columns of a row is NULL.
pub(super) fn null_keys(columns: &[ArrayRef], rows: usize) -> Vec<bool> {
    let mut null = vec![false; rows];
    for nulls in columns.iter().filter_map(|column| column.logical_nulls()) {
        for (row, null) in null.iter_mut().enumerate() {
            *null |= nulls.is_null(row);
        }
    }
    null
}
