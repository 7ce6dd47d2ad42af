//! Best: the node with the least measure among the units of an interval, and the next node with a
//! measure that is small enough; each in O(log n) expected.
//!
//! Law: for each node, of everything below and including it, the first in order of those with the
//! least measure is known; those whose measure has no bytes don't count.

use super::{Measures, NONE, OrderTree};

impl OrderTree {
    /// No trees yet, of nodes with so many measures.
    pub fn with_measures(measures: usize) -> Self {
        OrderTree { measures, ..OrderTree::default() }
    }

    /// The node with the least measure of those with units in `start..end`; [`NONE`] if none
    /// counts.
    pub fn best(
        &self,
        root: u32,
        (start, end): (i64, i64),
        number: usize,
        measures: &impl Measures,
    ) -> u32 {
        self.best_within(root, 0, (start, end), number, measures)
    }

    /// `first` units are before all those below `at`.
    fn best_within(
        &self,
        at: u32,
        first: i64,
        (start, end): (i64, i64),
        number: usize,
        measures: &impl Measures,
    ) -> u32 {
        let behind = first + self.sum_units(at);
        if at == NONE || start.max(first) >= end.min(behind) {
            return NONE;
        }
        if start <= first && behind <= end {
            return self.best_of(at, number);
        }
        let node = &self.nodes[at as usize];
        let own = first + self.sum_units(node.left);
        let left = self.best_within(node.left, first, (start, end), number, measures);
        let own_end = own + node.units;
        let here = if start.max(own) < end.min(own_end) { at } else { NONE };
        let right = self.best_within(node.right, own_end, (start, end), number, measures);
        least([left, here, right], number, measures)
    }

    /// The next node behind one of a tree with a measure of at most `bound`, or [`NONE`].
    pub fn next_at_most(
        &self,
        node: u32,
        number: usize,
        bound: &[u8],
        measures: &impl Measures,
    ) -> u32 {
        let small = |node: u32| is_at_most(node, number, bound, measures);
        let mut subtree = self.nodes[node as usize].right;
        let mut below = node;
        while !small(self.best_of(subtree, number)) {
            let at = self.nodes[below as usize].parent;
            if at == NONE {
                return NONE;
            }
            let above = &self.nodes[at as usize];
            subtree = NONE;
            if above.left == below {
                if small(at) {
                    return at;
                }
                subtree = above.right;
            }
            below = at;
        }
        loop {
            let node = &self.nodes[subtree as usize];
            match () {
                _ if small(self.best_of(node.left, number)) => subtree = node.left,
                _ if small(subtree) => return subtree,
                _ => subtree = node.right,
            }
        }
    }

    /// The last node before one of a tree with a measure of at most `bound`, or [`NONE`].
    pub fn previous_at_most(
        &self,
        node: u32,
        number: usize,
        bound: &[u8],
        measures: &impl Measures,
    ) -> u32 {
        let small = |node: u32| is_at_most(node, number, bound, measures);
        let mut subtree = self.nodes[node as usize].left;
        let mut below = node;
        while !small(self.best_of(subtree, number)) {
            let at = self.nodes[below as usize].parent;
            if at == NONE {
                return NONE;
            }
            let above = &self.nodes[at as usize];
            subtree = NONE;
            if above.right == below {
                if small(at) {
                    return at;
                }
                subtree = above.left;
            }
            below = at;
        }
        loop {
            let node = &self.nodes[subtree as usize];
            match () {
                _ if small(self.best_of(node.right, number)) => subtree = node.right,
                _ if small(subtree) => return subtree,
                _ => subtree = node.left,
            }
        }
    }

    fn best_of(&self, node: u32, number: usize) -> u32 {
        match node {
            NONE => NONE,
            _ => self.best[node as usize * self.measures + number],
        }
    }

    /// Brings the best of a node and of those above it up to date.
    pub(super) fn best_up_from(&mut self, node: u32, measures: &impl Measures) {
        let mut at = node;
        while at != NONE && self.measures > 0 {
            self.best_at(at, measures);
            at = self.nodes[at as usize].parent;
        }
    }

    pub(super) fn best_at(&mut self, node: u32, measures: &impl Measures) {
        let (left, right) = (self.nodes[node as usize].left, self.nodes[node as usize].right);
        for number in 0..self.measures {
            let among = [self.best_of(left, number), node, self.best_of(right, number)];
            self.best[node as usize * self.measures + number] = least(among, number, measures);
        }
    }
}

/// The first of those with the least measure.
pub(crate) fn least(
    among: impl IntoIterator<Item = u32>,
    number: usize,
    measures: &impl Measures,
) -> u32 {
    let (mut best, mut least): (u32, &[u8]) = (NONE, &[]);
    for node in among.into_iter().filter(|&node| node != NONE) {
        let measure = measures.measure(number, node);
        if !measure.is_empty() && (best == NONE || measure < least) {
            (best, least) = (node, measure);
        }
    }
    best
}

fn is_at_most(node: u32, number: usize, bound: &[u8], measures: &impl Measures) -> bool {
    let measure = || measures.measure(number, node);
    node != NONE && !measure().is_empty() && measure() <= bound
}
