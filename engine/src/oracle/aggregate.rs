//! Aggregates for the oracle: all values of a group at once, in big numbers.

use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use num_bigint::BigInt;
use num_traits::{Signed, ToPrimitive, Zero};

use super::Row;
use crate::plan::AggregateCall;
use crate::state::key_index::types_of;

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
    let types = types_of(input, &call.arguments);
    let null = || {
        let ty = call.function.return_type(&types).expect("the plan is typed");
        ScalarValue::try_from(&ty).expect("every type has a NULL")
    };
    let Some(&argument) = call.arguments.first() else {
        return Ok(ScalarValue::Int64(Some(counted.count() as i64)));
    };
    let values: Vec<ScalarValue> =
        counted.map(|row| row[argument].clone()).filter(|value| !value.is_null()).collect();
    match call.function.name() {
        "count" => Ok(ScalarValue::Int64(Some(values.len() as i64))),
        _ if values.is_empty() => Ok(null()),
        "min" => Ok(extremum(&values, std::cmp::Ordering::Less)),
        "max" => Ok(extremum(&values, std::cmp::Ordering::Greater)),
        "sum" => sum(&values, &null()),
        "avg" => average(&values, &null()),
        other => unreachable!("the oracle does not know {other}"),
    }
}

fn extremum(values: &[ScalarValue], wanted: std::cmp::Ordering) -> ScalarValue {
    let mut best = key(&values[0]);
    for value in values.iter().map(key) {
        if compare(&value, &best) == wanted {
            best = value;
        }
    }
    best
}

fn compare(a: &ScalarValue, b: &ScalarValue) -> std::cmp::Ordering {
    match (a, b) {
        (ScalarValue::Float64(Some(a)), ScalarValue::Float64(Some(b))) => a.total_cmp(b),
        (ScalarValue::Float32(Some(a)), ScalarValue::Float32(Some(b))) => a.total_cmp(b),
        _ => a.partial_cmp(b).expect("values of one type"),
    }
}

fn sum(values: &[ScalarValue], null: &ScalarValue) -> Result<ScalarValue, String> {
    match null {
        ScalarValue::Float64(_) => Ok(ScalarValue::Float64(Some(float_sum(values)))),
        ScalarValue::Float32(_) => Ok(ScalarValue::Float32(Some(float_sum(values) as f32))),
        ScalarValue::Int64(_) => i64::try_from(big_sum(values).to_i128().unwrap_or(i128::MAX))
            .map(|sum| ScalarValue::Int64(Some(sum)))
            .map_err(|_| "bigint out of range".to_string()),
        ScalarValue::Decimal128(_, precision, scale) => {
            decimal(&big_sum(values)).map(|v| ScalarValue::Decimal128(Some(v), *precision, *scale))
        }
        other => unreachable!("no sum is of type {other:?}"),
    }
}

fn average(values: &[ScalarValue], null: &ScalarValue) -> Result<ScalarValue, String> {
    let count = BigInt::from(values.len());
    let ScalarValue::Decimal128(_, precision, scale) = null else {
        let average = float_sum(values) / values.len() as f64;
        return Ok(ScalarValue::Float64(Some(average)));
    };
    let own = match &values[0] {
        ScalarValue::Decimal128(_, _, own) => *own,
        _ => 0,
    };
    let sum = big_sum(values);
    decimal(&sum)?;
    let scaled: BigInt = sum * BigInt::from(10).pow((scale - own) as u32);
    // Half away from zero: add half of the divisor to the magnitude, then cut.
    let magnitude: BigInt = (scaled.abs() * 2 + &count) / (&count * 2);
    let rounded = if scaled.is_negative() { -magnitude } else { magnitude };
    decimal(&rounded).map(|v| ScalarValue::Decimal128(Some(v), *precision, *scale))
}

fn decimal(value: &BigInt) -> Result<i128, String> {
    let digits = value.to_i128().filter(|v| v.unsigned_abs() < 10u128.pow(38));
    digits.ok_or_else(|| "numeric field overflow".to_string())
}

fn big_sum(values: &[ScalarValue]) -> BigInt {
    let integer = |value: &ScalarValue| match value {
        ScalarValue::Int16(Some(v)) => BigInt::from(*v),
        ScalarValue::Int32(Some(v)) => BigInt::from(*v),
        ScalarValue::Int64(Some(v)) => BigInt::from(*v),
        ScalarValue::Decimal128(Some(v), ..) => BigInt::from(*v),
        other => unreachable!("no integer: {other:?}"),
    };
    values.iter().map(integer).sum()
}

/// The exact sum as a whole number of 2^-1074, rounded to a float once, half to even.
fn float_sum(values: &[ScalarValue]) -> f64 {
    let floats: Vec<f64> = values
        .iter()
        .map(|value| match value {
            ScalarValue::Float64(Some(v)) => *v,
            ScalarValue::Float32(Some(v)) => f64::from(*v),
            other => unreachable!("no float: {other:?}"),
        })
        .collect();
    if let Some(special) = special_sum(&floats) {
        return special;
    }
    let units: BigInt = floats.iter().map(|&v| units_of(v)).sum();
    if units.is_zero() {
        return 0.0;
    }
    let magnitude = units.magnitude();
    // 53 bits stay; what is cut decides the rounding.
    let cut = magnitude.bits().saturating_sub(53);
    let mut kept = (magnitude >> cut).to_u64().expect("53 bits");
    let rest = magnitude - ((magnitude >> cut) << cut);
    let half = num_bigint::BigUint::from(1u8) << cut >> 1;
    let up = match rest.cmp(&half) {
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Equal => cut > 0 && kept & 1 == 1,
        std::cmp::Ordering::Less => false,
    };
    kept += u64::from(up && cut > 0);
    let value = scale_up(kept as f64, cut as i32 - 1074);
    if units.is_negative() { -value } else { value }
}

/// The sum where a NaN or an infinity decides it.
fn special_sum(floats: &[f64]) -> Option<f64> {
    let has = |wanted: f64| floats.contains(&wanted);
    match (has(f64::INFINITY), has(f64::NEG_INFINITY)) {
        _ if floats.iter().any(|v| v.is_nan()) => Some(f64::NAN),
        (true, true) => Some(f64::NAN),
        (true, false) => Some(f64::INFINITY),
        (false, true) => Some(f64::NEG_INFINITY),
        (false, false) => None,
    }
}

/// A finite float as a whole number of 2^-1074.
fn units_of(value: f64) -> BigInt {
    let bits = value.to_bits();
    let (exponent, fraction) = ((bits >> 52) & 0x7ff, bits & ((1 << 52) - 1));
    let units = match exponent {
        0 => BigInt::from(fraction),
        _ => BigInt::from(fraction | (1 << 52)) << (exponent - 1),
    };
    if value.is_sign_negative() { -units } else { units }
}

/// value · 2^power, exactly, for a value of at most 53 bits and a result in range.
fn scale_up(value: f64, power: i32) -> f64 {
    // In steps, as 2^-1074 times a power may itself be out of range; none of them rounds.
    let mut value = value;
    let mut left = power;
    while left != 0 {
        let step = left.clamp(-500, 500);
        value *= 2f64.powi(step);
        left -= step;
    }
    value
}
