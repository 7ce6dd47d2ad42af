//! Frame: where the frame of a row lies among the units of its partition.

use super::range::RangeEdge;
use super::trailer::Trailer;
use super::{Exclude, Frame, FrameBound, FrameUnits, WindowPlan};
use crate::state::order_tree::{OrderTree, Place};
use crate::state::sorted_rows::SortedRows;
use datafusion::common::ScalarValue;

/// Units `start..end` of a partition.
pub(super) type Interval = (i64, i64);

/// A frame, resolved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FrameSpec {
    pub units: FrameUnits,
    pub start: Edge,
    pub end: Edge,
    pub exclude: Exclude,
}

/// One edge of it, which the frame includes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Edge {
    /// The partition's.
    Unbounded,
    /// So many rows (ROWS) or groups of peers (GROUPS) from the row's own.
    Offset(i64),
    /// The first or last peer.
    Peers,
    /// The key at this place of the row's trailer.
    Key(usize),
}

/// A unit of a partition, and what surrounds it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    pub row: u32,
    /// Which of the equal rows it is, from 0.
    pub copy: i64,
    pub position: i64,
    pub peers: Peers,
    pub total: i64,
}

/// A group of peers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peers {
    /// How many groups are before it.
    pub index: i64,
    pub start: i64,
    pub end: i64,
}

impl Peers {
    /// The peers of the node that a place is before.
    pub fn at(tree: &OrderTree, root: u32, place: Place) -> Self {
        let first = tree.is_marked(place.node);
        let index = if first { place.marks } else { place.marks - 1 };
        let start = if first { place.units } else { tree.select_mark(root, index).units };
        Peers { index, start, end: tree.select_mark(root, index + 1).units }
    }
}

impl FrameSpec {
    /// Resolves a call's frame; edges that differ from row to row get room in the trailer.
    pub fn new(plan: &WindowPlan, frame: &Frame, trailer: &mut Trailer) -> Self {
        let mut edge = |bound: &FrameBound, is_end: bool| match (bound, frame.units) {
            (FrameBound::UnboundedPreceding | FrameBound::UnboundedFollowing, _) => Edge::Unbounded,
            // Without ORDER BY all rows are peers.
            (_, FrameUnits::Range) if plan.order.is_empty() => Edge::Unbounded,
            (FrameBound::CurrentRow, FrameUnits::Range) => Edge::Peers,
            (FrameBound::CurrentRow, _) => Edge::Offset(0),
            (FrameBound::Preceding(offset), FrameUnits::Range) => {
                Edge::Key(range_edge(plan, offset, true, is_end, trailer))
            }
            (FrameBound::Following(offset), FrameUnits::Range) => {
                Edge::Key(range_edge(plan, offset, false, is_end, trailer))
            }
            (FrameBound::Preceding(offset), _) => Edge::Offset(-distance(offset)),
            (FrameBound::Following(offset), _) => Edge::Offset(distance(offset)),
        };
        let (start, end) = (edge(&frame.start, false), edge(&frame.end, true));
        FrameSpec { units: frame.units, start, end, exclude: frame.exclude }
    }

    /// Whether all peers have the same frame, but for what it excludes.
    pub fn is_of_peers(&self) -> bool {
        self.units != FrameUnits::Rows
    }

    /// The frame of a row, with what it excludes.
    pub fn locate(&self, rows: &SortedRows, root: u32, spot: &Spot) -> Interval {
        let tree = &rows.tree;
        let key = |place: usize| {
            let width = rows.peer(spot.row).len();
            &rows.trailer(spot.row)[place..place + width]
        };
        let group = |index: i64| match index < 0 {
            true => 0,
            false => tree.select_mark(root, index).units,
        };
        let start = match (self.start, self.units) {
            (Edge::Unbounded, _) => 0,
            (Edge::Peers, _) => spot.peers.start,
            (Edge::Offset(by), FrameUnits::Groups) => group(spot.peers.index.saturating_add(by)),
            (Edge::Offset(by), _) => spot.position.saturating_add(by).clamp(0, spot.total),
            (Edge::Key(place), _) => {
                let key = key(place);
                tree.partition_point(root, |node| rows.peer(node) < key).units
            }
        };
        let end = match (self.end, self.units) {
            (Edge::Unbounded, _) => spot.total,
            (Edge::Peers, _) => spot.peers.end,
            (Edge::Offset(by), FrameUnits::Groups) => {
                group(spot.peers.index.saturating_add(by).saturating_add(1))
            }
            (Edge::Offset(by), _) => {
                spot.position.saturating_add(by).saturating_add(1).clamp(0, spot.total)
            }
            (Edge::Key(place), _) => {
                let key = key(place);
                tree.partition_point(root, |node| rows.peer(node) <= key).units
            }
        };
        (start, end.max(start))
    }

    /// What is left of a row's frame when what it excludes is taken out: in order, apart, some of
    /// them empty.
    pub fn parts(&self, (start, end): Interval, spot: &Spot) -> [Interval; 3] {
        let (row, peers) = (spot.position, spot.peers);
        let cut = |from: i64, to: i64| {
            let from = from.clamp(start, end);
            (from, to.clamp(from, end))
        };
        match self.exclude {
            Exclude::NoOthers => [(start, end), (end, end), (end, end)],
            Exclude::CurrentRow => [cut(start, row), cut(row + 1, end), (end, end)],
            Exclude::Group => [cut(start, peers.start), cut(peers.end, end), (end, end)],
            Exclude::Ties => [cut(start, peers.start), cut(row, row + 1), cut(peers.end, end)],
        }
    }
}

/// The units of `parts` that are not in `others`; both are in order and apart.
pub(super) fn without(parts: &[Interval], others: &[Interval], mut found: impl FnMut(Interval)) {
    for &(start, end) in parts {
        let mut from = start;
        for &(cut_start, cut_end) in others.iter().filter(|(start, end)| start < end) {
            if from < cut_start.min(end) {
                found((from, cut_start.min(end)));
            }
            from = from.max(cut_end);
        }
        if from < end {
            found((from, end));
        }
    }
}

fn distance(offset: &ScalarValue) -> i64 {
    match offset {
        ScalarValue::Int64(Some(offset)) => *offset,
        other => unreachable!("offsets of ROWS and GROUPS are bigint, not {other:?}"),
    }
}

fn range_edge(
    plan: &WindowPlan,
    offset: &ScalarValue,
    preceding: bool,
    is_end: bool,
    trailer: &mut Trailer,
) -> usize {
    let [key] = plan.order[..] else { unreachable!("RANGE with an offset has one order column") };
    let (add, upper) = (preceding == key.descending, is_end != key.descending);
    trailer.edge(&plan.input.schema(), key, RangeEdge { offset: offset.clone(), add, upper })
}
