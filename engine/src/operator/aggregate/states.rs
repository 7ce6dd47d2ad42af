//! States: what the groups of an aggregate keep for its calls.
//!
//! Law      the calls' values are as if each call kept its own
//! State    a state a call; calls of distinct tuples of the same arguments share the tuples

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::datatypes::SchemaRef;

use super::AggregateCall;
use crate::aggregate::distinct::Distinct;
use crate::aggregate::{Accumulator, Run, RunRows, SweepInput, Swept, columns_at};
use crate::checkpoint::record::Cursor;

/// See the module.
pub(super) struct States {
    calls: Vec<AggregateCall>,
    parts: Vec<Part>,
}

/// The state of some of the calls, by their places.
enum Part {
    One(usize, Box<dyn Accumulator>),
    Distinct(Vec<usize>, Box<Distinct>),
}

impl States {
    pub fn new(calls: &[AggregateCall], input: &SchemaRef, append_only: bool) -> Self {
        let mut parts: Vec<Part> = Vec::new();
        for (place, call) in calls.iter().enumerate() {
            if !call.distinct {
                parts.push(Part::One(place, call.accumulator(input, append_only)));
                continue;
            }
            let same = |other: &AggregateCall| other.distinct && other.arguments == call.arguments;
            if calls[..place].iter().any(same) {
                continue;
            }
            let places: Vec<usize> = (place..calls.len()).filter(|&at| same(&calls[at])).collect();
            let functions = places.iter().map(|&at| calls[at].function_state(input, append_only));
            let functions = functions.collect();
            let distinct =
                call.with_types(input, append_only, |call| Distinct::over(functions, call));
            parts.push(Part::Distinct(places, Box::new(distinct)));
        }
        States { calls: calls.to_vec(), parts }
    }

    /// Makes room for group ids below `groups`.
    pub fn resize(&mut self, groups: usize) {
        self.parts.iter_mut().for_each(|part| part.state().resize(groups));
    }

    /// As [`Accumulator::sweep`], of every call.
    pub fn sweep(
        &mut self,
        input: &RecordBatch,
        diffs: &[i64],
        rows: RunRows<'_>,
        runs: &[Run],
    ) -> Vec<Swept> {
        let arguments: Vec<Vec<ArrayRef>> =
            self.calls.iter().map(|call| call.arguments_in(input)).collect();
        let of = |call: usize| SweepInput {
            arguments: &arguments[call],
            filter: self.calls[call].filter_in(input),
            diffs,
            rows,
        };
        let mut swept: Vec<Option<Swept>> = self.calls.iter().map(|_| None).collect();
        for part in &mut self.parts {
            match part {
                Part::One(place, state) => swept[*place] = Some(state.sweep(&of(*place), runs)),
                Part::Distinct(places, state) => {
                    let inputs: Vec<SweepInput<'_>> = places.iter().map(|&call| of(call)).collect();
                    for (place, of_call) in places.iter().zip(state.sweep_each(&inputs, runs)) {
                        swept[*place] = Some(of_call);
                    }
                }
            }
        }
        swept.into_iter().map(|swept| swept.expect("every call is of a part")).collect()
    }

    /// What the groups take in memory.
    pub fn bytes(&self) -> usize {
        let bytes = |part: &Part| match part {
            Part::One(_, state) => state.bytes(),
            Part::Distinct(_, state) => state.bytes(),
        };
        self.parts.iter().map(bytes).sum()
    }

    /// Whether all of it can be copied and put back.
    pub fn is_kept(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::One(_, state) if state.is_kept()))
    }

    /// As [`Accumulator::copy`].
    pub fn copy(&self, group: u32, out: &mut Vec<u8>) -> bool {
        let mut copy = |part: &Part| match part {
            Part::One(_, state) => state.copy(group, out),
            Part::Distinct(_, state) => state.copy(group, out),
        };
        self.parts.iter().all(&mut copy)
    }

    /// As [`Accumulator::restore`].
    pub fn restore(&mut self, group: u32, from: &mut Cursor<'_>) -> Option<()> {
        self.parts.iter_mut().try_for_each(|part| part.state().restore(group, from))
    }

    /// Makes the group empty again.
    pub fn clear(&mut self, group: u32) {
        self.parts.iter_mut().for_each(|part| part.state().clear(group));
    }
}

impl Part {
    fn state(&mut self) -> &mut dyn Accumulator {
        match self {
            Part::One(_, state) => &mut **state,
            Part::Distinct(_, state) => &mut **state,
        }
    }
}

impl AggregateCall {
    /// Its arguments, and behind them its order keys.
    fn arguments_in(&self, input: &RecordBatch) -> Vec<ArrayRef> {
        let mut arguments = columns_at(input, &self.arguments);
        arguments.extend(self.order_by.iter().map(|key| input.column(key.column).clone()));
        arguments
    }

    fn filter_in<'a>(&self, input: &'a RecordBatch) -> Option<&'a BooleanArray> {
        self.filter.map(|column| {
            let filter = input.column(column).as_any().downcast_ref::<BooleanArray>();
            filter.expect("FILTER is boolean")
        })
    }
}
