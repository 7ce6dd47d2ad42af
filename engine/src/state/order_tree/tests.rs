//! Tests of [`super`]: against a sorted vector.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::best::least;
use super::{Measures, NONE, OrderTree, Place};
use crate::state::key_index::hash_bytes;

/// Nodes in order, each with its units and mark.
type Model = Vec<(u32, i64, bool)>;

/// By the rest of a division by 5 and by 3, in which 0 does not count.
struct Modulo;

impl Measures for Modulo {
    fn measure(&self, number: usize, node: u32) -> &[u8] {
        const DIGITS: [[u8; 1]; 5] = [[0], [1], [2], [3], [4]];
        match node % [5, 3][number] {
            0 => &[],
            rest => &DIGITS[rest as usize],
        }
    }
}

fn compare_best(tree: &OrderTree, root: u32, model: &Model, number: usize) {
    let nodes: Vec<u32> = model.iter().map(|entry| entry.0).collect();
    let starts = model.iter().scan(0, |units, entry| {
        *units += entry.1;
        Some(*units - entry.1)
    });
    let starts: Vec<i64> = starts.collect();
    let total: i64 = model.iter().map(|entry| entry.1).sum();
    for (i, &start) in starts.iter().enumerate() {
        for (j, &last) in starts.iter().enumerate().skip(i) {
            let end = last + model[j].1;
            let expected = least(nodes[i..=j].iter().copied(), number, &Modulo);
            assert_eq!(tree.best(root, (start, end), number, &Modulo), expected);
            assert_eq!(tree.best(root, (start, last + 1), number, &Modulo), expected);
        }
        assert_eq!(tree.best(root, (start, start), number, &Modulo), NONE);
        for bound in 0..4u8 {
            let small = |node: &&u32| {
                let measure = Modulo.measure(number, **node);
                !measure.is_empty() && *measure <= [bound][..]
            };
            let next = nodes[i + 1..].iter().find(small).copied().unwrap_or(NONE);
            assert_eq!(tree.next_at_most(nodes[i], number, &[bound], &Modulo), next);
            let previous = nodes[..i].iter().rfind(small).copied().unwrap_or(NONE);
            assert_eq!(tree.previous_at_most(nodes[i], number, &[bound], &Modulo), previous);
        }
    }
    assert_eq!(tree.best(root, (0, total), number, &Modulo), least(nodes, number, &Modulo));
}

fn compare_all(tree: &OrderTree, root: u32, model: &Model) {
    let (mut units, mut marks) = (0, 0);
    for (i, &(node, own, marked)) in model.iter().enumerate() {
        let place = Place { node, units, marks };
        assert_eq!(tree.place(node), place);
        assert_eq!(tree.partition_point(root, |other| other < node), place);
        for copy in 0..own {
            assert_eq!(tree.select(root, units + copy), place);
        }
        if marked {
            assert_eq!(tree.select_mark(root, marks), place);
        }
        assert_eq!((tree.units(node), tree.is_marked(node)), (own, marked));
        assert_eq!(tree.next(node), model.get(i + 1).map_or(NONE, |next| next.0));
        let previous = i.checked_sub(1).map_or(NONE, |before| model[before].0);
        assert_eq!(tree.previous(node), previous);
        units += own;
        marks += i64::from(marked);
    }
    assert_eq!((tree.total(root), tree.marks(root)), (units, marks));
    let end = Place { node: NONE, units, marks };
    assert_eq!(tree.select(root, units), end);
    assert_eq!(tree.select_mark(root, marks), end);
    assert_eq!(tree.partition_point(root, |_| true), end);
}

#[test]
fn two_trees_of_an_arena_are_two_sorted_vectors() {
    for seed in 0..40 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut tree = OrderTree::with_measures(2);
        let mut roots = [NONE; 2];
        let mut models: [Model; 2] = Default::default();
        for _ in 0..120 {
            let node = random.random_range(0..60u32);
            let side = (node % 2) as usize;
            let (root, model) = (&mut roots[side], &mut models[side]);
            let found = model.binary_search_by_key(&node, |entry| entry.0);
            match (found, random.random_range(0..3)) {
                (Ok(at), 0) => {
                    tree.remove(root, node, &Modulo);
                    model.remove(at);
                }
                (Ok(at), 1) => {
                    model[at].1 = random.random_range(1..4);
                    tree.set_units(node, model[at].1);
                }
                (Ok(at), _) => {
                    model[at].2 = !model[at].2;
                    tree.set_mark(node, model[at].2);
                }
                (Err(at), _) => {
                    let units = random.random_range(1..4);
                    let hash = hash_bytes(&node.to_le_bytes());
                    tree.insert(root, node, hash, units, |other| other.cmp(&node), &Modulo);
                    model.insert(at, (node, units, false));
                }
            }
            (0..2).for_each(|side| compare_all(&tree, roots[side], &models[side]));
            if random.random_bool(0.1) {
                compare_best(&tree, roots[0], &models[0], 0);
                compare_best(&tree, roots[1], &models[1], 1);
            }
        }
    }
}

#[test]
fn a_sorted_load_stays_shallow() {
    let mut tree = OrderTree::default();
    let mut root = NONE;
    for node in 0..20_000u32 {
        let hash = hash_bytes(&node.to_le_bytes());
        tree.insert(&mut root, node, hash, 1, |other| other.cmp(&node), &());
    }
    let depth = |mut node: u32| {
        let mut depth = 0;
        while node != NONE {
            node = tree.nodes[node as usize].parent;
            depth += 1;
        }
        depth
    };
    assert!((0..20_000).map(depth).max() < Some(60));
}
