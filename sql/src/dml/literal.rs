//! `VALUES` of literals and parameters, read straight into columns: no plan, no execution.
//!
//! Law: the rows are those that planning the same VALUES would give; whatever is not plainly a
//! literal of its column's type is left to the planner.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::scalar::ScalarValue;
use sqlparser::ast::{Expr, UnaryOperator, Value, Values};
use std::sync::Arc;
use tidemark_catalog::Column;

use super::assign;
use super::complete::{constant, is_default, is_whole, literal_type};
use crate::error::SqlError;
use crate::function::cast::cast_array;
use crate::rewrite::parameters::index_of;
use crate::text_io::{InputSettings, parse_text};

/// The rows; None if the planner has to see them.
pub fn rows(
    values: &Values,
    columns: &[&Column],
    params: &[ScalarValue],
) -> Result<Option<RecordBatch>, SqlError> {
    let types: Vec<DataType> = columns.iter().map(|column| literal_type(column)).collect();
    let mut scalars: Vec<Vec<ScalarValue>> =
        columns.iter().map(|_| Vec::with_capacity(values.rows.len())).collect();
    for row in &values.rows {
        if row.content.len() != columns.len() {
            return Ok(None);
        }
        for (at, expr) in row.content.iter().enumerate() {
            match scalar(expr, &types[at], columns[at], params)? {
                Some(value) => scalars[at].push(value),
                None => return Ok(None),
            }
        }
    }
    let arrays: Vec<ArrayRef> =
        scalars.into_iter().map(ScalarValue::iter_to_array).collect::<Result<_, _>>()?;
    let fields: Vec<Field> = columns
        .iter()
        .zip(&arrays)
        .map(|(column, array)| Field::new(&column.name, array.data_type().clone(), true))
        .collect();
    Ok(Some(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?))
}

/// Types of the parameters of such VALUES; None if the planner has to see them.
pub fn parameters(
    values: &Values,
    columns: &[&Column],
    types: &mut Vec<Option<DataType>>,
) -> Result<Option<()>, SqlError> {
    let mut found = types.clone();
    for row in &values.rows {
        if row.content.len() != columns.len() {
            return Ok(None);
        }
        for (expr, column) in row.content.iter().zip(columns) {
            let ty = column.ty.to_arrow(-1);
            if let Expr::Value(value) = expr
                && let Value::Placeholder(id) = &value.value
                && let Some(index) = index_of(id)
            {
                if found.len() <= index {
                    found.resize(index + 1, None);
                }
                match &found[index] {
                    Some(given) => assign::check(given, column)?,
                    None => found[index] = Some(ty),
                }
            } else if scalar(expr, &literal_type(column), column, &[])?.is_none() {
                return Ok(None);
            }
        }
    }
    // A parameter that is not there has no type.
    for ty in &mut found {
        ty.get_or_insert(DataType::Utf8);
    }
    *types = found;
    Ok(Some(()))
}

fn scalar(
    expr: &Expr,
    ty: &DataType,
    column: &Column,
    params: &[ScalarValue],
) -> Result<Option<ScalarValue>, SqlError> {
    let input = InputSettings::default();
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Placeholder(id) => {
                let value = index_of(id).and_then(|index| params.get(index));
                match value.filter(|value| value.data_type() == column.ty.to_arrow(-1)) {
                    Some(value) if value.data_type() != *ty => {
                        let array = cast_array(&value.to_array()?, ty)?;
                        Ok(Some(ScalarValue::try_from_array(&array, 0)?))
                    }
                    value => Ok(value.cloned()),
                }
            }
            Value::Number(text, _)
                if matches!(ty, DataType::Decimal128(..)) || ty.is_floating() =>
            {
                Ok(Some(parse_text(ty, text, &input)?))
            }
            _ => constant(expr, column),
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match expr.as_ref() {
            Expr::Value(value) => match &value.value {
                Value::Number(text, _) if is_number(text, ty) => {
                    Ok(Some(parse_text(ty, &format!("-{text}"), &input)?))
                }
                _ => Ok(None),
            },
            _ => Ok(None),
        },
        expr if is_default(expr) && column.default.is_none() => {
            Ok(Some(ScalarValue::try_from(ty)?))
        }
        _ => Ok(None),
    }
}

fn is_number(text: &str, ty: &DataType) -> bool {
    match ty {
        DataType::Decimal128(..) | DataType::Float32 | DataType::Float64 => true,
        ty => ty.is_integer() && is_whole(text),
    }
}
