//! Aggregate functions over groups that change.
//!
//! One file a function, one line in [`AGGREGATES`]. The same functions serve views, replay and
//! ad-hoc queries, so that equal means bit for bit (S8).
//!
//! An [`Accumulator`] keeps one state for each group and sweeps runs: a run is what happens to one
//! group at one time, the runs of a group are in order of time. It answers with the function's
//! value before and after each run. That one shape serves a tick of one time (a run a group) and a
//! batch of a million times alike, without a call per row.

mod avg;
mod count;
pub mod exact_float;
mod exact_int;
mod extremum;
mod sum;

use std::fmt::Debug;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow::datatypes::DataType;

/// Every aggregate function there is.
pub const AGGREGATES: &[&dyn AggregateFunction] =
    &[&avg::Avg, &count::Count, &extremum::MAX, &extremum::MIN, &sum::Sum];

/// The aggregate function called `name` (lower case).
pub fn aggregate_function(name: &str) -> Option<&'static dyn AggregateFunction> {
    AGGREGATES.iter().copied().find(|function| function.name() == name)
}

/// An aggregate function: its types, and the state that computes it.
pub trait AggregateFunction: Debug + Send + Sync {
    /// Its SQL name.
    fn name(&self) -> &'static str;

    /// The type of its value over arguments of these types; `None` where it is not defined.
    fn return_type(&self, arguments: &[DataType]) -> Option<DataType>;

    /// Empty state, for arguments that have a return type.
    fn accumulator(&self, arguments: &[DataType]) -> Box<dyn Accumulator>;
}

/// The states of an aggregate function's groups, by dense group id.
pub trait Accumulator: Send {
    /// Makes room for group ids below `groups`; new ones are empty.
    fn resize(&mut self, groups: usize);

    /// Applies the runs in order; gives the value of each run's group before and after it.
    fn sweep(&mut self, input: &SweepInput<'_>, runs: &[Run]) -> Swept;

    /// Makes the group empty again.
    fn clear(&mut self, group: u32);
}

/// The rows that runs speak of.
pub struct SweepInput<'a> {
    /// The arguments, a column each.
    pub arguments: &'a [ArrayRef],
    /// Rows that count; `None` = all. NULL does not count.
    pub filter: Option<&'a BooleanArray>,
    pub diffs: &'a [i64],
    /// Row numbers, those of a run side by side.
    pub order: &'a [u32],
}

/// Rows `order[start..end]`, all of one group and one time.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub group: u32,
    pub start: u32,
    pub end: u32,
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

/// The sweep all functions share. Rows that the filter drops are skipped, and so are rows with a
/// NULL in the first argument, if there is one.
pub(crate) fn sweep_states<S, O: Output>(
    states: &mut [S],
    input: &SweepInput<'_>,
    runs: &[Run],
    data_type: &DataType,
    mut update: impl FnMut(&mut S, usize, i64),
    value: impl Fn(&S) -> Result<Option<O::Value>, String>,
) -> Swept {
    let (mut before, mut after) = (O::default(), O::default());
    let (mut before_errors, mut after_errors) = (Vec::new(), Vec::new());
    let nulls = input.arguments.first().and_then(|argument| argument.logical_nulls());
    let counts = |row: usize| {
        nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row))
            && input.filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
    };
    let put = |out: &mut O, errors: &mut Vec<_>, run: usize, state: &S| match value(state) {
        Ok(Some(value)) => out.push(value),
        Ok(None) => out.push_null(),
        Err(message) => {
            out.push_null();
            errors.push((run as u32, message));
        }
    };
    for (number, run) in runs.iter().enumerate() {
        let state = &mut states[run.group as usize];
        put(&mut before, &mut before_errors, number, state);
        for &row in &input.order[run.start as usize..run.end as usize] {
            let row = row as usize;
            if counts(row) {
                update(state, row, input.diffs[row]);
            }
        }
        put(&mut after, &mut after_errors, number, state);
    }
    Swept {
        before: before.finish(data_type),
        after: after.finish(data_type),
        before_errors,
        after_errors,
    }
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
