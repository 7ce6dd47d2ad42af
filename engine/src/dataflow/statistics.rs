//! Statistics: what the operators of a running view have done, for EXPLAIN ANALYZE.
//!
//! Law: counted per step, never per row; the numbers of all workers add up. An operator stands at
//! its place in the plan, printed order.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::operator::StateSize;

/// What one operator has done since its view was made, on all workers together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperatorStatistics {
    pub steps: u64,
    /// Updates taken and given.
    pub updates_in: u64,
    pub updates_out: u64,
    pub state: StateSize,
    /// Times that a step waited for a page to be brought into memory (`--memory`).
    pub page_faults: u64,
    /// Time spent in steps.
    pub busy: Duration,
}

/// The counters behind [`OperatorStatistics`], shared by the workers.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    steps: AtomicU64,
    updates_in: AtomicU64,
    updates_out: AtomicU64,
    state_rows: AtomicU64,
    state_bytes: AtomicU64,
    page_faults: AtomicU64,
    busy_ns: AtomicU64,
}

/// Steps of one worker.
#[derive(Default)]
pub(crate) struct Step {
    pub steps: u64,
    pub updates_in: usize,
    pub updates_out: usize,
    pub page_faults: u64,
    pub busy: Duration,
    /// This worker's state before and after.
    pub before: StateSize,
    pub after: StateSize,
}

impl Counters {
    pub fn add(&self, step: &Step) {
        let add = |counter: &AtomicU64, by| counter.fetch_add(by, Ordering::Relaxed);
        add(&self.steps, step.steps);
        add(&self.updates_in, step.updates_in as u64);
        add(&self.updates_out, step.updates_out as u64);
        // The difference wraps, and so does the sum: together they are right.
        add(&self.state_rows, step.after.rows.wrapping_sub(step.before.rows));
        add(&self.state_bytes, step.after.bytes.wrapping_sub(step.before.bytes));
        add(&self.page_faults, step.page_faults);
        add(&self.busy_ns, step.busy.as_nanos() as u64);
    }

    pub fn read(&self) -> OperatorStatistics {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        OperatorStatistics {
            steps: get(&self.steps),
            updates_in: get(&self.updates_in),
            updates_out: get(&self.updates_out),
            state: StateSize { rows: get(&self.state_rows), bytes: get(&self.state_bytes) },
            page_faults: get(&self.page_faults),
            busy: Duration::from_nanos(get(&self.busy_ns)),
        }
    }
}
