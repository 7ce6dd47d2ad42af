//! Relations that a statement reads in the past: planned down to the tables, to be replayed.
//!
//! Law: a materialized view is its definition here; nothing of the snapshot is in what is replayed.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use tidemark_engine::Timestamp;

use crate::context::PlanContext;
use crate::error::{SqlError, state};
use crate::maintain::{explain_plan, plan_replayed};
use crate::resolve::{RelationSource, Resolver, ScannedRelation};
use crate::rewrite;
use crate::time_join::{Bound, Past, PointInTimeJoin, Replay};

/// The join with what it replays, for a statement that reads at `at`.
pub fn bind(
    ctx: &PlanContext,
    state: &SessionState,
    join: &PointInTimeJoin,
    at: Timestamp,
) -> Result<PointInTimeJoin> {
    let name = relation_name(&join.right);
    let relation = down_to_tables(ctx, state, join.right.as_ref().clone())?;
    let equalities = join.equalities();
    let keys: Vec<Expr> = equalities.iter().map(|(_, _, key)| key.clone()).collect();
    let options = Arc::clone(state.config_options());
    let replayed = plan_replayed(&relation, &keys, options, &ctx.catalog)
        .map_err(|error| not_replayed(&name, error))?;
    let mut bound = join.clone();
    let mut taken = Vec::new();
    for ((place, sought, _), key) in equalities.into_iter().zip(&replayed.keys) {
        if key.is_some() {
            bound.keys.push(sought);
            taken.push(place);
        }
    }
    let mut place = 0..;
    bound.conditions.retain(|_| !place.next().is_some_and(|place| taken.contains(&place)));
    let shown = explain_plan(&ctx.catalog, &replayed.plan);
    let shown = shown.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" <- ");
    let history = Past(Arc::clone(&ctx.engine));
    bound.bound = Some(Bound(Arc::new(Replay { replayed, history, at, name, shown })));
    Ok(bound)
}

/// What the user calls it.
fn relation_name(right: &LogicalPlan) -> String {
    let mut name = String::new();
    let found = right.apply(|node| {
        if let LogicalPlan::SubqueryAlias(alias) = node
            && !alias.alias.table().starts_with('\u{2}')
        {
            name = alias.alias.table().to_owned();
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found.map(|_| name).unwrap_or_default()
}

/// The plan with the definitions of materialized views in their place.
fn down_to_tables(
    ctx: &PlanContext,
    state: &SessionState,
    plan: LogicalPlan,
) -> Result<LogicalPlan> {
    let expanded = plan.transform_down_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = &node else { return Ok(Transformed::no(node)) };
        let Some(source) = scan.source.downcast_ref::<RelationSource>() else {
            return Ok(Transformed::no(node));
        };
        let ScannedRelation::MaterializedView(id) = source.relation else {
            return Ok(Transformed::no(node));
        };
        let body = Resolver::new(ctx, state).expand(id)?;
        let body = rewrite::postgres_semantics(body, state.config_options())?;
        let body = down_to_tables(ctx, state, body)?;
        let aliased = LogicalPlanBuilder::from(body).alias(scan.table_name.clone())?.build()?;
        Ok(Transformed::new(aliased, true, TreeNodeRecursion::Jump))
    })?;
    Ok(expanded.data)
}

/// Why a relation cannot be replayed, in the words of who asked for that.
fn not_replayed(name: &str, error: SqlError) -> SqlError {
    if error.code != state::FEATURE_NOT_SUPPORTED {
        return error;
    }
    let message = format!("relation \"{name}\" cannot be joined as of each row's time");
    SqlError::unsupported(message)
        .with_detail(format!("It is replayed over its tables' past, and {}.", error.message))
        .with_hint(
            "What a materialized view can hold can be replayed; now() as a value may stand in the \
             outermost SELECT list of a plain view.",
        )
}
