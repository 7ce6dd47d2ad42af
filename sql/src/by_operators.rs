//! Queries that DataFusion cannot plan or would get wrong, by the engine's operators (design §4).
//!
//! Law      the rows are those that a view of the query, made at this moment, would have
//! Errors   a row that an operator cannot compute raises: the statement is an outer one (S10)
//! Missing  whatever a materialized view refuses, but for functions of the session
//!
//! A collection has no order, so an ORDER BY at the top stays with DataFusion, over the rows.
//! Operators run on a thread that may block, until they are done or nobody waits any more.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Array, RecordBatch, RecordBatchOptions};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{LogicalPlan, Sort, TableScan, TableScanBuilder, TableSource};
use datafusion::physical_plan::common::collect;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use tidemark_engine::batch::{Evaluated, evaluate_unless};

use tidemark_engine::{CollectionId, Plan, QuarantinedRow, Timestamp};
use tokio::runtime::Handle;

use crate::error::datafusion::data_error;
use crate::error::{SqlError, state as sqlstate};
use crate::maintain::{Input, plan_bound};
use crate::plan::on_large_stack;
use crate::provider::GivenRows;
use crate::run::{execution as execution_of, physical};
use crate::session_state::task_context;
use crate::time_join::PointInTimeJoin;

/// What runs a query that is bound to its snapshot; `None` where a view would be refused.
pub(crate) async fn execution(
    state: &SessionState,
    bound: &LogicalPlan,
    now: Timestamp,
) -> Result<Option<Arc<dyn ExecutionPlan>>, SqlError> {
    let bound = &with_past(state, bound.clone()).await?;
    let ordered = ordered(bound);
    let core = unordered(&ordered);
    if !can_run(state, core) {
        return Ok(None);
    }
    let (batch, failed) = rows(state, core, now).await?;
    if let Some(row) = failed.first() {
        return Err(data_error(&row.error));
    }
    let scan = LogicalPlan::TableScan(TableScan {
        table_name: "rows".into(),
        source: provider_as_source(Arc::new(GivenRows { batch })),
        projection: None,
        projected_schema: Arc::clone(core.schema()),
        filters: vec![],
        fetch: None,
        statistics_requests: Default::default(),
    });
    let shell = ordered.clone().transform_down(|node| match node == *core {
        true => Ok(Transformed::new(scan.clone(), true, TreeNodeRecursion::Jump)),
        false => Ok(Transformed::no(node)),
    })?;
    // Not optimized: names above stay those of the query.
    Ok(Some(execution_of(state, &shell.data).await?))
}

/// The plan with the rows of point-in-time joins in their place: their past is no input of an
/// operator.
async fn with_past(state: &SessionState, bound: LogicalPlan) -> Result<LogicalPlan, SqlError> {
    let is_join = |node: &LogicalPlan| match node {
        LogicalPlan::Extension(extension) => extension.node.as_any().is::<PointInTimeJoin>(),
        _ => false,
    };
    let mut joins = Vec::new();
    bound.apply_with_subqueries(|node| {
        if !is_join(node) {
            return Ok(TreeNodeRecursion::Continue);
        }
        joins.push(node.clone());
        Ok(TreeNodeRecursion::Jump)
    })?;
    let mut plan = bound;
    for join in joins {
        let exec = Box::pin(physical(state, join.clone())).await?;
        let batches = collect(execute_stream(exec, task_context(state))?).await?;
        // By position: both sides may have a column of one name.
        let fields = join.schema().fields().iter().enumerate();
        let fields = fields.map(|(n, field)| field.as_ref().clone().with_name(format!("c{n}")));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let rows = concat_batches(&Arc::new(join.schema().as_arrow().clone()), &batches)?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let columns = rows.columns().to_vec();
        let batch = RecordBatch::try_new_with_options(schema, columns, &options)?;
        let scan = LogicalPlan::TableScan(TableScan {
            table_name: "past".into(),
            source: provider_as_source(Arc::new(GivenRows { batch })),
            projection: None,
            projected_schema: Arc::clone(join.schema()),
            filters: vec![],
            fetch: None,
            statistics_requests: Default::default(),
        });
        let replaced = plan.transform_down_with_subqueries(|node| match node == join {
            true => Ok(Transformed::new(scan.clone(), true, TreeNodeRecursion::Jump)),
            false => Ok(Transformed::no(node)),
        })?;
        plan = replaced.data;
    }
    Ok(plan)
}

/// Whether the operators can run a query.
pub(crate) fn can_run(state: &SessionState, plan: &LogicalPlan) -> bool {
    planned(state, plan).is_some()
}

/// A query's rows, with the types of its plan, and those that could not be computed.
pub(crate) async fn rows(
    state: &SessionState,
    plan: &LogicalPlan,
    now: Timestamp,
) -> Result<(RecordBatch, Vec<QuarantinedRow>), SqlError> {
    let Some((operators, sources)) = planned(state, plan) else {
        return Err(SqlError::internal("a query that operators cannot run"));
    };
    let mut inputs = HashMap::new();
    for (number, source) in (1..).zip(sources) {
        inputs.insert(CollectionId(number), rows_of(state, source).await?);
    }
    let evaluated = evaluated(operators, inputs, now).await?;
    Ok((with_types(&evaluated.rows, plan.schema().as_arrow())?, evaluated.failed))
}

/// The operators' plan, and what its inputs are, from number 1 on.
pub(crate) fn planned(
    state: &SessionState,
    plan: &LogicalPlan,
) -> Option<(Plan, Vec<Arc<dyn TableSource>>)> {
    let sources: RefCell<Vec<Arc<dyn TableSource>>> = RefCell::default();
    let input = |scan: &TableScan| {
        let mut sources = sources.borrow_mut();
        sources.push(Arc::clone(&scan.source));
        Ok(Input { number: sources.len() as u64, schema: scan.source.schema() })
    };
    let options = Arc::clone(state.config_options());
    let plan = on_large_stack(|| plan_bound(plan, options, &input)).ok()?;
    Some((plan, sources.take()))
}

/// Set when it is dropped: nobody waits for the result any more.
#[derive(Default)]
struct Abandoned(Arc<AtomicBool>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

async fn evaluated(
    plan: Plan,
    inputs: HashMap<CollectionId, RecordBatch>,
    now: Timestamp,
) -> Result<Evaluated, SqlError> {
    let waiting = Abandoned::default();
    let abandoned = Arc::clone(&waiting.0);
    let work = move || {
        let cancelled = || abandoned.load(Ordering::Relaxed);
        evaluate_unless(&plan, now, &|id| inputs[&id].clone(), &cancelled)
    };
    let evaluated = match Handle::try_current() {
        Ok(runtime) => match runtime.spawn_blocking(work).await {
            Ok(evaluated) => evaluated,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => return Err(SqlError::internal(error.to_string())),
            },
        },
        Err(_) => work(),
    };
    let canceled =
        || SqlError::new(sqlstate::QUERY_CANCELED, "canceling statement due to user request");
    evaluated.ok_or_else(canceled)
}

/// A plan whose top sorts rows without limiting them: the first rows of an order are sorted again,
/// once they are there.
fn ordered(plan: &LogicalPlan) -> LogicalPlan {
    match plan {
        LogicalPlan::Limit(limit) => {
            let mut below = limit.input.as_ref();
            let mut above = Vec::new();
            while let LogicalPlan::Projection(projection) = below {
                above.push(projection.clone());
                below = &projection.input;
            }
            let LogicalPlan::Sort(sort) = below else { return plan.clone() };
            let mut first = limit.clone();
            first.input = Arc::new(below.clone());
            let input = Arc::new(LogicalPlan::Limit(first));
            let mut plan = LogicalPlan::Sort(Sort { input, ..sort.clone() });
            for mut projection in above.into_iter().rev() {
                projection.input = Arc::new(plan);
                plan = LogicalPlan::Projection(projection);
            }
            plan
        }
        LogicalPlan::Projection(projection) => {
            let mut projection = projection.clone();
            projection.input = Arc::new(ordered(&projection.input));
            LogicalPlan::Projection(projection)
        }
        other => other.clone(),
    }
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
    let batches = collect(execute_stream(exec, task_context(state))?).await?;
    Ok(concat_batches(&schema, &batches)?)
}

/// The rows with the types that the query's plan has, all of them nullable.
pub(crate) fn with_types(rows: &RecordBatch, schema: &Schema) -> Result<RecordBatch> {
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
