//! Operators: what runs in a dataflow.
//!
//! The contract, asserted by the one driver (`dataflow::drive`):
//!
//! 1. An operator is asked in order of time: each step covers [lower, upper), and the next one
//!    begins at that upper.
//! 2. A step is given all updates of its inputs with times in [lower, upper), in any order, and
//!    returns the updates of its output with times in [lower, upper): for every time t in it, the
//!    output summed up to t is the operator's function of its inputs summed up to t (and of now() =
//!    t). Updates of one row and time may stand beside each other uncancelled.
//! 3. State is "as of lower". An operator that will change its output without input says when
//!    ([`Operator::next_time`]), and is asked again by then.
//! 4. No threads, no clock, no I/O: the same inputs give the same outputs, cut into steps anyhow.
//!
//! Only within another operator (`nested`) may a step be asked for the same one time again, with
//! more updates of it.

pub mod aggregate;
pub mod filter;
pub mod join;
pub(crate) mod nested;
pub mod project;
pub mod recursive;
pub mod session;
pub mod set_operation;
pub mod temporal;
pub mod top_k;
pub mod unnest;
pub mod window;

#[cfg(test)]
pub(crate) mod testing;

use crate::dataflow::statistics::Step;
use crate::expression::RowError;
use crate::quarantine::Quarantine;
use crate::time::{CollectionId, Timestamp};
use crate::updates::Updates;

/// See the module's contract.
pub(crate) trait Operator {
    fn step(&mut self, context: &StepContext<'_>, inputs: Vec<Updates>) -> Updates;

    /// The next time at which the output changes with no input; `None` where it never does.
    fn next_time(&self) -> Option<u64> {
        None
    }

    /// How far a step should go that may go to `upper`, so that it stays short: above its lower.
    fn slice(&self, upper: u64) -> u64 {
        upper
    }

    /// What it keeps between steps; cheap to ask after every one.
    fn state(&self) -> StateSize {
        StateSize::default()
    }

    /// Gives what the operators within it have done since it was last asked, each with its place
    /// in the printed plan, where this one is at 0.
    fn take_steps(&mut self, _found: &mut dyn FnMut(usize, Step)) {}
}

/// How much an operator keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateSize {
    /// Rows, groups or values, whatever it keeps one record for.
    pub rows: u64,
    /// In memory, as far as it is counted: keys and records, not the allocator's slack.
    pub bytes: u64,
}

impl std::ops::Add for StateSize {
    type Output = StateSize;

    fn add(self, other: StateSize) -> StateSize {
        StateSize { rows: self.rows + other.rows, bytes: self.bytes + other.bytes }
    }
}

/// What a step may know beside its inputs.
pub(crate) struct StepContext<'a> {
    pub lower: u64,
    pub upper: u64,
    /// Whose operator it is, for reports.
    pub view: CollectionId,
    pub quarantine: &'a Quarantine,
}

impl StepContext<'_> {
    /// Reports the rows of `input` that failed, or that their failure is retracted.
    pub fn report_rows(&self, operator: &'static str, input: &Updates, errors: &[RowError]) {
        for error in errors {
            let row = error.row as usize;
            self.quarantine.record(
                self.view,
                operator,
                &input.data.slice(row, 1),
                &error.message,
                Timestamp(input.times[row]),
                input.diffs[row],
            );
        }
    }
}
