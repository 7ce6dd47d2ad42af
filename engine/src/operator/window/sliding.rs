//! Sliding: an aggregate over one frame after another.
//!
//! An accumulator's group holds the rows of a frame; going on to another frame retracts the rows
//! that are not in it and adds those that are new. The moves are only recorded while the rows are
//! looked for: [`Sliding::values`] makes all of them in one sweep, which gives the value of each.
//!
//! Two kinds. A frame with one unbounded end keeps a group for each partition from step to step,
//! so that the next frame is found from the last one: a row that comes at the end costs what is
//! behind it, not the partition. Other frames begin with an empty group wherever rows are looked
//! at.

use arrow::array::{ArrayRef, BooleanArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;

use super::frame::{Edge, FrameSpec, Interval, without};
use super::{Exclude, WindowCall};
use crate::aggregate::{Accumulator, AggregateFunction, Run, SweepInput, Swept};
use crate::state::key_index::types_of;
use crate::state::order_tree::OrderTree;
use crate::state::sorted_rows::{Change, SortedRows};

/// The state of one aggregate over frames.
pub(super) struct Sliding {
    arguments: Vec<usize>,
    filter: Option<usize>,
    accumulator: Box<dyn Accumulator>,
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

/// The accumulator of a call's function over columns of `schema`.
pub(super) fn accumulator(
    function: &'static dyn AggregateFunction,
    call: &WindowCall,
    schema: &SchemaRef,
) -> Box<dyn Accumulator> {
    function.accumulator(&types_of(schema, &call.arguments))
}

impl Sliding {
    pub fn new(
        function: &'static dyn AggregateFunction,
        call: &WindowCall,
        frame: &FrameSpec,
        schema: &SchemaRef,
    ) -> Self {
        let (from_start, to_end) = (frame.start == Edge::Unbounded, frame.end == Edge::Unbounded);
        let keeps = (from_start || to_end) && frame.exclude == Exclude::NoOthers;
        Sliding {
            arguments: call.arguments.clone(),
            filter: call.filter,
            accumulator: accumulator(function, call, schema),
            kept: keeps.then(|| Kept { from_start, edges: vec![] }),
            groups: 0,
            group: 0,
            content: vec![],
            moves: Moves::default(),
        }
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
        let last = moves.runs.last().map(|run| run.group);
        if moves.is_open() || last != Some(self.group) {
            moves.close(self.group);
        }
        (moves.runs.len() - 1) as u32
    }

    /// The frames of this partition are found.
    pub fn end(&mut self, partition: u32) {
        if let Some(kept) = &mut self.kept
            && let [(start, end), ..] = self.content[..]
        {
            *kept.edge(partition) = if kept.from_start { end } else { start };
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
        let taken = |&column: &usize| {
            take(columns[column].as_ref(), &slots, None).expect("slots are in range")
        };
        let arguments: Vec<ArrayRef> = self.arguments.iter().map(taken).collect();
        let filter = self.filter.as_ref().map(taken);
        let filter = filter.as_ref().map(boolean);
        let order: Vec<u32> = (0..rows.len() as u32).collect();
        let groups = if self.kept.is_some() { partitions } else { self.groups as usize };
        self.accumulator.resize(groups);
        let input = SweepInput { arguments: &arguments, filter, diffs: &diffs, order: &order };
        let swept = self.accumulator.sweep(&input, &runs);
        (0..self.groups).for_each(|group| self.accumulator.clear(group));
        self.groups = 0;
        swept
    }

    /// Forgets partitions that are empty.
    pub fn forget(&mut self, partitions: &[u32]) {
        if let Some(kept) = &mut self.kept {
            for &partition in partitions {
                if let Some(edge) = kept.edges.get_mut(partition as usize) {
                    *edge = 0;
                    self.accumulator.clear(partition);
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

/// A FILTER column.
pub(super) fn boolean(column: &ArrayRef) -> &BooleanArray {
    column.as_any().downcast_ref().expect("FILTER is boolean")
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
