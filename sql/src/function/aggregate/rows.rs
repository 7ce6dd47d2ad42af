//! Aggregates that keep their rows until they are asked: the engine's accumulator sees them all at
//! once, as it would in a view.
//!
//! Law: partial results lose nothing, for a group's state is its rows. Values are columns of the
//! arguments, then of the order keys.

use std::sync::{Arc, Mutex};

use arrow::array::cast::AsArray;
use arrow::array::{
    Array, ArrayRef, BooleanArray, Int64Array, ListArray, StructArray, UInt32Array, new_empty_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{SortOptions, concat, take};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use tidemark_engine::aggregate::{
    self, AggregateFunction, CallTypes, Order, Run, RunRows, SweepInput,
};

use crate::error::SqlError;

use super::groups::{failed, runs};

/// A call with its types: what an engine accumulator is made for.
#[derive(Clone)]
pub struct Shape {
    pub function: &'static dyn AggregateFunction,
    pub arguments: Vec<DataType>,
    pub parameters: Vec<ScalarValue>,
    pub order: Vec<(DataType, SortOptions)>,
    pub distinct: bool,
}

impl Shape {
    fn accumulator(&self) -> Box<dyn aggregate::Accumulator> {
        aggregate::accumulator_of(
            self.function,
            &CallTypes {
                arguments: &self.arguments,
                parameters: &self.parameters,
                order: &self.order,
                distinct: self.distinct,
                append_only: false,
            },
        )
    }

    /// Of columns as DataFusion gives them, those that the accumulator takes: constants stand
    /// behind the arguments.
    fn columns(&self, values: &[ArrayRef]) -> Vec<ArrayRef> {
        let (arguments, rest) = values.split_at(self.arguments.len());
        arguments.iter().chain(&rest[self.parameters.len()..]).cloned().collect()
    }
}

/// The fields of a row as a state keeps it.
pub fn row_type(types: impl IntoIterator<Item = DataType>) -> DataType {
    let fields = types.into_iter().enumerate();
    let fields = fields.map(|(i, ty)| Field::new(format!("c{i}"), ty, true));
    DataType::Struct(fields.collect::<Fields>())
}

/// The rows of many groups.
pub struct RowGroups {
    shape: Shape,
    /// Columns as DataFusion gives them, and each row's group.
    batches: Vec<(Vec<ArrayRef>, Vec<usize>)>,
    groups: usize,
}

impl RowGroups {
    pub fn new(shape: Shape) -> Self {
        RowGroups { shape, batches: Vec::new(), groups: 0 }
    }

    fn push(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>) {
        let kept = |row: usize| filter.is_none_or(|f| f.is_valid(row) && f.value(row));
        let rows: Vec<u32> =
            (0..groups.len()).filter(|&row| kept(row)).map(|row| row as u32).collect();
        let batch = match rows.len() == groups.len() {
            true => (values.to_vec(), groups.to_vec()),
            false => taken(values, groups, &rows),
        };
        if !batch.1.is_empty() {
            self.batches.push(batch);
        }
    }

    fn wanted(&self, emit: EmitTo) -> usize {
        match emit {
            EmitTo::All => self.groups,
            EmitTo::First(count) => count,
        }
    }

    /// The rows of the first `count` groups, in the order in which they came, with their groups.
    fn first(&self, count: usize) -> Option<(Vec<ArrayRef>, Vec<usize>)> {
        let parts: Vec<_> = self.batches.iter().map(|batch| split(batch, |g| g < count)).collect();
        let columns = parts.first()?.0.len();
        let columns = (0..columns).map(|column| {
            let parts: Vec<&dyn Array> = parts.iter().map(|(c, _)| c[column].as_ref()).collect();
            concat(&parts).expect("parts of one type")
        });
        let columns = columns.collect();
        Some((columns, parts.into_iter().flat_map(|(_, groups)| groups).collect()))
    }

    /// Forgets the first `count` groups.
    fn forget(&mut self, count: usize) {
        self.batches = self.batches.iter().map(|batch| split(batch, |g| g >= count)).collect();
        self.batches.retain(|(_, groups)| !groups.is_empty());
        for (_, groups) in &mut self.batches {
            groups.iter_mut().for_each(|group| *group -= count);
        }
        self.groups -= count;
    }

    /// The aggregate of the first `count` groups.
    fn values(&self, count: usize) -> Result<ArrayRef, SqlError> {
        let mut accumulator = self.shape.accumulator();
        accumulator.resize(count);
        let (columns, groups) = self.first(count).unwrap_or_else(|| (self.empty(), vec![]));
        let columns = self.shape.columns(&columns);
        let (order, mut touched) = runs(&groups);
        // Groups without rows have a value too.
        let mut all = vec![None; count];
        touched.drain(..).for_each(|run| all[run.group as usize] = Some(run));
        let all: Vec<Run> = (0..count as u32)
            .map(|group| all[group as usize].unwrap_or(Run { group, start: 0, end: 0 }))
            .collect();
        let diffs = vec![1; groups.len()];
        let input = SweepInput {
            arguments: &columns,
            filter: None,
            diffs: &diffs,
            rows: RunRows::Sorted(&order),
        };
        let swept = accumulator.sweep(&input, &all);
        failed(swept.after_errors)?;
        Ok(swept.after)
    }

    fn empty(&self) -> Vec<ArrayRef> {
        let constants = self.shape.parameters.iter().map(ScalarValue::data_type);
        let order = self.shape.order.iter().map(|(ty, _)| ty.clone());
        let types = self.shape.arguments.iter().cloned().chain(constants).chain(order);
        types.map(|ty| new_empty_array(&ty)).collect()
    }

    fn state_of(&self, count: usize) -> Result<ArrayRef, SqlError> {
        let (columns, groups) = self.first(count).unwrap_or_else(|| (self.empty(), vec![]));
        let (order, _) = runs(&groups);
        let (columns, _) = taken(&columns, &groups, &order);
        let DataType::Struct(fields) = row_type(columns.iter().map(|c| c.data_type().clone()))
        else {
            unreachable!("rows are structs")
        };
        let mut lengths = vec![0; count];
        groups.iter().for_each(|group| lengths[*group] += 1);
        let rows = StructArray::try_new_with_length(fields, columns, None, groups.len())?;
        let field = Arc::new(Field::new("item", rows.data_type().clone(), true));
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(Arc::new(ListArray::try_new(field, offsets, Arc::new(rows), None)?))
    }
}

fn taken(values: &[ArrayRef], groups: &[usize], rows: &[u32]) -> (Vec<ArrayRef>, Vec<usize>) {
    let indices = UInt32Array::from(rows.to_vec());
    let columns = values
        .iter()
        .map(|column| take(column, &indices, None).expect("numbers of rows"))
        .collect();
    (columns, rows.iter().map(|&row| groups[row as usize]).collect())
}

fn split(
    (values, groups): &(Vec<ArrayRef>, Vec<usize>),
    wanted: impl Fn(usize) -> bool,
) -> (Vec<ArrayRef>, Vec<usize>) {
    let rows = (0..groups.len()).filter(|&row| wanted(groups[row])).map(|row| row as u32);
    taken(values, groups, &rows.collect::<Vec<_>>())
}

impl GroupsAccumulator for RowGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups = total_num_groups;
        self.push(values, group_indices, opt_filter);
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let count = self.wanted(emit_to);
        let values = self.values(count)?;
        self.forget(count);
        Ok(values)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let count = self.wanted(emit_to);
        let state = self.state_of(count)?;
        self.forget(count);
        Ok(vec![state])
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups = total_num_groups;
        let states = values[0].as_list::<i32>();
        let offsets = states.value_offsets();
        let owners = group_indices.iter().enumerate();
        let owners: Vec<usize> = owners
            .flat_map(|(row, group)| (offsets[row]..offsets[row + 1]).map(move |_| *group))
            .collect();
        let rows = states.values().slice(offsets[0] as usize, owners.len());
        self.push(rows.as_struct().columns(), &owners, None);
        Ok(())
    }

    /// Each row as the state of a group of its own.
    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |column| column.len());
        let mut each = RowGroups::new(self.shape.clone());
        let groups: Vec<usize> = (0..rows).collect();
        each.update_batch(values, &groups, opt_filter, rows)?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        let columns = self.batches.iter().flat_map(|(columns, _)| columns);
        columns.map(|column| column.get_array_memory_size()).sum()
    }
}

/// The mutex only makes the engine's state `Sync`, as DataFusion wants it; nobody waits for it.
fn inner<T>(held: &mut Mutex<T>) -> &mut T {
    held.get_mut().expect("it is never locked, so no panic has left it locked")
}

/// The rows of one group.
pub struct OneGroup(RowGroups);

impl OneGroup {
    pub fn new(shape: Shape) -> Self {
        OneGroup(RowGroups { groups: 1, ..RowGroups::new(shape) })
    }
}

impl std::fmt::Debug for OneGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OneGroup")
    }
}

impl Accumulator for OneGroup {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows = values.first().map_or(0, |column| column.len());
        self.0.push(values, &vec![0; rows], None);
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.0.values(1)?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::try_from_array(&self.0.state_of(1)?, 0)?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let groups = vec![0; states[0].len()];
        GroupsAccumulator::merge_batch(&mut self.0, states, &groups, 1)
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}

/// One frame of a window: rows come in at its end and go out at its begin.
///
/// A function that depends on order sees the rows in the window's own: in that in which they come.
pub struct InFrame {
    accumulator: Mutex<Box<dyn aggregate::Accumulator>>,
    shape: Shape,
    /// Rows that came, and rows that went.
    came: i64,
    went: i64,
}

impl InFrame {
    pub fn new(mut shape: Shape) -> Self {
        if shape.function.order() == Order::Free {
            let ascending = SortOptions { descending: false, nulls_first: false };
            shape.order = vec![(DataType::Int64, ascending)];
        }
        let mut accumulator = shape.accumulator();
        accumulator.resize(1);
        InFrame { accumulator: Mutex::new(accumulator), shape, came: 0, went: 0 }
    }

    fn apply(&mut self, values: &[ArrayRef], diff: i64) {
        let rows = values.first().map_or(0, |column| column.len());
        let next = if diff > 0 { &mut self.came } else { &mut self.went };
        let places = *next..*next + rows as i64;
        *next = places.end;
        let mut columns = values[..self.shape.arguments.len()].to_vec();
        if self.shape.function.order() == Order::Free {
            columns.push(Arc::new(Int64Array::from_iter_values(places)));
        }
        let (order, runs) = runs(&vec![0; rows]);
        let diffs = vec![diff; rows];
        let input = SweepInput {
            arguments: &columns,
            filter: None,
            diffs: &diffs,
            rows: RunRows::Sorted(&order),
        };
        inner(&mut self.accumulator).sweep(&input, &runs);
    }
}

impl std::fmt::Debug for InFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InFrame")
    }
}

impl Accumulator for InFrame {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.apply(values, 1);
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.apply(values, -1);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let order = self.shape.order.iter().map(|(ty, _)| ty);
        let columns: Vec<ArrayRef> =
            self.shape.arguments.iter().chain(order).map(new_empty_array).collect();
        let input = SweepInput {
            arguments: &columns,
            filter: None,
            diffs: &[],
            rows: RunRows::Sorted(&[]),
        };
        let runs = [Run { group: 0, start: 0, end: 0 }];
        let swept = inner(&mut self.accumulator).sweep(&input, &runs);
        failed(swept.after_errors)?;
        ScalarValue::try_from_array(&swept.after, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Err(SqlError::internal("a window frame has no partial state").into())
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        Err(SqlError::internal("a window frame has no partial state").into())
    }

    fn size(&self) -> usize {
        std::mem::size_of_val(self)
    }
}
