//! Keeping chunks few and full: the tail is merged as it grows, dead rows are dropped.
//!
//! Law
//! - What a reader sees does not change: rows keep their ids, their order and their spans of time,
//!   and only rows that ended at or before [`super::Horizon::since`] go, into the past (`past.rs`).
//! - A chunk is of a level by its size, a factor of 8 from one to the next. Eight chunks at the end
//!   that are of no higher level than the last are merged, so that a row is copied once per level:
//!   five times until its chunk is full. There are at most seven chunks per level at the end.
//! - A chunk a third of which is dead is rewritten, together with small neighbours. So the rows
//!   kept stay within one and a half times those read, but for what ended since the last look.
//!
//! Merging is done outside of the lock: only the writer changes anything, and it is the one at
//! work.

use std::ops::Range;
use std::sync::Arc;

use super::chunk::{Chunk, dropped, merge};
use super::relation::{ShardState, prune};
use super::writer::{CHUNK_ROWS, Writer};
use crate::time::Timestamp;

/// Chunks of one level at the end that are merged.
pub(super) const FAN_IN: usize = 8;
/// From this level on (rows = 8^level) a chunk is full.
pub(super) const LEVEL_FULL: u32 = 5;
/// A chunk with this much text, say, is full however few its rows are.
const CHUNK_BYTES: usize = 16 * 1024 * 1024;
/// Dead rows are looked for after this many have ended, or a quarter of all if that is less.
const ENDED_MAX: usize = 4096;
/// Rows rewritten in one go, about.
const REWRITE_ROWS: usize = 4 * CHUNK_ROWS;

impl Writer {
    /// What there is to do before a write: by now no one may read what the one before it ended.
    pub(super) fn maintain(&mut self) {
        let since = self.relation.horizon.since();
        while let Some(tail) = self.full_tail() {
            self.rewrite(tail, since);
        }
        if self.ended >= ENDED_MAX || self.ended > 64 && self.ended > self.stored() / 4 {
            self.compact(since);
        }
        self.maintain_past(since);
    }

    /// Rewrites the chunks that are dead to a third.
    pub(super) fn compact(&mut self, since: Timestamp) {
        self.ended = 0;
        let chunks = Arc::clone(&self.relation.shards[self.shard].read().chunks);
        let mut runs = runs_to_rewrite(&chunks, since);
        drop(chunks);
        let mut rows = 0;
        // From the end, so that the runs before keep their places.
        while let Some((run, run_rows)) = runs.pop() {
            self.rewrite(run, since);
            rows += run_rows;
            if rows > REWRITE_ROWS && !runs.is_empty() {
                self.ended = ENDED_MAX; // to be continued with the next write
                return;
            }
        }
    }

    /// Everything that [`Writer::maintain`] would do in time, when maybe nobody writes again soon.
    pub(super) fn maintain_all(&mut self, since: Timestamp) {
        while self.ended >= ENDED_MAX {
            self.compact(since);
        }
        self.maintain_past(since);
    }

    fn stored(&self) -> usize {
        self.relation.shards[self.shard].read().chunks.iter().map(|chunk| chunk.len()).sum()
    }

    /// The chunks at the end that are to be merged, if they are.
    fn full_tail(&self) -> Option<Range<usize>> {
        let state = self.relation.shards[self.shard].read();
        let chunks = &state.chunks;
        let last = level(chunks.last()?);
        let tail = chunks.iter().rev().take_while(|chunk| level(chunk) <= last).count();
        (last < LEVEL_FULL && tail >= FAN_IN).then(|| chunks.len() - tail..chunks.len())
    }

    /// Puts merged chunks in the place of a run of chunks.
    fn rewrite(&mut self, run: Range<usize>, since: Timestamp) {
        let shard = &self.relation.shards[self.shard];
        let old: Vec<Arc<Chunk>> = shard.read().chunks[run.clone()].to_vec();
        let new: Vec<Arc<Chunk>> =
            groups(&old).filter_map(|group| merge(group, since)).map(Arc::new).collect();
        let leaving = self.leaving(&old, since);
        let gone: Vec<_> = match &self.relation.encoder {
            Some(encoder) => old
                .iter()
                .filter_map(|chunk| dropped(chunk, since))
                .map(|rows| encoder.keys_of(&rows))
                .collect(),
            None => vec![],
        };
        let ShardState { chunks, index, past, settled } = &mut *shard.write();
        Arc::make_mut(chunks).splice(run, new);
        past.push(leaving);
        *settled = (*settled).max(since.0);
        for keys in gone {
            for row in 0..keys.len() {
                prune(index, chunks, keys.word(row), usize::MAX, since);
            }
        }
    }
}

/// 0 for less than 8 rows, 1 for less than 64 and so on; `LEVEL_FULL` for a chunk that is not
/// merged any more.
pub(super) fn level(chunk: &Chunk) -> u32 {
    let by_rows = chunk.len().ilog2() / 3;
    if by_rows >= LEVEL_FULL || chunk.payload_bytes() >= CHUNK_BYTES {
        return LEVEL_FULL;
    }
    by_rows
}

/// Neighbours that fit into one chunk, group by group.
fn groups(chunks: &[Arc<Chunk>]) -> impl Iterator<Item = &[Arc<Chunk>]> {
    let mut rest = chunks;
    std::iter::from_fn(move || {
        let (mut rows, mut bytes) = (0, 0);
        let fits = |chunk: &Arc<Chunk>| {
            let first = rows == 0;
            rows += chunk.len();
            bytes += chunk.payload_bytes();
            first || rows <= CHUNK_ROWS && bytes <= 2 * CHUNK_BYTES
        };
        let count = rest.iter().map(fits).take_while(|&fits| fits).count();
        let (group, others) = rest.split_at(count);
        rest = others;
        (count > 0).then_some(group)
    })
}

/// Runs of neighbours worth a rewrite and their rows, in order: chunks that are dead to a third,
/// with the small ones around them.
fn runs_to_rewrite(chunks: &[Arc<Chunk>], since: Timestamp) -> Vec<(Range<usize>, usize)> {
    let mut runs: Vec<(Range<usize>, usize)> = vec![];
    let mut place = 0;
    while place < chunks.len() {
        let (start, mut rows, mut worth) = (place, 0, false);
        while let Some(chunk) = chunks.get(place) {
            let ripe = chunk.ended() * 3 >= chunk.len() && chunk.dead(since) * 3 >= chunk.len();
            if !(ripe || level(chunk) < LEVEL_FULL) || rows + chunk.len() > 2 * CHUNK_ROWS {
                break;
            }
            worth |= ripe;
            rows += chunk.len();
            place += 1;
        }
        if worth {
            runs.push((start..place, rows));
        }
        place += usize::from(place == start);
    }
    runs
}
