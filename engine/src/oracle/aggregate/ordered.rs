//! What depends on the order of a group's rows: sorted lists, read from one end to the other.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::Float64Type;
use datafusion::common::ScalarValue;

use super::super::Row;
use super::number::{float, interval, interval_of};
use super::{compare, key};
use crate::plan::SortKey;

/// (arguments, row) in the order of the keys, then of the arguments, ascending, NULLs last.
pub(super) fn sort(rows: &mut [(Row, Row)], order: &[SortKey]) {
    rows.sort_by(|(tuple_a, row_a), (tuple_b, row_b)| {
        for sort in order {
            let (a, b) = (key(&row_a[sort.column]), key(&row_b[sort.column]));
            let ordering = match (a.is_null(), b.is_null()) {
                (true, true) => Ordering::Equal,
                (true, false) if sort.nulls_first => Ordering::Less,
                (true, false) => Ordering::Greater,
                (false, true) if sort.nulls_first => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) if sort.descending => compare(&b, &a),
                (false, false) => compare(&a, &b),
            };
            if ordering != Ordering::Equal {
                return ordering;
            }
        }
        let mut pairs = tuple_a.iter().zip(tuple_b);
        let found = pairs.find_map(|(a, b)| {
            let ordering = ascending(a, b);
            (ordering != Ordering::Equal).then_some(ordering)
        });
        found.unwrap_or(Ordering::Equal)
    });
}

fn ascending(a: &ScalarValue, b: &ScalarValue) -> Ordering {
    match (a.is_null(), b.is_null()) {
        (false, false) => compare(a, b),
        (a, b) => a.cmp(&b),
    }
}

pub(super) fn array(values: &[ScalarValue], null: ScalarValue) -> ScalarValue {
    if values.is_empty() {
        return null;
    }
    ScalarValue::List(ScalarValue::new_list(values, &values[0].data_type(), true))
}

fn json(value: &ScalarValue) -> String {
    match value {
        ScalarValue::LargeUtf8(Some(json)) => json.clone(),
        _ => "null".to_string(),
    }
}

pub(super) fn json_array(values: &[ScalarValue]) -> ScalarValue {
    let items: Vec<String> = values.iter().map(json).collect();
    let text = format!("[{}]", items.join(", "));
    ScalarValue::LargeUtf8((!items.is_empty()).then_some(text))
}

pub(super) fn json_object(tuples: &[Row]) -> Result<ScalarValue, String> {
    let mut members: Vec<(String, String)> = Vec::new();
    for tuple in tuples {
        let ScalarValue::Utf8(Some(key)) = &tuple[0] else {
            return Err("field name must not be null".to_string());
        };
        members.retain(|(other, _)| other != key);
        members.push((key.clone(), json(&tuple[1])));
    }
    members.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then(a.cmp(b)));
    // The random texts need no escapes.
    let texts: Vec<String> =
        members.iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
    let text = format!("{{{}}}", texts.join(", "));
    Ok(ScalarValue::LargeUtf8((!texts.is_empty()).then_some(text)))
}

pub(super) fn joined(tuples: &[Row], parameters: &[ScalarValue], null: ScalarValue) -> ScalarValue {
    let text = |value: &ScalarValue| match value {
        ScalarValue::Utf8(text) => text.clone(),
        other => unreachable!("no text: {other:?}"),
    };
    let mut out: Option<String> = None;
    for tuple in tuples {
        let Some(value) = text(&tuple[0]) else { continue };
        out = Some(match out {
            None => value,
            Some(before) => {
                let delimiter = tuple.get(1).or(parameters.first()).map(text);
                before + &delimiter.flatten().unwrap_or_default() + &value
            }
        });
    }
    out.map_or(null, |text| ScalarValue::Utf8(Some(text)))
}

/// Of (value, by) the value of the greatest or least `by`; of several the least value, NULL last.
pub(super) fn best(tuples: &[Row], wanted: Ordering, null: ScalarValue) -> ScalarValue {
    let mut best: Option<&Row> = None;
    for tuple in tuples.iter().filter(|tuple| !tuple[1].is_null()) {
        let better = best.is_none_or(|best| {
            let by = compare(&key(&tuple[1]), &key(&best[1]));
            by == wanted || by == Ordering::Equal && ascending(&tuple[0], &best[0]).is_lt()
        });
        best = if better { Some(tuple) } else { best };
    }
    best.map_or(null, |tuple| tuple[0].clone())
}

/// The values in order.
fn sorted(values: &[ScalarValue], descending: bool) -> Vec<ScalarValue> {
    let mut sorted: Vec<ScalarValue> = values.iter().map(key).collect();
    sorted.sort_by(|a, b| if descending { compare(b, a) } else { compare(a, b) });
    sorted
}

pub(super) fn mode(values: &[ScalarValue], descending: bool) -> ScalarValue {
    let sorted = sorted(values, descending);
    let count = |value: &ScalarValue| sorted.iter().filter(|other| *other == value).count();
    let mut best = &sorted[0];
    for value in &sorted {
        if count(value) > count(best) {
            best = value;
        }
    }
    best.clone()
}

/// Of one fraction its value, of an array of fractions the array of values.
pub(super) fn percentiles(
    fraction: &ScalarValue,
    null: &ScalarValue,
    value: impl Fn(Option<f64>, &ScalarValue) -> Result<ScalarValue, String>,
) -> Result<ScalarValue, String> {
    let (ScalarValue::List(fractions), ScalarValue::List(nulls)) = (fraction, null) else {
        let ScalarValue::Float64(fraction) = fraction else { unreachable!("a fraction is float8") };
        return value(*fraction, null);
    };
    let item = nulls.value_type();
    let null_item = ScalarValue::try_from(&item).expect("every type has a NULL");
    let fractions = fractions.value(0);
    let fractions = fractions.as_primitive::<Float64Type>();
    let values: Result<Vec<ScalarValue>, String> =
        fractions.iter().map(|fraction| value(fraction, &null_item)).collect();
    Ok(ScalarValue::List(ScalarValue::new_list(&values?, &item, true)))
}

pub(super) fn discrete(
    values: &[ScalarValue],
    fraction: Option<f64>,
    descending: bool,
    null: &ScalarValue,
) -> ScalarValue {
    let Some(fraction) = fraction else { return null.clone() };
    let sorted = sorted(values, descending);
    let reached = |n: &usize| *n as f64 >= fraction * values.len() as f64;
    let n = (1..=values.len()).find(reached).expect("all values reach every fraction");
    sorted[n - 1].clone()
}

pub(super) fn continuous(
    values: &[ScalarValue],
    fraction: Option<f64>,
    descending: bool,
    null: &ScalarValue,
) -> Result<ScalarValue, String> {
    let Some(fraction) = fraction else { return Ok(null.clone()) };
    let sorted = sorted(values, descending);
    let place = fraction * (sorted.len() - 1) as f64;
    let (lo, hi) = (&sorted[place.floor() as usize], &sorted[place.ceil() as usize]);
    let weight = place.fract();
    match (lo, hi) {
        _ if weight == 0.0 => Ok(lo.clone()),
        (
            ScalarValue::IntervalMonthDayNano(Some(lo)),
            ScalarValue::IntervalMonthDayNano(Some(hi)),
        ) => {
            // The random intervals are far from any limit.
            let gap = |lo: i64, hi: i64| (hi - lo) as f64 * weight;
            let step = interval_of(
                gap(lo.months.into(), hi.months.into()),
                gap(lo.days.into(), hi.days.into()),
                gap(lo.nanoseconds / 1000, hi.nanoseconds / 1000),
            );
            Ok(interval(arrow::datatypes::IntervalMonthDayNano {
                months: lo.months + step.months,
                days: lo.days + step.days,
                nanoseconds: lo.nanoseconds + step.nanoseconds,
            }))
        }
        _ => {
            let (lo, hi) = (float(lo), float(hi));
            Ok(key(&ScalarValue::Float64(Some(lo + weight * (hi - lo)))))
        }
    }
}

/// How often each text is there, as a JSON object: the shorter keys first, then by bytes.
pub(super) fn histogram(values: &[ScalarValue]) -> ScalarValue {
    let mut counts: BTreeMap<(usize, &str), u64> = BTreeMap::new();
    for value in values {
        let ScalarValue::Utf8(Some(text)) = value else {
            unreachable!("values are counted by their text, not {value}")
        };
        *counts.entry((text.len(), text.as_str())).or_default() += 1;
    }
    let members = counts.iter().map(|((_, text), count)| format!("{text:?}: {count}"));
    ScalarValue::LargeUtf8(Some(format!("{{{}}}", members.collect::<Vec<_>>().join(", "))))
}

/// The discrete percentile, as the middle of the 64th of a power of two that it lies in.
pub(super) fn approximate(values: &[ScalarValue], fraction: &ScalarValue) -> ScalarValue {
    let null = ScalarValue::Float64(None);
    let ScalarValue::Float64(fraction) = fraction else { unreachable!("a fraction is float8") };
    let floats: Vec<ScalarValue> =
        values.iter().map(|value| ScalarValue::Float64(Some(float(value)))).collect();
    let ScalarValue::Float64(Some(value)) = discrete(&floats, *fraction, false, &null) else {
        return null;
    };
    let middle = match value.abs() {
        magnitude if !magnitude.is_finite() => magnitude,
        // Below 2^-1028 the 64th of a power of two is no float: all of that is 0.
        magnitude if magnitude < 2f64.powi(-1022) / 64.0 => 0.0,
        magnitude => {
            let power = 2f64.powi(magnitude.log2().floor().max(-1022.0) as i32);
            // log2 may round up to the next power.
            let power =
                if power > magnitude && power > 2f64.powi(-1022) { power / 2.0 } else { power };
            let step = power / 64.0;
            (magnitude / step).floor() * step + step / 2.0
        }
    };
    key(&ScalarValue::Float64(Some(if value < 0.0 { -middle } else { middle })))
}
