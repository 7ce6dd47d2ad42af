//! Queries: planned under the session's names, run over one snapshot.
//!
//! Law      The snapshot's time is closed when it is taken (S1); every materialized view that the
//!          query reads is complete up to it before the first row. Tables are read as they are
//!          stored.

use std::sync::{Arc, PoisonError};

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast;
use tidemark_catalog::{Catalog, ObjectId};
use tidemark_engine::{CollectionId, ReadGuard, Timestamp};
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::{PlanContext, QueryPlan, ReadView};

use super::{Outcome, set};
use crate::rows::Rows;
use crate::session::{CachedPlan, Prepared, Session};

pub async fn run(
    session: &mut Session,
    query: &ast::Query,
    portal: Option<&str>,
) -> Result<Outcome, SqlError> {
    if let Some(call) = set::config_call(query) {
        set::apply_config(session, &call)?;
    }
    let parameters = session.parameters(portal);
    let ctx = session.plan_context();
    let portal = portal.and_then(|name| session.portals.get(name));
    let plan = match portal.map(|portal| Arc::clone(&portal.prepared)) {
        Some(prepared) => plan_again(&ctx, query, &prepared, session.has_own_names())?,
        None => Arc::new(plan(&ctx, query, Vec::new())?),
    };
    Ok(Outcome::Rows(rows(session, &ctx, &plan, parameters).await?))
}

/// Plans a query whose parameters have the given types, as far as they are known.
pub fn plan(
    ctx: &PlanContext,
    query: &ast::Query,
    mut types: Vec<Option<DataType>>,
) -> Result<QueryPlan, SqlError> {
    tidemark_sql::plan_query(ctx, query, &mut types)
}

/// The plan made at Parse, or a new one if names or settings have changed since.
fn plan_again(
    ctx: &PlanContext,
    query: &ast::Query,
    prepared: &Prepared,
    own_names: bool,
) -> Result<Arc<QueryPlan>, SqlError> {
    let mut cached = prepared.plan.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(cached) = &*cached
        && !own_names
        && cached.catalog_version == ctx.catalog.version()
        && cached.settings == ctx.settings
    {
        return Ok(Arc::clone(&cached.plan));
    }
    let types = prepared.parameter_types.iter().cloned().map(Some).collect();
    let plan = Arc::new(plan(ctx, query, types)?);
    if prepared.columns.as_ref() != Some(&plan.schema) {
        return Err(SqlError::unsupported("cached plan must not change result type"));
    }
    *cached = (!own_names).then(|| CachedPlan::new(ctx, &plan));
    Ok(plan)
}

/// Starts a planned query.
pub async fn rows(
    session: &mut Session,
    ctx: &PlanContext,
    plan: &QueryPlan,
    parameters: Vec<ScalarValue>,
) -> Result<Rows, SqlError> {
    let (read, guard) = match stale_view(session, ctx, plan).await {
        Some(stale) => stale,
        None => {
            let present = read_view(session, &plan.base_tables);
            let holds = holds_at(session, ctx, plan, present.0.at).await;
            if !session.has_own_names() && !holds {
                return Err(session.planned_too_early());
            }
            present
        }
    };
    for notice in &plan.notices {
        session.notice(notice.clone());
    }
    wait(session, ctx, &plan.views, &read).await?;
    let run = tidemark_sql::run_query(ctx, plan, &read, parameters);
    let stream = session.cancel.clone().guard(run).await??;
    for notice in read.told.take_notices() {
        session.notice(notice);
    }
    check_present(session, ctx, &plan.reads)?;
    Ok(Rows::stream(Arc::clone(&plan.schema), stream, guard))
}

async fn holds_at(session: &Session, ctx: &PlanContext, plan: &QueryPlan, at: Timestamp) -> bool {
    let named = plan.views.iter().chain(&plan.depends_on);
    session.coordinator.holds_at(at, ctx, named, &plan.functions).await
}

/// The last complete state of what a query reads, if the session takes it (S5): where it is young
/// enough, and everything was there by then under the definitions of now.
async fn stale_view(
    session: &Session,
    ctx: &PlanContext,
    plan: &QueryPlan,
) -> Option<(ReadView, Arc<ReadGuard>)> {
    let oldest = session.oldest_read()?;
    let views: Vec<CollectionId> = plan.views.iter().map(|id| ctx.collection(*id)).collect();
    let guard = ctx.engine.begin_stale_read(&views, oldest)?;
    let mut read_from = plan.base_tables.iter().chain(&plan.views).chain(&plan.depends_on);
    let was_there = |id: &ObjectId| {
        let relation = ctx.engine.relation(ctx.collection(*id));
        let readable = relation.is_none_or(|relation| relation.check_readable(guard.at).is_ok());
        readable && ctx.catalog.created(*id).is_some_and(|created| created.0 <= guard.at.0)
    };
    if !read_from.all(was_there) || !holds_at(session, ctx, plan, guard.at).await {
        return None;
    }
    Some((ReadView::new(guard.at), Arc::new(guard)))
}

/// 42P01 if something that a statement has just been bound to is gone: without a lock it may have
/// been dropped after it was planned, and then been read as if it were empty.
pub fn check_present(
    session: &Session,
    ctx: &PlanContext,
    reads: &[ObjectId],
) -> Result<(), SqlError> {
    let staged = session.transaction.as_ref().map(|transaction| &transaction.staged);
    let is_own = |id: CollectionId| {
        staged.is_some_and(|staged| {
            staged.overlay.table(id).is_some_and(|table| table.created)
                || staged.create_views.iter().any(|view| view.id == id)
        })
    };
    let gone = |id: &&ObjectId| {
        let id = ctx.collection(**id);
        !is_own(id) && ctx.engine.relation(id).is_none()
    };
    match reads.iter().find(gone) {
        Some(id) => Err(dropped(&ctx.catalog, *id)),
        None => Ok(()),
    }
}

/// The error for a relation that was there when the statement was planned.
pub fn dropped(catalog: &Catalog, id: ObjectId) -> SqlError {
    let name = catalog.get(id).map_or_else(|| id.to_string(), |object| object.name.clone());
    let message = format!("relation \"{name}\" was dropped while the statement ran");
    SqlError::new(state::UNDEFINED_TABLE, message)
}

/// What the session's next statement reads, and the guard that keeps it.
pub fn read_view(session: &mut Session, tables: &[ObjectId]) -> (ReadView, Arc<ReadGuard>) {
    let engine = Arc::clone(&session.coordinator.engine);
    match &mut session.transaction {
        Some(transaction) => {
            transaction.reads.extend(tables);
            transaction.read_view(&engine)
        }
        None => {
            let guard = Arc::new(engine.begin_read());
            (ReadView::new(guard.at), guard)
        }
    }
}

/// Waits until the views are complete up to the read's time.
pub async fn wait(
    session: &Session,
    ctx: &PlanContext,
    views: &[ObjectId],
    read: &ReadView,
) -> Result<(), SqlError> {
    // A view that this transaction created exists for nobody else yet, and is read as a plain one.
    let staged = session.transaction.as_ref().map(|transaction| &transaction.staged.create_views);
    let is_staged =
        |id: CollectionId| staged.is_some_and(|views| views.iter().any(|view| view.id == id));
    let views = views.iter().copied().filter(|id| !is_staged(ctx.collection(*id)));
    let views: Vec<ObjectId> = views.collect();
    session.coordinator.wait_for_views(session, &ctx.catalog, &views, read.at).await
}

impl CachedPlan {
    pub fn new(ctx: &PlanContext, plan: &Arc<QueryPlan>) -> CachedPlan {
        CachedPlan {
            catalog_version: ctx.catalog.version(),
            settings: ctx.settings.clone(),
            plan: Arc::clone(plan),
        }
    }
}
