//! Tests of [`super`]: streams as text.

use arrow::datatypes::DataType;
use expect_test::expect;

use super::{AggregateCall, AggregatePlan};
use crate::aggregate::aggregate_function;
use crate::operator::testing::{check, input};
use crate::plan::{Plan, schema_of};

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
