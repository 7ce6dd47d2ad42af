//! Merge: a replay's updates meet requests, by key and time.
//!
//! Law      a request meets the rows of its key as they stand after all updates at or before its
//!          time
//! State    the rows present of the keys that are asked for, by content, chained by key

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::datatypes::SchemaRef;

use super::keys::NONE;
use super::requests::Requests;
use super::restrict::{Restricted, Restriction};
use super::slices::{Slice, Slices};
use super::{History, Stopped, Watch};
use crate::aggregate::columns_at;
use crate::plan::Plan;
use crate::state::row_set::RowSet;

/// As many rows are in one batch of the answer.
const BATCH_ROWS: usize = 1 << 20;

/// See [`super::point_in_time`].
pub(super) fn run(
    plan: &Plan,
    history: &dyn History,
    key_columns: &[usize],
    requests: &Requests,
    watch: &dyn Watch,
) -> Result<Vec<(UInt64Array, RecordBatch)>, Stopped> {
    let (from, to) = (requests.first(), requests.last());
    let restricted = Restricted::new(plan, key_columns);
    let tables = Restriction::new(&restricted, history, &requests.columns);
    let mut slices = Slices::new(tables, from, to);
    let mut merge = Merge::new(plan, key_columns, requests);
    watch.expect(requests.len());
    let mut found = Vec::new();
    while let Some(slice) = slices.next(watch)? {
        let before = merge.next;
        found.append(&mut merge.meet(slice));
        watch.done(merge.next - before);
    }
    Ok(found)
}

struct Merge<'a> {
    key_columns: &'a [usize],
    requests: &'a Requests,
    /// Places of requests in order of time, and the key of each place.
    by_time: Vec<u32>,
    key_of: Vec<u32>,
    next: usize,
    rows: RowSet<Present>,
    /// The first row of each key.
    heads: Vec<u32>,
    schema: SchemaRef,
}

/// A row that is there, in the chain of its key.
struct Present {
    count: i64,
    before: u32,
    after: u32,
}

impl<'a> Merge<'a> {
    fn new(plan: &Plan, key_columns: &'a [usize], requests: &'a Requests) -> Self {
        let mut by_time: Vec<u32> = (0..requests.len() as u32).collect();
        by_time.sort_unstable_by_key(|&place| requests.times[place as usize]);
        let mut key_of = vec![NONE; requests.len()];
        for key in 0..requests.keys.len() as u32 {
            requests.of_key(key).for_each(|place| key_of[place as usize] = key);
        }
        let schema = plan.schema();
        Merge {
            key_columns,
            requests,
            by_time,
            key_of,
            next: 0,
            rows: RowSet::new(&schema),
            heads: vec![NONE; requests.keys.len()],
            schema,
        }
    }

    /// What the requests with times in the slice meet.
    fn meet(&mut self, slice: Slice) -> Vec<(UInt64Array, RecordBatch)> {
        let requests = self.requests;
        let Slice { updates, upper, .. } = slice;
        let rest = &self.by_time[self.next..];
        let asked = rest.partition_point(|&place| requests.times[place as usize] < upper);
        let mut asked = rest[..asked].to_vec();
        self.next += asked.len();
        // A place is in order of key and time already.
        asked.sort_unstable();

        let columns: Vec<ArrayRef> = columns_at(&updates.data, self.key_columns);
        let keys = requests.keys.find(&columns, updates.len());
        let mut changed: Vec<u32> =
            (0..updates.len() as u32).filter(|&row| keys[row as usize] != NONE).collect();
        changed.sort_unstable_by_key(|&row| (keys[row as usize], updates.times[row as usize]));

        let encoded = self.rows.encode(&updates.data);
        let (mut numbers, mut ids, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        let mut change = changed.iter().copied().peekable();
        for place in asked {
            let (key, time) = (self.key_of[place as usize], requests.times[place as usize]);
            let due = |&row: &u32| (keys[row as usize], updates.times[row as usize]) <= (key, time);
            while let Some(row) = change.next_if(due) {
                let row = row as usize;
                self.apply(encoded.key(row), keys[row], updates.diffs[row], &mut gone);
            }
            self.see(key, requests.numbers[place as usize], &mut numbers, &mut ids);
        }
        for row in change {
            let row = row as usize;
            self.apply(encoded.key(row), keys[row], updates.diffs[row], &mut gone);
        }
        let batches = numbers.chunks(BATCH_ROWS).zip(ids.chunks(BATCH_ROWS));
        let batches = batches.map(|(numbers, ids)| {
            let numbers = UInt64Array::from_iter_values(numbers.iter().map(|&n| u64::from(n)));
            (numbers, self.rows.rows(ids, &self.schema))
        });
        let batches = batches.collect();
        // Only now: what is met is decoded from the rows themselves.
        self.rows.release(gone);
        batches
    }

    fn apply(&mut self, row: (u64, &[u8]), key: u32, diff: i64, gone: &mut Vec<u32>) {
        let head = self.heads[key as usize];
        let (id, new) =
            self.rows.get_or_insert(row, || Present { count: 0, before: NONE, after: head });
        if new {
            self.heads[key as usize] = id;
            if head != NONE {
                self.rows.get_mut(head).before = id;
            }
        }
        let present = self.rows.get_mut(id);
        present.count += diff;
        if present.count == 0 {
            let Present { before, after, .. } = *present;
            match before {
                NONE => self.heads[key as usize] = after,
                before => self.rows.get_mut(before).after = after,
            }
            if after != NONE {
                self.rows.get_mut(after).before = before;
            }
            self.rows.unlink(id);
            gone.push(id);
        }
    }

    /// The rows of a key as they stand.
    fn see(&self, key: u32, number: u32, numbers: &mut Vec<u32>, ids: &mut Vec<u32>) {
        let mut id = self.heads[key as usize];
        while id != NONE {
            let present = self.rows.get(id);
            let count = usize::try_from(present.count).expect("a collection has no negative rows");
            numbers.extend(std::iter::repeat_n(number, count));
            ids.extend(std::iter::repeat_n(id, count));
            id = present.after;
        }
    }
}
