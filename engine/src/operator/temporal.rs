//! Temporal: comparisons of rows with now(), kept true as time passes.
//!
//! Law      Filter: out(t) = { r in in(t) : every bound of r holds at t }
//!          Flags:  out(t) = { (r, b1(r, t), …, bn(r, t)) : r in in(t) }, NULL where r's side is
//! Delta    a bound changes at one instant of each row: a row is emitted when it arrives, and again
//!          at each of its instants, at exactly that time
//! State    the rows with an instant still to come, by content; bounded by the rows in the window
//! Errors   a row whose side of a comparison fails leaves the output and is reported

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Datum, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::compute::kernels::cmp;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::{Operator, StateSize, StepContext};
use crate::checkpoint::record::{Changed, Copied, Cursor, Kept, Stored};
use crate::expression::{Expr, RowError, evaluate};
use crate::plan::{Plan, schema_of};
use crate::state::key_index::hash_bytes;
use crate::state::row_set::RowSet;
use crate::updates::{Updates, batch_of};

/// What was decided: the comparisons with now(), and whether they filter or become columns.
#[derive(Clone, Debug)]
pub struct TemporalPlan {
    pub input: Plan,
    pub bounds: Vec<Bound>,
    pub mode: TemporalMode,
}

/// What becomes of the comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemporalMode {
    /// Rows stay while all of them hold.
    Filter,
    /// Each is a boolean column behind the input's columns.
    Flags,
}

/// One comparison `now side < value`, as the edge of an interval of time.
///
/// With g the side of now(), which never falls as t rises, and v the side of the row, let T be the
/// first t with g(t) ≥ v, or with g(t) > v where `strict`. The bound holds from T on
/// ([`Edge::From`]: `g >= v`, strict `g > v`) or until T ([`Edge::Until`]: `g < v`, strict
/// `g <= v`). So `ts > now() - w` is `Until` T = ts + w, and `ts <= now()` is `From` T = ts.
#[derive(Clone, Debug)]
pub struct Bound {
    pub edge: Edge,
    pub strict: bool,
    pub now: NowSide,
    /// The row's side, of the type of the side of now().
    pub value: Expr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    From,
    Until,
}

/// The side of a comparison that holds now().
#[derive(Clone, Debug)]
pub enum NowSide {
    /// now() plus so many microseconds; the row's side is a timestamp in µs (either kind).
    Offset(i64),
    /// Any other function of now() that never falls: an expression over one column `now`,
    /// timestamptz in µs.
    Monotone(Expr),
}

impl TemporalPlan {
    /// The input's columns, in `Flags` mode followed by a boolean for each bound.
    pub fn schema(&self) -> SchemaRef {
        let input = self.input.schema();
        match self.mode {
            TemporalMode::Filter => input,
            TemporalMode::Flags => {
                let flags = (0..self.bounds.len())
                    .map(|i| Arc::new(Field::new(format!("now_{i}"), DataType::Boolean, true)));
                Arc::new(Schema::new(
                    input.fields().iter().cloned().chain(flags).collect::<Vec<_>>(),
                ))
            }
        }
    }
}

impl fmt::Display for TemporalPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bounds: Vec<String> = self.bounds.iter().map(|bound| bound.to_string()).collect();
        write!(f, "Temporal{:?} [{}]", self.mode, bounds.join(", "))
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.now {
            NowSide::Offset(0) => write!(f, "now()")?,
            NowSide::Offset(offset) => write!(f, "now() {offset:+} us")?,
            NowSide::Monotone(expr) => write!(f, "{expr}")?,
        }
        let operator = match (self.edge, self.strict) {
            (Edge::From, false) => ">=",
            (Edge::From, true) => ">",
            (Edge::Until, false) => "<",
            (Edge::Until, true) => "<=",
        };
        write!(f, " {operator} {}", self.value)
    }
}

/// As many expiries as a step makes at most: other views wait for it meanwhile. Few in tests, so
/// that they see what happens there.
pub(crate) const STEP_EXPIRIES: usize = if cfg!(test) { 2 } else { 8 * 1024 };

/// An instant that never comes, or a bound that has no instant.
const NEVER: u64 = u64::MAX;

impl Bound {
    /// For each row of `values` the first time at which its bound changes; `None` where it is NULL.
    pub(crate) fn instants(&self, values: &ArrayRef) -> Vec<Option<u64>> {
        match &self.now {
            NowSide::Offset(offset) => {
                let micros = cast(values, &DataType::Timestamp(TimeUnit::Microsecond, None))
                    .expect("the row's side is a timestamp");
                let micros =
                    micros.as_any().downcast_ref::<TimestampMicrosecondArray>().expect("just cast");
                let strict = i128::from(self.strict);
                micros
                    .iter()
                    .map(|value| value.map(|v| clamp(v as i128 - *offset as i128 + strict)))
                    .collect()
            }
            NowSide::Monotone(expr) => search(expr, values, self.strict),
        }
    }

    /// Whether it holds at `time`, given its instant.
    pub(crate) fn holds(&self, instant: u64, time: u64) -> bool {
        match self.edge {
            Edge::From => time >= instant,
            Edge::Until => time < instant,
        }
    }
}

fn clamp(time: i128) -> u64 {
    time.clamp(0, NEVER as i128) as u64
}

/// The first t, for each value, with g(t) ≥ value (or > if `strict`), by bisection of time.
fn search(now_side: &Expr, values: &ArrayRef, strict: bool) -> Vec<Option<u64>> {
    // The largest t that a timestamp of four-digit years holds: beyond it calendars overflow.
    const LATEST: u64 = 253_402_300_799_999_999;
    let rows = values.len();
    let mut low = vec![0u64; rows];
    let mut high = vec![LATEST; rows];
    while (0..rows).any(|i| low[i] < high[i]) {
        let middle: Vec<u64> = (0..rows).map(|i| low[i] + (high[i] - low[i]) / 2).collect();
        let reached = reached(now_side, &middle, values, strict);
        for i in 0..rows {
            if low[i] >= high[i] {
                continue;
            }
            match reached.is_valid(i) && reached.value(i) {
                true => high[i] = middle[i],
                false => low[i] = middle[i] + 1,
            }
        }
    }
    let at_end = reached(now_side, &low, values, strict);
    (0..rows)
        .map(|i| match () {
            _ if values.is_null(i) => None,
            _ if at_end.is_valid(i) && at_end.value(i) => Some(low[i]),
            _ => Some(NEVER),
        })
        .collect()
}

fn reached(now_side: &Expr, times: &[u64], values: &ArrayRef, strict: bool) -> BooleanArray {
    let now = now_batch(times);
    let sides = now_side
        .evaluate(&now)
        .and_then(|value| value.into_array(times.len()))
        .expect("a function of now() that the planner accepted is total");
    let (sides, values): (&dyn Datum, &dyn Datum) = (&sides, values);
    match strict {
        true => cmp::gt(sides, values),
        false => cmp::gt_eq(sides, values),
    }
    .expect("both sides have one type")
}

/// One column `now` (timestamptz, µs) of the given times.
pub(crate) fn now_batch(times: &[u64]) -> RecordBatch {
    let ty = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
    let now: TimestampMicrosecondArray = times.iter().map(|&t| Some(t as i64)).collect();
    let now = Arc::new(now.with_timezone("+00:00"));
    batch_of(schema_of([("now", ty)]), vec![now], times.len())
}

/// When the bounds of a batch's rows change.
pub(crate) struct Instants {
    /// Bound by bound, a value for each row that has them.
    pub of_bounds: Vec<Vec<Option<u64>>>,
    /// The rows that have them; `None` = all.
    pub rows: Option<Vec<u32>>,
    errors: Vec<RowError>,
}

pub(crate) fn instants_of(bounds: &[Bound], batch: &RecordBatch) -> Instants {
    let values: Vec<Expr> = bounds.iter().map(|bound| bound.value.clone()).collect();
    let evaluated = evaluate(&values, batch);
    let of_bounds =
        bounds.iter().zip(&evaluated.columns).map(|(bound, v)| bound.instants(v)).collect();
    Instants { of_bounds, rows: evaluated.rows, errors: evaluated.errors }
}

/// What runs.
pub(crate) struct Temporal {
    bounds: Vec<Bound>,
    mode: TemporalMode,
    input_schema: SchemaRef,
    schema: SchemaRef,
    /// Rows with an instant to come; the payload is the row's instants, NULL as `NEVER` and marked.
    pending: RowSet<Pending>,
    /// (instant, row of `pending`): the next instant of each.
    schedule: BTreeSet<(u64, u32)>,
    /// Rows of `pending`.
    changed: Changed,
}

#[derive(Default)]
struct Pending {
    count: i64,
    /// The instant that it stands in the schedule with.
    next: u64,
    instants: Box<[Option<u64>]>,
}

/// Rows to emit: from the batch or from state, with flags, time and diff.
#[derive(Default)]
struct Emission {
    rows: Vec<u32>,
    flags: Vec<Vec<Option<bool>>>,
    times: Vec<u64>,
    diffs: Vec<i64>,
}

impl Emission {
    /// Nothing where there are no flags: the row is out.
    fn push(&mut self, row: u32, flags: Option<Vec<Option<bool>>>, time: u64, diff: i64) {
        let Some(flags) = flags.filter(|_| diff != 0) else { return };
        self.rows.push(row);
        self.flags.push(flags);
        self.times.push(time);
        self.diffs.push(diff);
    }
}

impl Temporal {
    pub fn new(plan: &TemporalPlan) -> Self {
        Temporal {
            bounds: plan.bounds.clone(),
            mode: plan.mode,
            input_schema: plan.input.schema(),
            schema: plan.schema(),
            pending: RowSet::new(&plan.input.schema()),
            schedule: BTreeSet::new(),
            changed: Changed::default(),
        }
    }

    /// What a row's output has behind its columns at `time`: its flags, in `Filter` mode nothing.
    /// `None` when the row is out.
    fn flags_at(&self, instants: &[Option<u64>], time: u64) -> Option<Vec<Option<bool>>> {
        let holds = |(bound, instant): (&Bound, &Option<u64>)| {
            instant.map(|instant| bound.holds(instant, time))
        };
        let mut flags = self.bounds.iter().zip(instants).map(holds);
        match self.mode {
            TemporalMode::Filter => flags.all(|flag| flag == Some(true)).then(Vec::new),
            TemporalMode::Flags => Some(flags.collect()),
        }
    }

    /// The next instant after `time` at which the row's output changes.
    fn next_instant(&self, instants: &[Option<u64>], time: u64) -> Option<u64> {
        if self.mode == TemporalMode::Filter {
            // A row that is NULL at a bound never comes in; one past an `Until` never again.
            let gone = self.bounds.iter().zip(instants).any(|(bound, instant)| match instant {
                None => true,
                Some(instant) => bound.edge == Edge::Until && *instant <= time,
            });
            if gone {
                return None;
            }
        }
        instants.iter().flatten().copied().filter(|&i| i > time && i != NEVER).min()
    }

    /// Emits what changes by time alone up to and including `time`.
    fn expire(&mut self, time: u64, out: &mut Emission, released: &mut Vec<u32>) {
        self.expire_some(time, usize::MAX, out, released);
    }

    /// The same of at most `most` rows.
    fn expire_some(&mut self, time: u64, most: usize, out: &mut Emission, released: &mut Vec<u32>) {
        for _ in 0..most {
            let Some(&(instant, row)) = self.schedule.first() else { break };
            if instant > time {
                break;
            }
            self.schedule.pop_first();
            self.changed.mark(row);
            let Pending { count, instants, .. } = self.pending.get(row);
            let (before, after) =
                (self.flags_at(instants, instant - 1), self.flags_at(instants, instant));
            let (count, next) = (*count, self.next_instant(instants, instant));
            if before != after {
                out.push(row, before, instant, -count);
                out.push(row, after, instant, count);
            }
            match next {
                Some(next) => {
                    self.schedule.insert((next, row));
                    self.pending.get_mut(row).next = next;
                }
                None => {
                    self.pending.unlink(row);
                    released.push(row);
                }
            }
        }
    }

    /// The instant of the row that is due after `rows` others.
    fn instant(&self, rows: usize) -> Option<u64> {
        self.schedule.iter().nth(rows).map(|&(instant, _)| instant)
    }

    /// Remembers `diff` more of a row that has an instant to come.
    fn remember(
        &mut self,
        key: (u64, &[u8]),
        instants: &[Option<u64>],
        next: u64,
        diff: i64,
        released: &mut Vec<u32>,
    ) {
        let (row, new) = self.pending.get_or_insert(key, || Pending {
            count: 0,
            next,
            instants: instants.into(),
        });
        self.changed.mark(row);
        let pending = self.pending.get_mut(row);
        pending.count += diff;
        if pending.count == 0 {
            self.pending.unlink(row);
            self.schedule.remove(&(next, row));
            released.push(row);
        } else if new {
            self.schedule.insert((next, row));
        }
    }

    fn output(&self, input: &RecordBatch, fresh: Emission, stored: Emission) -> Updates {
        let from_batch = crate::updates::take_rows(input, &fresh.rows);
        let from_state = self.pending.rows(&stored.rows, &input.schema());
        let parts = [(from_batch, fresh), (from_state, stored)];
        let parts = parts.into_iter().map(|(data, emission)| {
            let mut columns = data.columns().to_vec();
            if self.mode == TemporalMode::Flags {
                columns.extend((0..self.bounds.len()).map(|i| {
                    let flags: BooleanArray = emission.flags.iter().map(|flags| flags[i]).collect();
                    Arc::new(flags) as ArrayRef
                }));
            }
            let data = batch_of(self.schema.clone(), columns, emission.times.len());
            Updates::new(data, emission.times, emission.diffs)
        });
        Updates::concat(&self.schema, parts.collect())
    }
}

/// A record a row with an instant to come: that instant, how often the row is there, all instants.
impl Kept for Temporal {
    fn families(&self) -> usize {
        1
    }

    fn changed(&mut self, _family: usize) -> &mut Changed {
        &mut self.changed
    }

    fn id_limit(&self, _family: usize) -> usize {
        self.pending.id_limit()
    }

    fn copy(&self, _family: usize, row: u32, out: &mut Vec<u8>) -> Copied {
        let Some((bytes, pending)) = self.pending.linked(row) else { return Copied::Gone };
        pending.next.put(out);
        pending.count.put(out);
        pending.instants.to_vec().put(out);
        out.extend_from_slice(bytes);
        Copied::Record
    }

    fn restore(&mut self, _family: usize, row: u32, record: &mut Cursor<'_>) -> Option<()> {
        let (next, count) = Stored::take(record)?;
        let instants: Vec<Option<u64>> = Stored::take(record)?;
        if instants.len() != self.bounds.len() {
            return None;
        }
        self.schedule.insert((next, row));
        let pending = Pending { count, next, instants: instants.into() };
        self.pending.restore(row, (hash_bytes(record.0), record.0), pending)
    }

    fn restored(&mut self) -> Option<()> {
        self.pending.restored();
        Some(())
    }
}

impl Operator for Temporal {
    fn step(&mut self, context: &StepContext<'_>, inputs: Vec<Updates>) -> Updates {
        let [input] = <[Updates; 1]>::try_from(inputs).expect("one input");
        let input = input.sorted_by_time();
        let instants = instants_of(&self.bounds, &input.data);
        context.report_rows("Temporal", &input, &instants.errors);
        let input = match instants.rows {
            Some(rows) => input.take(&rows),
            None => input,
        };

        let keys = self.pending.encode(&input.data);
        let (mut fresh, mut stored) = (Emission::default(), Emission::default());
        let mut released = Vec::new();
        for i in 0..input.len() {
            let (time, diff) = (input.times[i], input.diffs[i]);
            self.expire(time, &mut stored, &mut released);
            let of_row: Vec<Option<u64>> =
                instants.of_bounds.iter().map(|bound| bound[i]).collect();
            fresh.push(i as u32, self.flags_at(&of_row, time), time, diff);
            if let Some(next) = self.next_instant(&of_row, time) {
                self.remember(keys.key(i), &of_row, next, diff, &mut released);
            }
        }
        self.expire(context.upper - 1, &mut stored, &mut released);
        let out = self.output(&input.data, fresh, stored);
        // Only now: what was emitted from state is decoded from the rows themselves.
        self.pending.release(released);
        out
    }

    fn next_time(&self) -> Option<u64> {
        self.schedule.first().map(|&(instant, _)| instant)
    }

    fn slice(&self, lower: u64, upper: u64) -> u64 {
        let Some(first) = self.next_time().filter(|&first| first < upper) else { return upper };
        match self.instant(STEP_EXPIRIES) {
            None => upper,
            // Up to it, so that its rows can be made ahead of the step that covers it.
            Some(last) if last == first => upper.min(first.max(lower + 1)),
            Some(last) => upper.min(last),
        }
    }

    fn ahead(&mut self, lower: u64) -> Option<Updates> {
        let many = self.next_time() == Some(lower) && self.instant(STEP_EXPIRIES) == Some(lower);
        many.then(|| {
            let (mut stored, mut released) = (Emission::default(), Vec::new());
            self.expire_some(lower, STEP_EXPIRIES, &mut stored, &mut released);
            let nothing = RecordBatch::new_empty(self.input_schema.clone());
            let out = self.output(&nothing, Emission::default(), stored);
            self.pending.release(released);
            out
        })
    }

    fn kept(&mut self) -> Option<&mut dyn Kept> {
        Some(self)
    }

    fn takes_parts(&self, _input: usize) -> bool {
        true
    }

    fn state(&self) -> StateSize {
        let schedule = self.schedule.len() * size_of::<(u64, u32)>();
        self.pending.size() + StateSize { rows: 0, bytes: schedule as u64 }
    }
}

#[cfg(test)]
mod tests;
