//! Reach: which rows of a partition a change of one of its rows may change.
//!
//! Law: let A be all rows that the reaches of a time's changes hold, those of the rows retracted in
//! the partition as it was before, those of the rows inserted in the partition as it is after; and
//! the changed rows themselves. A row outside A has the same values before and after.
//!
//! A row's value depends on what lies between it and its source (or the edges of its frame), the
//! row and the source included. If no changed row lies there before and after, it is the same. So
//! the reach of a change is the rows between which and their sources it lies.

use super::frame::{Edge, FrameSpec, Interval, Peers};
use super::trailer::is_null;
use super::{Exclude, FrameUnits};
use crate::state::order_tree::{NONE, Place};
use crate::state::sorted_rows::SortedRows;

/// How far the changes of rows reach, by the kind of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reach {
    /// row_number: the rows behind.
    Behind,
    /// rank: the rows behind the peers.
    BehindPeers,
    /// dense_rank: the rows behind, where the group of peers was not there.
    BehindNewPeers,
    /// ntile, percent_rank, cume_dist: they depend on the number of rows.
    Everything,
    /// lag and lead: the rows whose offset spans it. Offsets are of the call number `call`;
    /// `nulls` is where the trailer says that a row is NULL and doesn't count.
    Shift {
        call: usize,
        lag: bool,
        nulls: Option<usize>,
    },
    /// The rows whose frame has it, or its place.
    Frame(FrameSpec),
    /// The rows whose frame begins with it, or ends.
    FirstOf(FrameSpec),
    LastOf(FrameSpec),
    /// The same, where rows that the trailer says are NULL there don't count. The frames have
    /// their row within them, and nothing moves their edge on the side of the value.
    FirstValueOf(FrameSpec, usize),
    LastValueOf(FrameSpec, usize),
}

/// A partition as it stands, and the changed row in it.
pub(super) struct Around<'a> {
    rows: &'a SortedRows,
    root: u32,
    row: u32,
    place: Place,
    units: i64,
    total: i64,
}

impl<'a> Around<'a> {
    pub fn new(rows: &'a SortedRows, partition: u32, row: u32) -> Self {
        let root = rows.root(partition);
        let place = rows.place(partition, row);
        let total = rows.tree.total(root);
        Around { rows, root, row, place, units: rows.tree.units(row), total }
    }

    /// The units that a change of the row may change; of an absent row only those that its absence
    /// changes.
    pub fn reach(&self, reach: Reach, offsets: &[(i64, i64)]) -> Interval {
        let (first, behind) = (self.place.units, self.place.units + self.units);
        if self.units == 0 {
            return match reach {
                Reach::BehindNewPeers if self.has_no_peers() => (first, self.total),
                _ => (0, 0),
            };
        }
        let peers = || Peers::at(&self.rows.tree, self.root, self.place);
        match reach {
            Reach::Behind => (first, self.total),
            Reach::BehindPeers => (peers().end, self.total),
            Reach::BehindNewPeers => (0, 0),
            Reach::Everything => (0, self.total),
            Reach::Shift { call, lag, nulls } => {
                let (least, greatest) = offsets[call];
                // How far ahead and behind rows look here.
                let (ahead, back) = if lag { (-least, greatest) } else { (greatest, -least) };
                match nulls {
                    None => (first - ahead.max(0), behind.saturating_add(back.max(0))),
                    Some(nulls) => self.past_nulls(nulls, ahead.max(0), back.max(0)),
                }
            }
            Reach::Frame(frame) => self.within_frame(&frame),
            Reach::FirstValueOf(frame, nulls) => {
                let (start, end) = self.within_frame(&frame);
                let tree = &self.rows.tree;
                match self.next_value(nulls, &|row| tree.previous(row)) {
                    // Where the value before it is in the frame too, that one is first.
                    Some(before) => (start.max(before.within_frame(&frame).1), end),
                    None => (start, end),
                }
            }
            Reach::LastValueOf(frame, nulls) => {
                let (start, end) = self.within_frame(&frame);
                let tree = &self.rows.tree;
                match self.next_value(nulls, &|row| tree.next(row)) {
                    Some(behind) => (start, end.min(behind.within_frame(&frame).0)),
                    None => (start, end),
                }
            }
            Reach::FirstOf(frame) if frame.start == Edge::Unbounded => match frame.end {
                _ if first == 0 => (0, self.total),
                Edge::Offset(by) => {
                    self.within_hull(frame.units, (Some(by.min(0)), Some(0)), peers())
                }
                _ => (0, 0),
            },
            Reach::LastOf(frame) if frame.end == Edge::Unbounded => match frame.start {
                _ if behind == self.total => (0, self.total),
                Edge::Offset(by) => {
                    self.within_hull(frame.units, (Some(0), Some(by.max(0))), peers())
                }
                _ => (0, 0),
            },
            Reach::FirstOf(frame) => match frame.start {
                Edge::Key(place) => self.first_in_range(place),
                edge => self.within_hull(frame.units, hull_of(edge), peers()),
            },
            Reach::LastOf(frame) => match frame.end {
                Edge::Key(place) => self.last_in_range(place),
                edge => self.within_hull(frame.units, hull_of(edge), peers()),
            },
        }
    }

    fn within_frame(&self, frame: &FrameSpec) -> Interval {
        let peers = Peers::at(&self.rows.tree, self.root, self.place);
        match frame.units {
            FrameUnits::Range => self.within_range(frame, peers),
            units => self.within_hull(units, hull(frame), peers),
        }
    }

    /// The next row with a value in one direction.
    fn next_value(&self, nulls: usize, next: &dyn Fn(u32) -> u32) -> Option<Around<'a>> {
        let mut row = next(self.row);
        while row != NONE && is_null(self.rows.trailer(row), nulls) {
            row = next(row);
        }
        let (rows, root, total) = (self.rows, self.root, self.total);
        let around = |row| {
            let (place, units) = (rows.tree.place(row), rows.tree.units(row));
            Around { rows, root, row, place, units, total }
        };
        (row != NONE).then(|| around(row))
    }

    fn has_no_peers(&self) -> bool {
        let (tree, peer) = (&self.rows.tree, self.rows.peer(self.row));
        let other = |node: u32| node == NONE || self.rows.peer(node) != peer;
        let previous = match self.place.units {
            0 => NONE,
            units => tree.select(self.root, units - 1).node,
        };
        other(previous) && other(self.place.node)
    }

    /// The rows that have it within so many rows or groups before and behind them.
    fn within_hull(
        &self,
        units: FrameUnits,
        (before, behind): (Option<i64>, Option<i64>),
        peers: Peers,
    ) -> Interval {
        let start_of = |group: i64| match group < 0 {
            true => 0,
            false => self.rows.tree.select_mark(self.root, group).units,
        };
        match units {
            FrameUnits::Rows => {
                let (first, end) = (self.place.units, self.place.units + self.units);
                let start = behind.map_or(0, |behind| first.saturating_sub(behind));
                (start, before.map_or(self.total, |before| end.saturating_sub(before)))
            }
            FrameUnits::Groups | FrameUnits::Range => {
                let start = behind.map_or(0, |behind| start_of(peers.index.saturating_sub(behind)));
                let end =
                    |before: i64| start_of(peers.index.saturating_sub(before).saturating_add(1));
                (start, before.map_or(self.total, end))
            }
        }
    }

    /// The rows with a frame of values that its value is in.
    fn within_range(&self, frame: &FrameSpec, peers: Peers) -> Interval {
        let own = self.rows.peer(self.row);
        let start = match frame.end {
            Edge::Unbounded => 0,
            Edge::Key(place) => self.count(|node| self.edge(node, place) < own),
            _ => peers.start,
        };
        let end = match frame.start {
            Edge::Unbounded => self.total,
            Edge::Key(place) => self.count(|node| self.edge(node, place) <= own),
            _ => peers.end,
        };
        (start, end)
    }

    /// The rows whose frame begins at it: after the row before it, not after it.
    fn first_in_range(&self, place: usize) -> Interval {
        let own = self.rows.peer(self.row);
        let start = match self.rows.tree.previous(self.row) {
            NONE => 0,
            before => self.count(|node| self.edge(node, place) <= self.rows.peer(before)),
        };
        (start, self.count(|node| self.edge(node, place) <= own))
    }

    fn last_in_range(&self, place: usize) -> Interval {
        let own = self.rows.peer(self.row);
        let end = match self.rows.tree.next(self.row) {
            NONE => self.total,
            next => self.count(|node| self.edge(node, place) < self.rows.peer(next)),
        };
        (self.count(|node| self.edge(node, place) < own), end)
    }

    fn edge(&self, node: u32, place: usize) -> &[u8] {
        let width = self.rows.peer(node).len();
        &self.rows.trailer(node)[place..place + width]
    }

    /// How many units are in front of the first node of which `before` is false.
    fn count(&self, before: impl Fn(u32) -> bool) -> i64 {
        self.rows.tree.partition_point(self.root, before).units
    }

    /// From the row up to as many rows with a value, on either side.
    fn past_nulls(&self, nulls: usize, ahead: i64, back: i64) -> Interval {
        let tree = &self.rows.tree;
        let walk = |count: i64, next: &dyn Fn(u32) -> u32| {
            let (mut seen, mut passed, mut node) = (0, 0, self.row);
            while seen < count {
                node = next(node);
                if node == NONE {
                    break;
                }
                let units = tree.units(node);
                passed += units;
                seen += if is_null(self.rows.trailer(node), nulls) { 0 } else { units };
            }
            passed
        };
        let before = walk(ahead, &|node| tree.previous(node));
        let behind = walk(back, &|node| tree.next(node));
        (self.place.units - before, self.place.units + self.units + behind)
    }
}

/// From where to where a frame of ROWS or GROUPS reaches, the row itself included.
fn hull(frame: &FrameSpec) -> (Option<i64>, Option<i64>) {
    (hull_of(frame.start).0, hull_of(frame.end).1)
}

fn hull_of(edge: Edge) -> (Option<i64>, Option<i64>) {
    match edge {
        Edge::Unbounded => (None, None),
        Edge::Offset(by) => (Some(by.min(0)), Some(by.max(0))),
        Edge::Peers | Edge::Key(_) => (Some(0), Some(0)),
    }
}

/// Whether nothing that comes between a row and this edge of its frame moves the edge: else
/// what comes there may push a value out of the frame though another one is nearer the edge.
fn is_still(edge: Edge) -> bool {
    matches!(edge, Edge::Unbounded | Edge::Peers | Edge::Offset(0))
}

impl Reach {
    /// Of first_value: its frame's first row, unless some don't count.
    pub fn first_of(frame: FrameSpec, nulls: Option<usize>) -> Self {
        match nulls {
            _ if frame.exclude != Exclude::NoOthers => Reach::Frame(frame),
            None => Reach::FirstOf(frame),
            Some(nulls)
                if is_still(frame.start)
                    && !matches!(frame.end, Edge::Key(_) | Edge::Offset(i64::MIN..0)) =>
            {
                Reach::FirstValueOf(frame, nulls)
            }
            Some(_) => Reach::Frame(frame),
        }
    }

    /// Of last_value.
    pub fn last_of(frame: FrameSpec, nulls: Option<usize>) -> Self {
        match nulls {
            _ if frame.exclude != Exclude::NoOthers => Reach::Frame(frame),
            None => Reach::LastOf(frame),
            Some(nulls)
                if is_still(frame.end)
                    && !matches!(frame.start, Edge::Key(_) | Edge::Offset(1..)) =>
            {
                Reach::LastValueOf(frame, nulls)
            }
            Some(_) => Reach::Frame(frame),
        }
    }
}
