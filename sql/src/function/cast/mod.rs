//! Casts by Postgres' rules: one function per target type, made by the rewrite pass for each cast.
//!
//! Law: `x::type` is what PostgreSQL gives: numbers round half away from zero (floats to integers
//! half to even) and are checked against the target's range, text is read and everything is
//! printed by [`crate::text_io`]. A pair of types without a cast is 42846. Time zone is UTC.

mod datetime;
mod json;
mod number;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::cast::AsArray;
use arrow::array::{Array, ArrayRef, ListArray, StringArray, new_null_array};
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::{Result as PlanResult, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use crate::error::SqlError;
use crate::text_io::{InputSettings, OutputSettings, column_parser, to_text};

use super::type_name;

/// The function of one argument that casts to `to`.
pub fn cast(to: &DataType) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Cast::new(to)))
}

/// The target of a cast made by [`cast`]; None for every other function.
pub fn target(function: &ScalarUDF) -> Option<&DataType> {
    function.inner().downcast_ref::<Cast>().map(|cast| &cast.to)
}

/// Casts a whole column.
pub fn cast_array(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, SqlError> {
    let from = array.data_type();
    if from == to {
        return Ok(Arc::clone(array));
    }
    match (from, to) {
        (DataType::Null, _) => Ok(new_null_array(to, array.len())),
        (DataType::Utf8View | DataType::Dictionary(..), _) => {
            let text = arrow::compute::cast(array, &DataType::Utf8)?;
            cast_array(&text, to)
        }
        (DataType::Utf8, _) => from_text(array.as_string(), to),
        (_, DataType::Utf8) => Ok(Arc::new(to_text(array, &OutputSettings::default())?)),
        (DataType::List(_), DataType::List(field)) => cast_list(array.as_list(), field),
        (DataType::LargeUtf8, _) => json::from_jsonb(array.as_string(), to),
        _ if is_number(from) && is_number(to) => number::cast(array, to),
        (DataType::Int32, DataType::Boolean) | (DataType::Boolean, DataType::Int32) => {
            Ok(arrow::compute::cast(array, to)?)
        }
        _ if is_datetime(from) && is_datetime(to) => datetime::cast(array, to),
        _ => Err(no_cast(from, to)),
    }
}

fn no_cast(from: &DataType, to: &DataType) -> SqlError {
    let (from, to) = (type_name(from), type_name(to));
    SqlError::new("42846", format!("cannot cast type {from} to {to}"))
}

fn is_number(ty: &DataType) -> bool {
    matches!(
        ty,
        DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt32
            | DataType::UInt64
            | DataType::Float32
            | DataType::Float64
            | DataType::Decimal128(..)
    )
}

fn is_datetime(ty: &DataType) -> bool {
    matches!(
        ty,
        DataType::Date32
            | DataType::Time64(TimeUnit::Microsecond)
            | DataType::Timestamp(..)
            | DataType::Duration(_)
            | DataType::Interval(_)
    )
}

/// Whether Postgres has a cast between the types, explicit ones included.
pub fn exists(from: &DataType, to: &DataType) -> bool {
    let text = |ty: &DataType| matches!(ty, DataType::Utf8 | DataType::Utf8View | DataType::Null);
    let json = |ty: &DataType| matches!(ty, DataType::LargeUtf8);
    match (from, to) {
        _ if from == to || text(from) || text(to) => true,
        (DataType::Dictionary(_, value), _) => exists(value, to),
        (DataType::List(a), DataType::List(b)) => exists(a.data_type(), b.data_type()),
        (DataType::Int32, DataType::Boolean) | (DataType::Boolean, DataType::Int32) => true,
        (_, DataType::Boolean) => json(from),
        _ if is_number(from) && is_number(to) => true,
        _ if is_datetime(from) && is_datetime(to) => datetime::exists(from, to),
        _ => json(from) && is_number(to),
    }
}

/// Whether Postgres casts without being asked to, as it does to find a function.
pub fn is_implicit(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Date32, Decimal128, Float32, Float64, Int16, Int32, Int64, List, Null, Time64, Timestamp,
        UInt32, Utf8, Utf8View,
    };
    match (from, to) {
        _ if from == to => true,
        (Null, _) | (Utf8View, Utf8) | (Decimal128(..), Decimal128(..)) => true,
        (Int16, Int32 | Int64 | UInt32 | Decimal128(..) | Float32 | Float64) => true,
        (Int32, Int64 | UInt32 | Decimal128(..) | Float32 | Float64) => true,
        (Int64, UInt32 | Decimal128(..) | Float32 | Float64) => true,
        (Decimal128(..), Float32 | Float64) | (Float32, Float64) | (UInt32, Int64) => true,
        (Date32, Timestamp(..)) | (Timestamp(_, None), Timestamp(_, Some(_))) => true,
        (Time64(_), DataType::Interval(_)) => true,
        (List(from), List(to)) => is_implicit(from.data_type(), to.data_type()),
        _ => false,
    }
}

fn from_text(text: &StringArray, to: &DataType) -> Result<ArrayRef, SqlError> {
    let mut parser = column_parser(to, &InputSettings::default(), text.len())?;
    for value in text {
        match value {
            Some(value) => parser.append(value)?,
            None => parser.append_null(),
        }
    }
    Ok(parser.finish())
}

fn cast_list(list: &ListArray, field: &FieldRef) -> Result<ArrayRef, SqlError> {
    let values = cast_array(list.values(), field.data_type())?;
    let nulls = list.nulls().cloned();
    Ok(Arc::new(ListArray::try_new(Arc::clone(field), list.offsets().clone(), values, nulls)?))
}

#[derive(Debug)]
struct Cast {
    to: DataType,
    signature: Signature,
}

impl Cast {
    fn new(to: &DataType) -> Self {
        // Reading a date from text depends on settings, but on none that can change here.
        Cast { to: to.clone(), signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl PartialEq for Cast {
    fn eq(&self, other: &Self) -> bool {
        self.to == other.to
    }
}

impl Eq for Cast {}

impl Hash for Cast {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.to.hash(state);
    }
}

impl ScalarUDFImpl for Cast {
    fn name(&self) -> &str {
        "pg_cast"
    }

    /// `CAST(x AS type)`, as EXPLAIN and column names show it.
    fn schema_name(&self, args: &[datafusion::logical_expr::Expr]) -> PlanResult<String> {
        Ok(format!("CAST({} AS {})", args[0].schema_name(), type_name(&self.to)))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> PlanResult<DataType> {
        Ok(self.to.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> PlanResult<FieldRef> {
        let field = &args.arg_fields[0];
        if !exists(field.data_type(), &self.to) {
            return Err(no_cast(field.data_type(), &self.to).into());
        }
        Ok(Arc::new(Field::new(field.name(), self.to.clone(), field.is_nullable())))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        match &args.args[0] {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(cast_array(array, &self.to)?)),
            ColumnarValue::Scalar(value) => {
                let result = cast_array(&value.to_array()?, &self.to)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?))
            }
        }
    }
}
