//! Reach: which rows of a partition a change of one of its rows may change.
//!
//! Law: a row outside the reach of a change, in the partition as it is without it and as it is with
//! it, has the same values without and with it. Changes are made one after the other, so what lies
//! outside the reaches of all of them is the same before and after all of them; the changed rows
//! themselves are within.
//!
//! A row's value depends on what lies between it and its source (or the edges of its frame), the
//! row and the source included. If no changed row lies there before and after, it is the same. So
//! the reach of a change is the rows between which and their sources it lies. Of these an extremum
//! is the same for those that see a row which counts as much: the nearest such rows before and
//! behind the change, where nothing moves the edges of frames, cut its reach off. A row that
//! excludes the nearest one is looked at.

use super::frame::{Edge, FrameSpec, Interval, Peers};
use super::places::Counted;
use super::trailer::is_null;
use super::{Exclude, FrameUnits};
use crate::state::order_tree::{Measures, NONE, Place};
use crate::state::sorted_rows::SortedRows;

/// How far the changes of rows reach, by the kind of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reach {
    /// row_number, rank, dense_rank: by all changes together.
    Places(Counted),
    /// percent_rank, cume_dist: likewise, and all of them where the number of rows changes.
    Share(Counted),
    /// ntile of the number at this place of the trailer: likewise.
    Buckets(usize),
    /// lag and lead: the rows whose offset spans it. Offsets are of the call number `call`;
    /// `nulls` is where the trailer says that a row is NULL and doesn't count.
    Shift {
        call: usize,
        lag: bool,
        nulls: Option<usize>,
    },
    /// The rows whose frame has it, or its place.
    Frame(FrameSpec),
    /// The same of an aggregate for which a row that the trailer says is out doesn't count.
    Sum(FrameSpec, usize),
    /// The rows whose frame has it and no row that counts as much by the measure of this number.
    Extreme(FrameSpec, usize),
    /// The rows whose frame, with what it excludes, begins with it, or ends; rows that are NULL in
    /// the trailer don't count.
    FirstExcept(FrameSpec, Option<usize>),
    LastExcept(FrameSpec, Option<usize>),
    /// The rows whose frame begins with it, or ends.
    FirstOf(FrameSpec),
    LastOf(FrameSpec),
    /// The same, where rows that the trailer says are NULL there don't count. The frames have
    /// their row within them, and nothing moves their edge on the side of the value.
    FirstValueOf(FrameSpec, usize),
    LastValueOf(FrameSpec, usize),
}

/// A partition as it stands, and the changed row in it.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    rows: &'a SortedRows,
    root: u32,
    row: u32,
    place: Place,
    units: i64,
    /// Whether it is there without the change as well, more or less often.
    stays: bool,
    total: i64,
}

impl<'a> Around<'a> {
    /// The row that a change is of, which is there `units` times on the change's other side.
    pub fn new(rows: &'a SortedRows, partition: u32, row: u32, units: i64) -> Self {
        let root = rows.root(partition);
        let place = rows.place(partition, row);
        let total = rows.tree.total(root);
        Around { rows, root, row, place, units: rows.tree.units(row), stays: units > 0, total }
    }

    /// Finds the units that a change of the row may change where it is there.
    pub fn reach(&self, reach: Reach, offsets: &[(i64, i64)], found: &mut dyn FnMut(Interval)) {
        if self.units == 0 {
            return;
        }
        match reach {
            Reach::Places(_) | Reach::Share(_) | Reach::Buckets(_) => {}
            Reach::Sum(frame, is_out) => match self.moved(&frame) {
                Some(moved) if is_null(self.rows.trailer(self.row), is_out) => found(moved),
                _ => found(self.within_frame(&frame)),
            },
            Reach::Extreme(frame, measure) => {
                let (tree, measures) = (&self.rows.tree, self.rows.measures());
                let own = measures.measure(measure, self.row);
                self.undercut(&frame, !own.is_empty(), found, || {
                    let before = tree.previous_at_most(self.row, measure, own, measures);
                    let behind = tree.next_at_most(self.row, measure, own, measures);
                    [before, behind]
                });
            }
            Reach::FirstExcept(frame, nulls) => {
                self.undercut(&frame, self.has_value(nulls), found, || {
                    [self.next_row(nulls, &|row| self.rows.tree.previous(row)), NONE]
                });
            }
            Reach::LastExcept(frame, nulls) => {
                self.undercut(&frame, self.has_value(nulls), found, || {
                    [NONE, self.next_row(nulls, &|row| self.rows.tree.next(row))]
                });
            }
            _ => found(self.of_one(reach, offsets)),
        }
    }

    fn of_one(&self, reach: Reach, offsets: &[(i64, i64)]) -> Interval {
        let (first, behind) = (self.place.units, self.place.units + self.units);
        let peers = || Peers::at(&self.rows.tree, self.root, self.place);
        match reach {
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
                match self.next_row(Some(nulls), &|row| tree.previous(row)) {
                    NONE => (start, end),
                    // Where the value before it is in the frame too, that one is first.
                    before => (start.max(self.beside(before).within_frame(&frame).1), end),
                }
            }
            Reach::LastValueOf(frame, nulls) => {
                let (start, end) = self.within_frame(&frame);
                let tree = &self.rows.tree;
                match self.next_row(Some(nulls), &|row| tree.next(row)) {
                    NONE => (start, end),
                    behind => (start, end.min(self.beside(behind).within_frame(&frame).0)),
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
            _ => unreachable!("of several intervals"),
        }
    }

    /// Finds the rows that see this one, but neither of two others that count as much: the nearest
    /// before and behind it, or [`NONE`]. Only where it `counts`.
    fn undercut(
        &self,
        frame: &FrameSpec,
        counts: bool,
        found: &mut dyn FnMut(Interval),
        others: impl FnOnce() -> [u32; 2],
    ) {
        let (start, end) = self.within_frame(frame);
        let Some(moved) = self.moved(frame) else {
            return found((start, end));
        };
        found(moved);
        if !counts || self.stays {
            return;
        }
        let (mut from, mut to) = (start, end);
        let [before, behind] = others();
        if before != NONE {
            let before = self.beside(before);
            from = from.max(before.seen(frame).1);
            before.excluding(frame.exclude, (start, end), found);
        }
        if behind != NONE {
            let behind = self.beside(behind);
            to = to.min(behind.seen(frame).0);
            behind.excluding(frame.exclude, (start, end), found);
        }
        found((from, to));
    }

    /// Finds the rows of an interval that exclude this one.
    fn excluding(&self, exclude: Exclude, (start, end): Interval, found: &mut dyn FnMut(Interval)) {
        let (from, to) = match exclude {
            Exclude::NoOthers => return,
            Exclude::CurrentRow => (self.place.units, self.place.units + self.units),
            Exclude::Group | Exclude::Ties => {
                let peers = Peers::at(&self.rows.tree, self.root, self.place);
                (peers.start, peers.end)
            }
        };
        found((from.max(start), to.min(end)));
    }

    /// The rows into or out of whose frame others move when this one comes or goes; `None` where
    /// that may be all with it in their frame.
    fn moved(&self, frame: &FrameSpec) -> Option<Interval> {
        let settled = |edge: Edge| !matches!(edge, Edge::Offset(by) if by != 0);
        let peers = || Peers::at(&self.rows.tree, self.root, self.place);
        match (frame.start, frame.end) {
            (start, end) if settled(start) && settled(end) => Some((0, 0)),
            (Edge::Unbounded, moving) | (moving, Edge::Unbounded) => {
                Some(self.within_hull(frame.units, hull_of(moving), peers()))
            }
            _ => None,
        }
    }

    fn has_value(&self, nulls: Option<usize>) -> bool {
        nulls.is_none_or(|nulls| !is_null(self.rows.trailer(self.row), nulls))
    }

    /// From the first row whose frame does not end before this one, up to the first whose frame
    /// begins behind it.
    fn seen(&self, frame: &FrameSpec) -> Interval {
        let peers = Peers::at(&self.rows.tree, self.root, self.place);
        let by = |edge: Edge| match edge {
            Edge::Unbounded => None,
            Edge::Offset(by) => Some(by),
            Edge::Peers | Edge::Key(_) => Some(0),
        };
        match frame.units {
            FrameUnits::Range => self.within_range(frame, peers),
            units => self.within_hull(units, (by(frame.start), by(frame.end)), peers),
        }
    }

    /// The rows whose frame has it, or between which and their frame it lies.
    fn within_frame(&self, frame: &FrameSpec) -> Interval {
        let peers = Peers::at(&self.rows.tree, self.root, self.place);
        match frame.units {
            FrameUnits::Range => self.within_range(frame, peers),
            units => self.within_hull(units, hull(frame), peers),
        }
    }

    /// The next row in one direction, with a value where others don't count; or [`NONE`].
    fn next_row(&self, nulls: Option<usize>, next: &dyn Fn(u32) -> u32) -> u32 {
        let mut row = next(self.row);
        while let Some(nulls) = nulls
            && row != NONE
            && is_null(self.rows.trailer(row), nulls)
        {
            row = next(row);
        }
        row
    }

    /// Another row of the partition, as it is.
    fn beside(&self, row: u32) -> Around<'a> {
        let (place, units) = (self.rows.tree.place(row), self.rows.tree.units(row));
        Around { row, place, units, stays: true, ..*self }
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
            _ if frame.exclude != Exclude::NoOthers => Reach::FirstExcept(frame, nulls),
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
            _ if frame.exclude != Exclude::NoOthers => Reach::LastExcept(frame, nulls),
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
