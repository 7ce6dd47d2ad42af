//! Places: the rows whose number changes with the places of rows, by all changes of a time
//! together.
//!
//! Law: a number that counts what is before a row changes where the changes before it don't
//! balance. So what replaces a row at its place changes no number behind it; a row that comes or
//! goes changes those behind it up to the next change that balances it.
//!
//! The bucket of a row changes where it lies between the row that a bucket began with and the one
//! that it begins with now.

use super::frame::Interval;
use super::look::Span;
use super::trailer::number;
use crate::state::order_tree::NONE;
use crate::state::sorted_rows::{Change, SortedRows};

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// The rows before it: row_number.
    Rows,
    /// Those before its peers: rank, and percent_rank of all rows.
    RowsBeforePeers,
    /// Those up to its last peer: cume_dist of all rows.
    RowsToPeers,
    /// The groups of peers before it: dense_rank.
    Peers,
}

/// The first row with a number of buckets: where it is, and how many there are. ntile counts from
/// there, as in Postgres.
pub(super) type FirstBucket = Option<(i64, i64)>;

/// What is known of a partition before the changes of a time.
pub(super) struct Before {
    total: i64,
    /// For each change whether its row had peers, or was there itself.
    peers: Vec<bool>,
    /// Of each place of a trailer that says how many.
    buckets: Vec<(usize, Buckets)>,
}

/// Where buckets begin.
#[derive(PartialEq)]
struct Buckets {
    first: FirstBucket,
    total: i64,
    /// The rows that all but the first begin with; [`NONE`] at the end.
    starts: Vec<u32>,
}

/// With more buckets to so many rows all rows are looked at.
const ROWS_OF_BUCKET_MIN: i64 = 8;

impl Before {
    pub fn new(
        rows: &SortedRows,
        changes: &[Change],
        buckets: impl Iterator<Item = usize>,
    ) -> Self {
        let partition = changes[0].partition;
        let total = rows.tree.total(rows.root(partition));
        let peers = changes.iter().map(|change| has_peers(rows, change)).collect();
        let of = |place: usize| (place, Buckets::new(rows, partition, place));
        Before { total, peers, buckets: buckets.map(of).collect() }
    }

    /// The intervals of rows, after the changes, whose number is another one.
    pub fn shifted(
        &self,
        rows: &SortedRows,
        changes: &[Change],
        counted: Counted,
        found: &mut dyn FnMut(Interval),
    ) {
        let (tree, root) = (&rows.tree, rows.root(changes[0].partition));
        let behind = |change: &Change| {
            let peer = rows.peer(change.row);
            match counted {
                Counted::Rows => {
                    let place = rows.place(change.partition, change.row);
                    place.units + tree.units(change.row)
                }
                Counted::RowsToPeers => {
                    tree.partition_point(root, |node| rows.peer(node) < peer).units
                }
                Counted::RowsBeforePeers | Counted::Peers => {
                    tree.partition_point(root, |node| rows.peer(node) <= peer).units
                }
            }
        };
        let mut sum = 0;
        for (number, change) in changes.iter().enumerate() {
            let is_other = |before: usize| rows.peer(changes[before].row) != rows.peer(change.row);
            sum += match counted {
                Counted::Peers if number.checked_sub(1).is_none_or(is_other) => {
                    i64::from(has_peers(rows, change)) - i64::from(self.peers[number])
                }
                Counted::Peers => 0,
                _ => change.units,
            };
            if sum != 0 {
                let next = changes.get(number + 1).map_or(tree.total(root), behind);
                found((behind(change), next));
            }
        }
    }

    /// Whether there are as many rows as before.
    pub fn keeps_total(&self, rows: &SortedRows, partition: u32) -> bool {
        self.total == rows.tree.total(rows.root(partition))
    }

    /// Adds the rows whose bucket may be another one; `None` if that is all.
    pub fn rebucketed(
        &self,
        rows: &SortedRows,
        changes: &[Change],
        place: usize,
        spans: &mut Vec<Span>,
        found: &mut dyn FnMut(Interval),
    ) -> Option<()> {
        let of = self.buckets.iter().find(|(other, _)| *other == place);
        let (_, before) = of.expect("noted of every call");
        let after = Buckets::new(rows, changes[0].partition, place);
        if before.first != after.first {
            return None;
        }
        if before.is_a_row_each() && after.is_a_row_each() {
            self.shifted(rows, changes, Counted::Rows, found);
            return Some(());
        }
        if before.is_narrow() || after.is_narrow() {
            return None;
        }
        for number in 0..before.starts.len().max(after.starts.len()) {
            let start = |of: &Buckets| of.starts.get(number).copied().unwrap_or(NONE);
            let (a, b) = (start(before), start(&after));
            let span = match (a, b) {
                // Of a row that is there several times a bucket may begin within.
                _ if a == b && (a == NONE || rows.tree.units(a) == 1) => continue,
                (NONE, row) | (row, NONE) => (Some(row), None),
                _ if rows.key(a) <= rows.key(b) => (Some(a), Some(b)),
                _ => (Some(b), Some(a)),
            };
            spans.push(span);
        }
        Some(())
    }
}

impl Buckets {
    fn new(rows: &SortedRows, partition: u32, place: usize) -> Self {
        let root = rows.root(partition);
        let total = rows.tree.total(root);
        let mut buckets = Buckets { first: first_bucket(rows, root, place), total, starts: vec![] };
        let Some((first, count)) = buckets.first.filter(|(_, count)| *count > 0) else {
            return buckets;
        };
        if !buckets.is_narrow() {
            let (size, longer) = (total / count, total % count);
            let start = |number: i64| first + number * size + number.min(longer);
            let starts = (1..count).map(|number| rows.tree.select(root, start(number)).node);
            buckets.starts = starts.collect();
        }
        buckets
    }

    /// Whether every row has a bucket of its own, as there are more of them.
    fn is_a_row_each(&self) -> bool {
        self.first.is_some_and(|(_, count)| count > self.total)
    }

    fn is_narrow(&self) -> bool {
        self.first.is_some_and(|(_, count)| count.saturating_mul(ROWS_OF_BUCKET_MIN) > self.total)
    }
}

/// Finds the first row with a number of buckets at `place` of its trailer.
pub(super) fn first_bucket(rows: &SortedRows, root: u32, place: usize) -> FirstBucket {
    let tree = &rows.tree;
    let (mut row, mut position) = (tree.select(root, 0).node, 0);
    while row != NONE {
        if let Some(buckets) = number(rows.trailer(row), place) {
            return Some((position, buckets));
        }
        position += tree.units(row);
        row = tree.next(row);
    }
    None
}

fn has_peers(rows: &SortedRows, change: &Change) -> bool {
    let peer = rows.peer(change.row);
    let root = rows.root(change.partition);
    let place = rows.tree.partition_point(root, |node| rows.peer(node) < peer);
    place.node != NONE && rows.peer(place.node) == peer
}
