//! A chunk: some rows of a shard in order of their ids, with the span of time in which each is
//! there.
//!
//! Everything but the ends is immutable. An end is set once, by the shard's writer, to a time that
//! no reader reads yet; so a reader that still holds a chunk which has been merged into another
//! since misses only ends that it may not see.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, OffsetSizeTrait, RecordBatch, UInt64Array,
};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, SchemaRef};

use super::widen::AddedColumn;
use crate::time::Timestamp;
use crate::updates::take_rows;

/// Rows that are there at some time, and their ids (see [`crate::RowId`]), one for each.
#[derive(Clone, Debug)]
pub struct Rows {
    pub batch: RecordBatch,
    pub ids: UInt64Array,
}

#[derive(Debug)]
pub(super) struct Chunk {
    pub batch: RecordBatch,
    ids: Ids,
    begins: Begins,
    /// `u64::MAX` while the row is there.
    ends: Box<[AtomicU64]>,
    /// How many rows have an end.
    ended: AtomicUsize,
}

#[derive(Clone, Debug)]
enum Ids {
    /// One after the other from this one on.
    Dense(u64),
    /// Rising.
    Sparse(ScalarBuffer<u64>),
}

/// When rows begin.
#[derive(Clone, Debug)]
pub(super) enum Begins {
    /// All of them together.
    One(u64),
    /// Never falling, as rows are added in order of time.
    Each(ScalarBuffer<u64>),
}

/// Which rows of a chunk are there.
pub(super) enum Selection {
    All,
    None,
    Some(BooleanBuffer),
}

impl Chunk {
    /// Rows with the ids from `first` on, none of them ended.
    pub fn new(batch: RecordBatch, first: u64, begins: Begins) -> Chunk {
        let rows = batch.num_rows();
        let ends = (0..rows).map(|_| AtomicU64::new(u64::MAX)).collect();
        Chunk { batch, ids: Ids::Dense(first), begins, ends, ended: AtomicUsize::new(0) }
    }

    /// Rows with rising ids and begins that never fall; at least one.
    pub fn of(batch: RecordBatch, ids: Vec<u64>, begins: Vec<u64>, ends: Vec<u64>) -> Chunk {
        let (first, last) = (ids[0], ids[ids.len() - 1]);
        let dense = last - first == ids.len() as u64 - 1;
        let one_begin = begins[0] == begins[begins.len() - 1];
        let ended = ends.iter().filter(|&&end| end != u64::MAX).count();
        Chunk {
            batch,
            ids: if dense { Ids::Dense(first) } else { Ids::Sparse(ids.into()) },
            begins: if one_begin { Begins::One(begins[0]) } else { Begins::Each(begins.into()) },
            ends: ends.into_iter().map(AtomicU64::new).collect(),
            ended: AtomicUsize::new(ended),
        }
    }

    /// The rows with a column more.
    pub fn with(&self, column: &AddedColumn, schema: &SchemaRef) -> Chunk {
        let ends = self.ends.iter().map(|end| AtomicU64::new(end.load(Ordering::Relaxed)));
        Chunk {
            batch: column.added_to(&self.batch, schema),
            ids: self.ids.clone(),
            begins: self.begins.clone(),
            ends: ends.collect(),
            ended: AtomicUsize::new(self.ended()),
        }
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// When the last of them ends.
    pub fn last_end(&self) -> u64 {
        match self.ended() < self.len() {
            true => u64::MAX,
            false => self.ends.iter().map(|end| end.load(Ordering::Relaxed)).max().unwrap_or(0),
        }
    }

    /// About how many bytes it takes.
    pub fn bytes(&self) -> usize {
        let column = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or(0);
        self.batch.columns().iter().map(column).sum::<usize>() + 24 * self.len()
    }

    /// About how many bytes its values of no fixed width take.
    pub fn payload_bytes(&self) -> usize {
        self.batch.columns().iter().map(payload_bytes).sum()
    }

    /// The id of a row.
    pub fn id(&self, row: usize) -> u64 {
        match &self.ids {
            Ids::Dense(first) => first + row as u64,
            Ids::Sparse(ids) => ids[row],
        }
    }

    /// The highest id; a chunk is never empty.
    pub fn last_id(&self) -> u64 {
        self.id(self.len() - 1)
    }

    /// Where the row with this id is.
    pub fn position(&self, id: u64) -> Option<usize> {
        match &self.ids {
            Ids::Dense(first) => {
                let row = id.checked_sub(*first)? as usize;
                (row < self.len()).then_some(row)
            }
            Ids::Sparse(ids) => ids.binary_search(&id).ok(),
        }
    }

    pub fn begin(&self, row: usize) -> u64 {
        match &self.begins {
            Begins::One(begin) => *begin,
            Begins::Each(begins) => begins[row],
        }
    }

    pub fn end(&self, row: usize) -> u64 {
        self.ends[row].load(Ordering::Relaxed)
    }

    pub fn is_live(&self, row: usize) -> bool {
        self.end(row) == u64::MAX
    }

    pub fn is_visible(&self, row: usize, at: Timestamp) -> bool {
        self.begin(row) <= at.0 && at.0 < self.end(row)
    }

    /// Ends a live row. Only the shard's writer does that.
    pub fn set_end(&self, row: usize, time: Timestamp) {
        let before = self.ends[row].swap(time.0, Ordering::Relaxed);
        debug_assert_eq!(before, u64::MAX, "a row ends once");
        self.ended.fetch_add(1, Ordering::Release);
    }

    /// How many rows have an end, read or not.
    pub fn ended(&self) -> usize {
        self.ended.load(Ordering::Acquire)
    }

    /// How many rows no one reads any more.
    pub fn dead(&self, since: Timestamp) -> usize {
        match self.ended() {
            0 => 0,
            _ => self.ends.iter().filter(|end| end.load(Ordering::Relaxed) <= since.0).count(),
        }
    }

    /// How many rows are there at `at`.
    pub fn count(&self, at: Timestamp) -> usize {
        match self.select(at) {
            Selection::All => self.len(),
            Selection::None => 0,
            Selection::Some(mask) => mask.count_set_bits(),
        }
    }

    /// The rows that are there at `at`; none if there are none.
    pub fn batch_at(&self, at: Timestamp) -> Option<RecordBatch> {
        match self.select(at) {
            Selection::All => Some(self.batch.clone()),
            Selection::None => None,
            Selection::Some(mask) => Some(filter(&self.batch, mask)),
        }
    }

    /// The rows that are there at `at` with their ids; none if there are none.
    pub fn rows_at(&self, at: Timestamp) -> Option<Rows> {
        match self.select(at) {
            Selection::All => {
                let ids = match &self.ids {
                    Ids::Dense(first) => (*first..first + self.len() as u64).collect(),
                    Ids::Sparse(ids) => ids.clone(),
                };
                Some(Rows { batch: self.batch.clone(), ids: UInt64Array::new(ids, None) })
            }
            Selection::None => None,
            Selection::Some(mask) => {
                let ids = mask.set_indices().map(|row| self.id(row)).collect::<Vec<_>>();
                Some(Rows { batch: filter(&self.batch, mask), ids: ids.into() })
            }
        }
    }

    pub fn select(&self, at: Timestamp) -> Selection {
        let begun = match &self.begins {
            Begins::One(begin) if *begin > at.0 => return Selection::None,
            Begins::One(_) => true,
            Begins::Each(begins) if begins[0] > at.0 => return Selection::None,
            Begins::Each(begins) => begins[begins.len() - 1] <= at.0,
        };
        if begun && self.ended() == 0 {
            return Selection::All;
        }
        let mask = BooleanBuffer::collect_bool(self.len(), |row| self.is_visible(row, at));
        match mask.count_set_bits() {
            0 => Selection::None,
            all if all == self.len() => Selection::All,
            _ => Selection::Some(mask),
        }
    }
}

/// The rows of neighbouring chunks in one, without those that ended at or before `since`; none if
/// nothing is left.
pub(super) fn merge(chunks: &[Arc<Chunk>], since: Timestamp) -> Option<Chunk> {
    gather(chunks, |chunk| kept(chunk, since))
}

/// The rows that such a merge leaves out, in one: those that were there at some time at or after
/// `forgotten`.
pub(super) fn ended_by(
    chunks: &[Arc<Chunk>],
    since: Timestamp,
    forgotten: Timestamp,
) -> Option<Chunk> {
    gather(chunks, |chunk| {
        let gone = |row: usize| {
            let end = chunk.end(row);
            end <= since.0 && end > chunk.begin(row).max(forgotten.0)
        };
        match chunk.dead(since) {
            0 => Some(BooleanBuffer::new_unset(chunk.len())),
            _ => Some(BooleanBuffer::collect_bool(chunk.len(), gone)),
        }
    })
}

/// The rows of `chunks` that `which` picks (all of them where it is `None`), in order of id.
fn gather(chunks: &[Arc<Chunk>], which: impl Fn(&Chunk) -> Option<BooleanBuffer>) -> Option<Chunk> {
    let mut batches = vec![];
    let (mut ids, mut begins, mut ends) = (vec![], vec![], vec![]);
    for chunk in chunks {
        let mut keep = |row: usize| {
            ids.push(chunk.id(row));
            begins.push(chunk.begin(row));
            ends.push(chunk.end(row));
        };
        match which(chunk) {
            None => {
                (0..chunk.len()).for_each(&mut keep);
                batches.push(chunk.batch.clone());
            }
            Some(mask) if mask.count_set_bits() == 0 => {}
            Some(mask) => {
                mask.set_indices().for_each(&mut keep);
                batches.push(filter(&chunk.batch, mask));
            }
        }
    }
    let batch = match &batches[..] {
        [] => return None,
        [one] => one.clone(),
        many => concat_batches(&many[0].schema(), many).expect("chunks of one shard are alike"),
    };
    if ids.is_sorted() {
        return Some(Chunk::of(batch, ids, begins, ends));
    }
    let mut order: Vec<u32> = (0..ids.len() as u32).collect();
    order.sort_unstable_by_key(|&row| ids[row as usize]);
    let ordered = |values: &[u64]| order.iter().map(|&row| values[row as usize]).collect();
    let (ids, begins, ends) = (ordered(&ids), ordered(&begins), ordered(&ends));
    Some(Chunk::of(take_rows(&batch, &order), ids, begins, ends))
}

/// Which rows did not end at or before `since`; `None` for all of them.
fn kept(chunk: &Chunk, since: Timestamp) -> Option<BooleanBuffer> {
    if chunk.dead(since) == 0 {
        return None;
    }
    Some(BooleanBuffer::collect_bool(chunk.len(), |row| chunk.end(row) > since.0))
}

/// The rows that a merge at `since` leaves out.
pub(super) fn dropped(chunk: &Chunk, since: Timestamp) -> Option<RecordBatch> {
    let kept = kept(chunk, since)?;
    Some(filter(&chunk.batch, !&kept))
}

pub(crate) fn payload_bytes(column: &ArrayRef) -> usize {
    fn span<O: OffsetSizeTrait>(offsets: &[O]) -> usize {
        offsets[offsets.len() - 1].as_usize() - offsets[0].as_usize()
    }
    match column.data_type() {
        DataType::Utf8 => span(column.as_string::<i32>().value_offsets()),
        DataType::Binary => span(column.as_binary::<i32>().value_offsets()),
        DataType::LargeUtf8 => span(column.as_string::<i64>().value_offsets()),
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            let (from, length) = (list.value_offsets()[0] as usize, span(list.value_offsets()));
            8 * length + payload_bytes(&list.values().slice(from, length))
        }
        _ => 0,
    }
}

pub(super) fn filter(batch: &RecordBatch, mask: BooleanBuffer) -> RecordBatch {
    filter_record_batch(batch, &BooleanArray::new(mask, None)).expect("a bit for each row")
}
