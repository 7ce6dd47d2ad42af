//! Random aggregates: every function of the list, of arguments and constants it is defined for,
//! with DISTINCT, ORDER BY and FILTER.

use std::sync::Arc;

use arrow::datatypes::{DataType, IntervalMonthDayNano, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, IsNotNullExpr, Literal, case, cast};
use rand::Rng;
use rand::rngs::StdRng;

use super::{Scale, column, columns_where, pick, random_plan, random_predicate};
use crate::aggregate::{AGGREGATES, AggregateFunction, Constants, Order};
use crate::expression::Expr;
use crate::plan::{AggregateCall, AggregatePlan, Plan, ProjectPlan, SortKey, schema_of};

pub(super) fn random_aggregate(random: &mut StdRng, depth: u32, scale: Scale) -> Plan {
    let input = random_plan(random, depth - 1, scale);
    aggregate_of(random, input, scale)
}

/// An aggregate over `input`.
pub(crate) fn aggregate_of(random: &mut StdRng, mut input: Plan, scale: Scale) -> Plan {
    let own = input.schema().fields().len();
    if random.random_bool(0.6) {
        input = widened(random, input, scale);
    }
    let schema = input.schema();
    let mut keys: Vec<usize> = (0..own).filter(|_| random.random_bool(0.25)).collect();
    let wanted = random.random_range(0.02..0.2);
    let mut calls = Vec::new();
    for &function in AGGREGATES {
        if random.random_bool(wanted) {
            calls.extend((0..8).find_map(|_| random_call(random, function, &schema)));
        }
    }
    if keys.is_empty() && calls.is_empty() {
        // The operators above want a column to look at.
        keys.push(0);
    }
    let types = calls.iter().map(|call| ("a", call.return_type(&schema).expect("defined")));
    let keys_of = keys.iter().map(|&key| ("k", schema.field(key).data_type().clone()));
    let out = schema_of(keys_of.chain(types));
    let plan = AggregatePlan { input, keys, calls, schema: out, append_only: false };
    Plan::Aggregate(Box::new(plan))
}

/// The columns, and others of the types that no table has.
fn widened(random: &mut StdRng, input: Plan, scale: Scale) -> Plan {
    let schema = input.schema();
    let mut exprs: Vec<Expr> = (0..schema.fields().len()).map(|i| column(&schema, i)).collect();
    exprs.push(random_predicate(random, &schema, scale));
    let integers = columns_where(&schema, |ty| matches!(ty, DataType::Int64 | DataType::Int32));
    if let Some(i) = pick(random, &integers) {
        for ty in [DataType::Float64, DataType::LargeUtf8, DataType::Int16] {
            exprs.push(cast(column(&schema, i), &schema, ty).expect("an integer's other forms"));
        }
        exprs.push(interval(&schema, i));
    }
    let there = pick(random, &(0..schema.fields().len()).collect::<Vec<_>>());
    exprs.extend(there.map(|i| Arc::new(IsNotNullExpr::new(column(&schema, i))) as Expr));
    let types: Vec<_> =
        exprs.iter().map(|expr| ("w", expr.data_type(&schema).expect("typed"))).collect();
    Plan::Project(Box::new(ProjectPlan { input, exprs, schema: schema_of(types) }))
}

/// Three intervals by an integer's value, two of them of one length.
fn interval(schema: &SchemaRef, i: usize) -> Expr {
    let of = |months, days, nanoseconds| -> Expr {
        let value = IntervalMonthDayNano { months, days, nanoseconds };
        Arc::new(Literal::new(ScalarValue::IntervalMonthDayNano(Some(value))))
    };
    let is = |value: i64| -> Expr {
        let value = ScalarValue::Int64(Some(value)).cast_to(schema.field(i).data_type());
        let value = Arc::new(Literal::new(value.expect("a small number")));
        Arc::new(BinaryExpr::new(column(schema, i), Operator::Eq, value))
    };
    let branches =
        vec![(is(1), of(1, 0, 0)), (is(2), of(0, 30, 0)), (is(3), of(2, -7, 45_296_789_000_000))];
    case(None, branches, None).expect("branches of one type")
}

fn random_call(
    random: &mut StdRng,
    function: &'static dyn AggregateFunction,
    schema: &SchemaRef,
) -> Option<AggregateCall> {
    let columns: Vec<usize> = (0..schema.fields().len()).collect();
    let constant = match function.constants() {
        Constants::None => false,
        Constants::Allowed => random.random_bool(0.5),
        Constants::Required => true,
    };
    let count = random.random_range(if constant { 1..2 } else { 0..3 });
    let arguments = (0..count).map(|_| pick(random, &columns)).collect::<Option<Vec<_>>>()?;
    let flags = columns_where(schema, |ty| *ty == DataType::Boolean);
    let filter = pick(random, &flags).filter(|_| random.random_bool(0.4));
    let mut call = AggregateCall::new(function, arguments, filter);
    if constant {
        call.parameters = vec![random_constant(random, function)];
    }
    call.return_type(schema)?;
    let order = function.order();
    if order != Order::WithinGroup && !call.arguments.is_empty() {
        call.distinct = random.random_bool(0.25);
    }
    call.order_by = match order {
        Order::Indifferent => vec![],
        Order::WithinGroup => vec![random_key(random, call.arguments[0])],
        Order::Free => {
            // The order of distinct tuples must be one of tuples.
            let from = if call.distinct { &call.arguments } else { &columns };
            let count = random.random_range(0..3);
            let columns: Vec<usize> = (0..count).filter_map(|_| pick(random, from)).collect();
            columns.into_iter().map(|column| random_key(random, column)).collect()
        }
    };
    Some(call)
}

fn random_key(random: &mut StdRng, column: usize) -> SortKey {
    SortKey { column, descending: random.random_bool(0.5), nulls_first: random.random_bool(0.5) }
}

pub(super) fn random_constant(
    random: &mut StdRng,
    function: &dyn AggregateFunction,
) -> ScalarValue {
    if function.constants() == Constants::Allowed {
        return ScalarValue::Utf8(Some([",", ""][random.random_range(0..2)].to_string()));
    }
    let fractions = [Some(0.0), Some(0.3), Some(0.5), Some(0.75), Some(1.0), None];
    let mut fraction = || ScalarValue::Float64(fractions[random.random_range(0..6)]);
    let (one, several) = (fraction(), [fraction(), fraction(), fraction()]);
    match function.name() != "approx_percentile" && random.random_bool(0.3) {
        true => ScalarValue::List(ScalarValue::new_list(&several, &DataType::Float64, true)),
        false => one,
    }
}
