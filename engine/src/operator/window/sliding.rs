//! Sliding: an aggregate over one frame after another.
//!
//! An accumulator's group holds the rows of a frame; going on to another frame retracts the rows
//! that are not in it and adds those that are new. The moves are only recorded while the rows are
//! looked for: [`Sliding::values`] makes all of them in one sweep, which gives the value of each.
//!
//! Two kinds. A frame with an unbounded end keeps a group for each partition from step to step,
//! with what the frame excludes, so that the next frame is found from the last one: a row that
//! comes at the end costs what is behind it, not the partition. Other frames begin with an empty
//! group wherever rows are looked at.

use arrow::array::{ArrayRef, BooleanArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;

use super::frame::{Edge, FrameSpec, Interval, without};
use crate::aggregate::{Accumulator, Run, RunRows, SweepInput, Swept};
use crate::checkpoint::record::Cursor;
use crate::plan::AggregateCall;
use crate::state::order_tree::OrderTree;
use crate::state::sorted_rows::{Change, SortedRows};

/// The states of an aggregate, a frame each.
pub(super) struct Frames {
    call: AggregateCall,
    accumulator: Box<dyn Accumulator>,
}

/// The state of one aggregate over frames that follow each other.
pub(super) struct Sliding {
    frames: Frames,
    kept: Option<Kept>,
    /// The groups in use, of frames that are not kept.
    groups: u32,
    /// The group that moves now, and the frame it holds.
    group: u32,
    content: Vec<Interval>,
    moves: Moves,
}

/// What is kept of the partitions: one edge of the frame that their group holds; the other is the
/// partition's.
struct Kept {
    from_start: bool,
    edges: Vec<i64>,
}

/// The moves not yet made.
#[derive(Default)]
struct Moves {
    rows: Vec<u32>,
    diffs: Vec<i64>,
    runs: Vec<Run>,
}

impl Moves {
    fn push(&mut self, row: u32, diff: i64) {
        if diff != 0 {
            self.rows.push(row);
            self.diffs.push(diff);
        }
    }

    /// Whether rows moved behind the last run.
    fn is_open(&self) -> bool {
        self.runs.last().map_or(0, |run| run.end as usize) < self.rows.len()
    }

    fn close(&mut self, group: u32) {
        let start = self.runs.last().map_or(0, |run| run.end);
        self.runs.push(Run { group, start, end: self.rows.len() as u32 });
    }
}

impl Frames {
    /// Empty ones, of a call over columns of `schema`.
    pub fn new(call: &AggregateCall, schema: &SchemaRef) -> Self {
        let accumulator = call.accumulator(schema, false);
        Frames { call: call.clone(), accumulator }
    }

    /// Sweeps the rows at `rows` of `columns`, those of a run side by side.
    pub fn sweep(
        &mut self,
        columns: &[ArrayRef],
        rows: &UInt32Array,
        diffs: &[i64],
        runs: &[Run],
        groups: usize,
    ) -> Swept {
        let taken =
            |column: usize| take(columns[column].as_ref(), rows, None).expect("rows are in range");
        let order = self.call.order_by.iter().map(|key| key.column);
        let arguments = self.call.arguments.iter().copied().chain(order);
        let arguments: Vec<ArrayRef> = arguments.map(taken).collect();
        let filter = self.call.filter.map(taken);
        let filter = filter.as_ref().map(|filter| {
            let filter = filter.as_any().downcast_ref::<BooleanArray>();
            filter.expect("FILTER is boolean")
        });
        let order: Vec<u32> = (0..rows.len() as u32).collect();
        self.accumulator.resize(groups);
        let input =
            SweepInput { arguments: &arguments, filter, diffs, rows: RunRows::Sorted(&order) };
        self.accumulator.sweep(&input, runs)
    }

    pub fn clear(&mut self, group: u32) {
        self.accumulator.clear(group);
    }

    pub fn is_kept(&self) -> bool {
        self.accumulator.is_kept()
    }

    /// Whether the group is small enough to be copied.
    pub fn copy(&self, group: u32, out: &mut Vec<u8>) -> bool {
        self.accumulator.copy(group, out)
    }

    /// Puts a group of `groups` back.
    pub fn restore(&mut self, groups: usize, group: u32, from: &mut Cursor<'_>) -> Option<()> {
        self.accumulator.resize(groups);
        self.accumulator.restore(group, from)
    }

    pub fn bytes(&self) -> usize {
        self.accumulator.bytes()
    }
}

impl Sliding {
    pub fn new(frames: Frames, frame: &FrameSpec) -> Self {
        let (from_start, to_end) = (frame.start == Edge::Unbounded, frame.end == Edge::Unbounded);
        let keeps = from_start || to_end;
        Sliding {
            frames,
            kept: keeps.then(|| Kept { from_start, edges: vec![] }),
            groups: 0,
            group: 0,
            content: vec![],
            moves: Moves::default(),
        }
    }

    /// What it keeps, in memory.
    pub fn bytes(&self) -> usize {
        let edges = self.kept.as_ref().map_or(0, |kept| size_of_val(&kept.edges[..]));
        self.frames.bytes() + edges
    }

    /// From now on the frames are of this partition, as it stands.
    pub fn begin(&mut self, tree: &OrderTree, root: u32, partition: u32) {
        self.content.clear();
        match &mut self.kept {
            Some(kept) => {
                let edge = *kept.edge(partition);
                let total = tree.total(root);
                self.group = partition;
                self.content.push(if kept.from_start { (0, edge) } else { (edge, total) });
            }
            None => {
                self.group = self.groups;
                self.groups += 1;
            }
        }
    }

    /// Goes on to a frame; gives the number of the value.
    pub fn go(&mut self, tree: &OrderTree, root: u32, frame: &[Interval]) -> u32 {
        self.move_to(tree, root, frame);
        let last = self.moves.runs.last().map(|run| run.group);
        if self.moves.is_open() || last != Some(self.group) {
            self.moves.close(self.group);
        }
        (self.moves.runs.len() - 1) as u32
    }

    fn move_to(&mut self, tree: &OrderTree, root: u32, frame: &[Interval]) {
        let moves = &mut self.moves;
        let mut shift = |interval: Interval, sign: i64| {
            units_of(tree, root, interval, |row, units| {
                moves.push(row, sign * units);
                true
            });
        };
        without(&self.content, frame, |gone| shift(gone, -1));
        without(frame, &self.content, |new| shift(new, 1));
        self.content.clear();
        self.content.extend_from_slice(frame);
    }

    /// The frames of this partition are found.
    pub fn end(&mut self, tree: &OrderTree, root: u32, partition: u32) {
        let (Some(&(start, _)), Some(&(_, end))) = (self.content.first(), self.content.last())
        else {
            return;
        };
        if let Some(kept) = &mut self.kept {
            *kept.edge(partition) = if kept.from_start { end } else { start };
            self.move_to(tree, root, &[(start, end)]);
        }
    }

    /// A row changes, before the tree does: the kept frame is to hold what it holds of it.
    pub fn change(&mut self, rows: &SortedRows, change: &Change) {
        let Some(kept) = &mut self.kept else { return };
        let edge = kept.edge(change.partition);
        let first = rows.place(change.partition, change.row).units;
        let units = rows.tree.units(change.row);
        let (before, after) = ((*edge - first).clamp(0, units), units + change.units);
        // Of the row's units, those before the edge: all, none, or as many as there are.
        let still = match () {
            _ if first >= *edge => 0,
            _ if first + units <= *edge => after,
            _ => before.min(after),
        };
        *edge += still - before;
        let diff = match kept.from_start {
            true => still - before,
            false => (after - still) - (units - before),
        };
        self.moves.push(change.row, diff);
    }

    /// The changes of a partition at a time are made.
    pub fn close(&mut self, partition: u32) {
        if self.moves.is_open() {
            self.moves.close(partition);
        }
    }

    /// The rows that the moves speak of.
    pub fn rows(&self) -> &[u32] {
        &self.moves.rows
    }

    /// Makes the moves; gives the values by number. `columns` are those of the input, `slot` says
    /// where in them a row is.
    pub fn values(
        &mut self,
        columns: &[ArrayRef],
        slot: impl Fn(u32) -> u32,
        partitions: usize,
    ) -> Swept {
        let Moves { rows, diffs, runs } = std::mem::take(&mut self.moves);
        let slots: UInt32Array = rows.iter().map(|&row| slot(row)).collect();
        let groups = if self.kept.is_some() { partitions } else { self.groups as usize };
        let swept = self.frames.sweep(columns, &slots, &diffs, &runs, groups);
        (0..self.groups).for_each(|group| self.frames.clear(group));
        self.groups = 0;
        swept
    }

    /// Forgets partitions that are empty.
    pub fn forget(&mut self, partitions: &[u32]) {
        if let Some(kept) = &mut self.kept {
            for &partition in partitions {
                if let Some(edge) = kept.edges.get_mut(partition as usize) {
                    *edge = 0;
                    self.frames.clear(partition);
                }
            }
        }
    }
}

impl Kept {
    fn edge(&mut self, partition: u32) -> &mut i64 {
        let partition = partition as usize;
        if self.edges.len() <= partition {
            self.edges.resize(partition + 1, 0);
        }
        &mut self.edges[partition]
    }
}

/// The rows of an interval of units, each with how many of its units are there, while `found` says
/// to go on.
pub(super) fn units_of(
    tree: &OrderTree,
    root: u32,
    (start, end): Interval,
    mut found: impl FnMut(u32, i64) -> bool,
) {
    if start >= end {
        return;
    }
    let place = tree.select(root, start);
    let (mut row, mut first) = (place.node, place.units);
    while first < end {
        let behind = first + tree.units(row);
        if !found(row, behind.min(end) - first.max(start)) {
            return;
        }
        (row, first) = (tree.next(row), behind);
    }
}
