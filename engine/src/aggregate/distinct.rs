//! DISTINCT: functions over each tuple of arguments once.
//!
//! Law      a tuple counts for a function while its multiplicity among the rows that the function's
//!          filter leaves is above 0
//! Delta    of a tuple's rows only the first to appear and the last to disappear come through
//! State    the tuples of each group, once for all functions of the same arguments, each with a
//!          count for every function, or a bit where rows never leave; the functions' own states
//! Errors   none of its own
//!
//! Tuples are equal as keys are: NULLs too, −0 is 0; what comes through is normalized likewise, so
//! that what leaves is what came.

use std::iter::once;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::datatypes::DataType;

use super::{Accumulator, AggregateFunction, CallTypes, Run, SweepInput, Swept};
use crate::state::key_index::{KeyCodec, KeyIndex, normalize_floats};

/// Functions over the same arguments.
pub(crate) struct Distinct {
    functions: Vec<Box<dyn Accumulator>>,
    /// For a tuple behind the number of its group.
    codec: KeyCodec,
    /// How many; columns behind them are order keys, which the arguments decide.
    arguments: usize,
    tuples: KeyIndex,
    marks: Marks,
    /// How many tuples each group has, where they can go.
    present: Vec<u32>,
}

/// What is known of each tuple, by its id.
enum Marks {
    /// Bit n: function n has it.
    Seen(Vec<u64>),
    /// How often each function has it, the functions of a tuple side by side.
    Counts(Vec<i64>),
}

/// Functions whose bits fit beside one another.
const BITS: usize = u64::BITS as usize;

/// No group.
const NONE: u32 = u32::MAX;

impl Distinct {
    /// `function` over distinct tuples, for the call.
    pub fn boxed(function: &dyn AggregateFunction, call: &CallTypes<'_>) -> Box<dyn Accumulator> {
        Box::new(Self::over(vec![function.accumulator_of(call)], call))
    }

    /// What `functions` give over distinct tuples of arguments of the call's types.
    pub fn over(functions: Vec<Box<dyn Accumulator>>, call: &CallTypes<'_>) -> Self {
        let types = once(DataType::UInt32).chain(call.arguments.iter().cloned());
        let marks = match call.append_only && functions.len() <= BITS {
            true => Marks::Seen(Vec::new()),
            false => Marks::Counts(Vec::new()),
        };
        Distinct {
            functions,
            codec: KeyCodec::for_keys(types),
            arguments: call.arguments.len(),
            tuples: KeyIndex::default(),
            marks,
            present: Vec::new(),
        }
    }

    /// As [`Accumulator::sweep`], of each function: `inputs` differ in filters and order keys.
    pub fn sweep_each(&mut self, inputs: &[SweepInput<'_>], runs: &[Run]) -> Vec<Swept> {
        let first = &inputs[0];
        let length = first.arguments[0].len();
        let (mut rows, mut groups) = (Vec::new(), vec![NONE; length]);
        first.rows.visit(
            runs,
            &mut (&mut rows, &mut groups),
            |_, _| {},
            |(rows, groups), number, row| {
                if inputs.iter().any(|input| input.passes(row)) {
                    groups[row] = runs[number].group;
                    rows.push(row);
                }
            },
            |_, _| {},
        );
        let groups = Arc::new(UInt32Array::from(groups));
        let arguments = first.arguments[..self.arguments].iter().cloned();
        let columns: Vec<ArrayRef> = once(groups.clone() as ArrayRef).chain(arguments).collect();
        let keys = self.codec.encode(&columns, length);
        let tuples = self.tuples.get_or_insert_each(&keys, rows.iter().copied());
        let crossings = self.mark(inputs, &groups, &rows, &tuples);

        // Rows that change nothing have a diff of 0 for the function within.
        let sweep = |((function, input), diffs): ((&mut Box<dyn Accumulator>, _), Vec<i64>)| {
            let SweepInput { arguments, rows, .. }: &SweepInput<'_> = input;
            let arguments: Vec<ArrayRef> = arguments.iter().map(normalize_floats).collect();
            let (arguments, diffs, rows) = (&arguments[..], &diffs[..], *rows);
            function.sweep(&SweepInput { arguments, filter: None, diffs, rows }, runs)
        };
        self.functions.iter_mut().zip(inputs).zip(crossings).map(sweep).collect()
    }

    /// Takes the rows in; gives, for each function, 1 for every row with which its tuple appears
    /// and −1 for every one with which it disappears.
    fn mark(
        &mut self,
        inputs: &[SweepInput<'_>],
        groups: &UInt32Array,
        rows: &[usize],
        tuples: &[u32],
    ) -> Vec<Vec<i64>> {
        let mut crossings = vec![vec![0; groups.len()]; inputs.len()];
        let mut idle = Vec::new();
        match &mut self.marks {
            Marks::Seen(seen) => {
                seen.resize(self.tuples.id_limit(), 0);
                for (&row, &tuple) in rows.iter().zip(tuples) {
                    let seen = &mut seen[tuple as usize];
                    for (bit, (input, crossings)) in inputs.iter().zip(&mut crossings).enumerate() {
                        if *seen & 1 << bit == 0 && input.passes(row) && input.diffs[row] > 0 {
                            *seen |= 1 << bit;
                            crossings[row] = 1;
                        }
                    }
                }
            }
            Marks::Counts(counts) => {
                counts.resize(self.tuples.id_limit() * inputs.len(), 0);
                for (&row, &tuple) in rows.iter().zip(tuples) {
                    let counts = &mut counts[tuple as usize * inputs.len()..][..inputs.len()];
                    let before = is_there(counts);
                    for ((input, crossings), count) in
                        inputs.iter().zip(&mut crossings).zip(&mut *counts)
                    {
                        if input.passes(row) {
                            let before = *count > 0;
                            *count += input.diffs[row];
                            crossings[row] = i64::from(*count > 0) - i64::from(before);
                        }
                    }
                    let present = &mut self.present[groups.value(row) as usize];
                    match (before, is_there(counts)) {
                        (false, true) => *present += 1,
                        (true, false) => *present -= 1,
                        _ => {}
                    }
                    if !is_there(counts) {
                        idle.push(tuple);
                    }
                }
                idle.sort_unstable();
                idle.dedup();
                idle.retain(|&tuple| {
                    !is_there(&counts[tuple as usize * inputs.len()..][..inputs.len()])
                });
            }
        }
        self.forget(idle);
        crossings
    }

    fn forget(&mut self, tuples: Vec<u32>) {
        tuples.iter().for_each(|&tuple| self.tuples.unlink(tuple));
        self.tuples.release(tuples);
    }
}

fn is_there(counts: &[i64]) -> bool {
    counts.iter().any(|&count| count != 0)
}

impl Accumulator for Distinct {
    fn resize(&mut self, groups: usize) {
        self.present.resize(groups, 0);
        self.functions.iter_mut().for_each(|function| function.resize(groups));
    }

    fn sweep(&mut self, input: &SweepInput<'_>, runs: &[Run]) -> Swept {
        let swept = self.sweep_each(std::slice::from_ref(input), runs);
        swept.into_iter().next().expect("one function")
    }

    fn bytes(&self) -> usize {
        let marks = match &self.marks {
            Marks::Seen(seen) => size_of_val(&seen[..]),
            Marks::Counts(counts) => size_of_val(&counts[..]),
        };
        let functions: usize = self.functions.iter().map(|function| function.bytes()).sum();
        size_of_val(&self.present[..]) + self.tuples.size().bytes as usize + marks + functions
    }

    fn clear(&mut self, group: u32) {
        self.functions.iter_mut().for_each(|function| function.clear(group));
        // A group that is gone has tuples only where rows left that never came.
        if std::mem::take(&mut self.present[group as usize]) > 0 {
            let column: ArrayRef = Arc::new(UInt32Array::from(vec![group]));
            let key = KeyCodec::for_keys([DataType::UInt32]).encode(&[column], 1);
            let tuples = self.tuples.beginning_with(key.key(0).1);
            if let Marks::Counts(counts) = &mut self.marks {
                let functions = self.functions.len();
                let mut of =
                    |tuple: &u32| counts[*tuple as usize * functions..][..functions].fill(0);
                tuples.iter().for_each(&mut of);
            }
            self.forget(tuples);
        }
    }
}
