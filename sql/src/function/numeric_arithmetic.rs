//! Arithmetic on `numeric`, whose scales and rounding are not DataFusion's: `+`, `-`, `*`, `/`,
//! `%`.
//!
//! Law: a sum has the digits after the point of its finer operand, a product the scales' sum, a
//! quotient those that Postgres gives it ([`tidemark_engine::decimal`]), all rounded half away from
//! zero; dividing by zero is 22012, more than 38 digits 22003. What is computed of a numeric
//! without
//! type modifier is one, of a quotient a quotient. Differs from Postgres: 20 digits after the point
//! are all that such a result has.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ScalarUDF;

use tidemark_engine::decimal::{
    QUOTIENT_SCALE, is_quotient, quotient_digits, quotient_over, significant,
};

use crate::error::SqlError;
use crate::text_io::numeric::{
    PRECISION_MAX, QUOTIENT, SCALE_UNCONSTRAINED, UNCONSTRAINED, digits_of, divide_round, overflow,
    power_of_ten, rescale,
};

use super::body::{Int4, Num, Numeric, fn1, fn2};
use super::scalar::Scalar;

pub fn functions() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("numeric_add")
            .overload(
                fn2::<Numeric, Numeric, Numeric>(|a, b| sum(a, b, i128::checked_add))
                    .returns(total),
            )
            .udf(),
        Scalar::new("numeric_sub")
            .overload(
                fn2::<Numeric, Numeric, Numeric>(|a, b| sum(a, b, i128::checked_sub))
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
            .overload(fn2::<Numeric, Numeric, Numeric>(multiply).returns(product))
            .udf(),
        Scalar::new("numeric_div")
            .overload(fn2::<Numeric, Numeric, Numeric>(divide).returns(quotient))
            .udf(),
        Scalar::new("mod_numeric")
            .overload(fn2::<Numeric, Numeric, Numeric>(remainder).returns(common))
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
pub fn product(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
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

/// Either operand in units of the finer one, then added or subtracted.
fn sum(a: Num, b: Num, of: fn(i128, i128) -> Option<i128>) -> Result<Num, SqlError> {
    let scale = a.scale.max(b.scale);
    let at = |n: Num| rescale(n.value, n.scale, scale);
    let value = at(a).zip(at(b)).and_then(|(a, b)| of(a, b)).ok_or_else(too_large)?;
    Ok(Num { value, scale })
}

fn multiply(a: Num, b: Num) -> Result<Num, SqlError> {
    let value = match a.value.checked_mul(b.value) {
        Some(value) => value,
        None => return multiply_wide(a, b),
    };
    Ok(Num { value, scale: a.scale + b.scale })
}

/// Digits beyond the 38th are dropped by halves of the scale: exact where the result is.
fn multiply_wide(a: Num, b: Num) -> Result<Num, SqlError> {
    let (a, b) = (trim(a), trim(b));
    if let Some(value) = a.value.checked_mul(b.value) {
        return Ok(Num { value, scale: a.scale + b.scale });
    }
    // 256 bits by halves: (ah·2⁶⁴ + al)(bh·2⁶⁴ + bl) divided by ten to the surplus scale.
    let surplus = u32::from((a.scale + b.scale - SCALE_UNCONSTRAINED).max(0) as u8);
    let divisor = power_of_ten(surplus).ok_or_else(too_large)?;
    let negative = (a.value < 0) != (b.value < 0);
    let magnitude = wide::mul_div(a.value.unsigned_abs(), b.value.unsigned_abs(), divisor as u128)
        .ok_or_else(too_large)?;
    let value = i128::try_from(magnitude).map_err(|_| too_large())?;
    let scale = (a.scale + b.scale).min(SCALE_UNCONSTRAINED);
    Ok(Num { value: if negative { -value } else { value }, scale })
}

/// Without trailing zeros after the point.
fn trim(mut n: Num) -> Num {
    while n.scale > 0 && n.value % 10 == 0 {
        n.value /= 10;
        n.scale -= 1;
    }
    n
}

/// The quotient with the digits after the point that Postgres gives it.
pub fn divide(a: Num, b: Num) -> Result<Num, SqlError> {
    if b.value == 0 {
        return Err(division_by_zero());
    }
    let scale =
        quotient_digits((a.value.unsigned_abs(), a.scale), (b.value.unsigned_abs(), b.scale));
    let (a, b) = (trim(a), trim(b));
    let shift = i32::from(scale) - i32::from(a.scale) + i32::from(b.scale);
    if shift < 0 {
        let unit = power_of_ten(shift.unsigned_abs()).ok_or_else(too_large)?;
        let divisor = b.value.checked_mul(unit).ok_or_else(too_large)?;
        return Ok(Num { value: divide_round(a.value, divisor), scale });
    }
    let unit = power_of_ten(shift as u32).ok_or_else(too_large)?;
    if let Some(dividend) = a.value.checked_mul(unit) {
        return Ok(Num { value: divide_round(dividend, b.value), scale });
    }
    let negative = (a.value < 0) != (b.value < 0);
    let magnitude = wide::mul_div(a.value.unsigned_abs(), unit as u128, b.value.unsigned_abs())
        .ok_or_else(too_large)?;
    let value = i128::try_from(magnitude).map_err(|_| too_large())?;
    Ok(Num { value: if negative { -value } else { value }, scale })
}

/// The remainder with the sign of the dividend.
pub fn remainder(a: Num, b: Num) -> Result<Num, SqlError> {
    if b.value == 0 {
        return Err(division_by_zero());
    }
    let scale = a.scale.max(b.scale);
    let at = |n: Num| {
        power_of_ten(u32::from((scale - n.scale) as u8))
            .and_then(|unit| n.value.checked_mul(unit))
            .ok_or_else(too_large)
    };
    Ok(Num { value: at(a)? % at(b)?, scale })
}

mod wide {
    //! 256-bit products, divided back into 128 bits.

    /// `a · b / c`, rounded half up; None when it does not fit.
    pub fn mul_div(a: u128, b: u128, c: u128) -> Option<u128> {
        let (high, low) = mul(a, b);
        if high >= c {
            return None;
        }
        let (mut quotient, mut rest) = (0u128, high);
        for bit in (0..128).rev() {
            let carry = rest >> 127 == 1;
            rest = rest << 1 | (low >> bit & 1);
            quotient <<= 1;
            if carry || rest >= c {
                rest = rest.wrapping_sub(c);
                quotient |= 1;
            }
        }
        if rest >= c - rest { quotient.checked_add(1) } else { Some(quotient) }
    }

    fn mul(a: u128, b: u128) -> (u128, u128) {
        let mask = u128::from(u64::MAX);
        let (a_high, a_low, b_high, b_low) = (a >> 64, a & mask, b >> 64, b & mask);
        let low = a_low * b_low;
        let middle = a_high * b_low + (low >> 64);
        let (carry, middle) = (middle >> 64, middle & mask);
        let middle = a_low * b_high + middle;
        let high = a_high * b_high + carry + (middle >> 64);
        (high, middle << 64 | (low & mask))
    }
}
