//! Running a planned query over one snapshot.
//!
//! Law: a run binds every relation of the plan to the one [`ReadView`], `now()` to its time and
//! `$n` to the given values, then optimizes and executes. A materialized view over a table that the
//! transaction has written is expanded like a plain view, so that it shows the transaction's own
//! writes (S4).

mod filter_pushdown;
mod outer_constants;
mod past;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::{TableProvider, provider_as_source, source_as_provider};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::{Extension, LogicalPlan, LogicalPlanBuilder, TableScan};
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, execute_stream};
use datafusion::scalar::ScalarValue;
use tidemark_catalog::ObjectId;
use tidemark_engine::Timestamp;

use crate::by_operators;
use crate::context::{PlanContext, ReadView};
use crate::error::SqlError;
use crate::plain_view;
use crate::plan::{QueryPlan, base_tables, on_large_stack, scanned};
use crate::provider::{GivenRows, RelationProvider};
use crate::resolve::{RelationSource, Resolver, ScannedRelation};
use crate::rewrite;
use crate::session_state::{session_state, set_parallelism, task_context};
use crate::subquery;
use crate::time_join::{EventTimeRows, PointInTimeJoin, WholeTable};
use crate::time_travel;
pub(crate) use filter_pushdown::FilterPushdown;
pub(crate) use outer_constants::OuterConstants;

/// Rows of a query as of `read`. The stream's errors turn into [`SqlError`] by `SqlError::from`.
///
/// `params` has one value for each of `plan.parameters`, of that type.
pub async fn run_query(
    ctx: &PlanContext,
    plan: &QueryPlan,
    read: &ReadView,
    params: Vec<ScalarValue>,
) -> Result<SendableRecordBatchStream, SqlError> {
    if let Some(point) = &plan.point
        && let Some(rows) = point.read(ctx, read, &params, &plan.schema)?
    {
        let rows = futures::stream::iter(rows.into_iter().map(Ok));
        return Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&plan.schema), rows)));
    }
    run_plan(ctx, &plan.logical, read, &params, &BTreeMap::new()).await
}

/// The same for a plan that also reads rows of the statement's own.
pub(crate) async fn run_plan(
    ctx: &PlanContext,
    plan: &LogicalPlan,
    read: &ReadView,
    params: &[ScalarValue],
    given: &BTreeMap<String, RecordBatch>,
) -> Result<SendableRecordBatchStream, SqlError> {
    let (state, exec) = physical_of(ctx, plan, read, params, given).await?;
    Ok(execute_stream(exec, task_context(&state))?)
}

/// What [`run_plan`] executes.
pub(crate) async fn physical_of(
    ctx: &PlanContext,
    plan: &LogicalPlan,
    read: &ReadView,
    params: &[ScalarValue],
    given: &BTreeMap<String, RecordBatch>,
) -> Result<(SessionState, Arc<dyn ExecutionPlan>), SqlError> {
    let mut state = session_state(ctx);
    let read = &time_travel::statement_view(ctx, read)?;
    let plan = time_travel::travel(ctx, &state, plan.clone(), read, params).await?;
    let bound = Run { ctx, read, given }.bind(&state, &plan, params)?;
    let exec = match with_datafusion(&mut state, bound.clone()).await {
        Ok(exec) => exec,
        Err(error) => {
            let error = SqlError::from(error);
            match by_operators::execution(&state, &bound, read.now).await {
                Ok(Some(exec)) => exec,
                // A value at fault, which was met while planning.
                Err(_) if error.code.starts_with("22") => return Err(error),
                Err(of_rows) => return Err(of_rows),
                Ok(None) => return Err(error),
            }
        }
    };
    Ok((state, exec))
}

async fn with_datafusion(
    state: &mut SessionState,
    bound: LogicalPlan,
) -> Result<Arc<dyn ExecutionPlan>> {
    let optimized = optimize(state, bound)?;
    set_parallelism(state, scanned_rows(&optimized)?);
    execution(state, &optimized).await
}

/// Every row of a plan.
pub(crate) async fn collect(
    ctx: &PlanContext,
    plan: &LogicalPlan,
    read: &ReadView,
    params: &[ScalarValue],
    given: &BTreeMap<String, RecordBatch>,
) -> Result<Vec<RecordBatch>, SqlError> {
    let stream = run_plan(ctx, plan, read, params, given).await?;
    Ok(datafusion::physical_plan::common::collect(stream).await?)
}

/// The bound and optimized plan, for EXPLAIN.
pub(crate) async fn optimized(
    ctx: &PlanContext,
    plan: &LogicalPlan,
    read: &ReadView,
    params: &[ScalarValue],
) -> Result<(SessionState, LogicalPlan), SqlError> {
    let state = session_state(ctx);
    let given = BTreeMap::new();
    let read = &time_travel::statement_view(ctx, read)?;
    let plan = time_travel::travel(ctx, &state, plan.clone(), read, params).await?;
    let bound = Run { ctx, read, given: &given }.bind(&state, &plan, params)?;
    let optimized = optimize(&state, bound)?;
    Ok((state, optimized))
}

/// Optimizes; what DataFusion would get wrong is refused.
fn optimize(state: &SessionState, plan: LogicalPlan) -> Result<LogicalPlan> {
    on_large_stack(|| {
        let plan = rewrite::exclude::refuse(rewrite::ties::refuse(plan)?)?;
        let plan = rewrite::complete_order(rewrite::keep_count(plan)?)?;
        let plan = rewrite::one_zero(rewrite::check_overflow(plan)?)?;
        let plan = rewrite::absent_rows(subquery::refuse(plan)?)?;
        state.optimize(&plan)
    })
}

/// What runs a part of a bound plan by itself.
pub(crate) async fn physical(
    state: &SessionState,
    plan: LogicalPlan,
) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = optimize(state, plan)?;
    execution(state, &plan).await
}

/// What runs a plan as it is, optimized or not: the one way from logical to physical plans.
pub(crate) async fn execution(
    state: &SessionState,
    plan: &LogicalPlan,
) -> Result<Arc<dyn ExecutionPlan>> {
    let exec = state.query_planner().create_physical_plan(plan, state).await?;
    yielding(without_first_none(exec)?)
}

/// DataFusion's optimizer leaves no LIMIT 0, and its sort for the first k rows panics for k = 0:
/// plans that were not optimized come here with one.
fn without_first_none(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let replaced = plan.transform_down(|node| {
        let none = node.downcast_ref::<SortExec>().is_some_and(|sort| sort.fetch() == Some(0));
        if !none {
            return Ok(Transformed::no(node));
        }
        let partitions = node.output_partitioning().partition_count();
        let empty = EmptyExec::new(node.schema()).with_partitions(partitions);
        let empty = Arc::new(empty) as Arc<dyn ExecutionPlan>;
        Ok(Transformed::new(empty, true, TreeNodeRecursion::Jump))
    })?;
    Ok(replaced.data)
}

/// A join may give many batches for one that it reads. DataFusion counts only what is read as work,
/// so a long join would neither let others run nor notice that it is cancelled.
fn yielding(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let wrapped = plan.transform_up(|node| {
        if node.children().len() < 2 {
            return Ok(Transformed::no(node));
        }
        Ok(Transformed::yes(Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>))
    })?;
    Ok(wrapped.data)
}

/// About how many rows the scans of an optimized plan read.
fn scanned_rows(plan: &LogicalPlan) -> Result<usize> {
    let mut rows = 0;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Ok(provider) = source_as_provider(&scan.source)
            && let Some(relation) = provider.downcast_ref::<RelationProvider>()
        {
            rows += relation.rows(&scan.filters);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(rows)
}

/// A plan whose relations are bound, as for a statement of its own at `read`.
pub(crate) fn bound_relations(
    ctx: &PlanContext,
    state: &SessionState,
    plan: LogicalPlan,
    read: &ReadView,
) -> Result<LogicalPlan> {
    Run { ctx, read, given: &BTreeMap::new() }.bind_relations(state, plan)
}

struct Run<'a> {
    ctx: &'a PlanContext,
    read: &'a ReadView,
    given: &'a BTreeMap<String, RecordBatch>,
}

impl Run<'_> {
    /// The plan over this snapshot.
    fn bind(
        &self,
        state: &SessionState,
        plan: &LogicalPlan,
        params: &[ScalarValue],
    ) -> Result<LogicalPlan, SqlError> {
        on_large_stack(|| {
            let plan = rewrite::parameters::substitute(plan.clone(), params)?;
            let plan = self.bind_relations(state, plan)?;
            let plan = rewrite::now::substitute(plan, self.read.now)?;
            Ok(plain_view::bind(plan, state, self.read.now)?)
        })
    }

    fn bind_relations(&self, state: &SessionState, plan: LogicalPlan) -> Result<LogicalPlan> {
        let bound = plan.transform_down_with_subqueries(|node| match node {
            LogicalPlan::Extension(extension) => {
                match extension.node.as_any().downcast_ref::<PointInTimeJoin>() {
                    // One of a view that is read as of a time is bound to that.
                    Some(join) if join.bound.is_none() => {
                        let node = Arc::new(past::bind(self.ctx, state, join, self.read)?);
                        let extension = Extension { node };
                        Ok(Transformed::yes(LogicalPlan::Extension(extension)))
                    }
                    _ => Ok(Transformed::no(LogicalPlan::Extension(extension))),
                }
            }
            LogicalPlan::TableScan(scan) => match scan.source.downcast_ref::<RelationSource>() {
                Some(source) => {
                    let source = source.clone();
                    Ok(Transformed::yes(self.bind_scan(state, scan, &source)?))
                }
                None => Ok(Transformed::no(LogicalPlan::TableScan(scan))),
            },
            node => Ok(Transformed::no(node)),
        })?;
        Ok(bound.data)
    }

    fn bind_scan(
        &self,
        state: &SessionState,
        mut scan: TableScan,
        source: &RelationSource,
    ) -> Result<LogicalPlan> {
        let provider: Arc<dyn TableProvider> = match &source.relation {
            ScannedRelation::MaterializedView(id) if is_overwritten(self.ctx, self.read, *id) => {
                return self.expand(state, scan, *id);
            }
            ScannedRelation::Table(id) | ScannedRelation::MaterializedView(id) => {
                let id = self.ctx.collection(*id);
                match self.read.known {
                    Some(known) => {
                        let (schema, times) = (Arc::clone(&source.schema), (self.read.at, known));
                        let arrivals = source.with_arrivals;
                        let rows = EventTimeRows::new(self.ctx, id, times, schema, arrivals);
                        Arc::new(WholeTable::over(rows, vec![]))
                    }
                    None => Arc::new(RelationProvider::of_source(self.ctx, id, source, self.read)),
                }
            }
            ScannedRelation::System(table) => {
                let context = self.ctx.system_context(table, self.read.now);
                Arc::new(GivenRows { batch: table.rows(&context) })
            }
            ScannedRelation::Past(..) => {
                return Err(SqlError::internal("a snapshot has no past").into());
            }
            ScannedRelation::Given(name) => {
                let batch = self.given.get(name).cloned();
                let batch = batch.unwrap_or_else(|| RecordBatch::new_empty(source.schema.clone()));
                let batch = match source.with_arrivals && batch.num_columns() > 0 {
                    true => with_commit_time(&batch, source, self.read)?,
                    false => batch,
                };
                Arc::new(GivenRows { batch })
            }
        };
        scan.source = provider_as_source(provider);
        Ok(LogicalPlan::TableScan(scan))
    }

    fn expand(&self, state: &SessionState, scan: TableScan, view: ObjectId) -> Result<LogicalPlan> {
        let body = Resolver::new(self.ctx, state).expand(view)?;
        let body = rewrite::postgres_semantics(body, state.config_options())?;
        let bound = self.bind_relations(state, body)?;
        LogicalPlanBuilder::from(bound).alias(scan.table_name)?.build()
    }
}

/// Rows that a statement is about to write, with the time at which they arrive; NULL as long as
/// nobody knows.
fn with_commit_time(
    batch: &RecordBatch,
    source: &RelationSource,
    read: &ReadView,
) -> Result<RecordBatch> {
    let missing = source.schema.fields().len() > batch.num_columns();
    let mut columns = batch.columns().to_vec();
    if missing {
        let time = match read.commits_at {
            Some(time) => now_literal(time),
            None => ScalarValue::try_from(now_literal(Timestamp::MIN).data_type())?,
        };
        columns.push(time.to_array_of_size(batch.num_rows())?);
    }
    Ok(RecordBatch::try_new(Arc::clone(&source.schema), columns)?)
}

/// Whether the transaction has written a table under a view, or made the view itself.
pub(crate) fn is_overwritten(ctx: &PlanContext, read: &ReadView, view: ObjectId) -> bool {
    let Some(overlay) = read.overlay.as_deref() else { return false };
    let tables = base_tables(&ctx.catalog, &[view].into());
    let overwritten = tables.iter().any(|id| overlay.table(ctx.collection(*id)).is_some());
    overwritten || ctx.engine.relation(ctx.collection(view)).is_none()
}

/// Tables and materialized views a plan reads, for those who lock.
pub fn reads_of(plan: &LogicalPlan) -> Result<Vec<ObjectId>, SqlError> {
    Ok(scanned(plan)?.into_iter().collect())
}

/// A literal of the type of `now()`.
pub(crate) fn now_literal(now: Timestamp) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(Some(now.0 as i64), Some("+00:00".into()))
}
