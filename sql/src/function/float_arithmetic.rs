//! Arithmetic on real and double precision: `+`, `-`, `*`.
//!
//! Law: IEEE 754, and a result that is infinite while no operand is, or a product that is zero
//! while no factor is, is 22003.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::compute::try_binary;
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::logical_expr::ScalarUDF;
use num_traits::Float;

use crate::error::{SqlError, state};

use super::scalar::{Call, Overload, Scalar, Ty, columns};

pub fn functions() -> Vec<ScalarUDF> {
    vec![
        operator(
            "float_pl",
            |call| apply::<Float32Type>(call, sum),
            |call| apply::<Float64Type>(call, sum),
        ),
        operator(
            "float_mi",
            |call| apply::<Float32Type>(call, difference),
            |call| apply::<Float64Type>(call, difference),
        ),
        operator(
            "float_mul",
            |call| apply::<Float32Type>(call, product),
            |call| apply::<Float64Type>(call, product),
        ),
    ]
}

type Body = fn(&Call<'_>) -> Result<ArrayRef, SqlError>;

fn operator(name: &'static str, reals: Body, doubles: Body) -> ScalarUDF {
    let strict = |overload: Overload| Overload { strict: true, ..overload };
    let real = columns(&[Ty::Float4, Ty::Float4], |_, _| Ok(DataType::Float32), reals);
    let double = columns(&[Ty::Float8, Ty::Float8], |_, _| Ok(DataType::Float64), doubles);
    Scalar::new(name).overload(strict(real)).overload(strict(double)).udf()
}

/// Computes one value of two.
type Operation<N> = fn(N, N) -> Result<N, SqlError>;

fn apply<T: ArrowPrimitiveType>(
    call: &Call<'_>,
    op: Operation<T::Native>,
) -> Result<ArrayRef, SqlError> {
    let (a, b) = (call.args[0].as_primitive::<T>(), call.args[1].as_primitive::<T>());
    let result = try_binary::<_, _, _, T>(a, b, |a, b| {
        op(a, b).map_err(|error| arrow::error::ArrowError::ExternalError(Box::new(error)))
    })?;
    Ok(Arc::new(result))
}

fn sum<F: Float>(a: F, b: F) -> Result<F, SqlError> {
    finite(a, b, a + b)
}

fn difference<F: Float>(a: F, b: F) -> Result<F, SqlError> {
    finite(a, b, a - b)
}

fn product<F: Float>(a: F, b: F) -> Result<F, SqlError> {
    let result = finite(a, b, a * b)?;
    if result.is_zero() && !a.is_zero() && !b.is_zero() {
        return Err(out_of_range("underflow"));
    }
    Ok(result)
}

fn finite<F: Float>(a: F, b: F, result: F) -> Result<F, SqlError> {
    if result.is_infinite() && !a.is_infinite() && !b.is_infinite() {
        return Err(out_of_range("overflow"));
    }
    Ok(result)
}

fn out_of_range(how: &str) -> SqlError {
    let message = format!("value out of range: {how}");
    SqlError::new(state::NUMERIC_VALUE_OUT_OF_RANGE, message)
}
