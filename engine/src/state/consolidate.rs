//! Consolidation: of updates of one row at one time only the net change is left.

use arrow::datatypes::DataType;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::key_index::KeyCodec;
use crate::updates::Updates;

/// The same collection with at most one update for each (row, time), in order of time; at one time
/// retractions come first.
pub(crate) fn consolidate(updates: Updates) -> Updates {
    if updates.len() <= 1 {
        return updates;
    }
    let types: Vec<DataType> =
        updates.data.schema().fields().iter().map(|field| field.data_type().clone()).collect();
    let codec = KeyCodec::for_rows(types);
    let rows = codec.encode(updates.data.columns(), updates.len());
    let mut diffs = updates.diffs.to_vec();
    let mut first: HashTable<u32> = HashTable::with_capacity(updates.len());
    let hash = |row: u32| {
        let time = updates.times[row as usize];
        rows.hashes()[row as usize] ^ time.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    };
    for row in 0..updates.len() as u32 {
        let same = |&other: &u32| {
            updates.times[other as usize] == updates.times[row as usize]
                && rows.key(other as usize) == rows.key(row as usize)
        };
        match first.entry(hash(row), same, |&row| hash(row)) {
            Entry::Occupied(entry) => {
                diffs[*entry.get() as usize] += updates.diffs[row as usize];
                diffs[row as usize] = 0;
            }
            Entry::Vacant(entry) => drop(entry.insert(row)),
        }
    }
    let mut kept: Vec<u32> =
        (0..updates.len() as u32).filter(|&row| diffs[row as usize] != 0).collect();
    kept.sort_by_key(|&row| (updates.times[row as usize], diffs[row as usize] > 0));
    let kept_diffs: Vec<i64> = kept.iter().map(|&row| diffs[row as usize]).collect();
    let taken = updates.take(&kept);
    Updates::new(taken.data, taken.times, kept_diffs)
}
