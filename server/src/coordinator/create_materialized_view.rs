//! CREATE MATERIALIZED VIEW [IF NOT EXISTS]: a query whose rows are kept, and kept right.
//!
//! The plan is made here and staged; the engine fills the view when the transaction commits, and
//! the statement is answered when it is complete. The log keeps the definition, not the rows.

use datafusion::sql::sqlparser::ast::ObjectName;
use tidemark_catalog::{Object, ObjectKind, Op, View};
use tidemark_engine::{CollectionId, ViewDef};
use tidemark_sql::ddl;
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::maintain::plan_named_view;
use tidemark_sql::parse::CreateView;

use super::{Outcome, create_table, lock_catalog};
use crate::session::{Notice, Session};

const TAG: &str = "CREATE MATERIALIZED VIEW";

pub async fn run(session: &mut Session, create: &CreateView) -> Result<Outcome, SqlError> {
    let ctx = lock_catalog(session).await?;
    let (schema, name) = ddl::target_name(&ctx, &create.name)?;
    if create.or_replace {
        return Err(SqlError::unsupported(
            "CREATE OR REPLACE MATERIALIZED VIEW is not supported yet",
        )
        .with_hint("Drop the view and create it again."));
    }
    if create_table::exists(session, &ctx, &schema, &name, create.if_not_exists)? {
        return Outcome::done(TAG);
    }
    let plan = plan_named_view(&ctx, &create.query, &create.columns)?;
    for notice in plan.notices {
        session.notice(notice);
    }
    if !create.with_data {
        let message = format!("materialized view \"{name}\" is filled all the same");
        session.notice(Notice::note(state::FEATURE_NOT_SUPPORTED, message));
    }
    let view = View {
        sql: create.body.clone(),
        columns: plan.columns,
        depends_on: plan.depends_on,
        functions: plan.functions,
        key: plan.key.clone(),
        version: 1,
        search_path: session.settings.search_path(&session.user),
        time_zone: session.settings.time_zone(),
        bindings: plan.bindings,
    };
    let id = ctx.catalog.next_id();
    let object = Object::new(id, &schema, &name, ObjectKind::MaterializedView(view));
    let transaction = session.open_transaction()?;
    transaction.stage(Op::CreateObject(object))?;
    let view = ViewDef::new(CollectionId(id.0), plan.plan, plan.key);
    transaction.staged.create_views.push(view);
    Outcome::done(TAG)
}

/// REFRESH MATERIALIZED VIEW: nothing to do, as the view is always fresh.
pub fn refresh(session: &mut Session, name: &ObjectName) -> Result<Outcome, SqlError> {
    let ctx = session.plan_context();
    let view = ddl::resolve(&ctx, name)?.ok_or_else(|| SqlError::undefined_table(name))?;
    if !matches!(view.kind, ObjectKind::MaterializedView(_)) {
        let message = format!("\"{}\" is not a materialized view", view.name);
        return Err(SqlError::new(state::WRONG_OBJECT_TYPE, message));
    }
    let message = format!("materialized view \"{}\" is kept up to date by itself", view.name);
    session.notice(Notice::note(state::SUCCESSFUL_COMPLETION, message));
    Outcome::done("REFRESH MATERIALIZED VIEW")
}
