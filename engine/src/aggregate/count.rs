//! count(*) and count(x): rows, or rows where x is not NULL. bigint, 0 over nothing.

use arrow::datatypes::{DataType, Int64Type};

use super::{
    Accumulator, AggregateFunction, CallTypes, PrimitiveOutput, Run, SweepInput, Swept,
    kept_states, sweep_states,
};

#[derive(Debug)]
pub(super) struct Count;

impl AggregateFunction for Count {
    fn name(&self) -> &'static str {
        "count"
    }

    fn return_type(&self, arguments: &[DataType]) -> Option<DataType> {
        (arguments.len() <= 1).then_some(DataType::Int64)
    }

    fn passes_over_nulls(&self) -> bool {
        true
    }

    fn accumulator_of(&self, _call: &CallTypes<'_>) -> Box<dyn Accumulator> {
        Box::new(Counts { states: Vec::new() })
    }
}

struct Counts {
    states: Vec<i64>,
}

impl Accumulator for Counts {
    fn resize(&mut self, groups: usize) {
        self.states.resize(groups, 0);
    }

    fn sweep(&mut self, input: &SweepInput<'_>, runs: &[Run]) -> Swept {
        sweep_states::<_, PrimitiveOutput<Int64Type>>(
            &mut self.states,
            input,
            runs,
            &DataType::Int64,
            |count, _, diff| *count += diff,
            |count| Ok(Some(*count)),
        )
    }

    fn bytes(&self) -> usize {
        size_of_val(&self.states[..])
    }

    fn clear(&mut self, group: u32) {
        self.states[group as usize] = 0;
    }

    kept_states!();
}
