//! Tests of [`super`]: streams as text.

use arrow::datatypes::DataType;
use expect_test::{Expect, expect};

use super::{SetOperationKind, SetOperationPlan};
use crate::operator::testing::{check, input};
use crate::plan::{Plan, schema_of};

fn check_kind(kind: SetOperationKind, left: &str, right: &str, expected: Expect) {
    let schema = schema_of([("s", DataType::Utf8), ("x", DataType::Float64)]);
    let plan = Plan::SetOperation(Box::new(SetOperationPlan {
        kind,
        left: input(1, &schema),
        right: input(2, &schema),
        schema,
    }));
    check(&plan, &[(1, left), (2, right)], expected);
}

/// On the left three of `a`, then one; on the right none, two, then none.
const LEFT: &str = "+3 a 1 @1\n+ b 1 @1\n-2 a 1 @4";
const RIGHT: &str = "+2 a 1 @2\n-2 a 1 @5\n+ c 1 @1";

#[test]
fn intersect_gives_each_row_once() {
    check_kind(
        SetOperationKind::Intersect,
        LEFT,
        RIGHT,
        expect![[r#"
            + a 1.0 @2
            - a 1.0 @5
        "#]],
    );
}

#[test]
fn intersect_all_keeps_the_smaller_count() {
    check_kind(
        SetOperationKind::IntersectAll,
        LEFT,
        RIGHT,
        expect![[r#"
            +2 a 1.0 @2
            - a 1.0 @4
            - a 1.0 @5
        "#]],
    );
}

#[test]
fn except_has_nothing_while_the_right_has_one() {
    check_kind(
        SetOperationKind::Except,
        LEFT,
        RIGHT,
        expect![[r#"
            + a 1.0 @1
            + b 1.0 @1
            - a 1.0 @2
            + a 1.0 @5
        "#]],
    );
}

#[test]
fn except_all_takes_away_as_many() {
    check_kind(
        SetOperationKind::ExceptAll,
        LEFT,
        RIGHT,
        expect![[r#"
            + b 1.0 @1
            +3 a 1.0 @1
            -2 a 1.0 @2
            - a 1.0 @4
            + a 1.0 @5
        "#]],
    );
}

#[test]
fn nulls_are_equal_and_minus_zero_is_zero() {
    check_kind(
        SetOperationKind::Intersect,
        "+ NULL -0 @1\n+ n NaN @1",
        "+ NULL 0 @2\n+ n NaN @2",
        expect![[r#"
            + NULL 0.0 @2
            + n NaN @2
        "#]],
    );
}

#[test]
fn a_row_that_moves_from_side_to_side_at_one_time_changes_nothing_twice() {
    check_kind(
        SetOperationKind::Except,
        "+ a 1 @1\n- a 1 @3\n+ a 1 @3",
        "+ a 1 @3\n- a 1 @3",
        expect![[r#"
            + a 1.0 @1
        "#]],
    );
}
