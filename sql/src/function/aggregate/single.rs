//! One aggregate of one group: for window frames, and for DISTINCT.

use std::collections::HashSet;

use arrow::array::cast::AsArray;
use arrow::array::{Array, ArrayRef, Float32Array, Float64Array};
use arrow::compute::{concat, interleave};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo};
use std::sync::{Arc, Mutex};

use crate::error::SqlError;

use super::groups::Groups;

/// A group alone; rows can be taken out again, as sliding frames do.
pub struct Single {
    groups: Mutex<Groups>,
}

/// The mutex only makes the engine's state `Sync`, as DataFusion wants it; nobody waits for it.
fn inner(groups: &mut Mutex<Groups>) -> &mut Groups {
    groups.get_mut().expect("it is never locked, so no panic has left it locked")
}

impl Single {
    pub fn new(groups: Groups) -> Self {
        Single { groups: Mutex::new(groups) }
    }

    fn apply(&mut self, values: &[ArrayRef], diff: i64) -> Result<()> {
        let rows = values.first().map_or(0, |array| array.len());
        Ok(inner(&mut self.groups).apply(values, &vec![0; rows], None, 1, diff)?)
    }

    fn ready(&mut self) -> Result<()> {
        Ok(inner(&mut self.groups).apply(&[], &[], None, 1, 1)?)
    }
}

impl std::fmt::Debug for Single {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Single")
    }
}

impl Accumulator for Single {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.apply(values, 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.apply(values, -1)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    /// May be called again and again, as the frame moves on.
    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.ready()?;
        let value = inner(&mut self.groups).peek()?;
        ScalarValue::try_from_array(&value, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.ready()?;
        let columns = inner(&mut self.groups).export(EmitTo::All)?;
        columns.iter().map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let rows = states[0].len();
        Ok(inner(&mut self.groups).import(states, &vec![0; rows], 1)?)
    }

    fn size(&self) -> usize {
        std::mem::size_of_val(self)
    }
}

/// Each value once. −0 is 0, and one NaN is like another.
pub struct Distinct {
    groups: Mutex<Groups>,
    converter: RowConverter,
    seen: HashSet<OwnedRow>,
    values: Vec<ArrayRef>,
    ty: DataType,
}

impl Distinct {
    pub fn new(groups: Groups, ty: &DataType) -> Result<Self, SqlError> {
        let converter = RowConverter::new(vec![SortField::new(ty.clone())])?;
        let (seen, values) = (HashSet::new(), Vec::new());
        Ok(Distinct { groups: Mutex::new(groups), converter, seen, values, ty: ty.clone() })
    }

    fn insert(&mut self, values: &ArrayRef) -> Result<(), SqlError> {
        let values = normalized(values);
        let rows = self.converter.convert_columns(std::slice::from_ref(&values))?;
        let mut fresh = Vec::new();
        for row in (0..values.len()).filter(|row| values.is_valid(*row)) {
            if self.seen.insert(rows.row(row).owned()) {
                fresh.push((0, row));
            }
        }
        if !fresh.is_empty() {
            self.values.push(interleave(&[values.as_ref()], &fresh)?);
        }
        Ok(())
    }

    fn all(&self) -> Result<ArrayRef, SqlError> {
        let arrays: Vec<&dyn Array> = self.values.iter().map(AsRef::as_ref).collect();
        match arrays.is_empty() {
            true => Ok(arrow::array::new_empty_array(&self.ty)),
            false => Ok(concat(&arrays)?),
        }
    }
}

fn normalized(values: &ArrayRef) -> ArrayRef {
    match values.data_type() {
        DataType::Float32 => {
            let floats = values.as_primitive::<Float32Type>();
            let plain = |x: f32| if x.is_nan() { f32::NAN } else { x + 0.0 };
            Arc::new(floats.unary::<_, Float32Type>(plain)) as Arc<Float32Array> as ArrayRef
        }
        DataType::Float64 => {
            let floats = values.as_primitive::<Float64Type>();
            let plain = |x: f64| if x.is_nan() { f64::NAN } else { x + 0.0 };
            Arc::new(floats.unary::<_, Float64Type>(plain)) as Arc<Float64Array> as ArrayRef
        }
        _ => Arc::clone(values),
    }
}

impl std::fmt::Debug for Distinct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Distinct")
    }
}

impl Accumulator for Distinct {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        Ok(self.insert(&values[0])?)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let values = self.all()?;
        inner(&mut self.groups).reset();
        inner(&mut self.groups).apply(
            &[Arc::clone(&values)],
            &vec![0; values.len()],
            None,
            1,
            1,
        )?;
        ScalarValue::try_from_array(&inner(&mut self.groups).finish(EmitTo::All)?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = self.all()?;
        let list = datafusion::common::utils::SingleRowListArrayBuilder::new(values)
            .with_nullable(true)
            .build_list_scalar();
        Ok(vec![list])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states[0].as_list::<i32>();
        for row in (0..lists.len()).filter(|row| lists.is_valid(*row)) {
            self.insert(&lists.value(row))?;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        let arrays: usize = self.values.iter().map(|array| array.get_array_memory_size()).sum();
        std::mem::size_of_val(self) + arrays * 2
    }
}
