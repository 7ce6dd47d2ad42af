//! Constants on the padded side of an outer join: there they are constants, above the join they are
//! that or NULL.
//!
//! DataFusion goes on taking them for constants, and leaves out of an ORDER BY the columns that
//! have but one value. Law: what a join pads comes into it without a word of its constants. Rows
//! pass as they are.

use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, Statistics};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};

/// Puts [`PaddedExec`] in. To run before the rules that look at constants.
#[derive(Debug)]
pub struct OuterConstants;

impl PhysicalOptimizerRule for OuterConstants {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = plan.transform_up(|node| {
            let [left, right] = padded(&node);
            if !left && !right {
                return Ok(Transformed::no(node));
            }
            let input = |(child, padded): (&Arc<dyn ExecutionPlan>, bool)| {
                let constants = child.equivalence_properties().constants();
                let input: Arc<dyn ExecutionPlan> = match padded && !constants.is_empty() {
                    true => Arc::new(PaddedExec::new(Arc::clone(child))),
                    false => Arc::clone(child),
                };
                input
            };
            let children = node.children().into_iter().zip([left, right]);
            let children = children.map(input).collect();
            Ok(Transformed::yes(replace_children_if_necessary(node, children)?))
        })?;
        Ok(plan.data)
    }

    fn name(&self) -> &str {
        "outer_constants"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Which sides of a join it gives with NULLs in their place.
fn padded(node: &Arc<dyn ExecutionPlan>) -> [bool; 2] {
    let kind = if let Some(join) = node.downcast_ref::<HashJoinExec>() {
        *join.join_type()
    } else if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
        *join.join_type()
    } else if let Some(join) = node.downcast_ref::<SortMergeJoinExec>() {
        join.join_type()
    } else {
        return [false, false];
    };
    match kind {
        JoinType::Left => [false, true],
        JoinType::Right => [true, false],
        JoinType::Full => [true, true],
        _ => [false, false],
    }
}

/// See the module.
#[derive(Debug)]
struct PaddedExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl PaddedExec {
    fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        let own = input.properties();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            own.partitioning.clone(),
            own.emission_type,
            own.boundedness,
        );
        PaddedExec { input, properties: Arc::new(properties) }
    }
}

impl DisplayAs for PaddedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PaddedExec")
    }
}

impl ExecutionPlan for PaddedExec {
    fn name(&self) -> &str {
        "PaddedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(PaddedExec::new(children.swap_remove(0))))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(
        &self,
        input: &[Arc<Statistics>],
        _: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        Ok(Arc::clone(&input[0]))
    }
}
