//! Parameters: a Bind message's values as the statement's.
//!
//! Law     A value is read as the type the statement was prepared with: the one the client declared
//!         (psycopg declares small integers int2, whatever the position wants), else the one the
//!         planner inferred, else text. What the position wants beyond that is a cast in the plan.
//! Errors  08P01 for the wrong number of values or formats, 22P02, 22P03 and 22021 for values that
//!         are none of their type

mod column;
pub mod receive;
#[cfg(test)]
mod tests;

pub use column::ColumnInput;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use pgwire::api::results::FieldFormat;
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::text_io::{self, InputSettings};

/// The values of a Bind message, one for each of `types`; `None` is NULL. `formats` are the
/// message's codes: none is text, one is for all.
pub fn decode<B: AsRef<[u8]>>(
    types: &[DataType],
    formats: &[i16],
    values: &[Option<B>],
    input: &InputSettings,
) -> Result<Vec<ScalarValue>, SqlError> {
    let formats = parameter_formats(formats, values.len())?;
    if values.len() != types.len() {
        let (given, due) = (values.len(), types.len());
        let message = format!("bind message supplies {given} parameters, but {due} are required");
        return Err(SqlError::new(state::PROTOCOL_VIOLATION, message));
    }
    let values = values.iter().zip(types).zip(formats).enumerate();
    let values = values.map(|(index, ((value, ty), format))| {
        let value = value.as_ref().map(B::as_ref);
        decode_value(ty, format, value, input).map_err(|error| with_number(error, index + 1))
    });
    values.collect()
}

fn parameter_formats(codes: &[i16], values: usize) -> Result<Vec<FieldFormat>, SqlError> {
    super::encode::result_formats(codes, values).map_err(|error| match error.code {
        state::PROTOCOL_VIOLATION => SqlError::new(
            state::PROTOCOL_VIOLATION,
            format!("bind message has {} parameter formats but {values} parameters", codes.len()),
        ),
        _ => error,
    })
}

/// One value of type `ty`.
pub fn decode_value(
    ty: &DataType,
    format: FieldFormat,
    value: Option<&[u8]>,
    input: &InputSettings,
) -> Result<ScalarValue, SqlError> {
    let ty = match ty {
        // Nothing says what it is: text, as PostgreSQL decides.
        DataType::Null => &DataType::Utf8,
        known => known,
    };
    match (value, format) {
        (None, _) => Ok(ScalarValue::try_from(ty)?),
        (Some(bytes), FieldFormat::Text) => {
            text_io::parse_text(ty, receive::valid_text(bytes)?, input)
        }
        (Some(bytes), FieldFormat::Binary) => {
            let mut column = receive::column(ty)?;
            column.append(bytes)?;
            Ok(ScalarValue::try_from_array(&column.finish(), 0)?)
        }
    }
}

/// Says which parameter could not be read, where PostgreSQL's message does.
fn with_number(mut error: SqlError, number: usize) -> SqlError {
    if error == receive::malformed() {
        error.message = format!("incorrect binary data format in bind parameter {number}");
    }
    error
}
