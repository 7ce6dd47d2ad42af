//! Order tree: the rows of partitions in order, with their places.
//!
//! Law: a tree holds nodes in the order in which its caller compares them, each with a number of
//! units (equal rows) and a mark (whether it is the first of its peers). The place of a node, the
//! node at a place, the k-th marked node, the first node that a monotone question answers with no,
//! the neighbours: each in O(log n) expected.
//!
//! It is a forest of treaps (Seidel and Aragon, "Randomized search trees", 1996) in one arena. A
//! node is a number of the caller's, so that rows known by dense ids need no other storage. The
//! priority is the hash of the row: the shape of a tree is a function of its rows alone, not of
//! their history.
//!
//! Beside its order a node may have measures: of each, every part of a tree knows which of its
//! nodes has the least one ([`best`]).
//!
//! What it does not promise: it does not know the keys. Who asks says how they compare.

mod best;

use std::cmp::Ordering;

pub(crate) use self::best::least;

/// No node: the root of an empty tree.
pub(crate) const NONE: u32 = u32::MAX;

/// The arena of all trees. A tree is its root, which the caller keeps.
#[derive(Default)]
pub(crate) struct OrderTree {
    nodes: Vec<Node>,
    /// How many measures a node has, and for each node and measure which node has the least of it
    /// and everything below it; [`NONE`] where none counts.
    measures: usize,
    best: Vec<u32>,
}

/// What nodes are measured by.
pub(crate) trait Measures {
    /// The measure number `number` of a node; of no bytes where it does not count.
    fn measure(&self, number: usize, node: u32) -> &[u8];
}

/// Nodes have none.
impl Measures for () {
    fn measure(&self, _: usize, _: u32) -> &[u8] {
        &[]
    }
}

#[derive(Clone, Copy)]
struct Node {
    parent: u32,
    left: u32,
    right: u32,
    priority: u32,
    units: i64,
    /// Of the node and everything below it.
    sum_units: i64,
    sum_marks: u32,
    marked: bool,
}

const EMPTY: Node = Node {
    parent: NONE,
    left: NONE,
    right: NONE,
    priority: 0,
    units: 0,
    sum_units: 0,
    sum_marks: 0,
    marked: false,
};

/// Between two nodes of a tree, or at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The node behind it; [`NONE`] at the end.
    pub node: u32,
    /// How many units and marks are before it.
    pub units: i64,
    pub marks: i64,
}

impl OrderTree {
    /// What its nodes take in memory.
    pub fn bytes(&self) -> usize {
        self.nodes.len() * size_of::<Node>() + self.best.len() * size_of::<u32>()
    }

    /// How many units the tree has.
    pub fn total(&self, root: u32) -> i64 {
        self.sum_units(root)
    }

    /// How many marked nodes the tree has.
    #[cfg(test)]
    pub fn marks(&self, root: u32) -> i64 {
        self.sum_marks(root)
    }

    /// The units of a node; 0 if it is in no tree.
    pub fn units(&self, node: u32) -> i64 {
        self.nodes.get(node as usize).map_or(0, |node| node.units)
    }

    pub fn is_marked(&self, node: u32) -> bool {
        self.nodes[node as usize].marked
    }

    /// Puts a node that is in no tree where `compare` (a node of the tree with the new one) says.
    pub fn insert(
        &mut self,
        root: &mut u32,
        node: u32,
        hash: u64,
        units: i64,
        compare: impl Fn(u32) -> Ordering,
        measures: &impl Measures,
    ) {
        assert!(units > 0, "a node has units");
        if self.nodes.len() <= node as usize {
            self.nodes.resize(node as usize + 1, EMPTY);
            self.best.resize(self.nodes.len() * self.measures, NONE);
        }
        assert_eq!(self.units(node), 0, "a node is in one tree");
        let (mut parent, mut left) = (NONE, false);
        let mut at = *root;
        while at != NONE {
            parent = at;
            left = compare(at) == Ordering::Greater;
            at = if left { self.nodes[at as usize].left } else { self.nodes[at as usize].right };
        }
        let priority = mixed(hash);
        self.nodes[node as usize] = Node { parent, priority, ..EMPTY };
        match parent {
            NONE => *root = node,
            _ if left => self.nodes[parent as usize].left = node,
            _ => self.nodes[parent as usize].right = node,
        }
        self.set_units(node, units);
        self.best_up_from(node, measures);
        while let above = self.nodes[node as usize].parent
            && above != NONE
            && self.nodes[above as usize].priority < priority
        {
            self.rotate_up(root, node, measures);
        }
    }

    /// Takes a node out of its tree.
    pub fn remove(&mut self, root: &mut u32, node: u32, measures: &impl Measures) {
        self.set_units(node, 0);
        self.set_mark(node, false);
        loop {
            let Node { left, right, .. } = self.nodes[node as usize];
            let child = match (left, right) {
                (NONE, NONE) => break,
                (NONE, only) | (only, NONE) => only,
                _ if self.nodes[left as usize].priority < self.nodes[right as usize].priority => {
                    right
                }
                _ => left,
            };
            self.rotate_up(root, child, measures);
        }
        let parent = self.nodes[node as usize].parent;
        match parent {
            NONE => *root = NONE,
            _ => self.replace_child(parent, node, NONE),
        }
        self.nodes[node as usize] = EMPTY;
        self.best_up_from(parent, measures);
    }

    /// Gives a node of a tree another number of units.
    pub fn set_units(&mut self, node: u32, units: i64) {
        let change = units - self.nodes[node as usize].units;
        self.nodes[node as usize].units = units;
        let mut at = node;
        while at != NONE {
            let above = &mut self.nodes[at as usize];
            above.sum_units += change;
            at = above.parent;
        }
    }

    pub fn set_mark(&mut self, node: u32, marked: bool) {
        if self.nodes[node as usize].marked == marked {
            return;
        }
        self.nodes[node as usize].marked = marked;
        let mut at = node;
        while at != NONE {
            let above = &mut self.nodes[at as usize];
            above.sum_marks = match marked {
                true => above.sum_marks + 1,
                false => above.sum_marks - 1,
            };
            at = above.parent;
        }
    }

    /// The place before the first node that `before` answers with no; it answers with yes up to
    /// some node, and with no from there on.
    pub fn partition_point(&self, root: u32, before: impl Fn(u32) -> bool) -> Place {
        let mut place = Place { node: NONE, units: 0, marks: 0 };
        let mut at = root;
        while at != NONE {
            let node = &self.nodes[at as usize];
            if before(at) {
                place.units += self.sum_units(node.left) + node.units;
                place.marks += self.sum_marks(node.left) + i64::from(node.marked);
                at = node.right;
            } else {
                place.node = at;
                at = node.left;
            }
        }
        place
    }

    /// The place before a node of a tree.
    pub fn place(&self, node: u32) -> Place {
        let own = &self.nodes[node as usize];
        let (mut units, mut marks) = (self.sum_units(own.left), self.sum_marks(own.left));
        let (mut below, mut at) = (node, own.parent);
        while at != NONE {
            let above = &self.nodes[at as usize];
            if above.right == below {
                units += self.sum_units(above.left) + above.units;
                marks += self.sum_marks(above.left) + i64::from(above.marked);
            }
            (below, at) = (at, above.parent);
        }
        Place { node, units, marks }
    }

    /// The place before the node that has the unit number `position`, from 0; the end if there are
    /// fewer.
    pub fn select(&self, root: u32, position: i64) -> Place {
        let mut place = Place { node: NONE, units: 0, marks: 0 };
        let mut at = root;
        while at != NONE {
            let node = &self.nodes[at as usize];
            let left = place.units + self.sum_units(node.left);
            if position < left {
                at = node.left;
                continue;
            }
            place.units = left;
            place.marks += self.sum_marks(node.left);
            if position < left + node.units {
                place.node = at;
                return place;
            }
            place.units += node.units;
            place.marks += i64::from(node.marked);
            at = node.right;
        }
        place
    }

    /// The place before the marked node number `number`, from 0; the end if there are fewer.
    pub fn select_mark(&self, root: u32, number: i64) -> Place {
        let mut place = Place { node: NONE, units: 0, marks: 0 };
        let mut at = root;
        while at != NONE {
            let node = &self.nodes[at as usize];
            let left = place.marks + self.sum_marks(node.left);
            if number < left {
                at = node.left;
                continue;
            }
            place.marks = left;
            place.units += self.sum_units(node.left);
            if number == left && node.marked {
                place.node = at;
                return place;
            }
            place.units += node.units;
            place.marks += i64::from(node.marked);
            at = node.right;
        }
        place
    }

    /// The node after one of a tree, or [`NONE`].
    pub fn next(&self, node: u32) -> u32 {
        let right = self.nodes[node as usize].right;
        if right != NONE {
            return self.leftmost(right);
        }
        let (mut below, mut at) = (node, self.nodes[node as usize].parent);
        while at != NONE && self.nodes[at as usize].right == below {
            (below, at) = (at, self.nodes[at as usize].parent);
        }
        at
    }

    /// The node before one of a tree, or [`NONE`].
    pub fn previous(&self, node: u32) -> u32 {
        let left = self.nodes[node as usize].left;
        if left != NONE {
            let mut at = left;
            while self.nodes[at as usize].right != NONE {
                at = self.nodes[at as usize].right;
            }
            return at;
        }
        let (mut below, mut at) = (node, self.nodes[node as usize].parent);
        while at != NONE && self.nodes[at as usize].left == below {
            (below, at) = (at, self.nodes[at as usize].parent);
        }
        at
    }

    fn leftmost(&self, node: u32) -> u32 {
        let mut at = node;
        while self.nodes[at as usize].left != NONE {
            at = self.nodes[at as usize].left;
        }
        at
    }

    fn sum_units(&self, node: u32) -> i64 {
        if node == NONE { 0 } else { self.nodes[node as usize].sum_units }
    }

    fn sum_marks(&self, node: u32) -> i64 {
        if node == NONE { 0 } else { self.nodes[node as usize].sum_marks.into() }
    }

    /// Puts a node in the place of its parent, which becomes its child.
    fn rotate_up(&mut self, root: &mut u32, node: u32, measures: &impl Measures) {
        let parent = self.nodes[node as usize].parent;
        let above = self.nodes[parent as usize].parent;
        let inner = match self.nodes[parent as usize].left == node {
            true => {
                let inner = std::mem::replace(&mut self.nodes[node as usize].right, parent);
                self.nodes[parent as usize].left = inner;
                inner
            }
            false => {
                let inner = std::mem::replace(&mut self.nodes[node as usize].left, parent);
                self.nodes[parent as usize].right = inner;
                inner
            }
        };
        if inner != NONE {
            self.nodes[inner as usize].parent = parent;
        }
        self.nodes[parent as usize].parent = node;
        self.nodes[node as usize].parent = above;
        match above {
            NONE => *root = node,
            _ => self.replace_child(above, parent, node),
        }
        self.sum_up(parent);
        self.sum_up(node);
        self.best_at(parent, measures);
        self.best_at(node, measures);
    }

    fn replace_child(&mut self, parent: u32, old: u32, new: u32) {
        let parent = &mut self.nodes[parent as usize];
        match parent.left == old {
            true => parent.left = new,
            false => parent.right = new,
        }
    }

    fn sum_up(&mut self, node: u32) {
        let Node { left, right, units, marked, .. } = self.nodes[node as usize];
        let sum_units = self.sum_units(left) + self.sum_units(right) + units;
        let below = |child: u32| match child {
            NONE => 0,
            _ => self.nodes[child as usize].sum_marks,
        };
        let sum_marks = below(left) + below(right) + u32::from(marked);
        let node = &mut self.nodes[node as usize];
        (node.sum_units, node.sum_marks) = (sum_units, sum_marks);
    }
}

/// A hash whose every bit depends on all of its bits (the finish of SplitMix64): rows that follow
/// each other have hashes that are no random numbers.
fn mixed(hash: u64) -> u32 {
    let mut bits = hash;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ (bits >> 31)) >> 32) as u32
}

#[cfg(test)]
mod tests;
