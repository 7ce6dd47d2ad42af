//! `has_table_privilege` and its like: there are no privileges yet, so everybody has them all.

use datafusion::logical_expr::ScalarUDF;

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

use crate::error::SqlError;

use super::scalar::{Call, Scalar, Ty, columns};

fn boolean(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType, SqlError> {
    Ok(DataType::Boolean)
}

/// NULL for a NULL argument, else true.
fn yes(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let row = |row| call.args.iter().all(|arg| !arg.is_null(row)).then_some(true);
    Ok(Arc::new((0..call.rows).map(row).collect::<BooleanArray>()))
}

fn granted(name: &'static str, most: usize) -> ScalarUDF {
    let mut function = Scalar::new(name).stable();
    for count in 2..=most {
        function = function.overload(columns(&vec![Ty::Any; count], boolean, yes));
    }
    function.udf()
}

pub fn functions() -> Vec<ScalarUDF> {
    vec![
        granted("has_any_column_privilege", 3),
        granted("has_column_privilege", 4),
        granted("has_database_privilege", 3),
        granted("has_foreign_data_wrapper_privilege", 3),
        granted("has_function_privilege", 3),
        granted("has_language_privilege", 3),
        granted("has_schema_privilege", 3),
        granted("has_sequence_privilege", 3),
        granted("has_server_privilege", 3),
        granted("has_table_privilege", 3),
        granted("has_tablespace_privilege", 3),
        granted("has_type_privilege", 3),
        granted("pg_has_role", 3),
    ]
}
