//! A plain view in a query: a row that one of its expressions fails for leaves it (S10).
//!
//! Law      the rows of a plain view are those of a materialized view of the same text; only the
//!          expressions of the statement itself raise
//! How      the view's plan stands below a node of its own. A view whose expressions cannot fail
//!          takes the node's place; the rows of another are computed by the engine's operators,
//!          under those conditions of the statement's on its columns that cannot fail
//! Missing  a view that the operators cannot run (volatile functions, for one) raises

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{Column, DFSchemaRef, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, LogicalPlanBuilder, TableProviderFilterPushDown, TableType,
    UserDefinedLogicalNodeCore,
};
use datafusion::physical_plan::ExecutionPlan;
use tidemark_engine::Timestamp;

use crate::by_operators;
use crate::maintain;
use crate::provider::GivenRows;

/// The name of the scan of a view's rows.
const ROWS: &str = "view";

/// The plan of a plain view, set off from the statement that names it.
pub fn bounded(plan: LogicalPlan) -> LogicalPlan {
    LogicalPlan::Extension(Extension { node: Arc::new(PlainView { plan }) })
}

/// The plan of the view, if the node is one.
pub fn body(extension: &Extension) -> Option<&LogicalPlan> {
    extension.node.as_any().downcast_ref::<PlainView>().map(|view| &view.plan)
}

/// Puts plans or rows in the place of the plain views in a plan that is bound to its snapshot.
pub fn bind(plan: LogicalPlan, state: &SessionState, now: Timestamp) -> Result<LogicalPlan> {
    let bound = plan.transform_down_with_subqueries(|node| {
        let LogicalPlan::Extension(extension) = &node else { return Ok(Transformed::no(node)) };
        let Some(plan) = body(extension) else { return Ok(Transformed::no(node)) };
        let plan = without_bounds(plan.clone())?;
        if !maintain::can_fail(&plan)? || !by_operators::can_run(state, &plan) {
            return Ok(Transformed::new(plan, true, TreeNodeRecursion::Jump));
        }
        let scan = scanned(plan, state, now)?;
        Ok(Transformed::new(scan, true, TreeNodeRecursion::Jump))
    })?;
    Ok(bound.data)
}

/// The plan with the views' plans in their places.
pub fn without_bounds(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plain = plan.transform_up_with_subqueries(|node| match &node {
        LogicalPlan::Extension(extension) => match body(extension) {
            Some(plan) => Ok(Transformed::yes(plan.clone())),
            None => Ok(Transformed::no(node)),
        },
        _ => Ok(Transformed::no(node)),
    })?;
    Ok(plain.data)
}

/// A scan of the view's rows, under the names that the view's plan has.
fn scanned(plan: LogicalPlan, state: &SessionState, now: Timestamp) -> Result<LogicalPlan> {
    let own = Arc::clone(plan.schema());
    let schema = Arc::new(own.as_arrow().clone());
    let rows = ViewRows { plan, schema, state: state.clone(), now };
    let columns = own.iter().map(|(qualifier, field)| {
        let column = Expr::Column(Column::new(Some(ROWS), field.name()));
        column.alias_qualified(qualifier.cloned(), field.name())
    });
    let columns: Vec<Expr> = columns.collect();
    LogicalPlanBuilder::scan(TableReference::bare(ROWS), provider_as_source(Arc::new(rows)), None)?
        .project(columns)?
        .build()
}

/// The node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Hash)]
struct PlainView {
    plan: LogicalPlan,
}

impl UserDefinedLogicalNodeCore for PlainView {
    fn name(&self) -> &str {
        "PlainView"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.plan]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.plan.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PlainView")
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        Ok(PlainView { plan: inputs.remove(0) })
    }
}

/// The rows of a view that can fail, computed when they are read.
#[derive(Debug)]
struct ViewRows {
    plan: LogicalPlan,
    schema: SchemaRef,
    state: SessionState,
    now: Timestamp,
}

#[async_trait]
impl TableProvider for ViewRows {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let schema = TableReference::bare(ROWS);
        let schema = datafusion::common::DFSchema::try_from_qualified_schema(schema, &self.schema)?;
        let pushed = |filter: &&Expr| match maintain::expression_can_fail(filter, &schema)? {
            true => Ok(TableProviderFilterPushDown::Unsupported),
            false => Ok(TableProviderFilterPushDown::Inexact),
        };
        filters.iter().map(pushed).collect()
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let whole = LogicalPlanBuilder::from(self.plan.clone()).alias(ROWS)?;
        let filtered = match conjunction(filters.to_vec()) {
            Some(predicate) => whole.filter(predicate)?.build()?,
            None => whole.build()?,
        };
        let plan = match by_operators::can_run(&self.state, &filtered) {
            true => &filtered,
            false => &self.plan,
        };
        let (batch, _) = by_operators::rows(&self.state, plan, self.now).await?;
        GivenRows { batch }.scan(session, projection, &[], limit).await
    }
}
