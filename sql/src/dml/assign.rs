//! Assignment: what may go into a column, and in which form it is stored.
//!
//! Law: PostgreSQL's assignment casts: numbers among each other, dates and timestamps among each
//! other, anything into text. Everything else needs a cast in the statement (42804).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, SchemaRef};
use tidemark_catalog::{Column, Object, PgType};

use crate::error::{SqlError, state};
use crate::function::cast::cast_array;
use crate::function::type_name;
use crate::text_io::{OutputSettings, format_value};

/// 42804 unless a value of the type can be assigned to the column.
pub fn check(from: &DataType, column: &Column) -> Result<(), SqlError> {
    let to = column.ty.to_arrow(column.typmod);
    if assignable(from, &to) {
        return Ok(());
    }
    let message = format!(
        "column \"{}\" is of type {} but expression is of type {}",
        column.name,
        column.ty.sql_name(),
        type_name(from)
    );
    let hint = "You will need to rewrite or cast the expression.";
    Err(SqlError::new(state::DATATYPE_MISMATCH, message).with_hint(hint))
}

fn assignable(from: &DataType, to: &DataType) -> bool {
    use DataType::{Date32, List, Null, Time64, Timestamp, Utf8};
    match (from, to) {
        _ if from == to => true,
        (Null, _) | (_, Utf8) => true,
        (List(from), List(to)) => assignable(from.data_type(), to.data_type()),
        (from, to) if from.is_numeric() && to.is_numeric() => true,
        (Date32 | Timestamp(..), Date32 | Timestamp(..)) => true,
        (Timestamp(..), Time64(_)) => true,
        _ => false,
    }
}

/// Values as the column stores them: cast, cut or padded to its length.
pub fn store(array: &ArrayRef, column: &Column) -> Result<ArrayRef, SqlError> {
    check(array.data_type(), column)?;
    let array = cast_array(array, &column.ty.to_arrow(column.typmod))?;
    match column.ty {
        PgType::Varchar | PgType::Bpchar if column.typmod > 4 => {
            let length = (column.typmod - 4) as usize;
            limit_length(array.as_string(), column, length)
        }
        _ => Ok(array),
    }
}

fn limit_length(array: &StringArray, column: &Column, length: usize) -> Result<ArrayRef, SqlError> {
    let pads = column.ty == PgType::Bpchar;
    let fits = |text: &str| text.len() <= length && (!pads || text.len() == length);
    if array.iter().flatten().all(fits) {
        return Ok(Arc::new(array.clone()));
    }
    let limited: StringArray = array
        .iter()
        .map(|text| text.map(|text| one_length(text, column, length, pads)).transpose())
        .collect::<Result<_, SqlError>>()?;
    Ok(Arc::new(limited))
}

fn one_length(text: &str, column: &Column, length: usize, pads: bool) -> Result<String, SqlError> {
    let mut kept: String = text.chars().take(length).collect();
    // Blanks beyond the length don't count.
    if text[kept.len()..].contains(|c| c != ' ') {
        let message = format!("value too long for type {}", column.ty.format(column.typmod));
        return Err(SqlError::new(state::STRING_DATA_RIGHT_TRUNCATION, message));
    }
    if pads {
        let missing = length.saturating_sub(kept.chars().count());
        kept.extend(std::iter::repeat_n(' ', missing));
    }
    Ok(kept)
}

/// Rows of the table made of complete columns, checked for NULL where there must be none.
pub fn rows(
    object: &Object,
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
) -> Result<RecordBatch, SqlError> {
    for (index, column) in object.columns().iter().enumerate() {
        if column.not_null && columns[index].logical_null_count() > 0 {
            let row = (0..columns[index].len())
                .find(|row| columns[index].is_null(*row))
                .unwrap_or_default();
            return Err(not_null(object, column, &columns, row));
        }
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

fn not_null(object: &Object, column: &Column, columns: &[ArrayRef], row: usize) -> SqlError {
    let message = format!(
        "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
        column.name, object.name
    );
    SqlError::new(state::NOT_NULL_VIOLATION, message)
        .with_detail(format!("Failing row contains ({}).", values(columns, row, "null")))
}

/// A row as PostgreSQL's details show it.
pub fn values(columns: &[ArrayRef], row: usize, null: &str) -> String {
    let settings = OutputSettings::default();
    let texts: Vec<String> = columns
        .iter()
        .map(|column| {
            if column.is_null(row) {
                return null.to_string();
            }
            let mut text = String::new();
            format_value(column.as_ref(), row, &mut text, &settings);
            text
        })
        .collect();
    texts.join(", ")
}
