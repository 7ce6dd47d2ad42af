//! Sums and averages, in big numbers.

use arrow::datatypes::IntervalMonthDayNano;
use datafusion::common::ScalarValue;
use num_bigint::{BigInt, BigUint};
use num_traits::{Signed, ToPrimitive, Zero};

use crate::decimal::quotient_digits;

pub(super) fn sum(values: &[ScalarValue], null: &ScalarValue) -> Result<ScalarValue, String> {
    match null {
        ScalarValue::Float64(_) => Ok(ScalarValue::Float64(Some(float_sum(values, 53)))),
        ScalarValue::Float32(_) => Ok(ScalarValue::Float32(Some(float_sum(values, 24) as f32))),
        ScalarValue::Int64(_) => i64::try_from(big_sum(values).to_i128().unwrap_or(i128::MAX))
            .map(|sum| ScalarValue::Int64(Some(sum)))
            .map_err(|_| "bigint out of range".to_string()),
        ScalarValue::Decimal128(_, precision, scale) => {
            decimal(&big_sum(values)).map(|v| ScalarValue::Decimal128(Some(v), *precision, *scale))
        }
        ScalarValue::IntervalMonthDayNano(_) => interval_sum(values).map(interval),
        other => unreachable!("no sum is of type {other:?}"),
    }
}

pub(super) fn average(values: &[ScalarValue], null: &ScalarValue) -> Result<ScalarValue, String> {
    let count = BigInt::from(values.len());
    if let ScalarValue::IntervalMonthDayNano(_) = null {
        let (sum, count) = (interval_sum(values)?, values.len() as f64);
        let time = (sum.nanoseconds / 1000) as f64;
        let (months, days) = (f64::from(sum.months) / count, f64::from(sum.days) / count);
        return Ok(interval(interval_of(months, days, time / count)));
    }
    let ScalarValue::Decimal128(_, precision, scale) = null else {
        let average = float_sum(values, 53) / values.len() as f64;
        return Ok(ScalarValue::Float64(Some(average)));
    };
    let sum = big_sum(values);
    let total = decimal(&sum)?;
    let own = scale_of(&values[0]);
    let digits = quotient_digits((total.unsigned_abs(), own), (values.len() as u128, 0));
    let average = rounded(&sum, &count, own, digits.min(*scale), *scale);
    decimal(&average).map(|v| ScalarValue::Decimal128(Some(v), *precision, *scale))
}

/// A quotient of units of `own` digits rounded to `digits` digits, in units of `scale` digits.
pub(super) fn rounded(above: &BigInt, below: &BigInt, own: i8, digits: i8, scale: i8) -> BigInt {
    let power = |digits: i8| BigInt::from(10).pow(u32::from(digits.max(0) as u8));
    let quotient = half_away(&(above * power(digits - own)), &(below * power(own - digits)));
    quotient * power(scale - digits)
}

/// The quotient, rounded half away from zero: half of the divisor on the magnitude, then cut.
pub(super) fn half_away(dividend: &BigInt, divisor: &BigInt) -> BigInt {
    let magnitude: BigInt = (dividend.abs() * 2 + divisor) / (divisor * 2);
    if dividend.is_negative() { -magnitude } else { magnitude }
}

/// Digits behind the point.
pub(super) fn scale_of(value: &ScalarValue) -> i8 {
    match value {
        ScalarValue::Decimal128(_, _, scale) => *scale,
        _ => 0,
    }
}

pub(super) fn decimal(value: &BigInt) -> Result<i128, String> {
    let digits = value.to_i128().filter(|v| v.unsigned_abs() < 10u128.pow(38));
    digits.ok_or_else(|| "numeric field overflow".to_string())
}

pub(super) fn integer(value: &ScalarValue) -> BigInt {
    match value {
        ScalarValue::Int16(Some(v)) => BigInt::from(*v),
        ScalarValue::Int32(Some(v)) => BigInt::from(*v),
        ScalarValue::Int64(Some(v)) => BigInt::from(*v),
        ScalarValue::Decimal128(Some(v), ..) => BigInt::from(*v),
        other => unreachable!("no integer: {other:?}"),
    }
}

fn big_sum(values: &[ScalarValue]) -> BigInt {
    values.iter().map(integer).sum()
}

/// All values one after the other, bit by bit.
pub(super) fn bits(values: &[ScalarValue], operation: fn(i64, i64) -> i64) -> ScalarValue {
    let integers = values.iter().map(|value| integer(value).to_i64().expect("an integer column"));
    let result = integers.reduce(operation).expect("some values");
    let whole = ScalarValue::Int64(Some(result));
    whole.cast_to(&values[0].data_type()).expect("bits of the type's own")
}

pub(super) fn float(value: &ScalarValue) -> f64 {
    match value {
        ScalarValue::Float64(Some(v)) => *v,
        ScalarValue::Float32(Some(v)) => f64::from(*v),
        other => unreachable!("no float: {other:?}"),
    }
}

/// The exact sum, rounded once to a float of so many bits.
fn float_sum(values: &[ScalarValue], bits: u64) -> f64 {
    let floats: Vec<f64> = values.iter().map(float).collect();
    special_sum(&floats).unwrap_or_else(|| {
        nearest(&floats.iter().map(|&v| units_of(v)).sum(), &BigInt::from(1), -1074, bits)
    })
}

/// The sum of floats of any kind.
pub(super) fn exact_sum(floats: &[f64]) -> f64 {
    let values: Vec<ScalarValue> =
        floats.iter().map(|&float| ScalarValue::Float64(Some(float))).collect();
    float_sum(&values, 53)
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
pub(super) fn units_of(value: f64) -> BigInt {
    let bits = value.to_bits();
    let (exponent, fraction) = ((bits >> 52) & 0x7ff, bits & ((1 << 52) - 1));
    let units = match exponent {
        0 => BigInt::from(fraction),
        _ => BigInt::from(fraction | (1 << 52)) << (exponent - 1),
    };
    if value.is_sign_negative() { -units } else { units }
}

/// dividend / divisor · 2^power as the nearest float of 53 or 24 bits, half to even.
pub(super) fn nearest(dividend: &BigInt, divisor: &BigInt, power: i64, bits: u64) -> f64 {
    if dividend.is_zero() {
        return 0.0;
    }
    let (mut above, mut below) = (dividend.magnitude().clone(), divisor.magnitude().clone());
    match power >= 0 {
        true => above <<= power as u64,
        false => below <<= power.unsigned_abs(),
    }
    // The place of the first bit, which is one of two by the lengths.
    let mut first = above.bits() as i64 - below.bits() as i64;
    if shifted(&below, first) > shifted(&above, -first) {
        first -= 1;
    }
    let lowest = if bits == 24 { -149 } else { -1074 };
    let last = (first + 1 - bits as i64).max(lowest);
    // In units of the last bit.
    let (above, below) = (shifted(&above, -last), shifted(&below, last));
    let (mut units, rest) = (&above / &below, &above % &below);
    let odd = units.bit(0);
    match (rest * 2u8).cmp(&below) {
        std::cmp::Ordering::Greater => units += 1u8,
        std::cmp::Ordering::Equal if odd => units += 1u8,
        _ => {}
    }
    let value = scale_up(units.to_u64().expect("54 bits at most") as f64, last as i32);
    if dividend.is_negative() != divisor.is_negative() { -value } else { value }
}

/// Times 2^places, if that is more than 1.
fn shifted(value: &BigUint, places: i64) -> BigUint {
    if places > 0 { value << places as u64 } else { value.clone() }
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

pub(super) fn interval(value: IntervalMonthDayNano) -> ScalarValue {
    ScalarValue::IntervalMonthDayNano(Some(value))
}

fn interval_sum(values: &[ScalarValue]) -> Result<IntervalMonthDayNano, String> {
    let (mut months, mut days, mut nanoseconds) = (0i128, 0i128, 0i128);
    for value in values {
        let ScalarValue::IntervalMonthDayNano(Some(value)) = value else {
            unreachable!("no interval: {value:?}")
        };
        months += i128::from(value.months);
        days += i128::from(value.days);
        nanoseconds += i128::from(value.nanoseconds);
    }
    match (months.to_i32(), days.to_i32(), nanoseconds.to_i64()) {
        (Some(months), Some(days), Some(nanoseconds)) => {
            Ok(IntervalMonthDayNano { months, days, nanoseconds })
        }
        _ => Err("interval out of range".to_string()),
    }
}

/// Of fields with fractions, time in microseconds: what a month lacks is days, what a day lacks
/// time, each rounded to a millionth.
pub(super) fn interval_of(months: f64, days: f64, time: f64) -> IntervalMonthDayNano {
    let millionths = |value: f64| (value * 1e6).round_ties_even() / 1e6;
    let month_days = millionths(months.fract() * 30.0);
    let seconds = millionths((days.fract() + month_days.fract()) * 86_400.0);
    let more_days = (seconds / 86_400.0).trunc();
    let microseconds = (time + (seconds - more_days * 86_400.0) * 1e6).round_ties_even();
    IntervalMonthDayNano {
        months: months.trunc() as i32,
        days: (days.trunc() + month_days.trunc() + more_days) as i32,
        nanoseconds: microseconds as i64 * 1000,
    }
}
