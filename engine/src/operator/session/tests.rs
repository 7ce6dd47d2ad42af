//! Tests of [`super`]: streams as text.

use arrow::datatypes::{DataType, TimeUnit};
use expect_test::expect;

use super::SessionPlan;
use crate::operator::testing::{check_text, input, run_reporting};
use crate::plan::{Plan, schema_of};

/// Sessions with a gap of ten microseconds, of (user, at, what).
fn sessions() -> Plan {
    let micros = || DataType::Timestamp(TimeUnit::Microsecond, None);
    let columns = || [("user", DataType::Utf8), ("at", micros()), ("what", DataType::Int64)];
    let bounds = [("window_start", micros()), ("window_end", micros())];
    Plan::Session(Box::new(SessionPlan {
        input: input(1, &schema_of(columns())),
        keys: vec![0],
        time: 1,
        gap_us: 10,
        schema: schema_of(columns().into_iter().chain(bounds)),
    }))
}

/// `+ u @@5 1 @1`: the event time in microseconds behind `@@`.
fn stream(text: &str) -> String {
    let word = |word: &str| match word.strip_prefix("@@") {
        Some(micros) => format!("1970-01-01T00:00:00.{micros:0>6}"),
        None => word.to_string(),
    };
    let line = |line: &str| line.split_whitespace().map(word).collect::<Vec<_>>().join(" ");
    text.lines().map(|text| line(text) + "\n").collect()
}

/// Checks with times printed the short way too.
fn check_sessions(text: &str, expected: expect_test::Expect) {
    let plan = sessions();
    let printed = check_text(&plan, &[(1, &stream(text))]);
    expected.assert_eq(&printed.replace("1970-01-01T00:00:00.0000", "@@"));
}

#[test]
fn a_row_in_the_gap_joins_two_sessions_and_its_removal_splits_them() {
    check_sessions(
        "+ u @@10 1 @1
         + u @@30 2 @1
         + u @@20 3 @2
         - u @@20 3 @3",
        expect![[r#"
            + u @@10 1 @@10 @@20 @1
            + u @@30 2 @@30 @@40 @1
            - u @@10 1 @@10 @@20 @2
            - u @@30 2 @@30 @@40 @2
            + u @@10 1 @@10 @@40 @2
            + u @@20 3 @@10 @@40 @2
            + u @@30 2 @@10 @@40 @2
            - u @@10 1 @@10 @@40 @3
            - u @@20 3 @@10 @@40 @3
            - u @@30 2 @@10 @@40 @3
            + u @@10 1 @@10 @@20 @3
            + u @@30 2 @@30 @@40 @3
        "#]],
    );
}

#[test]
fn a_row_within_a_session_touches_no_other() {
    check_sessions(
        "+ u @@10 1 @1
         + u @@20 2 @1
         + u @@15 3 @2
         + u @@20 4 @3
         - u @@20 2 @4
         - u @@15 3 @5",
        expect![[r#"
            + u @@10 1 @@10 @@30 @1
            + u @@20 2 @@10 @@30 @1
            + u @@15 3 @@10 @@30 @2
            + u @@20 4 @@10 @@30 @3
            - u @@20 2 @@10 @@30 @4
            - u @@15 3 @@10 @@30 @5
        "#]],
    );
}

#[test]
fn the_first_row_gone_moves_the_start_and_other_keys_stay() {
    check_sessions(
        "+2 u @@10 1 @1
         + u @@12 2 @1
         + w @@11 7 @1
         + NULL @@11 8 @1
         + u NULL 9 @1
         - u @@10 1 @2
         - u @@10 1 @3",
        expect![[r#"
            + NULL @@11 8 @@11 @@21 @1
            + u @@12 2 @@10 @@22 @1
            + w @@11 7 @@11 @@21 @1
            +2 u @@10 1 @@10 @@22 @1
            - u @@10 1 @@10 @@22 @2
            - u @@10 1 @@10 @@22 @3
            - u @@12 2 @@10 @@22 @3
            + u @@12 2 @@12 @@22 @3
        "#]],
    );
}

#[test]
fn a_session_replaced_by_its_equal_changes_nothing() {
    check_sessions(
        "+ u @@10 1 @1
         + u @@18 2 @1
         - u @@10 1 @2
         + u @@10 3 @2",
        expect![[r#"
            + u @@10 1 @@10 @@28 @1
            + u @@18 2 @@10 @@28 @1
            - u @@10 1 @@10 @@28 @2
            + u @@10 3 @@10 @@28 @2
        "#]],
    );
}

#[test]
fn a_time_at_the_end_of_time_has_no_session() {
    let plan = sessions();
    let schema = plan.inputs()[0].schema();
    let rows = [i64::MAX - 9, i64::MAX - 10].map(|micros| {
        use datafusion::common::ScalarValue;
        vec![
            ScalarValue::Utf8(None),
            ScalarValue::TimestampMicrosecond(Some(micros), None),
            ScalarValue::Int64(Some(1)),
        ]
    });
    let data = crate::oracle::batch_of_rows(&schema, &rows);
    let inputs = [(crate::time::CollectionId(1), crate::updates::Updates::at(data, 1, 1))].into();
    let (out, errors) = run_reporting(&plan, &inputs, &[]);
    assert_eq!(out.len(), 1);
    assert_eq!(errors, [("timestamp out of range".to_string(), 1)].into());
}
