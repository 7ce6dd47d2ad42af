//! Batch: a plan's rows at one time, computed by the operators themselves.
//!
//! Law      the rows are V(at) of the plan over the given inputs, and what fails is told; the same
//!          operators as in a view, in one step, so that a query asked once and a view that keeps
//!          its answer cannot differ
//!
//! For queries that nothing else here can execute. It runs on the caller's thread; an operator that
//! has begun is not interrupted.

use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::operator::StepContext;
use crate::operator::nested::Nested;
use crate::plan::Plan;
use crate::quarantine::{Quarantine, QuarantinedRow};
use crate::replay::Watch;
use crate::state::consolidate::consolidate;
use crate::time::{CollectionId, Timestamp};
use crate::updates::{Updates, take_rows};

/// What [`evaluate`] gives.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// In no order; equal rows stand side by side.
    pub rows: RecordBatch,
    /// The rows that an operator could not compute, and left out.
    pub failed: Vec<QuarantinedRow>,
}

/// Evaluates `plan` with now() = `at` over the rows that `input` gives of each collection.
pub fn evaluate(
    plan: &Plan,
    at: Timestamp,
    input: &dyn Fn(CollectionId) -> RecordBatch,
) -> Evaluated {
    evaluate_unless(plan, at, input, &|| false).expect("it is not cancelled")
}

/// The same; `None` if it is cancelled. The watch is asked and told before each operator, and work
/// is counted in operators.
pub fn evaluate_unless(
    plan: &Plan,
    at: Timestamp,
    input: &dyn Fn(CollectionId) -> RecordBatch,
    watch: &dyn Watch,
) -> Option<Evaluated> {
    let quarantine = Arc::new(Quarantine::default());
    let context = StepContext {
        lower: at.0,
        upper: at.0 + 1,
        view: CollectionId(0),
        quarantine: &quarantine,
    };
    let mut feed = |id| Some(Updates::at(input(id), at.0, 1));
    watch.expect(plan.operators());
    let asked = || {
        watch.done(1);
        watch.is_cancelled()
    };
    let updates = Nested::new(plan).step_unless(&context, &mut feed, &asked);
    if watch.is_cancelled() {
        return None;
    }
    let updates = consolidate(updates);
    let mut rows = Vec::with_capacity(updates.len());
    for (row, &count) in updates.diffs.iter().enumerate() {
        let count = usize::try_from(count).expect("a collection holds no negative rows");
        rows.extend(std::iter::repeat_n(row as u32, count));
    }
    Some(Evaluated { rows: take_rows(&updates.data, &rows), failed: quarantine.rows() })
}
