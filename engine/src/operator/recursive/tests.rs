//! Tests of [`super`]: graphs as text.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use expect_test::expect;

use super::{ENDLESS, RecursivePlan};
use crate::expression::Expr;
use crate::operator::testing::{check, input, parse, run_reporting};
use crate::plan::{
    Bound, Edge, FilterPlan, JoinKind, JoinPlan, NowSide, Plan, ProjectPlan, TemporalMode,
    TemporalPlan, schema_of,
};
use crate::time::CollectionId;

const EDGES: u64 = 1;
const ROOTS: u64 = 2;
const ITSELF: u64 = 77;

fn edges() -> SchemaRef {
    schema_of([("a", DataType::Int64), ("b", DataType::Int64)])
}

fn nodes() -> SchemaRef {
    schema_of([("n", DataType::Int64)])
}

fn column(schema: &SchemaRef, index: usize) -> Expr {
    Arc::new(Column::new(schema.field(index).name(), index))
}

/// The ends of the edges that begin in R, from `edges`, whose first columns are a and b.
fn ends(edges: Plan) -> Plan {
    let own = edges.schema();
    let columns = nodes().fields().iter().chain(own.fields()).cloned().collect::<Vec<_>>();
    let schema = Arc::new(arrow::datatypes::Schema::new(columns));
    let join = Plan::Join(Box::new(JoinPlan {
        left: input(ITSELF, &nodes()),
        right: edges,
        left_keys: vec![0],
        right_keys: vec![0],
        null_equal: vec![false],
        condition: None,
        kind: JoinKind::Inner,
        schema: schema.clone(),
    }));
    let exprs = vec![column(&schema, 2)];
    Plan::Project(Box::new(ProjectPlan { input: join, exprs, schema: nodes() }))
}

fn recursive(base: Plan, step: Plan, distinct: bool) -> Plan {
    let itself = CollectionId(ITSELF);
    Plan::Recursive(Box::new(RecursivePlan { itself, base, step, distinct, schema: nodes() }))
}

/// What can be reached from the roots.
fn reachable(distinct: bool) -> Plan {
    recursive(input(ROOTS, &nodes()), ends(input(EDGES, &edges())), distinct)
}

#[test]
fn a_cycle_does_not_keep_itself_alive() {
    check(
        &reachable(true),
        &[(EDGES, "+ 1 2 @1\n+ 2 3 @1\n+ 3 2 @1\n- 1 2 @3"), (ROOTS, "+ 1 @2")],
        expect![[r#"
            + 1 @2
            + 2 @2
            + 3 @2
            - 2 @3
            - 3 @3
        "#]],
    );
}

#[test]
fn a_cycle_closed_as_its_last_root_goes_is_not_in() {
    // The support of 2 is as great after the change as before it.
    for distinct in [true, false] {
        check(
            &reachable(distinct),
            &[(EDGES, "+ 1 2 @1\n- 1 2 @2\n+ 2 2 @2"), (ROOTS, "+ 1 @1")],
            expect![[r#"
                + 1 @1
                + 2 @1
                - 2 @2
            "#]],
        );
        check(
            &reachable(distinct),
            &[(EDGES, "+ 1 2 @1\n+ 2 3 @2\n+ 3 2 @2"), (ROOTS, "+ 1 @1\n- 1 @2")],
            expect![[r#"
                + 1 @1
                + 2 @1
                - 1 @2
                - 2 @2
            "#]],
        );
    }
}

#[test]
fn what_has_another_way_stays() {
    check(
        &reachable(true),
        &[
            (EDGES, "+ 1 2 @1\n+ 2 3 @1\n+ 1 3 @1\n+ 3 4 @1\n- 2 3 @2\n- 1 3 @3"),
            (ROOTS, "+ 1 @1\n+2 4 @1\n- 4 @2"),
        ],
        expect![[r#"
            + 1 @1
            + 2 @1
            + 3 @1
            + 4 @1
            - 3 @3
        "#]],
    );
}

#[test]
fn of_multisets_every_way_counts() {
    check(
        &reachable(false),
        &[(EDGES, "+ 1 2 @1\n+ 1 3 @1\n+ 2 4 @1\n+ 3 4 @1\n+ 4 5 @2\n- 1 3 @3"), (ROOTS, "+ 1 @1")],
        expect![[r#"
            + 1 @1
            + 2 @1
            + 3 @1
            +2 4 @1
            +2 5 @2
            - 3 @3
            - 4 @3
            - 5 @3
        "#]],
    );
}

#[test]
fn a_recursion_without_end_is_empty_and_reported_until_it_has_one() {
    let plan = reachable(false);
    check(
        &plan,
        &[(EDGES, "+ 1 2 @1\n+ 2 1 @2\n+ 2 3 @3\n- 2 1 @4"), (ROOTS, "+ 1 @1")],
        expect![[r#"
            + 1 @1
            + 2 @1
            - 1 @2
            - 2 @2
            + 1 @4
            + 2 @4
            + 3 @4
        "#]],
    );
    let text = "+ 1 2 @1\n+ 2 1 @2\n- 2 1 @4\n+ 2 2 @6";
    let inputs = |until: u64| {
        let lines = text.lines().filter(|line| line.ends_with(&format!("@{until}")) || until > 6);
        let lines: String = lines.map(|line| format!("{line}\n")).collect();
        [
            (CollectionId(EDGES), parse(&edges(), &lines)),
            (CollectionId(ROOTS), parse(&nodes(), "+ 1 @1")),
        ]
        .into()
    };
    assert_eq!(run_reporting(&plan, &inputs(1), &[]).1, [].into());
    assert_eq!(run_reporting(&plan, &inputs(9), &[]).1, [(ENDLESS.to_string(), 1)].into());
}

#[test]
fn new_rows_without_end_are_cut_too() {
    let one = Arc::new(Literal::new(ScalarValue::Int64(Some(1))));
    let sum = BinaryExpr::new(column(&nodes(), 0), Operator::Plus, one);
    let exprs: Vec<Expr> = vec![Arc::new(sum.with_fail_on_overflow(true))];
    let next = ProjectPlan { input: input(ITSELF, &nodes()), exprs, schema: nodes() };
    let next = Plan::Project(Box::new(next));
    let limit = Arc::new(Literal::new(ScalarValue::Int64(Some(4))));
    let below = Arc::new(BinaryExpr::new(column(&nodes(), 0), Operator::Lt, limit));
    let bounded = Plan::Filter(Box::new(FilterPlan { input: next.clone(), predicate: below }));
    check(
        &recursive(input(ROOTS, &nodes()), next, true),
        &[(ROOTS, "+ 1 @1\n- 1 @2")],
        expect![""],
    );
    check(
        &recursive(input(ROOTS, &nodes()), bounded, true),
        &[(ROOTS, "+ 1 @1\n- 1 @2\n+ 3 @2")],
        expect![[r#"
            + 1 @1
            + 2 @1
            + 3 @1
            - 1 @2
            - 2 @2
        "#]],
    );
}

#[test]
fn zeros_are_one_row_in_a_set() {
    let floats = schema_of([("x", DataType::Float64)]);
    let base = input(ROOTS, &floats);
    let (itself, step) = (CollectionId(ITSELF), input(ITSELF, &floats));
    let plan = RecursivePlan { itself, base, step, distinct: true, schema: floats };
    check(
        &Plan::Recursive(Box::new(plan)),
        &[(ROOTS, "+ -0.0 @1\n+ 0.0 @1\n+ NaN @1\n- -0.0 @2\n- 0.0 @3")],
        expect![[r#"
            + 0.0 @1
            + NaN @1
            - 0.0 @3
        "#]],
    );
}

/// The rows of `input` until the time in its column `until`.
fn within(input: Plan) -> Plan {
    let until = input.schema().index_of("until").expect("it has one");
    let value = column(&input.schema(), until);
    let bounds = vec![Bound { edge: Edge::Until, strict: false, now: NowSide::Offset(0), value }];
    Plan::Temporal(Box::new(TemporalPlan { input, bounds, mode: TemporalMode::Filter }))
}

fn stamp(micros: u64) -> String {
    format!("1970-01-01T00:00:00.{micros:06}")
}

#[test]
fn time_alone_ends_a_recursion_without_end() {
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let schema = schema_of([("n", DataType::Int64), ("until", micros)]);
    let (base, step) = (input(ROOTS, &schema), within(input(ITSELF, &schema)));
    let itself = CollectionId(ITSELF);
    let plan = RecursivePlan { itself, base, step, distinct: false, schema };
    let (five, nine) = (stamp(5), stamp(9));
    check(
        &Plan::Recursive(Box::new(plan)),
        &[(ROOTS, &format!("+ 1 {five} @1\n+ 2 {nine} @3\n- 2 {nine} @20"))],
        expect![[r#"
            + 1 1970-01-01T00:00:00.000005 @9
            + 2 1970-01-01T00:00:00.000009 @9
            - 2 1970-01-01T00:00:00.000009 @20
        "#]],
    );
}

#[test]
fn edges_of_a_step_expire_at_their_exact_times() {
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let dated = schema_of([("a", DataType::Int64), ("b", DataType::Int64), ("until", micros)]);
    let outside = ends(within(input(EDGES, &dated)));
    // The same above the join: where the step depends on R.
    let Plan::Project(mut project) = ends(input(EDGES, &dated)) else { unreachable!("made so") };
    project.input = within(project.input);
    let inside = Plan::Project(project);
    let (five, nine) = (stamp(5), stamp(9));
    let stream = format!("+ 1 2 {nine} @1\n+ 2 3 {five} @1\n+ 3 2 {nine} @1\n+ 1 3 {five} @1");
    for step in [outside, inside] {
        check(
            &recursive(input(ROOTS, &nodes()), step, true),
            &[(EDGES, &stream), (ROOTS, "+ 1 @2\n- 1 @20\n+ 3 @20")],
            expect![[r#"
                + 1 @2
                + 2 @2
                + 3 @2
                - 3 @5
                - 2 @9
                - 1 @20
                + 3 @20
            "#]],
        );
    }
}

#[test]
fn a_printed_recursion_names_itself() {
    let plan = reachable(true);
    assert_eq!(plan.reads(), [CollectionId(EDGES), CollectionId(ROOTS)].into());
    expect![[r#"
        Recursive #77 distinct -> (n)
          Input #2 -> (n)
          Project [b@2] -> (n)
            Join [n = a] -> (n, a, b)
              Input itself -> (n)
              Input #1 -> (a, b)
    "#]]
    .assert_eq(&plan.to_string());
}
