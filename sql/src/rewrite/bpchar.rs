//! `char(n)`: blanks at the end are padding and don't count.
//!
//! Law: columns hold n characters each. A quoted literal beside such a column is padded to its
//! length; beside other text, and where text is wanted, the column is taken without its padding.
//! LIKE sees the padding, as it does in PostgreSQL. A column says that it is padded in its field's
//! metadata, for as long as a plan hands it on as it is.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Column, DFSchema, ExprSchema, Result, ScalarValue};
use datafusion::functions::string::expr_fn::rtrim;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use std::sync::Arc;
use tidemark_catalog::PgType;

/// The metadata that says how many characters a column is padded to.
const LENGTH: &str = "tidemark.char";

/// A schema whose padded columns say so.
pub fn marked(schema: SchemaRef, columns: &[tidemark_catalog::Column]) -> SchemaRef {
    let length = |column: &tidemark_catalog::Column| match column.ty {
        PgType::Bpchar if column.typmod > 4 => Some(column.typmod - 4),
        _ => None,
    };
    if !columns.iter().any(|column| length(column).is_some()) {
        return schema;
    }
    let fields = schema.fields().iter().zip(columns).map(|(field, column)| match length(column) {
        Some(length) => {
            let metadata = HashMap::from([(LENGTH.to_string(), length.to_string())]);
            Arc::new(Field::clone(field).with_metadata(metadata))
        }
        None => Arc::clone(field),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Makes values comparable that are compared with one another.
pub fn compared(exprs: Vec<&mut Expr>, schema: &DFSchema) {
    let lengths: Vec<Option<usize>> = exprs.iter().map(|expr| length(expr, schema)).collect();
    let Some(first) = lengths.iter().flatten().next() else { return };
    let literal = |expr: &Expr| matches!(expr, Expr::Literal(ScalarValue::Utf8(_), _));
    let alike =
        exprs.iter().zip(&lengths).all(|(expr, length)| literal(expr) || *length == Some(*first));
    for expr in exprs {
        match expr {
            Expr::Literal(ScalarValue::Utf8(Some(text)), _) => {
                text.truncate(text.trim_end_matches(' ').len());
                if alike {
                    let missing = first.saturating_sub(text.chars().count());
                    text.extend(std::iter::repeat_n(' ', missing));
                }
            }
            _ if alike => {}
            expr => unpad(expr, schema),
        }
    }
}

/// Takes the padding off a column that goes where text is wanted.
pub fn unpad(expr: &mut Expr, schema: &DFSchema) {
    if length(expr, schema).is_some() {
        *expr = rtrim(vec![std::mem::take(expr)]);
    }
}

/// The length of a padded column of a plan.
pub fn column_length(plan: &LogicalPlan, column: usize) -> Option<usize> {
    let field = plan.schema().field(column);
    field.metadata().get(LENGTH)?.parse().ok()
}

/// A plan with one padded column as text.
pub fn unpad_column(plan: LogicalPlan, column: usize) -> Result<LogicalPlan> {
    let each = plan.schema().iter().enumerate().map(|(n, (qualifier, field))| {
        let expr = Expr::Column(Column::from((qualifier, field)));
        match n == column {
            true => rtrim(vec![expr]).alias_qualified(qualifier.cloned(), field.name()),
            false => expr,
        }
    });
    let columns: Vec<Expr> = each.collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// The characters that a column is padded to.
fn length(expr: &Expr, schema: &DFSchema) -> Option<usize> {
    let Expr::Column(column) = expr else { return None };
    let field = schema.field_from_column(column).ok()?;
    if *field.data_type() != DataType::Utf8 {
        return None;
    }
    field.metadata().get(LENGTH)?.parse().ok()
}
