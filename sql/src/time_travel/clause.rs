//! From a time clause, or `SET as_of`, to a [`TimeTravel`].

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, TableReference};
use datafusion::error::Result;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, LogicalPlanBuilder, TableSource};
use sqlparser::ast::{self, Expr as AstExpr, TableFactor, TableVersion};
use tidemark_engine::Timestamp;

use super::TimeTravel;
use crate::error::SqlError;
use crate::resolve::{PAST, RelationSource, ScannedRelation};
use crate::rewrite::ast::cast_to;
use crate::rewrite::version_clause::unmarked;
use crate::run::now_literal;
use crate::time_join::Clock;

/// Makes the time of a clause a timestamptz.
pub fn spell(factor: &mut TableFactor) {
    let TableFactor::Table { version: Some(version), .. } = factor else { return };
    let (TableVersion::ForSystemTimeAsOf(time) | TableVersion::TimestampAsOf(time)) = version
    else {
        return;
    };
    let zone = ast::TimezoneInfo::Tz;
    let written = std::mem::replace(time, AstExpr::value(ast::Value::Null));
    *time = cast_to(AstExpr::Nested(Box::new(written)), ast::DataType::Timestamp(None, zone));
}

/// Plans the relations that have a time clause.
#[derive(Debug)]
pub struct TimeClauses;

impl RelationPlanner for TimeClauses {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let TableFactor::Table { name, alias, version: Some(version), args: None, .. } = &relation
        else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let (clock, time) = match version {
            TableVersion::ForSystemTimeAsOf(time) => (Clock::System, time.clone()),
            TableVersion::TimestampAsOf(time) => (Clock::Event, time.clone()),
            _ => return Ok(RelationPlanning::Original(Box::new(relation))),
        };
        let name = context.object_name_to_table_reference(name.clone())?;
        let source = context.context_provider().get_table_source(in_past(&name))?;
        let time = context.sql_to_expr(time, &DFSchema::empty())?;
        let plan = traveled(&name, source, clock, time)?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias.clone()))))
    }
}

/// A relation as of the session's `as_of`, from its source in the past.
pub fn as_of(
    name: &TableReference,
    past: Arc<dyn TableSource>,
    at: Timestamp,
) -> Result<LogicalPlan> {
    let time = Expr::Literal(now_literal(at), None);
    traveled(name, past, Clock::System, time)
}

/// The name by which the resolver is asked for the past.
fn in_past(name: &TableReference) -> TableReference {
    with_table(name, &format!("{PAST}{}", name.table()))
}

fn with_table(name: &TableReference, table: &str) -> TableReference {
    match name {
        TableReference::Bare { .. } => TableReference::bare(table),
        TableReference::Partial { schema, .. } => TableReference::partial(schema.clone(), table),
        TableReference::Full { catalog, schema, .. } => {
            TableReference::full(catalog.clone(), schema.clone(), table)
        }
    }
}

fn traveled(
    name: &TableReference,
    past: Arc<dyn TableSource>,
    clock: Clock,
    time: Expr,
) -> Result<LogicalPlan> {
    let name = with_table(name, unmarked(name.table())?.0);
    let plan = LogicalPlanBuilder::scan(name, past, None)?.build()?.transform_down(|node| {
        let LogicalPlan::TableScan(scan) = &node else { return Ok(Transformed::no(node)) };
        let source = scan.source.downcast_ref::<RelationSource>();
        let Some(ScannedRelation::Past(relation, version)) = source.map(|source| &source.relation)
        else {
            return Err(SqlError::internal("only relations of the catalog have a past").into());
        };
        let node = TimeTravel {
            name: scan.table_name.clone(),
            relation: *relation,
            clock,
            version: *version,
            time: time.clone(),
            schema: Arc::clone(&scan.projected_schema),
        };
        let node = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        Ok(Transformed::yes(node))
    })?;
    Ok(plan.data)
}
