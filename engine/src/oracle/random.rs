//! Random tables, changes and plans, for tests.

mod aggregate;
mod join;
mod recursive;
mod session;
mod set_operation;
mod top_k;
mod unnest;
mod window;

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, IsNotNullExpr, Literal};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

pub(crate) use aggregate::aggregate_of;
pub(crate) use join::{random_join_of_itself, random_version_join};
pub(crate) use top_k::random_top_k;
pub(crate) use window::random_window;

use super::{Row, batch_of_rows, rows_of};
use crate::expression::Expr;
use crate::operator::testing::input;
use crate::plan::{
    Bound, ConstantPlan, Edge, FilterPlan, NowSide, Plan, ProjectPlan, TemporalMode, TemporalPlan,
    UnionPlan, schema_of,
};
use crate::store::with_versions;
use crate::time::CollectionId;
use crate::updates::{Updates, batch_of};

/// Where the random timestamps lie: `base` plus up to fifty steps, in microseconds.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    pub base: i64,
    pub step: i64,
}

/// The times of [`random_updates`] are below it.
pub(crate) const TIMES: u64 = 40;

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()))
}

/// Tables 1 and 2, and 3, whose versions are joined.
pub(crate) fn table_schema(id: u64) -> SchemaRef {
    match id {
        1 => schema_of([
            ("k", DataType::Int64),
            ("v", DataType::Int32),
            ("s", DataType::Utf8),
            ("x", DataType::Float64),
            ("ts", timestamp()),
        ]),
        3 => schema_of([("k", DataType::Int64), ("v", DataType::Int32)]),
        _ => schema_of([
            ("k", DataType::Int64),
            ("d", DataType::Decimal128(12, 2)),
            ("y", DataType::Float32),
            ("at", timestamp()),
        ]),
    }
}

/// A value of a column of type `ty`.
pub(crate) fn random_value(random: &mut StdRng, ty: &DataType, scale: Scale) -> ScalarValue {
    if random.random_bool(0.15) {
        return ScalarValue::try_from(ty).expect("every type has a NULL");
    }
    let float = [0.1, -0.0, 0.0, 1e300, -1e300, 1.5, f64::NAN, f64::INFINITY, 3e-310, 0.2];
    match ty {
        DataType::Int64 => ScalarValue::Int64(Some(random.random_range(0..4))),
        DataType::Int32 => ScalarValue::Int32(Some(random.random_range(-2..4))),
        DataType::Utf8 => {
            ScalarValue::Utf8(Some(["", "a", "b", "ab"][random.random_range(0..4)].to_string()))
        }
        DataType::Float64 => ScalarValue::Float64(Some(float[random.random_range(0..10)])),
        DataType::Float32 => ScalarValue::Float32(Some(float[random.random_range(0..8)] as f32)),
        DataType::Decimal128(p, s) => {
            ScalarValue::Decimal128(Some(random.random_range(-500..500)), *p, *s)
        }
        DataType::Boolean => ScalarValue::Boolean(Some(random.random_bool(0.5))),
        DataType::Timestamp(..) => ScalarValue::TimestampMicrosecond(
            Some(scale.base + random.random_range(-5..TIMES as i64 + 10) * scale.step),
            Some("+00:00".into()),
        ),
        DataType::List(element) => {
            let count = random.random_range(0..4);
            let values: Vec<ScalarValue> =
                (0..count).map(|_| random_value(random, element.data_type(), scale)).collect();
            ScalarValue::List(ScalarValue::new_list_nullable(&values, element.data_type()))
        }
        other => unreachable!("no column is of type {other}"),
    }
}

/// Inserts and deletes of what is there, many at one time, some at no distance, in random order.
pub(crate) fn random_updates(random: &mut StdRng, schema: &SchemaRef, scale: Scale) -> Updates {
    changes_of(random, schema, scale, 0.4)
}

/// Inserts alone, as many at a time.
pub(crate) fn random_inserts(random: &mut StdRng, schema: &SchemaRef, scale: Scale) -> Updates {
    changes_of(random, schema, scale, 0.0)
}

/// A change is a delete so often as `deletes` says.
fn changes_of(random: &mut StdRng, schema: &SchemaRef, scale: Scale, deletes: f64) -> Updates {
    let mut present: Vec<Row> = Vec::new();
    let mut changes: Vec<(Row, u64, i64)> = Vec::new();
    let mut time = 0;
    while time < TIMES {
        if !present.is_empty() && random.random_bool(deletes) {
            let row = present.swap_remove(random.random_range(0..present.len()));
            changes.push((row, time, -1));
        } else {
            let new: Row = schema
                .fields()
                .iter()
                .map(|field| random_value(random, field.data_type(), scale))
                .collect();
            let copy = present.last().filter(|_| random.random_bool(0.2)).cloned();
            let row = copy.unwrap_or(new);
            present.push(row.clone());
            changes.push((row, time, 1));
        }
        if random.random_bool(0.4) {
            time += random.random_range(1..6);
        }
    }
    changes.shuffle(random);
    let rows = changes.len();
    let columns = (0..schema.fields().len()).map(|column| {
        let values = changes.iter().map(|(row, _, _)| row[column].clone());
        ScalarValue::iter_to_array(values).expect("values of one type")
    });
    let data = batch_of(schema.clone(), columns.collect(), rows);
    let times: Vec<u64> = changes.iter().map(|(_, time, _)| *time).collect();
    let diffs: Vec<i64> = changes.iter().map(|(_, _, diff)| *diff).collect();
    Updates::new(data, times, diffs)
}

/// Has `plan` know that the inputs for which `grows` holds are append-only, and its operators what
/// follows for them, as planning does.
pub(crate) fn mark_append_only(plan: &mut Plan, grows: &dyn Fn(CollectionId) -> bool) {
    plan.inputs_mut().into_iter().for_each(|input| mark_append_only(input, grows));
    match plan {
        Plan::Input(plan) => plan.append_only = grows(plan.id),
        Plan::Aggregate(plan) => plan.append_only = plan.input.append_only(),
        Plan::TopK(plan) => plan.append_only = plan.input.append_only(),
        _ => {}
    }
}

/// Rows with the times in which they are there, from a table's changes; ends are `u64::MAX` for
/// rows that stay.
pub(crate) fn spans_of(updates: &Updates) -> Vec<(Row, u64, u64)> {
    let rows = rows_of(&updates.data);
    let mut order: Vec<usize> = (0..rows.len()).collect();
    // At one time what comes is there for what goes.
    order.sort_by_key(|&i| (updates.times[i], -updates.diffs[i]));
    let mut spans: Vec<(Row, u64, u64)> = Vec::new();
    for i in order {
        let (row, time) = (&rows[i], updates.times[i]);
        match updates.diffs[i] {
            1 => spans.push((row.clone(), time, u64::MAX)),
            _ => {
                let open = spans.iter_mut().find(|(r, _, end)| r == row && *end == u64::MAX);
                open.expect("a row that goes was there").2 = time;
            }
        }
    }
    spans.retain(|(_, begin, end)| begin < end);
    spans
}

/// A table's changes as those of its versions.
pub(crate) fn versions_of(updates: &Updates) -> Updates {
    let schema = with_versions(&updates.schema());
    let stamp = |time: u64| {
        let time = (time != u64::MAX).then_some(time as i64);
        ScalarValue::TimestampMicrosecond(time, Some("+00:00".into()))
    };
    let mut changes: Vec<(Row, u64, i64)> = Vec::new();
    for (row, begin, end) in spans_of(updates) {
        let version =
            |end: u64| -> Row { row.iter().cloned().chain([stamp(begin), stamp(end)]).collect() };
        changes.push((version(u64::MAX), begin, 1));
        if end != u64::MAX {
            changes.push((version(u64::MAX), end, -1));
            changes.push((version(end), end, 1));
        }
    }
    let rows: Vec<Row> = changes.iter().map(|(row, ..)| row.clone()).collect();
    let times: Vec<u64> = changes.iter().map(|(_, time, _)| *time).collect();
    let diffs: Vec<i64> = changes.iter().map(|(.., diff)| *diff).collect();
    Updates::new(batch_of_rows(&schema, &rows), times, diffs)
}

/// A plan of up to so many operators on a path, with columns of the tables' types alone.
pub(crate) fn random_plan(random: &mut StdRng, depth: u32, scale: Scale) -> Plan {
    let plan = random_root(random, depth, scale);
    let schema = plan.schema();
    let plain = columns_where(&schema, is_plain);
    if plain.is_empty() {
        return random_root(random, 0, scale);
    }
    if plain.len() == schema.fields().len() {
        return plan;
    }
    let exprs = plain.iter().map(|&i| column(&schema, i)).collect();
    let types = plain.iter().map(|&i| ("p", schema.field(i).data_type().clone()));
    let schema = schema_of(types);
    Plan::Project(Box::new(ProjectPlan { input: plan, exprs, schema }))
}

/// Of a type that every operator takes in every place.
fn is_plain(ty: &DataType) -> bool {
    !matches!(ty, DataType::List(_) | DataType::LargeUtf8 | DataType::Interval(_) | DataType::Int16)
}

/// The same with columns of any type.
pub(crate) fn random_root(random: &mut StdRng, depth: u32, scale: Scale) -> Plan {
    if depth == 0 {
        let id = random.random_range(1..3);
        return input(id, &table_schema(id));
    }
    match random.random_range(0..21) {
        0 => random_filter(random, depth, scale),
        1 | 2 => random_project(random, depth, scale),
        3..=5 => random_temporal(random, depth, scale),
        6..=8 => join::random_join(random, depth, scale),
        9..=11 => aggregate::random_aggregate(random, depth, scale),
        12 => set_operation::random_set_operation(random, depth, scale),
        13 => recursive::random_recursive(random, depth, scale),
        14 => session::random_session(random, depth, scale),
        15 => unnest::random_unnest(random, depth, scale),
        16 => random_top_k(random, depth, scale),
        17..=19 => window::random_wide_window(random, depth, scale),
        _ => random_union(random, depth, scale),
    }
}

fn columns_where(schema: &SchemaRef, wanted: impl Fn(&DataType) -> bool) -> Vec<usize> {
    let fields = schema.fields().iter().enumerate();
    fields.filter(|(_, field)| wanted(field.data_type())).map(|(i, _)| i).collect()
}

fn pick<T: Copy>(random: &mut StdRng, from: &[T]) -> Option<T> {
    (!from.is_empty()).then(|| from[random.random_range(0..from.len())])
}

fn column(schema: &SchemaRef, index: usize) -> Expr {
    Arc::new(Column::new(schema.field(index).name(), index))
}

fn random_predicate(random: &mut StdRng, schema: &SchemaRef, scale: Scale) -> Expr {
    let any = random.random_range(0..schema.fields().len());
    let value = random_value(random, schema.field(any).data_type(), scale);
    let comparable =
        !matches!(schema.field(any).data_type(), DataType::Boolean | DataType::List(_));
    if random.random_bool(0.3) || !comparable {
        return Arc::new(IsNotNullExpr::new(column(schema, any)));
    }
    let operator = [Operator::Gt, Operator::LtEq, Operator::NotEq][random.random_range(0..3)];
    let literal = Arc::new(Literal::new(value));
    Arc::new(BinaryExpr::new(column(schema, any), operator, literal))
}

/// A plan whose rows at a key and a time can be found without a replay: rows of a table, or groups
/// of them, that are there for a time.
pub(crate) fn random_probed(random: &mut StdRng, scale: Scale) -> Plan {
    let mut plan = random_plan(random, 0, scale);
    for _ in 0..random.random_range(0..4) {
        plan = match random.random_range(0..6) {
            0 => filter_of(random, plan, scale),
            1 => project_of(random, plan, scale),
            2 => union_of(random, plan, scale),
            _ => temporal_of(random, plan, scale),
        };
    }
    if random.random_bool(0.7) {
        plan = aggregate::aggregate_of(random, plan, scale);
        for _ in 0..random.random_range(0..2) {
            let plain = plan.schema().fields().iter().all(|field| is_plain(field.data_type()));
            plan = match random.random_bool(0.5) && plain {
                true => filter_of(random, plan, scale),
                false => plan,
            };
        }
    }
    plan
}

fn random_filter(random: &mut StdRng, depth: u32, scale: Scale) -> Plan {
    let input = random_plan(random, depth - 1, scale);
    filter_of(random, input, scale)
}

fn filter_of(random: &mut StdRng, input: Plan, scale: Scale) -> Plan {
    let predicate = random_predicate(random, &input.schema(), scale);
    Plan::Filter(Box::new(FilterPlan { input, predicate }))
}

fn random_project(random: &mut StdRng, depth: u32, scale: Scale) -> Plan {
    let input = random_plan(random, depth - 1, scale);
    project_of(random, input, scale)
}

fn project_of(random: &mut StdRng, input: Plan, scale: Scale) -> Plan {
    let schema = input.schema();
    let mut exprs: Vec<Expr> = Vec::new();
    for i in 0..schema.fields().len() {
        if random.random_bool(0.7) {
            exprs.push(column(&schema, i));
        }
    }
    let integers = columns_where(&schema, |ty| matches!(ty, DataType::Int64 | DataType::Int32));
    if let Some(i) = pick(random, &integers) {
        let hundred = match schema.field(i).data_type() {
            DataType::Int64 => ScalarValue::Int64(Some(100)),
            _ => ScalarValue::Int32(Some(100)),
        };
        let literal = Arc::new(Literal::new(hundred));
        let operator = [Operator::Divide, Operator::Multiply][random.random_range(0..2)];
        let expr = BinaryExpr::new(literal, operator, column(&schema, i));
        exprs.push(Arc::new(expr.with_fail_on_overflow(true)));
    }
    if random.random_bool(0.5) {
        exprs.push(random_predicate(random, &schema, scale));
    }
    if exprs.is_empty() {
        exprs.push(column(&schema, 0));
    }
    let types = exprs.iter().map(|expr| expr.data_type(&schema).expect("typed"));
    let schema = schema_of(types.map(|ty| ("p", ty)));
    Plan::Project(Box::new(ProjectPlan { input, exprs, schema }))
}

fn random_temporal(random: &mut StdRng, depth: u32, scale: Scale) -> Plan {
    let input = random_plan(random, depth - 1, scale);
    temporal_of(random, input, scale)
}

fn temporal_of(random: &mut StdRng, input: Plan, scale: Scale) -> Plan {
    let schema = input.schema();
    let stamps = columns_where(&schema, |ty| matches!(ty, DataType::Timestamp(..)));
    if stamps.is_empty() {
        return input;
    }
    let bounds = (0..random.random_range(1..4)).map(|_| Bound {
        edge: [Edge::From, Edge::Until][random.random_range(0..2)],
        strict: random.random_bool(0.5),
        now: match random.random_bool(0.8) {
            true => NowSide::Offset(random.random_range(-20..5) * scale.step),
            false => NowSide::Monotone(Arc::new(Column::new("now", 0))),
        },
        value: column(&schema, pick(random, &stamps).expect("not empty")),
    });
    let bounds = bounds.collect();
    let mode = [TemporalMode::Filter, TemporalMode::Flags][random.random_range(0..2)];
    Plan::Temporal(Box::new(TemporalPlan { input, bounds, mode }))
}

fn random_union(random: &mut StdRng, depth: u32, scale: Scale) -> Plan {
    let first = random_plan(random, depth - 1, scale);
    union_of(random, first, scale)
}

fn union_of(random: &mut StdRng, first: Plan, scale: Scale) -> Plan {
    let schema = first.schema();
    let predicate = random_predicate(random, &schema, scale);
    let second = Plan::Filter(Box::new(FilterPlan { input: first.clone(), predicate }));
    let columns = schema
        .fields()
        .iter()
        .map(|field| random_value(random, field.data_type(), scale).to_array().expect("one value"));
    let rows = batch_of(schema.clone(), columns.collect(), 1);
    let constant = Plan::Constant(ConstantPlan { rows });
    Plan::Union(UnionPlan { inputs: vec![first, second, constant], schema })
}
