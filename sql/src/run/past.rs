//! Relations that a statement reads in the past: planned down to the tables, to be replayed.
//!
//! Law: at each time a view is its version in force then, and so is everything below it (S12);
//! nothing of the statement's snapshot is in what is replayed.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use tidemark_catalog::{CommitTime, VersionSelection};
use tidemark_engine::Timestamp;

use crate::context::{PlanContext, ReadView};
use crate::error::{SqlError, state};
use crate::maintain::{Replayed, explain_plan, plan_replayed};
use crate::resolve::{RelationSource, Resolver, ScannedRelation};
use crate::rewrite;
use crate::time_join::{Bound, Clock, Past, PointInTimeJoin, Replay, ReplayedSpan};
use crate::version;

/// The join with what it replays, for a statement that reads so.
pub fn bind(
    ctx: &PlanContext,
    state: &SessionState,
    join: &PointInTimeJoin,
    read: &ReadView,
) -> Result<PointInTimeJoin> {
    let at = read.at.min(read.now);
    let (name, id, version) = join.relation()?;
    let name = name.table().to_owned();
    let equalities = join.equalities();
    let keys: Vec<Expr> = equalities.iter().map(|(_, _, key)| key.clone()).collect();
    let mut spans = Vec::new();
    for (which, from, until) in definitions(ctx, join, at)? {
        let relation = at_version(ctx, state, join, which);
        let planned = relation.map_err(SqlError::from).and_then(|relation| {
            let options = Arc::clone(state.config_options());
            plan_replayed(&relation, &keys, options, &ctx.catalog)
                .map_err(|error| not_replayed(&name, error))
        });
        spans.push(ReplayedSpan { from, until, planned });
    }
    let shown = match spans.last().map(|span| &span.planned) {
        Some(Ok(replayed)) => shown(ctx, replayed, spans.len()),
        Some(Err(error)) => return Err(error.clone().into()),
        None => return Err(SqlError::internal("a relation is never without a version").into()),
    };
    let mut bound = join.clone();
    let (mut taken, mut by_key) = (Vec::new(), Vec::new());
    for (number, (place, sought, _)) in equalities.into_iter().enumerate() {
        let found = |span: &ReplayedSpan| {
            span.planned.as_ref().map_or(true, |replayed| replayed.keys[number].is_some())
        };
        if spans.iter().all(found) {
            bound.keys.push(sought);
            taken.push(place);
            by_key.push(number);
        }
    }
    let mut place = 0..;
    bound.conditions.retain(|_| !place.next().is_some_and(|place| taken.contains(&place)));
    let history = Past::new(ctx, join.clock, at);
    let (keys, present, object) = (by_key, read.present, id);
    let replay = Replay { spans, keys, history, at, present, name, object, version, shown };
    bound.bound = Some(Bound(Arc::new(replay)));
    Ok(bound)
}

/// The versions of a relation up to `at`, by event time the newest alone, each with the first of
/// its times and the first after it.
fn definitions(
    ctx: &PlanContext,
    join: &PointInTimeJoin,
    at: Timestamp,
) -> Result<Vec<(VersionSelection, u64, u64)>> {
    let (_, id, version) = join.relation()?;
    let in_force = version.unwrap_or(match join.clock {
        Clock::System => VersionSelection::InForce(CommitTime(0)),
        Clock::Event => VersionSelection::Current,
    });
    if ctx.catalog.get(id).is_some_and(|object| object.view().is_none()) {
        return Ok(vec![(in_force, 0, u64::MAX)]);
    }
    let spans = version::spans(&ctx.catalog, id, in_force, CommitTime(0), CommitTime(at.0))?;
    Ok(spans.into_iter().map(|span| (span.which, span.from.0, span.until.0)).collect())
}

/// The right side with one version of its relation, down to the tables.
fn at_version(
    ctx: &PlanContext,
    state: &SessionState,
    join: &PointInTimeJoin,
    which: VersionSelection,
) -> Result<LogicalPlan> {
    let plan = join.right.as_ref().clone().transform_down(|node| {
        let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
        let Some(source) = scan.source.downcast_ref::<RelationSource>() else {
            return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
        };
        let ScannedRelation::Past(id, _) = source.relation else {
            return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
        };
        if ctx.catalog.get(id).is_some_and(|object| object.view().is_none()) {
            let relation = ScannedRelation::Table(id);
            scan.source = Arc::new(RelationSource { relation, ..source.clone() });
            return Ok(Transformed::yes(LogicalPlan::TableScan(scan)));
        }
        let body = Resolver::new(ctx, state).expand_at(id, which)?;
        let body = rewrite::postgres_semantics(body, state.config_options())?;
        let view = LogicalPlanBuilder::from(body).alias(scan.table_name)?.build()?;
        Ok(Transformed::new(view, true, TreeNodeRecursion::Jump))
    })?;
    plan.data.recompute_schema()
}

/// The last version's plan in one line.
fn shown(ctx: &PlanContext, replayed: &Replayed, versions: usize) -> String {
    let lines = explain_plan(&ctx.catalog, &replayed.plan);
    let plan = lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" <- ");
    match versions {
        1 => plan,
        versions => format!("{versions} definitions, now {plan}"),
    }
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
