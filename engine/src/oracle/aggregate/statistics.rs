//! Variances, covariances and regressions: two passes over exact fractions.

use datafusion::common::ScalarValue;
use num_bigint::BigInt;

use super::super::Row;
use super::number::{decimal, exact_sum, float, integer, nearest, rounded, scale_of, units_of};
use crate::decimal::quotient_digits;

/// The pairs (y, x) without a NULL.
pub(super) fn pairs(tuples: &[Row]) -> Vec<(f64, f64)> {
    let whole = tuples.iter().filter(|tuple| !tuple[0].is_null() && !tuple[1].is_null());
    whole.map(|tuple| (float(&tuple[0]), float(&tuple[1]))).collect()
}

pub(super) fn variance(
    values: &[ScalarValue],
    less: usize,
    root: bool,
    null: ScalarValue,
) -> Result<ScalarValue, String> {
    if values.len() <= less {
        return Ok(null);
    }
    let divisor = BigInt::from(values.len() - less);
    match null {
        ScalarValue::Decimal128(_, precision, scale) => {
            let whole: Vec<BigInt> = values.iter().map(integer).collect();
            let above = deviations(&whole, &whole);
            let below = divisor * whole.len();
            let own = scale_of(&values[0]);
            let digits = quotient_digits(leading(&above, 2 * own), leading(&below, 0)).min(scale);
            let variance = rounded(&above, &below, 2 * own, digits, digits);
            let result = match root {
                false => rounded(&variance, &BigInt::from(1), digits, digits, scale),
                true => {
                    // The root in quarters of a square unit, cut, is in halves.
                    let quarters: BigInt = variance * BigInt::from(10).pow(digits as u32) * 4;
                    let root = (quarters.sqrt() + 1) / 2;
                    rounded(&root, &BigInt::from(1), digits, digits, scale)
                }
            };
            decimal(&result).map(|v| ScalarValue::Decimal128(Some(v), precision, scale))
        }
        _ => {
            let floats: Vec<f64> = values.iter().map(float).collect();
            let value = match centered(&floats, &floats, &divisor) {
                Some(value) if value.is_infinite() => return Err(overflow()),
                Some(value) => value,
                None => f64::NAN,
            };
            Ok(ScalarValue::Float64(Some(if root { value.sqrt() } else { value })))
        }
    }
}

fn overflow() -> String {
    "value out of range: overflow".to_string()
}

/// The first 30 digits, and their scale.
fn leading(value: &BigInt, scale: i8) -> (u128, i8) {
    let text = value.to_string();
    let cut = text.len().saturating_sub(30);
    (text[..text.len() - cut].parse().expect("30 digits"), scale - cut as i8)
}

/// n · Σ(a − ā)(b − b̄), summed deviation by deviation, each n times too long.
fn deviations(a: &[BigInt], b: &[BigInt]) -> BigInt {
    let count = BigInt::from(a.len());
    let (sum_a, sum_b): (BigInt, BigInt) = (a.iter().sum(), b.iter().sum());
    let products = a.iter().zip(b).map(|(a, b)| (a * &count - &sum_a) * (b * &count - &sum_b));
    products.sum::<BigInt>() / count
}

/// Σ(a − ā)(b − b̄) / divisor, rounded once; `None` where a value is not finite.
fn centered(a: &[f64], b: &[f64], divisor: &BigInt) -> Option<f64> {
    if !a.iter().chain(b).all(|value| value.is_finite()) {
        return None;
    }
    let units = |values: &[f64]| values.iter().map(|&value| units_of(value)).collect::<Vec<_>>();
    let above = deviations(&units(a), &units(b));
    Some(nearest(&above, &(divisor * a.len()), -2 * 1074, 53))
}

pub(super) fn of_pairs(name: &str, pairs: &[(f64, f64)]) -> Result<ScalarValue, String> {
    if pairs.is_empty() {
        return Ok(ScalarValue::Float64(None));
    }
    let (ys, xs): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let count = pairs.len() as f64;
    let one = BigInt::from(1);
    let of = |a: &[f64], b: &[f64]| centered(a, b, &one).unwrap_or(f64::NAN);
    let (sxx, syy, sxy) = (of(&xs, &xs), of(&ys, &ys), of(&xs, &ys));
    let (x, y) = (exact_sum(&xs), exact_sum(&ys));
    let value = match name {
        "covar_pop" => Some(sxy / count),
        "covar_samp" => (count > 1.0).then(|| sxy / (count - 1.0)),
        "regr_sxx" => Some(sxx),
        "regr_syy" => Some(syy),
        "regr_sxy" => Some(sxy),
        "regr_avgx" => Some(x / count),
        "regr_avgy" => Some(y / count),
        "corr" => (sxx != 0.0 && syy != 0.0).then(|| sxy / (sxx * syy).sqrt()),
        "regr_slope" => (sxx != 0.0).then(|| sxy / sxx),
        "regr_intercept" => (sxx != 0.0).then(|| (y - x * sxy / sxx) / count),
        "regr_r2" if sxx == 0.0 => None,
        "regr_r2" if syy == 0.0 => Some(1.0),
        "regr_r2" => Some((sxy * sxy) / (sxx * syy)),
        other => unreachable!("the oracle does not know {other}"),
    };
    let finite = xs.iter().chain(&ys).all(|value| value.is_finite());
    match value {
        Some(value) if finite && value.is_infinite() => Err(overflow()),
        Some(value) if value.is_nan() => Ok(ScalarValue::Float64(Some(f64::NAN))),
        value => Ok(ScalarValue::Float64(value.map(|value| value + 0.0))),
    }
}
