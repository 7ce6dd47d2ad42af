//! Consolidation: of updates of one row at one time only the net change is left.

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::key_index::{KeyCodec, Keys};
use crate::store::{hash_into, identical, is_hashed};
use crate::updates::Updates;

/// The same collection with at most one update for each (row, time), in order of time; at one time
/// retractions come first.
pub(crate) fn consolidate(updates: Updates) -> Updates {
    if updates.len() <= 1 {
        return updates;
    }
    let diffs = net_diffs(&updates);
    let rows = 0..updates.len() as u32;
    let goes = |row: &u32| diffs[*row as usize] < 0;
    let comes = |row: &u32| diffs[*row as usize] > 0;
    let mut kept: Vec<u32> = rows.clone().filter(goes).chain(rows.filter(comes)).collect();
    if updates.times.first() != updates.times.last() || !updates.times.is_sorted() {
        kept.sort_by_key(|&row| updates.times[row as usize]);
    }
    take(&updates, &kept, &diffs)
}

/// The same, in any order within a time: what has nothing to cancel stays as it is.
pub(crate) fn cancelled(updates: Updates) -> Updates {
    if updates.times.is_sorted() && updates.diffs.iter().all(|&diff| diff > 0) {
        return updates;
    }
    let diffs = net_diffs(&updates);
    if updates.times.is_sorted() && diffs[..] == updates.diffs[..] {
        return updates;
    }
    let mut kept: Vec<u32> = (0..updates.len() as u32).collect();
    kept.retain(|&row| diffs[row as usize] != 0);
    kept.sort_by_key(|&row| updates.times[row as usize]);
    take(&updates, &kept, &diffs)
}

fn take(updates: &Updates, kept: &[u32], diffs: &[i64]) -> Updates {
    let Updates { data, times, .. } = updates.take(kept);
    Updates::new(data, times, kept.iter().map(|&row| diffs[row as usize]).collect::<Vec<_>>())
}

/// The net change of each row and time beside the first update of it, 0 beside the others.
fn net_diffs(updates: &Updates) -> Vec<i64> {
    let rows = Contents::of(&updates.data);
    let mut diffs = updates.diffs.to_vec();
    let mut first: HashTable<u32> = HashTable::with_capacity(updates.len());
    let hash = |row: u32| {
        let time = updates.times[row as usize];
        rows.hashes()[row as usize] ^ time.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    };
    for row in 0..updates.len() as u32 {
        let same = |&other: &u32| {
            updates.times[other as usize] == updates.times[row as usize]
                && rows.same(other as usize, row as usize)
        };
        match first.entry(hash(row), same, |&row| hash(row)) {
            Entry::Occupied(entry) => {
                diffs[*entry.get() as usize] += updates.diffs[row as usize];
                diffs[row as usize] = 0;
            }
            Entry::Vacant(entry) => drop(entry.insert(row)),
        }
    }
    diffs
}

/// Rows to be compared with one another, bit for bit.
enum Contents<'a> {
    /// Where they lie.
    Hashed(&'a RecordBatch, Vec<u64>),
    /// With values that have no hash of their own.
    Encoded(Keys),
}

impl<'a> Contents<'a> {
    fn of(data: &'a RecordBatch) -> Self {
        let schema = data.schema();
        let types = schema.fields().iter().map(|field| field.data_type());
        if types.clone().all(is_hashed) {
            let (hasher, mut hashes) = (RandomState::default(), vec![0; data.num_rows()]);
            data.columns().iter().for_each(|column| hash_into(column, &hasher, &mut hashes));
            return Contents::Hashed(data, hashes);
        }
        let types: Vec<DataType> = types.cloned().collect();
        Contents::Encoded(KeyCodec::for_rows(types).encode(data.columns(), data.num_rows()))
    }

    fn hashes(&self) -> &[u64] {
        match self {
            Contents::Hashed(_, hashes) => hashes,
            Contents::Encoded(keys) => keys.hashes(),
        }
    }

    fn same(&self, a: usize, b: usize) -> bool {
        match self {
            Contents::Hashed(data, hashes) => {
                hashes[a] == hashes[b] && data.columns().iter().all(|c| identical(c, a, c, b))
            }
            Contents::Encoded(keys) => keys.key(a) == keys.key(b),
        }
    }
}
