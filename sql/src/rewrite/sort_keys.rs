//! ORDER BY a subquery: the subquery's value becomes a column, which is sorted by and taken away.
//!
//! Law: a sort's own expressions have no subqueries after this, so that only projections ask them.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::TreeNode;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Sort};

/// Names the columns that are sorted by; no text can write it.
const KEY: &str = "\u{2}sort";

/// Takes the subqueries out of every sort of a plan.
pub fn without_subqueries(plan: LogicalPlan) -> Result<LogicalPlan> {
    let asks = |node: &LogicalPlan| match node {
        LogicalPlan::Sort(sort) => sort.expr.iter().any(|key| asks(&key.expr)),
        _ => false,
    };
    super::map_marked(plan, &asks, &mut |node| match node {
        LogicalPlan::Sort(sort) => by_columns(sort),
        node => Ok(node),
    })
}

fn by_columns(mut sort: Sort) -> Result<LogicalPlan> {
    let own: Vec<Expr> = sort.input.schema().iter().map(Expr::from).collect();
    let mut projected = own.clone();
    for (n, key) in sort.expr.iter_mut().enumerate() {
        if asks(&key.expr) {
            let name = format!("{KEY}{n}");
            let column = Expr::Column(Column::from_name(&name));
            projected.push(std::mem::replace(&mut key.expr, column).alias(name));
        }
    }
    let input = Arc::unwrap_or_clone(sort.input);
    sort.input = Arc::new(LogicalPlanBuilder::from(input).project(projected)?.build()?);
    LogicalPlanBuilder::from(LogicalPlan::Sort(sort)).project(own)?.build()
}

fn asks(expr: &Expr) -> bool {
    let subquery = |expr: &Expr| {
        matches!(
            expr,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
        )
    };
    expr.exists(|expr| Ok(subquery(expr))).unwrap_or(false)
}
