//! Random plans over random histories: replay = oracle at every time, and requests meet what the
//! oracle gives at theirs.
//!
//! `TIDEMARK_SEED=n` runs one case, `TIDEMARK_CASES=n` so many. A failing seed is printed.

use std::cell::Cell;
use std::collections::HashMap;

use arrow::array::{ArrayRef, RecordBatch};
use datafusion::common::ScalarValue;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{History, Stopped, Watch, point_in_time, replay};
use crate::oracle::random::{
    Scale, TIMES, mark_append_only, random_inserts, random_probed, random_root, random_updates,
    random_value, random_version_join, spans_of, table_schema, versions_of,
};
use crate::oracle::{Row, accumulate, batch_of_rows, evaluate, multiset, rows_of};
use crate::plan::Plan;
use crate::store::Spans;
use crate::time::{CollectionId, Timestamp};
use crate::updates::Updates;

const SCALE: Scale = Scale { base: 0, step: 1 };
const NEVER: &(dyn Fn() -> bool + Sync) = &|| false;

/// Tables 1 to 3, as what they went through; of the third the versions are read.
pub(super) struct Tables(pub HashMap<CollectionId, Updates>);

impl Tables {
    fn random(random: &mut StdRng) -> Self {
        let mut changes = |id| random_updates(random, &table_schema(id), SCALE);
        Tables([1, 2, 3].map(|id| (CollectionId(id), changes(id))).into())
    }

    /// The same, some of them append-only, as `plan` then knows.
    fn growing(random: &mut StdRng, plan: &mut Plan) -> Self {
        // The last one's versions come and go, whatever its rows do.
        let grows = [1, 2, 3].map(|id| (CollectionId(id), id < 3 && random.random_bool(0.3)));
        mark_append_only(plan, &|id| grows.contains(&(id, true)));
        let mut changes = |(id, grows): (CollectionId, bool)| match grows {
            true => random_inserts(random, &table_schema(id.0), SCALE),
            false => random_updates(random, &table_schema(id.0), SCALE),
        };
        Tables(grows.map(|table| (table.0, changes(table))).into())
    }

    /// The rows at `at`.
    pub fn at(&self, id: CollectionId, at: Timestamp) -> RecordBatch {
        let versions = (id == CollectionId(3)).then(|| versions_of(&self.0[&id]));
        let updates = versions.as_ref().unwrap_or(&self.0[&id]);
        let counts = accumulate(updates, at);
        let rows: Vec<Row> = counts
            .into_iter()
            .flat_map(|(row, count)| std::iter::repeat_n(row, count as usize))
            .collect();
        batch_of_rows(&updates.schema(), &rows)
    }
}

impl History for Tables {
    /// Each table as two parts, of rows that are there and others.
    fn spans(&self, table: CollectionId, from: Timestamp, to: Timestamp) -> Vec<Spans> {
        let updates = &self.0[&table];
        let mut spans = spans_of(updates);
        spans.retain(|(_, begin, end)| *begin <= to.0 && *end > from.0);
        let (ended, open): (Vec<_>, Vec<_>) =
            spans.into_iter().partition(|(_, _, end)| *end != u64::MAX);
        let part = |part: Vec<(Row, u64, u64)>| {
            let rows: Vec<Row> = part.iter().map(|(row, ..)| row.clone()).collect();
            Spans {
                batch: batch_of_rows(&updates.schema(), &rows),
                begins: part.iter().map(|(_, begin, _)| *begin).collect(),
                ends: part.iter().map(|(.., end)| *end).collect(),
                arrivals: None,
            }
        };
        [ended, open].map(part).into_iter().filter(|part| !part.begins.is_empty()).collect()
    }
}

pub(super) fn seeds(cases: u64, case: impl Fn(&mut StdRng) + std::panic::RefUnwindSafe) {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse().ok());
    let seeds = match number("TIDEMARK_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TIDEMARK_CASES").unwrap_or(cases),
    };
    for seed in seeds {
        let result = std::panic::catch_unwind(|| case(&mut StdRng::seed_from_u64(seed)));
        if let Err(panic) = result {
            eprintln!("failing seed: TIDEMARK_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

fn random_plan(random: &mut StdRng) -> Plan {
    match random.random_range(0..7) {
        0..3 => random_probed(random, SCALE),
        3..6 => {
            let depth = random.random_range(1..5);
            random_root(random, depth, SCALE)
        }
        _ => {
            let depth = random.random_range(1..3);
            random_version_join(random, depth, SCALE)
        }
    }
}

#[test]
fn replay_equals_the_oracle_at_every_time() {
    seeds(400, |random| {
        let mut plan = random_plan(random);
        let tables = Tables::growing(random, &mut plan);
        let from = Timestamp(random.random_range(0..TIMES + 10));
        let to = Timestamp(from.0 + random.random_range(0..TIMES + 30));
        let mut parts = Vec::new();
        let watch = &NEVER;
        let failed =
            replay(&plan, &tables, from, to, watch, &mut |updates| parts.push(updates)).unwrap();
        let output = Updates::concat(&plan.schema(), parts);
        assert!(output.times.is_sorted());
        assert!(output.times.iter().all(|&time| (from.0..=to.0).contains(&time)));
        for at in (from.0..=to.0).map(Timestamp) {
            let expected = evaluate(&plan, &|id| tables.at(id, at), at);
            let got = accumulate(&output, at);
            assert_eq!(got, multiset(expected.rows), "at {at:?} of {from:?} to {to:?}\n{plan}");
        }
        let expected = evaluate(&plan, &|id| tables.at(id, to), to).errors;
        let mut errors: HashMap<String, i64> = HashMap::new();
        failed.into_iter().for_each(|row| *errors.entry(row.error).or_insert(0) += row.count);
        expected.into_iter().for_each(|error| *errors.entry(error).or_insert(0) -= 1);
        errors.retain(|_, count| *count != 0);
        assert_eq!(errors, HashMap::new(), "errors at {to:?} from {from:?}\n{plan}");
    });
}

#[test]
fn requests_meet_what_the_oracle_gives_at_their_times() {
    seeds(600, |random| {
        let mut plan = random_plan(random);
        let tables = Tables::growing(random, &mut plan);
        let schema = plan.schema();
        let mut columns: Vec<usize> =
            (0..schema.fields().len()).filter(|_| random.random_bool(0.4)).collect();
        if let Plan::Aggregate(aggregate) = &plan
            && random.random_bool(0.7)
        {
            columns = (0..aggregate.keys.len()).collect();
        }
        let columns: Vec<usize> =
            columns.into_iter().filter(|&c| random_type(schema.field(c).data_type())).collect();
        check_requests(random, &plan, &tables, &columns);
    });
}

/// May hold so many bytes.
struct AtMost(usize);

impl Watch for AtMost {
    fn is_cancelled(&self) -> bool {
        false
    }

    fn may_hold(&self, bytes: usize) -> bool {
        bytes <= self.0
    }
}

#[test]
fn what_fits_for_no_key_fails() {
    let mut random = StdRng::seed_from_u64(3);
    let tables = Tables::random(&mut random);
    let plan = crate::operator::testing::input(1, &table_schema(1));
    let keys: Vec<ArrayRef> =
        vec![std::sync::Arc::new(arrow::array::Int64Array::from_iter_values(0..20))];
    let times = vec![Some(TIMES); 20];
    let found = point_in_time(&plan, &tables, &[0], &keys, &times, &AtMost(0));
    assert!(matches!(found, Err(Stopped::TooLarge(_))), "{found:?}");
}

/// A type that a random key may be of.
fn random_type(ty: &arrow::datatypes::DataType) -> bool {
    use arrow::datatypes::DataType::{
        Boolean, Decimal128, Float32, Float64, Int32, Int64, Timestamp, Utf8,
    };
    matches!(
        ty,
        Int64 | Int32 | Utf8 | Float64 | Float32 | Boolean | Decimal128(..) | Timestamp(..)
    )
}

fn check_requests(random: &mut StdRng, plan: &Plan, tables: &Tables, columns: &[usize]) {
    let schema = plan.schema();
    let key_schema = std::sync::Arc::new(schema.project(columns).unwrap());
    let (mut rows, mut times): (Vec<Row>, Vec<Option<u64>>) = (vec![], vec![]);
    for _ in 0..random.random_range(0..12) {
        let time = random.random_range(0..TIMES + 20);
        let there = evaluate(plan, &|id| tables.at(id, Timestamp(time)), Timestamp(time)).rows;
        let row: Row = match there.is_empty() || random.random_bool(0.3) {
            true => {
                let field = |field: &std::sync::Arc<arrow::datatypes::Field>| {
                    random_value(random, field.data_type(), SCALE)
                };
                key_schema.fields().iter().map(field).collect()
            }
            false => {
                let row = &there[random.random_range(0..there.len())];
                columns.iter().map(|&column| row[column].clone()).collect()
            }
        };
        for _ in 0..random.random_range(1..4) {
            let other = random.random_range(0..TIMES + 20);
            let time = [time, time + 1, time.saturating_sub(1), other][random.random_range(0..4)];
            rows.push(row.clone());
            times.push((!random.random_bool(0.1)).then_some(time));
        }
    }
    let keys: Vec<ArrayRef> = batch_of_rows(&key_schema, &rows).columns().to_vec();
    // What does not fit at once is asked for a few keys at a time.
    let limited = AtMost(random.random_range(0..3000));
    let found = match point_in_time(plan, tables, columns, &keys, &times, &limited) {
        Err(Stopped::TooLarge(_)) => point_in_time(plan, tables, columns, &keys, &times, &NEVER),
        found => found,
    };
    let found = found.unwrap();
    let mut met: Vec<Vec<Row>> = vec![vec![]; rows.len()];
    for (numbers, batch) in found {
        assert_eq!(numbers.len(), batch.num_rows());
        assert_eq!(batch.schema().fields().len(), schema.fields().len());
        for (number, row) in numbers.values().iter().zip(rows_of(&batch)) {
            met[*number as usize].push(row);
        }
    }
    for (number, met) in met.into_iter().enumerate() {
        let key = &rows[number];
        let mut expected = Vec::new();
        if let Some(at) = times[number].map(Timestamp) {
            expected = evaluate(plan, &|id| tables.at(id, at), at).rows;
            let part = |row: &Row, i: usize| normal(&row[columns[i]]);
            expected.retain(|row| {
                (0..key.len()).all(|i| !key[i].is_null() && part(row, i) == normal(&key[i]))
            });
        }
        let (met, expected) = (multiset(met), multiset(expected));
        assert_eq!(met, expected, "{key:?} at {:?} on {columns:?}\n{plan}", times[number]);
    }
}

/// −0 as 0.
fn normal(value: &ScalarValue) -> ScalarValue {
    match value {
        ScalarValue::Float64(Some(v)) => ScalarValue::Float64(Some(v + 0.0)),
        ScalarValue::Float32(Some(v)) => ScalarValue::Float32(Some(v + 0.0)),
        other => other.clone(),
    }
}

#[test]
fn a_replay_ends_when_it_is_cancelled() {
    let mut random = StdRng::seed_from_u64(1);
    let tables = Tables::random(&mut random);
    let plan = crate::operator::testing::input(1, &table_schema(1));
    let slices = Cell::new(0);
    let asked = std::sync::atomic::AtomicU32::new(0);
    let cancelled = || asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 2;
    let result = replay(&plan, &tables, Timestamp(0), Timestamp(TIMES), &cancelled, &mut |_| {
        slices.set(slices.get() + 1)
    });
    assert_eq!(result.unwrap_err(), Stopped::Cancelled);
    assert_eq!(slices.get(), 2);
}
