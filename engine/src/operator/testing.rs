//! For tests: runs a plan's operators without timely, and streams as text.
//!
//! A stream is a line an update, `+ a 1 @3`: the sign and, from 2 on, the number of the diff, the
//! values, the time. It is printed consolidated, in order of time, retractions first.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::StepContext;
use super::nested::Nested;
use crate::plan::{InputPlan, Plan};
use crate::quarantine::Quarantine;
use crate::state::consolidate::consolidate;
use crate::time::CollectionId;
use crate::updates::{Updates, batch_of};

/// The plan's input `id`.
pub(crate) fn input(id: u64, schema: &SchemaRef) -> Plan {
    let (id, schema) = (CollectionId(id), schema.clone());
    Plan::Input(InputPlan { id, schema, append_only: false, arrived_at: false, versions: false })
}

/// The output of `plan` over all updates of its inputs, in steps that end at `cuts` and at the end
/// of time. It begins at time 0.
pub(crate) fn run(plan: &Plan, inputs: &HashMap<CollectionId, Updates>, cuts: &[u64]) -> Updates {
    run_reporting(plan, inputs, cuts).0
}

/// The same, and how often each error stands in quarantine at the end.
pub(crate) fn run_reporting(
    plan: &Plan,
    inputs: &HashMap<CollectionId, Updates>,
    cuts: &[u64],
) -> (Updates, HashMap<String, i64>) {
    let quarantine = Quarantine::default();
    let mut root = Nested::new(plan);
    let mut parts = Vec::new();
    let mut lower = 0;
    for &upper in cuts.iter().chain([&u64::MAX]) {
        let context = StepContext { lower, upper, view: CollectionId(0), quarantine: &quarantine };
        let within = |updates: &Updates| {
            let times = &updates.times;
            let rows = 0..updates.len() as u32;
            let rows = rows.filter(|&row| (lower..upper).contains(&times[row as usize]));
            updates.take(&rows.collect::<Vec<_>>())
        };
        parts.push(root.step(&context, &mut |id| Some(within(&inputs[&id]))));
        lower = upper;
    }
    let mut errors = HashMap::new();
    for row in quarantine.rows() {
        *errors.entry(row.error).or_insert(0) += row.count;
    }
    errors.retain(|_, count| *count != 0);
    (Updates::concat(&plan.schema(), parts), errors)
}

/// A stream from its text.
pub(crate) fn parse(schema: &SchemaRef, text: &str) -> Updates {
    let (mut times, mut diffs) = (Vec::new(), Vec::new());
    let mut values: Vec<Vec<Option<&str>>> = vec![Vec::new(); schema.fields().len()];
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (sign, time) = (words[0], words[words.len() - 1]);
        let count: i64 = sign[1..].parse().unwrap_or(1);
        diffs.push(if sign.starts_with('-') { -count } else { count });
        times.push(time.strip_prefix('@').expect("@time").parse().expect("a number"));
        for (column, word) in values.iter_mut().zip(&words[1..words.len() - 1]) {
            column.push((*word != "NULL").then_some(word));
        }
    }
    let columns = values.into_iter().zip(schema.fields()).map(|(values, field)| {
        let text: ArrayRef = Arc::new(StringArray::from(values));
        cast(&text, field.data_type()).expect("a value of the column's type")
    });
    let data = batch_of(schema.clone(), columns.collect(), times.len());
    Updates::new(data, times, diffs)
}

/// The text of a stream.
pub(crate) fn print(updates: Updates) -> String {
    let updates = consolidate(updates);
    let mut lines: Vec<(u64, bool, String)> = (0..updates.len())
        .map(|i| {
            let diff = updates.diffs[i];
            let count = if diff.abs() == 1 { String::new() } else { diff.abs().to_string() };
            let sign = if diff < 0 { "-" } else { "+" };
            let row = print_row(&updates.data, i);
            (updates.times[i], diff > 0, format!("{sign}{count} {row} @{}\n", updates.times[i]))
        })
        .collect();
    lines.sort();
    lines.into_iter().map(|(_, _, line)| line).collect()
}

fn print_row(batch: &RecordBatch, row: usize) -> String {
    let options = FormatOptions::default().with_null("NULL");
    let value = |column: &ArrayRef| {
        let formatter = ArrayFormatter::try_new(column.as_ref(), &options).expect("printable");
        formatter.value(row).to_string()
    };
    batch.columns().iter().map(value).collect::<Vec<_>>().join(" ")
}

/// Runs `plan` over streams as text in one step, and in a step for each time: the same both ways.
pub(crate) fn check(plan: &Plan, inputs: &[(u64, &str)], expected: expect_test::Expect) {
    expected.assert_eq(&check_text(plan, inputs));
}

/// What [`check`] compares.
pub(crate) fn check_text(plan: &Plan, inputs: &[(u64, &str)]) -> String {
    let schemas = inputs_of(plan);
    let inputs: HashMap<CollectionId, Updates> = inputs
        .iter()
        .map(|(id, text)| (CollectionId(*id), parse(&schemas[&CollectionId(*id)], text)))
        .collect();
    let mut times: Vec<u64> =
        inputs.values().flat_map(|updates| updates.times.iter().copied()).collect();
    times.sort_unstable();
    times.dedup();
    let whole = print(run(plan, &inputs, &[]));
    let by_time = print(run(plan, &inputs, &times));
    assert_eq!(whole, by_time, "the cut into steps must not show");
    whole
}

fn inputs_of(plan: &Plan) -> HashMap<CollectionId, SchemaRef> {
    let mut schemas: HashMap<_, _> = plan.inputs().into_iter().flat_map(inputs_of).collect();
    if let Plan::Input(input) = plan {
        schemas.insert(input.id, input.schema.clone());
    }
    schemas
}
