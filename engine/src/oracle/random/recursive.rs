//! Random recursions: what can be reached in a graph of random edges, in sets, pairs or so many
//! steps; and now and then one without end.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, Literal};
use rand::Rng;
use rand::rngs::StdRng;

use super::{Scale, column, columns_where, pick, random_plan};
use crate::expression::Expr;
use crate::operator::testing::input;
use crate::oracle::batch_of_rows;
use crate::plan::{
    Bound, ConstantPlan, Edge, FilterPlan, JoinKind, JoinPlan, NowSide, Plan, ProjectPlan,
    RecursivePlan, TemporalMode, TemporalPlan, UnionPlan, schema_of,
};
use crate::time::CollectionId;

const ITSELF: u64 = 1 << 40;

pub(super) fn random_recursive(random: &mut StdRng, depth: u32, scale: Scale) -> Plan {
    match random.random_range(0..10) {
        0 => endless(random, scale),
        1..=3 => counted(random, scale),
        4..=6 => reachable(random, depth, scale),
        _ => closure(random, depth, scale),
    }
}

fn integers<const N: usize>(names: [&str; N]) -> SchemaRef {
    schema_of(names.map(|name| (name, DataType::Int64)))
}

fn literal(value: i64) -> Expr {
    Arc::new(Literal::new(ScalarValue::Int64(Some(value))))
}

fn binary(left: Expr, operator: Operator, right: Expr) -> Expr {
    Arc::new(BinaryExpr::new(left, operator, right).with_fail_on_overflow(true))
}

fn project(input: Plan, exprs: Vec<Expr>, schema: &SchemaRef) -> Plan {
    Plan::Project(Box::new(ProjectPlan { input, exprs, schema: schema.clone() }))
}

fn recursive(base: Plan, step: Plan, distinct: bool, schema: SchemaRef) -> Plan {
    let itself = CollectionId(ITSELF);
    Plan::Recursive(Box::new(RecursivePlan { itself, base, step, distinct, schema }))
}

/// A random integer column of `plan` as bigint.
fn integer(random: &mut StdRng, plan: &Plan) -> Expr {
    let schema = plan.schema();
    let integers = columns_where(&schema, |ty| matches!(ty, DataType::Int64 | DataType::Int32));
    match pick(random, &integers) {
        Some(index) => Arc::new(CastExpr::new(column(&schema, index), DataType::Int64, None)),
        None => literal(random.random_range(0..4)),
    }
}

/// (a, b, at): edges with a time.
fn edges(random: &mut StdRng, depth: u32, scale: Scale) -> Plan {
    let input = random_plan(random, depth, scale);
    let schema = input.schema();
    let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
    let at: Expr = match pick(random, &columns_where(&schema, |ty| *ty == zoned)) {
        Some(index) => column(&schema, index),
        None => Arc::new(Literal::new(ScalarValue::try_from(&zoned).expect("it has a NULL"))),
    };
    let exprs = vec![integer(random, &input), integer(random, &input), at];
    let columns = [("a", DataType::Int64), ("b", DataType::Int64), ("at", zoned)];
    project(input, exprs, &schema_of(columns))
}

fn nodes(random: &mut StdRng, depth: u32, scale: Scale) -> Plan {
    if random.random_bool(0.2) {
        let rows = [vec![ScalarValue::Int64(Some(random.random_range(0..4)))]];
        return Plan::Constant(ConstantPlan { rows: batch_of_rows(&integers(["n"]), &rows) });
    }
    let input = random_plan(random, depth, scale);
    let node = integer(random, &input);
    let nodes = project(input, vec![node], &integers(["n"]));
    let wanted = random.random_range(0..4);
    let predicate = binary(column(&nodes.schema(), 0), Operator::Eq, literal(wanted));
    Plan::Filter(Box::new(FilterPlan { input: nodes, predicate }))
}

/// R beside the edges that begin in its column `end`; the time of an edge now and then matters.
fn beside_edges(
    random: &mut StdRng,
    itself: &SchemaRef,
    end: usize,
    edges: Plan,
    scale: Scale,
) -> Plan {
    let own = edges.schema();
    let fields = itself.fields().iter().chain(own.fields());
    let schema = schema_of(fields.map(|field| (field.name().as_str(), field.data_type().clone())));
    let join = Plan::Join(Box::new(JoinPlan {
        left: input(ITSELF, itself),
        right: edges,
        left_keys: vec![end],
        right_keys: vec![0],
        null_equal: vec![false],
        condition: None,
        kind: JoinKind::Inner,
        schema: schema.clone(),
    }));
    match random.random_bool(0.5) {
        true => join,
        false => dated(random, join, itself.fields().len() + 2, scale),
    }
}

/// The nodes to be reached from some; a node's number may be another's by a division, or fail.
fn reachable(random: &mut StdRng, depth: u32, scale: Scale) -> Plan {
    let schema = integers(["n"]);
    let edges = edges(random, depth - 1, scale);
    let joined = beside_edges(random, &schema, 0, edges, scale);
    let end = column(&joined.schema(), 2);
    let end = match random.random_bool(0.3) {
        true => binary(literal(3), Operator::Divide, end),
        false => end,
    };
    let mut step = project(joined, vec![end], &schema);
    if random.random_bool(0.2) {
        let inputs = vec![nodes(random, 0, scale), step];
        step = Plan::Union(UnionPlan { inputs, schema: schema.clone() });
    }
    recursive(nodes(random, depth - 1, scale), step, true, schema)
}

/// Pairs of nodes with a way from one to the other.
fn closure(random: &mut StdRng, depth: u32, scale: Scale) -> Plan {
    let schema = integers(["a", "b"]);
    let edges = edges(random, depth - 1, scale);
    let ends =
        |plan: &Plan, end: usize| vec![column(&plan.schema(), 0), column(&plan.schema(), end)];
    let base = project(edges.clone(), ends(&edges, 1), &schema);
    let joined = beside_edges(random, &schema, 1, edges, scale);
    let exprs = ends(&joined, 3);
    let step = project(joined, exprs, &schema);
    recursive(base, step, true, schema)
}

/// Ways of so many edges: multisets, with an end in every graph.
fn counted(random: &mut StdRng, scale: Scale) -> Plan {
    let schema = integers(["n", "length"]);
    let nodes = nodes(random, 0, scale);
    let base = vec![column(&nodes.schema(), 0), literal(0)];
    let base = project(nodes, base, &schema);
    let edges = edges(random, 0, scale);
    let joined = beside_edges(random, &schema, 0, edges, scale);
    let length = binary(column(&joined.schema(), 1), Operator::Plus, literal(1));
    let exprs = vec![column(&joined.schema(), 3), length];
    let step = project(joined, exprs, &schema);
    let short = binary(column(&schema, 1), Operator::LtEq, literal(2));
    let step = Plan::Filter(Box::new(FilterPlan { input: step, predicate: short }));
    let distinct = random.random_bool(0.3);
    recursive(base, step, distinct, schema)
}

/// Without end while there is a node, or an edge whose time has not come.
fn endless(random: &mut StdRng, scale: Scale) -> Plan {
    let base = match random.random_bool(0.5) {
        true => nodes(random, 0, scale),
        false => edges(random, 0, scale),
    };
    let schema = base.schema();
    let step = match schema.fields().len() {
        1 => input(ITSELF, &schema),
        _ => dated(random, input(ITSELF, &schema), 2, scale),
    };
    recursive(base, step, false, schema)
}

/// Its rows while bounds of the time in column `time` hold.
fn dated(random: &mut StdRng, input: Plan, time: usize, scale: Scale) -> Plan {
    let schema = input.schema();
    let bounds = (0..random.random_range(1..3)).map(|_| Bound {
        edge: [Edge::From, Edge::Until][random.random_range(0..2)],
        strict: random.random_bool(0.5),
        now: NowSide::Offset(random.random_range(-20..5) * scale.step),
        value: column(&schema, time),
    });
    let bounds = bounds.collect();
    Plan::Temporal(Box::new(TemporalPlan { input, bounds, mode: TemporalMode::Filter }))
}
