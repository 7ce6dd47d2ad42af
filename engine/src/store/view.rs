//! Writing a view's output: updates at many times, by content.
//!
//! Law: at every time t, the rows of the relation are the sum of all updates at times ≤ t. +n adds
//! n rows that begin at its time, −n ends n equal rows (NaN equals NaN, −0 equals 0; so does NULL),
//! of several one that is the same bit for bit.
//! Within one time rows are added before any is ended, so what nets to nothing is never seen.
//!
//! Errors: a retraction that meets no row changes nothing and is given back: an over-retraction.
//!
//! A view with a key finds the row to end by its key. One without builds an index over whole rows
//! at its first retraction; it holds live rows only, duplicates chained.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};

use super::chunk::{Begins, Chunk};
use super::index::Index;
use super::key::{KeyEncoder, Keys};
use super::relation::{locate, push};
use super::value::{equal, identical};
use super::writer::Writer;
use crate::time::Timestamp;
use crate::updates::{Updates, batch_of, take_rows};

/// The live rows of a shard by their whole content.
#[derive(Debug)]
pub(super) struct Content {
    encoder: KeyEncoder,
    index: Index,
}

/// Updates, and what to find their rows by.
struct Change {
    data: RecordBatch,
    added: Side,
    retracted: Side,
    keys: Keys,
}

/// The rows of some updates that are added, or those that are retracted: each as often as its diff
/// says.
struct Side {
    rows: Vec<u32>,
    /// Of each of them; does not fall.
    times: Vec<u64>,
}

/// An index being brought up to date, time by time.
struct Pass<'a> {
    index: &'a mut Index,
    chunks: &'a [Arc<Chunk>],
    /// Rows that have ended leave the index at once, rather than when no one reads them.
    live_only: bool,
    since: Timestamp,
}

impl Writer {
    /// Applies updates in order of time, not below the times of earlier ones. Gives back the
    /// over-retractions, if any.
    pub fn apply(&mut self, updates: &Updates) -> Option<Updates> {
        if updates.is_empty() {
            return None;
        }
        assert!(updates.times.is_sorted(), "updates are applied in order of time");
        self.maintain();
        let data = batch_of(self.relation.schema(), updates.data.columns().to_vec(), updates.len());
        let (added, retracted) = (Side::of(updates, 1), Side::of(updates, -1));
        if !retracted.rows.is_empty() && self.relation.encoder.is_none() {
            self.index_content();
        }
        let keys = self.encoder().map(|encoder| encoder.keys_of(&data));
        let first = self.next;
        let all = updates.diffs.iter().all(|&diff| diff == 1);
        let batch = if all { data.clone() } else { take_rows(&data, &added.rows) };
        self.append(&batch, begins(&added.times), None);
        let change = keys.map(|keys| Change { data, added, retracted, keys });
        let extra = change.and_then(|change| {
            let missed = self.reconcile(&change, first);
            self.ended += change.retracted.rows.len() - missed.len();
            (!missed.is_empty()).then(|| change.over_retractions(&missed))
        });
        self.relation.tell_written(Timestamp(updates.times.last().copied().unwrap_or_default()));
        extra
    }

    fn encoder(&self) -> Option<&KeyEncoder> {
        self.relation.encoder.as_ref().or(self.content.as_ref().map(|content| &content.encoder))
    }

    /// Begins the index of whole rows with what is there.
    fn index_content(&mut self) {
        if self.content.is_some() {
            return;
        }
        let schema = self.relation.schema();
        let all: Vec<usize> = (0..schema.fields().len()).collect();
        let mut content =
            Content { encoder: KeyEncoder::new(&schema, &all), index: Index::default() };
        for chunk in self.relation.shards[self.shard].read().chunks.iter() {
            let keys = content.encoder.keys_of(&chunk.batch);
            for row in (0..chunk.len()).filter(|&row| chunk.is_live(row)) {
                content.index.push(keys.word(row), chunk.id(row));
            }
        }
        self.content = Some(content);
    }

    /// Goes through both sides in order of time: indexes what was added (under ids from `first`
    /// on), ends what was retracted. Returns the retractions that met no row.
    fn reconcile(&mut self, change: &Change, first: u64) -> Vec<usize> {
        let since = self.relation.horizon.since();
        let shard = &self.relation.shards[self.shard];
        if self.relation.encoder.is_some() {
            let state = &mut *shard.write();
            state.settled = state.settled.max(since.0);
            let (index, chunks) = (&mut state.index, &state.chunks[..]);
            return Pass { index, chunks, live_only: false, since }.run(change, first);
        }
        let index = &mut self.content.as_mut().expect("there are keys").index;
        let chunks = &shard.read().chunks;
        Pass { index, chunks, live_only: true, since }.run(change, first)
    }
}

impl Pass<'_> {
    fn run(mut self, change: &Change, first: u64) -> Vec<usize> {
        let Change { added, retracted, .. } = change;
        let mut missed = vec![];
        let mut next = 0;
        for at in 0..retracted.times.len() {
            let time = retracted.times[at];
            let upto = next + added.times[next..].partition_point(|&begin| begin <= time);
            self.add(change, first, next..upto);
            next = upto;
            if !self.end(change, at) {
                missed.push(at);
            }
        }
        self.add(change, first, next..added.times.len());
        missed
    }

    fn add(&mut self, change: &Change, first: u64, places: Range<usize>) {
        for at in places {
            let word = change.keys.word(change.added.rows[at] as usize);
            let id = first + at as u64;
            if self.live_only {
                self.index.push(word, id);
            } else {
                push(self.index, self.chunks, word, id, self.since);
            }
        }
    }

    /// Ends one live row that is equal to a retracted one; says whether there was one.
    fn end(&mut self, change: &Change, at: usize) -> bool {
        self.end_if(change, at, identical) || self.end_if(change, at, equal)
    }

    /// The same where `same` says of the values what is equal.
    fn end_if(&mut self, change: &Change, at: usize, same: Same) -> bool {
        let row = change.retracted.rows[at] as usize;
        let word = change.keys.word(row);
        let columns = |chunk: &Chunk, place| {
            let pairs = chunk.batch.columns().iter().zip(change.data.columns());
            pairs.into_iter().all(|(a, b)| same(a, place, b, row))
        };
        let mut newer = None;
        for id in self.index.chain(word) {
            match locate(self.chunks, id) {
                Some((chunk, place)) if chunk.is_live(place) && columns(chunk, place) => {
                    chunk.set_end(place, Timestamp(change.retracted.times[at]));
                    if self.live_only {
                        self.index.unlink(word, newer, id);
                    }
                    return true;
                }
                _ => newer = Some(id),
            }
        }
        false
    }
}

/// Whether a value of one column is the same as one of another.
type Same = fn(&ArrayRef, usize, &ArrayRef, usize) -> bool;

impl Side {
    /// The rows whose diff has this sign.
    fn of(updates: &Updates, sign: i64) -> Side {
        let mut rows = Vec::with_capacity(updates.len());
        for (row, &diff) in (0..).zip(updates.diffs.iter()) {
            if diff.signum() == sign {
                rows.extend(std::iter::repeat_n(row, diff.unsigned_abs() as usize));
            }
        }
        let times = rows.iter().map(|&row: &u32| updates.times[row as usize]).collect();
        Side { rows, times }
    }
}

impl Change {
    fn over_retractions(&self, missed: &[usize]) -> Updates {
        let Change { data, retracted, .. } = self;
        let rows: Vec<u32> = missed.iter().map(|&at| retracted.rows[at]).collect();
        let times: Vec<u64> = missed.iter().map(|&at| retracted.times[at]).collect();
        Updates::new(take_rows(data, &rows), times, vec![-1; rows.len()])
    }
}

fn begins(times: &[u64]) -> Begins {
    match times {
        [first, .., last] if first == last => Begins::One(*first),
        [one] => Begins::One(*one),
        many => Begins::Each(many.to_vec().into()),
    }
}
