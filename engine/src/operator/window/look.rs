//! Look: goes along rows of a partition and notes what the value of each call is made of.
//!
//! Nothing is decoded here: a value is a number, the row it comes from, or the number of an
//! aggregate's frame. [`super::evaluate`] makes columns of them.

use super::Exclude;
use super::call::{Call, Extremum, Pick, Shift, Which};
use super::evaluate::{Evaluation, Found, Source};
use super::frame::{Interval, Peers, Spot};
use super::places::{FirstBucket, first_bucket};
use super::sliding::units_of;
use super::trailer::{is_null, number};
use crate::state::order_tree::{NONE, OrderTree, Place, least};
use crate::state::sorted_rows::SortedRows;

/// Rows of a partition, by key, first and last; `None`: from the start, to the end.
pub(super) type Span = (Option<u32>, Option<u32>);

/// A partition as it stands at one time.
#[derive(Clone, Copy)]
pub(super) struct Partition<'a> {
    pub rows: &'a SortedRows,
    pub id: u32,
    /// Where the values of whole-partition aggregates are: 0 before a change, 1 after it, and the
    /// change's number.
    pub side: usize,
    pub number: usize,
}

/// Collects intervals of a partition as it stands as spans of rows.
pub(super) struct Intervals<'a> {
    rows: &'a SortedRows,
    root: u32,
    spans: &'a mut Vec<Span>,
    /// Whether one of them was all of it.
    whole: bool,
}

impl<'a> Intervals<'a> {
    pub fn new(rows: &'a SortedRows, partition: u32, spans: &'a mut Vec<Span>) -> Self {
        Intervals { rows, root: rows.root(partition), spans, whole: false }
    }

    pub fn add(&mut self, (start, end): Interval) {
        let tree = &self.rows.tree;
        let total = tree.total(self.root);
        // Frames may reach beyond the partition.
        let (start, end) = (start.max(0), end.min(total));
        if start >= end {
            return;
        }
        self.whole |= (start, end) == (0, total);
        let first = (start > 0).then(|| tree.select(self.root, start).node);
        let last = (end < total).then(|| tree.select(self.root, end - 1).node);
        self.spans.push((first, last));
    }

    /// `None` if that was all of the partition.
    pub fn ended(self) -> Option<()> {
        (!self.whole).then_some(())
    }
}

/// What is known of a call from the rows before.
#[derive(Clone, Copy, Default)]
struct Known {
    /// Its frame: of the row, or of all its peers.
    frame: Interval,
    bucket: FirstBucket,
    /// Where NULLs don't count: the frame searched last, and what was found in it.
    searched: Option<(Interval, Option<u32>)>,
}

impl Partition<'_> {
    fn tree(&self) -> &OrderTree {
        &self.rows.tree
    }

    fn root(&self) -> u32 {
        self.rows.root(self.id)
    }

    /// Notes what the values in the spans, which are in order and apart, are made of.
    pub fn look(&self, spans: &[Span], calls: &mut [Call], evaluation: &mut Evaluation) {
        let (tree, root) = (self.tree(), self.root());
        if root == NONE {
            return;
        }
        let mut known = vec![Known::default(); calls.len()];
        for (call, known) in calls.iter_mut().zip(&mut known) {
            if let Call::Ntile { buckets } = call {
                known.bucket = first_bucket(self.rows, root, *buckets);
            }
            if let Call::Sliding { sliding, .. } = call {
                sliding.begin(tree, root, self.id);
            }
        }
        for (from, to) in spans {
            let place = match from {
                Some(row) => self.rows.place(self.id, *row),
                None => tree.select(root, 0),
            };
            let to = to.map(|row| self.rows.key(row));
            let within = |row: u32| to.is_none_or(|to| self.rows.key(row) <= to);
            let Place { mut node, units: mut position, .. } = place;
            let mut peers = None;
            while node != NONE && within(node) {
                let units = tree.units(node);
                let first = Spot {
                    row: node,
                    copy: 0,
                    position,
                    peers: self.peers(node, position, peers, place),
                    total: tree.total(root),
                };
                if peers.is_none() || tree.is_marked(node) {
                    self.locate_by_peers(&first, calls, &mut known);
                }
                peers = Some(first.peers);
                evaluation.repeated |= units > 1;
                for copy in 0..units {
                    let spot = Spot { copy, position: position + copy, ..first };
                    self.look_at(&spot, calls, &mut known, evaluation);
                }
                position += units;
                node = tree.next(node);
            }
        }
        for call in calls.iter_mut() {
            if let Call::Sliding { sliding, .. } = call {
                sliding.end(tree, root, self.id);
            }
        }
    }

    /// The peers of the next node on the way from `place`, of which the last one had `last`.
    fn peers(&self, node: u32, position: i64, last: Option<Peers>, place: Place) -> Peers {
        match last {
            None => Peers::at(self.tree(), self.root(), place),
            Some(last) if !self.tree().is_marked(node) => last,
            Some(last) => {
                let index = last.index + 1;
                let end = self.tree().select_mark(self.root(), index + 1).units;
                Peers { index, start: position, end }
            }
        }
    }

    fn locate_by_peers(&self, spot: &Spot, calls: &[Call], known: &mut [Known]) {
        for (call, known) in calls.iter().zip(known) {
            if let Some(spec) = call.frame()
                && spec.is_of_peers()
            {
                known.frame = spec.locate(self.rows, self.root(), spot);
            }
        }
    }

    fn look_at(
        &self,
        spot: &Spot,
        calls: &mut [Call],
        known: &mut [Known],
        evaluation: &mut Evaluation,
    ) {
        evaluation.rows.push(spot.row);
        for (i, (call, known)) in calls.iter_mut().zip(known).enumerate() {
            if let Some(spec) = call.frame()
                && !spec.is_of_peers()
            {
                known.frame = spec.locate(self.rows, self.root(), spot);
            }
            let found = match call {
                Call::RowNumber => Ok(Found::Number(Some(spot.position + 1))),
                Call::Rank => Ok(Found::Number(Some(spot.peers.start + 1))),
                Call::DenseRank => Ok(Found::Number(Some(spot.peers.index + 1))),
                Call::PercentRank => Ok(Found::Fraction(match spot.total {
                    1 => 0.0,
                    total => spot.peers.start as f64 / (total - 1) as f64,
                })),
                Call::CumeDist => Ok(Found::Fraction(spot.peers.end as f64 / spot.total as f64)),
                Call::Ntile { .. } => bucket(spot, known.bucket).map(Found::Number),
                Call::Shift(shift) => Ok(Found::Source(self.shift(shift, spot))),
                Call::Pick(pick) => self.pick(pick, known, spot).map(Found::Source),
                Call::Extreme(extremum) => {
                    let parts = extremum.frame.parts(known.frame, spot);
                    Ok(Found::Source(self.least(extremum, &parts)))
                }
                Call::Whole(_) => Ok(Found::Value(self.side, self.number)),
                Call::Sliding { frame, sliding, .. } => {
                    let parts = frame.parts(known.frame, spot);
                    Ok(Found::Value(1, sliding.go(self.tree(), self.root(), &parts) as usize))
                }
            };
            evaluation.push(i, found);
        }
    }

    /// The row whose value the extremum of these parts of a frame is.
    fn least(&self, extremum: &Extremum, parts: &[Interval]) -> Source {
        let (measures, number) = (self.rows.measures(), extremum.measure);
        let best = |&part: &Interval| self.tree().best(self.root(), part, number, measures);
        match least(parts.iter().map(best), number, measures) {
            NONE => Source::Null,
            row => Source::Value(row),
        }
    }

    /// The row that lag or lead looks at.
    fn shift(&self, shift: &Shift, spot: &Spot) -> Source {
        let Some(offset) = number(self.rows.trailer(spot.row), shift.offset) else {
            return Source::Null;
        };
        let ahead = if shift.lag { -offset } else { offset };
        let found = match shift.nulls {
            None => {
                let position = spot.position.saturating_add(ahead);
                (0..spot.total)
                    .contains(&position)
                    .then(|| self.tree().select(self.root(), position).node)
            }
            Some(nulls) => self.shift_past_nulls(nulls, spot, ahead),
        };
        found.map_or(Source::Default(spot.row), Source::Value)
    }

    /// The row so many rows with a value ahead (or back).
    fn shift_past_nulls(&self, nulls: usize, spot: &Spot, ahead: i64) -> Option<u32> {
        let tree = self.tree();
        let counts = |row: u32, units: i64| {
            if is_null(self.rows.trailer(row), nulls) { 0 } else { units }
        };
        let beside = match ahead >= 0 {
            true => tree.units(spot.row) - spot.copy - 1,
            false => spot.copy,
        };
        let mut row = spot.row;
        let mut left = ahead.abs() - counts(row, beside);
        while left > 0 {
            row = if ahead > 0 { tree.next(row) } else { tree.previous(row) };
            if row == NONE {
                return None;
            }
            left -= counts(row, tree.units(row));
        }
        Some(row)
    }

    /// The row of a frame that first_value, last_value or nth_value picks.
    fn pick(&self, pick: &Pick, known: &mut Known, spot: &Spot) -> Result<Source, &'static str> {
        let n = match pick.which {
            Which::First | Which::Last => 1,
            Which::Nth(place) => match number(self.rows.trailer(spot.row), place) {
                None => return Ok(Source::Null),
                Some(n) if n <= 0 => return Err("argument of nth_value must be greater than zero"),
                Some(n) => n,
            },
        };
        let parts = pick.frame.parts(known.frame, spot);
        let whole = pick.frame.exclude == Exclude::NoOthers;
        let found = match (pick.which, pick.nulls) {
            (Which::Last, None) => {
                let last = parts.iter().rev().find(|(start, end)| start < end);
                last.map(|(_, end)| self.tree().select(self.root(), end - 1).node)
            }
            (Which::First, Some(nulls)) if whole => self.go_on_to_first(known, nulls),
            (Which::Last, Some(nulls)) if whole => self.go_on_to_last(known, nulls),
            (Which::Last, Some(nulls)) => {
                parts.iter().rev().find_map(|&part| self.last_with_value(part, nulls))
            }
            (_, None) => {
                let mut left = n;
                let part = parts.iter().find_map(|&(start, end)| {
                    left -= end - start;
                    (left <= 0).then_some(end + left - 1)
                });
                part.map(|position| self.tree().select(self.root(), position).node)
            }
            (_, Some(nulls)) => {
                let mut left = n;
                parts.iter().find_map(|&part| self.nth_with_value(part, nulls, &mut left))
            }
        };
        Ok(found.map_or(Source::Null, Source::Value))
    }

    /// The first row with a value in the known frame, where the last search can help.
    fn go_on_to_first(&self, known: &mut Known, nulls: usize) -> Option<u32> {
        let (start, end) = known.frame;
        let found = match known.searched {
            Some(((from, to), found)) if from <= start && to <= end => {
                let behind = found.map_or(to, |row| self.end_of(row).min(to));
                match found {
                    Some(row) if behind > start => Some(row),
                    _ => self.nth_with_value((behind.max(start), end), nulls, &mut 1),
                }
            }
            _ => self.nth_with_value((start, end), nulls, &mut 1),
        };
        known.searched = Some((known.frame, found));
        found
    }

    fn go_on_to_last(&self, known: &mut Known, nulls: usize) -> Option<u32> {
        let (start, end) = known.frame;
        let found = match known.searched {
            Some(((from, to), found)) if from <= start && to <= end => {
                let still = |&row: &u32| self.end_of(row).min(to) > start;
                let newer = self.last_with_value((to.max(start), end), nulls);
                newer.or(found.filter(still))
            }
            _ => self.last_with_value((start, end), nulls),
        };
        known.searched = Some((known.frame, found));
        found
    }

    /// Behind the last unit of a row.
    fn end_of(&self, row: u32) -> i64 {
        self.tree().place(row).units + self.tree().units(row)
    }

    fn last_with_value(&self, (start, end): Interval, nulls: usize) -> Option<u32> {
        if start >= end {
            return None;
        }
        let tree = self.tree();
        let place = tree.select(self.root(), end - 1);
        let (mut row, mut first) = (place.node, place.units);
        while is_null(self.rows.trailer(row), nulls) {
            if first <= start {
                return None;
            }
            row = tree.previous(row);
            first -= tree.units(row);
        }
        Some(row)
    }

    fn nth_with_value(&self, part: Interval, nulls: usize, left: &mut i64) -> Option<u32> {
        let mut found = None;
        units_of(self.tree(), self.root(), part, |row, units| {
            if !is_null(self.rows.trailer(row), nulls) && *left > 0 {
                *left -= units;
                if *left <= 0 {
                    found = Some(row);
                }
            }
            found.is_none()
        });
        found
    }
}

/// ntile: the bucket of a row, where the first buckets have one row more if they don't divide.
fn bucket(spot: &Spot, first: FirstBucket) -> Result<Option<i64>, &'static str> {
    let Some((first, buckets)) = first.filter(|&(first, _)| first <= spot.position) else {
        return Ok(None);
    };
    if buckets <= 0 {
        return Err("argument of ntile must be greater than zero");
    }
    let (size, longer) = (spot.total / buckets, spot.total % buckets);
    let row = spot.position - first;
    let in_longer = longer * (size + 1);
    Ok(Some(match () {
        _ if size == 0 => row + 1,
        _ if row < in_longer => row / (size + 1) + 1,
        _ => longer + (row - in_longer) / size + 1,
    }))
}
