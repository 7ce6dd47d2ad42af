//! A view's columns: PostgreSQL's names and types for them.
//!
//! Law: the plan's columns have the Arrow types that the catalog's columns stand for, so what the
//! engine stores is what readers are told. A column that is a table's column keeps its type and
//! typmod (`varchar(10)`); a bare NULL is text.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use sqlparser::ast;
use tidemark_catalog::{Column, PgType};
use tidemark_engine::Plan;
use tidemark_engine::plan::{AggregatePlan, ProjectPlan};

use super::rel::{Rel, as_column};
use super::resolve::cast_columns;
use crate::error::{SqlError, state};
use crate::parse::fold;

/// Columns a relation may have, as in PostgreSQL.
const COLUMNS_MAX: usize = 1600;

/// The query's column names, the first ones replaced by those written after the view's name.
pub(super) fn output_names(
    schema: &Schema,
    written: &[ast::Ident],
) -> Result<Vec<String>, SqlError> {
    let own = schema.fields().iter().map(|field| field.name().clone());
    if written.len() > schema.fields().len() {
        return Err(SqlError::syntax("too many column names were specified"));
    }
    let names: Vec<String> = written.iter().map(fold).chain(own.skip(written.len())).collect();
    if names.len() > COLUMNS_MAX {
        let message = format!("materialized views can have at most {COLUMNS_MAX} columns");
        return Err(SqlError::new(state::TOO_MANY_COLUMNS, message));
    }
    let mut seen = HashSet::new();
    match names.iter().find(|name| !seen.insert(name.as_str())) {
        None => Ok(names),
        Some(name) => {
            let message = format!("column \"{name}\" specified more than once");
            Err(SqlError::new(state::DUPLICATE_COLUMN, message))
        }
    }
}

/// The catalog's columns of a relation.
pub(super) fn output_columns(rel: &Rel, names: &[String]) -> Result<Vec<Column>, SqlError> {
    let schema = rel.schema();
    let columns = schema.fields().iter().enumerate().zip(names).map(|((i, field), name)| {
        let data_type = field.data_type();
        let known = origin(rel, i).filter(|(ty, typmod)| ty.to_arrow(*typmod) == *data_type);
        let known = known.or_else(|| column_type(data_type));
        let (ty, typmod) = known.ok_or_else(|| pseudo_type(name, data_type))?;
        Ok(Column { typmod, ..Column::new(name, ty) })
    });
    columns.collect()
}

/// The type and typmod that stand for an Arrow type in storage. A numeric has a typmod where plain
/// `numeric` would be another scale: averages and quotients keep their 16 digits.
pub fn column_type(data_type: &DataType) -> Option<(PgType, i32)> {
    let (ty, typmod) = PgType::from_arrow(data_type)?;
    match data_type {
        _ if matches!(ty, PgType::Record | PgType::Array(PgType::Record)) => None,
        DataType::Decimal128(precision, scale) if ty.to_arrow(typmod) != *data_type => {
            Some((ty, PgType::numeric_typmod(*precision, *scale)?))
        }
        _ => Some((ty, typmod)),
    }
}

/// The error for a column whose type only results have.
pub fn pseudo_type(name: &str, data_type: &DataType) -> SqlError {
    let ty = crate::function::type_name(data_type);
    let message = format!("column \"{name}\" has pseudo-type {ty}");
    SqlError::new(state::INVALID_TABLE_DEFINITION, message)
}

/// The type and typmod of the stored column that a column is a copy of.
fn origin(rel: &Rel, i: usize) -> Option<(PgType, i32)> {
    match rel {
        Rel::Scan(scan) => scan.types.get(i).copied(),
        Rel::Constant(_) | Rel::Union(_) | Rel::SetOperation(_) | Rel::Recursive(_) => None,
        Rel::Filter(filter) => origin(&filter.input, i),
        Rel::TopK(top) => origin(&top.input, i),
        Rel::Window(window) if i < window.input.width() => origin(&window.input, i),
        Rel::Session(session) if i < session.input.width() => origin(&session.input, i),
        Rel::Session(session) => origin(&session.input, session.time),
        Rel::Window(_) => None,
        Rel::Unnest(unnest) => {
            let mut kept = (0..unnest.input.width()).filter(|i| !unnest.lists.contains(i));
            origin(&unnest.input, kept.nth(i)?)
        }
        Rel::Project(project) => origin(&project.input, as_column(&project.exprs[i])?),
        Rel::Join(join) => match i.checked_sub(join.left.width()) {
            None => origin(&join.left, i),
            Some(right) => origin(&join.right, right),
        },
        Rel::VersionJoin(join) => match i.checked_sub(join.input.width()) {
            None => origin(&join.input, i),
            Some(right) => join.versions.types.get(join.columns[right]).copied(),
        },
        Rel::Aggregate(aggregate) => match aggregate.keys.get(i) {
            Some(&key) => origin(&aggregate.input, key),
            None => None,
        },
    }
}

/// The relation with the Arrow types of the columns.
pub(super) fn typed(rel: Rel, columns: &[Column]) -> Result<Rel, SqlError> {
    cast_columns(rel, &schema_of(columns))
}

/// The plan with the names of the columns.
pub(super) fn renamed(plan: Plan, columns: &[Column]) -> Plan {
    let own = plan.schema();
    let same = own.fields().iter().zip(columns).all(|(field, column)| *field.name() == column.name);
    let schema = schema_of(columns);
    match plan {
        plan if same => plan,
        Plan::Project(project) => Plan::Project(Box::new(ProjectPlan { schema, ..*project })),
        Plan::Aggregate(aggregate) => {
            Plan::Aggregate(Box::new(AggregatePlan { schema, ..*aggregate }))
        }
        input => {
            let exprs = own.fields().iter().enumerate().map(|(i, field)| {
                let column = datafusion::physical_expr::expressions::Column::new(field.name(), i);
                Arc::new(column) as tidemark_engine::Expr
            });
            let exprs = exprs.collect();
            Plan::Project(Box::new(ProjectPlan { input, exprs, schema }))
        }
    }
}

fn schema_of(columns: &[Column]) -> SchemaRef {
    let field = |column: &Column| -> Field {
        let data_type: DataType = column.ty.to_arrow(column.typmod);
        Field::new(&column.name, data_type, true)
    };
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}
