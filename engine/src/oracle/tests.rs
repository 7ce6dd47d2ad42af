//! Random plans and random changes, in random steps: operators = oracle at every time.
//!
//! `TIDEMARK_SEED=n` runs one case, `TIDEMARK_CASES=n` so many. A failing seed is printed.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::random::{
    Scale, TIMES, aggregate_of, mark_append_only, random_inserts, random_join_of_itself,
    random_root, random_top_k, random_updates, random_version_join, random_window, table_schema,
    versions_of,
};
use super::{Row, accumulate, batch_of_rows, evaluate, multiset};
use crate::operator::testing::run_reporting;
use crate::plan::Plan;
use crate::time::{CollectionId, Timestamp};
use crate::updates::Updates;

const SCALE: Scale = Scale { base: 0, step: 1 };

#[test]
fn operators_equal_the_oracle_at_every_time() {
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

#[test]
fn version_joins_equal_the_oracle_at_every_time() {
    let case = |seed: u64| {
        let mut random = StdRng::seed_from_u64(seed);
        let depth = random.random_range(1..3);
        let mut plan = random_version_join(&mut random, depth, SCALE);
        if random.random_bool(0.4) {
            plan = aggregate_of(&mut random, plan, SCALE);
        }
        let mut changes = |id| random_updates(&mut random, &table_schema(id), SCALE);
        let mut inputs: HashMap<CollectionId, Updates> =
            [1, 2, 3].map(|id| (CollectionId(id), changes(id))).into();
        let table = inputs[&CollectionId(3)].clone();
        inputs.insert(CollectionId(3), versions_of(&table));
        let cuts: Vec<u64> = (1..TIMES).filter(|_| random.random_bool(0.15)).collect();
        compare(&plan, &inputs, &cuts, 1);
    };
    match number("TIDEMARK_SEED") {
        Some(seed) => check_seed(seed, case),
        None => (0..number("TIDEMARK_CASES").unwrap_or(300)).for_each(|s| check_seed(s, case)),
    }
}

#[test]
fn joins_of_one_collection_with_itself_equal_the_oracle_at_every_time() {
    let case = |seed: u64| {
        let mut random = StdRng::seed_from_u64(seed);
        let depth = random.random_range(1..3);
        let plan = random_join_of_itself(&mut random, depth, SCALE);
        let mut changes = |id| random_updates(&mut random, &table_schema(id), SCALE);
        let inputs: HashMap<CollectionId, Updates> =
            [1, 2].map(|id| (CollectionId(id), changes(id))).into();
        let cuts: Vec<u64> = (1..TIMES).filter(|_| random.random_bool(0.15)).collect();
        compare(&plan, &inputs, &cuts, 1);
    };
    match number("TIDEMARK_SEED") {
        Some(seed) => check_seed(seed, case),
        None => (0..number("TIDEMARK_CASES").unwrap_or(300)).for_each(|s| check_seed(s, case)),
    }
}

/// Of long partitions, what once failed.
const LONG_SEEDS: [u64; 2] = [353, 716];

/// Long partitions, in which a change is far from most rows.
#[test]
fn windows_over_many_rows_equal_the_oracle() {
    let case = |seed: u64| {
        let mut random = StdRng::seed_from_u64(seed);
        let mut plan = match seed % 5 {
            0 => random_top_k(&mut random, 1, SCALE),
            _ => random_window(&mut random, 1, SCALE),
        };
        let grows = seed.is_multiple_of(10);
        mark_append_only(&mut plan, &|_| grows);
        let mut changes = |id| {
            let schema = table_schema(id);
            let part = |_| match grows {
                true => random_inserts(&mut random, &schema, SCALE),
                false => random_updates(&mut random, &schema, SCALE),
            };
            let parts = (0..5).map(part).collect();
            Updates::concat(&schema, parts)
        };
        let inputs = [1, 2].map(|id| (CollectionId(id), changes(id))).into();
        compare(&plan, &inputs, &[7, 8, 9, 23, 30], 6);
    };
    match number("TIDEMARK_SEED") {
        Some(seed) => check_seed(seed, case),
        None => {
            let cases = number("TIDEMARK_CASES").map_or(120, |cases| cases / 3);
            (0..cases).chain(LONG_SEEDS).for_each(|seed| check_seed(seed, case));
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn check(seed: u64) {
    check_seed(seed, check_case);
}

fn check_seed(seed: u64, case: impl Fn(u64) + std::panic::RefUnwindSafe) {
    let result = std::panic::catch_unwind(|| case(seed));
    if let Err(panic) = result {
        eprintln!("failing seed: TIDEMARK_SEED={seed}");
        std::panic::resume_unwind(panic);
    }
}

fn check_case(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let depth = random.random_range(1..5);
    let mut plan = random_root(&mut random, depth, SCALE);
    let growing = [1, 2].map(|id| (CollectionId(id), random.random_bool(0.3)));
    mark_append_only(&mut plan, &|id| growing.contains(&(id, true)));
    let mut changes = |(id, grows): (CollectionId, bool)| {
        let schema = table_schema(id.0);
        match grows {
            true => random_inserts(&mut random, &schema, SCALE),
            false => random_updates(&mut random, &schema, SCALE),
        }
    };
    let inputs: HashMap<CollectionId, Updates> =
        growing.map(|input| (input.0, changes(input))).into();
    let count = random.random_range(0..8);
    let mut cuts: Vec<u64> = (0..count).map(|_| random.random_range(1..TIMES + 20)).collect();
    cuts.sort_unstable();
    cuts.dedup();

    compare(&plan, &inputs, &cuts, 1);
}

/// The operators' output over all of `inputs` with the oracle's, at every `stride`th time.
fn compare(plan: &Plan, inputs: &HashMap<CollectionId, Updates>, cuts: &[u64], stride: usize) {
    let (output, errors) = run_reporting(plan, inputs, cuts);
    let snapshot = |at: Timestamp| move |id: CollectionId| state_at(&inputs[&id], at);
    for at in (0..TIMES + 40).step_by(stride).map(Timestamp) {
        let expected = multiset(evaluate(plan, &snapshot(at), at).rows);
        let got = accumulate(&output, at);
        assert_eq!(got, expected, "at {at:?}, cut at {cuts:?}, plan:\n{plan}");
    }
    let end = Timestamp(u64::MAX / 4);
    let expected = evaluate(plan, &snapshot(end), end).errors;
    let mut counts: HashMap<String, i64> = HashMap::new();
    expected.into_iter().for_each(|error| *counts.entry(error).or_insert(0) += 1);
    assert_eq!(errors, counts, "errors at the end, plan:\n{plan}");
}

fn state_at(updates: &Updates, at: Timestamp) -> RecordBatch {
    let mut rows: Vec<Row> = Vec::new();
    for (row, count) in accumulate(updates, at) {
        assert!(count > 0, "random updates delete what is there");
        rows.extend((0..count).map(|_| row.clone()));
    }
    batch_of_rows(&updates.schema(), &rows)
}
