//! Session: each row with the session it belongs to.
//!
//! Law      the rows of a key in order of time form one session while each follows the one before
//!          it by at most `gap`; out(t) = { (r, start, end) : r in in(t) }, start the time of the
//!          session's first row, end the time of its last plus `gap`
//! Delta    what a key's changes at one time make of the sessions they join, split or extend: the
//!          rows of those whose start or end differs go out and in, of others only what changed
//! State    the rows by content, ordered by key and time, and the sessions of each key; bounded by
//!          the rows present
//! Errors   a row whose time plus `gap` is no timestamp leaves the output and is reported

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};

use super::{Operator, StateSize, StepContext};
use crate::aggregate::columns_at;
use crate::expression::RowError;
use crate::plan::{Plan, listed};
use crate::state::key_index::{KeyCodec, KeyIndex, Keys, types_of};
use crate::state::row_set::RowSet;
use crate::updates::{Updates, batch_of};

/// What was decided. Rows without a time are in no session and not in the output.
#[derive(Clone, Debug)]
pub struct SessionPlan {
    pub input: Plan,
    pub keys: Vec<usize>,
    /// A column of type timestamp in µs, with or without time zone.
    pub time: usize,
    pub gap_us: i64,
    /// The input's columns, then `window_start` and `window_end` of the type of `time`.
    pub schema: SchemaRef,
}

impl fmt::Display for SessionPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.input.schema();
        let keys = self.keys.iter().map(|&key| schema.field(key).name());
        let time = schema.field(self.time).name();
        write!(f, "Session keys=[{}] time={time} gap={} us", listed(keys), self.gap_us)
    }
}

/// A row present, or just gone.
#[derive(Default)]
struct Row {
    /// Its event time.
    time: i64,
    count: i64,
    /// Its count before the turn in progress.
    before: i64,
    /// Whether the turn in progress has met it.
    met: bool,
}

/// What runs.
pub(crate) struct Session {
    keys: Vec<usize>,
    time: usize,
    gap: i64,
    input: SchemaRef,
    schema: SchemaRef,
    codec: KeyCodec,
    index: KeyIndex,
    rows: RowSet<Row>,
    /// (key, event time, row).
    ordered: BTreeSet<(u32, i64, u32)>,
    sessions: Sessions,
}

/// Sessions: the time of the last row by (key, the time of the first).
type Spans = BTreeMap<(u32, i64), i64>;

/// The sessions of all keys.
struct Sessions {
    gap: i64,
    last: Spans,
    /// Of the turn in progress: those that are no more, and those that are new.
    replaced: Spans,
    made: Spans,
}

/// What a step emits: rows of state with their session.
#[derive(Default)]
struct Emission {
    rows: Vec<u32>,
    starts: Vec<i64>,
    ends: Vec<i64>,
    times: Vec<u64>,
    diffs: Vec<i64>,
}

impl Session {
    pub fn new(plan: &SessionPlan) -> Self {
        let input = plan.input.schema();
        Session {
            keys: plan.keys.clone(),
            time: plan.time,
            gap: plan.gap_us,
            codec: KeyCodec::for_keys(types_of(&input, &plan.keys)),
            index: KeyIndex::default(),
            rows: RowSet::new(&input),
            ordered: BTreeSet::new(),
            sessions: Sessions {
                gap: plan.gap_us,
                last: Spans::new(),
                replaced: Spans::new(),
                made: Spans::new(),
            },
            input,
            schema: plan.schema.clone(),
        }
    }

    /// The rows that have a session to be in, and reports of those whose session has no end.
    fn placed(&self, context: &StepContext<'_>, input: Updates) -> Updates {
        let times = event_times(&input, self.time);
        let (mut kept, mut errors) = (Vec::new(), Vec::new());
        for row in (0..input.len()).filter(|&row| times.is_valid(row)) {
            match times.value(row).checked_add(self.gap) {
                Some(_) => kept.push(row as u32),
                None => errors.push(RowError::new(row as u32, "timestamp out of range")),
            }
        }
        context.report_rows("Session", &input, &errors);
        match kept.len() == input.len() {
            true => input,
            false => input.take(&kept),
        }
    }

    /// One turn: the changes of one key at one time.
    fn turn(
        &mut self,
        key: u32,
        changes: &[u32],
        input: &Updates,
        rows: &Keys,
        out: &mut Emission,
        released: &mut Vec<u32>,
    ) {
        let event_times = event_times(input, self.time);
        let mut met = Vec::new();
        for change in changes.iter().map(|&change| change as usize) {
            let time = event_times.value(change);
            let new = || Row { time, ..Row::default() };
            let (id, _) = self.rows.get_or_insert(rows.key(change), new);
            let row = self.rows.get_mut(id);
            row.count += input.diffs[change];
            if !std::mem::replace(&mut row.met, true) {
                met.push(id);
            }
        }
        let mut gone = BTreeSet::new();
        for &id in &met {
            let &Row { time, count, before, .. } = self.rows.get(id);
            match (before != 0, count != 0) {
                (false, true) => {
                    let first = !self.is_present(key, time);
                    self.ordered.insert((key, time, id));
                    if first {
                        self.sessions.insert(key, time);
                    }
                }
                (true, false) => {
                    self.ordered.remove(&(key, time, id));
                    gone.insert((key, time, id));
                    if !self.is_present(key, time) {
                        let before = self.ordered.range(..(key, time, 0)).next_back();
                        let after = self.ordered.range((key, time, u32::MAX)..).next();
                        let neighbour = |row: &(u32, i64, u32)| (row.0 == key).then_some(row.1);
                        let (before, after) =
                            (before.and_then(neighbour), after.and_then(neighbour));
                        self.sessions.remove(key, time, before, after);
                    }
                }
                _ => {}
            }
        }
        self.emit(key, input.times[changes[0] as usize], &met, &gone, out);
        for id in met {
            let row = self.rows.get_mut(id);
            (row.before, row.met) = (row.count, false);
            if row.count == 0 {
                self.rows.unlink(id);
                released.push(id);
            }
        }
    }

    fn is_present(&self, key: u32, time: i64) -> bool {
        self.ordered.range((key, time, 0)..=(key, time, u32::MAX)).next().is_some()
    }

    /// The rows of the sessions that the turn changed, and the changes within others.
    fn emit(
        &mut self,
        key: u32,
        time: u64,
        met: &[u32],
        gone: &BTreeSet<(u32, i64, u32)>,
        out: &mut Emission,
    ) {
        let (replaced, made) = self.sessions.changed();
        for (&(_, start), &last) in &replaced {
            let range = (key, start, 0)..=(key, last, u32::MAX);
            for &(_, _, id) in self.ordered.range(range.clone()).chain(gone.range(range)) {
                let row = self.rows.get(id);
                let before = if row.met { row.before } else { row.count };
                out.push(id, start, last + self.gap, time, -before);
            }
        }
        for (&(_, start), &last) in &made {
            for &(_, _, id) in self.ordered.range((key, start, 0)..=(key, last, u32::MAX)) {
                out.push(id, start, last + self.gap, time, self.rows.get(id).count);
            }
        }
        for &id in met {
            let row = self.rows.get(id);
            let change = row.count - row.before;
            let covered = |sessions| containing(sessions, key, row.time).is_some();
            if change != 0 && !covered(&replaced) && !covered(&made) {
                let session = containing(&self.sessions.last, key, row.time);
                let (start, last) = session.expect("a row present is in a session");
                out.push(id, start, last + self.gap, time, change);
            }
        }
    }

    fn output(&self, emission: Emission) -> Updates {
        let rows = self.rows.rows(&emission.rows, &self.input);
        let bound = |micros: Vec<i64>| {
            let zone = match self.input.field(self.time).data_type() {
                DataType::Timestamp(_, zone) => zone.clone(),
                other => unreachable!("sessions are of timestamps, not {other}"),
            };
            Arc::new(TimestampMicrosecondArray::from(micros).with_timezone_opt(zone)) as ArrayRef
        };
        let mut columns = rows.columns().to_vec();
        columns.extend([bound(emission.starts), bound(emission.ends)]);
        let data = batch_of(self.schema.clone(), columns, emission.times.len());
        Updates::new(data, emission.times, emission.diffs)
    }

    /// Forgets the keys, of those met, that have no rows left.
    fn forget(&mut self, mut keys: Vec<u32>) {
        keys.dedup();
        let range = |key| (key, i64::MIN, 0)..=(key, i64::MAX, u32::MAX);
        keys.retain(|&key| self.ordered.range(range(key)).next().is_none());
        keys.iter().for_each(|&key| self.index.unlink(key));
        self.index.release(keys);
    }
}

impl Sessions {
    /// `time`, at which the key had no row, has one now.
    fn insert(&mut self, key: u32, time: i64) {
        let before = self.last.range(..=(key, time)).next_back();
        let before = before.map(|(&(of, start), &last)| (of, start, last));
        let (mut start, mut last) = (time, time);
        if let Some((of, first, end)) = before
            && of == key
            && end + self.gap >= time
        {
            if end > time {
                return;
            }
            start = first;
            self.unmake(key, first);
        }
        let after = self.last.range((key, time)..).next();
        let after = after.map(|(&(of, start), &last)| (of, start, last));
        if let Some((of, first, end)) = after
            && of == key
            && time + self.gap >= first
        {
            last = end;
            self.unmake(key, first);
        }
        self.make(key, start, last);
    }

    /// `time` has no row of the key any more; the key's next rows are at `before` and `after`.
    fn remove(&mut self, key: u32, time: i64, before: Option<i64>, after: Option<i64>) {
        let (start, last) =
            containing(&self.last, key, time).expect("a row present is in a session");
        let before = before.filter(|&before| before >= start);
        let after = after.filter(|&after| after <= last);
        match (before, after) {
            (Some(before), Some(after)) if before + self.gap >= after => {}
            (before, after) => {
                self.unmake(key, start);
                before.into_iter().for_each(|before| self.make(key, start, before));
                after.into_iter().for_each(|after| self.make(key, after, last));
            }
        }
    }

    fn make(&mut self, key: u32, start: i64, last: i64) {
        self.last.insert((key, start), last);
        self.made.insert((key, start), last);
    }

    fn unmake(&mut self, key: u32, start: i64) {
        let last = self.last.remove(&(key, start)).expect("the session is there");
        if self.made.remove(&(key, start)).is_none() {
            self.replaced.insert((key, start), last);
        }
    }

    /// The sessions that the turn replaced and made, without those that came back as they were.
    fn changed(&mut self) -> (Spans, Spans) {
        let mut replaced = std::mem::take(&mut self.replaced);
        let mut made = std::mem::take(&mut self.made);
        replaced.retain(|session, last| match made.get(session) == Some(last) {
            true => made.remove(session).is_none(),
            false => true,
        });
        (replaced, made)
    }
}

/// First and last time of the session, of these, that `time` lies in.
fn containing(sessions: &Spans, key: u32, time: i64) -> Option<(i64, i64)> {
    let (&(of, start), &last) = sessions.range(..=(key, time)).next_back()?;
    (of == key && time <= last).then_some((start, last))
}

impl Emission {
    fn push(&mut self, row: u32, start: i64, end: i64, time: u64, diff: i64) {
        if diff == 0 {
            return;
        }
        self.rows.push(row);
        self.starts.push(start);
        self.ends.push(end);
        self.times.push(time);
        self.diffs.push(diff);
    }
}

fn event_times(input: &Updates, column: usize) -> &TimestampMicrosecondArray {
    input.data.column(column).as_primitive::<TimestampMicrosecondType>()
}

impl Operator for Session {
    fn step(&mut self, context: &StepContext<'_>, inputs: Vec<Updates>) -> Updates {
        let [input] = <[Updates; 1]>::try_from(inputs).expect("one input");
        let input = self.placed(context, input);
        let keys = self.codec.encode(&columns_at(&input.data, &self.keys), input.len());
        let keys: Vec<u32> =
            (0..input.len()).map(|row| self.index.get_or_insert(keys.key(row)).0).collect();
        let rows = self.rows.encode(&input.data);
        let turn = |&row: &u32| (keys[row as usize], input.times[row as usize]);
        let mut order: Vec<u32> = (0..input.len() as u32).collect();
        order.sort_by_key(turn);
        let (mut out, mut released) = (Emission::default(), Vec::new());
        for changes in order.chunk_by(|a, b| turn(a) == turn(b)) {
            let key = keys[changes[0] as usize];
            self.turn(key, changes, &input, &rows, &mut out, &mut released);
        }
        let out = self.output(out);
        // Only now: what was emitted is decoded from the rows themselves.
        self.rows.release(released);
        self.forget(order.iter().map(|&row| keys[row as usize]).collect());
        out
    }

    fn state(&self) -> StateSize {
        self.rows.size() + StateSize { rows: 0, ..self.index.size() }
    }
}

#[cfg(test)]
mod tests;
