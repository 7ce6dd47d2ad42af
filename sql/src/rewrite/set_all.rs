//! EXCEPT ALL and INTERSECT ALL for plans that DataFusion runs: `SqlToRel` makes joins of them that
//! take every equal row, not one for one.
//!
//! Law: of a row that the left has m times and the right n times, EXCEPT ALL leaves max(m − n, 0)
//! and INTERSECT ALL min(m, n). Equal rows are numbered on both sides, and the number is one more
//! column to join by.

use std::sync::Arc;

use datafusion::common::{Column, JoinType, NullEquality, Result};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{Expr, ExprFunctionExt, Join, LogicalPlan, LogicalPlanBuilder};

const COPY: &str = "\u{2}copy";

/// Numbers equal rows on both sides of every such join.
pub fn keep_count(plan: LogicalPlan) -> Result<LogicalPlan> {
    super::map_nodes(plan, &mut |node| match node {
        LogicalPlan::Join(join) if keeps_copies(&join) => numbered_join(join),
        node => Ok(node),
    })
}

/// Over distinct rows on the left both meanings are the same.
fn keeps_copies(join: &Join) -> bool {
    matches!(join.join_type, JoinType::LeftAnti | JoinType::LeftSemi)
        && join.null_equality == NullEquality::NullEqualsNull
        && join.on.len() == join.left.schema().fields().len()
        && join.filter.is_none()
        && !matches!(*join.left, LogicalPlan::Distinct(_))
}

fn numbered_join(mut join: Join) -> Result<LogicalPlan> {
    let columns = columns(&join.left);
    let (left, left_copy) = numbered(&join.left, "left")?;
    let (right, right_copy) = numbered(&join.right, "right")?;
    join.on.push((left_copy, right_copy));
    let (left_on, right_on): (Vec<Column>, Vec<Column>) = join
        .on
        .iter()
        .filter_map(|(left, right)| Some((left.try_as_col()?.clone(), right.try_as_col()?.clone())))
        .unzip();
    LogicalPlanBuilder::from(left)
        .join_detailed(right, join.join_type, (left_on, right_on), None, join.null_equality)?
        .project(columns)?
        .build()
}

/// A plan with the number of each row among its equals.
fn numbered(plan: &Arc<LogicalPlan>, side: &str) -> Result<(LogicalPlan, Expr)> {
    let columns = columns(plan);
    let name = format!("{COPY}{side}");
    let number = row_number().partition_by(columns.clone()).build()?;
    let number_name = number.schema_name().to_string();
    let mut projected = columns;
    projected.push(Expr::Column(Column::from_name(number_name)).alias(&name));
    let plan = LogicalPlanBuilder::from(Arc::unwrap_or_clone(Arc::clone(plan)))
        .window(vec![number])?
        .project(projected)?
        .build()?;
    Ok((plan, Expr::Column(Column::from_name(name))))
}

fn columns(plan: &LogicalPlan) -> Vec<Expr> {
    plan.schema().iter().map(Expr::from).collect()
}
