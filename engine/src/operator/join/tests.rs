//! Tests of [`super`]: streams as text.

use arrow::datatypes::DataType;
use expect_test::expect;

use super::{JoinKind, JoinPlan};
use crate::operator::testing::{check, input};
use crate::plan::{Plan, schema_of};

fn join(keys: &[usize]) -> Plan {
    let left = schema_of([("k", DataType::Int64), ("l", DataType::Utf8)]);
    let right = schema_of([("k", DataType::Int64), ("r", DataType::Utf8)]);
    let schema = schema_of([
        ("k", DataType::Int64),
        ("l", DataType::Utf8),
        ("k", DataType::Int64),
        ("r", DataType::Utf8),
    ]);
    Plan::Join(Box::new(JoinPlan {
        left: input(1, &left),
        right: input(2, &right),
        left_keys: keys.to_vec(),
        null_equal: vec![false; keys.len()],
        condition: None,
        kind: JoinKind::Inner,
        right_keys: keys.to_vec(),
        schema,
    }))
}

#[test]
fn both_sides_change_at_one_time() {
    check(
        &join(&[0]),
        &[
            (1, "+ 1 a @1\n- 1 a @3\n+ 2 a @3\n+ NULL n @1"),
            (2, "+ 1 x @1\n+2 2 y @3\n+ NULL n @1"),
        ],
        expect![[r#"
            + 1 a 1 x @1
            - 1 a 1 x @3
            +2 2 a 2 y @3
        "#]],
    );
}

#[test]
fn a_key_leaves_and_comes_back() {
    check(
        &join(&[0]),
        &[(1, "+ 1 a @1\n- 1 a @2\n+ 1 b @4"), (2, "+ 1 x @1\n- 1 x @3\n+ 1 y @4\n+ 1 x @5")],
        expect![[r#"
            + 1 a 1 x @1
            - 1 a 1 x @2
            + 1 b 1 y @4
            + 1 b 1 x @5
        "#]],
    );
}

#[test]
fn without_keys_every_pair() {
    check(
        &join(&[]),
        &[(1, "+ 1 a @1\n+ NULL b @2"), (2, "+ 7 x @1\n- 7 x @3")],
        expect![[r#"
            + 1 a 7 x @1
            + NULL b 7 x @2
            - 1 a 7 x @3
            - NULL b 7 x @3
        "#]],
    );
}
