//! Aggregates for the oracle: all values of a group at once, in big numbers and plain vectors.

mod number;
mod ordered;
mod statistics;

use std::cmp::Ordering;

use arrow::datatypes::{IntervalMonthDayNano, SchemaRef};
use datafusion::common::ScalarValue;

use super::Row;
use crate::plan::AggregateCall;

/// The value as it counts in a key: −0 is 0, a NaN is any other.
pub(super) fn key(value: &ScalarValue) -> ScalarValue {
    match value {
        ScalarValue::Float64(Some(v)) if v.is_nan() => ScalarValue::Float64(Some(f64::NAN)),
        ScalarValue::Float64(Some(v)) => ScalarValue::Float64(Some(v + 0.0)),
        ScalarValue::Float32(Some(v)) if v.is_nan() => ScalarValue::Float32(Some(f32::NAN)),
        ScalarValue::Float32(Some(v)) => ScalarValue::Float32(Some(v + 0.0)),
        other => other.clone(),
    }
}

/// The call's value over a group's rows.
pub(super) fn evaluate(
    call: &AggregateCall,
    input: &SchemaRef,
    rows: &[Row],
) -> Result<ScalarValue, String> {
    let counted = rows.iter().filter(|row| match call.filter {
        Some(column) => row[column] == ScalarValue::Boolean(Some(true)),
        None => true,
    });
    let tuple = |row: &Row| -> Row { call.arguments.iter().map(|&i| row[i].clone()).collect() };
    let mut counted: Vec<(Row, Row)> = counted.map(|row| (tuple(row), row.clone())).collect();
    if call.distinct || call.function.name() == "approx_count_distinct" {
        counted = distinct(counted);
    }
    ordered::sort(&mut counted, &call.order_by);
    let tuples: Vec<Row> = counted.into_iter().map(|(tuple, _)| tuple).collect();

    let null = ScalarValue::try_from(&call.return_type(input).expect("the plan is typed"));
    let null = null.expect("every type has a NULL");
    let name = call.function.name();
    if call.arguments.is_empty() {
        return Ok(ScalarValue::Int64(Some(tuples.len() as i64)));
    }
    let all = tuples.iter().map(|tuple| tuple[0].clone());
    let values: Vec<ScalarValue> = all.clone().filter(|value| !value.is_null()).collect();
    let descending = call.order_by.first().is_some_and(|key| key.descending);
    match name {
        "count" | "approx_count_distinct" => Ok(ScalarValue::Int64(Some(values.len() as i64))),
        "first_value" => Ok(tuples.first().map_or(null, |tuple| tuple[0].clone())),
        "last_value" => Ok(tuples.last().map_or(null, |tuple| tuple[0].clone())),
        "array_agg" => Ok(ordered::array(&all.collect::<Vec<_>>(), null)),
        "jsonb_agg" => Ok(ordered::json_array(&all.collect::<Vec<_>>())),
        "jsonb_object_agg" => ordered::json_object(&tuples),
        "string_agg" => Ok(ordered::joined(&tuples, &call.parameters, null)),
        "max_by" => Ok(ordered::best(&tuples, Ordering::Greater, null)),
        "min_by" => Ok(ordered::best(&tuples, Ordering::Less, null)),
        "regr_count" => Ok(ScalarValue::Int64(Some(statistics::pairs(&tuples).len() as i64))),
        name if name.starts_with("regr_") || name.starts_with("co") => {
            statistics::of_pairs(name, &statistics::pairs(&tuples))
        }
        _ if values.is_empty() => Ok(null),
        "min" => Ok(extremum(&values, Ordering::Less)),
        "max" => Ok(extremum(&values, Ordering::Greater)),
        "sum" => number::sum(&values, &null),
        "avg" => number::average(&values, &null),
        "bool_and" => Ok(boolean(values.iter().all(|v| *v == boolean(true)))),
        "bool_or" => Ok(boolean(values.iter().any(|v| *v == boolean(true)))),
        "bit_and" => Ok(number::bits(&values, |a, b| a & b)),
        "bit_or" => Ok(number::bits(&values, |a, b| a | b)),
        "bit_xor" => Ok(number::bits(&values, |a, b| a ^ b)),
        "var_pop" => statistics::variance(&values, 0, false, null),
        "var_samp" => statistics::variance(&values, 1, false, null),
        "stddev_pop" => statistics::variance(&values, 0, true, null),
        "stddev_samp" => statistics::variance(&values, 1, true, null),
        "mode" => Ok(ordered::mode(&values, descending)),
        "median" => ordered::continuous(&values, Some(0.5), false, &null),
        "percentile_cont" => ordered::percentiles(&call.parameters[0], &null, |p, null| {
            ordered::continuous(&values, p, descending, null)
        }),
        "percentile_disc" => ordered::percentiles(&call.parameters[0], &null, |p, null| {
            Ok(ordered::discrete(&values, p, descending, null))
        }),
        "histogram" => Ok(ordered::histogram(&values)),
        "approx_percentile" => Ok(ordered::approximate(&values, &call.parameters[0])),
        other => unreachable!("the oracle does not know {other}"),
    }
}

fn boolean(value: bool) -> ScalarValue {
    ScalarValue::Boolean(Some(value))
}

/// Each tuple once, as it counts in a key.
fn distinct(rows: Vec<(Row, Row)>) -> Vec<(Row, Row)> {
    let mut kept: Vec<(Row, Row)> = Vec::new();
    for (tuple, row) in rows {
        let tuple: Row = tuple.iter().map(key).collect();
        if !kept.iter().any(|(other, _)| *other == tuple) {
            kept.push((tuple, row));
        }
    }
    kept
}

fn extremum(values: &[ScalarValue], wanted: Ordering) -> ScalarValue {
    let mut best = key(&values[0]);
    for value in values.iter().map(key) {
        if compare(&value, &best) == wanted {
            best = value;
        }
    }
    best
}

/// The order of two values that are not NULL.
fn compare(a: &ScalarValue, b: &ScalarValue) -> Ordering {
    match (a, b) {
        (ScalarValue::Float64(Some(a)), ScalarValue::Float64(Some(b))) => a.total_cmp(b),
        (ScalarValue::Float32(Some(a)), ScalarValue::Float32(Some(b))) => a.total_cmp(b),
        (
            ScalarValue::IntervalMonthDayNano(Some(a)),
            ScalarValue::IntervalMonthDayNano(Some(b)),
        ) => {
            let fields = |v: &IntervalMonthDayNano| (v.months, v.days, v.nanoseconds);
            length(a).cmp(&length(b)).then(fields(a).cmp(&fields(b)))
        }
        _ => a.partial_cmp(b).expect("values of one type"),
    }
}

/// The nanoseconds of an interval with months of 30 days.
fn length(interval: &IntervalMonthDayNano) -> i128 {
    let days = i128::from(interval.months) * 30 + i128::from(interval.days);
    days * 86_400_000_000_000 + i128::from(interval.nanoseconds)
}
