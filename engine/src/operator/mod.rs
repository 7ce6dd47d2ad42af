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
//! A step may be asked for the same one time again, with more updates of it: within another
//! operator (`nested`), and of operators that take parts ([`Operator::takes_parts`]), so that what
//! many rows do at one time is not one long step. Its upper is then that time + 1, and the time
//! counts as stepped only when a later step begins above it.

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

use crate::checkpoint::record::Kept;
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

    /// How far a step from `lower` on should go that may go to `upper`, so that it stays short:
    /// above `lower`.
    fn slice(&self, _lower: u64, upper: u64) -> u64 {
        upper
    }

    /// Part of what changes at `lower` by time alone, where that is too much for one step; the rest
    /// comes when it is asked again, or with the step. All before `lower` was stepped.
    fn ahead(&mut self, _lower: u64) -> Option<Updates> {
        None
    }

    /// Whether it should be given the updates of one time of this input in parts as they come,
    /// where they are many: what a part costs, and makes it emit, must follow the part alone.
    fn takes_parts(&self, _input: usize) -> bool {
        false
    }

    /// What it keeps between steps; cheap to ask after every one.
    fn state(&self) -> StateSize {
        StateSize::default()
    }

    /// What it keeps, for checkpoints; `None` if that cannot be copied: a view with it is filled
    /// anew at a start.
    fn kept(&mut self) -> Option<&mut dyn Kept> {
        None
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
