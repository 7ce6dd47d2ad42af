//! Top-k: the first rows of each group in an order.
//!
//! Law      out(t) = of each group of in(t), the rows at places offset .. offset + limit in `order`
//! Delta    the rows that come between the two cuts or go from there; a change looks at O(log n)
//!          rows of the group and at those that enter or leave
//! State    all rows of all groups, in order: what a deletion lets in is found without a search;
//!          over rows that never leave, those before the end of the limit alone, and of the
//!          others as much as says that they need no look ([`candidates`])
//! Errors   a row that is retracted more often than it came is reported, and counts as absent

mod candidates;

use std::fmt;

use self::candidates::{Candidates, Rank, rank_of};
use super::{Operator, StateSize, StepContext};
use crate::checkpoint::record::{Changed, Copied, Cursor, Kept};
use crate::plan::{Plan, SortKey, listed};
use crate::state::order_tree::NONE;
use crate::state::sorted_rows::{Change, Extras, SortedRows};
use crate::updates::Updates;

/// What was decided. `order` is total: the planner completed it (S9). The output has the input's
/// columns.
#[derive(Clone, Debug)]
pub struct TopKPlan {
    pub input: Plan,
    /// The columns of a group; none: all rows are one.
    pub keys: Vec<usize>,
    pub order: Vec<SortKey>,
    pub offset: u64,
    /// `None`: all from `offset` on.
    pub limit: Option<u64>,
    /// FETCH … WITH TIES: so many of `order`'s first keys are the written ones, and rows equal to
    /// the last in them are there too.
    pub ties: Option<usize>,
    /// The input's rows never leave: what is past the limit never comes back.
    pub append_only: bool,
}

impl fmt::Display for TopKPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.input.schema();
        let keys = self.keys.iter().map(|&key| schema.field(key).name());
        let order = self.order.iter().map(|key| key.display(&schema));
        write!(f, "TopK keys=[{}] order=[{}]", listed(keys), listed(order))?;
        if self.offset > 0 {
            write!(f, " offset={}", self.offset)?;
        }
        if let Some(limit) = self.limit {
            write!(f, " limit={limit}")?;
        }
        match self.ties {
            Some(_) => write!(f, " with ties"),
            None => Ok(()),
        }
    }
}

/// What runs.
pub(crate) struct TopK {
    rows: SortedRows,
    offset: i64,
    limit: Option<i64>,
    ties: bool,
    append_only: bool,
    /// Over rows that never leave, where a number of them is let through.
    candidates: Option<Candidates>,
}

/// The part of a group that is in the output.
#[derive(Clone, Copy)]
struct Part {
    start: Cut,
    end: Cut,
}

/// So many units are before it; it cuts before or within the row, or at the end.
#[derive(Clone, Copy)]
struct Cut {
    position: i64,
    row: u32,
}

/// The output: rows of state, with time and diff.
#[derive(Default)]
struct Emission {
    rows: Vec<u32>,
    times: Vec<u64>,
    diffs: Vec<i64>,
}

impl Part {
    /// How many of the units `first .. first + units` are in it.
    fn covers(&self, first: i64, units: i64) -> i64 {
        let end = (first + units).min(self.end.position);
        (end - first.max(self.start.position)).max(0)
    }
}

impl TopK {
    pub fn new(plan: &TopKPlan) -> Self {
        let schema = plan.input.schema();
        let places = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let (peers, rest) = plan.order.split_at(plan.ties.unwrap_or(plan.order.len()));
        let through = plan.limit.and_then(|limit| plan.offset.checked_add(limit));
        let through = through.filter(|_| plan.append_only && plan.ties.is_none());
        let through = through.and_then(|rows| u32::try_from(rows).ok()).filter(|&rows| rows > 0);
        TopK {
            rows: SortedRows::new(&schema, &plan.keys, peers, rest, 0, 0),
            offset: places(plan.offset),
            limit: plan.limit.map(places),
            ties: plan.ties.is_some(),
            append_only: plan.append_only,
            candidates: through.map(|rows| Candidates::new(rows as usize)),
        }
    }

    /// The updates that can change the output, and the groups of their rows.
    fn candidates(&mut self, input: Updates) -> (Updates, Vec<u32>) {
        let groups = self.rows.partitions_of(&input.data);
        let Some(candidates) = &mut self.candidates else { return (input, groups) };
        candidates.resize(self.rows.partition_limit());
        let ranks = self.rows.first_bytes(&input.data, rank_of);
        let picked = candidates.pick(&input, &groups, &ranks);
        if picked.len() == groups.len() {
            return (input, groups);
        }
        let groups = picked.iter().map(|&row| groups[row as usize]).collect();
        (input.take(&picked), groups)
    }

    /// What sorts behind the last row that is let through stays outside from now on.
    fn bound(&mut self, group: u32) {
        let Some(candidates) = &mut self.candidates else { return };
        let (tree, root) = (&self.rows.tree, self.rows.root(group));
        if tree.total(root) >= candidates.limit() {
            let last = tree.select(root, candidates.limit() - 1).node;
            candidates.set_bound(group, rank_of(self.rows.key(last)));
        }
    }

    /// What is in the output of a group as it stands.
    fn part(&self, group: u32) -> Part {
        let (tree, root) = (&self.rows.tree, self.rows.root(group));
        let total = tree.total(root);
        let start = self.offset.min(total);
        let mut end = self.limit.map_or(total, |limit| start.saturating_add(limit).min(total));
        if self.ties && start < end && end < total {
            let last = self.rows.peer(tree.select(root, end - 1).node);
            end = tree.partition_point(root, |node| self.rows.peer(node) <= last).units;
        }
        let cut = |position| Cut { position, row: tree.select(root, position).node };
        Part { start: cut(start), end: cut(end) }
    }

    /// Applies the changes of one group at one time, which are in order.
    fn apply(&mut self, changes: &[Change], out: &mut Emission) {
        let Change { partition: group, time, .. } = changes[0];
        let before = self.part(group);
        changes.iter().for_each(|change| self.rows.apply(change, 1));
        let after = self.part(group);
        let mut candidates: Vec<u32> = changes.iter().map(|change| change.row).collect();
        self.between(group, before.start, after.start, &mut candidates);
        self.between(group, before.end, after.end, &mut candidates);
        candidates.sort_unstable_by(|&a, &b| self.rows.key(a).cmp(self.rows.key(b)));
        candidates.dedup();

        // A row's place before is its place now less what changed before it.
        let mut changes = changes.iter().peekable();
        let mut grown = 0;
        for row in candidates {
            let first = self.rows.place(group, row).units;
            let units = self.rows.tree.units(row);
            let own = changes.next_if(|change| change.row == row).map_or(0, |change| change.units);
            let diff = after.covers(first, units) - before.covers(first - grown, units - own);
            if diff != 0 {
                out.rows.push(row);
                out.times.push(time);
                out.diffs.push(diff);
            }
            grown += own;
        }
        if self.append_only && self.limit.is_some() {
            self.forget_past(group, after.end.position);
        }
        self.bound(group);
    }

    /// Forgets the units of a group from a place on.
    fn forget_past(&mut self, group: u32, end: i64) {
        loop {
            let (tree, root) = (&self.rows.tree, self.rows.root(group));
            let excess = tree.total(root) - end;
            if excess <= 0 {
                return;
            }
            let last = tree.select(root, tree.total(root) - 1).node;
            let units = tree.units(last).min(excess);
            self.rows.drop_units(group, last, units);
        }
    }

    /// The rows that may be on different sides of the two cuts.
    fn between(&self, group: u32, a: Cut, b: Cut, found: &mut Vec<u32>) {
        let key = |cut: Cut| (cut.row != NONE).then(|| self.rows.key(cut.row));
        let (first, last) = match (key(a), key(b)) {
            (None, None) => return,
            (Some(first), None) | (None, Some(first)) => (first, None),
            (Some(a), Some(b)) => (a.min(b), Some(a.max(b))),
        };
        let root = self.rows.root(group);
        let mut row = self.rows.tree.partition_point(root, |node| self.rows.key(node) < first).node;
        while row != NONE && last.is_none_or(|last| self.rows.key(row) <= last) {
            found.push(row);
            row = self.rows.tree.next(row);
        }
    }
}

impl Kept for TopK {
    fn families(&self) -> usize {
        SortedRows::FAMILIES
    }

    fn changed(&mut self, family: usize) -> &mut Changed {
        self.rows.changed(family)
    }

    fn id_limit(&self, family: usize) -> usize {
        self.rows.id_limit(family)
    }

    fn copy(&self, family: usize, id: u32, out: &mut Vec<u8>) -> Copied {
        self.rows.copy(family, id, out)
    }

    fn restore(&mut self, family: usize, id: u32, record: &mut Cursor<'_>) -> Option<()> {
        self.rows.restore(family, id, record)
    }

    fn restored(&mut self) -> Option<()> {
        self.rows.restored()?;
        let groups = self.rows.partition_limit();
        if let Some(candidates) = &mut self.candidates {
            candidates.resize(groups);
        }
        (0..groups as u32).for_each(|group| self.bound(group));
        Some(())
    }
}

impl Operator for TopK {
    fn step(&mut self, context: &StepContext<'_>, inputs: Vec<Updates>) -> Updates {
        let [input] = <[Updates; 1]>::try_from(inputs).expect("one input");
        let input = input.sorted_by_time();
        let (input, groups) = self.candidates(input);
        let changes = self.rows.changes(context, "TopK", &input, &groups, &Extras::default());
        let mut out = Emission::default();
        for changes in changes.chunk_by(Change::is_beside) {
            self.apply(changes, &mut out);
        }
        let out = Updates::new(self.rows.decode(&out.rows), out.times, out.diffs);
        for group in self.rows.release() {
            if let Some(candidates) = &mut self.candidates {
                candidates.set_bound(group, Rank::MAX);
            }
        }
        out
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
