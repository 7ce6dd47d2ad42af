//! Rows to insert, made complete: columns in the table's order, defaults where none is given.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt64Array, new_null_array};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::logical_expr::LogicalPlan;
use datafusion::scalar::ScalarValue;
use sqlparser::ast::{self, Expr, Ident, SelectItem, SetExpr, TableWithJoins, Value};
use sqlparser::parser::Parser;
use tidemark_catalog::{Column, Object, PgType};

use super::assign;
use super::target::{ast_type, given, given_factor, typed};
use crate::context::{PlanContext, ReadView};
use crate::error::SqlError;
use crate::plan::{finish, to_rel};
use crate::resolve::{Resolver, relation_schema};
use crate::rewrite::ast::{cast_to, empty_query};
use crate::run;
use crate::session_state::session_state;
use crate::text_io::{InputSettings, parse_text};

const ROWS: &str = "\u{1}rows";

/// Completes rows for `table`: `batch` holds the columns `columns` (indexes into the table's) in
/// that order; the result has all of them, with defaults, casts to the column's type, NOT NULL and
/// lengths checked. `read` gives `now()` for the defaults.
pub fn insert_rows(
    ctx: &PlanContext,
    table: &Object,
    columns: &[usize],
    batch: &RecordBatch,
    read: &ReadView,
) -> Result<RecordBatch, SqlError> {
    let rows = batch.num_rows();
    let complete: Vec<ArrayRef> = table
        .columns()
        .iter()
        .enumerate()
        .map(|(index, column)| match columns.iter().position(|given| *given == index) {
            Some(at) => assign::store(batch.column(at), column),
            None => default_values(ctx, column, rows, read),
        })
        .collect::<Result<_, _>>()?;
    assign::rows(table, &relation_schema(table.columns()), complete)
}

/// A default's value for each of `rows` rows.
fn default_values(
    ctx: &PlanContext,
    column: &Column,
    rows: usize,
    read: &ReadView,
) -> Result<ArrayRef, SqlError> {
    let ty = column.ty.to_arrow(column.typmod);
    let Some(text) = &column.default else { return Ok(new_null_array(&ty, rows)) };
    let expr = parse_expr(text)?;
    if is_now(&expr) {
        let now = run::now_literal(read.now).to_array_of_size(rows)?;
        return assign::store(&now, column);
    }
    if let Some(value) = constant(&expr, column)? {
        return assign::store(&value.to_array_of_size(rows)?, column);
    }
    let plan = default_plan(ctx, column)?;
    let numbers: UInt64Array = (0..rows as u64).collect();
    let batch = RecordBatch::try_new(rows_schema(), vec![Arc::new(numbers)])?;
    let given = BTreeMap::from([(ROWS.to_string(), batch)]);
    let batches = futures::executor::block_on(run::collect(ctx, &plan, read, &[], &given))?;
    let values: Vec<&dyn arrow::array::Array> =
        batches.iter().map(|batch| batch.column(0).as_ref()).collect();
    if values.is_empty() {
        return Ok(new_null_array(&ty, rows));
    }
    assign::store(&arrow::compute::concat(&values)?, column)
}

/// The type that a literal of a column is read as: the column's own where its scale says what is
/// kept, and that without a length where a value too long is an error of storing it.
pub fn literal_type(column: &Column) -> DataType {
    column.ty.to_arrow(if column.ty == PgType::Numeric { column.typmod } else { -1 })
}

/// A default that needs no evaluation: a literal.
pub fn constant(expr: &Expr, column: &Column) -> Result<Option<ScalarValue>, SqlError> {
    let input = InputSettings::default();
    let ty = literal_type(column);
    let Expr::Value(value) = expr else { return Ok(None) };
    Ok(match &value.value {
        Value::Null => Some(ScalarValue::try_from(&ty)?),
        Value::SingleQuotedString(text) => Some(parse_text(&ty, text, &input)?),
        Value::Number(text, _) if is_whole(text) && ty.is_integer() && fits(text, &ty) => {
            Some(parse_text(&ty, text, &input)?)
        }
        Value::Boolean(value) if ty == DataType::Boolean => Some(ScalarValue::from(*value)),
        _ => None,
    })
}

/// The commonest default that is no literal.
fn is_now(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function)
        if matches!(function.to_string().to_lowercase().as_str(), "now()" | "current_timestamp"))
}

/// Whether a whole number is in the range of an integer type; where not, its cast says so.
fn fits(number: &str, ty: &DataType) -> bool {
    match ty {
        DataType::Int16 => number.parse::<i16>().is_ok(),
        DataType::Int32 => number.parse::<i32>().is_ok(),
        DataType::Int64 => number.parse::<i64>().is_ok(),
        _ => number.parse::<u32>().is_ok(),
    }
}

pub fn is_whole(number: &str) -> bool {
    number.bytes().all(|byte| byte.is_ascii_digit())
}

/// The plan of a default: one column over the rows to insert, checked to be assignable.
pub(crate) fn default_plan(ctx: &PlanContext, column: &Column) -> Result<LogicalPlan, SqlError> {
    let text = column.default.as_deref().unwrap_or("NULL");
    let expr = typed(parse_expr(text)?, column);
    let mut query = empty_query();
    if let SetExpr::Select(select) = query.body.as_mut() {
        let alias = Ident::with_quote('"', "default");
        select.projection = vec![SelectItem::ExprWithAlias { expr, alias }];
        let relation = given_factor(ROWS, ROWS);
        select.from = vec![TableWithJoins { relation, joins: vec![] }];
    }
    let session = session_state(ctx);
    let sources = BTreeMap::from([(ROWS.to_string(), given(ROWS, rows_schema()))]);
    let resolver = Resolver::new(ctx, &session).with_given(sources);
    let plan =
        to_rel(&resolver, &query, &[]).map_err(|error| SqlError { position: None, ..error })?;
    if !resolver.resolved().functions.is_empty() {
        let message = "functions of the user's are not supported in defaults";
        return Err(SqlError::unsupported(message).with_hint("Write the function's expression."));
    }
    let plan = finish(&session, plan, &mut Vec::new())?;
    let ty = plan.schema().field(0).data_type();
    assign::check(ty, column).map_err(|error| {
        let message = error.message.replace("but expression", "but default expression");
        SqlError { message, ..error }
    })?;
    Ok(plan)
}

fn rows_schema() -> arrow::datatypes::SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::UInt64, false)]))
}

/// A column's default as an expression of its type; NULL without one.
pub fn default_expr(column: &Column) -> Result<Expr, SqlError> {
    let expr = parse_expr(column.default.as_deref().unwrap_or("NULL"))?;
    Ok(match expr {
        Expr::Value(_) => typed(expr, column),
        expr => cast_to(expr, ast_type(column.ty)),
    })
}

fn parse_expr(text: &str) -> Result<Expr, SqlError> {
    let dialect = sqlparser::dialect::PostgreSqlDialect {};
    let parsed = Parser::new(&dialect).try_with_sql(text).and_then(|mut p| p.parse_expr());
    parsed.map_err(|error: sqlparser::parser::ParserError| {
        SqlError::internal(format!("a stored default cannot be read: {error}"))
    })
}

/// Whether an expression is the keyword DEFAULT.
pub fn is_default(expr: &ast::Expr) -> bool {
    matches!(expr, Expr::Identifier(ident)
        if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default"))
}
