//! Recursive: WITH RECURSIVE, kept.
//!
//! Law      out(t) is the least R with R = base(t) ∪ step(R, t), of sets (UNION) or of multisets
//!          (UNION ALL); rows that only support each other are not in it. Where it has no end, it
//!          is empty and reported
//! Delta    at each time, first every row that lost support leaves R, with what it supported; then
//!          every row whose support is more than its part of R comes in, with what it supports
//! State    R and the support of each row; what the operators of the step keep
//! Errors   those of the step, of rows that are in R. A recursion of more than [`ROUNDS_MAX`]
//!          rounds, [`ROWS_MAX`] rows or [`COUNT_MAX`] equal rows at one time is reported as a row
//!          of no columns, until a change that takes support away, or time, lets it end; nothing
//!          else can
//!
//! Delete and rederive: Gupta, Mumick, Subrahmanian, "Maintaining Views Incrementally", SIGMOD 1993.
//! With the step linear in R, a derivation that is lost is seen as a retraction of the step, even
//! where another derivation of the same row comes in its place. So what is left after the first
//! part was derived before and still is, from the base on; the second is the usual iteration up
//! from it. Taking out more than was needed costs time alone.

use std::fmt;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};

use super::nested::Nested;
use super::{Operator, StateSize, StepContext};
use crate::dataflow::statistics::Step;
use crate::plan::{InputPlan, Plan};
use crate::quarantine::Quarantine;
use crate::state::consolidate::consolidate;
use crate::state::key_index::normalize_floats;
use crate::state::row_set::RowSet;
use crate::time::{CollectionId, Timestamp};
use crate::updates::{Updates, batch_of};

/// A recursion that takes more rounds at one time has no end.
const ROUNDS_MAX: usize = if cfg!(test) { 200 } else { 100_000 };
/// One that derives more rows at one time, neither.
const ROWS_MAX: usize = 10_000_000;
/// One that has a row more often, neither.
const COUNT_MAX: i64 = 1 << 31;

/// What a recursion without end is reported as.
pub(crate) const ENDLESS: &str = "recursion does not end";

/// What was decided. `step` reads R as `Plan::Input` with id `itself`; it is monotone in R and
/// refers to it once: between R and it stand filters (of now() too), projections, unions, unnests,
/// inner joins, and left, semi and anti joins that have it on their left.
#[derive(Clone, Debug)]
pub struct RecursivePlan {
    pub itself: CollectionId,
    pub base: Plan,
    pub step: Plan,
    /// UNION: each row once.
    pub distinct: bool,
    /// Of base and step.
    pub schema: SchemaRef,
}

impl fmt::Display for RecursivePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recursive #{}{}", self.itself.0, if self.distinct { " distinct" } else { "" })
    }
}

/// A recursion's parts.
pub(crate) struct Cut {
    /// The base, then what the step reads that doesn't depend on R.
    pub inputs: Vec<CutInput>,
    /// The rest of the step, over `Plan::Input`s: R is 0, the inputs are their numbers.
    pub step: Plan,
    /// Where in the recursion's printed plan each operator of `step` stands, in its own order.
    pub places: Vec<usize>,
}

/// What a recursion reads.
pub(crate) struct CutInput {
    pub plan: Plan,
    /// Where in the recursion's printed plan it stands; the recursion itself is at 0.
    pub place: usize,
}

impl RecursivePlan {
    /// Cuts off what doesn't depend on R, to be kept once and outside.
    pub(crate) fn cut(&self) -> Cut {
        let base = CutInput { plan: self.base.clone(), place: 1 };
        let (mut inputs, mut places) = (vec![base], vec![]);
        let step = 1 + self.base.operators();
        let step = self.cut_off(&self.step, step, &mut inputs, &mut places);
        Cut { inputs, step, places }
    }

    fn cut_off(
        &self,
        plan: &Plan,
        place: usize,
        inputs: &mut Vec<CutInput>,
        places: &mut Vec<usize>,
    ) -> Plan {
        places.push(place);
        let number = match plan {
            Plan::Input(input) if input.id == self.itself => 0,
            _ if plan.reads().contains(&self.itself) => {
                let mut plan = plan.clone();
                let mut place = place + 1;
                for input in plan.inputs_mut() {
                    let operators = input.operators();
                    *input = self.cut_off(input, place, inputs, places);
                    place += operators;
                }
                return plan;
            }
            _ => {
                inputs.push(CutInput { plan: plan.clone(), place });
                inputs.len() - 1
            }
        };
        Plan::Input(InputPlan {
            id: CollectionId(number as u64),
            schema: plan.schema(),
            append_only: false,
            arrived_at: false,
            versions: false,
        })
    }
}

/// A row and its support.
#[derive(Clone, Copy, Default)]
struct Row {
    /// How often the base has it.
    base: i64,
    /// How often the step, over R as it was fed, gives it.
    derived: i64,
    /// How often it is in R as the step knows it; never below 0.
    fed: i64,
    /// How often it is in the output.
    published: i64,
    /// How much support it lost since it was last looked at.
    lost: i64,
    /// Whether the time in progress has met it.
    met: bool,
}

/// What runs. It stands on one worker: R is one.
pub(crate) struct Recursive {
    distinct: bool,
    schema: SchemaRef,
    step: Nested,
    places: Vec<usize>,
    rows: RowSet<Row>,
    /// Whether the recursion has no end as of now; R is empty then.
    endless: bool,
    /// When a row, of those it was given up with, changes with time alone: it may end then.
    retry_time: Option<u64>,
    /// What the step reports while R is on its way.
    reports: Quarantine,
    /// Rows whose support changed since R was last brought up to it.
    changed: Vec<u32>,
    /// Rows that lost support since then.
    losing: Vec<u32>,
    /// Rows that the time in progress has met.
    met: Vec<u32>,
}

/// Rows of state, to emit or to feed.
#[derive(Default)]
struct Emission {
    rows: Vec<u32>,
    times: Vec<u64>,
    diffs: Vec<i64>,
}

impl Recursive {
    pub fn new(plan: &RecursivePlan, cut: &Cut) -> Self {
        Recursive {
            distinct: plan.distinct,
            schema: plan.schema.clone(),
            step: Nested::new(&cut.step),
            places: cut.places.clone(),
            rows: RowSet::new(&plan.schema),
            endless: false,
            retry_time: None,
            reports: Quarantine::default(),
            changed: vec![],
            losing: vec![],
            met: vec![],
        }
    }

    /// Brings R to the one time of the step. `inputs` are the changes of that time.
    fn bring_to(&mut self, context: &StepContext<'_>, mut inputs: Vec<Updates>) {
        let mut diffs = inputs.iter().flat_map(|input| input.diffs.iter());
        let due = self.retry_time.is_some_and(|time| time <= context.lower);
        let may_end = !self.endless || due || diffs.any(|&diff| diff < 0);
        let base = std::mem::take(&mut inputs[0]);
        self.support(base, true);
        self.feed(context, None, inputs);
        self.take_out(context);
        if self.endless {
            self.changed.clear();
        }
        if self.endless && may_end {
            self.changed = self.present();
            self.changed.clone().into_iter().for_each(|id| self.meet(id));
        }
        let ended = may_end && self.bring_in(context);
        if may_end {
            self.retry_time = self.step.next_time().filter(|_| !ended);
        }
        if may_end && !ended {
            self.empty(context);
        }
        for id in self.losing.drain(..) {
            self.rows.get_mut(id).lost = 0;
        }
        if ended == self.endless {
            self.endless = !ended;
            let time = Timestamp(context.lower);
            let diff = if ended { -1 } else { 1 };
            let row = batch_of(Schema::empty().into(), vec![], 1);
            self.reports.record(context.view, "Recursive", &row, ENDLESS, time, diff);
        }
    }

    /// Takes every row out of R that lost support, and what loses support by that.
    fn take_out(&mut self, context: &StepContext<'_>) {
        loop {
            let mut out = Emission::default();
            for id in std::mem::take(&mut self.losing) {
                let row = self.rows.get_mut(id);
                let lost = std::mem::take(&mut row.lost);
                let diff = match self.distinct {
                    true if row.base > 0 => 0,
                    true => row.fed,
                    false => lost.min(row.fed),
                };
                row.fed -= diff;
                out.push(id, context.lower, -diff);
            }
            if out.rows.is_empty() {
                return;
            }
            self.feed(context, Some(out), vec![]);
        }
    }

    /// Brings every row into R that has the support, and what has it by that. Whether it ended.
    fn bring_in(&mut self, context: &StepContext<'_>) -> bool {
        let mut derived = 0;
        for round in 0.. {
            let mut more = Emission::default();
            let mut within = round < ROUNDS_MAX;
            for id in std::mem::take(&mut self.changed) {
                let row = self.rows.get_mut(id);
                let count = match self.distinct {
                    true => i64::from(row.base + row.derived > 0),
                    false => row.base + row.derived,
                };
                within &= count <= COUNT_MAX;
                let diff = (count - row.fed).max(0);
                row.fed += diff;
                more.push(id, context.lower, diff);
            }
            if more.rows.is_empty() {
                break;
            }
            if round > 0 {
                derived += more.rows.len();
            }
            if !within || derived > ROWS_MAX {
                // The step has not been told of these.
                for (&id, &diff) in more.rows.iter().zip(&more.diffs) {
                    self.rows.get_mut(id).fed -= diff;
                }
                return false;
            }
            self.feed(context, Some(more), vec![]);
        }
        true
    }

    /// Takes all of R back.
    fn empty(&mut self, context: &StepContext<'_>) {
        let mut out = Emission::default();
        for id in self.present() {
            self.meet(id);
            let row = self.rows.get_mut(id);
            out.push(id, context.lower, -std::mem::take(&mut row.fed));
        }
        self.feed(context, Some(out), vec![]);
        self.changed.clear();
    }

    /// The rows with support or a part in R.
    fn present(&self) -> Vec<u32> {
        let is_present = |&id: &u32| {
            let row = self.rows.get(id);
            row.base != 0 || row.derived != 0 || row.fed != 0
        };
        (0..self.rows.id_limit() as u32).filter(is_present).collect()
    }

    /// Gives the step changes of R, and of its other inputs; what it makes of them is support.
    fn feed(
        &mut self,
        context: &StepContext<'_>,
        itself: Option<Emission>,
        mut inputs: Vec<Updates>,
    ) {
        let itself = itself.map(|emission| self.updates(emission));
        let context = StepContext { quarantine: &self.reports, ..*context };
        let derived = self.step.step(&context, &mut |id| match id.0 as usize {
            0 => itself.clone(),
            input => inputs.get_mut(input).map(std::mem::take),
        });
        self.support(derived, false);
    }

    /// Counts support that came and went.
    fn support(&mut self, updates: Updates, of_base: bool) {
        if updates.is_empty() {
            return;
        }
        let columns = updates.data.columns();
        let columns = match self.distinct {
            true => columns.iter().map(normalize_floats).collect(),
            false => columns.to_vec(),
        };
        let data = batch_of(self.schema.clone(), columns, updates.len());
        let keys = self.rows.encode(&data);
        for (number, &diff) in updates.diffs.iter().enumerate() {
            let (id, _) = self.rows.get_or_insert(keys.key(number), Row::default);
            self.meet(id);
            let row = self.rows.get_mut(id);
            match of_base {
                true => row.base += diff,
                false => row.derived += diff,
            }
            if diff < 0 {
                if row.lost == 0 {
                    self.losing.push(id);
                }
                row.lost -= diff;
            }
            self.changed.push(id);
        }
    }

    fn meet(&mut self, id: u32) {
        if !std::mem::replace(&mut self.rows.get_mut(id).met, true) {
            self.met.push(id);
        }
    }

    /// Emits what the time in progress made of R, and forgets the rows that are nowhere any more.
    fn publish(&mut self, time: u64, out: &mut Emission, released: &mut Vec<u32>) {
        for id in std::mem::take(&mut self.met) {
            let row = self.rows.get_mut(id);
            row.met = false;
            out.push(id, time, row.fed - row.published);
            row.published = row.fed;
            if row.base == 0 && row.derived == 0 && row.fed == 0 {
                self.rows.unlink(id);
                released.push(id);
            }
        }
    }

    fn updates(&self, emission: Emission) -> Updates {
        let data: RecordBatch = self.rows.rows(&emission.rows, &self.schema);
        Updates::new(data, emission.times, emission.diffs)
    }
}

impl Emission {
    fn push(&mut self, row: u32, time: u64, diff: i64) {
        if diff != 0 {
            self.rows.push(row);
            self.times.push(time);
            self.diffs.push(diff);
        }
    }
}

impl Operator for Recursive {
    fn step(&mut self, context: &StepContext<'_>, inputs: Vec<Updates>) -> Updates {
        let mut inputs: Vec<Updates> = inputs.into_iter().map(consolidate).collect();
        let (mut out, mut released) = (Emission::default(), Vec::new());
        loop {
            let next = inputs.iter().filter_map(|input| input.times.first().copied());
            let next = next.chain(self.next_time()).min();
            let Some(time) = next.filter(|&time| time < context.upper) else { break };
            let now = StepContext { lower: time, upper: time + 1, ..*context };
            let due = inputs.iter_mut().map(|input| take_first(input, time)).collect();
            self.bring_to(&now, due);
            self.publish(time, &mut out, &mut released);
            context.quarantine.absorb(&self.reports);
        }
        let out = self.updates(out);
        // Only now: what was emitted is decoded from the rows themselves.
        self.rows.release(released);
        out
    }

    fn next_time(&self) -> Option<u64> {
        self.step.next_time().into_iter().chain(self.retry_time).min()
    }

    fn state(&self) -> StateSize {
        self.rows.size()
    }

    fn take_steps(&mut self, found: &mut dyn FnMut(usize, Step)) {
        let places = &self.places;
        self.step.take_steps(&mut |place, step| found(places[place], step));
    }
}

/// Takes the updates of `time` from the front of `updates`, which are in order of time.
fn take_first(updates: &mut Updates, time: u64) -> Updates {
    let rows = updates.times.partition_point(|&other| other <= time);
    let first = updates.slice(0, rows);
    *updates = updates.slice(rows, updates.len() - rows);
    first
}

#[cfg(test)]
mod tests;
