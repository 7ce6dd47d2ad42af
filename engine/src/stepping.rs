//! Stepping: a plan's operators, driven by hand on the caller's thread.
//!
//! For benchmarks and profiles: no worker, no exchange, no store. A step is the operators' own.

use crate::operator::StepContext;
use crate::operator::nested::Nested;
use crate::plan::Plan;
use crate::quarantine::Quarantine;
use crate::time::{CollectionId, Timestamp};
use crate::updates::Updates;

/// The operators of a plan, and the time before which they have seen everything.
pub struct Stepping {
    operators: Nested,
    quarantine: Quarantine,
    lower: Timestamp,
}

impl Stepping {
    /// Nothing has happened yet.
    pub fn new(plan: &Plan) -> Self {
        let (quarantine, lower) = (Quarantine::default(), Timestamp(0));
        Stepping { operators: Nested::new(plan), quarantine, lower }
    }

    /// The output's updates before `upper`, of which the last step has not told. `input` gives a
    /// collection's updates of that time, once for each place that reads it.
    pub fn step(
        &mut self,
        upper: Timestamp,
        input: &mut dyn FnMut(CollectionId) -> Option<Updates>,
    ) -> Updates {
        let context = StepContext {
            lower: self.lower.0,
            upper: upper.0,
            view: CollectionId(0),
            quarantine: &self.quarantine,
        };
        self.lower = upper;
        self.operators.step(&context, input)
    }
}
