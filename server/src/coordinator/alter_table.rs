//! ALTER TABLE: changes of its columns.
//!
//! Law      S22: a table has today's columns at every time: the rows that are there, and those that
//!          were, have the DEFAULT. Views go on with the columns they were written for
//! Missing  inside a transaction block (25001): its own rows would have to get the column too;
//!          other forms of ALTER TABLE than this and RENAME

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::ObjectName;
use tidemark_catalog::{Column, Object, ObjectId, ObjectKind, Op};
use tidemark_engine::{AddedColumn, AddedKey, CollectionId};
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::parse::{AddColumn, TableAction};
use tidemark_sql::{PlanContext, ReadView, ddl};

use super::{Outcome, drop, lock_catalog, query};
use crate::lock::{Mode, Target};
use crate::session::{Notice, Session};
use crate::transaction::acquire;

const TAG: &str = "ALTER TABLE";

pub async fn run(
    session: &mut Session,
    name: &ObjectName,
    if_exists: bool,
    actions: &[TableAction],
) -> Result<Outcome, SqlError> {
    let stores = |action: &TableAction| !matches!(action, TableAction::AlterColumn { .. });
    if actions.iter().any(stores) && !session.open_transaction()?.alone {
        let message = "this form of ALTER TABLE cannot run inside a transaction block";
        return Err(SqlError::new(state::ACTIVE_SQL_TRANSACTION, message)
            .with_hint("Run the statement by itself: it is a transaction of its own."));
    }
    let ctx = lock_catalog(session).await?;
    if if_exists && ddl::resolve(&ctx, name)?.is_none() {
        let message = format!("relation \"{name}\" does not exist, skipping");
        session.notice(Notice::note(state::SUCCESSFUL_COMPLETION, message));
        return Outcome::done(TAG);
    }
    let mut table = ddl::resolve_table(&ctx, name)?.clone();
    // Writers that came first finish first; those that come later find the new column.
    let cancel = session.cancel.clone();
    let transaction = session.open_transaction()?;
    acquire(&transaction.locks, Target::Table(table.id), Mode::Exclusive, &cancel).await?;
    let (read, _guard) = query::read_view(session, &[]);
    for action in actions {
        match action {
            TableAction::AddColumn(add) => {
                if let Some(added) = added(session, &ctx, &table, add, &read)? {
                    session.open_transaction()?.staged.add_columns.push(added.0);
                    if let ObjectKind::Table(definition) = &mut table.kind {
                        definition.columns.push(added.1);
                    }
                }
            }
            TableAction::AlterColumn { column, change } => {
                ddl::alter_column(&ctx, &mut table, column, change)?;
            }
            TableAction::DropColumn { column, if_exists, cascade } => {
                // What it was staged with before is in the catalog that the column leaves.
                session.open_transaction()?.stage(Op::ReplaceObject(table.clone()))?;
                drop_column(session, &table, column, *if_exists, *cascade).await?;
                table = ddl::resolve_table(&session.plan_context(), name)?.clone();
            }
            TableAction::AddPrimaryKey { name, columns } => {
                let columns = ddl::add_primary_key(&mut table, name.as_deref(), columns)?;
                let key = AddedKey { table: CollectionId(table.id.0), columns };
                session.open_transaction()?.staged.add_keys.push(key);
            }
        }
    }
    session.open_transaction()?.stage(Op::ReplaceObject(table))?;
    Outcome::done(TAG)
}

/// The column goes from the catalog; its values stay for the versions of views that use them.
///
/// Errors: 2BP01 where views of today use it, without CASCADE.
async fn drop_column(
    session: &mut Session,
    table: &Object,
    name: &str,
    if_exists: bool,
    cascade: bool,
) -> Result<(), SqlError> {
    if if_exists && table.column(name).is_none() {
        let relation = &table.name;
        let message =
            format!("column \"{name}\" of relation \"{relation}\" does not exist, skipping");
        session.notice(Notice::note(state::SUCCESSFUL_COMPLETION, message));
        return Ok(());
    }
    let column = ddl::column_of(table, name)?;
    let definition = table.table().ok_or_else(|| SqlError::internal("a table is none"))?;
    if definition.primary_key.contains(&column) || definition.event_time == Some(column) {
        let what = match definition.primary_key.contains(&column) {
            true => "part of the primary key",
            false => "the event time",
        };
        let message = format!("column \"{name}\" is {what} and cannot be dropped");
        return Err(SqlError::unsupported(message)
            .with_hint("CREATE TABLE … AS makes a table of the other columns."));
    }
    let ctx = session.plan_context();
    let relation = ctx.engine.relation(ctx.collection(table.id));
    if relation.is_some_and(|relation| !relation.schema().field(column).is_nullable()) {
        let message = format!("column \"{name}\" cannot be dropped");
        return Err(SqlError::unsupported(message)
            .with_detail("The table was made by a version that cannot leave it empty.")
            .with_hint("CREATE TABLE … AS makes a table of the other columns."));
    }
    let users = ddl::users_of_column(&ctx, table, column)?;
    if !users.is_empty() && !cascade {
        let path = ctx.search_path();
        let (table, relation) = (ctx.catalog.describe(table.id, &path), &table.name);
        let line = |id: &ObjectId| {
            format!("{} depends on column {name} of {table}", ctx.catalog.describe(*id, &path))
        };
        let lines: Vec<String> = users.iter().map(line).collect();
        let message = format!(
            "cannot drop column {name} of table {relation} because other objects depend on it"
        );
        return Err(SqlError::new(state::DEPENDENT_OBJECTS_STILL_EXIST, message)
            .with_detail(lines.join("\n"))
            .with_hint("Use DROP ... CASCADE to drop the dependent objects too."));
    }
    if !users.is_empty() {
        drop::drop_objects(session, &ctx, &users, true).await?;
    }
    session.open_transaction()?.stage(Op::DropColumn { id: table.id, column })
}

/// A column for the engine and for the catalog; `None`, with a NOTICE, if it is there and may be.
fn added(
    session: &mut Session,
    ctx: &PlanContext,
    table: &Object,
    add: &AddColumn,
    read: &ReadView,
) -> Result<Option<(AddedColumn, Column)>, SqlError> {
    let column = match ddl::define_column(ctx, table, &add.column) {
        Err(error) if add.if_not_exists && error.code == state::DUPLICATE_COLUMN => {
            let message = format!("{}, skipping", error.message);
            session.notice(Notice::note(state::DUPLICATE_COLUMN, message));
            return Ok(None);
        }
        column => column?,
    };
    let default = ddl::added_value(ctx, table, &column, read)?;
    let id = ctx.collection(table.id);
    let has_rows = ctx.engine.relation(id).is_some_and(|relation| relation.count(read.at) > 0);
    if column.not_null && default.null_count() > 0 && has_rows {
        let (name, relation) = (&column.name, &table.name);
        let message = format!("column \"{name}\" of relation \"{relation}\" contains null values");
        return Err(SqlError::new(state::NOT_NULL_VIOLATION, message));
    }
    // Rows of the past may be NULL where those of the present may not.
    let field = Arc::new(column.field().with_nullable(true));
    Ok(Some((AddedColumn { table: id, field, default }, column)))
}
