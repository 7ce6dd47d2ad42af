//! `char(n)`: blanks at the end are padding and don't count.
//!
//! Law: columns hold n characters each. A quoted literal beside such a column is padded to its
//! length; beside other text, and where text is wanted, the column is taken without its padding.
//! LIKE sees the padding, as it does in PostgreSQL. A column says that it is padded in its field's
//! metadata, for as long as a plan hands it on as it is; a cast is a call of [`CAST`].

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Column, DFSchema, ExprSchema, Result, ScalarValue};
use datafusion::functions::string::expr_fn::rtrim;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use std::sync::Arc;
use tidemark_catalog::PgType;

/// The function that cuts and pads text to a length.
pub const CAST: &str = "bpchar";
/// The one that cuts it.
pub const CUT: &str = "varchar";

/// Functions that take a padded value as it is.
const PADDED: [&str; 6] =
    ["octet_length", "concat", "concat_ws", "format", "to_jsonb", "jsonb_build_object"];

/// The metadata that says how many characters a column is padded to.
const LENGTH: &str = "tidemark.char";
/// The same of `varchar(n)`, which holds so many at most.
const LENGTH_MAX: &str = "tidemark.varchar";
/// What the typmod of such a type has beside its length.
const TYPMOD_HEADER: i32 = 4;

/// A schema whose columns with a length say so.
pub fn marked(schema: SchemaRef, columns: &[tidemark_catalog::Column]) -> SchemaRef {
    let marks: Vec<_> = columns.iter().map(|column| mark(column.ty, column.typmod)).collect();
    if marks.iter().all(HashMap::is_empty) {
        return schema;
    }
    let fields = schema.fields().iter().zip(marks).map(|(field, mark)| match mark.is_empty() {
        true => Arc::clone(field),
        false => Arc::new(Field::clone(field).with_metadata(mark)),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The metadata of a column or a cast of this type; none where the type has no length.
pub fn mark(ty: PgType, typmod: i32) -> HashMap<String, String> {
    let key = match ty {
        PgType::Bpchar => LENGTH,
        PgType::Varchar => LENGTH_MAX,
        _ => return HashMap::new(),
    };
    match typmod - TYPMOD_HEADER {
        length @ 1.. => HashMap::from([(key.to_owned(), length.to_string())]),
        _ => HashMap::new(),
    }
}

/// What of a field's metadata is such a mark.
pub fn mark_of(field: &Field) -> HashMap<String, String> {
    declared(field).map_or_else(HashMap::new, |(ty, typmod)| mark(ty, typmod))
}

/// The type and typmod of a column that says its length.
pub fn declared(field: &Field) -> Option<(PgType, i32)> {
    if *field.data_type() != DataType::Utf8 {
        return None;
    }
    [(LENGTH, PgType::Bpchar), (LENGTH_MAX, PgType::Varchar)].into_iter().find_map(|(key, ty)| {
        let length: i32 = field.metadata().get(key)?.parse().ok()?;
        Some((ty, length + TYPMOD_HEADER))
    })
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

/// Takes the padding off the arguments of a function, most of which take text.
pub fn unpad_arguments(function: &str, args: &mut [Expr], schema: &DFSchema) {
    if !PADDED.contains(&function) {
        args.iter_mut().for_each(|arg| unpad(arg, schema));
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

/// The characters that a column or the result of a cast is padded to.
fn length(expr: &Expr, schema: &DFSchema) -> Option<usize> {
    let column = match expr {
        Expr::Column(column) => column,
        Expr::ScalarFunction(call) if call.name() == CAST => {
            return match call.args.get(1)? {
                Expr::Literal(ScalarValue::Int32(Some(length)), _) => (*length).try_into().ok(),
                Expr::Literal(ScalarValue::Int64(Some(length)), _) => (*length).try_into().ok(),
                _ => None,
            };
        }
        _ => return None,
    };
    let field = schema.field_from_column(column).ok()?;
    if *field.data_type() != DataType::Utf8 {
        return None;
    }
    field.metadata().get(LENGTH)?.parse().ok()
}
