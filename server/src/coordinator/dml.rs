//! INSERT, UPDATE, DELETE, TRUNCATE.
//!
//! Law      By itself, a statement that reads tables only is evaluated by the committer at the end
//!          of all earlier commits, so it never fails with 40001 and never loses an update. One
//!          that reads views locks the tables under them, as a view can't be read in the middle of
//!          a commit. In a transaction it reads the transaction's snapshot and adds to its overlay.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use tidemark_catalog::ObjectId;
use tidemark_engine::{Change, CollectionId, EvaluateContext, TableWrite, Timestamp};
use tidemark_sql::error::SqlError;
use tidemark_sql::{
    DmlPlan, DmlResult, ParsedStatement, PlanContext, ReadView, Told, plan_dml, run_dml,
};

use super::{Outcome, quarantine, query};
use crate::lock::{LockSet, Mode, Target};
use crate::panic;
use crate::rows::{Rows, RowsTag};
use crate::session::Session;
use crate::transaction::{acquire, serialization_failure};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

pub async fn run(
    session: &mut Session,
    parsed: &Arc<ParsedStatement>,
    portal: Option<&str>,
) -> Result<Outcome, SqlError> {
    let parameters = session.parameters(portal);
    let result = if session.in_block() {
        in_transaction(session, parsed, parameters).await?
    } else {
        alone(session, parsed, parameters).await?
    };
    Ok(outcome(result))
}

fn outcome(result: DmlResult) -> Outcome {
    let tag = if result.tag.starts_with("TRUNCATE") {
        result.tag.to_owned()
    } else {
        format!("{} {}", result.tag, result.count)
    };
    match result.returning {
        Some((schema, batches)) => Outcome::Rows(Rows::ready(schema, batches, RowsTag::Fixed(tag))),
        None => Outcome::Done(tag),
    }
}

fn types_of(parameters: &[ScalarValue]) -> Vec<Option<DataType>> {
    parameters.iter().map(|parameter| Some(parameter.data_type())).collect()
}

async fn in_transaction(
    session: &mut Session,
    parsed: &Arc<ParsedStatement>,
    parameters: Vec<ScalarValue>,
) -> Result<DmlResult, SqlError> {
    let plan = plan_dml(&session.plan_context(), &parsed.statement, &mut types_of(&parameters))?;
    lock_for_write(session, &plan.targets).await?;
    let ctx = session.plan_context();
    let mut tables = plan.base_tables.clone();
    tables.extend(&plan.targets);
    let (read, _guard) = query::read_view(session, &tables);
    let own_names = session.has_own_names();
    if !own_names && !session.coordinator.holds_at(read.at, &ctx, &plan.views, &[]).await {
        return Err(session.planned_too_early());
    }
    query::wait(session, &ctx, &plan.views, &read).await?;
    let run = run_dml(&ctx, &parsed.statement, &read, parameters);
    let result = session.cancel.clone().guard(run).await??;
    notice_all(session, &read.told);
    query::check_present(session, &ctx, &plan.reads)?;
    session.open_transaction()?.stage_writes(&result.writes);
    Ok(result)
}

fn notice_all(session: &mut Session, told: &Told) {
    for notice in told.take_notices() {
        session.notice(notice);
    }
}

/// Locks tables for the session's transaction, and makes sure that they still are what it knows.
pub async fn lock_for_write(session: &mut Session, tables: &[ObjectId]) -> Result<(), SqlError> {
    let coordinator = Arc::clone(&session.coordinator);
    let cancel = session.cancel.clone();
    let sorted: BTreeSet<ObjectId> = tables.iter().copied().collect();
    for table in sorted {
        let transaction = session.open_transaction()?;
        let known = transaction.catalog().get(table).cloned();
        let overlay = transaction.staged.overlay.table(CollectionId(table.0));
        if overlay.is_some_and(|overlay| overlay.created) {
            continue;
        }
        transaction.lock_for_write(table, &coordinator.engine, &cancel).await?;
        let newest = coordinator.catalog();
        if newest.get(table) == known.as_ref() || !transaction.staged.ops.is_empty() {
            continue;
        }
        // Somebody changed the table's definition while this transaction waited.
        if transaction.has_snapshot() || newest.get(table).is_none() {
            return Err(serialization_failure());
        }
        transaction.staged.catalog = newest;
    }
    Ok(())
}

async fn alone(
    session: &mut Session,
    parsed: &Arc<ParsedStatement>,
    parameters: Vec<ScalarValue>,
) -> Result<DmlResult, SqlError> {
    loop {
        let ctx = session.plan_context();
        let plan = plan_dml(&ctx, &parsed.statement, &mut types_of(&parameters))?;
        let locks = lock_alone(session, &plan).await?;
        if !still_holds(session, &ctx, &plan) {
            continue;
        }
        let (at, result, told) = if is_brief(&plan) {
            on_committer(session, ctx, parsed, &plan, parameters).await?
        } else {
            over_views(session, ctx, parsed, &plan, parameters).await?
        };
        notice_all(session, &told);
        drop(locks);
        session.committed(at);
        quarantine::tell(session, at, &written(&plan)).await;
        return Ok(result);
    }
}

fn written(plan: &DmlPlan) -> Vec<CollectionId> {
    plan.targets.iter().map(|id| CollectionId(id.0)).collect()
}

/// Whether the committer may run it: it waits for no view, and replays nothing.
fn is_brief(plan: &DmlPlan) -> bool {
    plan.views.is_empty() && !plan.replays
}

/// Shared locks on what is written; where the committer cannot run it, exclusive ones on what is
/// under what it reads as well.
async fn lock_alone(session: &Session, plan: &DmlPlan) -> Result<LockSet, SqlError> {
    let locks = LockSet::new(&session.coordinator.locks);
    let mut tables: BTreeSet<ObjectId> = plan.targets.iter().copied().collect();
    let mode = if is_brief(plan) { Mode::Shared } else { Mode::Exclusive };
    if mode == Mode::Exclusive {
        tables.extend(&plan.base_tables);
    }
    for table in tables {
        acquire(&locks, Target::Table(table), mode, &session.cancel).await?;
    }
    Ok(locks)
}

/// Whether what was planned still stands, now that nobody can change it any more.
fn still_holds(session: &Session, ctx: &PlanContext, plan: &DmlPlan) -> bool {
    let newest = session.coordinator.catalog();
    newest.version() == ctx.catalog.version()
        || plan.targets.iter().chain(&plan.reads).all(|id| newest.get(*id) == ctx.catalog.get(*id))
}

async fn on_committer(
    session: &Session,
    ctx: PlanContext,
    parsed: &Arc<ParsedStatement>,
    plan: &DmlPlan,
    parameters: Vec<ScalarValue>,
) -> Result<(Timestamp, DmlResult, Told), SqlError> {
    let (writes, reads) = (written(plan), plan.reads.clone());
    let told = Told::default();
    let slot = Arc::new(Mutex::new(None));
    let runtime = session.coordinator.runtime.clone();
    let cancel = session.cancel.clone();
    let (parsed, result, run_ctx) = (Arc::clone(parsed), Arc::clone(&slot), ctx.clone());
    let tell = told.clone();
    let evaluate = move |at: &EvaluateContext| {
        let (now, commits_at) = (at.now, Some(at.now));
        let read = ReadView { now, commits_at, told: tell, ..ReadView::new(at.read) };
        let run = run_dml(&run_ctx, &parsed.statement, &read, parameters);
        let ran = panic::contain(|| runtime.block_on(cancel.guard(run)));
        let ran = ran.map_err(SqlError::internal).and_then(|guarded| guarded?);
        let ran = ran.map_err(|error| Box::new(error) as BoxError)?;
        let gone = |id: &&ObjectId| run_ctx.engine.relation(run_ctx.collection(**id)).is_none();
        if let Some(id) = reads.iter().find(gone) {
            return Err(Box::new(query::dropped(&run_ctx.catalog, *id)) as BoxError);
        }
        let writes = ran.writes.clone();
        *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(ran);
        Ok(Change { writes, ..Change::default() })
    };
    let committed = session.coordinator.submit_evaluated(writes, evaluate).await;
    let result = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    let writes: &[TableWrite] = result.as_ref().map_or(&[], |result| &result.writes);
    let at = committed.map_err(|error| tidemark_sql::commit_error(&ctx, error, writes))?;
    let result = result.ok_or_else(|| SqlError::internal("a commit without a result"))?;
    Ok((at, result, told))
}

async fn over_views(
    session: &mut Session,
    ctx: PlanContext,
    parsed: &Arc<ParsedStatement>,
    plan: &DmlPlan,
    parameters: Vec<ScalarValue>,
) -> Result<(Timestamp, DmlResult, Told), SqlError> {
    let (read, _guard) = query::read_view(session, &[]);
    let own_names = session.has_own_names();
    if !own_names && !session.coordinator.holds_at(read.at, &ctx, &plan.views, &[]).await {
        return Err(session.planned_too_early());
    }
    query::wait(session, &ctx, &plan.views, &read).await?;
    let run = run_dml(&ctx, &parsed.statement, &read, parameters);
    let result = session.cancel.clone().guard(run).await??;
    query::check_present(session, &ctx, &plan.reads)?;
    let change = Change { writes: result.writes.clone(), ..Change::default() };
    let committed = session.coordinator.submit(change).await;
    let at = committed.map_err(|error| tidemark_sql::commit_error(&ctx, error, &result.writes))?;
    Ok((at, result, read.told))
}
