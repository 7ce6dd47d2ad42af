//! Mathematical functions whose result or errors differ between Postgres and DataFusion.
//!
//! Law: numeric stays numeric (rounded half away from zero), double precision rounds half to even,
//! integers go to double precision where Postgres sends them there. Roots, powers and logarithms of
//! numerics are computed in double precision: about 15 significant digits, where Postgres has more.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ScalarUDF;

use crate::error::SqlError;
use crate::text_io::numeric::{self, PRECISION_MAX, QUOTIENT, UNCONSTRAINED, power_of_ten};

use super::array;
use super::body::{
    Float4, Float8, Int2, Int4, Int8, Num, Numeric, Text, WideNumeric, fn1, fn2, fn4,
};
use super::numeric_arithmetic::{common, division_by_zero, parts, remainder};
use super::scalar::{Scalar, Ty, columns};

pub fn functions() -> Vec<ScalarUDF> {
    let mut all = rounding();
    all.extend(simple());
    all.extend(divisions());
    all.extend(powers());
    all
}

/// All digits before the point and none after it.
fn whole(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    let (precision, scale) = parts(&types[0]);
    // Rounding up can add a digit.
    let digits = i16::from(precision) - i16::from(scale) + 1;
    Ok(DataType::Decimal128(digits.clamp(1, i16::from(PRECISION_MAX)) as u8, 0))
}

/// As many digits after the point as the second argument says, when that is a constant.
fn digits(types: &[DataType], constants: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    let wanted = match constants.get(1) {
        Some(Some(ScalarValue::Int32(Some(n)))) => Some(i64::from(*n)),
        Some(Some(ScalarValue::Int64(Some(n)))) => Some(*n),
        _ => None,
    };
    let (precision, scale) = parts(&types[0]);
    let Some(wanted) = wanted else {
        return Ok(UNCONSTRAINED);
    };
    let to = wanted.clamp(0, 37) as i16;
    let digits = i16::from(precision) - i16::from(scale) + 1 + to;
    Ok(DataType::Decimal128(digits.clamp(1, i16::from(PRECISION_MAX)) as u8, to as i8))
}

/// At `places` after the point (before it, when negative), by `rounded` of value and unit.
fn at_places(n: Num, places: i32, rounded: fn(i128, i128) -> i128) -> Num {
    let dropped = i32::from(n.scale) - places;
    if dropped <= 0 {
        return n;
    }
    match power_of_ten(dropped as u32) {
        Some(unit) => Num { value: rounded(n.value, unit) * unit, scale: n.scale },
        None => Num { value: 0, scale: n.scale },
    }
}

fn truncated(value: i128, unit: i128) -> i128 {
    value / unit
}

fn ceiling(value: i128, unit: i128) -> i128 {
    -((-value).div_euclid(unit))
}

fn rounding() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("round")
            .overload(fn1::<Float8, Float8>(|x| Ok(x.round_ties_even())))
            .overload(
                fn1::<Numeric, Numeric>(|n| Ok(at_places(n, 0, numeric::divide_round)))
                    .returns(whole),
            )
            .overload(
                fn2::<Numeric, Int4, Numeric>(|n, p| Ok(at_places(n, p, numeric::divide_round)))
                    .returns(digits),
            )
            .udf(),
        Scalar::new("trunc")
            .overload(fn1::<Float8, Float8>(|x| Ok(x.trunc())))
            .overload(fn1::<Numeric, Numeric>(|n| Ok(at_places(n, 0, truncated))).returns(whole))
            .overload(
                fn2::<Numeric, Int4, Numeric>(|n, p| Ok(at_places(n, p, truncated)))
                    .returns(digits),
            )
            .udf(),
        Scalar::new("ceil")
            .alias("ceiling")
            .overload(fn1::<Float8, Float8>(|x| Ok(x.ceil())))
            .overload(fn1::<Numeric, Numeric>(|n| Ok(at_places(n, 0, ceiling))).returns(whole))
            .udf(),
        Scalar::new("floor")
            .overload(fn1::<Float8, Float8>(|x| Ok(x.floor())))
            .overload(
                fn1::<Numeric, Numeric>(|n| Ok(at_places(n, 0, i128::div_euclid))).returns(whole),
            )
            .udf(),
    ]
}

fn same(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    Ok(types[0].clone())
}

fn too_large(name: &'static str) -> impl Fn() -> SqlError {
    move || SqlError::new("22003", format!("{name} out of range"))
}

fn simple() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("abs")
            .overload(fn1::<Int2, Int2>(|x| x.checked_abs().ok_or_else(too_large("smallint"))))
            .overload(fn1::<Int4, Int4>(|x| x.checked_abs().ok_or_else(too_large("integer"))))
            .overload(fn1::<Int8, Int8>(|x| x.checked_abs().ok_or_else(too_large("bigint"))))
            .overload(
                fn1::<Numeric, Numeric>(|n| Ok(Num { value: n.value.abs(), ..n })).returns(same),
            )
            .overload(fn1::<Float4, Float4>(|x| Ok(x.abs())))
            .overload(fn1::<Float8, Float8>(|x| Ok(x.abs())))
            .udf(),
        Scalar::new("factorial")
            .overload(
                fn1::<Int8, Numeric>(factorial)
                    .returns_type(DataType::Decimal128(PRECISION_MAX, 0)),
            )
            .udf(),
        Scalar::new("sign")
            .alias("signum")
            .overload(fn1::<Float8, Float8>(|x| {
                Ok(if x > 0.0 {
                    1.0
                } else if x < 0.0 {
                    -1.0
                } else {
                    x
                })
            }))
            .overload(
                fn1::<Numeric, Numeric>(|n| Ok(Num { value: n.value.signum(), scale: 0 }))
                    .returns(whole),
            )
            .udf(),
    ]
}

fn factorial(n: i64) -> Result<Num, SqlError> {
    if n < 0 {
        return Err(SqlError::new("22003", "factorial of a negative number is undefined"));
    }
    let overflow = || SqlError::new("22003", "value overflows numeric format");
    // The product leaves 128 bits long before it has this many factors.
    let product = (1..=i128::from(n.min(100))).try_fold(1i128, i128::checked_mul);
    let value = product.filter(|value| numeric::fits(*value, PRECISION_MAX));
    Ok(Num { value: value.ok_or_else(overflow)?, scale: 0 })
}

fn divisions() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("mod")
            .overload(fn2::<Int2, Int2, Int2>(|a, b| match b {
                0 => Err(division_by_zero()),
                b => Ok(a.wrapping_rem(b)),
            }))
            .overload(fn2::<Int4, Int4, Int4>(|a, b| match b {
                0 => Err(division_by_zero()),
                b => Ok(a.wrapping_rem(b)),
            }))
            .overload(fn2::<Int8, Int8, Int8>(|a, b| match b {
                0 => Err(division_by_zero()),
                b => Ok(a.wrapping_rem(b)),
            }))
            .overload(fn2::<Numeric, Numeric, WideNumeric>(remainder).returns(common))
            .udf(),
        Scalar::new("float_div")
            .overload(fn2::<Float4, Float4, Float4>(|a, b| match b == 0.0 && !a.is_nan() {
                true => Err(division_by_zero()),
                false => Ok(a / b),
            }))
            .overload(fn2::<Float8, Float8, Float8>(|a, b| match b == 0.0 && !a.is_nan() {
                true => Err(division_by_zero()),
                false => Ok(a / b),
            }))
            .udf(),
        Scalar::new("width_bucket")
            .overload(fn4::<Float8, Float8, Float8, Int4, Int4>(width_bucket))
            .overload(columns(&[Ty::Any, Ty::AnyArray], int4, array::bucket))
            .udf(),
        Scalar::new("bit_not")
            .overload(fn1::<Int2, Int2>(|n| Ok(!n)))
            .overload(fn1::<Int4, Int4>(|n| Ok(!n)))
            .overload(fn1::<Int8, Int8>(|n| Ok(!n)))
            .udf(),
        Scalar::new("to_hex")
            .overload(fn1::<Int4, Text>(|n| Ok(format!("{n:x}"))))
            .overload(fn1::<Int8, Text>(|n| Ok(format!("{n:x}"))))
            .udf(),
    ]
}

fn int4(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    Ok(DataType::Int32)
}

fn width_bucket(x: f64, low: f64, high: f64, count: i32) -> Result<i32, SqlError> {
    let invalid = |message: &str| Err(SqlError::new("2201G", message));
    if count <= 0 {
        return invalid("count must be greater than zero");
    }
    if x.is_nan() || low.is_nan() || high.is_nan() {
        return invalid("operand, lower bound, and upper bound cannot be NaN");
    }
    if low.is_infinite() || high.is_infinite() {
        return invalid("lower and upper bounds must be finite");
    }
    if low == high {
        return invalid("lower bound cannot equal upper bound");
    }
    let (below, above) = if low < high { (x < low, x >= high) } else { (x > low, x <= high) };
    if below {
        return Ok(0);
    }
    if above {
        return count.checked_add(1).ok_or_else(too_large("integer"));
    }
    let bucket = (f64::from(count) * ((x - low) / (high - low))) as i32;
    Ok(bucket.min(count - 1) + 1)
}

fn root_of_negative() -> SqlError {
    SqlError::new("2201F", "cannot take square root of a negative number")
}

fn checked(result: f64, from_finite: bool) -> Result<f64, SqlError> {
    if result.is_infinite() && from_finite {
        return Err(SqlError::new("22003", "value out of range: overflow"));
    }
    Ok(result)
}

fn power(a: f64, b: f64) -> Result<f64, SqlError> {
    if a == 0.0 && b < 0.0 {
        return Err(SqlError::new("2201F", "zero raised to a negative power is undefined"));
    }
    if a < 0.0 && b.is_finite() && b != b.trunc() {
        let message = "a negative number raised to a non-integer power yields a complex result";
        return Err(SqlError::new("2201F", message));
    }
    checked(a.powf(b), a.is_finite() && b.is_finite())
}

fn logarithm(x: f64, of: fn(f64) -> f64) -> Result<f64, SqlError> {
    if x == 0.0 {
        return Err(SqlError::new("2201E", "cannot take logarithm of zero"));
    }
    if x < 0.0 {
        return Err(SqlError::new("2201E", "cannot take logarithm of a negative number"));
    }
    Ok(of(x))
}

fn exponential(x: f64) -> Result<f64, SqlError> {
    checked(x.exp(), x.is_finite())
}

/// A numeric computed in double precision.
fn by_float(n: Num, of: impl Fn(f64) -> Result<f64, SqlError>) -> Result<Num, SqlError> {
    from_float(of(numeric::to_float8(n.value, n.scale))?)
}

fn from_float(x: f64) -> Result<Num, SqlError> {
    let text = format!("{x:.16e}");
    let scale = 16;
    Ok(Num { value: numeric::parse(&text, PRECISION_MAX, scale)?, scale })
}

fn power_numeric(a: Num, b: Num) -> Result<Num, SqlError> {
    let unit = power_of_ten(u32::from(b.scale.max(0) as u8)).unwrap_or(1);
    let whole = b.value % unit == 0;
    let exponent = u32::try_from(b.value / unit).ok().filter(|_| whole);
    // Exact where the digits fit.
    if let Some(value) = exponent.and_then(|exponent| a.value.checked_pow(exponent)) {
        let scale = i64::from(a.scale) * i64::from(exponent.unwrap_or(0));
        if scale <= i64::from(PRECISION_MAX) {
            return Ok(Num { value, scale: scale as i8 });
        }
    }
    let b = numeric::to_float8(b.value, b.scale);
    by_float(a, |a| power(a, b))
}

fn powers() -> Vec<ScalarUDF> {
    let quotient = || QUOTIENT;
    vec![
        Scalar::new("power")
            .alias("pow")
            .overload(fn2::<Float8, Float8, Float8>(power))
            .overload(fn2::<Numeric, Numeric, Numeric>(power_numeric).returns_type(quotient()))
            .udf(),
        Scalar::new("sqrt")
            .overload(fn1::<Float8, Float8>(|x| match x < 0.0 {
                true => Err(root_of_negative()),
                false => Ok(x.sqrt()),
            }))
            .overload(fn1::<Numeric, Numeric>(|n| match n.value < 0 {
                true => Err(root_of_negative()),
                false => by_float(n, |x| Ok(x.sqrt())),
            }))
            .udf(),
        Scalar::new("exp")
            .overload(fn1::<Float8, Float8>(exponential))
            .overload(
                fn1::<Numeric, Numeric>(|n| by_float(n, exponential)).returns_type(quotient()),
            )
            .udf(),
        Scalar::new("ln")
            .overload(fn1::<Float8, Float8>(|x| logarithm(x, f64::ln)))
            .overload(
                fn1::<Numeric, Numeric>(|n| by_float(n, |x| logarithm(x, f64::ln)))
                    .returns_type(quotient()),
            )
            .udf(),
        Scalar::new("log")
            .alias("log10")
            .overload(fn1::<Float8, Float8>(|x| logarithm(x, f64::log10)))
            .overload(
                fn1::<Numeric, Numeric>(|n| by_float(n, |x| logarithm(x, f64::log10)))
                    .returns_type(quotient()),
            )
            .overload(
                fn2::<Numeric, Numeric, Numeric>(|base, n| {
                    let base = logarithm(numeric::to_float8(base.value, base.scale), f64::ln)?;
                    if base == 0.0 {
                        return Err(division_by_zero());
                    }
                    by_float(n, |x| Ok(logarithm(x, f64::ln)? / base))
                })
                .returns_type(quotient()),
            )
            .udf(),
    ]
}
