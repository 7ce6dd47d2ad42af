//! Chain: operators that look at one row at a time, applied to rows with their spans.
//!
//! Law      a row is in the output at t iff the row that it comes from is in the table at t and
//!          every operator, at t, gives it: so a span in gives spans out, and no time is stepped
//!          through
//! Delta    a filter only filters; a comparison with now() cuts spans at its exact instants
//! Errors   a row for which an expression fails is left out

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};

use super::keys::NONE;
use super::requests::Requests;
use super::restrict::{KeyColumn, below};
use crate::expression::{evaluate, select};
use crate::operator::temporal::instants_of;
use crate::plan::{Edge, InputPlan, Plan, TemporalMode, TemporalPlan};
use crate::updates::{batch_of, take_rows};

/// Operators one above the other, from a source up.
pub(super) struct Chain<'a> {
    pub source: Source<'a>,
    operators: Vec<&'a Plan>,
    /// Where the source has the key, if it has all of it.
    source_keys: Option<Vec<usize>>,
    /// Where the output has it.
    keys: Vec<usize>,
}

/// What a chain begins with.
pub(super) enum Source<'a> {
    Table(&'a InputPlan),
    Constant(&'a RecordBatch),
}

/// Rows from begin to before end, each with the number of its key.
pub(super) struct Alive {
    pub batch: RecordBatch,
    pub begins: Vec<u64>,
    pub ends: Vec<u64>,
    /// None as long as they are not known.
    keys: Option<Vec<u32>>,
}

/// Rows, and which requests each meets: places `firsts..lasts`, never none.
pub(super) struct Hits {
    pub batch: RecordBatch,
    pub firsts: Vec<u32>,
    /// The place after the last of them.
    pub lasts: Vec<u32>,
    pub keys: Vec<u32>,
}

/// The chains that `plan` is the union of, if it is; `keys` are columns of its output, one for
/// each part of the key.
pub(super) fn chains<'a>(plan: &'a Plan, keys: &[KeyColumn]) -> Option<Vec<Chain<'a>>> {
    let columns: Vec<usize> = keys.iter().map(|key| key.column).collect();
    let mut found = Vec::new();
    collect(plan, keys.to_vec(), &mut found, keys.len())?;
    found.iter_mut().for_each(|chain| chain.keys = columns.clone());
    Some(found)
}

fn collect<'a>(
    plan: &'a Plan,
    keys: Vec<KeyColumn>,
    found: &mut Vec<Chain<'a>>,
    parts: usize,
) -> Option<()> {
    let own = found.len();
    let source = match plan {
        Plan::Input(input) => Some(Source::Table(input)),
        Plan::Constant(constant) => Some(Source::Constant(&constant.rows)),
        Plan::Project(_) | Plan::Filter(_) | Plan::Temporal(_) | Plan::Union(_) => None,
        _ => return None,
    };
    if let Some(source) = source {
        let columns = keys.iter().map(|key| key.column).collect();
        let source_keys = (keys.len() == parts).then_some(columns);
        found.push(Chain { source, operators: vec![], source_keys, keys: vec![] });
        return Some(());
    }
    for (input, keys) in plan.inputs().into_iter().zip(below(plan, &keys)) {
        collect(input, keys, found, parts)?;
    }
    if !matches!(plan, Plan::Union(_)) {
        found[own..].iter_mut().for_each(|chain| chain.operators.push(plan));
    }
    Some(())
}

impl Hits {
    pub fn bytes(&self) -> usize {
        let column = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or(0);
        let columns: usize = self.batch.columns().iter().map(column).sum();
        columns + self.firsts.len() * 3 * size_of::<u32>()
    }
}

impl Chain<'_> {
    /// The rows that meet a request, with the columns `used` of the output.
    pub fn run(
        &self,
        batch: RecordBatch,
        begins: Vec<u64>,
        ends: Vec<u64>,
        requests: &Requests,
        used: &[usize],
    ) -> Hits {
        let mut alive = Alive { batch, begins, ends, keys: None };
        if let Some(columns) = &self.source_keys {
            alive = alive.find_keys(columns, requests);
        }
        for operator in &self.operators {
            alive = match operator {
                Plan::Project(plan) => {
                    let evaluated = evaluate(&plan.exprs, &alive.batch);
                    let alive = alive.rows(evaluated.rows);
                    let rows = alive.begins.len();
                    let batch = batch_of(Arc::clone(&plan.schema), evaluated.columns, rows);
                    Alive { batch, ..alive }
                }
                Plan::Filter(plan) => {
                    let (rows, _) = select(&plan.predicate, &alive.batch);
                    alive.rows(rows)
                }
                Plan::Temporal(plan) => temporal(plan, alive),
                _ => unreachable!("chains are made of these alone"),
            };
        }
        if alive.keys.is_none() {
            alive = alive.find_keys(&self.keys, requests);
        }
        alive.hits(requests, used)
    }
}

impl Alive {
    /// The rows at `rows`; all where there are none.
    fn rows(self, rows: Option<Vec<u32>>) -> Self {
        let Some(rows) = rows.filter(|rows| rows.len() < self.begins.len()) else { return self };
        Alive {
            batch: take_rows(&self.batch, &rows),
            begins: rows.iter().map(|&row| self.begins[row as usize]).collect(),
            ends: rows.iter().map(|&row| self.ends[row as usize]).collect(),
            keys: self.keys.map(|keys| rows.iter().map(|&row| keys[row as usize]).collect()),
        }
    }

    /// The rows with a key that is asked for.
    fn find_keys(mut self, columns: &[usize], requests: &Requests) -> Self {
        let columns: Vec<ArrayRef> =
            columns.iter().map(|&column| Arc::clone(self.batch.column(column))).collect();
        let keys = requests.keys.find(&columns, self.begins.len());
        let rows = (0..keys.len() as u32).filter(|&row| keys[row as usize] != NONE).collect();
        self.keys = Some(keys);
        self.rows(Some(rows))
    }

    fn hits(self, requests: &Requests, used: &[usize]) -> Hits {
        let keys = self.keys.as_ref().expect("found before");
        let (mut rows, mut hit_keys) = (Vec::new(), Vec::new());
        let (mut firsts, mut lasts) = (Vec::new(), Vec::new());
        for (row, &key) in keys.iter().enumerate() {
            let places = requests.within(key, self.begins[row], self.ends[row]);
            if !places.is_empty() {
                rows.push(row as u32);
                hit_keys.push(key);
                firsts.push(places.start);
                lasts.push(places.end);
            }
        }
        let batch = self.batch.project(used).expect("columns of the output");
        let batch = if rows.len() < keys.len() { take_rows(&batch, &rows) } else { batch };
        Hits { batch, firsts, lasts, keys: hit_keys }
    }
}

fn temporal(plan: &TemporalPlan, alive: Alive) -> Alive {
    let instants = instants_of(&plan.bounds, &alive.batch);
    let alive = alive.rows(instants.rows);
    match plan.mode {
        TemporalMode::Filter => filtered(plan, &instants.of_bounds, alive),
        TemporalMode::Flags => flagged(plan, &instants.of_bounds, alive),
    }
}

/// Each row while all bounds hold.
fn filtered(plan: &TemporalPlan, instants: &[Vec<Option<u64>>], mut alive: Alive) -> Alive {
    for (bound, instants) in plan.bounds.iter().zip(instants) {
        for (row, instant) in instants.iter().enumerate() {
            match (instant, bound.edge) {
                (None, _) => alive.ends[row] = 0,
                (Some(instant), Edge::From) => {
                    alive.begins[row] = alive.begins[row].max(*instant);
                }
                (Some(instant), Edge::Until) => alive.ends[row] = alive.ends[row].min(*instant),
            }
        }
    }
    let there = |&row: &u32| alive.begins[row as usize] < alive.ends[row as usize];
    let rows = (0..alive.begins.len() as u32).filter(there).collect();
    alive.rows(Some(rows))
}

/// Each row once for every stretch of time in which no bound changes, with the bounds behind it.
fn flagged(plan: &TemporalPlan, instants: &[Vec<Option<u64>>], alive: Alive) -> Alive {
    let (mut rows, mut begins, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    let mut flags: Vec<Vec<Option<bool>>> = vec![Vec::new(); plan.bounds.len()];
    let mut cuts: Vec<u64> = Vec::new();
    for row in 0..alive.begins.len() {
        let (begin, end) = (alive.begins[row], alive.ends[row]);
        cuts.clear();
        cuts.push(begin);
        let of_row = instants.iter().filter_map(|instants| instants[row]);
        cuts.extend(of_row.filter(|instant| begin < *instant && *instant < end));
        cuts.sort_unstable();
        cuts.dedup();
        for (i, &cut) in cuts.iter().enumerate() {
            rows.push(row as u32);
            begins.push(cut);
            ends.push(cuts.get(i + 1).copied().unwrap_or(end));
            for (bound, flags) in flags.iter_mut().enumerate() {
                let instant = instants[bound][row];
                flags.push(instant.map(|instant| plan.bounds[bound].holds(instant, cut)));
            }
        }
    }
    let mut columns = take_rows(&alive.batch, &rows).columns().to_vec();
    columns.extend(flags.into_iter().map(|flags| Arc::new(BooleanArray::from(flags)) as ArrayRef));
    let keys = alive.keys.map(|keys| rows.iter().map(|&row| keys[row as usize]).collect());
    Alive { batch: batch_of(plan.schema(), columns, rows.len()), begins, ends, keys }
}
