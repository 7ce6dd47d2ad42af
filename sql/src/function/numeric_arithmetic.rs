//! Arithmetic on `numeric`, whose scales and rounding are not DataFusion's: `+`, `-`, `*`, `/`,
//! `%`.
//!
//! Law: a sum has the digits after the point of its finer operand, a product the scales' sum, a
//! quotient those that Postgres gives it ([`tidemark_engine::decimal`]), all computed in 256 bits
//! and rounded once, half away from zero; dividing by zero is 22012, a result whose digits before
//! the point do not fit its type 22003. What is computed of a numeric without type modifier is one,
//! of a quotient a quotient. Differs from Postgres: 20 digits after the point are all that such a
//! result has, whatever the scales of its operands.

use arrow::datatypes::{DataType, i256};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ScalarUDF;

use tidemark_engine::decimal::{
    QUOTIENT_SCALE, is_quotient, quotient_digits, quotient_over, significant,
};

use crate::error::SqlError;
use crate::text_io::numeric::{
    PRECISION_MAX, QUOTIENT, SCALE_UNCONSTRAINED, UNCONSTRAINED, digits_of, divide_round,
    divide_round_wide, overflow, power_of_ten, rescale, wide_power_of_ten,
};

use super::body::{Int4, Num, Numeric, WideNum, WideNumeric, fn1, fn2};
use super::scalar::Scalar;

pub fn functions() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("numeric_add")
            .overload(
                fn2::<Numeric, Numeric, WideNumeric>(|a, b| {
                    Ok(sum(a, b, i128::checked_add, i256::wrapping_add))
                })
                .returns(total),
            )
            .udf(),
        Scalar::new("numeric_sub")
            .overload(
                fn2::<Numeric, Numeric, WideNumeric>(|a, b| {
                    Ok(sum(a, b, i128::checked_sub, i256::wrapping_sub))
                })
                .returns(total),
            )
            .udf(),
        Scalar::new("scale").overload(fn1::<Numeric, Int4>(|n| Ok(digits(n)))).udf(),
        Scalar::new("min_scale")
            .overload(fn1::<Numeric, Int4>(|n| Ok(significant(n.value, n.scale).max(0).into())))
            .udf(),
        Scalar::new("trim_scale")
            .overload(fn1::<Numeric, Numeric>(Ok).returns_type(UNCONSTRAINED))
            .udf(),
        Scalar::new("numeric_mul")
            .overload(
                fn2::<Numeric, Numeric, WideNumeric>(|a, b| Ok(multiply(a, b))).returns(product),
            )
            .udf(),
        Scalar::new("numeric_div")
            .overload(fn2::<Numeric, Numeric, WideNumeric>(divide).returns(quotient))
            .udf(),
        Scalar::new("mod_numeric")
            .overload(fn2::<Numeric, Numeric, WideNumeric>(remainder).returns(common))
            .udf(),
        Scalar::new("div")
            .overload(
                fn2::<Numeric, Numeric, WideNumeric>(whole_quotient)
                    .returns_type(DataType::Decimal128(PRECISION_MAX, 0)),
            )
            .udf(),
    ]
}

/// The digits after the point that a number is known to have.
fn digits(n: Num) -> i32 {
    match n.scale == SCALE_UNCONSTRAINED {
        true => significant(n.value, n.scale).into(),
        false => n.scale.into(),
    }
}

/// 22012.
pub fn division_by_zero() -> SqlError {
    SqlError::new("22012", "division by zero")
}

/// Precision and scale of a numeric type.
pub fn parts(ty: &DataType) -> (u8, i8) {
    match ty {
        DataType::Decimal128(precision, scale) => (digits_of(*precision, *scale), *scale),
        _ => (PRECISION_MAX, SCALE_UNCONSTRAINED),
    }
}

/// What is computed of a numeric without type modifier, or else of a quotient.
fn unbounded(types: &[DataType]) -> Option<DataType> {
    let quotient = |ty: &DataType| match ty {
        DataType::Decimal128(precision, scale) => is_quotient(*precision, *scale),
        _ => false,
    };
    if types.contains(&UNCONSTRAINED) {
        return Some(UNCONSTRAINED);
    }
    types.iter().any(quotient).then_some(QUOTIENT)
}

/// The type of a sum or a difference.
fn total(types: &[DataType], constants: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    if let Some(ty) = unbounded(types) {
        return Ok(ty);
    }
    let DataType::Decimal128(precision, scale) = common(types, constants)? else {
        unreachable!("numerics have a numeric in common")
    };
    Ok(DataType::Decimal128((precision + 1).min(PRECISION_MAX), scale))
}

/// The type of a product.
fn product(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    if let Some(ty) = unbounded(types) {
        return Ok(ty);
    }
    let ((p1, s1), (p2, s2)) = (parts(&types[0]), parts(&types[1]));
    let scale = s1 + s2;
    if scale > QUOTIENT_SCALE {
        return Ok(QUOTIENT);
    }
    Ok(DataType::Decimal128((p1 + p2).min(PRECISION_MAX), scale))
}

/// The type of a quotient: with the digits that room is left for when the dividend is a bigint.
fn quotient(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    match (&types[0], &types[1]) {
        (DataType::Decimal128(19, 0), DataType::Decimal128(_, 0)) => {
            Ok(quotient_over(&types[0]).expect("of a numeric"))
        }
        _ => Ok(QUOTIENT),
    }
}

/// The type that holds the digits of both.
pub fn common(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    let ((p1, s1), (p2, s2)) = (parts(&types[0]), parts(&types[1]));
    let scale = s1.max(s2);
    let whole = (i16::from(p1) - i16::from(s1)).max(i16::from(p2) - i16::from(s2));
    let precision = (whole + i16::from(scale)).min(i16::from(PRECISION_MAX));
    Ok(DataType::Decimal128(precision as u8, scale))
}

fn too_large() -> SqlError {
    overflow(PRECISION_MAX, 0)
}

/// Digits are at most 38 on either side of the point, so that 256 bits hold both.
fn in_units(n: Num, scale: i8) -> i256 {
    let unit = wide_power_of_ten(u32::from((scale - n.scale) as u8)).expect("at most 10^38");
    i256::from_i128(n.value).wrapping_mul(unit)
}

/// Either operand in units of the finer one, then added or subtracted.
fn sum(
    a: Num,
    b: Num,
    of: fn(i128, i128) -> Option<i128>,
    wide: fn(i256, i256) -> i256,
) -> WideNum {
    let scale = a.scale.max(b.scale);
    let at = |n: Num| rescale(n.value, n.scale, scale);
    let value = match at(a).zip(at(b)).and_then(|(a, b)| of(a, b)) {
        Some(value) => i256::from_i128(value),
        None => wide(in_units(a, scale), in_units(b, scale)),
    };
    WideNum { value, scale }
}

fn multiply(a: Num, b: Num) -> WideNum {
    let value = match a.value.checked_mul(b.value) {
        Some(value) => i256::from_i128(value),
        None => i256::from_i128(a.value).wrapping_mul(i256::from_i128(b.value)),
    };
    WideNum { value, scale: a.scale + b.scale }
}

/// The quotient with the digits after the point that Postgres gives it.
fn divide(a: Num, b: Num) -> Result<WideNum, SqlError> {
    if b.value == 0 {
        return Err(division_by_zero());
    }
    let scale =
        quotient_digits((a.value.unsigned_abs(), a.scale), (b.value.unsigned_abs(), b.scale));
    let shift = i32::from(scale) - i32::from(a.scale) + i32::from(b.scale);
    let narrow = u32::try_from(shift).ok().and_then(power_of_ten);
    if let Some(dividend) = narrow.and_then(|unit| a.value.checked_mul(unit)) {
        let value = i256::from_i128(divide_round(dividend, b.value));
        return Ok(WideNum { value, scale });
    }
    let unit = wide_power_of_ten(shift.unsigned_abs()).ok_or_else(too_large)?;
    let (dividend, divisor) = (i256::from_i128(a.value), i256::from_i128(b.value));
    // A dividend that leaves 256 bits, over 38 digits, leaves 38 digits.
    let (dividend, divisor) = match shift < 0 {
        true => (dividend, divisor.wrapping_mul(unit)),
        false => (dividend.checked_mul(unit).ok_or_else(too_large)?, divisor),
    };
    Ok(WideNum { value: divide_round_wide(dividend, divisor), scale })
}

/// The remainder with the sign of the dividend.
pub fn remainder(a: Num, b: Num) -> Result<WideNum, SqlError> {
    if b.value == 0 {
        return Err(division_by_zero());
    }
    let scale = a.scale.max(b.scale);
    let value = in_units(a, scale).wrapping_rem(in_units(b, scale));
    Ok(WideNum { value, scale })
}

/// The quotient without digits after the point.
fn whole_quotient(a: Num, b: Num) -> Result<WideNum, SqlError> {
    if b.value == 0 {
        return Err(division_by_zero());
    }
    let scale = a.scale.max(b.scale);
    Ok(WideNum { value: in_units(a, scale).wrapping_div(in_units(b, scale)), scale: 0 })
}
