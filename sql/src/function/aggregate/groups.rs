//! One aggregate of many groups: the engine's accumulator behind DataFusion's interface.
//!
//! Law: partial results lose nothing. A group's state is a list of parts whose exact sum is the
//! group's sum (for an extremum, the one value) and the number of values that were not NULL;
//! reading the parts as rows, with zeros to make up the number, gives the state that the rows
//! themselves would have given. Integers are summed as numerics, so that a part never overflows
//! its type.

use std::sync::Arc;

use arrow::array::cast::AsArray;
use arrow::array::{
    Array, ArrayRef, BooleanArray, Int64Array, ListArray, PrimitiveArray, new_empty_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{concat, interleave};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Field, Float32Type, Float64Type, Int64Type,
};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use tidemark_engine::aggregate::{
    Accumulator, AggregateFunction, Run, RunRows, SweepInput, aggregate_function,
};
use tidemark_engine::decimal::QUOTIENT_PRECISION;

use crate::error::SqlError;

use super::super::cast::cast_array;

/// The type of the parts of a function's state; None for count, which has none.
pub fn part_type(
    function: &'static dyn AggregateFunction,
    input: Option<&DataType>,
) -> Option<DataType> {
    match (function.name(), input?) {
        ("count", _) => None,
        (_, DataType::Int16 | DataType::Int32 | DataType::Int64) => {
            Some(DataType::Decimal128(38, 0))
        }
        (_, quotient @ DataType::Decimal128(QUOTIENT_PRECISION, _)) => Some(quotient.clone()),
        (_, DataType::Decimal128(_, scale)) => Some(DataType::Decimal128(38, *scale)),
        (_, other) => Some(other.clone()),
    }
}

pub struct Groups {
    function: &'static dyn AggregateFunction,
    returns: DataType,
    /// None for count.
    part: Option<DataType>,
    /// The decimal type that an average is one over, as its digits go by the argument's.
    averaged: Option<DataType>,
    /// Sums, or extrema, of the parts' type; none for count.
    values: Option<Box<dyn Accumulator>>,
    /// Values that were not NULL, by group still here.
    counts: Vec<i64>,
    /// Groups that were given out: the engine's ids begin after them.
    emitted: usize,
}

/// The function that adds up to the state of `function`.
fn adder(function: &'static dyn AggregateFunction) -> &'static dyn AggregateFunction {
    match function.name() {
        "avg" => aggregate_function("sum").expect("sum is in the list"),
        _ => function,
    }
}

pub(super) fn failed(errors: Vec<(u32, String)>) -> Result<(), SqlError> {
    match errors.into_iter().next() {
        Some((_, message)) => Err(SqlError::new("22003", message)),
        None => Ok(()),
    }
}

impl Groups {
    pub fn new(
        function: &'static dyn AggregateFunction,
        types: &[DataType],
        returns: &DataType,
    ) -> Result<Self, SqlError> {
        let part = part_type(function, types.first());
        let values =
            part.as_ref().map(|part| adder(function).accumulator(std::slice::from_ref(part)));
        let returns = returns.clone();
        let averaged = match types.first() {
            Some(DataType::Int16 | DataType::Int32) => Some(DataType::Decimal128(10, 0)),
            Some(DataType::Int64) => Some(DataType::Decimal128(19, 0)),
            other => other.cloned(),
        };
        Ok(Groups { function, returns, part, averaged, values, counts: Vec::new(), emitted: 0 })
    }

    fn resize(&mut self, groups: usize) {
        self.counts.resize(groups, 0);
        if let Some(values) = &mut self.values {
            values.resize(groups + self.emitted);
        }
    }

    /// Takes rows in (`diff` 1) or out (−1).
    pub fn apply(
        &mut self,
        arguments: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        group_count: usize,
        diff: i64,
    ) -> Result<(), SqlError> {
        self.resize(group_count);
        let nulls = arguments.first().and_then(|argument| argument.logical_nulls());
        for (row, group) in groups.iter().enumerate() {
            let valid = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
            let kept = filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            self.counts[*group] += if valid && kept { diff } else { 0 };
        }
        let (Some(part), Some(argument)) = (&self.part, arguments.first()) else { return Ok(()) };
        // Sums take integers as they are.
        let argument = match adder(self.function).name() == "sum" {
            true if argument.data_type().is_integer() => Arc::clone(argument),
            _ => cast_array(argument, part)?,
        };
        self.add(&argument, groups, filter, &vec![diff; groups.len()]);
        Ok(())
    }

    /// Applies rows of the parts' type.
    fn add(
        &mut self,
        argument: &ArrayRef,
        groups: &[usize],
        filter: Option<&BooleanArray>,
        diffs: &[i64],
    ) {
        let Some(values) = &mut self.values else { return };
        let groups: Vec<u32> = groups.iter().map(|group| (group + self.emitted) as u32).collect();
        let (arguments, rows) = (std::slice::from_ref(argument), RunRows::Numbered(&groups));
        values.update(&SweepInput { arguments, filter, diffs, rows });
    }

    /// The values of the first `count` groups.
    fn read(&mut self, count: usize) -> Result<ArrayRef, SqlError> {
        let part = self.part.clone().expect("count has no values to read");
        let values = self.values.as_mut().expect("not count");
        read(values.as_mut(), &part, self.emitted, count)
    }

    fn take(&mut self, emit: &EmitTo) -> Vec<i64> {
        if let EmitTo::First(count) = emit {
            self.emitted += count;
        }
        emit.take_needed(&mut self.counts)
    }

    fn wanted(&self, emit: &EmitTo) -> usize {
        match emit {
            EmitTo::All => self.counts.len(),
            EmitTo::First(count) => *count,
        }
    }

    /// The aggregate of the first groups, or all.
    pub fn finish(&mut self, emit: EmitTo) -> Result<ArrayRef, SqlError> {
        let count = self.wanted(&emit);
        let result = match self.function.name() {
            "count" => Arc::new(Int64Array::from(self.counts[..count].to_vec())),
            "avg" => self.average(count)?,
            _ => cast_array(&self.read(count)?, &self.returns)?,
        };
        self.take(&emit);
        Ok(result)
    }

    /// The aggregate of the first group, which stays as it is.
    pub fn peek(&mut self) -> Result<ArrayRef, SqlError> {
        match self.function.name() {
            "count" => Ok(Arc::new(Int64Array::from(vec![self.counts[0]]))),
            "avg" => self.average(1),
            _ => cast_array(&self.read(1)?, &self.returns),
        }
    }

    /// An average by the engine's formula, over the parts of the sums.
    fn average(&mut self, count: usize) -> Result<ArrayRef, SqlError> {
        let averaged = self.averaged.clone().expect("not count");
        let (parts, groups) = self.parts(count)?;
        self.put_back(&parts, &groups)?;
        let mut averages = self.function.accumulator(std::slice::from_ref(&averaged));
        averages.resize(count);
        let (values, groups, diffs) = self.as_rows(parts, groups, count)?;
        let groups: Vec<u32> = groups.iter().map(|group| *group as u32).collect();
        let (arguments, rows) = (&[values], RunRows::Numbered(&groups));
        averages.update(&SweepInput { arguments, filter: None, diffs: &diffs, rows });
        let result = read(averages.as_mut(), &averaged, 0, count)?;
        cast_array(&result, &self.returns)
    }

    /// Parts as rows, and zeros so that each group has as many rows as it had values.
    fn as_rows(
        &self,
        parts: ArrayRef,
        mut groups: Vec<usize>,
        count: usize,
    ) -> Result<(ArrayRef, Vec<usize>, Vec<i64>), SqlError> {
        let mut diffs = vec![1i64; groups.len()];
        let mut missing: Vec<i64> = self.counts[..count].to_vec();
        groups.iter().for_each(|group| missing[*group] -= 1);
        let padded: Vec<usize> = (0..count).filter(|group| missing[*group] != 0).collect();
        let zeros = zeros(parts.data_type(), padded.len())?;
        diffs.extend(padded.iter().map(|group| missing[*group]));
        groups.extend(padded);
        Ok((concat(&[parts.as_ref(), zeros.as_ref()])?, groups, diffs))
    }

    /// Parts of the first groups' sums, each with its group. What is read is taken out.
    fn parts(&mut self, count: usize) -> Result<(ArrayRef, Vec<usize>), SqlError> {
        let part = self.part.clone().expect("not count");
        let floats = matches!(part, DataType::Float32 | DataType::Float64);
        let sums = adder(self.function).name() == "sum";
        let (mut arrays, mut groups) = (Vec::new(), Vec::new());
        let mut left: Vec<usize> = (0..count).filter(|group| self.counts[*group] != 0).collect();
        while !left.is_empty() {
            let values = self.read(count)?;
            if floats && sums {
                left.retain(|group| !is_zero(&values, *group));
            }
            left.retain(|group| values.is_valid(*group));
            arrays.push(take(&values, &left)?);
            groups.extend(&left);
            if !(floats && sums) {
                break;
            }
            // What is left after taking out the rounded sum is what rounding lost.
            left.retain(|group| is_finite(&values, *group));
            let taken = take(&values, &left)?;
            self.add(&taken, &left, None, &vec![-1; left.len()]);
        }
        let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
        let parts = if arrays.is_empty() { new_empty_array(&part) } else { concat(&arrays)? };
        Ok((parts, groups))
    }

    /// Undoes what [`Self::parts`] took out.
    fn put_back(&mut self, parts: &ArrayRef, groups: &[usize]) -> Result<(), SqlError> {
        if !matches!(parts.data_type(), DataType::Float32 | DataType::Float64) {
            return Ok(());
        }
        let finite: Vec<usize> = (0..parts.len()).filter(|row| is_finite(parts, *row)).collect();
        let groups: Vec<usize> = finite.iter().map(|row| groups[*row]).collect();
        let diffs = vec![1; groups.len()];
        self.add(&take(parts, &finite)?, &groups, None, &diffs);
        Ok(())
    }

    /// The state of the first groups, or all: see the head of this file.
    pub fn export(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>, SqlError> {
        let count = self.wanted(&emit);
        let mut columns = Vec::new();
        if self.part.is_some() {
            let (parts, groups) = self.parts(count)?;
            columns.push(lists(&parts, &groups, count)?);
        }
        columns.push(Arc::new(Int64Array::from(self.take(&emit))));
        Ok(columns)
    }

    /// Adds exported states.
    pub fn import(
        &mut self,
        state: &[ArrayRef],
        groups: &[usize],
        group_count: usize,
    ) -> Result<(), SqlError> {
        self.resize(group_count);
        let counts = state[state.len() - 1].as_primitive::<Int64Type>();
        for (row, group) in groups.iter().enumerate() {
            self.counts[*group] += if counts.is_valid(row) { counts.value(row) } else { 0 };
        }
        if self.part.is_none() {
            return Ok(());
        }
        let parts = state[0].as_list::<i32>();
        let offsets = parts.value_offsets();
        let owners: Vec<usize> = (0..parts.len())
            .flat_map(|row| (offsets[row]..offsets[row + 1]).map(move |_| row))
            .map(|row| groups[row])
            .collect();
        let from = offsets[0] as usize;
        let values = parts.values().slice(from, owners.len());
        let diffs = vec![1; owners.len()];
        self.add(&values, &owners, None, &diffs);
        Ok(())
    }
}

/// Row numbers with those of a group side by side, and one run per group.
pub(super) fn runs(groups: &[usize]) -> (Vec<u32>, Vec<Run>) {
    let mut order: Vec<u32> = (0..groups.len() as u32).collect();
    if groups.windows(2).any(|pair| pair[0] > pair[1]) {
        order.sort_unstable_by_key(|row| (groups[*row as usize], *row));
    }
    let mut runs: Vec<Run> = Vec::new();
    for (at, row) in order.iter().enumerate() {
        let group = groups[*row as usize] as u32;
        match runs.last_mut().filter(|run| run.group == group) {
            Some(run) => run.end += 1,
            None => runs.push(Run { group, start: at as u32, end: at as u32 + 1 }),
        }
    }
    (order, runs)
}

/// The values of groups `from..from + count`: runs without rows change nothing.
fn read(
    values: &mut dyn Accumulator,
    part: &DataType,
    from: usize,
    count: usize,
) -> Result<ArrayRef, SqlError> {
    let runs: Vec<Run> =
        (from..from + count).map(|group| Run { group: group as u32, start: 0, end: 0 }).collect();
    let arguments = [new_empty_array(part)];
    let input =
        SweepInput { arguments: &arguments, filter: None, diffs: &[], rows: RunRows::Sorted(&[]) };
    let swept = values.sweep(&input, &runs);
    failed(swept.after_errors)?;
    Ok(swept.after)
}

fn zeros(ty: &DataType, count: usize) -> Result<ArrayRef, SqlError> {
    fn of<T: ArrowPrimitiveType>(ty: &DataType, count: usize) -> ArrayRef {
        let zeros = vec![T::Native::default(); count];
        Arc::new(PrimitiveArray::<T>::from_iter_values(zeros).with_data_type(ty.clone()))
    }
    match ty {
        DataType::Float32 => Ok(of::<Float32Type>(ty, count)),
        DataType::Float64 => Ok(of::<Float64Type>(ty, count)),
        DataType::Decimal128(..) => Ok(of::<Decimal128Type>(ty, count)),
        other => Err(SqlError::internal(format!("no zero of type {other}"))),
    }
}

fn float(values: &ArrayRef, row: usize) -> f64 {
    match values.data_type() {
        DataType::Float32 => values.as_primitive::<Float32Type>().value(row).into(),
        _ => values.as_primitive::<Float64Type>().value(row),
    }
}

fn is_zero(values: &ArrayRef, row: usize) -> bool {
    values.is_valid(row) && float(values, row) == 0.0
}

fn is_finite(values: &ArrayRef, row: usize) -> bool {
    float(values, row).is_finite()
}

fn take(values: &ArrayRef, rows: &[usize]) -> Result<ArrayRef, SqlError> {
    let picks: Vec<(usize, usize)> = rows.iter().map(|row| (0, *row)).collect();
    match picks.is_empty() {
        true => Ok(new_empty_array(values.data_type())),
        false => Ok(interleave(&[values.as_ref()], &picks)?),
    }
}

/// A list per group of the parts that belong to it.
fn lists(parts: &ArrayRef, groups: &[usize], count: usize) -> Result<ArrayRef, SqlError> {
    let (order, _) = runs(groups);
    let rows: Vec<usize> = order.iter().map(|row| *row as usize).collect();
    let mut lengths = vec![0; count];
    groups.iter().for_each(|group| lengths[*group] += 1);
    let field = Arc::new(Field::new("item", parts.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(field, offsets, take(parts, &rows)?, None)?))
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        Ok(self.apply(values, group_indices, opt_filter, total_num_groups, 1)?)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(self.finish(emit_to)?)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(self.export(emit_to)?)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        Ok(self.import(values, group_indices, total_num_groups)?)
    }

    /// Each row as the state of a group of its own.
    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |array| array.len());
        let nulls = values.first().and_then(|array| array.logical_nulls());
        let counted: Vec<bool> = (0..rows)
            .map(|row| {
                let valid = nulls.as_ref().is_none_or(|nulls: &NullBuffer| nulls.is_valid(row));
                valid && opt_filter.is_none_or(|f| f.is_valid(row) && f.value(row))
            })
            .collect();
        let counts: Int64Array = counted.iter().map(|counted| Some(i64::from(*counted))).collect();
        let mut columns: Vec<ArrayRef> = Vec::new();
        if let (Some(part), Some(array)) = (&self.part, values.first()) {
            let parts = cast_array(array, part)?;
            let kept: Vec<usize> = (0..rows).filter(|row| counted[*row]).collect();
            columns.push(lists(&take(&parts, &kept)?, &kept, rows)?);
        }
        columns.push(Arc::new(counts));
        Ok(columns)
    }

    fn size(&self) -> usize {
        // The engine's state per group is of the order of a hundred bytes.
        self.counts.len() * 128
    }
}
