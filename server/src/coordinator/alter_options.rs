//! ALTER TABLE, ALTER MATERIALIZED VIEW … SET (…), RESET (…): how long what is kept (S21).
//!
//! Law      A longer retention brings nothing back, and a shorter one loses no row of the present.
//!          Of a shorter ttl, the rows whose time is over go with this commit, at its time
//! Errors   2BP01 for a ttl of an append-only table that materialized views count on

use datafusion::sql::sqlparser::ast::ObjectName;
use tidemark_catalog::{Object, ObjectId, ObjectKind, Op};
use tidemark_sql::PlanContext;
use tidemark_sql::ddl;
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::parse::{ObjectClass, StorageOptions};

use super::{Outcome, lock_catalog};
use crate::lock::{Mode, Target};
use crate::session::{Notice, Session};
use crate::transaction::acquire;

pub async fn run(
    session: &mut Session,
    class: ObjectClass,
    name: &ObjectName,
    if_exists: bool,
    options: &StorageOptions,
) -> Result<Outcome, SqlError> {
    let tag = format!("ALTER {}", class.noun().to_uppercase());
    let ctx = lock_catalog(session).await?;
    let Some(object) = ddl::resolve(&ctx, name)? else {
        let error = SqlError::undefined_table(name);
        if !if_exists {
            return Err(error);
        }
        let message = format!("{}, skipping", error.message);
        session.notice(Notice::note(state::SUCCESSFUL_COMPLETION, message));
        return Ok(Outcome::Done(tag));
    };
    if object.kind.noun() != class.noun() {
        let message = format!("\"{}\" is not a {}", object.name, class.noun());
        return Err(SqlError::new(state::WRONG_OBJECT_TYPE, message));
    }
    if object.table().is_some_and(|table| table.source.is_some()) {
        // Says whose rows they are.
        ddl::resolve_table(&ctx, name)?;
    }
    let object = object.clone();
    match &object.kind {
        ObjectKind::Table(_) => alter_table(session, &ctx, object, options).await?,
        ObjectKind::View(_) | ObjectKind::MaterializedView(_) | ObjectKind::Source(_) => {
            if let Some(length) = ddl::history_retention(options)? {
                keep_history(session, object.id, length)?;
            }
        }
    }
    Ok(Outcome::Done(tag))
}

/// The engine follows when the commit is published.
pub fn keep_history(
    session: &mut Session,
    id: ObjectId,
    length: Option<tidemark_catalog::Length>,
) -> Result<(), SqlError> {
    session.open_transaction()?.stage(Op::KeepHistory { id, length })
}

async fn alter_table(
    session: &mut Session,
    ctx: &PlanContext,
    mut object: Object,
    options: &StorageOptions,
) -> Result<(), SqlError> {
    let before = object.clone();
    let (ObjectKind::Table(table), Some(old)) = (&mut object.kind, before.table()) else {
        return Err(SqlError::internal("a table is none"));
    };
    ddl::alter_table_options(table, options)?;
    if old.keeps_rows() && !table.keeps_rows() {
        refuse_counted_on(ctx, &before)?;
    }
    let id = tidemark_engine::CollectionId(before.id.0);
    let (retention, ttl) = (table.retention, table.ttl);
    if retention != old.retention {
        let staged = &mut session.open_transaction()?.staged;
        staged.retentions.push((id, retention.map(Into::into)));
    }
    if ttl != old.ttl {
        // Whoever writes the table has counted on its rows.
        let cancel = session.cancel.clone();
        let transaction = session.open_transaction()?;
        acquire(&transaction.locks, Target::Table(before.id), Mode::Exclusive, &cancel).await?;
        transaction.staged.ttls.push((id, ttl.map(Into::into)));
    }
    session.open_transaction()?.stage(Op::ReplaceObject(object))
}

/// What is maintained by counting on rows that stay must not see them go.
fn refuse_counted_on(ctx: &PlanContext, table: &Object) -> Result<(), SqlError> {
    let (catalog, path) = (&ctx.catalog, ctx.search_path());
    let is_maintained = |id: &ObjectId| {
        catalog.get(*id).is_some_and(|above| matches!(above.kind, ObjectKind::MaterializedView(_)))
    };
    let above = catalog.dependents_transitive(table.id).into_iter().filter(is_maintained);
    let lines: Vec<String> = above
        .map(|id| format!("{} counts on rows that stay", catalog.describe(id, &path)))
        .collect();
    if lines.is_empty() {
        return Ok(());
    }
    let message = format!("append-only table \"{}\" cannot be given a ttl", table.name);
    Err(SqlError::new(state::DEPENDENT_OBJECTS_STILL_EXIST, message)
        .with_detail(lines.join("\n"))
        .with_hint("Drop these views, set the ttl, and create them again."))
}
