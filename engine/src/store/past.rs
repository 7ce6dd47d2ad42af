//! The past of a shard: the rows that have ended and that its chunks have let go of.
//!
//! Law
//! - A row is in a chunk or in the past, never in both: it moves under the shard's lock. It moves
//!   when it ended at or before the shard's *settled* time, and leaves the index no earlier. So who
//!   reads at the settled time or later looks at neither the past nor the ended rows of chunks.
//! - A row is forgotten when it ended at or before [`Relation::readable_from`] and no one reads
//!   below its end. That time rises with the relation's limits, and never falls.
//!
//! Rows stand in runs in order of id, merged in levels as chunks are (see `compact.rs`). A run
//! knows when its last row ends, so a read of one time passes by those that end before.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;

use super::chunk::{Chunk, ended_by, merge};
use super::compact::{FAN_IN, LEVEL_FULL, level};
use super::horizon::ReadAtError;
use super::key::{KeyEncoder, Keys};
use super::relation::{Lookup, Relation};
use super::writer::Writer;
use crate::time::{RowId, Timestamp};

/// How much of its past a relation keeps, and from where on it can be read.
#[derive(Debug)]
pub(super) struct Limits {
    /// How long before the present, in µs; `u64::MAX`: for ever.
    retention: AtomicU64,
    /// Bytes of ended rows in one shard at most.
    bytes_max: AtomicU64,
    readable_from: AtomicU64,
    /// Whether rows can still be loaded.
    pub open: AtomicBool,
    /// The last commit that changed the past.
    pub rewritten: AtomicU64,
    /// When the first row there ever was began; `u64::MAX`: there was none.
    first_row: AtomicU64,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Past {
    runs: Vec<Run>,
    bytes: u64,
    /// When the run that ends first ends.
    first_end: u64,
}

#[derive(Clone, Debug)]
struct Run {
    chunk: Arc<Chunk>,
    last_end: u64,
    bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            retention: AtomicU64::new(u64::MAX),
            bytes_max: AtomicU64::new(u64::MAX),
            readable_from: AtomicU64::new(0),
            open: AtomicBool::new(false),
            rewritten: AtomicU64::new(0),
            first_row: AtomicU64::new(u64::MAX),
        }
    }
}

impl Relation {
    /// The oldest time that it can be read at. Rises as time passes, if its past is limited.
    pub fn readable_from(&self) -> Timestamp {
        self.readable_from_at(self.horizon.closed())
    }

    /// The oldest time that a statement of the time `present` can read it at: if that time is held
    /// (see [`super::Horizon::begin_read_at`]), the same however long the statement runs.
    pub fn readable_from_at(&self, present: Timestamp) -> Timestamp {
        let limit = self.limits.before(present.0);
        Timestamp(self.limits.readable_from.load(Ordering::SeqCst).max(limit))
    }

    /// When the first row there ever was began; `None`: there was none.
    pub fn first_row(&self) -> Option<Timestamp> {
        let first = self.limits.first_row.load(Ordering::SeqCst);
        (first < u64::MAX).then_some(Timestamp(first))
    }

    /// Rows begin at `time`, and none of those that come with them earlier.
    pub(super) fn rows_from(&self, time: u64) {
        self.limits.first_row.fetch_min(time, Ordering::SeqCst);
    }

    /// Refuses a time that the past that is kept does not reach. What it allows stays readable as
    /// long as the time is held (see [`super::Horizon::begin_read_at`]).
    pub fn check_readable(&self, at: Timestamp) -> Result<(), ReadAtError> {
        let oldest = self.readable_from();
        if at < oldest {
            return Err(ReadAtError::Forgotten { at, oldest });
        }
        Ok(())
    }

    /// Keeps what ended within `retention` before the present (`None`: for ever), in no more than
    /// `bytes_max`.
    pub fn limit_past(&self, retention: Option<Duration>, bytes_max: Option<usize>) {
        self.keep_past(retention);
        let bytes = bytes_max.map_or(u64::MAX, |bytes| (bytes / self.shards.len()) as u64);
        self.limits.bytes_max.store(bytes, Ordering::SeqCst);
    }

    /// Keeps what ended within `retention` before the present from now on; other limits stay.
    pub fn keep_past(&self, retention: Option<Duration>) {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.limits.retention.store(retention.map_or(u64::MAX, micros), Ordering::SeqCst);
    }

    /// What it was before `time` is not known, or not true any more.
    pub(crate) fn forget_before(&self, time: Timestamp) {
        self.limits.readable_from.fetch_max(time.0, Ordering::SeqCst);
    }
}

impl Clone for Limits {
    fn clone(&self) -> Self {
        let copy = |limit: &AtomicU64| AtomicU64::new(limit.load(Ordering::SeqCst));
        Limits {
            retention: copy(&self.retention),
            bytes_max: copy(&self.bytes_max),
            readable_from: copy(&self.readable_from),
            open: AtomicBool::new(self.open.load(Ordering::SeqCst)),
            rewritten: copy(&self.rewritten),
            first_row: copy(&self.first_row),
        }
    }
}

impl Limits {
    /// The oldest time within the retention.
    fn before(&self, present: u64) -> u64 {
        match self.retention.load(Ordering::SeqCst) {
            u64::MAX => 0,
            retention => present.saturating_sub(retention),
        }
    }
}

impl Past {
    /// About how many bytes it takes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The chunks with rows that are there at some time of [from, to].
    pub fn over(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = &Arc<Chunk>> {
        let meets = move |run: &&Run| run.last_end > from.0 && run.chunk.begin(0) <= to.0;
        self.runs.iter().filter(meets).map(|run| &run.chunk)
    }

    /// Puts runs in the place of others.
    fn splice(&mut self, place: Range<usize>, new: Option<Chunk>) {
        let run = |chunk: Chunk| {
            let (last_end, bytes) = (chunk.last_end(), chunk.bytes() as u64);
            Run { chunk: Arc::new(chunk), last_end, bytes }
        };
        self.runs.splice(place, new.map(run));
        self.count();
    }

    fn count(&mut self) {
        self.bytes = self.runs.iter().map(|run| run.bytes).sum();
        self.first_end = self.runs.iter().map(|run| run.last_end).min().unwrap_or(u64::MAX);
    }

    /// The same runs with other chunks.
    pub fn map(&self, chunk: impl Fn(&Arc<Chunk>) -> Arc<Chunk>) -> Past {
        let run = |run: &Run| {
            let chunk = chunk(&run.chunk);
            Run { bytes: chunk.bytes() as u64, chunk, last_end: run.last_end }
        };
        let mut past = Past { runs: self.runs.iter().map(run).collect(), ..Past::default() };
        past.count();
        past
    }

    pub fn push(&mut self, chunk: Option<Chunk>) {
        let end = self.runs.len();
        if chunk.is_some() {
            self.splice(end..end, chunk);
        }
    }

    /// The runs at the end that are to be merged, if they are.
    fn full_tail(&self) -> Option<Range<usize>> {
        let last = level(&self.runs.last()?.chunk);
        let tail = self.runs.iter().rev().take_while(|run| level(&run.chunk) <= last).count();
        let count = self.runs.len();
        (last < LEVEL_FULL && tail >= FAN_IN).then(|| count - tail..count)
    }
}

impl Writer {
    /// What the past gets when `chunks` are rewritten without the rows that ended by `since`.
    pub(super) fn leaving(&self, chunks: &[Arc<Chunk>], since: Timestamp) -> Option<Chunk> {
        let limits = &self.relation.limits;
        let limit = limits.before(since.0);
        let forgotten = self.relation.horizon.forget(&limits.readable_from, Timestamp(limit));
        ended_by(chunks, since, forgotten)
    }

    /// Merges runs, and forgets what is past the limits.
    pub(super) fn maintain_past(&mut self, since: Timestamp) {
        let shard = &self.relation.shards[self.shard];
        let (limits, horizon) = (&self.relation.limits, &self.relation.horizon);
        let tail = |past: &Past| {
            let tail = past.full_tail()?;
            let chunks = past.runs[tail.clone()].iter().map(|run| Arc::clone(&run.chunk));
            Some((tail, chunks.collect::<Vec<_>>()))
        };
        loop {
            let Some((tail, chunks)) = tail(&shard.read().past) else { break };
            let forgotten = horizon.forget(&limits.readable_from, Timestamp(0));
            let merged = merge(&chunks, forgotten);
            shard.write().past.splice(tail, merged);
        }
        let state = shard.read();
        let (first_end, bytes) = (state.past.first_end, state.past.bytes);
        drop(state);
        let mut limit = limits.before(since.0);
        if bytes > limits.bytes_max.load(Ordering::SeqCst) {
            limit = limit.max(first_end);
        }
        if limit >= first_end || limits.readable_from.load(Ordering::SeqCst) >= first_end {
            let forgotten = horizon.forget(&limits.readable_from, Timestamp(limit));
            let past = &mut shard.write().past;
            past.runs.retain(|run| run.last_end > forgotten.0);
            past.count();
        }
    }
}

/// The rows at `at` that `chunks` hold and an index may not know any more: adds those that have one
/// of the keys for which nothing was found yet.
pub(super) fn find_ended<'a>(
    chunks: impl Iterator<Item = &'a Arc<Chunk>>,
    encoder: &KeyEncoder,
    keys: &Keys,
    at: Timestamp,
    found: &mut Vec<Lookup>,
) {
    let mut open = vec![true; keys.len()];
    found.iter().for_each(|lookup| open[lookup.key] = false);
    let mut wanted: HashMap<Option<u64>, Vec<usize>> = HashMap::new();
    for key in (0..keys.len()).filter(|&key| open[key]) {
        wanted.entry(keys.word(key)).or_default().push(key);
    }
    for chunk in chunks {
        let there = |row: &u32| {
            let row = *row as usize;
            chunk.is_visible(row, at) && !chunk.is_live(row)
        };
        let rows: Vec<u32> = (0..chunk.len() as u32).filter(there).collect();
        if rows.is_empty() || wanted.is_empty() {
            continue;
        }
        let places = UInt32Array::from(rows.clone());
        let columns = encoder.columns().iter().map(|&column| {
            let column = chunk.batch.column(column);
            take(column.as_ref(), &places, None).expect("rows of the chunk")
        });
        let theirs = encoder.keys(&columns.collect::<Vec<ArrayRef>>(), rows.len());
        for (place, &row) in rows.iter().enumerate() {
            let same = wanted.get(&theirs.word(place)).into_iter().flatten();
            for &key in same.filter(|&&key| theirs.same(place, keys, key)) {
                let (id, batch) = (RowId(chunk.id(row as usize)), chunk.batch.clone());
                let begin = Timestamp(chunk.begin(row as usize));
                found.push(Lookup { key, id, batch, row: row as usize, begin });
            }
        }
    }
}
