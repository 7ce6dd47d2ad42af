//! bool_and(b), also called every, and bool_or(b): NULL over nothing.
//!
//! Each group counts its true and its false values.

use std::sync::Arc;

use arrow::array::builder::BooleanBuilder;
use arrow::array::{ArrayRef, AsArray};
use arrow::compute::SortOptions;
use arrow::datatypes::DataType;

use super::{
    Accumulator, AggregateFunction, CallTypes, Extreme, Output, Run, SweepInput, Swept,
    kept_states, sweep_states,
};

pub(super) static AND: Boolean = Boolean { name: "bool_and", aliases: &["every"] };
pub(super) static OR: Boolean = Boolean { name: "bool_or", aliases: &[] };

#[derive(Debug)]
pub(super) struct Boolean {
    name: &'static str,
    aliases: &'static [&'static str],
}

impl AggregateFunction for Boolean {
    fn name(&self) -> &'static str {
        self.name
    }

    fn aliases(&self) -> &'static [&'static str] {
        self.aliases
    }

    fn return_type(&self, arguments: &[DataType]) -> Option<DataType> {
        (*arguments == [DataType::Boolean]).then_some(DataType::Boolean)
    }

    fn extreme(&self, call: &CallTypes<'_>) -> Option<Extreme> {
        // All are true while the least is, one is true while the greatest is.
        let options = SortOptions { descending: self.name == OR.name, nulls_first: false };
        Some(Extreme::new(call, 0, options, &[], 0))
    }

    fn accumulator_of(&self, _call: &CallTypes<'_>) -> Box<dyn Accumulator> {
        Box::new(Counted { states: Vec::new(), all: self.name == AND.name })
    }
}

struct Counted {
    states: Vec<[i64; 2]>,
    /// Whether all must be true, or one.
    all: bool,
}

#[derive(Default)]
struct BooleanOutput(BooleanBuilder);

impl Output for BooleanOutput {
    type Value = bool;

    fn push(&mut self, value: bool) {
        self.0.append_value(value);
    }

    fn push_null(&mut self) {
        self.0.append_null();
    }

    fn finish(mut self, _: &DataType) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

impl Accumulator for Counted {
    fn resize(&mut self, groups: usize) {
        self.states.resize(groups, [0; 2]);
    }

    fn sweep(&mut self, input: &SweepInput<'_>, runs: &[Run]) -> Swept {
        let values = input.arguments[0].as_boolean();
        let all = self.all;
        sweep_states::<_, BooleanOutput>(
            &mut self.states,
            input,
            runs,
            &DataType::Boolean,
            |counts, row, diff| counts[usize::from(values.value(row))] += diff,
            |&[no, yes]| {
                let value = if all { no == 0 } else { yes != 0 };
                Ok((no != 0 || yes != 0).then_some(value))
            },
        )
    }

    fn bytes(&self) -> usize {
        size_of_val(&self.states[..])
    }

    fn clear(&mut self, group: u32) {
        self.states[group as usize] = [0; 2];
    }

    kept_states!();
}
