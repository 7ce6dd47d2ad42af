//! ALTER TABLE … ADD COLUMN: a column for rows that are there already.
//!
//! Law: they all have one value in it, at every time there ever was: the DEFAULT as of now, once
//! (S22). So it must be a constant.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use sqlparser::ast;
use tidemark_catalog::{Column, Object, ObjectKind, Table};

use super::TableDefinition;
use crate::context::{PlanContext, ReadView};
use crate::dml::{default_plan, insert_rows};
use crate::error::{SqlError, state};

/// The column that is added, checked against those that are there.
///
/// Errors: 42701 for a name that is taken, 42704 for a type there is not, 0A000 for constraints
/// and for a DEFAULT that is another one for each row.
pub fn define_column(
    ctx: &PlanContext,
    table: &Object,
    written: &ast::ColumnDef,
) -> Result<Column, SqlError> {
    let mut definition = TableDefinition::empty(&table.schema, &table.name);
    definition.add_column(written)?;
    let column = definition.columns.remove(0);
    if table.connector().is_some() {
        return Err(SqlError::unsupported(format!(
            "table \"{}\" has the columns that its connector gives it",
            table.name
        )));
    }
    if !definition.primary_key.is_empty() {
        return Err(SqlError::unsupported("a primary key cannot be added to a table"));
    }
    if table.column(&column.name).is_some() {
        let (name, relation) = (&column.name, &table.name);
        let message = format!("column \"{name}\" of relation \"{relation}\" already exists");
        return Err(SqlError::new(state::DUPLICATE_COLUMN, message));
    }
    if column.default.is_some() {
        check_constant(ctx, &column)?;
    }
    Ok(column)
}

fn check_constant(ctx: &PlanContext, column: &Column) -> Result<(), SqlError> {
    let mut volatile = false;
    default_plan(ctx, column)?.apply_with_subqueries(|node| {
        for expr in node.expressions() {
            expr.apply(|expr| {
                volatile |= expr.is_volatile_node();
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    match volatile {
        true => Err(SqlError::unsupported("the DEFAULT of an added column must be a constant")
            .with_detail("The rows that are there have it at every time, also in the past.")
            .with_hint("Add the column without a DEFAULT, and UPDATE the rows.")),
        false => Ok(()),
    }
}

/// What the rows that are there have in an added column: one row.
pub fn added_value(
    ctx: &PlanContext,
    table: &Object,
    column: &Column,
    read: &ReadView,
) -> Result<ArrayRef, SqlError> {
    let alone = Table {
        columns: vec![Column { not_null: false, ..column.clone() }],
        primary_key: vec![],
        primary_key_name: None,
        append_only: false,
        event_time: None,
        source: None,
        connector: None,
    };
    let alone = Object::new(table.id, &table.schema, &table.name, ObjectKind::Table(alone));
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)?;
    let row = insert_rows(ctx, &alone, &[], &row, read)?;
    Ok(Arc::clone(row.column(0)))
}

impl TableDefinition {
    fn empty(schema: &str, name: &str) -> Self {
        TableDefinition {
            schema: schema.to_owned(),
            name: name.to_owned(),
            if_not_exists: false,
            columns: Vec::new(),
            primary_key: Vec::new(),
            primary_key_name: None,
            append_only: false,
            event_time: None,
            outside: None,
            query: None,
            notices: Vec::new(),
        }
    }
}
