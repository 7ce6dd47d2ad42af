//! `expand_array`: the elements of an array with their places, which the rewrite pass takes apart
//! for `information_schema._pg_expandarray` (JDBC asks for the columns of keys by it).
//!
//! Law: a composite (x: the element, n: its place from 1) for each element; none of a NULL array.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, ListArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ScalarUDF;

use crate::error::SqlError;

use super::scalar::{Call, Scalar, Ty, columns, list};

pub fn functions() -> Vec<ScalarUDF> {
    vec![Scalar::new("expand_array").overload(columns(&[Ty::AnyArray], pairs_of, expand)).udf()]
}

fn fields(element: &DataType) -> Fields {
    Fields::from(vec![
        Field::new("x", element.clone(), true),
        Field::new("n", DataType::Int32, true),
    ])
}

fn pairs_of(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    match &types[0] {
        DataType::List(item) => Ok(list(DataType::Struct(fields(item.data_type())))),
        other => Err(SqlError::internal(format!("an array is expanded, not {other}"))),
    }
}

fn expand(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let arrays = call.args[0].as_list::<i32>();
    let elements = (0..call.rows)
        .map(|row| if arrays.is_valid(row) { arrays.value(row) } else { empty(arrays) });
    let elements: Vec<ArrayRef> = elements.collect();
    let lengths: Vec<usize> = elements.iter().map(|elements| elements.len()).collect();
    let places: Int32Array = lengths.iter().flat_map(|&length| 1..=length as i32).collect();
    let parts: Vec<&dyn Array> = elements.iter().map(|elements| elements.as_ref()).collect();
    let values = match parts.is_empty() {
        true => empty(arrays),
        false => arrow::compute::concat(&parts)?,
    };
    let fields = fields(&arrays.value_type());
    let pairs = StructArray::try_new(fields.clone(), vec![values, Arc::new(places)], None)?;
    let item = Arc::new(Field::new("item", DataType::Struct(fields), true));
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(item, offsets, Arc::new(pairs), None)?))
}

fn empty(arrays: &ListArray) -> ArrayRef {
    arrays.values().slice(0, 0)
}
