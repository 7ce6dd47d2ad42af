//! EXPLAIN of an ad-hoc statement: each stage of design §6 as text.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use datafusion::physical_plan::displayable;
use datafusion::scalar::ScalarValue;

use crate::context::{PlanContext, ReadView};
use crate::dml::source_plan;
use crate::error::SqlError;
use crate::parse::{Explain, ExplainStage, Statement};
use crate::run::{optimized, physical_of};
use crate::session_state::task_context;

/// The lines of `EXPLAIN (AST | LOGICAL | OPTIMIZED | PLAN | ANALYZE)` of a query or DML. A CREATE
/// MATERIALIZED VIEW is explained through `plan_view`'s `engine::Plan`.
pub async fn explain(
    ctx: &PlanContext,
    explain: &Explain,
    read: &ReadView,
    param_types: &mut Vec<Option<DataType>>,
) -> Result<Vec<String>, SqlError> {
    if explain.stage == ExplainStage::Ast {
        return Ok(lines(&format!("{:#?}", explain.statement)));
    }
    let logical = match explain.statement.as_ref() {
        Statement::Query(query) => crate::plan_query(ctx, query, param_types)?.logical,
        statement => source_plan(ctx, statement, param_types)?,
    };
    // Nothing is bound yet: parameters are shown, and run, as NULL.
    let null =
        |ty: &Option<DataType>| ScalarValue::try_from(ty.as_ref().unwrap_or(&DataType::Null));
    let params: Vec<ScalarValue> =
        param_types.iter().map(null).collect::<datafusion::error::Result<_>>()?;
    if explain.stage == ExplainStage::Logical {
        return Ok(lines(&logical.display_indent().to_string()));
    }
    let given = BTreeMap::new();
    if explain.stage == ExplainStage::Optimized {
        let (_, plan) = optimized(ctx, &logical, read, &params).await?;
        return Ok(lines(&plan.display_indent().to_string()));
    }
    let (state, exec) = physical_of(ctx, &logical, read, &params, &given).await?;
    let mut text = ctx.tell.roads();
    if explain.analyze && matches!(explain.statement.as_ref(), Statement::Query(_)) {
        let started = std::time::Instant::now();
        let stream = datafusion::physical_plan::execute_stream(exec.clone(), task_context(&state))?;
        let batches = datafusion::physical_plan::common::collect(stream).await?;
        let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
        let with_metrics =
            datafusion::physical_plan::display::DisplayableExecutionPlan::with_metrics(
                exec.as_ref(),
            );
        text.extend(lines(&with_metrics.indent(explain.verbose).to_string()));
        text.push(format!("Rows: {rows}"));
        let ms = started.elapsed().as_secs_f64() * 1000.0;
        text.push(format!("Execution Time: {ms:.3} ms"));
    } else {
        text.extend(lines(&displayable(exec.as_ref()).indent(explain.verbose).to_string()));
    }
    Ok(text)
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_string).collect()
}
