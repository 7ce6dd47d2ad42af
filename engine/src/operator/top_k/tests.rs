//! Tests of [`super`]: streams as text.

use arrow::datatypes::DataType;
use expect_test::expect;

use super::{TopK, TopKPlan};
use crate::operator::testing::{check, input, parse, print, run_reporting};
use crate::operator::{Operator, StepContext};
use crate::plan::{Plan, SortKey, schema_of};
use crate::quarantine::Quarantine;
use crate::time::CollectionId;

/// Of each `k` by falling `v`, then by `s`.
fn top(offset: u64, limit: Option<u64>, ties: Option<usize>) -> Plan {
    let columns = [("k", DataType::Utf8), ("v", DataType::Int64), ("s", DataType::Utf8)];
    let falling = SortKey { column: 1, descending: true, nulls_first: true };
    Plan::TopK(Box::new(TopKPlan {
        input: input(1, &schema_of(columns)),
        keys: vec![0],
        order: vec![falling, SortKey::ascending(2)],
        offset,
        limit,
        ties,
        append_only: false,
    }))
}

#[test]
fn a_deleted_member_lets_the_next_in() {
    check(
        &top(0, Some(2), None),
        &[(
            1,
            "+ a 1 x @1\n+ a 2 x @1\n+ a 3 x @1\n+ b 9 x @1\n- a 3 x @2\n- b 9 x @3\n- a 2 x @4",
        )],
        expect![[r#"
            + a 2 x @1
            + a 3 x @1
            + b 9 x @1
            - a 3 x @2
            + a 1 x @2
            - b 9 x @3
            - a 2 x @4
        "#]],
    );
}

#[test]
fn equal_rows_count_each() {
    check(
        &top(1, Some(2), None),
        &[(1, "+3 a 5 x @1\n+ a 4 x @2\n- a 5 x @3\n+ a 6 x @4\n-2 a 5 x @5")],
        expect![[r#"
            +2 a 5 x @1
            - a 5 x @3
            + a 4 x @3
            - a 4 x @4
            + a 5 x @4
            -2 a 5 x @5
            + a 4 x @5
        "#]],
    );
}

#[test]
fn ties_of_the_last_are_in_too() {
    check(
        &top(0, Some(1), Some(1)),
        &[(
            1,
            "+ a 5 x @1\n+ a 5 y @2\n+ a 4 z @2\n+ a 6 x @3\n- a 6 x @4\n-1 a 5 x @5\n- a 5 y @5",
        )],
        expect![[r#"
            + a 5 x @1
            + a 5 y @2
            - a 5 x @3
            - a 5 y @3
            + a 6 x @3
            - a 6 x @4
            + a 5 x @4
            + a 5 y @4
            - a 5 x @5
            - a 5 y @5
            + a 4 z @5
        "#]],
    );
}

#[test]
fn without_a_limit_all_from_the_offset_on() {
    check(
        &top(1, None, None),
        &[(1, "+ a 1 x @1\n+ a 2 x @2\n+ a 3 x @2\n- a 3 x @3\n+ a NULL x @4")],
        expect![[r#"
            + a 1 x @2
            + a 2 x @2
            - a 2 x @3
            + a 2 x @4
        "#]],
    );
}

#[test]
fn what_comes_and_goes_at_one_time_is_not_seen() {
    check(
        &top(0, Some(1), None),
        &[(1, "+ a 1 x @1\n+ a 2 x @2\n- a 2 x @2\n- a 1 x @3\n+ a 1 x @3")],
        expect![[r#"
            + a 1 x @1
        "#]],
    );
}

#[test]
fn a_row_that_is_owed_is_absent() {
    let plan = top(0, Some(2), None);
    let Plan::TopK(limit) = &plan else { unreachable!("just made") };
    let changes = "- a 1 x @1\n+ a 2 x @2\n+ a 1 x @3\n+ a 1 x @4";
    let inputs = [(CollectionId(1), parse(&limit.input.schema(), changes))].into();
    let (out, errors) = run_reporting(&plan, &inputs, &[2, 4]);
    expect![[r#"
        + a 2 x @2
        + a 1 x @4
    "#]]
    .assert_eq(&print(out));
    assert!(errors.is_empty(), "owed at 1, given at 3: {errors:?}");
}

#[test]
fn where_rows_only_come_those_past_the_limit_are_forgotten() {
    let schema = top(0, None, None).schema();
    let growing = |offset, ties| {
        let Plan::TopK(plan) = top(offset, Some(2), ties) else { unreachable!("just made") };
        TopKPlan { append_only: true, ..*plan }
    };
    let changes = "+ a 5 x @1\n+3 a 6 x @1\n+ a 7 x @2\n+ a 6 y @3\n+ a 7 x @3\n+ a 8 x @4";
    check(
        &Plan::TopK(Box::new(growing(1, None))),
        &[(1, changes)],
        expect![[r#"
            +2 a 6 x @1
            - a 6 x @3
            + a 7 x @3
            - a 6 x @4
            + a 7 x @4
        "#]],
    );
    let kept = |plan: &TopKPlan| {
        let mut operator = TopK::new(plan);
        let quarantine = Quarantine::default();
        let view = CollectionId(0);
        let context = StepContext { lower: 0, upper: 9, view, quarantine: &quarantine };
        operator.step(&context, vec![parse(&schema, changes)]);
        operator.state().rows
    };
    assert_eq!(kept(&growing(0, None)), 2, "8 and one of the two 7 alike");
    assert_eq!(kept(&growing(0, Some(1))), 2, "8 and both 7, alike");
    assert_eq!(kept(&growing(2, None)), 3, "8, both 7 alike, and one 6");
    assert_eq!(kept(&TopKPlan { append_only: false, ..growing(0, None) }), 5);
}
