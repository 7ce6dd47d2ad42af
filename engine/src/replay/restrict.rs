//! Restrict: the keys that are asked for, pushed down through a plan to the tables.
//!
//! Law      of the restricted plan those rows are right that have a key which is asked for; others
//!          may be there or not. So only such rows of a table are replayed as can matter to one:
//!          an aggregate's groups, a window's partitions and a join's pairs are of one key each,
//!          or nothing is pushed below them

use arrow::array::ArrayRef;

use super::History;
use super::keys::{Keys, NONE};
use crate::operator::unnest::kept;
use crate::plan::Plan;
use crate::store::Spans;
use crate::time::{CollectionId, Timestamp};
use crate::updates::take_rows;

/// A column, and which part of the key it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyColumn {
    pub part: usize,
    pub column: usize,
}

/// A plan whose inputs are [`Leaf`]s, by place.
pub(super) struct Restricted {
    pub plan: Plan,
    pub leaves: Vec<Leaf>,
}

/// A table, at one of the places where the plan reads it.
pub(super) struct Leaf {
    /// What the restricted plan calls it.
    pub id: CollectionId,
    pub table: CollectionId,
    /// Whether it is wanted with its past.
    pub versions: bool,
    pub keys: Vec<KeyColumn>,
}

impl Restricted {
    pub fn new(plan: &Plan, key_columns: &[usize]) -> Self {
        let mut restricted = Restricted { plan: plan.clone(), leaves: Vec::new() };
        let mut next = last_id(plan) + 1;
        let keys = key_columns.iter().enumerate();
        let keys = keys.map(|(part, &column)| KeyColumn { part, column }).collect();
        push(&mut restricted.plan, keys, &mut next, &mut restricted.leaves);
        restricted
    }
}

/// The last id that stands in the plan, recursions' own ones included.
fn last_id(plan: &Plan) -> u64 {
    let own = if let Plan::Input(input) = plan { input.id.0 } else { 0 };
    plan.inputs().into_iter().map(last_id).fold(own, u64::max)
}

/// The past of a restricted plan's leaves, as far as it can matter to keys.
pub(super) struct Restriction<'a> {
    pub plan: &'a Plan,
    pub leaves: Vec<(&'a Leaf, Option<Keys>)>,
    history: &'a dyn History,
}

impl<'a> Restriction<'a> {
    /// `keys`: a column for each part.
    pub fn new(restricted: &'a Restricted, history: &'a dyn History, keys: &[ArrayRef]) -> Self {
        let wanted = |leaf: &Leaf| {
            let part = |key: &KeyColumn| ArrayRef::clone(&keys[key.part]);
            let columns: Vec<ArrayRef> = leaf.keys.iter().map(part).collect();
            let first = columns.first()?.len();
            Some(Keys::new(&columns, first).0)
        };
        let leaves = restricted.leaves.iter().map(|leaf| (leaf, wanted(leaf))).collect();
        Restriction { plan: &restricted.plan, leaves, history }
    }

    /// Every row of a leaf that is there at `at`, or was if it is wanted with its past.
    pub fn state(&self, leaf: usize, at: Timestamp) -> Vec<Spans> {
        let (leaf, wanted) = &self.leaves[leaf];
        let from = if leaf.versions { Timestamp::MIN } else { at };
        let spans = self.history.spans(leaf.table, from, at);
        spans.into_iter().filter_map(|spans| leaf.select(spans, wanted.as_ref())).collect()
    }

    /// Every row of a leaf that begins or ends after `from` and up to `to`, and how many of the
    /// table do; `None` once there are more than `rows_max`.
    pub fn changed(
        &self,
        leaf: usize,
        (from, to): (Timestamp, Timestamp),
        rows_max: usize,
    ) -> Option<(Vec<Spans>, usize)> {
        let (leaf, wanted) = &self.leaves[leaf];
        let (mut parts, mut selected, mut looked_at) = (Vec::new(), 0, 0);
        self.history.changed(leaf.table, from, to, &mut |spans| {
            looked_at += spans.begins.len();
            if let Some(spans) = leaf.select(spans, wanted.as_ref()) {
                selected += spans.begins.len();
                parts.push(spans);
            }
            selected <= rows_max
        });
        (selected <= rows_max).then_some((parts, looked_at))
    }

    /// How many rows of the tables change so.
    pub fn changed_rows(&self, from: Timestamp, to: Timestamp) -> usize {
        let mut rows = 0;
        for (leaf, _) in &self.leaves {
            self.history.changed(leaf.table, from, to, &mut |spans| {
                rows += spans.begins.len();
                true
            });
        }
        rows
    }
}

impl Leaf {
    /// The rows that can matter to one of the keys.
    fn select(&self, spans: Spans, wanted: Option<&Keys>) -> Option<Spans> {
        let Some(wanted) = wanted else { return Some(spans) };
        let column = |key: &KeyColumn| ArrayRef::clone(spans.batch.column(key.column));
        let columns: Vec<ArrayRef> = self.keys.iter().map(column).collect();
        let found = wanted.find(&columns, spans.batch.num_rows());
        let rows = (0..found.len() as u32).filter(|&row| found[row as usize] != NONE);
        let selected = take_spans(&spans, &rows.collect::<Vec<_>>());
        (selected.batch.num_rows() > 0).then_some(selected)
    }
}

/// The rows at `rows`.
pub(super) fn take_spans(spans: &Spans, rows: &[u32]) -> Spans {
    if rows.len() == spans.begins.len() && rows.is_sorted() {
        return spans.clone();
    }
    Spans {
        batch: take_rows(&spans.batch, rows),
        begins: rows.iter().map(|&row| spans.begins[row as usize]).collect(),
        ends: rows.iter().map(|&row| spans.ends[row as usize]).collect(),
        arrivals: spans
            .arrivals
            .as_ref()
            .map(|arrivals| rows.iter().map(|&row| arrivals[row as usize]).collect()),
    }
}

fn push(plan: &mut Plan, keys: Vec<KeyColumn>, next: &mut u64, leaves: &mut Vec<Leaf>) {
    if let Plan::Input(input) = plan {
        let own = CollectionId(*next);
        *next += 1;
        let keys = keys.into_iter().filter(|key| key.column < input.own_columns()).collect();
        leaves.push(Leaf { id: own, table: input.id, versions: input.versions, keys });
        input.id = own;
        return;
    }
    if let Plan::Recursive(_) = plan {
        return keep(plan, leaves);
    }
    let below = below(plan, &keys);
    for (input, keys) in plan.inputs_mut().into_iter().zip(below) {
        push(input, keys, next, leaves);
    }
}

/// A plan that is left as it is, with its tables whole and by their own names.
fn keep(plan: &Plan, leaves: &mut Vec<Leaf>) {
    for id in plan.reads() {
        if leaves.iter().all(|leaf| leaf.id != id) {
            leaves.push(Leaf { id, table: id, versions: false, keys: vec![] });
        }
    }
}

/// The columns of an operator's inputs that hold the same parts of the key: of each input, those by
/// which it may be restricted.
pub(super) fn below(plan: &Plan, keys: &[KeyColumn]) -> Vec<Vec<KeyColumn>> {
    let moved = |place: &dyn Fn(usize) -> Option<usize>| -> Vec<KeyColumn> {
        let key = |key: &KeyColumn| Some(KeyColumn { column: place(key.column)?, ..*key });
        keys.iter().filter_map(key).collect()
    };
    let within = |columns: &[usize]| moved(&|at| columns.contains(&at).then_some(at));
    let width = |plan: &Plan| plan.schema().fields().len();
    match plan {
        Plan::Input(_) | Plan::Constant(_) => vec![],
        Plan::Project(plan) => vec![moved(&|at| plan.column_at(at))],
        Plan::Filter(_) => vec![keys.to_vec()],
        Plan::Temporal(plan) => {
            let width = width(&plan.input);
            vec![moved(&|at| (at < width).then_some(at))]
        }
        Plan::Join(plan) => join(&plan.left, &plan.left_keys, &plan.right_keys, keys),
        Plan::VersionJoin(plan) => join(&plan.left, &plan.left_keys, &plan.right_keys, keys),
        Plan::Aggregate(plan) => vec![moved(&|at| plan.keys.get(at).copied())],
        Plan::Union(plan) => vec![keys.to_vec(); plan.inputs.len()],
        Plan::SetOperation(_) => vec![keys.to_vec(); 2],
        Plan::TopK(plan) => vec![within(&plan.keys)],
        Plan::Window(plan) => vec![within(&plan.partition)],
        Plan::Session(plan) => vec![within(&plan.keys)],
        Plan::Unnest(plan) => {
            let kept = kept(plan);
            vec![moved(&|at| kept.get(at).copied())]
        }
        Plan::Recursive(_) => vec![vec![]; 2],
    }
}

/// A side is restricted by its own columns, and by those of the other side that they are joined on.
/// That holds of outer joins too: a row without a partner has NULL there, which is no one's key.
fn join(
    left: &Plan,
    left_keys: &[usize],
    right_keys: &[usize],
    keys: &[KeyColumn],
) -> Vec<Vec<KeyColumn>> {
    let width = left.schema().fields().len();
    let mut sides = [Vec::new(), Vec::new()];
    let mut add = |side: usize, key: KeyColumn| {
        if sides[side].iter().all(|other: &KeyColumn| other.part != key.part) {
            sides[side].push(key);
        }
    };
    for key in keys {
        let (own, side) = match key.column < width {
            true => (key.column, 0),
            false => (key.column - width, 1),
        };
        add(side, KeyColumn { column: own, ..*key });
    }
    for key in keys {
        let (own, side) = match key.column < width {
            true => (key.column, 0),
            false => (key.column - width, 1),
        };
        let pairs = [(left_keys, right_keys), (right_keys, left_keys)];
        let (here, there) = pairs[side];
        if let Some(place) = here.iter().position(|&column| column == own) {
            add(1 - side, KeyColumn { column: there[place], ..*key });
        }
    }
    sides.into()
}
