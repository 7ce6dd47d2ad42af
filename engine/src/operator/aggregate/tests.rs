//! Tests of [`super`]: streams as text.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use expect_test::expect;

use super::{AggregateCall, AggregatePlan};
use crate::aggregate::aggregate_function;
use crate::operator::testing::{check, input};
use crate::plan::{Plan, SortKey, schema_of};

fn aggregate(keys: &[usize], value: DataType) -> Plan {
    let schema = schema_of([("k", DataType::Utf8), ("v", value.clone()), ("f", DataType::Boolean)]);
    let call = |name: &str, arguments: &[usize], filter| {
        let function = aggregate_function(name).expect("known");
        AggregateCall::new(function, arguments.to_vec(), filter)
    };
    let calls = vec![
        call("count", &[], None),
        call("sum", &[1], None),
        call("min", &[1], None),
        call("max", &[1], Some(2)),
    ];
    let types = calls.iter().map(|call| match call.arguments.len() {
        0 => DataType::Int64,
        _ => call.function.return_type(std::slice::from_ref(&value)).expect("typed"),
    });
    let keys_of = keys.iter().map(|_| ("k", DataType::Utf8));
    let schema_out = schema_of(keys_of.chain(types.map(|ty| ("a", ty))));
    let plan = AggregatePlan {
        input: input(1, &schema),
        keys: keys.to_vec(),
        calls,
        schema: schema_out,
        append_only: false,
    };
    Plan::Aggregate(Box::new(plan))
}

#[test]
fn groups_come_change_and_go() {
    check(
        &aggregate(&[0], DataType::Int64),
        &[(1, "+ a 5 true @1\n+ a 3 false @1\n- a 3 false @2\n+ b NULL true @2\n- a 5 true @4")],
        expect![[r#"
            + a 2 8 3 5 @1
            - a 2 8 3 5 @2
            + a 1 5 5 5 @2
            + b 1 NULL NULL NULL @2
            - a 1 5 5 5 @4
        "#]],
    );
}

#[test]
fn what_changes_nothing_says_nothing() {
    check(
        &aggregate(&[0], DataType::Int64),
        &[(1, "+ a 5 true @1\n- a 5 true @2\n+ a 5 true @2\n+ a 1 NULL @3\n- a 1 NULL @3")],
        expect![[r#"
            + a 1 5 5 5 @1
        "#]],
    );
}

#[test]
fn without_keys_there_is_always_a_row() {
    check(
        &aggregate(&[], DataType::Float64),
        &[(1, "+ a 0.1 true @1\n+ a NaN true @2\n- a NaN true @3\n- a 0.1 true @4")],
        expect![[r#"
            + 0 NULL NULL NULL @0
            - 0 NULL NULL NULL @1
            + 1 0.1 0.1 0.1 @1
            - 1 0.1 0.1 0.1 @2
            + 2 NaN 0.1 NaN @2
            - 2 NaN 0.1 NaN @3
            + 1 0.1 0.1 0.1 @3
            - 1 0.1 0.1 0.1 @4
            + 0 NULL NULL NULL @4
        "#]],
    );
}

#[test]
fn a_sum_out_of_range_leaves_and_comes_back() {
    let max = i64::MAX;
    let stream = format!("+ a {max} true @1");
    let schema = schema_of([("k", DataType::Utf8), ("v", DataType::Int64)]);
    let sum = aggregate_function("sum").expect("known");
    let call = AggregateCall::new(sum, vec![1], None);
    let schema_out = schema_of([("k", DataType::Utf8), ("s", DataType::Decimal128(38, 0))]);
    let plan = AggregatePlan {
        input: input(1, &schema),
        keys: vec![0],
        calls: vec![call],
        schema: schema_out,
        append_only: false,
    };
    let stream = stream.replace(" true", "") + &format!("\n+4 a {max} @2\n-4 a {max} @3");
    check(
        &Plan::Aggregate(Box::new(plan)),
        &[(1, &stream)],
        expect![[r#"
            + a 9223372036854775807 @1
            - a 9223372036854775807 @2
            + a 46116860184273879035 @2
            - a 46116860184273879035 @3
            + a 9223372036854775807 @3
        "#]],
    );
}

/// One call of `name` over `v`, by `k`; `with` completes it.
fn one(name: &str, value: DataType, with: impl FnOnce(&mut AggregateCall)) -> AggregatePlan {
    let schema = schema_of([("k", DataType::Utf8), ("v", value), ("o", DataType::Int64)]);
    let mut call = AggregateCall::new(aggregate_function(name).expect("known"), vec![1], None);
    with(&mut call);
    let ty = call.return_type(&schema).expect("defined");
    let out = schema_of([("k", DataType::Utf8), ("a", ty)]);
    let input = input(1, &schema);
    AggregatePlan { input, keys: vec![0], calls: vec![call], schema: out, append_only: false }
}

fn check_one(plan: AggregatePlan, stream: &str, expected: expect_test::Expect) {
    check(&Plan::Aggregate(Box::new(plan)), &[(1, stream)], expected);
}

#[test]
fn distinct_lets_the_first_come_and_the_last_go() {
    check_one(
        one("sum", DataType::Float64, |call| call.distinct = true),
        "+2 a 0.5 1 @1\n+ a -0 1 @1\n+ a 0 1 @2\n- a 0.5 1 @3\n- a -0 1 @4\n- a 0.5 1 @5\n- a 0 1 @6",
        expect![[r#"
            + a 0.5 @1
            - a 0.5 @5
            + a 0.0 @5
            - a 0.0 @6
        "#]],
    );
}

#[test]
fn an_order_is_completed_with_the_arguments() {
    let descending = SortKey { descending: true, ..SortKey::ascending(2) };
    check_one(
        one("array_agg", DataType::Int64, |call| call.order_by = vec![descending]),
        "+ a 2 1 @1\n+ a 1 1 @1\n+ a NULL 1 @2\n+ a 9 5 @3\n+ a 9 5 @3\n- a 1 1 @4\n- a 9 5 @4",
        expect![[r#"
            + a [1, 2] @1
            - a [1, 2] @2
            + a [1, 2, NULL] @2
            - a [1, 2, NULL] @3
            + a [9, 9, 1, 2, NULL] @3
            - a [9, 9, 1, 2, NULL] @4
            + a [9, 2, NULL] @4
        "#]],
    );
}

#[test]
fn of_equally_frequent_values_the_first_is_the_mode() {
    check_one(
        one("mode", DataType::Int64, |call| call.order_by = vec![SortKey::ascending(1)]),
        "+ a 3 1 @1\n+ a 2 1 @2\n+ a 3 1 @3\n- a 3 1 @4\n- a 2 1 @5\n+ a NULL 1 @6\n- a 3 1 @7",
        expect![[r#"
            + a 3 @1
            - a 3 @2
            + a 2 @2
            - a 2 @3
            + a 3 @3
            - a 3 @4
            + a 2 @4
            - a 2 @5
            + a 3 @5
            - a 3 @7
            + a NULL @7
        "#]],
    );
}

#[test]
fn a_percentile_lies_between_its_neighbours() {
    let half = ScalarValue::Float64(Some(0.5));
    check_one(
        one("percentile_cont", DataType::Float64, |call| {
            call.parameters = vec![half];
            call.order_by = vec![SortKey::ascending(1)];
        }),
        "+ a 1 1 @1\n+ a 2 1 @2\n+ a 10 1 @3\n- a 1 1 @4\n- a 2 1 @5\n- a 10 1 @6",
        expect![[r#"
            + a 1.0 @1
            - a 1.0 @2
            + a 1.5 @2
            - a 1.5 @3
            + a 2.0 @3
            - a 2.0 @4
            + a 6.0 @4
            - a 6.0 @5
            + a 10.0 @5
            - a 10.0 @6
        "#]],
    );
}

#[test]
fn a_variance_forgets_what_leaves() {
    check_one(
        one("var_pop", DataType::Float64, |_| {}),
        "+ a 1e200 1 @1\n+ a 0.1 1 @1\n+ a 0.3 1 @1\n- a 1e200 1 @2\n+ a inf 1 @3\n- a inf 1 @4",
        expect![[r#"
            + a 0.009999999999999998 @2
            - a 0.009999999999999998 @3
            + a NaN @3
            - a NaN @4
            + a 0.009999999999999998 @4
        "#]],
    );
}

#[test]
fn where_rows_only_come_the_least_is_enough() {
    check_one(
        AggregatePlan { append_only: true, ..one("min", DataType::Int64, |_| {}) },
        "+ a 5 1 @1\n+ a 7 1 @2\n+ a 3 1 @3\n+ a NULL 1 @4\n+ b NULL 1 @4",
        expect![[r#"
            + a 5 @1
            - a 5 @3
            + a 3 @3
            + b NULL @4
        "#]],
    );
}

#[test]
fn what_is_kept_is_printed() {
    let mut plan = one("string_agg", DataType::Utf8, |call| {
        call.parameters = vec![ScalarValue::Utf8(Some("-".to_string()))];
        call.order_by = vec![SortKey { descending: true, ..SortKey::ascending(2) }];
    });
    plan.calls.push(AggregateCall::new(aggregate_function("max").expect("known"), vec![2], None));
    let calls = "string_agg(v, - order by o desc nulls last, v) collecting, max(o) extremum";
    let expected = format!("Aggregate keys=[k] calls=[{calls}]");
    assert_eq!(plan.to_string(), expected);
}

/// Calls of the same distinct tuples, with another between them.
fn distinct(append_only: bool) -> Plan {
    let schema =
        schema_of([("k", DataType::Utf8), ("v", DataType::Int64), ("f", DataType::Boolean)]);
    let call = |name: &str, arguments: &[usize], filter, distinct| {
        let function = aggregate_function(name).expect("known");
        let call = AggregateCall::new(function, arguments.to_vec(), filter);
        AggregateCall { distinct, ..call }
    };
    let calls = vec![
        call("count", &[1], None, true),
        call("count", &[], None, false),
        call("sum", &[1], Some(2), true),
        call("count", &[1], Some(2), true),
    ];
    let types = calls.iter().map(|call| ("a", call.return_type(&schema).expect("typed")));
    let schema_out = schema_of([("k", DataType::Utf8)].into_iter().chain(types));
    let (input, keys) = (input(1, &schema), vec![0]);
    Plan::Aggregate(Box::new(AggregatePlan { input, keys, calls, schema: schema_out, append_only }))
}

#[test]
fn calls_of_the_same_tuples_count_by_their_own_filters() {
    check(
        &distinct(false),
        &[(
            1,
            "+ a 5 true @1\n+ a 5 false @1\n+ a 7 false @2\n- a 5 true @3\n- a 5 false @4\n\
             + a 7 true @5\n- a 7 true @6\n- a 7 false @6\n+ b 7 true @6",
        )],
        expect![[r#"
            + a 1 2 5 1 @1
            - a 1 2 5 1 @2
            + a 2 3 5 1 @2
            - a 2 3 5 1 @3
            + a 2 2 NULL 0 @3
            - a 2 2 NULL 0 @4
            + a 1 1 NULL 0 @4
            - a 1 1 NULL 0 @5
            + a 1 2 7 1 @5
            - a 1 2 7 1 @6
            + b 1 1 7 1 @6
        "#]],
    );
}

#[test]
fn tuples_that_never_leave_are_marked() {
    check(
        &distinct(true),
        &[(1, "+ a 5 true @1\n+ a 5 true @1\n+ a 7 false @2\n+ a 7 true @3\n+ b 5 false @3")],
        expect![[r#"
            + a 1 2 5 1 @1
            - a 1 2 5 1 @2
            + a 2 3 5 1 @2
            - a 2 3 5 1 @3
            + a 2 4 12 2 @3
            + b 1 1 NULL 0 @3
        "#]],
    );
}

#[test]
fn what_was_taken_out_too_often_stays_with_its_group() {
    // A group that goes with a tuple below 0 leaves nothing to the one that takes its place.
    check(
        &distinct(false),
        &[(1, "+ a 5 true @1\n- a 6 true @2\n+ b 6 true @3")],
        expect![[r#"
            + a 1 1 5 1 @1
            - a 1 1 5 1 @2
            + b 1 1 6 1 @3
        "#]],
    );
}
