//! Casts from jsonb: a JSON number to a number, a JSON boolean to a boolean; all else is 22023.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, LargeStringArray, StringArray};
use arrow::datatypes::DataType;

use crate::error::SqlError;

use super::super::{jsonb, type_name};
use super::{cast_array, from_text};

pub fn from_jsonb(array: &LargeStringArray, to: &DataType) -> Result<ArrayRef, SqlError> {
    match to {
        DataType::Boolean => {
            let booleans = array.iter().map(|value| match value {
                Some("true") => Ok(Some(true)),
                Some("false") => Ok(Some(false)),
                None => Ok(None),
                Some(other) => Err(wrong_kind(other, to)),
            });
            Ok(Arc::new(booleans.collect::<Result<BooleanArray, SqlError>>()?))
        }
        DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Decimal128(..) => {
            // By way of a numeric that holds every bigint, so that 1.5 rounds as it does there.
            let wide = match to {
                DataType::Decimal128(..) => to.clone(),
                _ => DataType::Decimal128(38, 15),
            };
            cast_array(&from_text(&numbers(array, to)?, &wide)?, to)
        }
        DataType::Float32 | DataType::Float64 => from_text(&numbers(array, to)?, to),
        _ => Err(super::no_cast(array.data_type(), to)),
    }
}

/// The numbers as text.
fn numbers(array: &LargeStringArray, to: &DataType) -> Result<StringArray, SqlError> {
    let texts = array.iter().map(|value| match value {
        None => Ok(None),
        Some(text) if text.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) => {
            Ok(Some(text))
        }
        Some(other) => Err(wrong_kind(other, to)),
    });
    texts.collect()
}

fn wrong_kind(value: &str, to: &DataType) -> SqlError {
    let kind = match jsonb::kind(value) {
        "number" => "numeric",
        kind => kind,
    };
    SqlError::new("22023", format!("cannot cast jsonb {kind} to type {}", type_name(to)))
}
