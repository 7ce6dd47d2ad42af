//! Tests of [`super`]: streams as text; `t5` is the timestamp of time 5.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column};
use expect_test::{Expect, expect};

use super::VersionJoinPlan;
use crate::operator::testing::{check_text, input};
use crate::plan::{Plan, schema_of};
use crate::store::with_versions;

fn looks() -> SchemaRef {
    let stamp = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
    schema_of([("id", DataType::Int64), ("item", DataType::Int64), ("ts", stamp)])
}

/// Looks at items beside the prices of then.
fn plan(outer: bool, dearer_than_id: bool) -> Plan {
    let left = looks();
    let prices = schema_of([("item", DataType::Int64), ("price", DataType::Int64)]);
    let right = with_versions(&prices);
    let fields = left.fields().iter().chain(right.fields()).take(6);
    let schema = schema_of(fields.map(|field| (field.name().as_str(), field.data_type().clone())));
    let (price, id) = (Arc::new(Column::new("price", 4)), Arc::new(Column::new("id", 0)));
    let condition = BinaryExpr::new(price, Operator::Gt, id);
    Plan::VersionJoin(Box::new(VersionJoinPlan {
        left: input(1, &left),
        right: input(2, &right),
        left_keys: vec![1],
        right_keys: vec![0],
        time: 2,
        condition: dearer_than_id.then(|| Arc::new(condition) as _),
        outer,
        schema,
    }))
}

fn check(plan: &Plan, left: &str, right: &str, expected: Expect) {
    let stamp = |at: u64| format!("1970-01-01T00:00:00.{at:06}Z");
    let stamped = |text: &str| {
        (0..20).rev().fold(text.to_owned(), |text, at| text.replace(&format!("t{at}"), &stamp(at)))
    };
    let text = check_text(plan, &[(1, &stamped(left)), (2, &stamped(right))]);
    let brief = (0..20).fold(text, |text, at| text.replace(&stamp(at), &format!("t{at}")));
    expected.assert_eq(&brief);
}

/// Item 7 costs 10 from 2 to 4, and 20 from then on.
const PRICES: &str = "
    + 7 10 t2 NULL @2
    - 7 10 t2 NULL @4
    + 7 10 t2 t4 @4
    + 7 20 t4 NULL @4";

#[test]
fn a_row_meets_what_was_there_at_its_time() {
    check(
        &plan(false, false),
        "
        + 1 7 t1 @1
        + 2 7 t2 @2
        + 3 7 t3 @3
        + 4 7 t4 @4
        + 5 7 t5 @5
        + 6 8 t5 @5",
        PRICES,
        expect![[r#"
            + 2 7 t2 7 10 t2 @2
            + 3 7 t3 7 10 t2 @3
            + 4 7 t4 7 20 t4 @4
            + 5 7 t5 7 20 t4 @5
        "#]],
    );
}

#[test]
fn what_comes_late_meets_the_past_and_what_goes_takes_it_along() {
    check(
        &plan(true, false),
        "
        + 1 7 t1 @9
        + 2 7 t3 @9
        +2 3 7 t5 @9
        + 4 NULL t5 @9
        + 5 7 NULL @9
        - 2 7 t3 @11
        - 3 7 t5 @12
        - 1 7 t1 @12",
        PRICES,
        expect![[r#"
            + 1 7 t1 NULL NULL NULL @9
            + 2 7 t3 7 10 t2 @9
            + 4 NULL t5 NULL NULL NULL @9
            + 5 7 NULL NULL NULL NULL @9
            +2 3 7 t5 7 20 t4 @9
            - 2 7 t3 7 10 t2 @11
            - 1 7 t1 NULL NULL NULL @12
            - 3 7 t5 7 20 t4 @12
        "#]],
    );
}

#[test]
fn a_later_version_changes_no_pair() {
    check(
        &plan(true, false),
        "+ 1 7 t3 @3",
        "
        + 7 10 t2 NULL @2
        - 7 10 t2 NULL @5
        + 7 10 t2 t5 @5
        + 7 11 t5 NULL @5
        - 7 11 t5 NULL @6
        + 7 11 t5 t6 @6",
        expect![[r#"
            + 1 7 t3 7 10 t2 @3
        "#]],
    );
}

#[test]
fn a_pair_that_fails_the_condition_does_not_match() {
    check(
        &plan(true, true),
        "
        + 15 7 t3 @3
        + 15 7 t4 @4",
        PRICES,
        expect![[r#"
            + 15 7 t3 NULL NULL NULL @3
            + 15 7 t4 7 20 t4 @4
        "#]],
    );
}

#[test]
fn several_rows_of_a_key_are_met_together() {
    check(
        &plan(false, false),
        "+ 1 7 t3 @3",
        "
        +2 7 10 t2 NULL @2
        + 7 30 t3 NULL @3",
        expect![[r#"
            + 1 7 t3 7 30 t3 @3
            +2 1 7 t3 7 10 t2 @3
        "#]],
    );
}
