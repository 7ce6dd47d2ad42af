//! LATERAL, where DataFusion cannot turn it into a join: the subquery's rows as a list for each row
//! of the left side, taken apart again.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Column, JoinType, NullHandling, Result, TableReference, UnnestOptions};
use datafusion::execution::SessionState;
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, LogicalPlanBuilder, Subquery};

use super::{Kind, Rewriter, correlates_in_filters, is_plain_aggregate};
use crate::error::SqlError;

/// Name of the list column between the two steps.
const ROWS: &str = "\u{2}lateral";

/// The join without its LATERAL side, if it has one that needs this.
pub fn by_row(join: Join, state: &SessionState) -> Result<LogicalPlan> {
    let Some((subquery, alias)) = lateral(&join.right) else { return Ok(LogicalPlan::Join(join)) };
    let plan = subquery.subquery.as_ref();
    if correlates_in_filters(plan)? || is_plain_aggregate(plan)? {
        return Ok(LogicalPlan::Join(join));
    }
    let outer = match join.join_type {
        JoinType::Inner => false,
        JoinType::Left if join.filter.as_ref().is_none_or(is_true) && join.on.is_empty() => true,
        _ => return Err(SqlError::unsupported("this kind of LATERAL join is not supported").into()),
    };
    let fields: Fields = plan
        .schema()
        .fields()
        .iter()
        .enumerate()
        .map(|(n, field)| Field::new(format!("c{n}"), field.data_type().clone(), true))
        .collect();
    let names: Vec<String> = plan.schema().fields().iter().map(|f| f.name().clone()).collect();
    let ty = DataType::List(Arc::new(Field::new("item", DataType::Struct(fields), true)));
    let left = Arc::unwrap_or_clone(join.left);
    let own: Vec<Expr> = left.schema().columns().into_iter().map(Expr::Column).collect();
    let rewriter = Rewriter { schema: left.schema(), state, projects: false };
    let call = rewriter.call(subquery.clone(), Kind::Rows { outer }, ty, None)?;
    let null_handling = if outer { NullHandling::Preserve } else { NullHandling::Drop };
    let options = UnnestOptions { null_handling, recursions: vec![] };
    let rows = Expr::Column(Column::from_name(ROWS));
    let mut columns = own.clone();
    for (n, name) in names.iter().enumerate() {
        let value = get_field(rows.clone(), format!("c{n}"));
        columns.push(match &alias {
            Some(alias) => value.alias_qualified(Some(alias.clone()), name.clone()),
            None => value.alias(name.clone()),
        });
    }
    let mut with_rows = own;
    with_rows.push(call.alias(ROWS));
    let mut plan = LogicalPlanBuilder::from(left)
        .project(with_rows)?
        .unnest_column_with_options(Column::from_name(ROWS), options)?
        .project(columns)?;
    if !outer {
        let equal = join.on.into_iter().map(|(left, right)| left.eq(right));
        if let Some(condition) = equal.chain(join.filter).reduce(Expr::and) {
            plan = plan.filter(condition)?;
        }
    }
    plan.build()
}

/// The correlated subquery on the right of a join, and its name.
fn lateral(right: &LogicalPlan) -> Option<(&Subquery, Option<TableReference>)> {
    match right {
        LogicalPlan::Subquery(subquery) => Some((subquery, None)),
        LogicalPlan::SubqueryAlias(alias) => match alias.input.as_ref() {
            LogicalPlan::Subquery(subquery) => Some((subquery, Some(alias.alias.clone()))),
            _ => None,
        },
        _ => None,
    }
}

fn is_true(expr: &Expr) -> bool {
    use datafusion::common::ScalarValue;
    matches!(expr, Expr::Literal(ScalarValue::Boolean(Some(true)), _))
}
