//! Tests of [`super`]: streams as text.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use expect_test::{Expect, expect};

use super::{JoinKind, JoinPlan};
use crate::expression::Expr;
use crate::operator::StepContext;
use crate::operator::nested::Nested;
use crate::operator::testing::{check, input, parse, print, run_reporting};
use crate::plan::{Plan, schema_of};
use crate::quarantine::Quarantine;
use crate::state::consolidate::consolidate;
use crate::time::CollectionId;

fn side(name: &str) -> SchemaRef {
    schema_of([("k", DataType::Int64), (name, DataType::Utf8), ("v", DataType::Int64)])
}

/// Left and right rows of a key, a name and a number.
fn plan(kind: JoinKind, keys: &[usize]) -> JoinPlan {
    let (left, right) = (side("l"), side("r"));
    let both = left.fields().iter().chain(right.fields());
    let schema = match kind {
        JoinKind::Semi | JoinKind::Anti => left.clone(),
        _ => schema_of(both.map(|field| (field.name().as_str(), field.data_type().clone()))),
    };
    JoinPlan {
        left: input(1, &left),
        right: input(2, &right),
        left_keys: keys.to_vec(),
        right_keys: keys.to_vec(),
        null_equal: vec![false; keys.len()],
        condition: None,
        kind,
        schema,
    }
}

/// Condition: l.v `operator` r.v.
fn compared(operator: Operator) -> Expr {
    let column = |index| Arc::new(Column::new("v", index));
    Arc::new(BinaryExpr::new(column(2), operator, column(5)))
}

/// Also that nothing comes and goes at one time.
fn check_join(plan: JoinPlan, left: &str, right: &str, expected: Expect) {
    let plan = Plan::Join(Box::new(plan));
    check(&plan, &[(1, left), (2, right)], expected);
    let inputs =
        [(CollectionId(1), parse(&side("l"), left)), (CollectionId(2), parse(&side("r"), right))];
    let output = run_reporting(&plan, &inputs.into(), &[]).0;
    assert_eq!(output.len(), consolidate(output).len());
}

#[test]
fn both_sides_change_at_one_time() {
    check_join(
        plan(JoinKind::Inner, &[0]),
        "+ 1 a 0 @1\n- 1 a 0 @3\n+ 2 a 0 @3\n+ NULL n 0 @1",
        "+ 1 x 0 @1\n+2 2 y 0 @3\n+ NULL n 0 @1",
        expect![[r#"
            + 1 a 0 1 x 0 @1
            - 1 a 0 1 x 0 @3
            +2 2 a 0 2 y 0 @3
        "#]],
    );
}

#[test]
fn a_key_leaves_and_comes_back() {
    check_join(
        plan(JoinKind::Inner, &[0]),
        "+ 1 a 0 @1\n- 1 a 0 @2\n+ 1 b 0 @4",
        "+ 1 x 0 @1\n- 1 x 0 @3\n+ 1 y 0 @4\n+ 1 x 0 @5",
        expect![[r#"
            + 1 a 0 1 x 0 @1
            - 1 a 0 1 x 0 @2
            + 1 b 0 1 y 0 @4
            + 1 b 0 1 x 0 @5
        "#]],
    );
}

/// A table's rows beside those of equal key, both sides from one input.
fn of_itself(keys: &[usize]) -> JoinPlan {
    let own = side("l");
    let both = own.fields().iter().chain(own.fields());
    let schema = schema_of(both.map(|field| (field.name().as_str(), field.data_type().clone())));
    JoinPlan { left: input(1, &own), right: input(1, &own), schema, ..plan(JoinKind::Inner, keys) }
}

#[test]
fn rows_meet_themselves_and_others() {
    check(
        &Plan::Join(Box::new(of_itself(&[0]))),
        &[(1, "+ 1 a 0 @1\n+ NULL n 0 @1\n+ 1 b 0 @2\n- 1 a 0 @3\n+ 1 b 0 @3\n-2 1 b 0 @4")],
        expect![[r#"
            + 1 a 0 1 a 0 @1
            + 1 a 0 1 b 0 @2
            + 1 b 0 1 a 0 @2
            + 1 b 0 1 b 0 @2
            - 1 a 0 1 a 0 @3
            - 1 a 0 1 b 0 @3
            - 1 b 0 1 a 0 @3
            +3 1 b 0 1 b 0 @3
            -4 1 b 0 1 b 0 @4
        "#]],
    );
}

/// Beside the same join of two inputs that are not known to be one.
#[test]
fn rows_of_a_join_of_one_input_are_kept_once() {
    let kept = |mut plan: JoinPlan, apart: bool| {
        let rows = parse(&side("l"), "+ 1 a 0 @1\n+ 1 b 0 @1\n+ 2 c 0 @1");
        if apart {
            plan.right = input(2, &side("l"));
        }
        let mut join = Nested::new(&Plan::Join(Box::new(plan)));
        let (view, quarantine) = (CollectionId(0), &Quarantine::default());
        let context = StepContext { lower: 0, upper: 2, view, quarantine };
        let pairs = join.step(&context, &mut |_| Some(rows.clone()));
        (pairs.len(), join.state().rows)
    };
    let mut outer = of_itself(&[0]);
    outer.kind = JoinKind::Left;
    assert_eq!(kept(of_itself(&[0]), false), (5, 3));
    assert_eq!(kept(of_itself(&[0]), true), (5, 6));
    assert_eq!(kept(outer, false), (5, 6));
}

#[test]
fn without_keys_every_pair() {
    check_join(
        plan(JoinKind::Inner, &[]),
        "+ 1 a 0 @1\n+ NULL b 0 @2",
        "+ 7 x 0 @1\n- 7 x 0 @3",
        expect![[r#"
            + 1 a 0 7 x 0 @1
            + NULL b 0 7 x 0 @2
            - 1 a 0 7 x 0 @3
            - NULL b 0 7 x 0 @3
        "#]],
    );
}

#[test]
fn multiplicities_multiply() {
    check_join(
        plan(JoinKind::Full, &[0]),
        "+2 1 a 0 @1\n-2 1 a 0 @4",
        "+3 1 x 0 @2\n-2 1 x 0 @3",
        expect![[r#"
            +2 1 a 0 NULL NULL NULL @1
            -2 1 a 0 NULL NULL NULL @2
            +6 1 a 0 1 x 0 @2
            -4 1 a 0 1 x 0 @3
            -2 1 a 0 1 x 0 @4
            + NULL NULL NULL 1 x 0 @4
        "#]],
    );
}

#[test]
fn the_last_match_of_an_outer_join_is_removed() {
    check_join(
        plan(JoinKind::Left, &[0]),
        "+ 1 a 0 @1\n+ 1 b 0 @1",
        "+ 1 x 0 @2\n+ 1 y 0 @2\n- 1 x 0 @3\n- 1 y 0 @4",
        expect![[r#"
            + 1 a 0 NULL NULL NULL @1
            + 1 b 0 NULL NULL NULL @1
            - 1 a 0 NULL NULL NULL @2
            - 1 b 0 NULL NULL NULL @2
            + 1 a 0 1 x 0 @2
            + 1 a 0 1 y 0 @2
            + 1 b 0 1 x 0 @2
            + 1 b 0 1 y 0 @2
            - 1 a 0 1 x 0 @3
            - 1 b 0 1 x 0 @3
            - 1 a 0 1 y 0 @4
            - 1 b 0 1 y 0 @4
            + 1 a 0 NULL NULL NULL @4
            + 1 b 0 NULL NULL NULL @4
        "#]],
    );
}

#[test]
fn a_partner_is_replaced_at_one_time() {
    check_join(
        plan(JoinKind::Left, &[0]),
        "+ 1 a 0 @1",
        "+ 1 x 0 @1\n- 1 x 0 @2\n+ 1 y 0 @2",
        expect![[r#"
            + 1 a 0 1 x 0 @1
            - 1 a 0 1 x 0 @2
            + 1 a 0 1 y 0 @2
        "#]],
    );
}

#[test]
fn the_key_changes_and_the_old_partner_is_deleted_at_one_time() {
    check_join(
        plan(JoinKind::Full, &[0]),
        "+ 1 a 0 @1\n- 1 a 0 @2\n+ 2 a 0 @2",
        "+ 1 x 0 @1\n+ 2 y 0 @1\n- 1 x 0 @2",
        expect![[r#"
            + 1 a 0 1 x 0 @1
            + NULL NULL NULL 2 y 0 @1
            - 1 a 0 1 x 0 @2
            - NULL NULL NULL 2 y 0 @2
            + 2 a 0 2 y 0 @2
        "#]],
    );
}

#[test]
fn a_row_and_its_first_partner_come_and_go_together() {
    check_join(
        plan(JoinKind::Full, &[0]),
        "+ 1 a 0 @1\n- 1 a 0 @2\n+ 2 b 0 @3",
        "+ 1 x 0 @1\n- 1 x 0 @2\n+ 3 y 0 @3",
        expect![[r#"
            + 1 a 0 1 x 0 @1
            - 1 a 0 1 x 0 @2
            + 2 b 0 NULL NULL NULL @3
            + NULL NULL NULL 3 y 0 @3
        "#]],
    );
}

#[test]
fn what_goes_does_not_meet_what_comes() {
    check_join(
        plan(JoinKind::Inner, &[0]),
        "+ 1 a 0 @1\n- 1 a 0 @2\n+ 1 b 0 @2\n- 1 b 0 @3\n+ 1 c 0 @4",
        "+ 1 x 0 @1\n- 1 x 0 @2\n+ 1 y 0 @2\n+ 1 z 0 @3\n- 1 y 0 @4",
        expect![[r#"
            + 1 a 0 1 x 0 @1
            - 1 a 0 1 x 0 @2
            + 1 b 0 1 y 0 @2
            - 1 b 0 1 y 0 @3
            + 1 c 0 1 z 0 @4
        "#]],
    );
}

#[test]
fn rows_with_a_null_key_are_alone() {
    check_join(
        plan(JoinKind::Full, &[0]),
        "+ NULL a 0 @1\n- NULL a 0 @3",
        "+2 NULL x 0 @2",
        expect![[r#"
            + NULL a 0 NULL NULL NULL @1
            +2 NULL NULL NULL NULL x 0 @2
            - NULL a 0 NULL NULL NULL @3
        "#]],
    );
    check_join(
        plan(JoinKind::Anti, &[0]),
        "+ NULL a 0 @1\n- NULL a 0 @3",
        "+ NULL x 0 @1",
        expect![[r#"
            + NULL a 0 @1
            - NULL a 0 @3
        "#]],
    );
    check_join(plan(JoinKind::Semi, &[0]), "+ NULL a 0 @1", "+ NULL x 0 @1", expect![""]);
}

#[test]
fn nulls_match_where_they_are_equal() {
    check_join(
        JoinPlan { null_equal: vec![true], ..plan(JoinKind::Full, &[0]) },
        "+ NULL a 0 @1",
        "+ NULL x 0 @2\n+ 1 y 0 @2",
        expect![[r#"
            + NULL a 0 NULL NULL NULL @1
            - NULL a 0 NULL NULL NULL @2
            + NULL NULL NULL 1 y 0 @2
            + NULL a 0 NULL x 0 @2
        "#]],
    );
}

#[test]
fn semi_and_anti_follow_the_key_s_last_row() {
    let left = "+2 1 a 0 @1\n+ 2 b 0 @1\n- 1 a 0 @4";
    let right = "+3 1 x 0 @2\n-2 1 x 0 @3\n- 1 x 0 @5\n+ 1 y 0 @5\n- 1 y 0 @6";
    check_join(
        plan(JoinKind::Semi, &[0]),
        left,
        right,
        expect![[r#"
            +2 1 a 0 @2
            - 1 a 0 @4
            - 1 a 0 @6
        "#]],
    );
    check_join(
        plan(JoinKind::Anti, &[0]),
        left,
        right,
        expect![[r#"
            + 2 b 0 @1
            +2 1 a 0 @1
            -2 1 a 0 @2
            + 1 a 0 @6
        "#]],
    );
}

#[test]
fn partners_are_those_for_which_the_condition_is_true() {
    let left = "+ 1 a 5 @1\n+ 1 b 1 @1\n+ 1 n NULL @1";
    let right = "+ 1 x 3 @2\n+ 1 y 4 @3\n- 1 x 3 @4\n- 1 y 4 @5\n+ 1 n NULL @5";
    let conditional = |kind| {
        let condition = Some(compared(Operator::Gt));
        JoinPlan { condition, ..plan(kind, &[0]) }
    };
    check_join(
        conditional(JoinKind::Full),
        left,
        right,
        expect![[r#"
            + 1 a 5 NULL NULL NULL @1
            + 1 b 1 NULL NULL NULL @1
            + 1 n NULL NULL NULL NULL @1
            - 1 a 5 NULL NULL NULL @2
            + 1 a 5 1 x 3 @2
            + 1 a 5 1 y 4 @3
            - 1 a 5 1 x 3 @4
            - 1 a 5 1 y 4 @5
            + 1 a 5 NULL NULL NULL @5
            + NULL NULL NULL 1 n NULL @5
        "#]],
    );
    check_join(
        conditional(JoinKind::Semi),
        left,
        right,
        expect![[r#"
            + 1 a 5 @2
            - 1 a 5 @5
        "#]],
    );
    check_join(
        conditional(JoinKind::Anti),
        left,
        right,
        expect![[r#"
            + 1 a 5 @1
            + 1 b 1 @1
            + 1 n NULL @1
            - 1 a 5 @2
            + 1 a 5 @5
        "#]],
    );
}

#[test]
fn a_pair_for_which_the_condition_fails_is_no_match_and_is_reported() {
    // 6 / (l.v - r.v) > 0
    let number = |number| Arc::new(Literal::new(ScalarValue::Int64(Some(number))));
    let share = BinaryExpr::new(number(6), Operator::Divide, compared(Operator::Minus));
    let condition: Expr = Arc::new(BinaryExpr::new(Arc::new(share), Operator::Gt, number(0)));
    let join = JoinPlan { condition: Some(condition), ..plan(JoinKind::Left, &[]) };
    let left = "+2 1 a 3 @1\n- 1 a 3 @5";
    let right = "+ 1 x 3 @2\n+ 1 y 2 @3\n- 1 y 2 @4\n+ 1 z 3 @4";
    let inputs: HashMap<CollectionId, _> =
        [(CollectionId(1), parse(&side("l"), left)), (CollectionId(2), parse(&side("r"), right))]
            .into();
    let (output, errors) = run_reporting(&Plan::Join(Box::new(join)), &inputs, &[]);
    expect![[r#"
        +2 1 a 3 NULL NULL NULL @1
        -2 1 a 3 NULL NULL NULL @3
        +2 1 a 3 1 y 2 @3
        -2 1 a 3 1 y 2 @4
        +2 1 a 3 NULL NULL NULL @4
        - 1 a 3 NULL NULL NULL @5
    "#]]
    .assert_eq(&print(output));
    assert_eq!(errors, [("division by zero".to_string(), 2)].into());
}

#[test]
fn a_plan_says_what_it_does() {
    let join = JoinPlan {
        null_equal: vec![false, true],
        condition: Some(compared(Operator::Gt)),
        ..plan(JoinKind::Left, &[0, 1])
    };
    expect!["Left join [k = k, l is not distinct from r] where v@2 > v@5"]
        .assert_eq(&join.to_string());
    expect!["Join [k = k] both sides kept once"].assert_eq(&of_itself(&[0]).to_string());
    expect!["Anti join every pair"].assert_eq(&plan(JoinKind::Anti, &[]).to_string());
}
