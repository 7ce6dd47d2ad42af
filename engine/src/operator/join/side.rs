//! One side of a join: its rows by content, chained by key.
//!
//! Law: a chain holds the rows of its key that are there, each once, with its multiplicity. A row
//! leaves its chain when that falls to 0; its id and bytes stay until [`Side::release`], because
//! what the step emits may still be decoded from them.

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;

use super::alone::Alone;
use crate::aggregate::columns_at;
use crate::operator::StateSize;
use crate::state::key_index::{KeyCodec, Keys};
use crate::state::row_set::RowSet;
use crate::updates::Updates;

pub(super) const NONE: u32 = u32::MAX;

/// A row of one side: its multiplicity, and its place in the chain of its key.
struct Link {
    key: u32,
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
    /// Whether its rows are kept; otherwise only totals are.
    pub keep: bool,
    rows: RowSet<Link>,
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
}

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
        Side {
            keys: keys.to_vec(),
            strict_keys: strict.map(|(&key, _)| key).collect(),
            keep: true,
            rows: RowSet::new(&schema),
            schema,
            heads: Vec::new(),
            released: Vec::new(),
            total: false,
            totals: Vec::new(),
            pending: Vec::new(),
            alone: None,
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
            rows: self.keep.then(|| self.rows.encode(&updates.data)),
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
        let link = || Link { key, count: 0, previous: NONE, next: NONE };
        let (id, new) = self.rows.get_or_insert(row, link);
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
        let &Link { key, previous, next, .. } = self.rows.get(id);
        match previous {
            NONE => self.heads[key as usize] = next,
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

    /// The rows of `ids`, none of them released.
    pub fn rows_of(&self, ids: &[u32]) -> RecordBatch {
        self.rows.rows(ids, &self.schema)
    }

    /// Gives back the rows that the step removed, and adds their keys to `keys`.
    pub fn release(&mut self, keys: &mut Vec<u32>) {
        let released = std::mem::take(&mut self.released);
        keys.extend(released.iter().map(|&row| self.rows.get(row).key));
        self.rows.release(released);
    }
}

/// Whether any of the columns of a row is NULL.
fn null_keys(columns: &[ArrayRef], rows: usize) -> Vec<bool> {
    let mut null = vec![false; rows];
    for nulls in columns.iter().filter_map(|column| column.logical_nulls()) {
        for (row, null) in null.iter_mut().enumerate() {
            *null |= nulls.is_null(row);
        }
    }
    null
}
