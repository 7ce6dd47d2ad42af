//! DROP TABLE, VIEW, MATERIALIZED VIEW, SOURCE, SCHEMA: with IF EXISTS, CASCADE, RESTRICT.

use datafusion::sql::sqlparser::ast::ObjectName;
use tidemark_catalog::{Object, ObjectId, ObjectKind, Op};
use tidemark_engine::CollectionId;
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::parse::{Drop, ObjectClass};
use tidemark_sql::{PlanContext, ddl};

use super::{Outcome, lock_catalog};
use crate::lock::{Mode, Target};
use crate::session::{Notice, Session};
use crate::transaction::{acquire, catalog_error};

pub async fn run(session: &mut Session, drop: &Drop) -> Result<Outcome, SqlError> {
    let tag = format!("DROP {}", drop.class.noun().to_uppercase());
    let ctx = lock_catalog(session).await?;
    if drop.class == ObjectClass::Schema {
        drop_schemas(session, &ctx, drop).await?;
        return Ok(Outcome::Done(tag));
    }
    let mut roots = Vec::new();
    for name in &drop.names {
        if let Some(object) = find(session, &ctx, drop, name)?
            && !roots.contains(&object)
        {
            roots.push(object);
        }
    }
    drop_objects(session, &ctx, &roots, drop.cascade).await?;
    Ok(Outcome::Done(tag))
}

/// The object a name means; `None`, with a NOTICE, if it is not there and need not be.
fn find(
    session: &mut Session,
    ctx: &PlanContext,
    drop: &Drop,
    name: &ObjectName,
) -> Result<Option<ObjectId>, SqlError> {
    let noun = drop.class.noun();
    let (_, bare) = ddl::name_parts(ctx, name)?;
    match ddl::resolve(ctx, name)? {
        Some(object) => {
            check_class(object, drop.class)?;
            check_not_of_source(ctx, object)?;
            Ok(Some(object.id))
        }
        None if drop.if_exists => {
            let message = format!("{noun} \"{bare}\" does not exist, skipping");
            session.notice(Notice::note(state::SUCCESSFUL_COMPLETION, message));
            Ok(None)
        }
        None => {
            let code = match drop.class {
                ObjectClass::Index | ObjectClass::Type => state::UNDEFINED_OBJECT,
                _ => state::UNDEFINED_TABLE,
            };
            Err(SqlError::new(code, format!("{noun} \"{bare}\" does not exist")))
        }
    }
}

fn check_class(object: &Object, class: ObjectClass) -> Result<(), SqlError> {
    if object.kind.noun() == class.noun() {
        return Ok(());
    }
    let article = if class == ObjectClass::Index { "an" } else { "a" };
    let message = format!("\"{}\" is not {article} {}", object.name, class.noun());
    let noun = object.kind.noun();
    let hint = format!("Use DROP {} to remove a {noun}.", noun.to_uppercase());
    Err(SqlError::new(state::WRONG_OBJECT_TYPE, message).with_hint(hint))
}

/// A relation of a source goes with it, and not alone.
fn check_not_of_source(ctx: &PlanContext, object: &Object) -> Result<(), SqlError> {
    let source = object.table().and_then(|table| ctx.catalog.get(table.source?));
    let Some(source) = source else { return Ok(()) };
    let (table, source) = (&object.name, &source.name);
    let message = format!("cannot drop table {table} because source {source} requires it");
    Err(SqlError::new(state::DEPENDENT_OBJECTS_STILL_EXIST, message)
        .with_hint(format!("You can drop source {source} instead.")))
}

async fn drop_schemas(
    session: &mut Session,
    ctx: &PlanContext,
    drop: &Drop,
) -> Result<(), SqlError> {
    for name in &drop.names {
        let (_, schema) = ddl::name_parts(ctx, name)?;
        let Some(found) = ctx.catalog.schema(&schema) else {
            if drop.if_exists {
                let message = format!("schema \"{schema}\" does not exist, skipping");
                session.notice(Notice::note(state::SUCCESSFUL_COMPLETION, message));
                continue;
            }
            let message = format!("schema \"{schema}\" does not exist");
            return Err(SqlError::new(state::INVALID_SCHEMA_NAME, message));
        };
        if drop.cascade && !found.is_system() {
            let objects: Vec<ObjectId> = found.objects().chain(found.functions()).collect();
            drop_objects(session, ctx, &objects, true).await?;
        }
        session.open_transaction()?.stage(Op::DropSchema { name: schema })?;
    }
    Ok(())
}

/// Drops objects and functions, with what stands on them if that is to go too.
pub async fn drop_objects(
    session: &mut Session,
    ctx: &PlanContext,
    roots: &[ObjectId],
    cascade: bool,
) -> Result<(), SqlError> {
    let path = ctx.settings.search_path(&ctx.user);
    let dropped = ctx.catalog.plan_drop(roots, cascade, &path).map_err(catalog_error)?;
    if let Some((message, detail)) = dropped.notice() {
        let notice = Notice::note(state::SUCCESSFUL_COMPLETION, message);
        session.notice(Notice { detail, ..notice });
    }
    for id in dropped.order {
        match ctx.catalog.get(id) {
            Some(object) => drop_one(session, object).await?,
            None if ctx.catalog.function(id).is_some() => {
                session.open_transaction()?.stage(Op::DropFunction(id))?;
            }
            None => {}
        }
    }
    Ok(())
}

async fn drop_one(session: &mut Session, object: &Object) -> Result<(), SqlError> {
    let cancel = session.cancel.clone();
    let transaction = session.open_transaction()?;
    if object.table().is_some() {
        // Writers that came first finish first; those that come later find no table.
        acquire(&transaction.locks, Target::Table(object.id), Mode::Exclusive, &cancel).await?;
    }
    transaction.stage(Op::DropObject(object.id))?;
    let own = transaction.unstage(object);
    let id = CollectionId(object.collection().0);
    match object.kind {
        _ if own => {}
        ObjectKind::Table(_) => transaction.staged.drop_tables.push(id),
        ObjectKind::MaterializedView(_) => transaction.staged.drop_views.push(id),
        ObjectKind::View(_) | ObjectKind::Source(_) => {}
    }
    Ok(())
}
