//! Window: each row with the values of functions over its partition.
//!
//! Law      out(t) = { (r, f1(r), …, fn(r)) : r in in(t) }, where f is computed over r's partition
//!          of in(t), in `order` completed by `tie_break`, over the frame of r
//! Delta    the rows whose values changed. Which rows to look at is known from where the change is
//!          (`reach`); they are computed as before and as after it, and compared
//! State    all rows, in order; of sums over a frame with an unbounded end the state of a frame for
//!          each partition, over the whole partition its state. Values are not kept
//! Errors   a row with a call whose value is an error leaves the output and is reported
//!
//! What a change in a partition of n rows costs, beside the rows that it changes, by the kind of
//! call (rows looked at; each costs O(log n), and what its own frame costs):
//!
//! - `row_number`, `rank`, `dense_rank`: those that change. Ties cost nothing, and nothing behind
//!   a row that takes another one's place
//! - `percent_rank`, `cume_dist`: the same while n stays; else all n, whose values change
//! - `ntile` of b: the rows between where its buckets begin before and after, found by b searches;
//!   with so many buckets that they have few rows, n
//! - `lag`, `lead`: as many as the greatest offset ever seen; past NULLs with IGNORE NULLS
//! - `first_value`, `last_value`: those that change, or that had to look at its place; with IGNORE
//!   NULLS also the NULLs between, with EXCLUDE those that exclude the row before (or behind) it.
//!   With IGNORE NULLS over RANGE with an offset or a frame without its row, and `nth_value`:
//!   those with the change in their frame
//! - `min`, `max`, `bool_and`, `bool_or`, `min_by`, `max_by`: those that change, over any frame but
//!   one that is bounded in rows or groups on both sides; with EXCLUDE also those that exclude the
//!   nearest row that counts as much
//! - other aggregates over a bounded frame of at most w rows: the ≤ w rows with the change in
//!   theirs, and the 2w rows of their frames; each goes into and out of the one state once
//! - other aggregates from or to the partition's edge: the rows behind (or before) the change,
//!   whose values change unless it does not count, and those between it and where the last change
//!   was, if it was nearer the other edge. A row at the end of a running sum costs O(log n)
//! - aggregates over the whole partition: none while the value stays, else all n
//!
//! As soon as one time brings more changes than there are rows, all are computed anew.

use std::cmp::Ordering;
use std::fmt;

use arrow::array::{UInt32Array, make_comparator};
use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;

use self::call::Call;
use self::evaluate::Evaluation;
use self::look::{Intervals, Partition, Span};
use self::places::Before;
use self::reach::{Around, Reach};
use self::trailer::{Trailer, number};
use super::{Operator, StateSize, StepContext};
use crate::aggregate::{AggregateFunction, Order, Run, Swept};
use crate::checkpoint::record::{Changed, Copied, Cursor, Kept, Stored};
use crate::plan::{AggregateCall, Plan, SortKey, listed};
use crate::state::sorted_rows::{Change, SortedRows};
use crate::updates::Updates;

mod call;
mod evaluate;
mod frame;
mod look;
mod places;
mod range;
mod reach;
mod sliding;
mod trailer;

pub use self::range::range_offset_defined;

/// So many looked-at rows become values together; a time of a partition is not cut.
const ENTRIES: usize = 1 << 16;

/// What was decided: one partition and order, and the calls over it.
#[derive(Clone, Debug)]
pub struct WindowPlan {
    pub input: Plan,
    pub partition: Vec<usize>,
    /// ORDER BY as written: rows equal in it are peers.
    pub order: Vec<SortKey>,
    /// The remaining columns, which make the order total (S9).
    pub tie_break: Vec<SortKey>,
    pub calls: Vec<WindowCall>,
    /// The input's columns, then one a call.
    pub schema: SchemaRef,
}

/// One call of a function over a window.
#[derive(Clone, Debug)]
pub struct WindowCall {
    pub function: WindowFunction,
    /// Columns of the input. Of `lag` and `lead`: value, offset (bigint), default, all three there;
    /// of `nth_value`: value, n; of `ntile`: n.
    pub arguments: Vec<usize>,
    /// Of aggregates: constants behind the arguments.
    pub parameters: Vec<ScalarValue>,
    /// FILTER (WHERE …), of aggregates: a boolean column of the input.
    pub filter: Option<usize>,
    pub frame: Frame,
    /// IGNORE NULLS.
    pub ignore_nulls: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum WindowFunction {
    RowNumber,
    Rank,
    DenseRank,
    PercentRank,
    CumeDist,
    Ntile,
    Lag,
    Lead,
    FirstValue,
    LastValue,
    NthValue,
    Aggregate(&'static dyn AggregateFunction),
}

/// The rows of the partition that a row's aggregates and first, last and nth values see.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    pub units: FrameUnits,
    pub start: FrameBound,
    pub end: FrameBound,
    pub exclude: Exclude,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameUnits {
    Rows,
    Range,
    Groups,
}

/// An offset is a bigint for ROWS and GROUPS; for RANGE of the type that is added to the one order
/// column: its own, or an interval. Never negative, never NULL.
#[derive(Clone, Debug, PartialEq)]
pub enum FrameBound {
    UnboundedPreceding,
    Preceding(ScalarValue),
    CurrentRow,
    Following(ScalarValue),
    UnboundedFollowing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exclude {
    NoOthers,
    CurrentRow,
    Group,
    Ties,
}

impl WindowPlan {
    /// The aggregate that a call of it is over the rows of a frame, if it is one. What depends on
    /// an order has the window's.
    pub(crate) fn aggregate_of(&self, call: &WindowCall) -> Option<AggregateCall> {
        let WindowFunction::Aggregate(function) = call.function else { return None };
        let order_by = match function.order() {
            Order::Free => self.order.iter().chain(&self.tie_break).copied().collect(),
            Order::Indifferent | Order::WithinGroup => vec![],
        };
        let aggregate = AggregateCall::new(function, call.arguments.clone(), call.filter);
        Some(AggregateCall { parameters: call.parameters.clone(), order_by, ..aggregate })
    }
}

impl WindowFunction {
    /// Its SQL name.
    pub fn name(&self) -> &'static str {
        match self {
            WindowFunction::RowNumber => "row_number",
            WindowFunction::Rank => "rank",
            WindowFunction::DenseRank => "dense_rank",
            WindowFunction::PercentRank => "percent_rank",
            WindowFunction::CumeDist => "cume_dist",
            WindowFunction::Ntile => "ntile",
            WindowFunction::Lag => "lag",
            WindowFunction::Lead => "lead",
            WindowFunction::FirstValue => "first_value",
            WindowFunction::LastValue => "last_value",
            WindowFunction::NthValue => "nth_value",
            WindowFunction::Aggregate(function) => function.name(),
        }
    }
}

impl fmt::Display for WindowPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.input.schema();
        let partition = self.partition.iter().map(|&key| schema.field(key).name());
        let order = self.order.iter().map(|key| key.display(&schema));
        write!(f, "Window partition=[{}] order=[{}]", listed(partition), listed(order))?;
        if !self.tie_break.is_empty() {
            let ties = self.tie_break.iter().map(|key| key.display(&schema));
            write!(f, " ties=[{}]", listed(ties))?;
        }
        let calls = self.calls.iter().map(|call| {
            let arguments = call.arguments.iter().map(|&column| schema.field(column).name());
            format!("{}({}) {}", call.function.name(), listed(arguments), call.frame)
        });
        write!(f, " calls=[{}]", listed(calls))
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = match self.units {
            FrameUnits::Rows => "rows",
            FrameUnits::Range => "range",
            FrameUnits::Groups => "groups",
        };
        write!(f, "{units} {} to {}", self.start, self.end)?;
        match self.exclude {
            Exclude::NoOthers => Ok(()),
            Exclude::CurrentRow => write!(f, " without the row"),
            Exclude::Group => write!(f, " without its peers and itself"),
            Exclude::Ties => write!(f, " without its peers"),
        }
    }
}

impl fmt::Display for FrameBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameBound::UnboundedPreceding => write!(f, "unbounded preceding"),
            FrameBound::Preceding(offset) => write!(f, "{offset} preceding"),
            FrameBound::CurrentRow => write!(f, "current row"),
            FrameBound::Following(offset) => write!(f, "{offset} following"),
            FrameBound::UnboundedFollowing => write!(f, "unbounded following"),
        }
    }
}

/// What runs.
pub(crate) struct Window {
    rows: SortedRows,
    trailer: Trailer,
    calls: Vec<Call>,
    reaches: Vec<Reach>,
    /// Of lag and lead: the least and the greatest offset that a row ever had.
    offsets: Vec<(i64, i64)>,
    changed_offsets: Changed,
    evaluation: Evaluation,
    schema: SchemaRef,
    /// How many rows were looked at, after changes.
    #[cfg(test)]
    looked: usize,
}

/// The values of whole-partition aggregates before and after each time of each partition.
struct Whole {
    swept: Vec<Option<Swept>>,
    /// Whether one of them changes.
    changed: Vec<bool>,
}

/// The family of the offsets.
const OFFSETS: usize = SortedRows::FAMILIES;

impl Window {
    pub fn new(plan: &WindowPlan) -> Self {
        let mut trailer = Trailer::default();
        let calls: Vec<Call> =
            plan.calls.iter().map(|call| Call::new(plan, call, &mut trailer)).collect();
        let mut reaches: Vec<Reach> = Vec::new();
        for reach in calls.iter().enumerate().filter_map(|(i, call)| call.reach(i)) {
            if !reaches.contains(&reach) {
                reaches.push(reach);
            }
        }
        let schema = plan.input.schema();
        let (order, ties) = (&plan.order, &plan.tie_break);
        Window {
            rows: SortedRows::new(
                &schema,
                &plan.partition,
                order,
                ties,
                trailer.measures(),
                trailer.bytes(),
            ),
            trailer,
            offsets: vec![(0, 0); calls.len()],
            changed_offsets: Changed::default(),
            evaluation: Evaluation::new(calls.len()),
            calls,
            reaches,
            schema: plan.schema.clone(),
            #[cfg(test)]
            looked: 0,
        }
    }

    fn widen_offsets(&mut self, trailers: &[u8]) {
        self.changed_offsets.mark(0);
        for (call, seen) in self.calls.iter().zip(&mut self.offsets) {
            if let Call::Shift(shift) = call {
                let rows = trailers.chunks_exact(self.trailer.bytes());
                for offset in rows.filter_map(|row| number(row, shift.offset)) {
                    *seen = (seen.0.min(offset), seen.1.max(offset));
                }
            }
        }
    }

    /// Sweeps the aggregates over whole partitions: they need no order.
    fn whole(&mut self, input: &Updates, changes: &[Change], runs: &[Run]) -> Whole {
        let mut changed = vec![false; runs.len()];
        let diffs: Vec<i64> = changes.iter().map(|change| change.units).collect();
        let rows: UInt32Array = changes.iter().map(|change| change.input_row).collect();
        let partitions = self.rows.partition_limit();
        let mut sweep = |call: &mut Call| {
            let Call::Whole(frames) = call else { return None };
            let swept = frames.sweep(input.data.columns(), &rows, &diffs, runs, partitions);
            let compare = make_comparator(&swept.before, &swept.after, Default::default())
                .expect("values of aggregates are comparable");
            for (run, changed) in changed.iter_mut().enumerate() {
                *changed |= compare(run, run) != Ordering::Equal;
            }
            for (run, _) in swept.before_errors.iter().chain(&swept.after_errors) {
                changed[*run as usize] = true;
            }
            Some(swept)
        };
        let swept = self.calls.iter_mut().map(&mut sweep).collect();
        Whole { swept, changed }
    }

    /// Applies the changes of one partition at one time, number `number` of the step, and looks at
    /// the rows that they may change.
    fn apply(&mut self, changes: &[Change], number: usize, whole_changed: bool) {
        let Change { partition, time, .. } = changes[0];
        let total = self.rows.tree.total(self.rows.root(partition));
        let all = whole_changed || changes.len() as i64 >= total;
        let spans = if all { None } else { self.spans(changes) };
        let spans = spans.unwrap_or_else(|| vec![(None, None)]);

        let start = self.evaluation.len();
        self.look(partition, &spans, 0, number);
        let middle = self.evaluation.len();
        for change in changes {
            for call in &mut self.calls {
                if let Call::Sliding { sliding, .. } = call {
                    sliding.change(&self.rows, change);
                }
            }
            self.rows.apply(change, 1);
        }
        self.look(partition, &spans, 1, number);
        for call in &mut self.calls {
            if let Call::Sliding { sliding, .. } = call {
                sliding.close(partition);
            }
        }
        #[cfg(test)]
        {
            self.looked += self.evaluation.len() - middle;
        }
        self.evaluation.pair(&self.rows, start, middle, time);
    }

    fn look(&mut self, partition: u32, spans: &[Span], side: usize, number: usize) {
        let rows = &self.rows;
        let partition = Partition { rows, id: partition, side, number };
        partition.look(spans, &mut self.calls, &mut self.evaluation);
    }

    /// The rows that the changes may change, in order and apart; `None` is all.
    fn spans(&mut self, changes: &[Change]) -> Option<Vec<Span>> {
        let mut spans: Vec<Span> =
            changes.iter().map(|change| (Some(change.row), Some(change.row))).collect();
        let buckets = self.reaches.iter().filter_map(|reach| match reach {
            Reach::Buckets(place) => Some(*place),
            _ => None,
        });
        let before = Before::new(&self.rows, changes, buckets);
        // As they will be: applied, looked at and undone, which is little beside the looking. What
        // comes first, so that what it replaces is not missed in between.
        let mut ordered: Vec<&Change> = changes.iter().collect();
        ordered.sort_by_key(|change| change.units < 0);
        let mut applied = 0;
        let mut found = Some(());
        for change in &ordered {
            found = self.reach(change, change.units, &mut spans);
            self.rows.apply(change, 1);
            applied += 1;
            found = found.and_then(|()| self.reach(change, -change.units, &mut spans));
            if found.is_none() {
                break;
            }
        }
        let found = found.and_then(|()| self.reach_of_places(&before, changes, &mut spans));
        ordered[..applied].iter().rev().for_each(|change| self.rows.apply(change, -1));
        found.map(|()| self.merged(spans))
    }

    /// Adds what a change reaches in the partition as it stands, `more` units from the other side
    /// of it; `None` if that is all of it.
    fn reach(&self, change: &Change, more: i64, spans: &mut Vec<Span>) -> Option<()> {
        let other = self.rows.tree.units(change.row) + more;
        let around = Around::new(&self.rows, change.partition, change.row, other);
        let mut found = Intervals::new(&self.rows, change.partition, spans);
        for &reach in &self.reaches {
            around.reach(reach, &self.offsets, &mut |interval| found.add(interval));
        }
        found.ended()
    }

    /// The same of all changes together, which are made: the rows that have another place.
    fn reach_of_places(
        &self,
        before: &Before,
        changes: &[Change],
        spans: &mut Vec<Span>,
    ) -> Option<()> {
        let (rows, partition) = (&self.rows, changes[0].partition);
        for &reach in &self.reaches {
            let mut bucketed = Vec::new();
            let mut found = Intervals::new(rows, partition, spans);
            let mut add = |interval| found.add(interval);
            match reach {
                Reach::Share(_) if !before.keeps_total(rows, partition) => return None,
                Reach::Places(counted) | Reach::Share(counted) => {
                    before.shifted(rows, changes, counted, &mut add);
                }
                Reach::Buckets(place) => {
                    before.rebucketed(rows, changes, place, &mut bucketed, &mut add)?;
                }
                _ => {}
            }
            found.ended()?;
            spans.extend(bucketed);
        }
        Some(())
    }

    /// In order and apart.
    fn merged(&self, mut spans: Vec<Span>) -> Vec<Span> {
        let rows = &self.rows;
        let key = |row: Option<u32>| row.map(|row| rows.key(row));
        // No first row is before all others, no last one behind.
        spans.sort_unstable_by(|a, b| key(a.0).cmp(&key(b.0)));
        let mut merged: Vec<Span> = Vec::new();
        for span in spans {
            let Some(last) = merged.last_mut() else {
                merged.push(span);
                continue;
            };
            match (key(last.1), key(span.0), key(span.1)) {
                (None, ..) => break,
                (Some(end), Some(start), _) if start > end => merged.push(span),
                (Some(end), _, next) if next.is_none_or(|next| next > end) => last.1 = span.1,
                _ => {}
            }
        }
        merged
    }

    fn flush(&mut self, context: &StepContext<'_>, whole: &Whole) -> Updates {
        let (rows, calls) = (&self.rows, &mut self.calls);
        self.evaluation.updates(context, rows, calls, &whole.swept, &self.schema)
    }

    /// Forgets what is gone after the step.
    fn forget(&mut self) {
        let partitions = self.rows.release();
        for call in &mut self.calls {
            match call {
                Call::Sliding { sliding, .. } => sliding.forget(&partitions),
                Call::Whole(frames) => {
                    partitions.iter().for_each(|&partition| frames.clear(partition));
                }
                _ => {}
            }
        }
    }
}

/// Records: the rows and their partitions, these with the states of aggregates over all of them;
/// and the offsets seen, as one record.
impl Kept for Window {
    fn families(&self) -> usize {
        SortedRows::FAMILIES + 1
    }

    fn changed(&mut self, family: usize) -> &mut Changed {
        match family {
            OFFSETS => &mut self.changed_offsets,
            _ => self.rows.changed(family),
        }
    }

    fn id_limit(&self, family: usize) -> usize {
        match family {
            OFFSETS => 1,
            _ => self.rows.id_limit(family),
        }
    }

    fn copy(&self, family: usize, id: u32, out: &mut Vec<u8>) -> Copied {
        if family == OFFSETS {
            self.offsets.put(out);
            return Copied::Record;
        }
        let copied = self.rows.copy(family, id, out);
        let whole = self.calls.iter().filter_map(Call::whole);
        match family == SortedRows::PARTITIONS && copied == Copied::Record {
            true if !whole.into_iter().all(|frames| frames.copy(id, out)) => Copied::TooLarge,
            _ => copied,
        }
    }

    fn restore(&mut self, family: usize, id: u32, record: &mut Cursor<'_>) -> Option<()> {
        if family == OFFSETS {
            self.offsets = Stored::take(record)?;
            return (self.offsets.len() == self.calls.len()).then_some(());
        }
        self.rows.restore(family, id, record)?;
        if family == SortedRows::PARTITIONS {
            let partitions = self.rows.id_limit(family);
            let mut whole = self.calls.iter_mut().filter_map(Call::whole_mut);
            whole.try_for_each(|frames| frames.restore(partitions, id, record))?;
        }
        Some(())
    }

    fn restored(&mut self) -> Option<()> {
        self.rows.restored()
    }
}

impl Operator for Window {
    fn step(&mut self, context: &StepContext<'_>, inputs: Vec<Updates>) -> Updates {
        let [input] = <[Updates; 1]>::try_from(inputs).expect("one input");
        if input.is_empty() {
            return Updates::empty(self.schema.clone());
        }
        let input = input.sorted_by_time();
        let extras = self.trailer.encode(&input.data);
        self.widen_offsets(&extras.trailers);
        let partitions = self.rows.partitions_of(&input.data);
        let changes = self.rows.changes(context, "Window", &input, &partitions, &extras);
        let mut runs: Vec<Run> = Vec::new();
        for chunk in changes.chunk_by(Change::is_beside) {
            let start = runs.last().map_or(0, |run| run.end);
            runs.push(Run { group: chunk[0].partition, start, end: start + chunk.len() as u32 });
        }
        let whole = self.whole(&input, &changes, &runs);
        let mut parts = Vec::new();
        for (number, run) in runs.iter().enumerate() {
            let chunk = &changes[run.start as usize..run.end as usize];
            self.apply(chunk, number, whole.changed[number]);
            if self.evaluation.len() >= ENTRIES {
                parts.push(self.flush(context, &whole));
            }
        }
        parts.push(self.flush(context, &whole));
        self.forget();
        Updates::concat(&self.schema, parts)
    }

    fn kept(&mut self) -> Option<&mut dyn Kept> {
        let is_kept = |call: &Call| match call {
            Call::Whole(frames) => frames.is_kept(),
            Call::Sliding { .. } => false,
            _ => true,
        };
        self.calls.iter().all(is_kept).then_some(self)
    }

    fn state(&self) -> StateSize {
        let frames = self.calls.iter().map(|call| match call {
            Call::Whole(frames) => frames.bytes(),
            Call::Sliding { sliding, .. } => sliding.bytes(),
            _ => 0,
        });
        self.rows.size() + StateSize { rows: 0, bytes: frames.sum::<usize>() as u64 }
    }
}

#[cfg(test)]
mod tests;
