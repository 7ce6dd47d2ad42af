//! Queries that DataFusion cannot plan, by the engine's operators (design §4).
//!
//! Law      the rows are those that a view of the query, made at this moment, would have
//! Errors   a row that an operator cannot compute raises: the statement is an outer one (S10)
//! Missing  whatever a materialized view refuses
//!
//! A collection has no order, so an ORDER BY at the top stays with DataFusion, over the rows.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, RecordBatchOptions};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{LogicalPlan, TableScan, TableScanBuilder, TableSource};
use datafusion::physical_plan::common::collect;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use tidemark_engine::batch::evaluate;
use tidemark_engine::{CollectionId, Plan, Timestamp};

use crate::error::SqlError;
use crate::error::datafusion::data_error;
use crate::maintain::{Input, plan_bound};
use crate::plan::on_large_stack;
use crate::provider::GivenRows;
use crate::run::execution as execution_of;

/// What runs a query that is bound to its snapshot; `None` where a view would be refused.
pub(crate) async fn execution(
    state: &SessionState,
    bound: &LogicalPlan,
    now: Timestamp,
) -> Result<Option<Arc<dyn ExecutionPlan>>, SqlError> {
    let core = unordered(bound);
    let Some((plan, sources)) = planned(state, core) else { return Ok(None) };
    let mut inputs = HashMap::new();
    for (number, source) in (1..).zip(sources) {
        inputs.insert(CollectionId(number), rows_of(state, source).await?);
    }
    let evaluated = evaluate(&plan, now, &|id| inputs[&id].clone());
    if let Some(row) = evaluated.failed.first() {
        return Err(data_error(&row.error));
    }
    let batch = with_types(&evaluated.rows, core.schema().as_arrow())?;
    let scan = LogicalPlan::TableScan(TableScan {
        table_name: "rows".into(),
        source: provider_as_source(Arc::new(GivenRows { batch })),
        projection: None,
        projected_schema: Arc::clone(core.schema()),
        filters: vec![],
        fetch: None,
        statistics_requests: Default::default(),
    });
    let shell = bound.clone().transform_down(|node| match node == *core {
        true => Ok(Transformed::new(scan.clone(), true, TreeNodeRecursion::Jump)),
        false => Ok(Transformed::no(node)),
    })?;
    // Not optimized: names above stay those of the query.
    Ok(Some(execution_of(state, &shell.data).await?))
}

/// The operators' plan, and what its inputs are, from number 1 on.
fn planned(state: &SessionState, core: &LogicalPlan) -> Option<(Plan, Vec<Arc<dyn TableSource>>)> {
    let sources: RefCell<Vec<Arc<dyn TableSource>>> = RefCell::default();
    let input = |scan: &TableScan| {
        let mut sources = sources.borrow_mut();
        sources.push(Arc::clone(&scan.source));
        Ok(Input { number: sources.len() as u64, schema: scan.source.schema() })
    };
    let options = Arc::clone(state.config_options());
    let plan = on_large_stack(|| plan_bound(core, options, &input)).ok()?;
    Some((plan, sources.take()))
}

/// The plan below an ORDER BY at the top, and all of it without one.
fn unordered(plan: &LogicalPlan) -> &LogicalPlan {
    let mut node = plan;
    loop {
        node = match node {
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => return &sort.input,
            LogicalPlan::Projection(projection) => &projection.input,
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            _ => return plan,
        };
    }
}

/// All rows of a relation that is bound to the snapshot.
async fn rows_of(state: &SessionState, source: Arc<dyn TableSource>) -> Result<RecordBatch> {
    let schema = source.schema();
    let scan = TableScanBuilder::new("relation", source).build()?;
    let exec = execution_of(state, &LogicalPlan::TableScan(scan)).await?;
    let batches = collect(execute_stream(exec, state.task_ctx())?).await?;
    Ok(concat_batches(&schema, &batches)?)
}

/// The rows with the types that the query's plan has, all of them nullable.
fn with_types(rows: &RecordBatch, schema: &Schema) -> Result<RecordBatch> {
    let fields = schema.fields().iter().zip(rows.columns()).map(|(field, column)| {
        let nullable = field.is_nullable() || column.null_count() > 0;
        Field::new(field.name(), field.data_type().clone(), nullable)
    });
    let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let columns = rows.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| cast(column, field.data_type()));
    let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}
