//! Rows that come, and rows that expire, at exactly the same microsecond: one time, many steps.

use super::*;
use crate::aggregate::aggregate_function;
use crate::engine::OperatorStatistics;
use crate::plan::{AggregateCall, AggregatePlan, schema_of};
use arrow::datatypes::DataType;

const ROWS: usize = 6_000;

/// The rows of table 2 whose timestamp in column 3 is still to come.
fn to_come() -> Plan {
    let Plan::Temporal(mut temporal) = already(2, 3) else { unreachable!("a temporal filter") };
    temporal.bounds[0].edge = Edge::Until;
    Plan::Temporal(temporal)
}

/// How many rows there are of each value of the first column.
fn counted(input: Plan) -> Plan {
    let count = aggregate_function("count").expect("it is there");
    let schema = input.schema();
    let schema = schema_of([
        (schema.field(0).name().as_str(), schema.field(0).data_type().clone()),
        ("count", DataType::Int64),
    ]);
    Plan::Aggregate(Box::new(AggregatePlan {
        input,
        keys: vec![0],
        calls: vec![AggregateCall::new(count, vec![], None)],
        schema,
        append_only: false,
    }))
}

/// `ROWS` rows that expire together, and when.
fn rows_until(end: i64) -> RecordBatch {
    let rows: Vec<Vec<ScalarValue>> = (0..ROWS as i64)
        .map(|row| {
            vec![
                ScalarValue::Int64(Some(row % 7)),
                ScalarValue::Decimal128(Some(row.into()), 12, 2),
                ScalarValue::Float32(Some(0.5)),
                ScalarValue::TimestampMicrosecond(Some(end), Some("+00:00".into())),
            ]
        })
        .collect();
    batch_of_rows(&table_schema(2), &rows)
}

/// The tables, the views 20 (the rows), 21 (their counts), 22 (counts of what joins a table) and 23
/// (counts of the view 20), and 24 of the other table.
fn harness(workers: usize) -> Harness {
    let mut harness = Harness::open(workers);
    let tables = [1, 2].map(|id| TableDef::new(CollectionId(id), table_schema(id), vec![]));
    harness.commit(Change { create_tables: tables.into(), ..Change::default() }).expect("tables");
    harness.create_view(20, to_come());
    harness.create_view(21, counted(to_come()));
    harness.create_view(22, counted(joined(20, &to_come(), 1)));
    harness.create_view(23, counted(over(20, &to_come())));
    harness.create_view(24, counted(input(1, &table_schema(1))));
    harness
}

fn insert(harness: &Harness, table: u64, insert: RecordBatch) {
    let write = TableWrite { table: CollectionId(table), delete: vec![], insert };
    harness.commit(Change { writes: vec![write], ..Change::default() }).expect("no constraint");
}

#[test]
fn many_rows_of_one_instant_come_and_go_in_parts() {
    for workers in [1, 3] {
        let harness = harness(workers);
        let mut random = StdRng::seed_from_u64(1);
        insert(&harness, 1, random_rows(&mut random, 1, 3, harness.scale));
        let end = harness.engine.begin_read().at.0 as i64 + 3_000_000;
        let statistics =
            |view: u64| harness.engine.operators(CollectionId(view)).expect("it runs").1;
        let views = [20, 21, 22, 23];
        let check_parts = |before: [Vec<OperatorStatistics>; 4]| {
            for (view, before) in views.into_iter().zip(before) {
                for (place, (then, now)) in before.iter().zip(statistics(view)).enumerate() {
                    let rows =
                        (now.updates_in + now.updates_out) - (then.updates_in + then.updates_out);
                    let steps = now.steps - then.steps;
                    // Here a part is two rows; several may have come since the last step.
                    assert!(rows <= steps * 100, "view {view}, {place}: {rows} in {steps} steps");
                }
            }
        };
        let before = views.map(statistics);
        insert(&harness, 2, rows_until(end));
        harness.check();
        check_parts(before);
        let before = views.map(statistics);
        while (harness.engine.begin_read().at.0 as i64) < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        harness.check();
        check_parts(before);
    }
}

#[test]
fn other_views_go_on_between_the_parts() {
    let harness = harness(1);
    let end = harness.engine.begin_read().at.0 as i64 + 2_000_000;
    insert(&harness, 2, rows_until(end));
    harness.check();
    let mut read = harness.engine.begin_read();
    while (read.at.0 as i64) < end {
        std::thread::sleep(Duration::from_millis(1));
        read = harness.engine.begin_read();
    }
    let views = [20, 21, 22, 23].map(CollectionId);
    let waited = harness.engine.wait_for(&views, read.at);
    let mut random = StdRng::seed_from_u64(1);
    insert(&harness, 1, random_rows(&mut random, 1, 1, harness.scale));
    // View 22 has the other table below it, and is told to move, but no one waits for it.
    harness.check_views(&[CollectionId(24)]);
    let status = harness.engine.views();
    let upper = status.iter().find(|view| view.id.0 == 21).expect("it runs").upper;
    assert!(upper.0 as i64 <= end, "the rows were gone before the other view was read");
    block_on(waited).expect("no view is dropped");
    harness.check();
}
