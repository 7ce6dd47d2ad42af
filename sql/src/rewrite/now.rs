//! `now()`: a parameter of the plan (design §2), never folded while planning.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan};
use tidemark_engine::Timestamp;

use crate::run::now_literal;

/// Whether an expression is a call of `now()`.
pub fn is_now(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.name() == "now" && call.args.is_empty())
}

/// The plan with `now()` at one time.
pub fn substitute(plan: LogicalPlan, now: Timestamp) -> Result<LogicalPlan> {
    let literal = Expr::Literal(now_literal(now), None);
    super::map_plan(plan, &mut |expr, _| {
        expr.transform_up(|expr| {
            if is_now(&expr) {
                Ok(Transformed::yes(literal.clone()))
            } else {
                Ok(Transformed::no(expr))
            }
        })
    })
}
