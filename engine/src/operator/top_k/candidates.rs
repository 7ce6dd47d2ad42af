//! Candidates: which rows of a batch can come into the output of a limit at all.
//!
//! Law      what is passed over is not among the first rows of its group at its time or later
//! State    of each group that has as many rows as the limit lets through, a bound: what sorts
//!          behind it stays outside
//!
//! Over rows that never leave, a row with as many before it as are let through is out for good.
//! That is seen by the beginning of a row's place in the order, which may leave in doubt what the
//! rest decides: then the row is a candidate.

use std::ops::Range;

use crate::updates::Updates;

/// The first bytes by which a row sorts: of two that differ, the lesser one's row comes first.
pub(super) type Rank = u128;

/// The rank of a row whose place in the order these bytes say, or begin to say.
pub(super) fn rank_of(bytes: &[u8]) -> Rank {
    let mut first = [0; size_of::<Rank>()];
    let length = bytes.len().min(first.len());
    first[..length].copy_from_slice(&bytes[..length]);
    Rank::from_be_bytes(first)
}

/// See the module.
pub(super) struct Candidates {
    /// So many rows of a group are let through.
    limit: usize,
    /// By group; [`Rank::MAX`] where nothing is passed over.
    bounds: Vec<Rank>,
    /// Rows of each group in the run at hand; 0 between runs.
    counts: Vec<u32>,
}

impl Candidates {
    /// For a limit of at least one.
    pub fn new(limit: usize) -> Self {
        Candidates { limit, bounds: Vec::new(), counts: Vec::new() }
    }

    pub fn limit(&self) -> i64 {
        self.limit as i64
    }

    /// Makes room for groups below `groups`.
    pub fn resize(&mut self, groups: usize) {
        self.bounds.resize(groups, Rank::MAX);
        self.counts.resize(groups, 0);
    }

    /// A group is full, and this is its last row's rank; or it is another group now.
    pub fn set_bound(&mut self, group: u32, bound: Rank) {
        self.bounds[group as usize] = bound;
    }

    /// The rows to look at, in their order, of updates that are in order of time.
    pub fn pick(&mut self, input: &Updates, groups: &[u32], ranks: &[Rank]) -> Vec<u32> {
        let mut picked = Vec::new();
        let mut start = 0;
        for same_time in input.times.chunk_by(|a, b| a == b) {
            self.pick_of_time(start..start + same_time.len(), groups, ranks, &mut picked);
            start += same_time.len();
        }
        picked
    }

    fn pick_of_time(
        &mut self,
        rows: Range<usize>,
        groups: &[u32],
        ranks: &[Rank],
        picked: &mut Vec<u32>,
    ) {
        let first = picked.len();
        for row in rows {
            let group = groups[row] as usize;
            if ranks[row] <= self.bounds[group] {
                self.counts[group] += 1;
                picked.push(row as u32);
            }
        }
        // Of groups with more rows than the limit, the first by rank and who equals the last.
        let many = |row: &u32| self.counts[groups[*row as usize] as usize] as usize > self.limit;
        let mut crowd: Vec<u32> = picked[first..].iter().copied().filter(many).collect();
        picked[first..].iter().for_each(|&row| self.counts[groups[row as usize] as usize] = 0);
        if crowd.is_empty() {
            return;
        }
        let place = |row: &u32| (groups[*row as usize], ranks[*row as usize]);
        crowd.sort_unstable_by_key(place);
        for group in crowd.chunk_by(|a, b| place(a).0 == place(b).0) {
            let (group, last) = place(&group[self.limit - 1]);
            // Until the rows themselves have been looked at.
            self.counts[group as usize] = 1;
            self.bounds[group as usize] = self.bounds[group as usize].min(last);
        }
        let mut kept = first;
        for at in first..picked.len() {
            let (group, rank) = place(&picked[at]);
            if self.counts[group as usize] == 0 || rank <= self.bounds[group as usize] {
                picked[kept] = picked[at];
                kept += 1;
            }
        }
        picked.truncate(kept);
        crowd.iter().for_each(|row| self.counts[groups[*row as usize] as usize] = 0);
    }
}
