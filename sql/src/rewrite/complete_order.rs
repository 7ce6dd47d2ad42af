//! An order that is not total, completed (S9), for plans that DataFusion runs.
//!
//! Law: what a LIMIT, an OFFSET or a DISTINCT ON picks, and what a window function says of a place
//! among peers, is a function of the rows alone: after the query's own order come the remaining
//! columns, ascending, NULLs last. A frame by peers cannot take further keys: values by place in
//! one are refused here, and computed by the engine's operators.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::expr::{Sort as SortExpr, WindowFunction};
use datafusion::logical_expr::{
    Distinct, Expr, ExprSchemable, LogicalPlan, Sort, Window, WindowFrame, WindowFrameUnits,
};
use tidemark_engine::aggregate::{Order, aggregate_function};

use crate::error::SqlError;

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
            LogicalPlan::Window(window) if orders_intervals(&window)? => {
                let message = "a window over intervals is not supported here";
                return Err(SqlError::unsupported(message).into());
            }
            LogicalPlan::Window(window) if window.window_expr.iter().any(by_place) => {
                let input = Arc::clone(window.input.schema());
                let complete = &mut |expr: Expr, _: &DFSchema| {
                    expr.transform_up(|expr| Ok(Transformed::yes(ordered_call(expr, &input)?)))
                };
                super::map_node(LogicalPlan::Window(window), complete)?
            }
            node => node,
        })
    })
}

/// Whether a window is by intervals, which DataFusion orders field by field.
fn orders_intervals(window: &Window) -> Result<bool> {
    let input = window.input.schema();
    let mut found = false;
    for expr in &window.window_expr {
        expr.apply(|expr| {
            if let Expr::WindowFunction(call) = expr {
                let params = &call.params;
                let keys = params.order_by.iter().map(|sort| &sort.expr);
                for key in keys.chain(&params.partition_by) {
                    found |= matches!(key.get_type(input)?, DataType::Interval(_));
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    Ok(found)
}

/// Whether the value of a window function depends on the row's place among its peers.
fn by_place(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => by_place(&alias.expr),
        Expr::Cast(cast) => by_place(&cast.expr),
        Expr::WindowFunction(call) => depends_on_place(call),
        _ => false,
    }
}

fn depends_on_place(call: &WindowFunction) -> bool {
    let frame = &call.params.window_frame;
    let by_peers = frame.units != WindowFrameUnits::Rows;
    let whole = frame.start_bound.is_unbounded() && frame.end_bound.is_unbounded();
    match call.fun.name() {
        "rank" | "dense_rank" | "percent_rank" | "cume_dist" => false,
        name => match aggregate_function(name) {
            Some(function) if function.order() == Order::Indifferent => !(by_peers || whole),
            _ => true,
        },
    }
}

/// The call with its order completed.
fn ordered_call(expr: Expr, input: &DFSchema) -> Result<Expr> {
    let Expr::WindowFunction(mut call) = expr else { return Ok(expr) };
    if !depends_on_place(&call) {
        return Ok(Expr::WindowFunction(call));
    }
    let framed = !matches!(call.fun.name(), "row_number" | "ntile" | "lag" | "lead");
    let params = &mut call.params;
    if params.window_frame.units != WindowFrameUnits::Rows {
        if framed {
            let message = "a value by its place in a frame of peers is not supported here";
            return Err(SqlError::unsupported(message).into());
        }
        params.window_frame = WindowFrame::new(None);
    }
    let own = params.order_by.len();
    append(&mut params.order_by, input);
    let partition = &params.partition_by;
    let mut place = 0;
    params.order_by.retain(|item| {
        place += 1;
        place <= own || !partition.contains(&item.expr)
    });
    Ok(Expr::WindowFunction(call))
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
