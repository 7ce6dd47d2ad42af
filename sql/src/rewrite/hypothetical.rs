//! Hypothetical-set aggregates: where a row would stand among those of the group.
//!
//! Law: `rank(v) WITHIN GROUP (ORDER BY x)` is one more than the rows that sort before v,
//! dense_rank
//! one more than their distinct values, percent_rank and cume_dist are rows over rows; so they are
//! counts, and maintained as these are.

use sqlparser::ast::{
    BinaryOperator, DataType, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, OrderByExpr, Value,
};

use super::ast::{binary, call, cast_to, not, number};
use crate::error::{SqlError, state};
use crate::parse::fold;

/// Whether a call with WITHIN GROUP is one of these.
pub fn is(call: &Function) -> bool {
    matches!(name(call).as_str(), "rank" | "dense_rank" | "percent_rank" | "cume_dist")
}

fn name(call: &Function) -> String {
    call.name.0.last().and_then(|part| part.as_ident()).map(fold).unwrap_or_default()
}

/// The call as counts.
pub fn counted(function: &Function) -> Result<Expr, SqlError> {
    let name = name(function);
    let FunctionArguments::List(list) = &function.args else { return Err(mismatch(&name)) };
    let values: Option<Vec<Expr>> = list
        .args
        .iter()
        .map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value.clone()),
            _ => None,
        })
        .collect();
    let values = values.filter(|values| values.len() == function.within_group.len());
    let values = values.ok_or_else(|| mismatch(&name))?;
    let (before, alike) = compared(&function.within_group, &values);
    let filter = function.filter.as_deref();
    let count = |condition: Option<Expr>| {
        let condition = match (condition, filter) {
            (Some(one), Some(other)) => Some(and(one, other.clone())),
            (one, other) => one.or_else(|| other.cloned()),
        };
        filtered(call("count", vec![number(1)]), condition)
    };
    let double = |expr: Expr| cast_to(expr, DataType::Float8);
    let nested = |expr: Expr| Expr::Nested(Box::new(expr));
    Ok(nested(match name.as_str() {
        "rank" => binary(count(Some(before)), BinaryOperator::Plus, number(1)),
        "dense_rank" => {
            let [order] = function.within_group.as_slice() else {
                let message = "dense_rank() WITHIN GROUP by several columns is not supported";
                return Err(SqlError::unsupported(message));
            };
            let nulls = and(before.clone(), Expr::IsNull(Box::new(order.expr.clone())));
            let nulls = binary(count(Some(nulls)), BinaryOperator::Gt, number(0));
            let nulls = cast_to(nested(nulls), DataType::Int4(None));
            let distinct = distinct(call("count", vec![order.expr.clone()]));
            let condition = match filter {
                Some(filter) => and(before, filter.clone()),
                None => before,
            };
            let others = filtered(distinct, Some(condition));
            let others = binary(others, BinaryOperator::Plus, nulls);
            binary(others, BinaryOperator::Plus, number(1))
        }
        "percent_rank" => {
            let all = call("nullif", vec![count(None), number(0)]);
            let share = binary(double(count(Some(before))), BinaryOperator::Divide, double(all));
            call("coalesce", vec![share, double(number(0))])
        }
        _ => {
            let upto = count(Some(binary(nested(before), BinaryOperator::Or, nested(alike))));
            let upto = double(nested(binary(upto, BinaryOperator::Plus, number(1))));
            let all = double(nested(binary(count(None), BinaryOperator::Plus, number(1))));
            binary(upto, BinaryOperator::Divide, all)
        }
    }))
}

fn mismatch(name: &str) -> SqlError {
    let message = format!(
        "function {name} does not exist: to use the hypothetical-set aggregate {name}, the number \
         of hypothetical direct arguments must match the number of ordering columns"
    );
    SqlError::new(state::UNDEFINED_FUNCTION, message)
}

/// Whether a row sorts before the values, and whether it is their peer.
fn compared(order: &[OrderByExpr], values: &[Expr]) -> (Expr, Expr) {
    let mut before = Expr::value(Value::Boolean(false));
    let mut alike = Expr::value(Value::Boolean(true));
    for (item, value) in order.iter().zip(values) {
        let descending = item.options.asc == Some(false);
        let nulls_first = item.options.nulls_first.unwrap_or(descending);
        let op = if descending { BinaryOperator::Gt } else { BinaryOperator::Lt };
        let is_null = |expr: &Expr| Expr::IsNull(Box::new(expr.clone()));
        let (first, second) = match nulls_first {
            true => (is_null(&item.expr), not(is_null(value))),
            false => (not(is_null(&item.expr)), is_null(value)),
        };
        let sorts = binary(item.expr.clone(), op, value.clone());
        let sorts = call("coalesce", vec![sorts, Expr::value(Value::Boolean(false))]);
        let sorts = binary(sorts, BinaryOperator::Or, and(first, second));
        before = binary(before, BinaryOperator::Or, and(alike.clone(), sorts));
        let same = Expr::IsNotDistinctFrom(Box::new(item.expr.clone()), Box::new(value.clone()));
        alike = and(alike, same);
    }
    (before, alike)
}

fn and(left: Expr, right: Expr) -> Expr {
    let nested = |expr: Expr| Expr::Nested(Box::new(expr));
    binary(nested(left), BinaryOperator::And, nested(right))
}

fn filtered(mut aggregate: Expr, condition: Option<Expr>) -> Expr {
    if let Expr::Function(function) = &mut aggregate {
        function.filter = condition.map(Box::new);
    }
    aggregate
}

fn distinct(mut aggregate: Expr) -> Expr {
    if let Expr::Function(function) = &mut aggregate
        && let FunctionArguments::List(list) = &mut function.args
    {
        list.duplicate_treatment = Some(DuplicateTreatment::Distinct);
    }
    aggregate
}
