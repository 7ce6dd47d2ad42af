//! One aggregate of one group: for window frames.

use std::sync::Mutex;

use arrow::array::{Array, ArrayRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo};

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
