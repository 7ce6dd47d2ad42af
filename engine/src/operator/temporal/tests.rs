//! Tests of [`super`]: streams as text.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::physical_expr::expressions::Column;
use expect_test::expect;

use super::{Bound, Edge, NowSide, TemporalMode, TemporalPlan};
use crate::operator::testing::{check, input};
use crate::plan::{Plan, schema_of};

/// `ts > now() - 10 AND ts <= now()` over (k, ts).
fn window(mode: TemporalMode) -> Plan {
    let micros = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None);
    let schema = schema_of([("k", DataType::Utf8), ("ts", micros)]);
    let ts = || Arc::new(Column::new("ts", 1)) as _;
    let bounds = vec![
        Bound { edge: Edge::Until, strict: false, now: NowSide::Offset(-10), value: ts() },
        Bound { edge: Edge::From, strict: false, now: NowSide::Offset(0), value: ts() },
    ];
    Plan::Temporal(Box::new(TemporalPlan { input: input(1, &schema), bounds, mode }))
}

const T5: &str = "1970-01-01T00:00:00.000005";
const T20: &str = "1970-01-01T00:00:00.000020";

#[test]
fn rows_come_and_go_at_their_exact_times() {
    let stream = format!("+ a {T5} @7\n+ b {T20} @7\n+ c {T5} @15\n+ d NULL @8");
    check(
        &window(TemporalMode::Filter),
        &[(1, &stream)],
        expect![[r#"
            + a 1970-01-01T00:00:00.000005 @7
            - a 1970-01-01T00:00:00.000005 @15
            + b 1970-01-01T00:00:00.000020 @20
            - b 1970-01-01T00:00:00.000020 @30
        "#]],
    );
}

#[test]
fn a_deleted_row_does_not_expire() {
    let stream = format!("+2 a {T5} @7\n- a {T5} @9\n+ b {T20} @7\n- b {T20} @9\n+ b {T20} @25");
    check(
        &window(TemporalMode::Filter),
        &[(1, &stream)],
        expect![[r#"
            +2 a 1970-01-01T00:00:00.000005 @7
            - a 1970-01-01T00:00:00.000005 @9
            - a 1970-01-01T00:00:00.000005 @15
            + b 1970-01-01T00:00:00.000020 @25
            - b 1970-01-01T00:00:00.000020 @30
        "#]],
    );
}

#[test]
fn flags_change_with_time() {
    let stream = format!("+ b {T20} @7\n- b {T20} @40\n+ d NULL @8");
    check(
        &window(TemporalMode::Flags),
        &[(1, &stream)],
        expect![[r#"
            + b 1970-01-01T00:00:00.000020 true false @7
            + d NULL NULL NULL @8
            - b 1970-01-01T00:00:00.000020 true false @20
            + b 1970-01-01T00:00:00.000020 true true @20
            - b 1970-01-01T00:00:00.000020 true true @30
            + b 1970-01-01T00:00:00.000020 false true @30
            - b 1970-01-01T00:00:00.000020 false true @40
        "#]],
    );
}
