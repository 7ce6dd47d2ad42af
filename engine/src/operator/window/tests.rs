//! Tests of [`super`]: streams as text.

use std::collections::HashMap;

use arrow::datatypes::{DataType, IntervalMonthDayNano, TimeUnit};
use datafusion::common::ScalarValue;
use expect_test::expect;

use super::{
    Exclude, Frame, FrameBound, FrameUnits, Window, WindowCall, WindowFunction, WindowPlan,
};
use crate::aggregate::aggregate_function;
use crate::operator::testing::{check, input, parse, print, run_reporting};
use crate::operator::{Operator, StepContext};
use crate::plan::{Plan, SortKey, schema_of};
use crate::quarantine::Quarantine;
use crate::time::CollectionId;

const BIGINT: DataType = DataType::Int64;

/// A window over `k` (text), `o` (bigint, the order), `v` (bigint), partitioned by `k`.
fn window(calls: Vec<(WindowCall, DataType)>) -> WindowPlan {
    let columns = [("k", DataType::Utf8), ("o", BIGINT), ("v", BIGINT)];
    let all = columns.clone().into_iter().chain(calls.iter().map(|(_, ty)| ("w", ty.clone())));
    WindowPlan {
        input: input(1, &schema_of(columns.clone())),
        partition: vec![0],
        order: vec![SortKey::ascending(1)],
        tie_break: vec![SortKey::ascending(2)],
        schema: schema_of(all),
        calls: calls.into_iter().map(|(call, _)| call).collect(),
    }
}

fn planned(calls: Vec<(WindowCall, DataType)>) -> Plan {
    Plan::Window(Box::new(window(calls)))
}

fn frame(units: FrameUnits, start: FrameBound, end: FrameBound) -> Frame {
    Frame { units, start, end, exclude: Exclude::NoOthers }
}

/// The frame where none is written.
fn running() -> Frame {
    frame(FrameUnits::Range, FrameBound::UnboundedPreceding, FrameBound::CurrentRow)
}

fn rows(before: i64, behind: i64) -> Frame {
    let offset = |offset| ScalarValue::Int64(Some(offset));
    let (start, end) =
        (FrameBound::Preceding(offset(before)), FrameBound::Following(offset(behind)));
    frame(FrameUnits::Rows, start, end)
}

fn call(function: WindowFunction, arguments: &[usize], frame: Frame) -> WindowCall {
    WindowCall {
        function,
        arguments: arguments.to_vec(),
        parameters: vec![],
        filter: None,
        frame,
        ignore_nulls: false,
    }
}

fn aggregate(name: &str, frame: Frame) -> WindowCall {
    let function = aggregate_function(name).expect("there is one");
    call(WindowFunction::Aggregate(function), &[2], frame)
}

fn ranks() -> Vec<(WindowCall, DataType)> {
    [WindowFunction::RowNumber, WindowFunction::Rank, WindowFunction::DenseRank]
        .map(|function| (call(function, &[], running()), BIGINT))
        .into()
}

/// How many rows of a partition of 1000 rows are emitted and looked at for one more row in the
/// middle, after the partition came in at once.
fn cost(plan: &WindowPlan, o: i64) -> (usize, usize) {
    cost_of(plan, |o| o % 7, &["+ a 5001 1", &format!("+ a {o} 3")])
}

/// The same of the last of some changes; `v` gives the 1000 rows' values.
fn cost_of(plan: &WindowPlan, v: fn(i64) -> i64, changes: &[&str]) -> (usize, usize) {
    let Plan::Input(table) = &plan.input else { unreachable!("made of an input") };
    let quarantine = Quarantine::default();
    let mut operator = Window::new(plan);
    let mut step = |time: u64, text: &str| {
        let context = StepContext {
            lower: time,
            upper: time + 1,
            view: CollectionId(0),
            quarantine: &quarantine,
        };
        operator.looked = 0;
        let out = operator.step(&context, vec![parse(&table.schema, text)]);
        (out.len(), operator.looked)
    };
    let load: String = (0..1000).map(|o| format!("+ a {} {} @1\n", o * 10, v(o))).collect();
    step(1, &load);
    let mut last = (0, 0);
    for (time, change) in (2..).zip(changes) {
        let text: String = change.lines().map(|line| format!("{line} @{time}\n")).collect();
        last = step(time, &text);
    }
    last
}

#[test]
fn equal_rows_are_numbered_apart() {
    check(
        &planned(ranks()),
        &[(1, "+2 a 1 7 @1\n+ a 2 7 @1\n+ a 1 8 @2\n- a 1 7 @3\n- a 1 7 @4\n- a 1 8 @4")],
        expect![[r#"
            + a 1 7 1 1 1 @1
            + a 1 7 2 1 1 @1
            + a 2 7 3 3 2 @1
            - a 2 7 3 3 2 @2
            + a 1 8 3 1 1 @2
            + a 2 7 4 4 2 @2
            - a 1 7 2 1 1 @3
            - a 1 8 3 1 1 @3
            - a 2 7 4 4 2 @3
            + a 1 8 2 1 1 @3
            + a 2 7 3 3 2 @3
            - a 1 7 1 1 1 @4
            - a 1 8 2 1 1 @4
            - a 2 7 3 3 2 @4
            + a 2 7 1 1 1 @4
        "#]],
    );
}

#[test]
fn a_tie_changes_the_numbers_behind_it_alone() {
    let of = |number: usize| window(vec![ranks().swap_remove(number)]);
    // At 9000 there are 98 other rows behind it, one a group.
    assert_eq!(cost(&of(0), 9_001).0, 2 * 99 + 1);
    assert_eq!(cost(&of(1), 9_000).0, 2 * 99 + 1);
    assert_eq!(cost(&of(2), 9_000), (1, 1));
    assert_eq!(cost(&of(2), 9_001).0, 2 * 99 + 1);
}

#[test]
fn lag_and_bounded_frames_look_at_their_neighbours_alone() {
    let shift = (call(WindowFunction::Lag, &[2, 2, 2], running()), BIGINT);
    // `lag(v, v, v)`: offsets to 6.
    let (emitted, looked) = cost(&window(vec![shift]), 4_321);
    assert!(emitted <= 13 && looked <= 13, "{emitted} and {looked}");
    let sum = (aggregate("sum", rows(2, 1)), DataType::Decimal128(38, 0));
    let (emitted, looked) = cost(&window(vec![sum]), 4_321);
    assert!(emitted <= 7 && looked <= 7, "{emitted} and {looked}");
    let offset = |offset| ScalarValue::Int64(Some(offset));
    let near = frame(
        FrameUnits::Range,
        FrameBound::Preceding(offset(20)),
        FrameBound::Following(offset(20)),
    );
    let (emitted, looked) = cost(&window(vec![(aggregate("count", near), BIGINT)]), 4_321);
    assert_eq!((emitted, looked), (9, 5));
}

#[test]
fn what_does_not_change_is_not_looked_at() {
    let whole =
        frame(FrameUnits::Rows, FrameBound::UnboundedPreceding, FrameBound::UnboundedFollowing);
    let max = (aggregate("max", whole.clone()), BIGINT);
    assert_eq!(cost(&window(vec![max]), 4_321), (1, 1));
    let first = (call(WindowFunction::FirstValue, &[2], running()), BIGINT);
    assert_eq!(cost(&window(vec![first]), 4_321), (1, 1));
    let last = (call(WindowFunction::LastValue, &[2], whole), BIGINT);
    assert_eq!(cost(&window(vec![last]), 4_321), (1, 1));
    let mut filled = call(WindowFunction::LastValue, &[2], running());
    filled.ignore_nulls = true;
    assert_eq!(cost(&window(vec![(filled, BIGINT)]), 4_321), (1, 1));
    let sum = (aggregate("sum", running()), DataType::Decimal128(38, 0));
    assert_eq!(cost(&window(vec![sum]), 1_000_000), (1, 1));
}

#[test]
fn a_running_extremum_is_looked_at_until_it_is_what_it_was() {
    let running = |name| window(vec![(aggregate(name, running()), BIGINT)]);
    assert_eq!(cost(&running("max"), 4_321), (1, 1));
    assert_eq!(cost(&running("min"), 4_321), (1, 1));
    // The seven rows up to another 9, which loses nothing; then with its deletion.
    let max = |changes: &[&str]| cost_of(&running("max"), |o| o % 7, changes);
    assert_eq!(max(&["+ a 4400 9", "+ a 4321 9"]), (2 * 7 + 1, 8));
    assert_eq!(max(&["+ a 4400 9", "+ a 4321 9", "- a 4321 9"]), (2 * 7 + 1, 7));
    // Its peer saw it.
    assert_eq!(max(&["+ a 4400 9", "- a 4400 9\n+ a 4401 9"]), (4, 2));
    let ahead = frame(
        FrameUnits::Rows,
        FrameBound::Preceding(ScalarValue::Int64(Some(2))),
        FrameBound::UnboundedFollowing,
    );
    let (emitted, looked) = cost(&window(vec![(aggregate("max", ahead), BIGINT)]), 4_321);
    assert!(emitted == 1 && looked <= 3, "{emitted} and {looked}");
}

#[test]
fn what_is_excluded_is_looked_at_where_it_counts() {
    let whole =
        frame(FrameUnits::Rows, FrameBound::UnboundedPreceding, FrameBound::UnboundedFollowing);
    let others = Frame { exclude: Exclude::CurrentRow, ..whole };
    let max = window(vec![(aggregate("max", others.clone()), BIGINT)]);
    let cost = |v: fn(i64) -> i64, changes: &[&str]| cost_of(&max, v, changes);
    // The one greatest value sees the next one.
    assert_eq!(cost(|o| o, &["+ a 4321 3000", "+ a 4322 2000"]), (3, 2));
    assert_eq!(cost(|o| o, &["+ a 4321 3000", "+ a 4322 900"]), (1, 3));
    let first = (call(WindowFunction::FirstValue, &[2], others), BIGINT);
    assert_eq!(cost_of(&window(vec![first]), |o| o, &["+ a 4321 5"]), (1, 2));
}

#[test]
fn numbers_change_where_places_do() {
    let moved = &["- a 4320 432\n+ a 4351 432"];
    let of = |call, ty| cost_of(&window(vec![(call, ty)]), |o| o, moved);
    // 4330, 4340 and 4350 come nearer.
    for (call, ty) in ranks() {
        assert_eq!(of(call, ty), (2 * 3 + 2, 4));
    }
    for function in [WindowFunction::PercentRank, WindowFunction::CumeDist] {
        assert_eq!(of(call(function, &[], running()), DataType::Float64), (2 * 3 + 2, 4));
    }
    let ntile = window(vec![(call(WindowFunction::Ntile, &[2], running()), BIGINT)]);
    // 252 rows in the first bucket, then 253, of 1,008 and 1,009.
    let filled: Vec<String> = (0..8).map(|o| format!("+ a {} 4", 8_001 + o)).collect();
    let filled = filled.join("\n");
    let (emitted, looked) = cost_of(&ntile, |_| 4, &[&filled, "+ a 1 4"]);
    assert!(emitted <= 3 && looked <= 8, "{emitted} and {looked}");
    let (emitted, looked) = cost_of(&ntile, |_| 4, &[&filled, "+ a 9999 4"]);
    assert!(emitted <= 2 * 3 + 1 && looked <= 8, "{emitted} and {looked}");
}

#[test]
fn sums_pass_over_what_does_not_count() {
    let sum = window(vec![(aggregate("sum", running()), DataType::Decimal128(38, 0))]);
    assert_eq!(cost_of(&sum, |o| o, &["+ a 4321 NULL"]), (1, 1));
}

#[test]
fn lag_takes_the_row_s_own_offset_and_default() {
    let lag = call(WindowFunction::Lag, &[1, 2, 2], running());
    let lead = call(WindowFunction::Lead, &[1, 2, 2], running());
    check(
        &planned(vec![(lag, BIGINT), (lead, BIGINT)]),
        &[(1, "+ a 1 0 @1\n+ a 2 1 @1\n+ a 3 2 @1\n+ a 4 NULL @1\n- a 2 1 @2\n+ a 0 -1 @3")],
        expect![[r#"
            + a 1 0 1 1 @1
            + a 2 1 1 3 @1
            + a 3 2 1 2 @1
            + a 4 NULL NULL NULL @1
            - a 2 1 1 3 @2
            - a 3 2 1 2 @2
            + a 3 2 2 2 @2
            - a 3 2 2 2 @3
            + a 0 -1 1 -1 @3
            + a 3 2 0 2 @3
        "#]],
    );
}

#[test]
fn nulls_can_be_passed_over() {
    let mut last = call(WindowFunction::LastValue, &[2], running());
    last.ignore_nulls = true;
    let mut nth = call(WindowFunction::FirstValue, &[2], rows(1, 1));
    nth.ignore_nulls = true;
    check(
        &planned(vec![(last, BIGINT), (nth, BIGINT)]),
        &[(1, "+ a 1 NULL @1\n+ a 2 5 @1\n+ a 3 NULL @1\n+ a 4 NULL @1\n- a 2 5 @2\n+ a 0 9 @3")],
        expect![[r#"
            + a 1 NULL NULL 5 @1
            + a 2 5 5 5 @1
            + a 3 NULL 5 5 @1
            + a 4 NULL 5 NULL @1
            - a 1 NULL NULL 5 @2
            - a 2 5 5 5 @2
            - a 3 NULL 5 5 @2
            - a 4 NULL 5 NULL @2
            + a 1 NULL NULL NULL @2
            + a 3 NULL NULL NULL @2
            + a 4 NULL NULL NULL @2
            - a 1 NULL NULL NULL @3
            - a 3 NULL NULL NULL @3
            - a 4 NULL NULL NULL @3
            + a 0 9 9 9 @3
            + a 1 NULL 9 9 @3
            + a 3 NULL 9 NULL @3
            + a 4 NULL 9 NULL @3
        "#]],
    );
}

#[test]
fn what_comes_between_moves_the_edge_of_a_frame() {
    let mut last = call(WindowFunction::LastValue, &[2], rows(0, 2));
    last.ignore_nulls = true;
    check(
        &planned(vec![(last, BIGINT)]),
        &[(1, "+ a 1 1 @1\n+ a 3 3 @1\n+ a 4 4 @1\n+ a 2 NULL @2")],
        expect![[r#"
            + a 1 1 4 @1
            + a 3 3 4 @1
            + a 4 4 4 @1
            - a 1 1 4 @2
            + a 1 1 3 @2
            + a 2 NULL 4 @2
        "#]],
    );
}

#[test]
fn a_frame_leaves_out_the_row_or_its_peers() {
    let excluding = |exclude| {
        let whole = frame(
            FrameUnits::Groups,
            FrameBound::Preceding(ScalarValue::Int64(Some(1))),
            FrameBound::CurrentRow,
        );
        (aggregate("sum", Frame { exclude, ..whole }), DataType::Decimal128(38, 0))
    };
    check(
        &planned(
            [Exclude::NoOthers, Exclude::CurrentRow, Exclude::Group, Exclude::Ties]
                .map(excluding)
                .into(),
        ),
        &[(1, "+ a 1 1 @1\n+ a 2 10 @1\n+ a 2 20 @1\n+ a 3 100 @1\n- a 1 1 @2")],
        expect![[r#"
            + a 1 1 1 NULL NULL 1 @1
            + a 2 10 31 21 1 11 @1
            + a 2 20 31 11 1 21 @1
            + a 3 100 130 30 30 130 @1
            - a 1 1 1 NULL NULL 1 @2
            - a 2 10 31 21 1 11 @2
            - a 2 20 31 11 1 21 @2
            + a 2 10 30 20 NULL 10 @2
            + a 2 20 30 10 NULL 20 @2
        "#]],
    );
}

#[test]
fn a_month_before_the_end_of_march_is_the_end_of_february() {
    let stamp = DataType::Timestamp(TimeUnit::Microsecond, None);
    let month = IntervalMonthDayNano { months: 1, days: 0, nanoseconds: 0 };
    let count = aggregate_function("count").expect("there is one");
    let columns = |ty: &DataType| [("at", ty.clone()), ("n", BIGINT), ("v", BIGINT)];
    for ty in [stamp, DataType::Date32] {
        let call = call(
            WindowFunction::Aggregate(count),
            &[1],
            frame(
                FrameUnits::Range,
                FrameBound::Preceding(ScalarValue::IntervalMonthDayNano(Some(month))),
                FrameBound::CurrentRow,
            ),
        );
        let plan = WindowPlan {
            input: input(1, &schema_of(columns(&ty))),
            partition: vec![],
            order: vec![SortKey::ascending(0)],
            tie_break: vec![SortKey::ascending(1), SortKey::ascending(2)],
            calls: vec![call],
            schema: schema_of(columns(&ty).into_iter().chain([("w", BIGINT)])),
        };
        let changes = "+ 2023-02-27 1 1 @1\n+ 2023-02-28 1 1 @1\n+ 2023-03-31 1 1 @1\n\
                       - 2023-02-28 1 1 @2\n+ NULL 1 1 @3";
        let inputs = [(CollectionId(1), parse(&plan.input.schema(), changes))].into();
        let out = run_reporting(&Plan::Window(Box::new(plan)), &inputs, &[]).0;
        expect![[r#"
            + 2023-02-27 1 1 1 @1
            + 2023-02-28 1 1 2 @1
            + 2023-03-31 1 1 2 @1
            - 2023-02-28 1 1 2 @2
            - 2023-03-31 1 1 2 @2
            + 2023-03-31 1 1 1 @2
            + NULL 1 1 1 @3
        "#]]
        .assert_eq(&print(out).replace("T00:00:00", ""));
    }
}

#[test]
fn ntile_gives_the_first_buckets_one_more() {
    check(
        &planned(vec![(call(WindowFunction::Ntile, &[2], running()), DataType::Int32)]),
        &[(1, "+ a 1 2 @1\n+ a 2 2 @1\n+ a 3 2 @1\n+ b 1 NULL @1\n+ b 2 5 @1\n+ a 4 2 @2")],
        expect![[r#"
            + a 1 2 1 @1
            + a 2 2 1 @1
            + a 3 2 2 @1
            + b 1 NULL NULL @1
            + b 2 5 1 @1
            + a 4 2 2 @2
        "#]],
    );
}

#[test]
fn rows_without_a_value_are_in_quarantine_while_they_are() {
    let calls = vec![(call(WindowFunction::Ntile, &[2], running()), BIGINT)];
    let plan = planned(calls);
    let changes = "+ a 1 0 @1\n+ a 2 2 @1\n+ a 0 1 @3\n- a 0 1 @5\n- a 2 2 @6";
    let Plan::Window(window) = &plan else { unreachable!("just made") };
    let inputs: HashMap<_, _> = [(CollectionId(1), parse(&window.input.schema(), changes))].into();
    let (out, errors) = run_reporting(&plan, &inputs, &[2, 4]);
    expect![[r#"
        + a 0 1 1 @3
        + a 1 0 1 @3
        + a 2 2 1 @3
        - a 0 1 1 @5
        - a 1 0 1 @5
        - a 2 2 1 @5
    "#]]
    .assert_eq(&print(out));
    let message = "argument of ntile must be greater than zero".to_string();
    assert_eq!(errors, [(message, 1)].into());
}
