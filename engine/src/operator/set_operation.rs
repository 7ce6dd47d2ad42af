//! Set operation: INTERSECT and EXCEPT, of sets or of multisets.
//!
//! Law      with l and r how often a row is on the left and on the right,
//!          Intersect: 1 where l > 0 and r > 0        IntersectAll: min(l, r)
//!          Except:    1 where l > 0 and r = 0        ExceptAll:    max(l − r, 0)
//! Delta    a row that was touched: what the law gives after each time less what it gave before
//! State    two counts for each distinct row; bounded by the rows present
//! Errors   none of its own

use std::fmt;

use arrow::datatypes::SchemaRef;

use super::{Operator, StateSize, StepContext};
use crate::checkpoint::record::{Changed, Copied, Cursor, Kept, Stored};
use crate::plan::Plan;
use crate::state::key_index::hash_bytes;
use crate::state::row_set::RowSet;
use crate::updates::Updates;

/// What was decided. Both inputs have the types of `schema`; NULLs are equal, −0 is 0.
#[derive(Clone, Debug)]
pub struct SetOperationPlan {
    pub kind: SetOperationKind,
    pub left: Plan,
    pub right: Plan,
    pub schema: SchemaRef,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetOperationKind {
    Intersect,
    IntersectAll,
    Except,
    ExceptAll,
}

impl SetOperationKind {
    /// Whether rows that come on either side take none out.
    pub(crate) fn grows(self) -> bool {
        matches!(self, SetOperationKind::Intersect | SetOperationKind::IntersectAll)
    }
}

impl fmt::Display for SetOperationPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)
    }
}

/// How often a row is on the left and on the right.
type Counts = [i64; 2];

pub(crate) struct SetOperation {
    kind: SetOperationKind,
    rows: RowSet<Counts>,
    schema: SchemaRef,
    changed: Changed,
}

/// One update: of which row, and what it adds to its counts.
struct Change {
    row: u32,
    time: u64,
    counts: Counts,
}

impl SetOperation {
    pub fn new(plan: &SetOperationPlan) -> Self {
        let rows = RowSet::normalized(&plan.schema);
        let changed = Changed::default();
        SetOperation { kind: plan.kind, rows, schema: plan.schema.clone(), changed }
    }

    /// The updates of both sides, those of a row side by side in order of time.
    fn changes(&mut self, inputs: &[Updates]) -> Vec<Change> {
        let mut changes = Vec::with_capacity(inputs.iter().map(Updates::len).sum());
        for (side, input) in inputs.iter().enumerate() {
            let keys = self.rows.encode(&input.data);
            for update in 0..input.len() {
                let (row, _) = self.rows.get_or_insert(keys.key(update), || [0, 0]);
                self.changed.mark(row);
                let mut counts = [0, 0];
                counts[side] = input.diffs[update];
                changes.push(Change { row, time: input.times[update], counts });
            }
        }
        changes.sort_unstable_by_key(|change| (change.row, change.time));
        changes
    }

    fn output(&mut self, changes: &[Change]) -> Updates {
        let (mut rows, mut times, mut diffs) = (Vec::new(), Vec::new(), Vec::new());
        for same in changes.chunk_by(|a, b| (a.row, a.time) == (b.row, b.time)) {
            let (row, time) = (same[0].row, same[0].time);
            let counts = self.rows.get_mut(row);
            let before = multiplicity(self.kind, *counts);
            for change in same {
                counts.iter_mut().zip(change.counts).for_each(|(count, diff)| *count += diff);
            }
            let diff = multiplicity(self.kind, *counts) - before;
            if diff != 0 {
                rows.push(row);
                times.push(time);
                diffs.push(diff);
            }
        }
        Updates::new(self.rows.rows(&rows, &self.schema), times, diffs)
    }

    /// Forgets the rows that are on neither side after the step.
    fn forget(&mut self, changes: &[Change]) {
        let touched = changes.chunk_by(|a, b| a.row == b.row).map(|changes| changes[0].row);
        let gone: Vec<u32> = touched.filter(|&row| *self.rows.get(row) == [0, 0]).collect();
        gone.iter().for_each(|&row| self.rows.unlink(row));
        self.rows.release(gone);
    }
}

fn multiplicity(kind: SetOperationKind, [left, right]: Counts) -> i64 {
    match kind {
        SetOperationKind::Intersect => i64::from(left > 0 && right > 0),
        SetOperationKind::IntersectAll => left.min(right).max(0),
        SetOperationKind::Except => i64::from(left > 0 && right <= 0),
        SetOperationKind::ExceptAll => (left - right).max(0),
    }
}

/// A record a row: how often it is on either side.
impl Kept for SetOperation {
    fn families(&self) -> usize {
        1
    }

    fn changed(&mut self, _family: usize) -> &mut Changed {
        &mut self.changed
    }

    fn id_limit(&self, _family: usize) -> usize {
        self.rows.id_limit()
    }

    fn copy(&self, _family: usize, row: u32, out: &mut Vec<u8>) -> Copied {
        let Some((bytes, counts)) = self.rows.linked(row) else { return Copied::Gone };
        counts.put(out);
        out.extend_from_slice(bytes);
        Copied::Record
    }

    fn restore(&mut self, _family: usize, row: u32, record: &mut Cursor<'_>) -> Option<()> {
        let counts = Counts::take(record)?;
        self.rows.restore(row, (hash_bytes(record.0), record.0), counts)
    }

    fn restored(&mut self) -> Option<()> {
        self.rows.restored();
        Some(())
    }
}

impl Operator for SetOperation {
    fn step(&mut self, _context: &StepContext<'_>, inputs: Vec<Updates>) -> Updates {
        let changes = self.changes(&inputs);
        let output = self.output(&changes);
        self.forget(&changes);
        output
    }

    fn state(&self) -> StateSize {
        self.rows.size()
    }

    fn kept(&mut self) -> Option<&mut dyn Kept> {
        Some(self)
    }

    fn takes_parts(&self, _input: usize) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
