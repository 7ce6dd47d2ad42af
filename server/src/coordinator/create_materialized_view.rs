//! CREATE [OR REPLACE] MATERIALIZED VIEW [IF NOT EXISTS]: a query whose rows are kept, and kept
//! right.
//!
//! The plan is made here and staged; the engine fills the view when the transaction commits, and
//! the statement is answered when it is complete. The log keeps the definition, not the rows.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::ast::ObjectName;
use tidemark_catalog::{Object, ObjectKind, Op, View};
use tidemark_engine::{CollectionId, Plan, ViewDef};
use tidemark_sql::ddl;
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::maintain::plan_named_view;
use tidemark_sql::parse::CreateView;
use tidemark_sql::version::is_same_materialized;

use super::{Outcome, alter_options, create_table, create_view, lock_catalog, replace};
use crate::session::{Notice, Session};

const TAG: &str = "CREATE MATERIALIZED VIEW";
const NOUN: &str = "materialized view";

pub async fn run(session: &mut Session, create: &CreateView) -> Result<Outcome, SqlError> {
    let ctx = lock_catalog(session).await?;
    let (schema, name) = ddl::target_name(&ctx, &create.name)?;
    let existing = match create.or_replace {
        true => create_view::replaceable(session, &ctx, &schema, &name, create, NOUN)?,
        false if create_table::exists(session, &ctx, &schema, &name, create.if_not_exists)? => {
            return Outcome::done(TAG);
        }
        false => None,
    };
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
        widths: create_view::widths(&ctx.catalog, &plan.depends_on),
        names: BTreeMap::new(),
        depends_on: plan.depends_on,
        functions: plan.functions,
        key: plan.key.clone(),
        append_only: plan.plan.append_only(),
        version: 1,
        collection: None,
        search_path: ctx.search_path(),
        time_zone: ctx.settings.time_zone(),
        bindings: plan.bindings,
    };
    let id = existing.unwrap_or(ctx.catalog.next_id());
    let history = ddl::history_retention(&create.options)?;
    let object = Object {
        history_retention: history.flatten(),
        ..Object::new(id, &schema, &name, ObjectKind::MaterializedView(view))
    };
    if existing.is_some() {
        if let Some(length) = history {
            alter_options::keep_history(session, id, length)?;
        }
        if !is_same_materialized(&ctx, &object)? {
            replace::object(session, object).await?;
        }
        return Outcome::done(TAG);
    }
    let transaction = session.open_transaction()?;
    let view = view_def(&object, CollectionId(id.0), plan.plan, plan.key);
    transaction.stage(Op::CreateObject(object))?;
    transaction.staged.create_views.push(view);
    Outcome::done(TAG)
}

/// What the engine is told of a view that is kept in `id`.
pub fn view_def(object: &Object, id: CollectionId, plan: Plan, key: Option<Vec<usize>>) -> ViewDef {
    let mut def = ViewDef::new(id, plan, key);
    if let Some(length) = object.history_retention {
        def.history_retention = length.into();
    }
    def
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
