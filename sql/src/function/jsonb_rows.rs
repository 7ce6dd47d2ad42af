//! What jsonb arrays and objects hold, as arrays that the rewrite pass takes apart into rows:
//! `jsonb_array_elements`, `jsonb_each`, `jsonb_object_keys` and their kin.
//!
//! Law: in the order of the value's text. Elements and values are jsonb, or text where the name
//! says so, of which null is NULL; a value of the wrong kind is 22023.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, LargeStringBuilder, ListBuilder, StringBuilder};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ScalarUDF;

use crate::error::{SqlError, state};

use super::jsonb::{as_text, items, kind, members};
use super::scalar::{Call, Overload, Scalar, Ty, columns, list};

pub fn functions() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("jsonb_elements").overload(json(elements)).udf(),
        Scalar::new("jsonb_elements_text").overload(text(elements)).udf(),
        Scalar::new("jsonb_keys").overload(keys("jsonb_object_keys")).udf(),
        Scalar::new("jsonb_each_keys").overload(keys("jsonb_each")).udf(),
        Scalar::new("jsonb_each_values").overload(json(values)).udf(),
        Scalar::new("jsonb_each_values_text").overload(text(values)).udf(),
    ]
}

/// The parts of a value.
type Parts = for<'a> fn(&'a str) -> Result<Vec<&'a str>, SqlError>;

fn elements(json: &str) -> Result<Vec<&str>, SqlError> {
    match kind(json) {
        "array" => Ok(items(json).collect()),
        "object" => Err(wrong("cannot extract elements from an object")),
        _ => Err(wrong("cannot extract elements from a scalar")),
    }
}

fn values(json: &str) -> Result<Vec<&str>, SqlError> {
    match kind(json) {
        "object" => Ok(members(json).map(|(_, value)| value).collect()),
        _ => Err(wrong("cannot call jsonb_each on a non-object")),
    }
}

fn wrong(message: &str) -> SqlError {
    SqlError::new(state::INVALID_PARAMETER_VALUE, message)
}

fn json(parts: Parts) -> Overload {
    columns(&[Ty::Jsonb], of_json, move |call| {
        let mut builder = ListBuilder::new(LargeStringBuilder::new());
        each(call, |json| {
            match json {
                Some(json) => {
                    parts(json)?.into_iter().for_each(|part| builder.values().append_value(part));
                    builder.append(true);
                }
                None => builder.append_null(),
            }
            Ok(())
        })?;
        Ok(Arc::new(builder.finish()) as ArrayRef)
    })
}

fn text(parts: Parts) -> Overload {
    texts(move |json, builder| {
        parts(json)?.into_iter().for_each(|part| builder.append_option(as_text(part)));
        Ok(())
    })
}

fn keys(function: &'static str) -> Overload {
    texts(move |json, builder| {
        match kind(json) {
            "object" => {}
            "array" if function == "jsonb_object_keys" => {
                return Err(wrong("cannot call jsonb_object_keys on an array"));
            }
            _ if function == "jsonb_object_keys" => {
                return Err(wrong("cannot call jsonb_object_keys on a scalar"));
            }
            _ => return Err(wrong("cannot call jsonb_each on a non-object")),
        }
        members(json).for_each(|(key, _)| builder.append_option(as_text(key)));
        Ok(())
    })
}

fn texts(
    append: impl Fn(&str, &mut StringBuilder) -> Result<(), SqlError> + Send + Sync + 'static,
) -> Overload {
    columns(&[Ty::Jsonb], of_text, move |call| {
        let mut builder = ListBuilder::new(StringBuilder::new());
        each(call, |json| {
            match json {
                Some(json) => {
                    append(json, builder.values())?;
                    builder.append(true);
                }
                None => builder.append_null(),
            }
            Ok(())
        })?;
        Ok(Arc::new(builder.finish()) as ArrayRef)
    })
}

fn each(
    call: &Call<'_>,
    mut row: impl FnMut(Option<&str>) -> Result<(), SqlError>,
) -> Result<(), SqlError> {
    let json = call.args[0].as_string::<i64>();
    (0..call.rows).try_for_each(|at| row(json.is_valid(at).then(|| json.value(at))))
}

fn of_json(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    Ok(list(DataType::LargeUtf8))
}

fn of_text(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    Ok(list(DataType::Utf8))
}
