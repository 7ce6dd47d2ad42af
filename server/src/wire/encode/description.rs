//! What a client is told of a result's columns before the rows: names, types, formats.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use pgwire::api::Type;
use pgwire::api::results::{FieldFormat, FieldInfo};
use tidemark_catalog::PgType;
use tidemark_sql::error::{SqlError, state};

/// The fields of a RowDescription.
pub type FieldsOf = Arc<Vec<FieldInfo>>;

/// Formats of `columns` result columns from a Bind message's codes: none is text, one is for all.
///
/// Errors: 08P01 for any other number of codes, 22023 for a code other than 0 and 1.
pub fn result_formats(codes: &[i16], columns: usize) -> Result<Vec<FieldFormat>, SqlError> {
    let format = |code: &i16| match code {
        0 => Ok(FieldFormat::Text),
        1 => Ok(FieldFormat::Binary),
        other => {
            let message = format!("unsupported format code: {other}");
            Err(SqlError::new(state::INVALID_PARAMETER_VALUE, message))
        }
    };
    match codes {
        [] => Ok(vec![FieldFormat::Text; columns]),
        [one] => Ok(vec![format(one)?; columns]),
        many if many.len() == columns => many.iter().map(format).collect(),
        many => Err(SqlError::new(
            state::PROTOCOL_VIOLATION,
            format!(
                "bind message has {} result formats but query has {columns} columns",
                many.len()
            ),
        )),
    }
}

/// The description of a result; `formats` has one entry per field of the schema.
///
/// Errors: 0A000 for an Arrow type that stands for no PostgreSQL type.
pub fn fields(schema: &Schema, formats: &[FieldFormat]) -> Result<FieldsOf, SqlError> {
    let fields = schema.fields().iter().zip(formats);
    let fields = fields.map(|(field, format)| field_info(field.name(), field.data_type(), *format));
    Ok(Arc::new(fields.collect::<Result<_, _>>()?))
}

/// One column's description; it says nothing of the table it is from.
pub fn field_info(
    name: &str,
    data_type: &DataType,
    format: FieldFormat,
) -> Result<FieldInfo, SqlError> {
    let (pg_type, typmod) = PgType::from_arrow(data_type).ok_or_else(|| no_type(data_type))?;
    let oid = pg_type.oid().0;
    let wire_type = Type::from_oid(oid).expect("every type of the table is built into PostgreSQL");
    Ok(FieldInfo::new(name.to_owned(), None, None, wire_type, format)
        .with_type_size(pg_type.typlen())
        .with_type_modifier(typmod))
}

/// The error for an Arrow type outside the table of types.
pub fn no_type(data_type: &DataType) -> SqlError {
    SqlError::unsupported(format!("a value of type {data_type} can't be sent to a client"))
        .with_hint("Cast it to a type that PostgreSQL has.")
}
