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
use arrow::datatypes::DataType;

use crate::time::Timestamp;

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

#[derive(Debug)]
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
enum Selection {
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

    pub fn len(&self) -> usize {
        self.ends.len()
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

    fn select(&self, at: Timestamp) -> Selection {
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
    let masks: Vec<Option<BooleanBuffer>> = chunks.iter().map(|c| kept(c, since)).collect();
    let mut batches = vec![];
    let (mut ids, mut begins, mut ends) = (vec![], vec![], vec![]);
    for (chunk, mask) in chunks.iter().zip(masks) {
        let mut keep = |row: usize| {
            ids.push(chunk.id(row));
            begins.push(chunk.begin(row));
            ends.push(AtomicU64::new(chunk.end(row)));
        };
        match mask {
            None => {
                (0..chunk.len()).for_each(&mut keep);
                batches.push(chunk.batch.clone());
            }
            Some(mask) => {
                mask.set_indices().for_each(&mut keep);
                batches.push(filter(&chunk.batch, mask));
            }
        }
    }
    let (&first, &last) = (ids.first()?, ids.last()?);
    let schema = chunks[0].batch.schema();
    let batch = match &batches[..] {
        [one] => one.clone(),
        many => concat_batches(&schema, many).expect("chunks of one shard have one schema"),
    };
    let dense = last - first == ids.len() as u64 - 1;
    let one_begin = begins.iter().all(|&begin| begin == begins[0]);
    let ended = ends.iter().filter(|end| end.load(Ordering::Relaxed) != u64::MAX).count();
    Some(Chunk {
        batch,
        ids: if dense { Ids::Dense(first) } else { Ids::Sparse(ids.into()) },
        begins: if one_begin { Begins::One(begins[0]) } else { Begins::Each(begins.into()) },
        ends: ends.into(),
        ended: AtomicUsize::new(ended),
    })
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
