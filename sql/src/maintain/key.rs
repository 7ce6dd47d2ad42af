//! Which columns of a view identify its rows.
//!
//! Law: no two rows of the relation are equal in the columns of a key, NULLs counted as equal, at
//! any time; an empty key means one row at most. Keys come from primary keys, GROUP BY, DISTINCT,
//! set operations, and the first row of a group.

use std::collections::BTreeSet;

use tidemark_engine::plan::{JoinKind, SetOperationKind};

use super::rel::{Join, Rel, SetOperation, TopK, as_column};

/// More keys than this are not followed through joins.
const KEYS_MAX: usize = 8;

/// The smallest key found; `None` if rows may repeat, or a key's columns are not in the output.
pub(super) fn key(rel: &Rel) -> Option<Vec<usize>> {
    let keys = keys(rel);
    let smallest = keys.into_iter().min_by_key(|key| key.len());
    smallest.map(|key| key.into_iter().collect())
}

type Key = BTreeSet<usize>;

/// The keys found.
pub(super) fn keys(rel: &Rel) -> Vec<Key> {
    let all = || (0..rel.width()).collect::<Key>();
    match rel {
        Rel::Scan(scan) => scan.key.iter().map(|key| key.iter().copied().collect()).collect(),
        Rel::Constant(rows) if rows.num_rows() <= 1 => vec![Key::new()],
        Rel::Constant(_) | Rel::Union(_) | Rel::Unnest(_) => vec![],
        Rel::Filter(filter) => keys(&filter.input),
        Rel::Project(project) => {
            let kept = |column: usize| {
                project.exprs.iter().position(|expr| as_column(expr) == Some(column))
            };
            let carried = |key: &Key| key.iter().map(|&column| kept(column)).collect();
            keys(&project.input).iter().filter_map(carried).collect()
        }
        Rel::Join(join) => of_join(join),
        Rel::VersionJoin(join) => {
            let on: Key = join.on.iter().filter_map(|on| as_column(&on.right)).collect();
            let one = join.versions.key.iter().any(|key| key.iter().all(|i| on.contains(i)));
            if one { keys(&join.input) } else { vec![] }
        }
        Rel::Aggregate(aggregate) => vec![(0..aggregate.keys.len()).collect()],
        Rel::SetOperation(operation) => of_set_operation(operation, all()),
        Rel::TopK(top) => of_top_k(top),
        Rel::Window(window) => keys(&window.input),
        Rel::Session(session) => keys(&session.input),
        Rel::Recursive(recursive) if recursive.distinct => vec![all()],
        Rel::Recursive(_) => vec![],
    }
}

/// A key of one side, if the other is joined on a whole key of its own; else one of both. The side
/// that is padded with NULLs may be all NULL in many rows.
fn of_join(join: &Join) -> Vec<Key> {
    let width = join.left.width();
    let left = keys(&join.left);
    if matches!(join.kind, JoinKind::Semi | JoinKind::Anti) {
        return left;
    }
    let right = keys(&join.right);
    let moved = |key: &Key| -> Key { key.iter().map(|column| column + width).collect() };
    let left_on: Key = join.on.iter().filter_map(|on| as_column(&on.left)).collect();
    let right_on: Key = join.on.iter().filter_map(|on| as_column(&on.right)).collect();
    let mut found = Vec::new();
    let keeps_left = matches!(join.kind, JoinKind::Inner | JoinKind::Left);
    let keeps_right = matches!(join.kind, JoinKind::Inner | JoinKind::Right);
    if keeps_left && right.iter().any(|key| key.is_subset(&right_on)) {
        found.extend(left.iter().cloned());
    }
    if keeps_right && left.iter().any(|key| key.is_subset(&left_on)) {
        found.extend(right.iter().map(moved));
    }
    if found.is_empty() && join.kind == JoinKind::Inner {
        let pairs = left.iter().flat_map(|l| right.iter().map(move |r| (l, r)));
        found.extend(pairs.map(|(l, r)| l | &moved(r)));
    }
    found.truncate(KEYS_MAX);
    found
}

fn of_set_operation(operation: &SetOperation, all: Key) -> Vec<Key> {
    let mut found = keys(&operation.left);
    match operation.kind {
        SetOperationKind::Intersect | SetOperationKind::Except => found.push(all),
        SetOperationKind::IntersectAll => found.extend(keys(&operation.right)),
        SetOperationKind::ExceptAll => {}
    }
    found
}

/// The columns of the groups, if each keeps one row.
fn of_top_k(top: &TopK) -> Vec<Key> {
    let mut found = keys(&top.input);
    if top.limit == Some(1) && top.ties.is_none() {
        found.push(top.keys.iter().copied().collect());
    }
    found
}
