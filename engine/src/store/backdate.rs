//! Backdating: rows that come with arrival times of their own, into a table whose past is open
//! (S20).
//!
//! Law
//! - The past of a table is open from its creation to its first ordinary write, or until it is
//!   closed by request. So all rows that were loaded have lower ids, and begin earlier, than all
//!   that were written.
//! - Times do not fall, from one load to the next either, and are not after the load's commit.
//!   Equal times are one commit: of the rows of a key at one time the last one counts.
//! - With a primary key a row replaces the one before it of the same key, which ends where the new
//!   one begins; a row marked so only ends it. Without, rows are added.
//! - All is checked before anything is changed.
//!
//! Not promised: a reader of an older time meanwhile sees what was loaded from its next scan on,
//! which may be before the load is durable; if it does not become so, until the restart that is
//! then the only way to go on. Answers over a table whose past is open are provisional.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use arrow::array::{Array, BooleanArray, RecordBatch, TimestampMicrosecondArray};
use arrow::buffer::ScalarBuffer;
use arrow::compute::concat_batches;

use super::chunk::{Begins, filter};
use super::key::Keys;
use super::relation::{Relation, ShardState, has_key, locate, push};
use super::writer::{CHUNK_ROWS, WriteError, Writer};
use crate::time::{CollectionId, RowId, Timestamp};

/// Old rows of a table, in the order in which they arrived.
#[derive(Clone, Debug)]
pub struct TableLoad {
    pub table: CollectionId,
    pub parts: Vec<LoadPart>,
    /// Whether rows may only be added: none ends another.
    pub append_only: bool,
}

/// Some rows of a load. Large parts load faster than small ones.
#[derive(Clone, Debug)]
pub struct LoadPart {
    /// In the table's columns; of a row that deletes its key only the key counts.
    pub rows: RecordBatch,
    /// When each row arrived.
    pub arrived: TimestampMicrosecondArray,
    /// Which rows delete their key; NULL is no. `None`: none does.
    pub deletes: Option<BooleanArray>,
}

/// Why rows cannot be loaded; `row` counts the rows of the load from 0 on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    #[error("the past of the table is closed")]
    Closed,
    #[error("row {row} has no arrival time")]
    NullTime { row: usize },
    #[error("row {row} arrived at {time}, before the row before it, at {before}")]
    Falling { row: usize, time: Timestamp, before: Timestamp },
    #[error("row {row} arrived at {time}, which is after the load, at {now}")]
    Future { row: usize, time: Timestamp, now: Timestamp },
    #[error("row {row} arrived before 1970")]
    BeforeEpoch { row: usize },
    #[error("row {row} deletes a key, and the table has no primary key")]
    NoKey { row: usize },
    #[error("row {row} ends an earlier one, and the table is append-only")]
    Ends { row: usize },
    #[error("the rows do not fit the table: {0}")]
    Columns(String),
}

/// A checked load, not yet applied.
#[derive(Debug)]
pub struct PreparedLoad {
    parts: Vec<PreparedPart>,
}

#[derive(Debug)]
struct PreparedPart {
    /// The rows that are added, and when each begins.
    insert: RecordBatch,
    begins: ScalarBuffer<u64>,
    /// With a primary key: of all rows, those that delete too.
    steps: Option<Steps>,
}

#[derive(Debug)]
struct Steps {
    keys: Keys,
    times: ScalarBuffer<u64>,
    deletes: Option<BooleanArray>,
}

/// What a load did.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The id of the first row; the others follow.
    pub first: RowId,
    /// When the last row arrived.
    pub until: u64,
    pub rows: Vec<RecordBatch>,
    pub begins: Vec<u64>,
    /// Which rows it ended, its own and earlier ones, and when each.
    pub ended: Vec<u64>,
    pub ends: Vec<u64>,
    /// The net change of the present: rows that were there and went, rows that came and stayed;
    /// with their times of arrival.
    pub gone: Vec<RecordBatch>,
    pub came: Vec<RecordBatch>,
}

impl Relation {
    /// Whether the past can still change: answers over it are provisional.
    pub fn is_open(&self) -> bool {
        self.limits.open.load(Ordering::SeqCst)
    }

    /// The last commit that changed what it was at times before: a load, of the table or of one
    /// below the view. `MIN` if there was none.
    pub fn last_rewritten(&self) -> Timestamp {
        Timestamp(self.limits.rewritten.load(Ordering::SeqCst))
    }

    /// Notes that a commit at `time` changed the past.
    pub(crate) fn rewritten(&self, time: Timestamp) {
        self.limits.rewritten.fetch_max(time.0, Ordering::SeqCst);
    }

    pub(super) fn open_past(&self) {
        self.limits.open.store(true, Ordering::SeqCst);
    }

    pub(crate) fn close_past(&self) {
        self.limits.open.store(false, Ordering::SeqCst);
    }
}

impl Writer {
    /// Checks a load that is committed at `now`.
    pub fn prepare_load(
        &self,
        parts: Vec<LoadPart>,
        append_only: bool,
        now: Timestamp,
    ) -> Result<PreparedLoad, LoadError> {
        if !self.relation.is_open() {
            return Err(LoadError::Closed);
        }
        let (mut first, mut before) = (0, self.loaded_until);
        for part in &parts {
            before = self.check_part(part, first, before, now)?;
            first += part.rows.num_rows();
        }
        let mut prepared = vec![];
        for group in groups(&parts) {
            prepared.push(self.prepare_part(together(group)?)?);
        }
        if append_only && let Some(row) = self.first_end(&prepared) {
            return Err(LoadError::Ends { row });
        }
        Ok(PreparedLoad { parts: prepared })
    }

    /// The first row of a load that ends one before it: by deleting, or by having its key.
    fn first_end(&self, parts: &[PreparedPart]) -> Option<usize> {
        let encoder = self.relation.encoder.as_ref()?;
        let state = self.relation.shards[self.shard].read();
        let mut seen: HashMap<Option<u64>, Vec<(&Keys, usize)>> = HashMap::new();
        let mut first = 0;
        for Steps { keys, deletes, .. } in parts.iter().filter_map(|part| part.steps.as_ref()) {
            for row in 0..keys.len() {
                let is_delete = deletes.as_ref().is_some_and(|d| d.is_valid(row) && d.value(row));
                let is_there = |id| {
                    state.locate(id).is_some_and(|(chunk, place)| {
                        chunk.is_live(place) && has_key(encoder, chunk, place, keys, row)
                    })
                };
                let same = seen.entry(keys.word(row)).or_default();
                let is_repeated = same.iter().any(|(other, at)| keys.same(row, other, *at));
                if is_delete || is_repeated || state.index.chain(keys.word(row)).any(is_there) {
                    return Some(first + row);
                }
                same.push((keys, row));
            }
            first += keys.len();
        }
        None
    }

    /// Checks the times of a part whose first row is number `first`; returns the last one.
    fn check_part(
        &self,
        part: &LoadPart,
        first: usize,
        before: u64,
        now: Timestamp,
    ) -> Result<u64, LoadError> {
        let LoadPart { rows, arrived, deletes } = part;
        let marks = deletes.as_ref().map_or(rows.num_rows(), |deletes| deletes.len());
        if rows.num_rows() != arrived.len() || marks != arrived.len() {
            return Err(LoadError::Columns("not every row has a time of arrival".into()));
        }
        if let Some(row) = (0..arrived.len()).find(|&row| arrived.is_null(row)) {
            return Err(LoadError::NullTime { row: first + row });
        }
        if let Some(deletes) = deletes.as_ref().filter(|_| self.relation.encoder.is_none())
            && let Some(row) = deletes.iter().position(|delete| delete == Some(true))
        {
            return Err(LoadError::NoKey { row: first + row });
        }
        let mut last = before;
        for (row, &time) in arrived.values().iter().enumerate() {
            let row = first + row;
            let time = u64::try_from(time).map_err(|_| LoadError::BeforeEpoch { row })?;
            if time < last {
                let (time, before) = (Timestamp(time), Timestamp(last));
                return Err(LoadError::Falling { row, time, before });
            }
            if time > now.0 {
                return Err(LoadError::Future { row, time: Timestamp(time), now });
            }
            last = time;
        }
        Ok(last)
    }

    fn prepare_part(&self, part: LoadPart) -> Result<PreparedPart, LoadError> {
        let columns = |error: WriteError| LoadError::Columns(error.to_string());
        let LoadPart { rows, arrived, deletes } = part;
        let times = ScalarBuffer::<u64>::from(arrived.values().inner().clone());
        let Some(encoder) = &self.relation.encoder else {
            return Ok(PreparedPart {
                insert: self.conform(rows).map_err(columns)?,
                begins: times,
                steps: None,
            });
        };
        let schema = self.relation.schema();
        let typed = |&column: &usize| {
            let theirs = rows.columns().get(column).map(|column| column.data_type());
            theirs == Some(schema.field(column).data_type())
        };
        if !encoder.columns().iter().all(typed) {
            return Err(LoadError::Columns("the key has other types".into()));
        }
        let keys = encoder.keys_of(&rows);
        let deletes = deletes.filter(|deletes| deletes.true_count() > 0);
        let (insert, begins) = match &deletes {
            None => (rows, times.clone()),
            Some(deletes) => {
                let is_kept = |row: usize| !(deletes.is_valid(row) && deletes.value(row));
                let kept = (0..rows.num_rows()).map(is_kept).collect();
                let begins = (0..times.len()).filter(|&row| is_kept(row)).map(|row| times[row]);
                (filter(&rows, kept), begins.collect())
            }
        };
        let insert = self.conform(insert).map_err(columns)?;
        Ok(PreparedPart { insert, begins, steps: Some(Steps { keys, times, deletes }) })
    }

    /// Applies a prepared load, the last thing prepared, committed at `now`.
    pub fn load(&mut self, prepared: PreparedLoad, now: Timestamp) -> Loaded {
        self.maintain();
        let first = self.next;
        let (mut rows, mut begins) = (vec![], vec![]);
        let (mut ended, mut ends) = (vec![], vec![]);
        for PreparedPart { insert, begins: theirs, steps } in prepared.parts {
            let part_first = self.next;
            self.append(&insert, Begins::Each(theirs.clone()), None);
            self.loaded_until = theirs.last().copied().unwrap_or(self.loaded_until);
            if let Some(steps) = steps {
                self.loaded_until = steps.times.last().copied().unwrap_or(self.loaded_until);
                self.follow(&steps, part_first, &mut ended, &mut ends);
            }
            begins.extend_from_slice(&theirs);
            if insert.num_rows() > 0 {
                rows.push(insert);
            }
        }
        self.end_due(now, &mut ended, &mut ends);
        self.ended += ended.len();
        let (gone, came) = self.net(first, &ended);
        self.maintain_all(self.relation.horizon.since());
        self.relation.tell_written(now);
        let (first, until) = (RowId(first), self.loaded_until);
        Loaded { first, until, rows, begins, ended, ends, gone, came }
    }

    /// Goes through the rows of a part in their order: ends the one before of each key, and indexes
    /// what was added, under ids from `next` on.
    fn follow(&self, steps: &Steps, mut next: u64, ended: &mut Vec<u64>, ends: &mut Vec<u64>) {
        let Steps { keys, times, deletes } = steps;
        let since = self.relation.horizon.since();
        let encoder = self.relation.encoder.as_ref().expect("keys are made by it");
        let state = &mut *self.relation.shards[self.shard].write();
        state.settled = state.settled.max(since.0);
        let ShardState { chunks, index, .. } = state;
        for row in 0..keys.len() {
            let word = keys.word(row);
            let (mut newer, mut replaced) = (None, None);
            for id in index.chain(word) {
                match locate(chunks, id) {
                    Some((chunk, place))
                        if chunk.is_live(place) && has_key(encoder, chunk, place, keys, row) =>
                    {
                        let due = self.ttl.as_ref().map(|ttl| ttl.end(chunk.begin(place)));
                        let end = times[row].min(due.unwrap_or(u64::MAX));
                        chunk.set_end(place, Timestamp(end));
                        replaced = Some((id, end));
                        break; // of the rows with one key only one is there
                    }
                    _ => newer = Some(id),
                }
            }
            if let Some((id, end)) = replaced {
                ended.push(id);
                ends.push(end);
                if end <= since.0 {
                    index.unlink(word, newer, id); // no one reads the present before its end
                }
            }
            let is_delete = deletes.as_ref().is_some_and(|d| d.is_valid(row) && d.value(row));
            if !is_delete {
                push(index, chunks, word, next, since);
                next += 1;
            }
        }
    }

    /// What went and what came by a load of the rows from `first` on.
    fn net(&self, first: u64, ended: &[u64]) -> (Vec<RecordBatch>, Vec<RecordBatch>) {
        let mut old: Vec<u64> = ended.iter().copied().filter(|&id| id < first).collect();
        old.sort_unstable();
        let (gone, mut begins) = self.rows_of(&old);
        let gone = gone.into_iter().map(|batch| {
            let rest = begins.split_off(batch.num_rows());
            self.relation.arrived(batch, std::mem::replace(&mut begins, rest))
        });
        let gone = gone.collect();
        let state = self.relation.shards[self.shard].read();
        let new = state.chunks.iter().filter(|chunk| chunk.id(0) >= first);
        let came = new.filter_map(|chunk| {
            let batch = chunk.batch_at(Timestamp(u64::MAX - 1))?;
            Some(self.relation.arrived(batch, chunk.begins_at(Timestamp(u64::MAX - 1))))
        });
        (gone, came.collect())
    }
}

/// Neighbours that make one chunk together.
fn groups(parts: &[LoadPart]) -> impl Iterator<Item = &[LoadPart]> {
    let mut rest = parts;
    std::iter::from_fn(move || {
        let mut rows = 0;
        let fits = |part: &&LoadPart| {
            let first = rows == 0;
            rows += part.rows.num_rows();
            first || rows <= CHUNK_ROWS
        };
        let count = rest.iter().take_while(fits).count();
        let (group, others) = rest.split_at(count);
        rest = others;
        (count > 0).then_some(group)
    })
}

/// Parts as one.
fn together(parts: &[LoadPart]) -> Result<LoadPart, LoadError> {
    if let [one] = parts {
        return Ok(one.clone());
    }
    let columns = |error: arrow::error::ArrowError| LoadError::Columns(error.to_string());
    let schema = parts[0].rows.schema();
    let rows = concat_batches(&schema, parts.iter().map(|part| &part.rows)).map_err(columns)?;
    let arrived = parts.iter().flat_map(|part| part.arrived.values().iter().copied());
    let deletes = parts.iter().any(|part| part.deletes.is_some()).then(|| {
        let of_part = |part: &LoadPart| match &part.deletes {
            Some(deletes) => deletes.clone(),
            None => BooleanArray::from(vec![false; part.rows.num_rows()]),
        };
        parts.iter().flat_map(|part| of_part(part).iter().collect::<Vec<_>>()).collect()
    });
    Ok(LoadPart { rows, arrived: arrived.collect::<Vec<i64>>().into(), deletes })
}
