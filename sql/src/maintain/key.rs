//! Which columns of a view identify its rows.
//!
//! Law: no two rows of the relation are equal in the columns of a key, NULLs counted as equal, at
//! any time; an empty key means one row at most. Keys come from primary keys and GROUP BY.

use std::collections::BTreeSet;

use super::rel::{Join, Rel, as_column};

/// More keys than this are not followed through joins.
const KEYS_MAX: usize = 8;

/// The smallest key found; `None` if rows may repeat, or a key's columns are not in the output.
pub(super) fn key(rel: &Rel) -> Option<Vec<usize>> {
    let keys = keys(rel);
    let smallest = keys.into_iter().min_by_key(|key| key.len());
    smallest.map(|key| key.into_iter().collect())
}

type Key = BTreeSet<usize>;

fn keys(rel: &Rel) -> Vec<Key> {
    match rel {
        Rel::Scan(scan) => scan.key.iter().map(|key| key.iter().copied().collect()).collect(),
        Rel::Constant(rows) if rows.num_rows() <= 1 => vec![Key::new()],
        Rel::Constant(_) | Rel::Union(_) => vec![],
        Rel::Filter(filter) => keys(&filter.input),
        Rel::Project(project) => {
            let kept = |column: usize| {
                project.exprs.iter().position(|expr| as_column(expr) == Some(column))
            };
            let carried = |key: &Key| key.iter().map(|&column| kept(column)).collect();
            keys(&project.input).iter().filter_map(carried).collect()
        }
        Rel::Join(join) => of_join(join),
        Rel::Aggregate(aggregate) => vec![(0..aggregate.keys.len()).collect()],
    }
}

/// A key of one side, if the other is joined on a whole key of its own; else one of both.
fn of_join(join: &Join) -> Vec<Key> {
    let width = join.left.width();
    let (left, right) = (keys(&join.left), keys(&join.right));
    let moved = |key: &Key| -> Key { key.iter().map(|column| column + width).collect() };
    let left_on: Key = join.on.iter().filter_map(|(expr, _)| as_column(expr)).collect();
    let right_on: Key = join.on.iter().filter_map(|(_, expr)| as_column(expr)).collect();
    let mut found = Vec::new();
    if right.iter().any(|key| key.is_subset(&right_on)) {
        found.extend(left.iter().cloned());
    }
    if left.iter().any(|key| key.is_subset(&left_on)) {
        found.extend(right.iter().map(moved));
    }
    if found.is_empty() {
        let pairs = left.iter().flat_map(|l| right.iter().map(move |r| (l, r)));
        found.extend(pairs.map(|(l, r)| l | &moved(r)));
    }
    found.truncate(KEYS_MAX);
    found
}
