//! EXPLAIN: the stages of design §6 as text, a line a row.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use datafusion::sql::sqlparser::ast::ObjectName;
use tidemark_catalog::ObjectKind;
use tidemark_sql::error::{SqlError, state};
use tidemark_sql::maintain::{explain_plan, explain_running, plan_view};
use tidemark_sql::parse::{Explain, ExplainStage};
use tidemark_sql::{PlanContext, Statement, ddl};

use super::{Outcome, query, set};
use crate::rows::{Rows, RowsTag};
use crate::session::Session;

pub async fn run(session: &mut Session, explain: &Explain) -> Result<Outcome, SqlError> {
    let ctx = session.plan_context();
    let lines = match (&*explain.statement, explain.stage) {
        (Statement::CreateMaterializedView(create), ExplainStage::Plan) => {
            explain_plan(&ctx.catalog, &plan_view(&ctx, &create.query)?.plan)
        }
        (Statement::CreateMaterializedView(create), ExplainStage::Optimized) => {
            plan_view(&ctx, &create.query)?.optimized
        }
        (Statement::CreateMaterializedView(create), _) => {
            let query = Box::new(Statement::Query(create.query.clone()));
            stage(session, &ctx, &Explain { statement: query, ..explain.clone() }).await?
        }
        _ => stage(session, &ctx, explain).await?,
    };
    outcome(lines)
}

/// A stage of an ad-hoc statement.
async fn stage(
    session: &mut Session,
    ctx: &PlanContext,
    explain: &Explain,
) -> Result<Vec<String>, SqlError> {
    let (read, _guard) = query::read_view(session, &[]);
    let mut types = Vec::new();
    let explained = tidemark_sql::explain(ctx, explain, &read, &mut types);
    session.cancel.clone().guard(explained).await?
}

/// A view that is running: its operators, with `analyze` what each has done so far.
pub fn view(
    session: &mut Session,
    name: &ObjectName,
    stage: ExplainStage,
    analyze: bool,
) -> Result<Outcome, SqlError> {
    let ctx = session.plan_context();
    let view = ddl::resolve(&ctx, name)?.ok_or_else(|| SqlError::undefined_table(name))?;
    if !matches!(view.kind, ObjectKind::MaterializedView(_)) {
        let message = format!("\"{}\" is not a materialized view", view.name);
        return Err(SqlError::new(state::WRONG_OBJECT_TYPE, message));
    }
    if stage != ExplainStage::Plan {
        let message = "of a running materialized view only the PLAN is explained";
        return Err(SqlError::unsupported(message)
            .with_hint("EXPLAIN (LOGICAL) CREATE MATERIALIZED VIEW … explains its query."));
    }
    let Some((plan, statistics)) = ctx.engine.operators(ctx.collection(view.id)) else {
        let message = format!("materialized view \"{}\" is not maintained", view.name);
        return Err(SqlError::new(state::OBJECT_NOT_IN_PREREQUISITE_STATE, message));
    };
    outcome(match analyze {
        true => explain_running(&ctx.catalog, &plan, &statistics),
        false => explain_plan(&ctx.catalog, &plan),
    })
}

fn outcome(lines: Vec<String>) -> Result<Outcome, SqlError> {
    let schema = columns();
    let lines: ArrayRef = Arc::new(StringArray::from(lines));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![lines])?;
    Ok(Outcome::Rows(Rows::ready(schema, vec![batch], RowsTag::Fixed("EXPLAIN".to_owned()))))
}

/// The column of EXPLAIN.
pub fn columns() -> SchemaRef {
    set::text_columns(&["QUERY PLAN"])
}
