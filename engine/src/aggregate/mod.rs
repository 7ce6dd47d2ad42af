//! Aggregate functions over groups that change.
//!
//! One file a function, one line in [`AGGREGATES`]. The same functions serve views, replay and
//! ad-hoc queries, so that equal means bit for bit (S8).
//!
//! An [`Accumulator`] keeps one state for each group and sweeps runs: a run is what happens to one
//! group at one time, the runs of a group are in order of time. It answers with the function's
//! value before and after each run. That one shape serves a tick of one time (a run a group) and a
//! batch of a million times alike, without a call per row.

mod approximate;
mod array_agg;
mod avg;
mod bits;
mod boolean;
mod collected;
mod count;
mod covariance;
pub(crate) mod distinct;
mod exact;
pub mod exact_float;
mod exact_int;
mod extreme;
mod extremum;
mod histogram;
mod interval;
mod jsonb_agg;
mod max_by;
mod mode;
mod native_extremum;
mod ordered;
mod percentile;
mod string_agg;
mod sum;
mod variance;

use std::fmt::Debug;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::SortOptions;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

use crate::checkpoint::record::Cursor;

pub use extreme::Extreme;
pub use percentile::fractions;

/// Every aggregate function there is.
pub const AGGREGATES: &[&dyn AggregateFunction] = &[
    &approximate::ApproxCountDistinct,
    &approximate::ApproxPercentile,
    &array_agg::ArrayAgg,
    &avg::Avg,
    &bits::AND,
    &bits::OR,
    &bits::XOR,
    &boolean::AND,
    &boolean::OR,
    &count::Count,
    &covariance::CORR,
    &covariance::COVAR_POP,
    &covariance::COVAR_SAMP,
    &covariance::REGR_AVGX,
    &covariance::REGR_AVGY,
    &covariance::REGR_COUNT,
    &covariance::REGR_INTERCEPT,
    &covariance::REGR_R2,
    &covariance::REGR_SLOPE,
    &covariance::REGR_SXX,
    &covariance::REGR_SXY,
    &covariance::REGR_SYY,
    &ordered::FIRST_VALUE,
    &ordered::LAST_VALUE,
    &histogram::Histogram,
    &jsonb_agg::JsonbAgg,
    &jsonb_agg::JsonbObjectAgg,
    &extremum::MAX,
    &max_by::MAX_BY,
    &percentile::Median,
    &extremum::MIN,
    &max_by::MIN_BY,
    &mode::Mode,
    &percentile::CONTINUOUS,
    &percentile::DISCRETE,
    &variance::STDDEV_POP,
    &variance::STDDEV_SAMP,
    &string_agg::StringAgg,
    &sum::Sum,
    &variance::VAR_POP,
    &variance::VAR_SAMP,
];

/// The aggregate function called `name` (lower case), by its name or another one.
pub fn aggregate_function(name: &str) -> Option<&'static dyn AggregateFunction> {
    let called = |function: &&dyn AggregateFunction| {
        function.name() == name || function.aliases().contains(&name)
    };
    AGGREGATES.iter().copied().find(called)
}

/// An aggregate function: its types, and the state that computes it.
pub trait AggregateFunction: Debug + Send + Sync {
    /// Its SQL name.
    fn name(&self) -> &'static str;

    /// Other names for it.
    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }

    /// The type of its value over arguments, and constants behind them, of these types; `None`
    /// where it is not defined.
    fn return_type(&self, arguments: &[DataType]) -> Option<DataType>;

    /// What its groups keep.
    fn class(&self) -> Class {
        Class::Accumulable
    }

    /// Whether its value can be an error, as of a sum out of range.
    fn can_fail(&self) -> bool {
        false
    }

    /// Which of its arguments are constants.
    fn constants(&self) -> Constants {
        Constants::None
    }

    /// What ORDER BY means to it.
    fn order(&self) -> Order {
        Order::Indifferent
    }

    /// Of one whose value is that of the least row in an order of its arguments: the order.
    fn extreme(&self, _call: &CallTypes<'_>) -> Option<Extreme> {
        None
    }

    /// Whether rows with NULL in the first argument change nothing.
    fn passes_over_nulls(&self) -> bool {
        false
    }

    /// Empty state, for a call that has a return type, whatever its `distinct`.
    fn accumulator_of(&self, call: &CallTypes<'_>) -> Box<dyn Accumulator>;

    /// Empty state, for a call of columns of these types alone.
    fn accumulator(&self, arguments: &[DataType]) -> Box<dyn Accumulator> {
        self.accumulator_of(&CallTypes::of(arguments))
    }
}

/// What the groups of a function keep: it decides what a change costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A sum of a kind, from which rows can be taken out again.
    Accumulable,
    /// The values in order, of which the first counts.
    Extremum,
    /// The rows, in order.
    Collecting,
}

impl Class {
    /// For printing.
    pub fn name(self) -> &'static str {
        match self {
            Class::Accumulable => "accumulable",
            Class::Extremum => "extremum",
            Class::Collecting => "collecting",
        }
    }
}

/// Whether a function's last argument is a constant of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Constants {
    None,
    /// It may be, which saves a column.
    Allowed,
    /// It must be, as the fraction of a percentile.
    Required,
}

/// What the order of a group's rows means to a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Nothing.
    Indifferent,
    /// ORDER BY in the call: its value depends on it. Completed with the arguments (S9).
    Free,
    /// WITHIN GROUP (ORDER BY x): x is the first argument, and the one order key's.
    WithinGroup,
}

/// A call, by its types: what an accumulator is made for.
#[derive(Clone, Copy, Debug)]
pub struct CallTypes<'a> {
    /// Columns.
    pub arguments: &'a [DataType],
    /// Constants behind them.
    pub parameters: &'a [ScalarValue],
    /// ORDER BY: columns behind the arguments'.
    pub order: &'a [(DataType, SortOptions)],
    /// Each tuple of arguments counts once.
    pub distinct: bool,
    /// No row is ever taken out.
    pub append_only: bool,
}

impl<'a> CallTypes<'a> {
    /// A call of columns alone.
    pub fn of(arguments: &'a [DataType]) -> Self {
        let (parameters, order) = (&[], &[]);
        CallTypes { arguments, parameters, order, distinct: false, append_only: false }
    }

    /// The types of the arguments and of the constants behind them.
    pub fn all(&self) -> Vec<DataType> {
        let constants = self.parameters.iter().map(ScalarValue::data_type);
        self.arguments.iter().cloned().chain(constants).collect()
    }
}

/// Empty state for a call of `function`.
pub fn accumulator_of(
    function: &dyn AggregateFunction,
    call: &CallTypes<'_>,
) -> Box<dyn Accumulator> {
    match call.distinct {
        true => distinct::Distinct::boxed(function, call),
        false => function.accumulator_of(call),
    }
}

/// The states of an aggregate function's groups, by dense group id.
pub trait Accumulator: Send {
    /// Makes room for group ids below `groups`; new ones are empty.
    fn resize(&mut self, groups: usize);

    /// Applies the runs in order; gives the value of each run's group before and after it.
    fn sweep(&mut self, input: &SweepInput<'_>, runs: &[Run]) -> Swept;

    /// Applies rows whose [`RunRows::Numbered`] are those of their groups, where nobody asks for
    /// values.
    fn update(&mut self, input: &SweepInput<'_>) {
        let RunRows::Numbered(groups) = input.rows else { unreachable!("rows by their groups") };
        let mut order: Vec<u32> = (0..groups.len() as u32).collect();
        order.sort_by_key(|&row| groups[row as usize]);
        let mut runs: Vec<Run> = Vec::new();
        for rows in order.chunk_by(|&a, &b| groups[a as usize] == groups[b as usize]) {
            let start = runs.last().map_or(0, |run| run.end);
            let group = groups[rows[0] as usize];
            runs.push(Run { group, start, end: start + rows.len() as u32 });
        }
        self.sweep(&SweepInput { rows: RunRows::Sorted(&order), ..*input }, &runs);
    }

    /// What the groups take in memory, as far as it is counted; cheap to ask after every step.
    fn bytes(&self) -> usize;

    /// Makes the group empty again.
    fn clear(&mut self, group: u32);

    /// Whether its groups can be copied and put back.
    fn is_kept(&self) -> bool {
        false
    }

    /// Appends the state of a group to `out`; `false` if it is too large for a record.
    fn copy(&self, group: u32, _out: &mut Vec<u8>) -> bool {
        unreachable!("group {group} is not kept")
    }

    /// Puts the state of a group back, for which there is room; `None` if it is none.
    fn restore(&mut self, _group: u32, _from: &mut Cursor<'_>) -> Option<()> {
        None
    }
}

/// How accumulators are kept whose groups are `states`, which know their bytes; `$kept` counts what
/// those take beside themselves.
macro_rules! kept_states {
    ($($kept:ident: $bytes:expr)?) => {
        fn is_kept(&self) -> bool {
            true
        }

        fn copy(&self, group: u32, out: &mut Vec<u8>) -> bool {
            let state = &self.states[group as usize];
            let small = $crate::checkpoint::record::Stored::is_small(state);
            if small {
                $crate::checkpoint::record::Stored::put(state, out);
            }
            small
        }

        fn restore(
            &mut self,
            group: u32,
            from: &mut $crate::checkpoint::record::Cursor<'_>,
        ) -> Option<()> {
            let state = $crate::checkpoint::record::Stored::take(from)?;
            $(self.$kept += $bytes(&state);)?
            self.states[group as usize] = state;
            Some(())
        }
    };
}
pub(crate) use kept_states;

/// The rows that runs speak of.
pub struct SweepInput<'a> {
    /// The arguments, a column each, and behind them the order keys.
    pub arguments: &'a [ArrayRef],
    /// Rows that count; `None` = all. NULL does not count.
    pub filter: Option<&'a BooleanArray>,
    pub diffs: &'a [i64],
    pub rows: RunRows<'a>,
}

impl SweepInput<'_> {
    /// Whether the filter leaves a row.
    fn passes(&self, row: usize) -> bool {
        self.filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
    }
}

/// Which rows are of which run.
#[derive(Clone, Copy, Debug)]
pub enum RunRows<'a> {
    /// Row numbers, those of a run side by side, from its start to its end.
    Sorted(&'a [u32]),
    /// The number of each row's run, of runs that are each of another group: the rows are gone
    /// through as they lie.
    Numbered(&'a [u32]),
}

/// Rows that are all of one group and one time.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub group: u32,
    /// Where its rows stand, if they are [`RunRows::Sorted`]; else `start` is the first of them.
    pub start: u32,
    pub end: u32,
}

impl RunRows<'_> {
    /// Calls `row` for every row, those of a run in their order, with the number of its run.
    /// `begin` and `end` are called for each run in turn, before and after its rows.
    pub(crate) fn visit<C>(
        self,
        runs: &[Run],
        context: &mut C,
        mut begin: impl FnMut(&mut C, usize),
        mut row: impl FnMut(&mut C, usize, usize),
        mut end: impl FnMut(&mut C, usize),
    ) {
        match self {
            RunRows::Sorted(order) => {
                for (number, run) in runs.iter().enumerate() {
                    begin(context, number);
                    for &at in &order[run.start as usize..run.end as usize] {
                        row(context, number, at as usize);
                    }
                    end(context, number);
                }
            }
            RunRows::Numbered(numbers) => {
                (0..runs.len()).for_each(|number| begin(context, number));
                for (at, &number) in numbers.iter().enumerate() {
                    row(context, number as usize, at);
                }
                (0..runs.len()).for_each(|number| end(context, number));
            }
        }
    }
}

/// The values before and after each run, and where there is none because of an error.
pub struct Swept {
    pub before: ArrayRef,
    pub after: ArrayRef,
    /// (run, message): the value before the run is an error.
    pub before_errors: Vec<(u32, String)>,
    pub after_errors: Vec<(u32, String)>,
}

/// Where a function's values are collected; `Err` is an error in the data.
pub(crate) trait Output: Default {
    type Value;
    fn push(&mut self, value: Self::Value);
    fn push_null(&mut self);
    fn finish(self, data_type: &DataType) -> ArrayRef;
}

/// The sweep of functions that pass over rows with a NULL in the first argument, if there is one.
pub(crate) fn sweep_states<S, O: Output>(
    states: &mut [S],
    input: &SweepInput<'_>,
    runs: &[Run],
    data_type: &DataType,
    update: impl FnMut(&mut S, usize, i64),
    value: impl Fn(&S) -> Result<Option<O::Value>, String>,
) -> Swept {
    let required = [0];
    let required = &required[..input.arguments.len().min(1)];
    sweep_required::<S, O>(states, input, runs, required, data_type, update, value)
}

/// The same for rows with no NULL in the arguments `required`.
pub(crate) fn sweep_required<S, O: Output>(
    states: &mut [S],
    input: &SweepInput<'_>,
    runs: &[Run],
    required: &[usize],
    data_type: &DataType,
    update: impl FnMut(&mut S, usize, i64),
    value: impl Fn(&S) -> Result<Option<O::Value>, String>,
) -> Swept {
    let (mut before, mut after) = (O::default(), O::default());
    let (mut before_errors, mut after_errors) = (Vec::new(), Vec::new());
    sweep_runs(states, input, runs, required, update, |side, run, state| {
        let (out, errors) = match side {
            Side::Before => (&mut before, &mut before_errors),
            Side::After => (&mut after, &mut after_errors),
        };
        match value(state) {
            Ok(Some(value)) => out.push(value),
            Ok(None) => out.push_null(),
            Err(message) => {
                out.push_null();
                errors.push((run as u32, message));
            }
        }
    });
    Swept {
        before: before.finish(data_type),
        after: after.finish(data_type),
        before_errors,
        after_errors,
    }
}

/// [`Accumulator::update`] of functions that pass over rows with a NULL in the first argument, if
/// there is one.
pub(crate) fn update_states<S>(
    states: &mut [S],
    input: &SweepInput<'_>,
    mut update: impl FnMut(&mut S, usize, i64),
) {
    let RunRows::Numbered(groups) = input.rows else { unreachable!("rows by their groups") };
    let nulls = input.arguments.first().and_then(|argument| argument.logical_nulls());
    let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
    for (row, &group) in groups.iter().enumerate() {
        if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) && input.passes(row) {
            update(&mut states[group as usize], row, input.diffs[row]);
        }
    }
}

/// Which end of a run a value is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Before,
    After,
}

/// The sweep all functions share. Rows that the filter drops are passed over, and so are rows with
/// a NULL in an argument that is `required`; `look` sees each run's state before and after: those
/// of one side in the order of the runs.
pub(crate) fn sweep_runs<S>(
    states: &mut [S],
    input: &SweepInput<'_>,
    runs: &[Run],
    required: &[usize],
    mut update: impl FnMut(&mut S, usize, i64),
    look: impl FnMut(Side, usize, &S),
) {
    let nulls: Vec<_> =
        required.iter().filter_map(|&place| input.arguments[place].logical_nulls()).collect();
    let counts = |row: usize| nulls.iter().all(|nulls| nulls.is_valid(row)) && input.passes(row);
    let group = |number: usize| runs[number].group as usize;
    input.rows.visit(
        runs,
        &mut (states, look),
        |(states, look), number| look(Side::Before, number, &states[group(number)]),
        |(states, _), number, row| {
            let diff = input.diffs[row];
            if diff != 0 && counts(row) {
                update(&mut states[group(number)], row, diff);
            }
        },
        |(states, look), number| look(Side::After, number, &states[group(number)]),
    );
}

/// Values of a primitive type, as a native vector with its nulls.
pub(crate) struct PrimitiveOutput<T: arrow::datatypes::ArrowPrimitiveType> {
    builder: arrow::array::PrimitiveBuilder<T>,
}

impl<T: arrow::datatypes::ArrowPrimitiveType> Default for PrimitiveOutput<T> {
    fn default() -> Self {
        PrimitiveOutput { builder: arrow::array::PrimitiveBuilder::new() }
    }
}

impl<T: arrow::datatypes::ArrowPrimitiveType> Output for PrimitiveOutput<T> {
    type Value = T::Native;

    fn push(&mut self, value: T::Native) {
        self.builder.append_value(value);
    }

    fn push_null(&mut self) {
        self.builder.append_null();
    }

    fn finish(mut self, data_type: &DataType) -> ArrayRef {
        std::sync::Arc::new(self.builder.finish().with_data_type(data_type.clone()))
    }
}

/// The columns of `batch` at `columns`.
pub(crate) fn columns_at(batch: &RecordBatch, columns: &[usize]) -> Vec<ArrayRef> {
    columns.iter().map(|&column| batch.column(column).clone()).collect()
}
