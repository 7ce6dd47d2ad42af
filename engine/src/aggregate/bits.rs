//! bit_and(i), bit_or(i), bit_xor(i) of integers: NULL over nothing; the type of i.
//!
//! Each group counts its values, and for each bit the values that have it, so that values leave as
//! they came.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Int16Type, Int32Type, Int64Type};

use super::sum::integers;
use super::{
    Accumulator, AggregateFunction, CallTypes, Output, PrimitiveOutput, Run, SweepInput, Swept,
    kept_states, sweep_states,
};
use crate::checkpoint::record::{Cursor, Stored};

pub(super) static AND: Bits = Bits { name: "bit_and", operation: Operation::And };
pub(super) static OR: Bits = Bits { name: "bit_or", operation: Operation::Or };
pub(super) static XOR: Bits = Bits { name: "bit_xor", operation: Operation::Xor };

#[derive(Debug)]
pub(super) struct Bits {
    name: &'static str,
    operation: Operation,
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    And,
    Or,
    Xor,
}

impl AggregateFunction for Bits {
    fn name(&self) -> &'static str {
        self.name
    }

    fn return_type(&self, arguments: &[DataType]) -> Option<DataType> {
        match arguments {
            [ty @ (DataType::Int16 | DataType::Int32 | DataType::Int64)] => Some(ty.clone()),
            _ => None,
        }
    }

    fn passes_over_nulls(&self) -> bool {
        true
    }

    fn accumulator_of(&self, call: &CallTypes<'_>) -> Box<dyn Accumulator> {
        let output = call.arguments[0].clone();
        Box::new(Counted { states: Vec::new(), operation: self.operation, output })
    }
}

#[derive(Clone, Default)]
struct Counts {
    values: i64,
    /// As many as the type has bits; none before the first value.
    ones: Vec<i64>,
}

impl Stored for Counts {
    fn put(&self, out: &mut Vec<u8>) {
        self.values.put(out);
        self.ones.put(out);
    }

    fn take(from: &mut Cursor<'_>) -> Option<Self> {
        Some(Counts { values: Stored::take(from)?, ones: Stored::take(from)? })
    }
}

struct Counted {
    states: Vec<Counts>,
    operation: Operation,
    output: DataType,
}

impl Counts {
    fn add(&mut self, value: i64, diff: i64, bits: usize) {
        if self.values == 0 {
            self.ones.resize(bits, 0);
        }
        self.values += diff;
        for (bit, ones) in self.ones.iter_mut().enumerate() {
            *ones += diff * (value >> bit & 1);
        }
    }

    fn value(&self, operation: Operation) -> Option<i64> {
        if self.values == 0 {
            return None;
        }
        let bits = self.ones.iter().enumerate().map(|(bit, &ones)| {
            let set = match operation {
                Operation::And => ones == self.values,
                Operation::Or => ones != 0,
                Operation::Xor => ones & 1 == 1,
            };
            i64::from(set) << bit
        });
        Some(bits.fold(0, |value, bit| value | bit))
    }
}

impl Counted {
    fn sweep_as<O: Output<Value: Copy>>(
        &mut self,
        input: &SweepInput<'_>,
        runs: &[Run],
        narrow: impl Fn(i64) -> O::Value,
    ) -> Swept {
        let argument: &ArrayRef = &input.arguments[0];
        let values = integers(argument);
        let bits = 8 * self.output.primitive_width().expect("an integer's");
        let operation = self.operation;
        sweep_states::<_, O>(
            &mut self.states,
            input,
            runs,
            &self.output,
            |counts, row, diff| counts.add(values(row) as i64, diff, bits),
            |counts| Ok(counts.value(operation).map(&narrow)),
        )
    }
}

impl Accumulator for Counted {
    fn resize(&mut self, groups: usize) {
        self.states.resize(groups, Counts::default());
    }

    fn sweep(&mut self, input: &SweepInput<'_>, runs: &[Run]) -> Swept {
        // The bits of the wider type are the narrow value's, and its sign's beyond.
        match self.output {
            DataType::Int16 => {
                self.sweep_as::<PrimitiveOutput<Int16Type>>(input, runs, |v| v as i16)
            }
            DataType::Int32 => {
                self.sweep_as::<PrimitiveOutput<Int32Type>>(input, runs, |v| v as i32)
            }
            _ => self.sweep_as::<PrimitiveOutput<Int64Type>>(input, runs, |v| v),
        }
    }

    fn bytes(&self) -> usize {
        let bits = 8 * self.output.primitive_width().expect("an integer's");
        self.states.len() * (size_of::<Counts>() + bits * size_of::<i64>())
    }

    fn clear(&mut self, group: u32) {
        self.states[group as usize] = Counts::default();
    }

    kept_states!();
}
