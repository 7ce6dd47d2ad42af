//! `pg_typeof(x)`: the name of an expression's type, as text (Postgres gives a regtype, which
//! prints the same), and `pg_column_size`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Array, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ScalarUDF;

use crate::error::SqlError;

use super::scalar::{Scalar, Ty, columns};
use super::type_name;

fn text(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    Ok(DataType::Utf8)
}

fn int4(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    Ok(DataType::Int32)
}

pub fn functions() -> Vec<ScalarUDF> {
    vec![
        Scalar::new("pg_typeof")
            .overload(columns(&[Ty::Any], text, |call| {
                let name = type_name(call.args[0].data_type());
                let names: ArrayRef = Arc::new(StringArray::from(vec![name; call.rows]));
                Ok(names)
            }))
            .udf(),
        Scalar::new("pg_column_size")
            .overload(columns(&[Ty::Any], int4, |call| {
                let array = &call.args[0];
                let size = |row: usize| array.slice(row, 1).get_buffer_memory_size() as i32;
                let row = |row: usize| array.is_valid(row).then(|| size(row));
                Ok(Arc::new((0..call.rows).map(row).collect::<Int32Array>()))
            }))
            .udf(),
    ]
}
