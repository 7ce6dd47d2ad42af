//! EXPLAIN: the stages of design §6 as text, a line a row.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use tidemark_sql::Statement;
use tidemark_sql::error::SqlError;
use tidemark_sql::maintain::{explain_plan, plan_view};
use tidemark_sql::parse::{Explain, ExplainStage};

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
        _ => {
            let (read, _guard) = query::read_view(session, &[]);
            let mut types = Vec::new();
            let explained = tidemark_sql::explain(&ctx, explain, &read, &mut types);
            session.cancel.clone().guard(explained).await??
        }
    };
    let schema = columns();
    let lines: ArrayRef = Arc::new(StringArray::from(lines));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![lines])?;
    Ok(Outcome::Rows(Rows::ready(schema, vec![batch], RowsTag::Fixed("EXPLAIN".to_owned()))))
}

/// The column of EXPLAIN.
pub fn columns() -> SchemaRef {
    set::text_columns(&["QUERY PLAN"])
}
