//! avg(x): the exact sum over the number of values; NULL over nothing.
//!
//! Of integers and numerics a quotient (see [`crate::decimal`]), rounded half away from zero; of
//! floats double precision; of intervals an interval, a month's fraction as days of 30 and a
//! day's as time.

use arrow::datatypes::{DataType, Decimal128Type, Float64Type, IntervalUnit};

use crate::decimal::quotient_over;

use super::exact_float::FloatSum;
use super::exact_int::{IntSum, decimal_average};
use super::interval;
use super::sum::{floats, integers, nonempty};
use super::{
    Accumulator, AggregateFunction, CallTypes, PrimitiveOutput, Run, SweepInput, Swept,
    kept_states, sweep_states, update_states,
};

#[derive(Debug)]
pub(super) struct Avg;

impl AggregateFunction for Avg {
    fn name(&self) -> &'static str {
        "avg"
    }

    fn return_type(&self, arguments: &[DataType]) -> Option<DataType> {
        match arguments {
            [DataType::Float32 | DataType::Float64] => Some(DataType::Float64),
            [interval @ DataType::Interval(IntervalUnit::MonthDayNano)] => Some(interval.clone()),
            [number] => quotient_over(number),
            _ => None,
        }
    }

    fn can_fail(&self) -> bool {
        true
    }

    fn passes_over_nulls(&self) -> bool {
        true
    }

    fn accumulator_of(&self, call: &CallTypes<'_>) -> Box<dyn Accumulator> {
        match (self.return_type(call.arguments), call.arguments) {
            (Some(DataType::Interval(_)), _) => interval::averages(),
            (Some(output @ DataType::Decimal128(_, scale)), [argument]) => {
                let own = match argument {
                    DataType::Decimal128(_, own) => *own,
                    _ => 0,
                };
                Box::new(IntAverages { states: Vec::new(), scales: (own, scale), output })
            }
            _ => Box::new(FloatAverages { states: Vec::new() }),
        }
    }
}

struct IntAverages {
    states: Vec<IntSum>,
    /// Digits behind the point of the argument and of the average.
    scales: (i8, i8),
    output: DataType,
}

impl Accumulator for IntAverages {
    fn resize(&mut self, groups: usize) {
        self.states.resize(groups, IntSum::default());
    }

    fn sweep(&mut self, input: &SweepInput<'_>, runs: &[Run]) -> Swept {
        let values = integers(&input.arguments[0]);
        let (own, scale) = self.scales;
        sweep_states::<_, PrimitiveOutput<Decimal128Type>>(
            &mut self.states,
            input,
            runs,
            &self.output,
            |sum, row, diff| sum.add(values(row), diff),
            |sum| nonempty(sum.count, || decimal_average(sum, own, scale)),
        )
    }

    fn update(&mut self, input: &SweepInput<'_>) {
        let values = integers(&input.arguments[0]);
        update_states(&mut self.states, input, |sum, row, diff| sum.add(values(row), diff));
    }

    fn bytes(&self) -> usize {
        size_of_val(&self.states[..])
    }

    fn clear(&mut self, group: u32) {
        self.states[group as usize] = IntSum::default();
    }

    kept_states!();
}

struct FloatAverages {
    states: Vec<FloatSum>,
}

impl Accumulator for FloatAverages {
    fn resize(&mut self, groups: usize) {
        self.states.resize(groups, FloatSum::default());
    }

    fn sweep(&mut self, input: &SweepInput<'_>, runs: &[Run]) -> Swept {
        let values = floats(&input.arguments[0]);
        sweep_states::<_, PrimitiveOutput<Float64Type>>(
            &mut self.states,
            input,
            runs,
            &DataType::Float64,
            |sum, row, diff| sum.add(values(row), diff),
            |sum| nonempty(sum.count, || Ok(sum.value() / sum.count as f64)),
        )
    }

    fn update(&mut self, input: &SweepInput<'_>) {
        let values = floats(&input.arguments[0]);
        update_states(&mut self.states, input, |sum, row, diff| sum.add(values(row), diff));
    }

    fn bytes(&self) -> usize {
        size_of_val(&self.states[..])
    }

    fn clear(&mut self, group: u32) {
        self.states[group as usize] = FloatSum::default();
    }

    kept_states!();
}
