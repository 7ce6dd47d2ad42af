//! Random plans and random changes, in random steps: operators = oracle at every time.
//!
//! `TIDEMARK_SEED=n` runs one case, `TIDEMARK_CASES=n` so many. A failing seed is printed.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::random::{Scale, TIMES, random_root, random_updates, table_schema};
use super::{accumulate, evaluate, multiset};
use crate::operator::testing::run_reporting;
use crate::time::{CollectionId, Timestamp};
use crate::updates::{Updates, batch_of};

const SCALE: Scale = Scale { base: 0, step: 1 };

#[test]
fn operators_equal_the_oracle_at_every_time() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("TIDEMARK_SEED") {
        Some(seed) => check(seed),
        None => (0..number("TIDEMARK_CASES").unwrap_or(400)).for_each(check),
    }
}

#[test]
#[ignore = "nightly size"]
fn operators_equal_the_oracle_at_every_time_nightly() {
    (1_000..21_000).for_each(check);
}

fn check(seed: u64) {
    let result = std::panic::catch_unwind(|| check_case(seed));
    if let Err(panic) = result {
        eprintln!("failing seed: TIDEMARK_SEED={seed}");
        std::panic::resume_unwind(panic);
    }
}

fn check_case(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let depth = random.random_range(1..5);
    let plan = random_root(&mut random, depth, SCALE);
    let mut changes = |id| random_updates(&mut random, &table_schema(id), SCALE);
    let inputs: HashMap<CollectionId, Updates> =
        [1, 2].map(|id| (CollectionId(id), changes(id))).into();
    let count = random.random_range(0..8);
    let mut cuts: Vec<u64> = (0..count).map(|_| random.random_range(1..TIMES + 20)).collect();
    cuts.sort_unstable();
    cuts.dedup();

    let (output, errors) = run_reporting(&plan, &inputs, &cuts);
    let snapshot = |at: Timestamp| {
        let inputs = &inputs;
        move |id: CollectionId| state_at(&inputs[&id], at)
    };
    for at in (0..TIMES + 40).map(Timestamp) {
        let expected = multiset(evaluate(&plan, &snapshot(at), at).rows);
        let got = accumulate(&output, at);
        assert_eq!(got, expected, "at {at:?}, cut at {cuts:?}, plan:\n{plan}");
    }
    let end = Timestamp(u64::MAX / 4);
    let expected = evaluate(&plan, &snapshot(end), end).errors;
    let mut counts: HashMap<String, i64> = HashMap::new();
    expected.into_iter().for_each(|error| *counts.entry(error).or_insert(0) += 1);
    assert_eq!(errors, counts, "errors at the end, plan:\n{plan}");
}

fn state_at(updates: &Updates, at: Timestamp) -> RecordBatch {
    let schema = updates.schema();
    let mut columns: Vec<Vec<ScalarValue>> = vec![vec![]; schema.fields().len()];
    let mut rows = 0;
    for (row, count) in accumulate(updates, at) {
        assert!(count > 0, "random updates delete what is there");
        for _ in 0..count {
            rows += 1;
            columns.iter_mut().zip(&row).for_each(|(column, value)| column.push(value.clone()));
        }
    }
    if rows == 0 {
        return RecordBatch::new_empty(schema);
    }
    let columns = columns
        .into_iter()
        .map(|column| ScalarValue::iter_to_array(column).expect("values of one type"));
    batch_of(schema, columns.collect(), rows)
}
