//! sum(x): NULL over nothing.
//!
//! smallint and integer sum to bigint, bigint to numeric(38,0), numeric(p,s) to numeric(38,s)
//! (a quotient stays one),
//! real to real, double precision to double precision, interval to interval, each field by itself.
//! Integer, numeric and interval sums out of range are errors of the group; float sums are exact,
//! rounded once.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalUnit,
};

use crate::decimal::QUOTIENT_PRECISION;

use super::exact_float::FloatSum;
use super::exact_int::{IntSum, decimal_total};
use super::interval;
use super::{
    Accumulator, AggregateFunction, CallTypes, PrimitiveOutput, Run, SweepInput, Swept,
    kept_states, sweep_states, update_states,
};

#[derive(Debug)]
pub(super) struct Sum;

impl AggregateFunction for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn return_type(&self, arguments: &[DataType]) -> Option<DataType> {
        match arguments {
            [DataType::Int16 | DataType::Int32] => Some(DataType::Int64),
            [DataType::Int64] => Some(DataType::Decimal128(38, 0)),
            [quotient @ DataType::Decimal128(QUOTIENT_PRECISION, _)] => Some(quotient.clone()),
            [DataType::Decimal128(_, scale)] => Some(DataType::Decimal128(38, *scale)),
            [float @ (DataType::Float32 | DataType::Float64)] => Some(float.clone()),
            [interval @ DataType::Interval(IntervalUnit::MonthDayNano)] => Some(interval.clone()),
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
        let output = self.return_type(call.arguments).expect("a type that sum is defined for");
        match output {
            DataType::Interval(_) => interval::sums(),
            DataType::Float32 | DataType::Float64 => {
                Box::new(FloatSums { states: Vec::new(), output })
            }
            _ => Box::new(IntSums { states: Vec::new(), output }),
        }
    }
}

struct IntSums {
    states: Vec<IntSum>,
    output: DataType,
}

impl Accumulator for IntSums {
    fn resize(&mut self, groups: usize) {
        self.states.resize(groups, IntSum::default());
    }

    fn sweep(&mut self, input: &SweepInput<'_>, runs: &[Run]) -> Swept {
        let values = integers(&input.arguments[0]);
        let update = |sum: &mut IntSum, row, diff| sum.add(values(row), diff);
        match self.output {
            DataType::Int64 => sweep_states::<_, PrimitiveOutput<Int64Type>>(
                &mut self.states,
                input,
                runs,
                &self.output,
                update,
                |sum| nonempty(sum.count, || bigint(sum)),
            ),
            _ => sweep_states::<_, PrimitiveOutput<Decimal128Type>>(
                &mut self.states,
                input,
                runs,
                &self.output,
                update,
                |sum| nonempty(sum.count, || decimal_total(sum)),
            ),
        }
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

fn bigint(sum: &IntSum) -> Result<i64, String> {
    let total = sum.total().and_then(|total| i64::try_from(total).ok());
    total.ok_or_else(|| "bigint out of range".to_string())
}

/// NULL where nothing was summed.
pub(super) fn nonempty<V>(
    count: i64,
    value: impl FnOnce() -> Result<V, String>,
) -> Result<Option<V>, String> {
    match count {
        0 => Ok(None),
        _ => value().map(Some),
    }
}

/// The values of an integer or decimal column, unscaled.
pub(super) fn integers(column: &ArrayRef) -> Box<dyn Fn(usize) -> i128 + '_> {
    match column.data_type() {
        DataType::Int16 => {
            let values = column.as_primitive::<Int16Type>().values();
            Box::new(move |row| values[row].into())
        }
        DataType::Int32 => {
            let values = column.as_primitive::<Int32Type>().values();
            Box::new(move |row| values[row].into())
        }
        DataType::Int64 => {
            let values = column.as_primitive::<Int64Type>().values();
            Box::new(move |row| values[row].into())
        }
        DataType::Decimal128(..) => {
            let values = column.as_primitive::<Decimal128Type>().values();
            Box::new(move |row| values[row])
        }
        other => unreachable!("the plan sums no {other}"),
    }
}

/// The values of a float column.
pub(super) fn floats(column: &ArrayRef) -> Box<dyn Fn(usize) -> f64 + '_> {
    match column.data_type() {
        DataType::Float32 => {
            let values = column.as_primitive::<Float32Type>().values();
            Box::new(move |row| values[row].into())
        }
        DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>().values();
            Box::new(move |row| values[row])
        }
        other => unreachable!("the plan sums no {other}"),
    }
}

struct FloatSums {
    states: Vec<FloatSum>,
    output: DataType,
}

impl Accumulator for FloatSums {
    fn resize(&mut self, groups: usize) {
        self.states.resize(groups, FloatSum::default());
    }

    fn sweep(&mut self, input: &SweepInput<'_>, runs: &[Run]) -> Swept {
        let values = floats(&input.arguments[0]);
        let update = |sum: &mut FloatSum, row, diff| sum.add(values(row), diff);
        match self.output {
            DataType::Float32 => sweep_states::<_, PrimitiveOutput<Float32Type>>(
                &mut self.states,
                input,
                runs,
                &self.output,
                update,
                |sum| nonempty(sum.count, || Ok(sum.value_f32())),
            ),
            _ => sweep_states::<_, PrimitiveOutput<Float64Type>>(
                &mut self.states,
                input,
                runs,
                &self.output,
                update,
                |sum| nonempty(sum.count, || Ok(sum.value())),
            ),
        }
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
