//! Probe: what a plan gives at requests, without what it gives between them.
//!
//! Law      as [`super::point_in_time`], for rows of tables while they are there, and for groups of
//!          them that the key of a request names
//! Delta    a row meets the requests of its key within its span: a range of places. It is added to
//!          its group at the first and taken out after the last, and the group's functions are
//!          asked once a request; nothing is sorted but the requests
//! State    of the rows that meet a request the columns that are used; a group's functions
//! Errors   a group with a function whose value is an error is left out

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::compute::interleave;
use arrow::datatypes::{Schema, SchemaRef};

use super::chain::{Chain, Hits, Source, chains};
use super::requests::Requests;
use super::restrict::{KeyColumn, below};
use super::{History, Stopped, Watch};
use crate::aggregate::{Run, RunRows, SweepInput, Swept, columns_at};
use crate::expression::{evaluate, select};
use crate::plan::{AggregateCall, AggregatePlan, Plan};
use crate::state::key_index::normalize_floats;
use crate::store::Spans;
use crate::updates::{batch_of, take_rows};

/// As many rows of a table are looked at together, and about as many changes of groups. Few in
/// tests, so that they see what happens between.
const ROWS: usize = if cfg!(test) { 5 } else { 1 << 16 };

/// A plan that can be probed.
pub(super) struct Probe<'a> {
    chains: Vec<Chain<'a>>,
    /// The columns of the chains' output that are used.
    used: Vec<usize>,
    groups: Option<Groups<'a>>,
}

/// An aggregate over the chains, and what stands above it.
struct Groups<'a> {
    plan: &'a AggregatePlan,
    /// Over the used columns.
    calls: Vec<AggregateCall>,
    input: SchemaRef,
    /// Which part of the request's key each key of a group is.
    parts: Vec<usize>,
    /// Projections and filters, from the groups up.
    above: Vec<&'a Plan>,
}

/// What becomes of the groups: at each place so many changes, sorted by it.
struct Changes {
    /// By place, and one more.
    starts: Vec<u32>,
    /// The part of the hits, and twice the row in it, one more where it leaves.
    changes: Vec<(u32, u32)>,
}

impl<'a> Probe<'a> {
    /// None if the plan needs a replay.
    pub fn of(plan: &'a Plan, key_columns: &[usize]) -> Option<Self> {
        let keys = key_columns.iter().enumerate();
        let keys: Vec<_> = keys.map(|(part, &column)| KeyColumn { part, column }).collect();
        if let Some(chains) = chains(plan, &keys) {
            let used = (0..plan.schema().fields().len()).collect();
            return Some(Probe { chains, used, groups: None });
        }
        let (mut at, mut own, mut above) = (plan, keys, Vec::new());
        while let Plan::Project(_) | Plan::Filter(_) = at {
            above.insert(0, at);
            own = below(at, &own).pop()?;
            at = at.inputs().pop()?;
        }
        let Plan::Aggregate(plan) = at else { return None };
        own = below(at, &own).pop()?;
        let part = |column: &usize| own.iter().find(|key| key.column == *column);
        let parts = plan.keys.iter().map(|column| Some(part(column)?.part));
        let parts = parts.collect::<Option<Vec<_>>>()?;
        if own.len() != key_columns.len() {
            return None;
        }
        let mut used: Vec<usize> = plan.calls.iter().flat_map(AggregateCall::columns).collect();
        used.sort_unstable();
        used.dedup();
        let place = |column| used.binary_search(&column).expect("a used column");
        let calls = plan.calls.iter().map(|call| call.moved(place)).collect();
        let input: Schema = plan.input.schema().project(&used).expect("columns of the input");
        let chains = chains(&plan.input, &own)?;
        let groups = Groups { plan, calls, input: Arc::new(input), parts, above };
        Some(Probe { chains, used, groups: Some(groups) })
    }

    pub fn run(
        &self,
        history: &dyn History,
        requests: &Requests,
        watch: &dyn Watch,
    ) -> Result<Vec<(UInt64Array, RecordBatch)>, Stopped> {
        let hits = self.hits(history, requests, watch)?;
        match &self.groups {
            None => {
                let met = |part: usize| pairs(&hits[part], requests);
                let rows = |part: usize| hits[part].firsts.len();
                Ok(parallel(hits.len(), &rows, &met, watch)?.into_iter().flatten().collect())
            }
            Some(groups) => {
                let changes = changes(&hits, requests);
                let parts = stretches(&changes, requests);
                let swept = |part: usize| {
                    groups.sweep(&hits, &changes, requests, Range::clone(&parts[part]))
                };
                let asked = |part: usize| {
                    let keys = &parts[part];
                    let places =
                        requests.of_key(keys.start).start..requests.of_key(keys.end - 1).end;
                    places.len()
                };
                parallel(parts.len(), &asked, &swept, watch)
            }
        }
    }

    /// The rows that meet a request.
    fn hits(
        &self,
        history: &dyn History,
        requests: &Requests,
        watch: &dyn Watch,
    ) -> Result<Vec<Hits>, Stopped> {
        let (from, to) = (requests.first(), requests.last());
        let mut tables = BTreeMap::new();
        for chain in &self.chains {
            if let Source::Table(input) = chain.source {
                tables.entry(input.id).or_insert_with(|| history.spans(input.id, from, to));
            }
        }
        let constant = |rows: &RecordBatch| Spans {
            batch: rows.clone(),
            begins: vec![0; rows.num_rows()],
            ends: vec![u64::MAX; rows.num_rows()],
            arrivals: None,
        };
        let mut constants = Vec::new();
        for chain in &self.chains {
            constants.push(match chain.source {
                Source::Table(_) => vec![],
                Source::Constant(rows) => vec![constant(rows)],
            });
        }
        let mut tasks: Vec<(&Chain<'_>, RecordBatch, &Spans, usize)> = Vec::new();
        for (chain, constants) in self.chains.iter().zip(&constants) {
            let spans = match chain.source {
                Source::Table(input) => &tables[&input.id],
                Source::Constant(_) => constants,
            };
            for spans in spans {
                let batch = match chain.source {
                    Source::Table(input) => spans.batch_for(&input.schema, input.arrived_at),
                    Source::Constant(rows) => rows.clone(),
                };
                let starts = (0..spans.begins.len()).step_by(ROWS);
                tasks.extend(starts.map(|start| (chain, batch.clone(), spans, start)));
            }
        }
        let run = |task: usize| {
            let (chain, batch, spans, start) = &tasks[task];
            let rows = *start..spans.begins.len().min(start + ROWS);
            let batch = batch.slice(*start, rows.len());
            let (begins, ends) = (spans.begins[rows.clone()].to_vec(), spans.ends[rows].to_vec());
            chain.run(batch, begins, ends, requests, &self.used)
        };
        let rows = |task: usize| {
            let (_, _, spans, start) = &tasks[task];
            ROWS.min(spans.begins.len() - start)
        };
        let held = AtomicUsize::new(0);
        let too_large = AtomicBool::new(false);
        let run = |task: usize| {
            let hits = run(task);
            let bytes = hits.bytes();
            let held = held.fetch_add(bytes, Ordering::Relaxed) + bytes;
            if !watch.may_hold(held) {
                too_large.store(true, Ordering::Relaxed);
            }
            hits
        };
        let stopped = || watch.is_cancelled() || too_large.load(Ordering::Relaxed);
        let hits = parallel(tasks.len(), &rows, &run, &Until { watch, stopped: &stopped });
        let mut hits = hits.map_err(|_| match too_large.load(Ordering::Relaxed) {
            true => Stopped::TooLarge(held.load(Ordering::Relaxed)),
            false => Stopped::Cancelled,
        })?;
        hits.retain(|hits| !hits.firsts.is_empty());
        Ok(hits)
    }
}

/// The rows beside the requests that they meet.
fn pairs(hits: &Hits, requests: &Requests) -> Vec<(UInt64Array, RecordBatch)> {
    let mut batches = Vec::new();
    let (mut numbers, mut rows) = (Vec::new(), Vec::new());
    for row in 0..hits.firsts.len() {
        for place in hits.firsts[row]..hits.lasts[row] {
            numbers.push(u64::from(requests.numbers[place as usize]));
            rows.push(row as u32);
        }
        if rows.len() >= ROWS || row + 1 == hits.firsts.len() {
            let numbers = UInt64Array::from(std::mem::take(&mut numbers));
            batches.push((numbers, take_rows(&hits.batch, &std::mem::take(&mut rows))));
        }
    }
    batches
}

/// When rows come into their groups and leave them, by place. One that stays to its key's last
/// request need not leave.
fn changes(hits: &[Hits], requests: &Requests) -> Changes {
    let each = |see: &mut dyn FnMut(u32, (u32, u32))| {
        for (part, hits) in hits.iter().enumerate() {
            for row in 0..hits.firsts.len() {
                let (part, change) = (part as u32, 2 * row as u32);
                see(hits.firsts[row], (part, change));
                if hits.lasts[row] < requests.of_key(hits.keys[row]).end {
                    see(hits.lasts[row], (part, change + 1));
                }
            }
        }
    };
    let mut starts = vec![0u32; requests.len() + 1];
    each(&mut |place, _| starts[place as usize + 1] += 1);
    let mut sum = 0u32;
    for start in &mut starts {
        sum = sum.checked_add(*start).expect("fewer than 2^32 changes of groups");
        *start = sum;
    }
    let mut next = starts.clone();
    let mut changes = vec![(0, 0); sum as usize];
    each(&mut |place, change| {
        let next = &mut next[place as usize];
        changes[*next as usize] = change;
        *next += 1;
    });
    Changes { starts, changes }
}

/// Keys side by side with about so many changes and requests together as are looked at together.
fn stretches(changes: &Changes, requests: &Requests) -> Vec<Range<u32>> {
    let mut parts = Vec::new();
    let (mut first, mut size) = (0, 0);
    for key in 0..requests.keys.len() as u32 {
        let places = requests.of_key(key);
        let changed = changes.starts[places.end as usize] - changes.starts[places.start as usize];
        size += changed as usize + places.len();
        if size >= ROWS {
            parts.push(first..key + 1);
            (first, size) = (key + 1, 0);
        }
    }
    if size > 0 {
        parts.push(first..requests.keys.len() as u32);
    }
    parts
}

impl Groups<'_> {
    /// What the requests of some keys meet.
    fn sweep(
        &self,
        hits: &[Hits],
        changes: &Changes,
        requests: &Requests,
        keys: Range<u32>,
    ) -> (UInt64Array, RecordBatch) {
        let places = requests.of_key(keys.start).start..requests.of_key(keys.end - 1).end;
        let at = |place: u32| changes.starts[place as usize];
        let first = at(places.start);
        let changed = &changes.changes[first as usize..at(places.end) as usize];
        let diffs: Vec<i64> =
            changed.iter().map(|(_, row)| if row % 2 == 0 { 1 } else { -1 }).collect();
        let mut runs = Vec::with_capacity(places.len());
        let mut there = Vec::with_capacity(places.len());
        for key in keys.clone() {
            let mut count = 0;
            for place in requests.of_key(key) {
                let (start, end) = (at(place) - first, at(place + 1) - first);
                runs.push(Run { group: key - keys.start, start, end });
                count += diffs[start as usize..end as usize].iter().sum::<i64>();
                there.push(self.plan.keys.is_empty() || count != 0);
            }
        }
        let input = self.input_of(hits, changed);
        let swept = self.values(&input, &diffs, &runs, keys.len());
        for (run, _) in swept.iter().flat_map(|swept| &swept.after_errors) {
            there[*run as usize] = false;
        }
        let rows: Vec<u32> = (0..runs.len() as u32).filter(|&run| there[run as usize]).collect();
        let numbers: Vec<u32> =
            rows.iter().map(|row| requests.numbers[(places.start + row) as usize]).collect();
        let values = swept.iter().map(|swept| ArrayRef::clone(&swept.after)).collect::<Vec<_>>();
        self.output(requests, numbers, &values, &rows)
    }

    /// The rows of the changes.
    fn input_of(&self, hits: &[Hits], changed: &[(u32, u32)]) -> RecordBatch {
        let places: Vec<(usize, usize)> =
            changed.iter().map(|&(part, row)| (part as usize, (row / 2) as usize)).collect();
        let column = |column: usize| -> ArrayRef {
            if places.is_empty() {
                return arrow::array::new_empty_array(self.input.field(column).data_type());
            }
            let parts: Vec<&dyn Array> =
                hits.iter().map(|hits| hits.batch.column(column).as_ref()).collect();
            interleave(&parts, &places).expect("parts of one schema")
        };
        let columns = (0..self.input.fields().len()).map(column).collect();
        batch_of(Arc::clone(&self.input), columns, places.len())
    }

    fn values(
        &self,
        input: &RecordBatch,
        diffs: &[i64],
        runs: &[Run],
        groups: usize,
    ) -> Vec<Swept> {
        let order: Vec<u32> = (0..diffs.len() as u32).collect();
        let sweep = |call: &AggregateCall| {
            let mut accumulator = call.accumulator(&self.input, false);
            accumulator.resize(groups);
            let mut arguments = columns_at(input, &call.arguments);
            arguments.extend(call.order_by.iter().map(|key| input.column(key.column).clone()));
            let filter = call.filter.map(|column| input.column(column).as_boolean());
            let (arguments, rows) = (&arguments[..], RunRows::Sorted(&order));
            accumulator.sweep(&SweepInput { arguments, filter, diffs, rows }, runs)
        };
        self.calls.iter().map(sweep).collect()
    }

    /// The groups' rows at the runs `rows`, for the requests `numbers`, and what stands above them.
    fn output(
        &self,
        requests: &Requests,
        mut numbers: Vec<u32>,
        values: &[ArrayRef],
        rows: &[u32],
    ) -> (UInt64Array, RecordBatch) {
        let take = |column: &ArrayRef, rows: &[u32]| {
            let rows = arrow::array::UInt32Array::from(rows.to_vec());
            arrow::compute::take(column.as_ref(), &rows, None).expect("rows of the column")
        };
        let key = |&part: &usize| normalize_floats(&take(&requests.columns[part], &numbers));
        let mut columns: Vec<ArrayRef> = self.parts.iter().map(key).collect();
        columns.extend(values.iter().map(|values| take(values, rows)));
        let mut batch = batch_of(Arc::clone(&self.plan.schema), columns, rows.len());
        for operator in &self.above {
            let kept = match operator {
                Plan::Project(plan) => {
                    let evaluated = evaluate(&plan.exprs, &batch);
                    let rows = evaluated.rows.as_ref().map_or(batch.num_rows(), Vec::len);
                    batch = batch_of(Arc::clone(&plan.schema), evaluated.columns, rows);
                    evaluated.rows
                }
                Plan::Filter(plan) => {
                    let (rows, _) = select(&plan.predicate, &batch);
                    batch = rows.as_ref().map_or(batch.clone(), |rows| take_rows(&batch, rows));
                    rows
                }
                _ => unreachable!("only these stand above the groups of a probe"),
            };
            if let Some(kept) = kept {
                numbers = kept.iter().map(|&row| numbers[row as usize]).collect();
            }
        }
        (numbers.into_iter().map(u64::from).collect::<Vec<_>>().into(), batch)
    }
}

/// A watch that is also cancelled by something else.
struct Until<'a> {
    watch: &'a dyn Watch,
    stopped: &'a (dyn Fn() -> bool + Sync),
}

impl Watch for Until<'_> {
    fn is_cancelled(&self) -> bool {
        (self.stopped)()
    }

    fn expect(&self, more: usize) {
        self.watch.expect(more);
    }

    fn done(&self, part: usize) {
        self.watch.done(part);
    }
}

/// The results of tasks 0.., in order, run by all cores; between tasks it can be given up. `size`
/// is how much of the work each is.
fn parallel<T: Send>(
    tasks: usize,
    size: &(dyn Fn(usize) -> usize + Sync),
    run: &(dyn Fn(usize) -> T + Sync),
    watch: &dyn Watch,
) -> Result<Vec<T>, Stopped> {
    watch.expect((0..tasks).map(size).sum());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let task = next.fetch_add(1, Ordering::Relaxed);
            if task >= tasks || watch.is_cancelled() {
                return done;
            }
            done.push((task, run(task)));
            watch.done(size(task));
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let mut done = std::thread::scope(|scope| {
        let others: Vec<_> = (1..cores.min(tasks)).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for other in others {
            done.extend(other.join().expect("a panic in a task is the caller's"));
        }
        done
    });
    if done.len() < tasks {
        return Err(Stopped::Cancelled);
    }
    done.sort_unstable_by_key(|(task, _)| *task);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}
