//! LIMIT over an order that is not total, completed (S9), for plans that DataFusion runs.
//!
//! Law: what a LIMIT, an OFFSET or a DISTINCT ON picks is a function of the rows alone: after the
//! query's own order come the remaining columns, ascending, NULLs last.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::expr::Sort as SortExpr;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, Sort};

/// Completes the order under every LIMIT and DISTINCT ON.
pub fn complete_order(plan: LogicalPlan) -> Result<LogicalPlan> {
    super::map_nodes(plan, &mut |node| {
        Ok(match node {
            LogicalPlan::Limit(mut limit) => {
                limit.input = Arc::new(ordered(Arc::unwrap_or_clone(limit.input)));
                LogicalPlan::Limit(limit)
            }
            LogicalPlan::Distinct(Distinct::On(mut on)) => {
                let mut order = on.sort_expr.take().unwrap_or_else(|| {
                    on.on_expr.iter().map(|expr| expr.clone().sort(true, false)).collect()
                });
                append(&mut order, on.input.schema());
                on.sort_expr = Some(order);
                LogicalPlan::Distinct(Distinct::On(on))
            }
            node => node,
        })
    })
}

/// The plan with a total order: its own, completed, or one of all its columns.
fn ordered(plan: LogicalPlan) -> LogicalPlan {
    match plan {
        LogicalPlan::Sort(mut sort) => {
            append(&mut sort.expr, sort.input.schema());
            LogicalPlan::Sort(sort)
        }
        // A projection that takes columns away which only the order needs.
        LogicalPlan::Projection(mut projection) if sorts(&projection.input) => {
            projection.input = Arc::new(ordered(Arc::unwrap_or_clone(projection.input)));
            LogicalPlan::Projection(projection)
        }
        // A row for each of the expressions that it is ordered by.
        LogicalPlan::Distinct(Distinct::On(_)) => plan,
        plan => {
            let mut expr = Vec::new();
            append(&mut expr, plan.schema());
            match expr.is_empty() {
                true => plan,
                false => LogicalPlan::Sort(Sort { expr, input: Arc::new(plan), fetch: None }),
            }
        }
    }
}

fn sorts(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) | LogicalPlan::Distinct(Distinct::On(_)) => true,
        LogicalPlan::Projection(projection) => sorts(&projection.input),
        _ => false,
    }
}

fn append(order: &mut Vec<SortExpr>, schema: &DFSchema) {
    for (qualifier, field) in schema.iter() {
        let column = Expr::Column(Column::from((qualifier, field)));
        let sortable = !matches!(field.data_type(), DataType::Null | DataType::Interval(_));
        if sortable && !order.iter().any(|item| item.expr == column) {
            order.push(column.sort(true, false));
        }
    }
}
