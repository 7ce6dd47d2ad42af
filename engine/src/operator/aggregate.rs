//! Aggregate: one row for each group, kept.
//!
//! Law      out(t) = { (k, f1(G), …, fn(G)) : G the rows of in(t) with key k, G not empty };
//!          without key columns the one group is there even when it is empty
//! Delta    a group that was touched: its old row out, its new row in, if they differ
//! State    one state of each function for each group present
//! Errors   a group with a function whose value is an error leaves the output and is reported

mod states;

use std::cmp::Ordering;
use std::fmt;

use arrow::array::{ArrayRef, RecordBatch, make_comparator};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::{SortOptions, interleave};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;

use self::states::States;
use super::{Operator, StateSize, StepContext};
use crate::aggregate::{
    Accumulator, AggregateFunction, CallTypes, Class, Extreme, Order, Run, RunRows, Swept,
    accumulator_of, columns_at,
};
use crate::checkpoint::record::{Changed, Copied, Cursor, Kept, Stored, put_sized};
use crate::plan::{Plan, SortKey, listed};
use crate::state::key_index::{KeyCodec, KeyIndex, hash_bytes, normalize_floats, types_of};
use crate::time::Timestamp;
use crate::updates::{Updates, batch_of, take_rows};

/// What was decided: the key columns and the functions.
#[derive(Clone, Debug)]
pub struct AggregatePlan {
    pub input: Plan,
    /// Columns of the input. NULLs are equal, −0 is 0.
    pub keys: Vec<usize>,
    pub calls: Vec<AggregateCall>,
    /// The key columns, then one column a call.
    pub schema: SchemaRef,
    /// No row of the input is ever retracted: an extremum keeps one value.
    pub append_only: bool,
}

/// One call of an aggregate function.
#[derive(Clone, Debug)]
pub struct AggregateCall {
    pub function: &'static dyn AggregateFunction,
    /// Columns of the input; none for `count(*)`.
    pub arguments: Vec<usize>,
    /// Constants behind them, as of `percentile_cont(0.5)`.
    pub parameters: Vec<ScalarValue>,
    /// Each tuple of arguments counts once.
    pub distinct: bool,
    /// ORDER BY (or WITHIN GROUP), of the functions whose value depends on it; they complete it
    /// with the arguments, ascending, NULLs last (S9).
    pub order_by: Vec<SortKey>,
    /// A boolean column of the input: FILTER (WHERE …).
    pub filter: Option<usize>,
}

impl AggregateCall {
    /// A call of columns alone.
    pub fn new(
        function: &'static dyn AggregateFunction,
        arguments: Vec<usize>,
        filter: Option<usize>,
    ) -> Self {
        let (parameters, order_by) = (vec![], vec![]);
        AggregateCall { function, arguments, parameters, distinct: false, order_by, filter }
    }

    /// The columns of the input it refers to.
    pub fn columns(&self) -> impl Iterator<Item = usize> {
        let order = self.order_by.iter().map(|key| key.column);
        self.arguments.iter().copied().chain(order).chain(self.filter)
    }

    /// The same call where the input's columns stand elsewhere.
    pub fn moved(&self, place: impl Fn(usize) -> usize) -> Self {
        let order = |key: &SortKey| SortKey { column: place(key.column), ..*key };
        AggregateCall {
            function: self.function,
            arguments: self.arguments.iter().map(|&column| place(column)).collect(),
            parameters: self.parameters.clone(),
            distinct: self.distinct,
            order_by: self.order_by.iter().map(order).collect(),
            filter: self.filter.map(&place),
        }
    }
}

impl AggregateCall {
    /// The type of its value; `None` where the function is not defined.
    pub fn return_type(&self, input: &SchemaRef) -> Option<DataType> {
        let mut types = types_of(input, &self.arguments);
        types.extend(self.parameters.iter().map(ScalarValue::data_type));
        self.function.return_type(&types)
    }

    /// Empty state for its groups.
    pub(crate) fn accumulator(&self, input: &SchemaRef, append_only: bool) -> Box<dyn Accumulator> {
        self.with_types(input, append_only, |call| accumulator_of(self.function, call))
    }

    /// Empty state for its groups whether or not it is distinct.
    fn function_state(&self, input: &SchemaRef, append_only: bool) -> Box<dyn Accumulator> {
        self.with_types(input, append_only, |call| self.function.accumulator_of(call))
    }

    /// The order of its rows, if its value is that of the least of them.
    pub(crate) fn extreme(&self, input: &SchemaRef) -> Option<Extreme> {
        self.with_types(input, false, |call| self.function.extreme(call))
    }

    fn with_types<R>(
        &self,
        input: &SchemaRef,
        append_only: bool,
        then: impl FnOnce(&CallTypes<'_>) -> R,
    ) -> R {
        let arguments = types_of(input, &self.arguments);
        let key = |key: &SortKey| {
            let options = SortOptions { descending: key.descending, nulls_first: key.nulls_first };
            (input.field(key.column).data_type().clone(), options)
        };
        let order: Vec<_> = self.order_by.iter().map(key).collect();
        let (arguments, parameters, order) = (&arguments[..], &self.parameters[..], &order[..]);
        let distinct = self.distinct;
        then(&CallTypes { arguments, parameters, order, distinct, append_only })
    }

    /// The order of the rows that its value depends on, complete.
    fn full_order(&self) -> Vec<SortKey> {
        let mut order = self.order_by.clone();
        if self.function.order() == Order::Free {
            for &argument in &self.arguments {
                if !order.iter().any(|key| key.column == argument) {
                    order.push(SortKey::ascending(argument));
                }
            }
        }
        order
    }

    /// For printing: the call over columns of `input`, and its class.
    pub fn display(&self, input: &SchemaRef) -> String {
        let name = |column: usize| input.field(column).name().clone();
        let arguments = self.arguments.iter().map(|&column| name(column));
        let arguments = arguments.chain(self.parameters.iter().map(ToString::to_string));
        let arguments = listed(arguments);
        let distinct = if self.distinct { "distinct " } else { "" };
        let mut text = format!("{}({distinct}{arguments}", self.function.name());
        let order = self.full_order();
        if !order.is_empty() {
            let order = order.iter().map(|key| key.display(input));
            text += &format!(" order by {}", listed(order));
        }
        text.push(')');
        if let Some(filter) = self.filter {
            text += &format!(" filter {}", name(filter));
        }
        format!("{text} {}", self.function.class().name())
    }
}

impl fmt::Display for AggregatePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let input = self.input.schema();
        let name = |column: &usize| input.field(*column).name().clone();
        let keys: Vec<String> = self.keys.iter().map(name).collect();
        let calls = self.calls.iter().map(|call| call.display(&input));
        write!(f, "Aggregate keys=[{}] calls=[{}]", keys.join(", "), listed(calls))
    }
}

/// No number.
const NONE: u32 = u32::MAX;

/// What runs.
pub(crate) struct Aggregate {
    keys: Vec<usize>,
    schema: SchemaRef,
    codec: KeyCodec,
    index: KeyIndex,
    /// Rows of each group; the group is there while it is not 0.
    counts: Vec<i64>,
    /// For [`Aggregate::numbered`]; [`NONE`] for every group between its calls.
    places: Vec<u32>,
    states: States,
    /// Whether what a part of a time costs follows the part.
    takes_parts: bool,
    /// The one group of an aggregate without keys still has to be made, on this worker.
    global_row_due: bool,
    /// Groups.
    changed: Changed,
}

/// The runs of a step: what happened to each group at each time.
struct Runs {
    rows: RowsOfRuns,
    runs: Vec<Run>,
    /// Whether the group is there before and after each run.
    before: Vec<bool>,
    after: Vec<bool>,
}

/// [`RunRows`], owned.
enum RowsOfRuns {
    Sorted(Vec<u32>),
    Numbered(Vec<u32>),
}

impl Runs {
    /// A row of the run.
    fn row(&self, run: usize) -> u32 {
        let start = self.runs[run].start;
        match &self.rows {
            RowsOfRuns::Sorted(order) => order[start as usize],
            RowsOfRuns::Numbered(_) => start,
        }
    }

    fn rows(&self) -> RunRows<'_> {
        match &self.rows {
            RowsOfRuns::Sorted(order) => RunRows::Sorted(order),
            RowsOfRuns::Numbered(numbers) => RunRows::Numbered(numbers),
        }
    }
}

impl Aggregate {
    /// `first` is whether this is the worker that keys of no columns go to.
    pub fn new(plan: &AggregatePlan, first: bool) -> Self {
        let input = plan.input.schema();
        let collects = |call: &AggregateCall| call.function.class() == Class::Collecting;
        Aggregate {
            keys: plan.keys.clone(),
            schema: plan.schema.clone(),
            codec: KeyCodec::for_keys(types_of(&input, &plan.keys)),
            index: KeyIndex::default(),
            counts: Vec::new(),
            places: Vec::new(),
            states: States::new(&plan.calls, &input, plan.append_only),
            takes_parts: !plan.calls.iter().any(collects),
            global_row_due: first && plan.keys.is_empty(),
            changed: Changed::default(),
        }
    }

    /// The one row over nothing, at the time this dataflow begins.
    fn global_row(&mut self, input: &RecordBatch, time: u64) -> Updates {
        let (group, _) = self.index.get_or_insert(self.codec.encode(&[], 1).key(0));
        self.make_room();
        self.changed.mark(group);
        let runs = [Run { group, start: 0, end: 0 }];
        let swept = self.states.sweep(input, &[], RunRows::Sorted(&[]), &runs);
        let columns = swept.into_iter().map(|swept| swept.after).collect();
        Updates::at(batch_of(self.schema.clone(), columns, 1), time, 1)
    }

    fn make_room(&mut self) {
        let groups = self.index.id_limit();
        self.counts.resize(groups, 0);
        self.states.resize(groups);
    }

    /// Groups the rows, which are in order of time, into runs.
    fn runs(&mut self, input: &Updates) -> Runs {
        let keys = self.codec.encode(&columns_at(&input.data, &self.keys), input.len());
        let groups = self.index.get_or_insert_each(&keys, 0..input.len());
        self.make_room();
        match input.times.first() == input.times.last() {
            true => self.runs_of_one_time(&groups, &input.diffs),
            false => self.runs_of_many_times(&groups, input),
        }
    }

    /// A run a group, in the order of their first rows.
    fn runs_of_one_time(&mut self, groups: &[u32], diffs: &[i64]) -> Runs {
        let (numbers, firsts) = self.numbered(groups);
        let mut changes = vec![0; firsts.len()];
        for (&number, diff) in numbers.iter().zip(diffs) {
            changes[number as usize] += diff;
        }
        let run = |&row: &u32| Run { group: groups[row as usize], start: row, end: row };
        let runs: Vec<Run> = firsts.iter().map(run).collect();
        let there = |count: i64| self.keys.is_empty() || count != 0;
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for (run, change) in runs.iter().zip(changes) {
            let count = &mut self.counts[run.group as usize];
            before.push(there(*count));
            *count += change;
            after.push(there(*count));
        }
        Runs { rows: RowsOfRuns::Numbered(numbers), runs, before, after }
    }

    /// A run for each group and time, those of a group side by side.
    fn runs_of_many_times(&mut self, groups: &[u32], input: &Updates) -> Runs {
        let order = self.by_group(groups);
        let mut runs: Vec<Run> = Vec::new();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let same = |a: u32, b: u32| {
            groups[a as usize] == groups[b as usize]
                && input.times[a as usize] == input.times[b as usize]
        };
        for chunk in order.chunk_by(|&a, &b| same(a, b)) {
            let group = groups[chunk[0] as usize];
            let start = runs.last().map_or(0, |run| run.end);
            runs.push(Run { group, start, end: start + chunk.len() as u32 });
            let count = &mut self.counts[group as usize];
            let there = |count: i64| self.keys.is_empty() || count != 0;
            before.push(there(*count));
            *count += chunk.iter().map(|&row| input.diffs[row as usize]).sum::<i64>();
            after.push(there(*count));
        }
        Runs { rows: RowsOfRuns::Sorted(order), runs, before, after }
    }

    /// The numbers of rows, those of a group side by side and as they stand, groups in the order of
    /// their first rows: what is counted needs no comparison.
    fn by_group(&mut self, groups: &[u32]) -> Vec<u32> {
        let (numbers, firsts) = self.numbered(groups);
        let mut ends = vec![0; firsts.len()];
        numbers.iter().for_each(|&number| ends[number as usize] += 1);
        let mut start = 0;
        for end in &mut ends {
            // From here on where the next row of the group goes.
            start += std::mem::replace(end, start);
        }
        let mut order = vec![0; groups.len()];
        for (row, &number) in (0..).zip(&numbers) {
            let place = &mut ends[number as usize];
            order[*place as usize] = row;
            *place += 1;
        }
        order
    }

    /// Numbers groups in the order of their first rows: each row's number, and the first rows.
    fn numbered(&mut self, groups: &[u32]) -> (Vec<u32>, Vec<u32>) {
        self.places.resize(self.counts.len(), NONE);
        let (mut numbers, mut firsts) = (Vec::with_capacity(groups.len()), Vec::new());
        for (row, &group) in (0..).zip(groups) {
            let place = &mut self.places[group as usize];
            if *place == NONE {
                *place = firsts.len() as u32;
                firsts.push(row);
            }
            numbers.push(*place);
        }
        firsts.iter().for_each(|&row| self.places[groups[row as usize] as usize] = NONE);
        (numbers, firsts)
    }

    /// Takes groups with an error out of the output, and reports them.
    fn quarantine(
        &self,
        context: &StepContext<'_>,
        input: &Updates,
        runs: &mut Runs,
        swept: &[Swept],
    ) {
        for swept in swept {
            for (errors, diff) in [(&swept.before_errors, -1), (&swept.after_errors, 1)] {
                for (run, message) in errors {
                    let (run, row) = (*run as usize, runs.row(*run as usize) as usize);
                    let there = if diff < 0 { &mut runs.before } else { &mut runs.after };
                    if std::mem::replace(&mut there[run], false) {
                        let keys = input.data.slice(row, 1).project(&self.keys);
                        let (keys, time) = (keys.expect("keys exist"), Timestamp(input.times[row]));
                        let (view, operator) = (context.view, "Aggregate");
                        context.quarantine.record(view, operator, &keys, message, time, diff);
                    }
                }
            }
        }
    }

    /// The old row of each changed group out, the new one in, in order of time within a group.
    fn output(&self, input: &Updates, runs: &Runs, swept: &[Swept]) -> Updates {
        let unchanged = unchanged(swept);
        let (mut rows, mut sides) = (Vec::new(), Vec::new());
        let (mut times, mut diffs) = (Vec::new(), Vec::new());
        for (number, (&before, &after)) in runs.before.iter().zip(&runs.after).enumerate() {
            if before && after && unchanged.as_ref().is_none_or(|same| same.value(number)) {
                continue;
            }
            let row = runs.row(number);
            for (there, side, diff) in [(before, 0, -1), (after, 1, 1)] {
                if there {
                    rows.push(row);
                    sides.push((side, number));
                    times.push(input.times[row as usize]);
                    diffs.push(diff);
                }
            }
        }
        let keys = take_rows(&input.data.project(&self.keys).expect("keys exist"), &rows);
        let mut columns: Vec<ArrayRef> = keys.columns().iter().map(normalize_floats).collect();
        columns.extend(swept.iter().map(|swept| {
            interleave(&[swept.before.as_ref(), swept.after.as_ref()], &sides)
                .expect("before and after are of one type")
        }));
        Updates::new(batch_of(self.schema.clone(), columns, rows.len()), times, diffs)
    }

    /// Forgets the groups that are empty after the step.
    fn forget(&mut self, runs: &Runs) {
        if self.keys.is_empty() {
            return;
        }
        let last_of_group = |pair: &[Run]| pair.len() == 1 || pair[0].group != pair[1].group;
        let mut gone = Vec::new();
        for i in 0..runs.runs.len() {
            let group = runs.runs[i].group;
            let end = (i + 2).min(runs.runs.len());
            if last_of_group(&runs.runs[i..end]) && self.counts[group as usize] == 0 {
                gone.push(group);
            }
        }
        for &group in &gone {
            self.states.clear(group);
            self.index.unlink(group);
        }
        self.index.release(gone);
    }
}

/// In which runs no function's value changed; `None` without functions, whose value never does.
fn unchanged(swept: &[Swept]) -> Option<BooleanBuffer> {
    let same = |swept: &Swept| match not_distinct(&swept.before, &swept.after) {
        Ok(same) => same.into_parts().0,
        // Arrays and records, which the kernel does not know.
        Err(_) => {
            let compare = make_comparator(&swept.before, &swept.after, Default::default())
                .expect("values of aggregates are comparable");
            let same = |run| compare(run, run) == Ordering::Equal;
            BooleanBuffer::collect_bool(swept.before.len(), same)
        }
    };
    swept.iter().map(same).reduce(|all, of_one| &all & &of_one)
}

/// A record a group: its key, how many rows it has, and its state of each function.
impl Kept for Aggregate {
    fn families(&self) -> usize {
        1
    }

    fn changed(&mut self, _family: usize) -> &mut Changed {
        &mut self.changed
    }

    fn id_limit(&self, _family: usize) -> usize {
        self.index.id_limit()
    }

    fn copy(&self, _family: usize, group: u32, out: &mut Vec<u8>) -> Copied {
        let Some(key) = self.index.linked(group) else { return Copied::Gone };
        put_sized(out, key);
        self.counts[group as usize].put(out);
        match self.states.copy(group, out) {
            true => Copied::Record,
            false => Copied::TooLarge,
        }
    }

    fn restore(&mut self, _family: usize, group: u32, record: &mut Cursor<'_>) -> Option<()> {
        let key = record.sized()?;
        self.index.restore(group, hash_bytes(key), key)?;
        if self.counts.len() < self.index.id_limit() {
            self.make_room();
        }
        self.counts[group as usize] = i64::take(record)?;
        self.states.restore(group, record)
    }

    fn restored(&mut self) -> Option<()> {
        self.index.restored();
        self.make_room();
        // It was there from the view's beginning on.
        self.global_row_due = false;
        Some(())
    }
}

impl Operator for Aggregate {
    fn step(&mut self, context: &StepContext<'_>, inputs: Vec<Updates>) -> Updates {
        let [input] = <[Updates; 1]>::try_from(inputs).expect("one input");
        let mut parts = Vec::new();
        if std::mem::take(&mut self.global_row_due) {
            parts.push(self.global_row(&input.data, context.lower));
        }
        if !input.is_empty() {
            let input = input.sorted_by_time();
            let mut runs = self.runs(&input);
            runs.runs.iter().for_each(|run| self.changed.mark(run.group));
            let swept = self.states.sweep(&input.data, &input.diffs, runs.rows(), &runs.runs);
            self.quarantine(context, &input, &mut runs, &swept);
            parts.push(self.output(&input, &runs, &swept));
            self.forget(&runs);
        }
        Updates::concat(&self.schema.clone(), parts)
    }

    fn state(&self) -> StateSize {
        let counts = self.counts.len() * (size_of::<i64>() + size_of::<u32>());
        self.index.size() + StateSize { rows: 0, bytes: (counts + self.states.bytes()) as u64 }
    }

    fn kept(&mut self) -> Option<&mut dyn Kept> {
        self.states.is_kept().then_some(self)
    }

    fn takes_parts(&self, _input: usize) -> bool {
        self.takes_parts
    }
}

#[cfg(test)]
mod tests;
