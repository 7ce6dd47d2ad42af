//! ALTER TABLE … ADD COLUMN, ALTER COLUMN: a column for rows that are there already.
//!
//! Law: of an added one they all have one value in it, at every time there ever was: the DEFAULT as
//! of now, once (S22). So it must be a constant.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use sqlparser::ast;
use tidemark_catalog::{Column, Object, ObjectKind, Table};

use super::{TableDefinition, TableOptions, column_type};
use crate::context::{PlanContext, ReadView};
use crate::dml::{default_plan, insert_rows};
use crate::error::{SqlError, state};
use crate::parse::ColumnChange;

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

/// ALTER COLUMN: the DEFAULT of rows to come.
///
/// Errors: 42703; 0A000 for what rows of the past would contradict.
pub fn alter_column(
    ctx: &PlanContext,
    table: &mut Object,
    name: &str,
    change: &ColumnChange,
) -> Result<(), SqlError> {
    let index = column_of(table, name)?;
    let ObjectKind::Table(definition) = &mut table.kind else {
        return Err(SqlError::internal("a table is none"));
    };
    let column = &mut definition.columns[index];
    match change {
        ColumnChange::Default(default) => {
            column.default = default.as_ref().map(ToString::to_string);
            if column.default.is_some() {
                default_plan(ctx, column)?;
            }
            Ok(())
        }
        ColumnChange::NotNull(wanted) if *wanted == column.not_null => Ok(()),
        ColumnChange::NotNull(_) => {
            let message = format!("whether column \"{name}\" may be NULL cannot be changed");
            Err(SqlError::unsupported(message).with_hint(EARLIER_ROWS))
        }
        ColumnChange::Type(ty) => {
            let (ty, typmod) = column_type(ty)?;
            if (ty, typmod) == (column.ty, column.typmod) {
                return Ok(());
            }
            let (from, to) = (column.ty.format(column.typmod), ty.format(typmod));
            let message = format!("column \"{name}\" cannot be changed from {from} to {to}");
            Err(SqlError::unsupported(message)
                .with_detail(
                    "A table has today's columns at every time: all rows of its past \
                              would have to be changed, and views over it with them.",
                )
                .with_hint(EARLIER_ROWS))
        }
    }
}

/// Makes columns the key of a table that has none; their indexes. Whether they are one, its rows
/// say.
///
/// Errors: 42P16 for a second key, 42703, 42701.
pub fn add_primary_key(
    table: &mut Object,
    name: Option<&str>,
    columns: &[String],
) -> Result<Vec<usize>, SqlError> {
    let indexes = columns.iter().map(|name| column_of(table, name));
    let indexes = indexes.collect::<Result<Vec<usize>, SqlError>>()?;
    let relation = table.name.clone();
    let ObjectKind::Table(definition) = &mut table.kind else {
        return Err(SqlError::internal("a table is none"));
    };
    if !definition.primary_key.is_empty() {
        let message = format!("multiple primary keys for table \"{relation}\" are not allowed");
        return Err(SqlError::new(state::INVALID_TABLE_DEFINITION, message));
    }
    if (1..indexes.len()).any(|place| indexes[..place].contains(&indexes[place])) {
        let message = "a column appears twice in the primary key constraint";
        return Err(SqlError::new(state::DUPLICATE_COLUMN, message));
    }
    for index in &indexes {
        definition.columns[*index].not_null = true;
    }
    definition.primary_key.clone_from(&indexes);
    definition.primary_key_name = name.map(str::to_owned);
    Ok(indexes)
}

/// Index of a column.
///
/// Errors: 42703.
pub fn column_of(table: &Object, name: &str) -> Result<usize, SqlError> {
    table.column(name).ok_or_else(|| {
        let message = format!("column \"{name}\" of relation \"{}\" does not exist", table.name);
        SqlError::new(state::UNDEFINED_COLUMN, message)
    })
}

const EARLIER_ROWS: &str = "ADD COLUMN a new one, UPDATE the rows, and use that from now on.";

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
    let alone = Table::new(vec![Column { not_null: false, ..column.clone() }]);
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
            options: TableOptions::default(),
            query: None,
            notices: Vec::new(),
        }
    }
}
