//! Casts between numbers.
//!
//! Law: to an integer, a numeric rounds half away from zero and a float half to even; what does not
//! fit is 22003. A double becomes a numeric by its 15 significant digits, a real by its 6.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::cast::AsArray;
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, Decimal128Array, Float32Array, Float64Array,
    PrimitiveArray,
};
use arrow::datatypes::{
    DataType, Decimal128Type, Int16Type, Int32Type, Int64Type, UInt32Type, UInt64Type,
};

use crate::error::SqlError;
use crate::text_io::{float, numeric};

use super::super::type_name;

/// Casts numbers to numbers; both types have been checked to be numbers.
pub fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, SqlError> {
    match array.data_type() {
        DataType::Int16 => integers(array.as_primitive::<Int16Type>(), to),
        DataType::Int32 => integers(array.as_primitive::<Int32Type>(), to),
        DataType::Int64 => integers(array.as_primitive::<Int64Type>(), to),
        DataType::UInt32 => integers(array.as_primitive::<UInt32Type>(), to),
        DataType::UInt64 => integers(array.as_primitive::<UInt64Type>(), to),
        DataType::Decimal128(_, scale) => numerics(array.as_primitive(), *scale, to),
        DataType::Float32 => reals(array.as_primitive(), to),
        DataType::Float64 => doubles(array.as_primitive(), to),
        other => Err(super::no_cast(other, to)),
    }
}

fn out_of_range(to: &DataType) -> SqlError {
    SqlError::new("22003", format!("{} out of range", type_name(to)))
}

/// From whole numbers to an integer type.
fn narrow<F, T>(
    array: &PrimitiveArray<F>,
    to: &DataType,
    whole: impl Fn(F::Native) -> Option<i128>,
) -> Result<ArrayRef, SqlError>
where
    F: ArrowPrimitiveType,
    T: ArrowPrimitiveType,
    T::Native: TryFrom<i128>,
{
    let narrowed: PrimitiveArray<T> = array.try_unary(|value| {
        let fits = whole(value).and_then(|whole| T::Native::try_from(whole).ok());
        fits.ok_or_else(|| out_of_range(to))
    })?;
    Ok(Arc::new(narrowed))
}

/// From whole numbers to any integer type; None when `to` is no integer.
fn to_integer<F: ArrowPrimitiveType>(
    array: &PrimitiveArray<F>,
    to: &DataType,
    whole: impl Fn(F::Native) -> Option<i128>,
) -> Option<Result<ArrayRef, SqlError>> {
    Some(match to {
        DataType::Int16 => narrow::<F, Int16Type>(array, to, whole),
        DataType::Int32 => narrow::<F, Int32Type>(array, to, whole),
        DataType::Int64 => narrow::<F, Int64Type>(array, to, whole),
        DataType::UInt32 => narrow::<F, UInt32Type>(array, to, whole),
        DataType::UInt64 => narrow::<F, UInt64Type>(array, to, whole),
        _ => return None,
    })
}

fn integers<F>(array: &PrimitiveArray<F>, to: &DataType) -> Result<ArrayRef, SqlError>
where
    F: ArrowPrimitiveType,
    F::Native: Into<i128>,
{
    if let Some(result) = to_integer(array, to, |value| Some(value.into())) {
        return result;
    }
    match *to {
        DataType::Decimal128(precision, scale) => {
            decimals(array, precision, scale, |value| Ok((value.into(), 0)))
        }
        DataType::Float32 => {
            let floats: Float32Array = array.unary(|value| value.into() as f32);
            Ok(Arc::new(floats))
        }
        DataType::Float64 => {
            let floats: Float64Array = array.unary(|value| value.into() as f64);
            Ok(Arc::new(floats))
        }
        _ => Err(super::no_cast(array.data_type(), to)),
    }
}

/// Into `Decimal128(precision, scale)`, each value given as its digits and their scale.
fn decimals<F: ArrowPrimitiveType>(
    array: &PrimitiveArray<F>,
    precision: u8,
    scale: i8,
    digits: impl Fn(F::Native) -> Result<(i128, i8), SqlError>,
) -> Result<ArrayRef, SqlError> {
    let result: Decimal128Array = array.try_unary(|value| {
        let (value, from) = digits(value)?;
        numeric::to_type(value, from, precision, scale)
    })?;
    Ok(Arc::new(result.with_data_type(DataType::Decimal128(precision, scale))))
}

fn numerics(
    array: &PrimitiveArray<Decimal128Type>,
    from: i8,
    to: &DataType,
) -> Result<ArrayRef, SqlError> {
    if let Some(result) = to_integer(array, to, |value| numeric::rescale(value, from, 0)) {
        return result;
    }
    match *to {
        DataType::Decimal128(precision, scale) => {
            decimals(array, precision, scale, |value| Ok((value, from)))
        }
        DataType::Float32 => {
            let floats: Float32Array = array.try_unary(|value| {
                let mut text = String::new();
                numeric::format_full(value, from, &mut text);
                float::parse_float4(&text)
            })?;
            Ok(Arc::new(floats))
        }
        DataType::Float64 => {
            let floats: Float64Array = array.unary(|value| numeric::to_float8(value, from));
            Ok(Arc::new(floats))
        }
        _ => Err(super::no_cast(array.data_type(), to)),
    }
}

/// Half to even; None for NaN, infinities and what is far out of every range.
fn whole_of(value: f64) -> Option<i128> {
    let rounded = value.round_ties_even();
    (rounded.abs() < 1e30).then_some(rounded as i128)
}

fn doubles(array: &Float64Array, to: &DataType) -> Result<ArrayRef, SqlError> {
    if let Some(result) = to_integer(array, to, whole_of) {
        return result;
    }
    match *to {
        DataType::Decimal128(precision, scale) => float_decimals(array, precision, scale, 14),
        DataType::Float32 => {
            let floats: Float32Array = array.try_unary(to_real)?;
            Ok(Arc::new(floats))
        }
        _ => Err(super::no_cast(array.data_type(), to)),
    }
}

fn to_real(value: f64) -> Result<f32, SqlError> {
    let real = value as f32;
    if real.is_infinite() && value.is_finite() {
        return Err(SqlError::new("22003", "value out of range: overflow"));
    }
    if real == 0.0 && value != 0.0 {
        return Err(SqlError::new("22003", "value out of range: underflow"));
    }
    Ok(real)
}

fn reals(array: &Float32Array, to: &DataType) -> Result<ArrayRef, SqlError> {
    if let Some(result) = to_integer(array, to, |value| whole_of(f64::from(value))) {
        return result;
    }
    match *to {
        DataType::Decimal128(precision, scale) => float_decimals(array, precision, scale, 5),
        DataType::Float64 => {
            let floats: Float64Array = array.unary(f64::from);
            Ok(Arc::new(floats))
        }
        _ => Err(super::no_cast(array.data_type(), to)),
    }
}

/// By the decimal digits a float is sure to hold: one before the point and `digits` after it.
fn float_decimals<F>(
    array: &PrimitiveArray<F>,
    precision: u8,
    scale: i8,
    digits: usize,
) -> Result<ArrayRef, SqlError>
where
    F: ArrowPrimitiveType,
    F::Native: Into<f64>,
{
    let mut text = String::new();
    let mut parse = |value: F::Native| {
        let value: f64 = value.into();
        if !value.is_finite() {
            return Err(SqlError::unsupported(format!("numeric \"{value}\" is not supported")));
        }
        text.clear();
        write!(text, "{value:.digits$e}").expect("writing to a String");
        numeric::parse(&text, precision, scale)
    };
    let result: Decimal128Array = {
        let values = array.iter().map(|value| value.map(&mut parse).transpose());
        values.collect::<Result<_, SqlError>>()?
    };
    Ok(Arc::new(result.with_data_type(DataType::Decimal128(precision, scale))))
}
