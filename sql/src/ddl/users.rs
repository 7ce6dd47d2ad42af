//! Which views use a column of a table: those that a DROP COLUMN would leave without it (S22).
//!
//! Law: a view uses a column when its plan, without columns that nobody asks for, reads it. What
//! reads the table in the past is taken to use all of it.

use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::{Optimizer, OptimizerContext};
use tidemark_catalog::{Object, ObjectId};

use crate::context::PlanContext;
use crate::error::SqlError;
use crate::resolve::{RelationSource, Resolver, ScannedRelation};
use crate::session_state::session_state;
use crate::time_join::PointInTimeJoin;
use crate::time_travel;

/// Views that name the table and use this column of it, in order of id.
pub fn users_of_column(
    ctx: &PlanContext,
    table: &Object,
    column: usize,
) -> Result<Vec<ObjectId>, SqlError> {
    let session = session_state(ctx);
    let mut users = Vec::new();
    for id in ctx.catalog.dependents_transitive(table.id) {
        let Some(view) = ctx.catalog.get(id).filter(|view| view.depends_on().contains(&table.id))
        else {
            continue;
        };
        let (plan, _) = Resolver::new(ctx, &session).expand_version(view)?;
        let rule = Arc::new(OptimizeProjections::new());
        let optimizer = Optimizer::with_rules(vec![rule]);
        let plan = optimizer.optimize(plan, &OptimizerContext::new(), |_, _| {})?;
        if uses(&plan, table.id, column)? {
            users.push(id);
        }
    }
    users.sort();
    Ok(users)
}

fn uses(plan: &LogicalPlan, table: ObjectId, column: usize) -> Result<bool, SqlError> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::TableScan(scan) => {
                let source = scan.source.downcast_ref::<RelationSource>();
                let is_it = source.is_some_and(
                    |source| matches!(source.relation, ScannedRelation::Table(id) if id == table),
                );
                let reads = scan.projection.as_ref().is_none_or(|all| all.contains(&column));
                found |= is_it && reads;
            }
            LogicalPlan::Extension(extension) => {
                let joined = extension.node.as_any().downcast_ref::<PointInTimeJoin>();
                let joined = joined.map(PointInTimeJoin::relation).transpose()?;
                found |= joined.is_some_and(|(_, id, _)| id == table);
                found |= time_travel::of(node).is_some_and(|past| past.relation == table);
            }
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}
