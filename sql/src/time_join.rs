//! Joins by time, which DataFusion has not: nodes of a logical plan, and what executes them.
//!
//! Law      a node's columns are the left side's, then the right side's; its rows stand in the
//!          order of the left side's
//! Errors   an expression of ON that fails ends the statement, as an outer one's does (S10)
//!
//! Both sides are held in memory. Materialized views have an [`AsOfJoin`] kept up by the engine's
//! operators instead: see `maintain`.

mod as_of;
mod event_time;
mod matching;
mod point_in_time;
mod probing;
mod replay;
mod whole;

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};

use crate::tell::Tell;

pub use as_of::{AsOfJoin, Pick};
pub use event_time::EventTimeRows;
pub use point_in_time::{Bound, Clock, PointInTimeJoin};
pub use replay::{Past, Replay, ReplayedSpan, there_from};
pub(crate) use whole::{Whole, WholeExec, WholeTable};

/// DataFusion's planner, with our nodes. The statement's [`Tell`] is in the session's config.
#[derive(Debug)]
pub struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(TimeJoins)]);
        planner.create_physical_plan(plan, session).await
    }
}

struct TimeJoins;

#[async_trait]
impl ExtensionPlanner for TimeJoins {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let physical = |expr: &Expr, schema: &DFSchema| -> Result<Arc<dyn PhysicalExpr>> {
            planner.create_physical_expr(expr, schema, session, context)
        };
        let (node, inputs) = (node.as_any(), inputs.to_vec());
        let tell = session.config().get_extension::<Tell>();
        let tell = tell.map_or_else(Tell::default, |tell| tell.as_ref().clone());
        if let Some(join) = node.downcast_ref::<AsOfJoin>() {
            let step = matching::Matching::new(join, tell, &physical)?;
            return Ok(Some(Arc::new(WholeExec::new(Arc::new(step), inputs))));
        }
        if let Some(join) = node.downcast_ref::<PointInTimeJoin>() {
            let step = probing::Probing::new(join, tell, &physical)?;
            return Ok(Some(Arc::new(WholeExec::new(Arc::new(step), inputs))));
        }
        Ok(None)
    }
}
